"""Blocks fit into their budget, and give the same results as one computation of everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from tests.doubles.small import memory
from tinygan.backend import Stream
from tinygan.evaluation import blocks
from tinygan.evaluation.blocks import (
    PRECISION,
    block,
    block_sizes,
    centre,
    class_votes,
    nearest_blocks,
    squared_distances,
)

# Eighths of small integers have exact squared distances, so ties are exact.
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
    with memory(budget):
        a, b = block_sizes(n, m, d, pairs=pairs, extra=extra)
    assert 1 <= a <= n
    assert 1 <= b <= m
    least = 8 * (2 * d + pairs + 2 * (3 * d + extra + 8))
    assert (a, b) == (1, 1) if budget < least else 8 * (pairs * a * b + (a + b) * (3 * d + extra) + 2 * d) <= budget


def test_a_large_budget_is_used() -> None:
    a, b = block_sizes(10**6, 10**6, 100)
    assert 2 * 8 * (a + 1) * (b + 1) + 8 * 308 * (a + b + 2) > 31 << 20
    assert block_sizes(1, 10**4, 100) == (1, 10**4)


# ---------------------------------------------------------------------- distances


def distances(x: Any, s: Any, middle: Any, **options: Any) -> Any:
    return squared_distances(block(x, slice(None), middle), block(s, slice(None), middle), **options)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list; whenever pairs are computed from differences, their number is appended."""
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
def test_each_distance_is_right_whatever_the_other_rows(
    seed: int, d: int, power: float, size: float, single: bool, far_centre: bool
) -> None:
    """Near, equal and far rows in one block; the centre may be anywhere."""
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
def test_an_error_within_the_tolerance_is_allowed(pair: tuple[Any, Any], tolerance: float) -> None:
    x, s = (rows.astype(float) for rows in pair)
    found = distances(x, s, s[0] + 1e-3, tolerance=tolerance)
    np.testing.assert_allclose(found, cdist(x, s, "sqeuclidean"), rtol=PRECISION, atol=tolerance)
    assert (found >= 0).all()


def test_ordinary_rows_need_no_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = counted(monkeypatch)
    x, s = (Stream(0, name).uniform((200, 784)).astype(np.float32) for name in "xs")
    distances(x, s, centre(s, 200))
    here = np.arange(200)
    distances(s, s, centre(s, 200), itself=(here, here))
    assert seen == []
    s[7] = 1e6
    distances(x, s, centre(s, 200))
    assert seen == []  # far away, products are as precise as differences


def test_thousands_of_equal_rows_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
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
