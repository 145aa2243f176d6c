"""The extension of Sphinx that puts the site together."""

from __future__ import annotations

import inspect
import re
from collections.abc import Container
from pathlib import Path
from typing import Any

from docs._ext import api, formulas, gallery, pages
from tinygan.engine import Operation


def generated_pages() -> dict[str, str]:
    """Return the pages of the API, of the experiments, and of the files that other pages link to."""
    texts = {f"generated/api/{name}.rst": text for name, text in api.pages().items()}
    experiments = sorted(pages.EXPERIMENTS.glob("*.toml"))
    for path in experiments:
        texts[pages.page_of(path)] = pages.experiment_page(path.read_text(encoding="utf-8"))
    texts["generated/experiments/index.md"] = pages.experiments_index(experiments)
    known: set[Path] = set()
    new = {*pages.ROOT.glob("*.md"), *pages.DOCS.glob("*.md")}
    while new:
        known |= new
        linked = {path for page in new if page.suffix == ".md" for path in pages.targets(page.read_text("utf-8"), page)}
        new = linked - known
    files = [path for path in sorted(known) if pages.page_of(path).startswith("generated/files/")]
    for path in files:
        texts[pages.page_of(path)] = pages.file_page(path)
    texts["generated/files/index.md"] = pages.files_index(files)
    return texts


def write(texts: dict[str, str], galleries: list[str]) -> None:
    """Write pages that have changed, so that Sphinx need not read the others again; remove pages of an earlier time."""
    for name, text in texts.items():
        path = pages.DOCS / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in [*pages.GENERATED.rglob("*.md"), *pages.GENERATED.rglob("*.rst")]:
        name, program = path.relative_to(pages.DOCS).as_posix(), gallery.SOURCES / path.parent.name / f"{path.stem}.py"
        made_by_gallery = path.parent.name in galleries and (program.is_file() or path.stem == "index")
        if name not in texts and gallery.SOURCES not in path.parents and not made_by_gallery:
            path.unlink()


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


def _correct_links(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Correct the links from the source back to the API: viewcode expects that a file is documented as one package."""
    if page.startswith("_modules/") and "body" in context:
        context["body"] = correct_links(context["body"], app.env.get_domain("py").objects)


def correct_links(body: str, documented: Container[str]) -> str:
    """Return HTML whose links to ``PACKAGE.html#tinygan.NAME`` go to ``#PACKAGE.NAME``, where that is documented."""

    def new(match: re.Match[str]) -> str:
        file, package, name = match.groups()
        return f'{file}#{package}.{name}"' if f"{package}.{name}" in documented else match[0]

    return re.sub(r'(api/([\w.]+)\.html)#tinygan\.([\w.]+)"', new, body)


def setup(app: Any) -> dict[str, bool]:
    """Write the generated pages, before Sphinx and sphinx-gallery look for them."""
    names = gallery.write()
    app.config.sphinx_gallery_conf["examples_dirs"] = [str(gallery.SOURCES / name) for name in names]
    app.config.sphinx_gallery_conf["gallery_dirs"] = [f"generated/{name}" for name in names]
    write(generated_pages(), names)
    app.connect("source-read", _read)
    app.connect("autodoc-process-docstring", _document, priority=400)  # before numpydoc
    app.connect("html-page-context", _correct_links)
    app.add_html_math_renderer("mathml", (_show, None), (_show, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
