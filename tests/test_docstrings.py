"""Every public name has a docstring."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import tinygan
from tinygan.engine import Operation

pytestmark = pytest.mark.slow

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(tinygan.__path__, "tinygan.")
    if not module.name.endswith("__main__")
)
# The class docstring of an operation states its mathematics; these two methods are the formulas.
FORMULAS = {"forward", "backward", "check"}


def missing(owner, prefix):
    """Yield the public functions, classes and methods defined in `owner` that lack a docstring."""
    for name, value in vars(owner).items():
        if name.startswith("_"):
            continue
        plain = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not (inspect.isclass(plain) or inspect.isfunction(plain)):
            continue
        if inspect.ismodule(owner) and plain.__module__ != owner.__name__:
            continue
        if inspect.isclass(owner) and issubclass(owner, Operation) and name in FORMULAS:
            continue
        if not (plain.__doc__ or "").strip():
            yield f"{prefix}.{name}"
        if inspect.isclass(plain):
            yield from missing(plain, f"{prefix}.{name}")


@pytest.mark.parametrize("name", MODULES)
def test_public_names_have_docstrings(name):
    module = importlib.import_module(name)
    assert (module.__doc__ or "").strip(), f"{name} has no docstring"
    assert list(missing(module, name)) == []
