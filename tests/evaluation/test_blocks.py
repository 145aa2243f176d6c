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
from tinygan.errors import DataError, ShapeError
from tinygan.evaluation.blocks import (
    as_rows,
    block_sizes,
    mean,
    nearest_blocks,
    refuse_non_finite,
    rounding,
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


@given(PAIRS, st.integers(1, 10))
def test_means_and_distances(pair: tuple[Any, Any], step: int) -> None:
    x, s = (rows.astype(float) for rows in pair)
    np.testing.assert_allclose(mean(pair[0], step), x.mean(axis=0), atol=1e-14)
    found = squared_distances(x, s)
    expected = cdist(x, s, "sqeuclidean")
    assert (found >= 0).all()
    assert (np.abs(found - expected) <= rounding(x, s)).all()


@given(st.integers(0, 100), st.floats(0, 6))
def test_rounding_bounds_the_error(seed: int, power: float) -> None:
    x = Stream(seed, "points").normal((6, 300), np.float64) + 10**power
    s = np.concatenate([x, Stream(seed + 1, "points").normal((6, 300), np.float64)])
    error = np.abs(squared_distances(x, s) - cdist(x, s, "sqeuclidean"))
    assert (error <= rounding(x, s)).all()
    assert (rounding(x, s) <= 1e-11 * (s**2).sum(axis=1).max()).all()


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
    centre = mean(points, 100)
    for here, index, squared in nearest_blocks(queries, points, k, steps, centre, exclude_self=exclude_self):
        assert index.shape == squared.shape == (here.stop - here.start, k)
        np.testing.assert_allclose(np.sort(squared, axis=1), np.sort(everything[here], axis=1)[:, :k], atol=1e-11)
        np.testing.assert_allclose(np.take_along_axis(everything[here], index, axis=1), squared, atol=1e-11)
        assert all(len(set(row)) == k for row in index.tolist())
        seen += range(len(queries))[here]
    assert seen == list(range(len(queries)))


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
    some = np.zeros((7, 2))
    some[5, 1] = -np.inf
    with pytest.raises(DataError, match=r"^demo: row 5 of data holds nan or infinity; did training diverge\?$"):
        refuse_non_finite("demo", 2, samples=np.zeros((3, 2)), data=some)
