"""Pages of the API: the public names of each package, with their docstrings, grouped by file as in the source."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from docs._ext import formulas
from docs._ext.gallery import escape

# A name that several packages have is documented with the first of them.
PACKAGES = [
    "tinygan",
    "tinygan.functional",
    "tinygan.nn",
    "tinygan.nn.init",
    "tinygan.optim",
    "tinygan.gan",
    "tinygan.data",
    "tinygan.evaluation",
    "tinygan.theory",
    "tinygan.trace",
    "tinygan.diagnosis",
    "tinygan.checking",
    "tinygan.testing",
    "tinygan.engine",
    "tinygan.backend",
    "tinygan.errors",
]
SPLIT = 30  # a package with more names has a page for each file


def public_names(module: ModuleType) -> list[str]:
    """Return the public names of a module: ``__all__``, or else what is defined there without an underscore."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if name[0] != "_" and not inspect.ismodule(getattr(module, name))]
    own = [(name, value) for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    classes_only = module.__name__ == "tinygan.errors"
    return [name for name, value in own if name[0] != "_" and (inspect.isclass(value) or not classes_only)]


def files_of(module: ModuleType) -> dict[str, tuple[str, list[str]]]:
    """Return, for each file of a package that defines public names: the first sentence about it, and the names."""
    path, names = Path(module.__file__ or ""), set(public_names(module))
    files = {}
    for file in sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found = [name for name in _defined(tree) if name in names]
        names -= set(found)
        if found:
            first = (ast.get_docstring(tree) or "").partition("\n\n")[0]
            files["" if file == path else file.stem] = (" ".join(first.split()), found)
    if names:  # from another package
        files["elsewhere"] = ("", sorted(names, key=str.lower))
    return files


def _defined(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a file defines, in their order."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (each.id for each in ast.walk(target) if isinstance(each, ast.Name))


def homes() -> dict[tuple[str, str], str]:
    """Return the full name under which each public name of each package is documented."""
    first: dict[int, str] = {}
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in public_names(module):
            value = getattr(module, name)
            plain = inspect.isclass(value) or inspect.isfunction(value)
            full = f"{package}.{name}"
            found[package, name] = first.setdefault(id(inspect.unwrap(value)), full) if plain else full
    return found


def _heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}"


def _table(full_names: list[str]) -> str:
    """Return a table of names with the first sentence about each."""
    rows = [".. list-table::", "   :class: names", ""]
    for full_name in full_names:
        if not _is_data(full_name):
            lines = (inspect.getdoc(_value(full_name)) or "").partition("\n\n")[0].split("\n")
            formulas.typeset(lines)
            sentence = re.split(r"\. (?=[A-Z`])", " ".join(lines).strip())[0].rstrip(".")
            rows += [f"   * - :py:obj:`{full_name.rpartition('.')[2]} <{full_name}>`", f"     - {sentence}"]
    return "\n".join(rows) if len(rows) > 3 else ""


def _is_data(full_name: str) -> bool:
    """Return whether a public name is a number, a dictionary, or a type of another package."""
    return not getattr(_value(full_name), "__module__", "").startswith("tinygan")


def _value(full_name: str) -> object:
    module, _, name = full_name.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _entry(full_name: str) -> str:
    value = _value(full_name)
    if _is_data(full_name):
        shown = ", ".join(f"``{key!r}``" for key in value) if isinstance(value, dict) else f"``{value!r}``"
        return f".. data:: {full_name}\n\n" + (f"   {shown}\n" if len(shown) < 500 else "")
    if inspect.isclass(value):
        return f".. autoclass:: {full_name}\n   :members:"
    return f".. autofunction:: {full_name}"


def pages() -> dict[str, str]:
    """Return the text of each page of the API."""
    home, texts = homes(), {}
    for package in PACKAGES:
        files = files_of(importlib.import_module(package))
        split = sum(len(names) for _, names in files.values()) > SPLIT
        about = f".. automodule:: {package}\n   :no-members:"
        if package in home.values():  # `tinygan.trace` is a function, too
            about += "\n   :no-index:"
        parts = [_heading(package, "="), about, f".. currentmodule:: {package}"]
        tables: list[str] = []
        below: list[str] = []
        for file, (sentence, names) in files.items():
            full = [home[package, name] for name in names]
            entries = [_entry(name) for name in full if name.rpartition(".")[0] == package]
            if not split:
                tables += full
                below += entries
                continue
            page, current = f"{package}.{file}", f".. currentmodule:: {package}"
            heading = _heading(f"{package.removeprefix('tinygan.')}: {file}", "=")
            texts[page] = "\n\n".join([heading, escape(sentence), current, _table(full), *entries]) + "\n"
            parts += [_heading(file.replace("_", " ").capitalize(), "-"), escape(sentence), _table(full)]
            below.append(f"   {page}")
        if split:
            parts.append(".. toctree::\n   :hidden:\n\n" + "\n".join(below))
        else:
            parts += [_table(tables), *below]
        texts[package] = "\n\n".join(parts) + "\n"
    return texts
