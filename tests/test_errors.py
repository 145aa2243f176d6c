"""Every refusal has a type of `tinygan.errors`, and a misspelled word gets one kind of suggestion."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

import pytest

import tinygan
from tinygan import errors
from tinygan.errors import did_you_mean, nearest

ROOT = Path(tinygan.__file__).parent
BUILT_IN = {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, Exception)}
# No refusals: what a subclass must write, what cannot happen, the end of an iterator, and what `hasattr` asks for.
ALLOWED = {"NotImplementedError", "AssertionError", "StopIteration", "AttributeError"}


def bare_raises(source):
    """Return the lines that raise a built-in exception by its name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(raised, ast.Name) and raised.id in BUILT_IN - ALLOWED:
                found.append(node.lineno)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_refusal_is_a_tinygan_error(path):
    assert bare_raises(path.read_text(encoding="utf-8")) == []


def test_bare_raises_are_found():
    source = "def f(x):\n    raise ValueError('x')\ndef g():\n    raise KeyError\ndef h(e):\n    raise e"
    assert bare_raises(source) == [2, 4]


def test_every_error_derives_from_a_built_in():
    found = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    for error in found:
        assert issubclass(error, errors.TinyganError)
        ancestors = {ancestor.__name__ for ancestor in error.__mro__} & (BUILT_IN - {"Exception"})
        assert ancestors or error is errors.TinyganError


def test_suggestions_ignore_case_and_omit_distant_words():
    assert did_you_mean("LR", ["units", "lr"]) == '; did you mean "lr"?'
    assert did_you_mean("lx", ["units", "lr"]) == '; did you mean "lr"?'
    assert did_you_mean("beta", ["beta2", "beta1"]) == '; did you mean "beta2"?'
    assert did_you_mean("abx", ["b"]) == '; did you mean "b"?'
    assert did_you_mean("gpu", ["cpu", "cuda"], least=0.7) == did_you_mean("abxy", ["abcd"]) == ""
    assert did_you_mean("colour", ["units", "lr"]) == ""
    assert did_you_mean("colour", []) == ""
    assert nearest("unit", iter(["lr", "units"])) == "units"
