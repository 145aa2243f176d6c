"""What sphinx-gallery reads: copies of the programs in ``examples/``, with a title and a picture.

A docstring in ``examples/`` is plain text for a terminal. sphinx-gallery expects reStructuredText that begins with a
title. The lessons begin so; `as_rst` makes it of the other docstrings.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import textwrap
from collections.abc import Iterable
from pathlib import Path

from docs._ext.pages import DOCS, GENERATED, ROOT

EXAMPLES = ROOT / "examples"
LESSONS = EXAMPLES / "lessons"
SOURCES = GENERATED / "sources"
# Programs that have no picture of their own name.
PICTURES = {"dcgan_latent_space": "dcgan_arithmetic.png"}

_HEADER = """{title}
{line}

{text}
"""


def escape(text: str) -> str:
    r"""Return plain text as reStructuredText: only its literals, in one or two backticks, keep their meaning.

    >>> print(escape("|D - D*| of `lr_` and p_g"))
    \|D - D\*\| of `lr_` and p_g
    """
    parts = re.split(r"(`+[^`]+`+)", text)
    parts[::2] = [re.sub(r"([\\*|]|_(?!\w))", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def title_of(docstring: str) -> str:
    """Return the first sentence of a docstring, up to a colon; a long one up to a comma.

    >>> title_of("Figure 2 of the paper: fair samples.")
    'Figure 2 of the paper'
    """
    first = " ".join(docstring.strip().partition("\n\n")[0].split())
    title = re.split(r":\s|\.\s|\.$", first)[0].replace("`", "")
    return title if len(title) < 50 else title.partition(", ")[0]


def has_title(docstring: str) -> bool:
    """Return whether a docstring begins with a title of reStructuredText."""
    return re.match(r"\s*\S.*\n=+\n", docstring) is not None


def as_rst(docstring: str, after: str = "") -> str:
    """Return a docstring of plain text as reStructuredText with a title, its usage as code, and `after` at the end."""
    paragraphs = []
    for paragraph in docstring.strip().split("\n\n"):
        if paragraph.startswith("Usage: "):
            paragraphs.append(_as_typed(line[len("Usage: ") :] for line in paragraph.splitlines()))
        elif _is_laid_out(paragraph):
            paragraphs.append(_as_typed(paragraph.splitlines()))
        else:
            paragraphs.append(re.sub(r"^\((?=[b-z]\))", r"\\(", escape(paragraph)))  # (a) begins a list, (b) does not
    title = title_of(docstring)
    return f"{title}\n{'=' * len(title)}\n\n" + "\n\n".join([*paragraphs, after]).strip() + "\n"


def _as_typed(lines: Iterable[str]) -> str:
    return ".. code-block:: none\n\n" + "\n".join(f"    {line}" for line in lines)


def _is_laid_out(paragraph: str) -> bool:
    """Return whether a paragraph has columns or indented formulas, and is neither a list nor indented as a whole."""
    lines = paragraph.splitlines()
    indented = [line.startswith(" ") for line in lines]
    is_list = all(re.match(r"- |\(\w\) | ", line) for line in lines)
    return any(indented) and not all(indented) and not is_list


def picture_of(program: Path) -> Path | None:
    """Return the committed picture of a program in ``examples/``."""
    folder = EXAMPLES / "pictures"
    found = sorted(folder.glob(PICTURES.get(program.stem, f"{program.stem}*.png")))
    return found[0] if found else None


def page_about(program: str) -> str | None:
    """Return the page that the table of ``docs/examples.md`` names for a program, without its ending."""
    for line in (DOCS / "examples.md").read_text(encoding="utf-8").splitlines():
        if match := re.match(rf"\| `{program}[ `].*\((?!\.\.)([\w-]+)\.md", line):
            return match[1]
    return None


def card(program: Path, title: str) -> Path:
    """Draw the thumbnail of a program that prints text only: its name and its title."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 2.8))
    figure.text(0.5, 0.68, program.name, ha="center", family="monospace", size=15, color="#1f5fa8")
    figure.text(0.5, 0.52, "\n".join(textwrap.wrap(title, 32)), ha="center", va="top", size=12)
    path = SOURCES / "cards" / f"{program.stem}.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100)
    return path


def stage(program: Path) -> str:
    """Return the text of a program as sphinx-gallery is to read it."""
    text = program.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text)) or program.stem
    if has_title(docstring):
        return text.replace("# %% [markdown]\n", "# %%\n")
    picture = picture_of(program)
    after = f".. image:: /../{picture.relative_to(ROOT).as_posix()}\n\n" if picture else ""
    if page := page_about(program.name):
        after += f"The page :doc:`/{page}` explains it."
    statement = ast.parse(text).body[0]
    rest = "".join(text.splitlines(keepends=True)[statement.end_lineno :])
    thumbnail = os.path.relpath(picture or card(program, title_of(docstring)), DOCS)
    return f'r"""\n{as_rst(docstring, after)}"""\n{rest}\n# sphinx_gallery_thumbnail_path = "{thumbnail}"\n'


def write() -> list[str]:
    """Write the copies, and return the names of the galleries."""
    shutil.rmtree(SOURCES, ignore_errors=True)
    names = []
    for folder, title, text in (
        (EXAMPLES, "Examples", "Each makes a figure, a table or a few numbers of the paper. See :doc:`/examples`."),
        (LESSONS, "Lessons", "Read them in this order, beside the exercises of :doc:`/learning-path`."),
    ):
        programs = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
        if programs:
            names.append(folder.name)
            target = SOURCES / folder.name
            target.mkdir(parents=True)
            header = _HEADER.format(title=title, line="=" * len(title), text=text)
            (target / "GALLERY_HEADER.rst").write_text(header, encoding="utf-8")
            for program in programs:
                (target / program.name).write_text(stage(program), encoding="utf-8")
    return names
