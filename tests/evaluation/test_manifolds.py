"""Precision and recall against the definition, and in cases where each must be 0 or 1."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from tests.doubles.small import memory
from tinygan.backend import Stream
from tinygan.errors import DataError, ShapeError
from tinygan.evaluation import DensityCoverage, density_coverage, precision_recall

# Eighths of small integers have exact squared distances in the brute force, so ties are exact.
EIGHTHS = st.integers(-24, 24).map(lambda n: n / 8)


def rows(columns: int) -> st.SearchStrategy[Any]:
    return st.integers(2, 12).flatmap(lambda n: arrays(np.float32, (n, columns), elements=EIGHTHS))


PAIRS = st.integers(1, 3).flatmap(lambda d: st.tuples(rows(d), rows(d)))


def normal(n: int, d: int, seed: int = 0) -> Any:
    return Stream(seed, "points").normal((n, d), np.float64)


def inside(queries: Any, points: Any, k: int) -> Any:
    """Return which queries lie in which balls; distances that differ only by rounding are equal."""
    among = cdist(points.astype(float), points.astype(float), "sqeuclidean")
    np.fill_diagonal(among, np.inf)
    radius = np.sort(among, axis=1)[:, k - 1]
    return cdist(queries.astype(float), points.astype(float), "sqeuclidean") <= radius * (1 + 1e-13)


def by_definition(queries: Any, points: Any, k: int) -> float:
    return float(inside(queries, points, k).any(axis=1).mean())


@given(PAIRS, st.integers(1, 5), st.integers(0, 6000))
def test_it_is_the_definition_for_every_budget(pair: tuple[Any, Any], k: int, spare: int) -> None:
    samples, data = pair
    k = min(k, len(samples) - 1, len(data) - 1)
    least = 8 * (2 * samples.shape[1] + 3 + 2 * (3 * samples.shape[1] + 6 * k + 8))
    with memory(least + spare):
        found = precision_recall(samples, data, k)
    assert found.precision == by_definition(samples, data, k)
    assert found.recall == by_definition(data, samples, k)


@given(PAIRS, st.integers(1, 5), st.integers(0, 6000))
def test_density_and_coverage_are_the_definition(pair: tuple[Any, Any], k: int, spare: int) -> None:
    samples, data = pair
    k = min(k, len(data) - 1)
    least = 8 * (2 * samples.shape[1] + 3 + 2 * (3 * samples.shape[1] + 6 * k + 8))
    with memory(least + spare):
        found = density_coverage(samples, data, k)
    pairs = inside(samples, data, k)
    assert found.density == pytest.approx(pairs.sum() / (k * len(samples)), rel=1e-12)
    assert found.coverage == pairs.any(axis=0).mean()


@given(PAIRS, st.integers(1, 5), st.randoms())
def test_the_order_of_the_rows_does_not_matter(pair: tuple[Any, Any], k: int, random: Any) -> None:
    samples, data = (rows / 10 for rows in pair)  # ties that rounding may break
    k = min(k, len(samples) - 1, len(data) - 1)
    orders = [random.sample(range(len(rows)), len(rows)) for rows in (samples, data)]
    for measure in (precision_recall, density_coverage):
        assert measure(samples[orders[0]], data[orders[1]], k) == measure(samples, data, k)
    assert precision_recall(samples, data, k).precision == by_definition(samples, data, k)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("power", [6, 9, 20, 30])
def test_a_row_far_away_does_not_change_others(dtype: Any, power: int) -> None:
    samples, data = normal(60, 5).astype(dtype), (normal(50, 5, 1) + 1).astype(dtype)
    samples[17] = data[3] = 10.0**power
    for one, other in ((samples, data), (samples[:17], data), (samples, data[4:])):
        found = precision_recall(one, other)
        assert (found.precision, found.recall) == (by_definition(one, other, 3), by_definition(other, one, 3))
        both = density_coverage(one, other)
        assert both.density == pytest.approx(inside(one, other, 5).sum() / (5 * len(one)))
        assert both.coverage == inside(one, other, 5).any(axis=0).mean()


def test_density_and_coverage_of_known_cases() -> None:
    data = normal(2000, 3)
    same = density_coverage(normal(2000, 3, 1), data)
    assert same.density == pytest.approx(1, abs=0.05)  # by the paper's lemma the expectation is 1
    assert same.coverage == pytest.approx(1 - 0.5**5, abs=0.02)  # and here 1 - 1/2^k for large equal numbers
    assert density_coverage(data + 100, data) == DensityCoverage(0, 0)
    middle = density_coverage(0.1 * data[:500], data)
    assert middle.density > 1.1  # the samples concentrate where balls overlap
    assert middle.coverage < 0.1
    far = np.concatenate([data, [[1e3, 0, 0]]])  # its ball contains all: precision changes, density hardly
    noise = 20 + normal(500, 3, 2)
    assert precision_recall(noise, far).precision == 1
    assert density_coverage(noise, far).density == pytest.approx(1 / 5)
    assert str(DensityCoverage(0.5, 0.25)) == "density 0.500, coverage 25.0%"


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 300))
def test_precision_and_recall_swap_with_the_arguments(seed: int, k: int, d: int) -> None:
    samples, data = normal(20, d, seed), 1.5 * normal(25, d, seed + 1)
    found, swapped = precision_recall(samples, data, k), precision_recall(data, samples, k)
    assert (found.precision, found.recall) == (swapped.recall, swapped.precision)
    assert precision_recall(100 * samples + 3, 100 * data + 3, k) == found


@given(st.integers(0, 1000), st.integers(0, 4))
def test_equal_sets_give_1_and_disjoint_sets_give_0(seed: int, power: int) -> None:
    data = normal(30, 100, seed) + 10.0**power  # far from the origin, equal rows must stay equal
    equal, disjoint = precision_recall(data[::-1], data), precision_recall(data + 1000, data)
    assert (equal.precision, equal.recall) == (1, 1)
    assert (disjoint.precision, disjoint.recall) == (0, 0)
    assert str(equal) == "precision 100.0%, recall 100.0%"


@pytest.mark.parametrize("k", [1, 3])
def test_the_k_th_neighbour_is_inside_its_ball(k: int) -> None:
    data = 0.1 * normal(300, 4)
    data[::2] += 30  # the rounding of the products is far above these distances
    found = density_coverage(data[::-1], data, k)
    assert found.density == pytest.approx((k + 1) / k, rel=1e-12)  # the centre and its k neighbours
    assert found.coverage == 1


def test_a_collapsed_generator_has_precision_but_no_recall() -> None:
    data = normal(300, 5)
    found = precision_recall(np.repeat(data[:1], 300, axis=0), data)
    assert found.precision == 1
    assert found.recall == 1 / 300  # balls of radius 0 contain only the one datum


def test_balls_of_radius_0_contain_equal_points() -> None:
    data = normal(60, 200)
    for shift in (0.0, 1e5):  # rounding must not move an equal row out of the ball, nor another row into it
        found = precision_recall(np.repeat(data[:20], 4, axis=0) + shift, data + shift)
        assert found.recall == 20 / 60


def test_half_the_data_and_noise() -> None:
    left, right = normal(300, 2), normal(300, 2, 1) + 100
    samples = np.concatenate([normal(200, 2, 2), normal(400, 2, 3) - 500])
    found = precision_recall(samples, np.concatenate([left, right]))
    assert found.precision == pytest.approx(1 / 3, abs=0.03)
    assert found.recall == pytest.approx(1 / 2, abs=0.03)


def test_the_memory_stays_within_the_budget() -> None:
    samples, data, budget = normal(2000, 100).astype("f4"), normal(1500, 100, 1).astype("f4"), 2 << 20
    tracemalloc.start()
    with memory(budget):
        precision_recall(samples, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= budget + 3 * 8 * 2000 + 20_000


@pytest.mark.parametrize(
    ("samples", "data", "k", "error", "message"),
    [
        ([[0.0]] * 3, [[0.0]] * 9, 3, ShapeError, r"samples must have more than k = 3 rows, got 3: give more, or"),
        ([[0.0]] * 9, [[0.0]] * 3, 3, ShapeError, r"data must have more than k = 3 rows, got 3"),
        ([[0.0]] * 9, [[0.0]] * 9, 0, ValueError, "precision_recall: k must be an integer of at least 1, got 0"),
        ([[0.0]] * 9, [[0.0, 1.0]] * 9, 3, ShapeError, "samples have rows of 1 values, but data have rows of 2"),
        ([[0.0]] * 9 + [[np.nan]], [[0.0]] * 9, 3, DataError, "precision_recall: row 9 of samples holds nan"),
    ],
)
def test_refusals(samples: Any, data: Any, k: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        precision_recall(samples, data, k)


def test_density_needs_neighbours_among_data_only() -> None:
    data = normal(6, 2)
    assert density_coverage(data[:1], data).coverage > 0
    with pytest.raises(ShapeError, match=r"density_coverage: data must have more than k = 5 rows, got 5"):
        density_coverage(data, data[:5])
    with pytest.raises(ValueError, match=r"k must be an integer of at least 1, got 1\.5"):
        density_coverage(data, data, 1.5)  # type: ignore[arg-type]
