"""The checks of an integer and of a number: what passes, what is refused, and the message."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tinygan.checks import integer, number
from tinygan.errors import ArgumentError, CheckpointError, DtypeError


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_integers_become_int(value: Any) -> None:
    found = integer(value, "demo: k", at_least=1)
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize("value", [True, np.bool_(1), 1.0, np.float64(1), "1", None, [1], np.array([1, 2]), 1j])
def test_other_values_are_no_integers(value: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^demo: k must be an integer, got "):
        integer(value, "demo: k")
    with pytest.raises(CheckpointError, match=r"^demo: k must be an integer of at least 1, got "):
        integer(value, "demo: k", at_least=1, error=CheckpointError)


def test_an_integer_below_the_limit_is_refused() -> None:
    assert integer(-5, "demo: k") == -5
    with pytest.raises(ArgumentError, match=r"^demo: k must be an integer of at least 0, got -1$"):
        integer(-1, "demo: k", at_least=0)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int8(2), np.array(2.0), Fraction(2)])
def test_numbers_become_int_or_float(value: Any) -> None:
    found = number(value, "demo: x")
    assert found == 2
    assert type(found) in (int, float)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(True, "True"), ("2", "'2'"), (None, "None"), ([2.0], "a list"), (1j, "1j"), (np.ones(2), "a ndarray of shape")],
)
def test_other_values_are_no_numbers(value: Any, shown: str) -> None:
    with pytest.raises(DtypeError) as caught:
        number(value, "demo: x")
    assert str(caught.value).startswith(f"demo: x must be a number, got {shown}")
