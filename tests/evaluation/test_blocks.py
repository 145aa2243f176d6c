"""Blocks fit their budget, and what is computed in them is what would be computed at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from tinygan.backend import Stream
from tinygan.errors import ArgumentError, DataError, ShapeError, TinyganError
from tinygan.evaluation import blocks
from tinygan.evaluation.blocks import (
    PRECISION,
    as_count,
    as_rows,
    as_width,
    block,
    block_sizes,
    canonical,
    centre,
    check_values,
    class_votes,
    nearest_blocks,
    same_columns,
    slices,
    squared_distances,
)

# Eighths of small integers: their squared distances are exact, so ties are ties.
EIGHTHS = st.integers(-40, 40).map(lambda n: n / 8)


def rows(columns: int, fewest: int = 1, most: int = 9) -> st.SearchStrategy[Any]:
    return st.integers(fewest, most).flatmap(lambda n: arrays(np.float32, (n, columns), elements=EIGHTHS))


PAIRS = st.integers(1, 4).flatmap(lambda d: st.tuples(rows(d), rows(d)))
STEPS = st.tuples(st.integers(1, 10), st.integers(1, 10))


@given(
    st.integers(0, 10**8), st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 5000), st.integers(1, 5),
    st.integers(0, 40),
)  # fmt: skip
def test_a_block_fits_the_budget(budget: int, n: int, m: int, d: int, pairs: int, extra: int) -> None:
    try:
        a, b = block_sizes("test", budget, n, m, d, pairs=pairs, extra=extra)
    except ValueError as error:
        least = int(str(error).rsplit(" ", 1)[1])
        assert budget < least
        assert block_sizes("test", least, n, m, d, pairs=pairs, extra=extra) == (1, 1)
        return
    assert 1 <= a <= n
    assert 1 <= b <= m
    assert 8 * (pairs * a * b + (a + b) * (3 * d + extra) + 2 * d) <= budget


def test_a_large_budget_is_used() -> None:
    a, b = block_sizes("test", 32 << 20, 10**6, 10**6, 100)
    assert 2 * 8 * (a + 1) * (b + 1) + 8 * 308 * (a + b + 2) > 31 << 20
    assert block_sizes("test", 32 << 20, 1, 10**4, 100) == (1, 10**4)


@given(st.integers(0, 50), st.integers(1, 60))
def test_slices_cut_everything_once(size: int, step: int) -> None:
    parts = [np.arange(size)[here] for here in slices(size, step)]
    assert np.concatenate([np.empty(0, int), *parts]).tolist() == list(range(size))
    assert all(len(part) == step for part in parts[:-1])


# ---------------------------------------------------------------------- distances


def distances(x: Any, s: Any, middle: Any, **options: Any) -> Any:
    return squared_distances(block(x, slice(None), middle), block(s, slice(None), middle), **options)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of pairs whenever some are computed from differences."""
    seen: list[int] = []
    plain = blocks.row_squares

    def row_squares(x: Any, s: Any) -> Any:
        seen.append(len(x))
        return plain(x, s)

    monkeypatch.setattr(blocks, "row_squares", row_squares)
    return seen


@given(PAIRS, st.integers(1, 10))
def test_the_centre_is_a_median_of_some_rows(pair: tuple[Any, Any], step: int) -> None:
    rows = pair[0]
    found = centre(rows, step)
    assert found.dtype == np.float64
    assert all(value in column for value, column in zip(found, rows.T, strict=True))
    if len(rows) % 2 and len(rows) <= step:
        assert found.tolist() == np.median(rows, axis=0).tolist()


def test_the_centre_stays_where_most_rows_are() -> None:
    rows = Stream(0, "points").normal((500, 3), np.float64)
    rows[::25] = 1e20
    assert np.abs(centre(rows, 1000)).max() < 2


@given(st.integers(0, 1000), st.integers(1, 400), st.floats(0, 60), st.floats(-60, 60), st.booleans(), st.booleans())
def test_each_pair_is_right_whatever_the_others(
    seed: int, d: int, power: float, size: float, single: bool, far_centre: bool
) -> None:
    """Near rows, twins and far ones, in one block; the centre may be anywhere."""
    near = Stream(seed, "points").normal((8, d), np.float64)
    far = near[:2] + 10**power
    rows = np.concatenate([near, near[:3], near[:3] * (1 + 1e-6), far, far, -1.5 * far])
    rows *= 10 ** (size / (2 if single else 1))
    rows = rows.astype(np.float32) if single and np.abs(rows).max() < 1e30 else rows
    middle = rows[11 if far_centre else 0].astype(float)
    found = distances(rows[::2], rows, middle)
    expected = cdist(rows[::2].astype(float), rows.astype(float), "sqeuclidean")
    assert (found >= 0).all()
    assert (np.abs(found - expected) <= PRECISION * expected).all()


@given(PAIRS, st.floats(0, 1))
def test_an_error_that_does_no_harm_is_allowed(pair: tuple[Any, Any], tolerance: float) -> None:
    x, s = (rows.astype(float) for rows in pair)
    found = distances(x, s, s[0] + 1e-3, tolerance=tolerance)
    np.testing.assert_allclose(found, cdist(x, s, "sqeuclidean"), rtol=PRECISION, atol=tolerance)
    assert (found >= 0).all()


def test_ordinary_rows_cost_no_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = counted(monkeypatch)
    x, s = (Stream(0, name).uniform((200, 784)).astype(np.float32) for name in "xs")
    distances(x, s, centre(s, 200))
    here = np.arange(200)
    distances(s, s, centre(s, 200), itself=(here, here))
    assert seen == []
    s[7] = 1e6
    distances(x, s, centre(s, 200))
    assert seen == []  # far away, products are as good as differences


def test_twins_by_the_thousand_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = counted(monkeypatch)
    rows = np.repeat(Stream(0, "points").normal((2, 50), np.float64), 100, axis=0)
    found = distances(rows, rows, rows.mean(axis=0) + 1)
    assert (found[:100, :100] == 0).all()
    assert (found[:100, 100:] > 1).all()
    assert sum(seen) == len(rows)


def test_no_dtype_wraps_around() -> None:
    for dtype in (np.uint8, np.int8, bool, np.float16, np.uint64):
        rows = np.array([[0, 1], [1, 0], [1, 1]], dtype)
        assert distances(rows, rows, np.array([1e9, 1.0])).tolist() == [[0, 2, 1], [2, 0, 1], [1, 1, 0]]


@given(PAIRS, st.randoms())
def test_the_canonical_order_is_that_of_any_order(pair: tuple[Any, Any], random: Any) -> None:
    rows = pair[0]
    order = list(range(len(rows)))
    random.shuffle(order)
    assert canonical(rows[order]).tobytes() == canonical(rows).tobytes()
    assert sorted(canonical(rows).tolist()) == sorted(rows.tolist())
    assert canonical(rows[:, ::-1]).shape == rows.shape


# ---------------------------------------------------------------------- the nearest


@given(PAIRS, STEPS, st.integers(1, 9), st.booleans())
def test_the_nearest_are_those_of_all_distances(
    pair: tuple[Any, Any], steps: tuple[int, int], k: int, exclude_self: bool
) -> None:
    queries, points = pair if not exclude_self else (pair[1], pair[1])
    k = min(k, len(points) - exclude_self)
    if k == 0:
        return
    everything = cdist(queries.astype(float), points.astype(float), "sqeuclidean")
    if exclude_self:
        np.fill_diagonal(everything, np.inf)
    seen = []
    middle = centre(points, 100)
    for here, index, squared in nearest_blocks(queries, points, k, steps, middle, exclude_self=exclude_self):
        assert index.shape == squared.shape == (here.stop - here.start, k)
        np.testing.assert_allclose(np.sort(squared, axis=1), np.sort(everything[here], axis=1)[:, :k], atol=1e-11)
        np.testing.assert_allclose(np.take_along_axis(everything[here], index, axis=1), squared, atol=1e-11)
        assert all(len(set(row)) == k for row in index.tolist())
        seen += range(len(queries))[here]
    assert seen == list(range(len(queries)))


COARSE = st.integers(1, 3).flatmap(
    lambda d: st.tuples(*[
        st.integers(1, 9).flatmap(
            lambda n: arrays(np.float64, (n, d), elements=st.sampled_from([0.0, 0.1, 0.2, 0.7]))
        )
    ] * 2)
)  # fmt: skip


@given(COARSE, STEPS, st.integers(1, 9), st.data())
def test_votes_are_closer_or_tied(pair: tuple[Any, Any], steps: tuple[int, int], k: int, data: Any) -> None:
    queries, points = pair
    k = min(k, len(points))
    classes = data.draw(arrays(np.int64, len(points), elements=st.integers(0, 2)))
    everything = cdist(queries, points, "sqeuclidean")
    seen = 0
    for here, closer, tied in class_votes(queries, points, classes, k, steps, centre(points, 100)):
        for row, certain, shared in zip(everything[here], closer, tied, strict=True):
            last = np.sort(row)[k - 1]
            less = np.bincount(classes[row < last * (1 - 1e-13)], minlength=classes.max() + 1)
            equal = np.bincount(classes[np.isclose(row, last, rtol=1e-13, atol=0)], minlength=classes.max() + 1)
            if less.sum() + equal.sum() == k:  # all have a place
                less, equal = less + equal, 0 * equal
            assert (certain.tolist(), shared.tolist()) == (less.tolist(), equal.tolist())
        seen += len(closer)
    assert seen == len(queries)


# ---------------------------------------------------------------------- refusals


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
def test_values_that_distances_cannot_hold(value: float, dtype: str, message: str) -> None:
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
def test_no_width(bad: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^demo: sigma must be a positive number, got .* from 1e-100 to") as caught:
        as_width("demo", "sigma", bad)
    assert isinstance(caught.value, TinyganError)
    assert isinstance(caught.value, ValueError)
    for good in (1, np.float32(0.5), np.array(2.0), 1e-100, 1e100):
        assert as_width("demo", "sigma", good) == good


@pytest.mark.parametrize("bad", [0, -1, 1.0, np.nan, "1", None, [1], 1j])
def test_no_count(bad: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^demo: k must be a whole number of at least 1, got"):
        as_count("demo", "k", bad)
    assert [as_count("demo", "k", good) for good in (1, np.int64(7))] == [1, 7]
