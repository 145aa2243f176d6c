"""The extension of Sphinx that puts the site together."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from docs._ext import api, formulas, gallery, pages
from tinygan.engine import Operation


def _write(name: str, text: str) -> None:
    """Write a generated page, unless it has this text already: then Sphinx need not read it again."""
    path = pages.DOCS / name
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def write_pages() -> None:
    """Write the pages of the API, of the experiments, and of the files that other pages link to."""
    for name, text in api.pages().items():
        _write(f"generated/api/{name}.rst", text)
    experiments = sorted(pages.EXPERIMENTS.glob("*.toml"))
    for path in experiments:
        _write(f"generated/experiments/{path.stem}.md", pages.experiment_page(path.read_text(encoding="utf-8")))
    _write("generated/experiments/index.md", pages.experiments_index(experiments))
    known: set[Path] = set()
    new = {pages.ROOT / "README.md", *pages.DOCS.glob("*.md")}
    while new:
        known |= new
        linked = {path for page in new if page.suffix == ".md" for path in pages.targets(page.read_text("utf-8"), page)}
        new = linked - known
    files = [path for path in sorted(known) if pages.page_of(path).startswith("generated/files/")]
    for path in files:
        _write(pages.page_of(path), pages.file_page(path))
    _write("generated/files/index.md", pages.files_index(files))


def _read(app: Any, docname: str, source: list[str]) -> None:
    """Send the links of a page in ``docs/`` to pages of the site."""
    path = pages.DOCS / f"{docname}.md"
    if path.parent == pages.DOCS and path.is_file():
        source[0] = pages.relink(source[0], path)


def _document(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Typeset the formulas of a docstring; that of an operation's function gets the formulas of the operation."""
    formulas.typeset(lines)
    if operation := operation_of(value):
        end = lines.index("") if "" in lines else len(lines)
        lines[end:end] = formulas.side_by_side(operation)


def operation_of(function: Any) -> type[Operation] | None:
    """Return the operation that a public function applies: it has the same name and is in the same file."""
    plain = inspect.unwrap(function) if callable(function) else function
    if not inspect.isfunction(plain):
        return None
    for value in vars(inspect.getmodule(plain.__code__)).values():
        if inspect.isclass(value) and issubclass(value, Operation) and value.name == plain.__name__:
            return value
    return None


def _show(self: Any, node: Any) -> None:
    """Write a formula as MathML."""
    import docutils.nodes

    block = isinstance(node, docutils.nodes.math_block)
    self.body.append(formulas.render(node.astext(), "block" if block else "inline"))
    raise docutils.nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Write the generated pages, before Sphinx and sphinx-gallery look for them."""
    names = gallery.write()
    app.config.sphinx_gallery_conf["examples_dirs"] = [str(gallery.SOURCES / name) for name in names]
    app.config.sphinx_gallery_conf["gallery_dirs"] = [f"generated/{name}" for name in names]
    write_pages()
    app.connect("source-read", _read)
    app.connect("autodoc-process-docstring", _document, priority=400)  # before numpydoc
    app.add_html_math_renderer("mathml", (_show, None), (_show, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
