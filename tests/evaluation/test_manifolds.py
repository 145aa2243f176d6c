"""Precision and recall against the definition, and where each must be 0 or 1."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from tinygan.backend import Stream
from tinygan.errors import DataError, ShapeError
from tinygan.evaluation import manifolds, precision_recall

# Eighths of small integers: their squared distances are exact in the brute force, so ties are ties.
EIGHTHS = st.integers(-24, 24).map(lambda n: n / 8)


def rows(columns: int) -> st.SearchStrategy[Any]:
    return st.integers(2, 12).flatmap(lambda n: arrays(np.float32, (n, columns), elements=EIGHTHS))


PAIRS = st.integers(1, 3).flatmap(lambda d: st.tuples(rows(d), rows(d)))


def normal(n: int, d: int, seed: int = 0) -> Any:
    return Stream(seed, "points").normal((n, d), np.float64)


def by_definition(queries: Any, points: Any, k: int) -> float:
    among = cdist(points.astype(float), points.astype(float), "sqeuclidean")
    np.fill_diagonal(among, np.inf)
    radius = np.sort(among, axis=1)[:, k - 1]
    return float((cdist(queries.astype(float), points.astype(float), "sqeuclidean") <= radius).any(axis=1).mean())


@given(PAIRS, st.integers(1, 5), st.integers(0, 6000))
def test_it_is_the_definition_whatever_the_budget(pair: tuple[Any, Any], k: int, spare: int) -> None:
    samples, data = pair
    k = min(k, len(samples) - 1, len(data) - 1)
    least = 8 * (2 * samples.shape[1] + 3 + 2 * (3 * samples.shape[1] + 6 * k + 8))
    found = precision_recall(samples, data, k, budget=least + spare)
    assert found.precision == by_definition(samples, data, k)
    assert found.recall == by_definition(data, samples, k)


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 300))
def test_swapped_they_change_places_and_units_do_not_matter(seed: int, k: int, d: int) -> None:
    samples, data = normal(20, d, seed), 1.5 * normal(25, d, seed + 1)
    found, swapped = precision_recall(samples, data, k), precision_recall(data, samples, k)
    assert (found.precision, found.recall) == (swapped.recall, swapped.precision)
    assert precision_recall(100 * samples + 3, 100 * data + 3, k) == found


@given(st.integers(0, 1000), st.integers(0, 4))
def test_equal_sets_have_both_and_disjoint_ones_none(seed: int, power: int) -> None:
    data = normal(30, 100, seed) + 10.0**power  # far from the origin, rounding may not tear twins apart
    equal, disjoint = precision_recall(data[::-1], data), precision_recall(data + 1000, data)
    assert (equal.precision, equal.recall) == (1, 1)
    assert (disjoint.precision, disjoint.recall) == (0, 0)
    assert str(equal) == "precision 100.0%, recall 100.0%"


def test_a_collapsed_generator_is_precise_and_recalls_nothing() -> None:
    data = normal(300, 5)
    found = precision_recall(np.repeat(data[:1], 300, axis=0), data)
    assert found.precision == 1
    assert found.recall == 1 / 300  # balls without extent hold the one datum that they are


def test_balls_without_extent_hold_their_twins_wherever_rounding_puts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two products of the same numbers may differ in the last digits, but seldom do: here they always do."""
    exact = manifolds.squared_distances
    monkeypatch.setattr(manifolds, "squared_distances", lambda x, s: exact(x, s) + manifolds.rounding(x, s) / 4)
    data = normal(60, 200)
    found = precision_recall(np.repeat(data[:20], 4, axis=0), data)  # each of 20 modes is one point
    assert found.recall == 20 / 60


def test_half_the_data_and_noise() -> None:
    left, right = normal(300, 2), normal(300, 2, 1) + 100
    samples = np.concatenate([normal(200, 2, 2), normal(400, 2, 3) - 500])
    found = precision_recall(samples, np.concatenate([left, right]))
    assert found.precision == pytest.approx(1 / 3, abs=0.03)
    assert found.recall == pytest.approx(1 / 2, abs=0.03)


def test_the_memory_is_what_the_budget_says() -> None:
    samples, data, budget = normal(2000, 100).astype("f4"), normal(1500, 100, 1).astype("f4"), 2 << 20
    tracemalloc.start()
    precision_recall(samples, data, budget=budget)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= budget + 3 * 8 * 2000 + 20_000


@pytest.mark.parametrize(
    ("samples", "data", "k", "error", "message"),
    [
        ([[0.0]] * 3, [[0.0]] * 9, 3, ShapeError, r"samples must have more than k = 3 rows, got 3: give more, or"),
        ([[0.0]] * 9, [[0.0]] * 3, 3, ShapeError, r"data must have more than k = 3 rows, got 3"),
        ([[0.0]] * 9, [[0.0]] * 9, 0, ValueError, "precision_recall: k must be at least 1, got 0"),
        ([[0.0]] * 9, [[0.0, 1.0]] * 9, 3, ShapeError, "samples have rows of 1 values, but data have rows of 2"),
        ([[0.0]] * 9 + [[np.nan]], [[0.0]] * 9, 3, DataError, "precision_recall: row 9 of samples holds nan"),
    ],
)
def test_refusals(samples: Any, data: Any, k: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        precision_recall(samples, data, k)
