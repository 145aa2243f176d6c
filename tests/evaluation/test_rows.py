"""The checks of the arguments of every measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinygan.errors import ArgumentError, DataError, ShapeError, TinyganError
from tinygan.evaluation.rows import as_rows, as_width, canonical, check_values, same_columns, slices

ROWS = arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 4)), elements=st.integers(-5, 5))


@given(st.integers(0, 50), st.integers(1, 60))
def test_slices_cover_everything_once(size: int, step: int) -> None:
    parts = [np.arange(size)[here] for here in slices(size, step)]
    assert np.concatenate([np.empty(0, int), *parts]).tolist() == list(range(size))
    assert all(len(part) == step for part in parts[:-1])


@given(ROWS, st.randoms())
def test_the_canonical_order_ignores_the_order_of_the_input(rows: Any, random: Any) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)
    assert canonical(rows[order]).tobytes() == canonical(rows).tobytes()
    assert sorted(canonical(rows).tolist()) == sorted(rows.tolist())
    assert canonical(rows[:, ::-1]).shape == rows.shape


def test_refusals() -> None:
    for bad, found in (
        ([1.0], r"float64 of shape \(1,\)"), (np.zeros((0, 2)), r"float64 of shape \(0, 2\)"),
        ([["a"]], "<U1 of shape"), ([[1j]], "complex128 of shape"), ([[None]], "object of shape"),
        (3, r"int64 of shape \(\)"),
    ):  # fmt: skip
        with pytest.raises(ShapeError, match=rf"^demo: samples must be rows of real numbers, .* got {found}"):
            as_rows("demo", "samples", bad)
    with pytest.raises(ShapeError, match=r"^demo: samples have rows of 1 values, but data have rows of 2$"):
        same_columns("demo", samples=[[1]], data=[[1, 2]])
    with pytest.raises(ShapeError, match=r"^demo: samples must be rows of one length"):
        as_rows("demo", "samples", [[1, 2], [3]])
    with pytest.raises(DataError, match="demo: samples are masked"):
        as_rows("demo", "samples", np.ma.masked_array([[1.0]], [[True]]))


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (-np.inf, "f4", r"^demo: row 5 of data holds nan or infinity; did training diverge\?$"),
        (np.nan, "f8", "row 5 of data holds nan or infinity"),
        (np.inf, "f2", "row 5 of data holds nan or infinity"),
        (-1e100, "f8", r"row 5 of data holds a value of size 1e\+100, and distances need values below 1e\+100"),
        (2**53, "u8", r"row 5 of data holds a value of size .*divide all rows by one number"),
        (-(2**63), "i8", "row 5 of data holds a value of size"),
        (1e-101, "f8", r"no value of data is larger than 1e-101, .* multiply all rows by one number"),
    ],
)
def test_values_that_distances_cannot_represent_are_refused(value: float, dtype: str, message: str) -> None:
    some = np.zeros((7, 2), dtype)
    some[5, 1] = value
    for step in (2, 100):
        with pytest.raises(DataError, match=message):
            check_values("demo", step, samples=np.zeros((3, 2)), data=some)
    check_values("demo", 2, data=np.full((3, 2), 200, np.uint8), samples=np.array([[2**53 - 1, -(2**53) + 1]]))


def test_a_long_double_beyond_float64_is_infinite() -> None:
    rows = as_rows("demo", "samples", np.array([["1e4000"]]).astype(np.longdouble))
    assert rows.dtype == np.float64
    if np.finfo(np.longdouble).max > np.finfo(np.float64).max:
        with pytest.raises(DataError, match="row 0 of samples holds nan or infinity"):
            check_values("demo", 1, samples=rows)


@pytest.mark.parametrize(
    "bad", [0, -1, np.nan, np.inf, 1e-101, 1e101, 5e-324, True, "1", None, 1j, [1.0], [], np.float32(-2)]
)
def test_widths_that_do_not_fit_are_refused(bad: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^demo: sigma must be a positive number, got .* from 1e-100 to") as caught:
        as_width("demo", "sigma", bad)
    assert isinstance(caught.value, TinyganError)
    assert isinstance(caught.value, ValueError)
    for good in (1, np.float32(0.5), np.array(2.0), 1e-100, 1e100):
        assert as_width("demo", "sigma", good) == good
