"""Pages for what lies outside of ``docs/``: README files, source files, and the experiments with their comments.

The pages in ``docs/`` are read on GitHub, too. So their links point to files of the repository, such as
``../tinygan/gan/algorithm1.py``. In the site, each such file has a page in ``docs/generated/``, and `relink` sends the
link there.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
GENERATED = DOCS / "generated"
EXPERIMENTS = ROOT / "tinygan" / "experiments"

_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\[[^\]]*\]\()([^)\s]+)(\))")
_LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".sh": "sh", ".cfg": "ini"}
_IMAGES = {".png", ".gif", ".svg"}


def page_of(path: Path) -> str:
    """Return the page that shows a file or folder of the repository, relative to ``docs/``."""
    name = path.relative_to(ROOT).as_posix()
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    if path.suffix in _IMAGES:
        return f"../{name}"
    if path == EXPERIMENTS:
        return "generated/experiments/index.md"
    if path.parent == EXPERIMENTS and path.suffix == ".toml":
        return f"generated/experiments/{path.stem}.md"
    if path.suffix == ".py" and name.startswith("examples/"):
        return f"generated/{path.parent.name}/{path.stem}.rst"  # made by sphinx-gallery
    return f"generated/files/{name}" if path.suffix == ".md" else f"generated/files/{name}.md"


def targets(text: str, page: Path) -> Iterator[Path]:
    """Yield the files of the repository that a Markdown page links to."""
    for part in _CODE.split(text)[::2]:
        for _, link, _ in _LINK.findall(part):
            if "://" not in link and not link.startswith("#"):
                yield (page.parent / unquote(link.partition("#")[0])).resolve()


def relink(text: str, page: Path) -> str:
    """Return a Markdown page whose links go to pages of the site, from the root of the site."""

    def new(match: re.Match[str]) -> str:
        start, link, end = match.groups()
        if "://" in link or link.startswith("#"):
            return match.group()
        name, mark, anchor = link.partition("#")
        return f"{start}/{page_of((page.parent / unquote(name)).resolve())}{mark}{anchor}{end}"

    parts = _CODE.split(text)
    parts[::2] = [_LINK.sub(new, part) for part in parts[::2]]
    return "".join(parts)


def file_page(path: Path) -> str:
    """Return a page with the text of a file, or with the names in a folder."""
    name = path.relative_to(ROOT).as_posix()
    if path.suffix == ".md":
        return relink(path.read_text(encoding="utf-8"), path)
    if path.is_dir():
        names = sorted(each.name for each in path.iterdir() if not each.name.startswith((".", "__pycache__")))
        return f"# {name}/\n\n" + "\n".join(f"- `{each}`" for each in names)
    language = _LANGUAGES.get(path.suffix, "text")
    return f"# {name}\n\n```{{literalinclude}} /../{name}\n:language: {language}\n:linenos:\n```\n"


def experiment_page(toml: str) -> str:
    r"""Return a page about an experiment: comments between its lines become text, the rest stays a file.

    >>> print(experiment_page('# A game.\nname = "x"\n\n# The *prior*.\n[noise]\nsize = 2  # of z'))
    # x
    <BLANKLINE>
    A game.
    <BLANKLINE>
    ```toml
    name = "x"
    ```
    <BLANKLINE>
    ## noise
    <BLANKLINE>
    The \*prior\*.
    <BLANKLINE>
    ```toml
    [noise]
    size = 2  # of z
    ```
    """
    parts: list[str] = [f"# {tomllib.loads(toml)['name']}"]
    comment: list[str] = []
    code: list[str] = []

    def flush() -> None:
        if comment:
            parts.append(re.sub(r"([\\*_<>\[\]#|])", r"\\\1", " ".join(comment)))
        if lines := "\n".join(code).strip("\n"):
            parts.append(f"```toml\n{lines}\n```")
        comment.clear()
        code.clear()

    for line in toml.splitlines():
        if line.startswith("#"):
            if code:
                flush()
            comment.append(line.removeprefix("#").strip())
        elif section := re.match(r"\[([\w.]+)\]", line):
            if code:
                flush()
            parts.append(f"{'#' * (2 + section[1].count('.'))} {section[1]}")
            code.append(line)
        elif line.strip() or code:
            code.append(line)
        elif comment and not code:  # a comment that stands alone
            flush()
    flush()
    return "\n\n".join(parts)


def experiments_index(paths: list[Path]) -> str:
    """Return the page that lists the experiments."""
    names = [path.stem for path in paths]
    descriptions = [tomllib.loads(path.read_text(encoding="utf-8"))["description"] for path in paths]
    rows = [f"| [{name}]({name}.md) | {about} |" for name, about in zip(names, descriptions, strict=True)]
    about = "Each is a TOML file in `tinygan/experiments`. Copy one, change it, and train it by its path"
    table = "\n".join(["| experiment | what it is |", "|---|---|", *rows])
    return f"# Experiments\n\n{about}: see [the commands](/commands.md#train).\n\n{table}{_toctree(names)}"


def files_index(paths: list[Path]) -> str:
    """Return the page that lists the files of the repository that pages link to."""
    names = [page_of(path).removeprefix("generated/files/").removesuffix(".md") for path in paths]
    return "# Files that the pages name\n" + _toctree(names, hidden=False)


def _toctree(names: list[str], hidden: bool = True) -> str:
    option = ":hidden:\n" if hidden else ""
    return f"\n\n```{{toctree}}\n{option}\n" + "\n".join(names) + "\n```\n"
