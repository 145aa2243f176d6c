"""The dtype of an operation: neither an integer nor a 0-d operand promotes a float, as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("bool", "uint8", "int8", "int16", "int32", "int64")
MIXING: dict[str, Any] = {
    "add": F.add,
    "subtract": lambda a, b: F.subtract(a, b),
    "multiply": F.multiply,
    "divide": F.divide,
    "power": F.power,
    "maximum": F.maximum,
    "minimum": F.minimum,
    "where": lambda a, b: F.where(np.array([True, False]), a, b),
    "reflected": lambda a, b: b * a,
}


def of(dtype: str, ndim: int, *, tensor: bool = True) -> Any:
    array = np.ones((2,) * ndim, dtype)
    return tg.tensor(array) if tensor else array


@given(
    st.sampled_from(sorted(MIXING)), st.sampled_from(FLOATS), st.sampled_from(INTEGERS), st.integers(0, 2),
    st.booleans(), st.booleans(),
)
def test_an_integer_never_promotes_a_float(
    name: str, real: str, whole: str, ndim: int, tensor: bool, swapped: bool
) -> None:
    a, b = of(real, 1), of(whole, ndim, tensor=tensor)
    y = MIXING[name](b, a) if swapped else MIXING[name](a, b)
    assert y.dtype == real


@given(st.sampled_from(sorted(MIXING)), st.sampled_from(FLOATS), st.sampled_from(FLOATS), st.booleans(), st.booleans())
def test_a_0d_operand_never_promotes(name: str, one: str, other: str, tensor: bool, swapped: bool) -> None:
    a, b = of(one, 1), of(other, 0, tensor=tensor)
    y = MIXING[name](b, a) if swapped else MIXING[name](a, b)
    assert y.dtype == one


@given(st.sampled_from(sorted(MIXING)), st.sampled_from(FLOATS), st.sampled_from(FLOATS))
def test_arrays_of_floats_promote_each_other(name: str, one: str, other: str) -> None:
    assert MIXING[name](of(one, 1), of(other, 1)).dtype == np.result_type(one, other)
    if name != "where":  # its condition has an axis
        assert MIXING[name](of(one, 0), of(other, 0)).dtype == np.result_type(one, other)


@pytest.mark.parametrize("whole", INTEGERS)
def test_integers_and_a_float_number_are_float32(whole: str) -> None:
    for y in (of(whole, 1) * 0.5, 0.5 + of(whole, 2), of(whole, 0) - 0.5, F.maximum(of(whole, 1), 0.5)):
        assert y.dtype == np.float32


def test_other_ways_to_mix() -> None:
    x = of("float32", 2)
    integers = of("int64", 2)
    for y in (x @ integers, integers @ x, F.linear(x, integers), F.concatenate([integers, x]), F.stack([x, integers])):
        assert y.dtype == np.float32
    assert F.where(of("bool", 2), x, 0.5).dtype == np.float32
    assert F.where(of("bool", 2), x, of("float64", 0)).dtype == np.float32


@given(st.sampled_from(FLOATS), st.sampled_from(FLOATS), st.integers(0, 1), st.integers(0, 1))
def test_each_gradient_has_the_dtype_of_its_operand(one: str, other: str, ndim: int, other_ndim: int) -> None:
    a, b = of(one, ndim), of(other, other_ndim)
    a.requires_grad = b.requires_grad = True
    ga, gb = tg.grad((a * b * 3).sum(), [a, b], create_graph=True)
    assert (ga.dtype, gb.dtype) == (one, other)
    assert (ga.shape, gb.shape) == (a.shape, b.shape)
    (second,) = tg.grad(ga.sum(), [b])
    assert second.dtype == other
    assert float(second.sum().item()) == 3 * max(a.size, b.size)
