"""The formulas of a row are those of the docstring, with the shapes of the call."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from tinygan import functional
from tinygan.engine import Operation
from tinygan.functional.arithmetic import Multiply
from tinygan.functional.linear import Linear
from tinygan.trace.formulas import formulas, local_rules, with_shapes

NAMES = [one.name for one in pkgutil.iter_modules(functional.__path__)]
MODULES = [importlib.import_module(f"tinygan.functional.{name}") for name in NAMES]
OPERATIONS = [
    value
    for module in MODULES
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, Operation) and value.__module__ == module.__name__
    if not name.startswith("_")
]


@pytest.mark.parametrize("kind", OPERATIONS)
def test_every_operation_states_both_formulas(kind):
    found = formulas(kind)
    assert found.forward
    assert found.backward


def test_operations_are_found():
    assert len(OPERATIONS) > 35


def test_shapes_of_a_linear_layer():
    found = local_rules(Linear, (100, 1200), [(100, 784), (784, 1200), (1200,)], (False, True, True))
    assert found.backward == (
        "gW = X' gY   (784, 1200) = (784, 100) (100, 1200)",
        "gb = the sum of gY over the rows   (1200,) = (100, 1200)",
    )


def test_only_needed_gradients_are_shown():
    assert local_rules(Multiply, (3,), [(3,), ()], (True, False)).backward == ("ga = gy b   (3,) = (3,) ()",)


def test_a_formula_in_words_has_no_shapes():
    assert with_shapes("gx is gy in the shape of x", {"x": (2,), "y": (2,)}) == "gx is gy in the shape of x"


def test_an_operation_of_a_user_without_a_docstring():
    class Mine(Operation):
        pass

    Mine.__doc__ = None
    assert local_rules(Mine, (), [()], (True,)).backward == ()
