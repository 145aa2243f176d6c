"""The layers of the package: a file imports only from its own layer and from lower layers."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tinygan

ROOT = Path(tinygan.__file__).parent
# From the lowest layer to the highest; packages of one layer may import each other.
LAYERS = {
    "errors": 0,
    "runs": 0,  # only files: it imports no backend and no game, and handles arrays as bytes
    "backend": 1,
    "engine": 2,
    "functional": 3,
    "nn": 4,
    "optim": 4,
    "data": 4,
    "theory": 5,
    "evaluation": 5,
    "checking": 6,
    "gan": 7,
    "config": 8,
    "pictures": 9,
    "trace": 9,
    "diagnosis": 9,
    "experiments": 10,
    "parallel": 10,
    "report": 11,
    "learn": 11,
    "cli": 12,
}
FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT and "testing" not in path.parts)


def imported(path):
    """Yield the dotted names of tinygan that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tinygan":
            if node.module == "tinygan":
                yield from (f"tinygan.{alias.name}" for alias in node.names)
            else:
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "tinygan")


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_imports_from_a_higher_layer(path):
    layer = path.relative_to(ROOT).parts[0]
    for name in imported(path):
        other = name.split(".")[1] if "." in name else None
        if other in LAYERS:
            assert LAYERS[other] <= LAYERS[layer], f"{path.relative_to(ROOT)} imports {name} from a higher layer"


def test_every_package_has_a_layer():
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    assert packages - {"testing"} <= set(LAYERS)


def test_the_engine_names_no_array_library():
    for path in (ROOT / "engine").glob("*.py"):
        names = {name.split(".")[0] for node in ast.walk(ast.parse(path.read_text())) for name in _top_level(node)}
        assert not names & {"numpy", "cupy", "scipy"}, path.name


def test_the_engine_has_at_most_500_lines_of_code():
    files = {path.name: path for path in (ROOT / "engine").glob("*.py")}
    assert set(files) == {"__init__.py", "tensor.py", "tape.py", "chain_rule.py", "modes.py"}
    assert sum(lines_of_code(path.read_text(encoding="utf-8")) for path in files.values()) <= 500


def lines_of_code(source):
    """Return the number of lines that are neither blank, nor a comment, nor part of a docstring."""
    docstrings = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            docstrings.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), start=1)
    return sum(number not in docstrings and line.strip()[:1] not in ("", "#") for number, line in lines)


def test_lines_of_code_exclude_comments_and_docstrings():
    source = '"""One.\n\nMore.\n"""\n\n# a comment\nx = 1  # code\n\ndef f():\n    """Two."""\n    return """\n\n"""\n'
    assert lines_of_code(source) == 4


def _top_level(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []
