"""Operands of a tensor in an expression: numbers of every kind, arrays, and other objects."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tinygan.errors import DtypeError, TinyganError

_PARTNERS = [
    2,
    0.5,
    True,
    np.float64(0.5),
    np.float32(0.5),
    np.longdouble(0.5),
    np.int64(2),
    np.uint8(2),
    np.bool_(True),
    np.array(0.5),
    np.array(2),
    np.array(0.5, np.longdouble),
    Fraction(1, 2),
    Decimal("0.5"),
]
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
}


@pytest.fixture
def vector() -> tg.Tensor:
    return tg.tensor([1.0, 2.0, 3.0], requires_grad=True)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("symbol", _OPERATORS)
@pytest.mark.parametrize("number", _PARTNERS, ids=lambda n: f"{type(n).__name__}({n})")
def test_a_number_never_promotes(number: Any, symbol: str, dtype: str) -> None:
    x = tg.tensor([0.5, 1.0, 2.0], dtype=dtype, requires_grad=True)
    apply = _OPERATORS[symbol]
    value = float(number)
    for y, expected in (
        (apply(x, number), apply(x.data.astype(float), value)),
        (apply(number, x), apply(value, x.data.astype(float))),
    ):
        assert isinstance(y, tg.Tensor)
        assert y.dtype == dtype
        np.testing.assert_allclose(y.data, expected, rtol=1e-2 if dtype == "float16" else 1e-6)
        y.sum().backward()
        assert x.grad is not None
        assert x.grad.dtype == dtype


def test_arrays_do_promote() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    for y in (x * np.ones(2), np.ones(2) * x):
        assert isinstance(y, tg.Tensor)
        assert y.dtype == "float64"
        (slope,) = tg.grad(y.sum(), [x])
        assert slope.dtype == "float32"


@pytest.mark.parametrize("other", ["a", [1.0, 2.0, 3.0], np.datetime64("2020-01-01"), object()])
@pytest.mark.parametrize("swap", [False, True])
def test_an_operand_that_is_no_number_is_refused_by_name(vector: tg.Tensor, other: Any, swap: bool) -> None:
    with pytest.raises(DtypeError, match=f"add: expected a tensor, an array or a number, got {type(other).__name__}; "):
        _ = other + vector if swap else vector + other
    with pytest.raises(DtypeError, match="eq: expected a tensor"):
        _ = vector == other


def test_object_and_complex_arrays_do_not_lose_gradients(vector: tg.Tensor) -> None:
    with pytest.raises(DtypeError, match="expected numbers, got an array of dtype object"):
        vector * np.array([1, 2, 3], object)
    with pytest.raises(DtypeError, match="multiply: the result is complex64, and gradients are of real numbers only"):
        vector * 1j


@given(
    st.sampled_from([None, "a", [1.0], (), {}, 1j, 2, 0.5, np.ones(3), np.ones((2, 2)), np.array("a"), True, b"x"]),
    st.sampled_from(list(_OPERATORS)),
    st.sampled_from(["f4", "f8", "i8", "u1", "?"]),
)
def test_any_pair_of_operands_gives_a_tensor_or_a_clear_refusal(other: Any, symbol: str, dtype: str) -> None:
    x = tg.tensor(np.ones(3), dtype=dtype)
    names = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "**": "power"}
    outcome: Any
    try:
        outcome = _OPERATORS[symbol](x, other)
    except (TinyganError, TypeError) as error:  # a TypeError of NumPy, which names the operation
        outcome = error
    if isinstance(outcome, tg.Tensor):
        assert outcome.dtype.kind in "fiubc"
    else:
        assert str(outcome).startswith((f"{names[symbol]}: ", "tensor: expected numbers"))
