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
from tinygan.evaluation import nearest, nearest_neighbour_distances, nearest_neighbour_ratio, training_distance

values = st.floats(-100, 100, width=32)


def rows(least: int, columns: int) -> st.SearchStrategy[Any]:
    return st.integers(least, 12).flatmap(lambda n: arrays(np.float32, (n, columns), elements=values))


def normal(n: int, d: int, seed: int = 0) -> Any:
    return Stream(seed, "points").normal((n, d), np.float64)


def least(points: Any) -> int:
    """Return the smallest budget that fits one of these rows."""
    return 8 * (2 * points.shape[1] + 3 + 2 * (3 * points.shape[1] + 14))


def brute(points: Any) -> Any:
    distances = cdist(points, points)
    np.fill_diagonal(distances, np.inf)
    return distances.min(axis=1)


# ---------------------------------------------------------------------- against brute force


@given(st.integers(1, 5).flatmap(lambda d: st.tuples(rows(1, d), rows(1, d))), st.integers(0, 4000))
def test_nearest_is_the_smallest_of_all_distances(pair: tuple[Any, Any], spare: int) -> None:
    queries, points = pair
    with memory(least(points) + spare):
        index, distance = nearest(queries, points)  # also blocks that do not divide the rows
    everything = cdist(queries.astype(np.float64), points.astype(np.float64))
    np.testing.assert_allclose(distance, everything.min(axis=1), atol=1e-5, rtol=1e-9)
    np.testing.assert_allclose(distance, everything[np.arange(len(queries)), index], atol=1e-12)
    assert distance.dtype == np.float64


@given(rows(2, 3), st.integers(0, 4000))
def test_a_point_is_not_its_own_neighbour(points: Any, spare: int) -> None:
    with memory(least(points) + spare):
        distances = nearest_neighbour_distances(points)
    np.testing.assert_allclose(distances, brute(points.astype(np.float64)), atol=1e-5, rtol=1e-9)


def test_nearest_of_pictures() -> None:
    queries, points = normal(30, 784), normal(50, 784, seed=1)
    index, distance = nearest(queries, points)
    everything = cdist(queries, points)
    assert np.array_equal(index, everything.argmin(axis=1))
    np.testing.assert_allclose(distance, everything.min(axis=1), rtol=1e-12)


def test_almost_equal_points_keep_their_digits() -> None:
    crowd = 1000 + 1e-5 * normal(200, 2)  # the squares alone would lose the 1e-10
    np.testing.assert_allclose(nearest_neighbour_distances(crowd), brute(crowd), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("far", [1e6, 1e12, 1e20])
def test_a_point_far_away_does_not_change_others(dtype: Any, far: float) -> None:
    queries, points = normal(40, 5).astype(dtype), normal(30, 5, 1).astype(dtype)
    queries[3], points[7] = far, far
    everything = cdist(queries.astype(float), points.astype(float))
    index, distance = nearest(queries, points)
    assert np.array_equal(index, everything.argmin(axis=1))
    np.testing.assert_allclose(distance, everything.min(axis=1), rtol=1e-12)
    np.testing.assert_allclose(nearest_neighbour_distances(points), brute(points.astype(float)), rtol=1e-12)


@given(st.integers(0, 1000), st.randoms())
def test_the_order_of_the_rows_does_not_matter(seed: int, random: Any) -> None:
    samples, data = Stream(seed, "grid").integers(0, 9, (2, 20, 2)) / 10
    data[0] = [-1, -1]  # one row without an equal
    first, second = random.sample(range(20), 20), random.sample(range(20), 20)
    expected = nearest_neighbour_ratio(samples, data)
    assert nearest_neighbour_ratio(samples[first], data[second]) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(nearest(samples[first], data)[1], nearest(samples, data[second])[1][first], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d"), [(2000, 2), (1000, 300)])
def test_the_memory_stays_within_the_budget(n: int, d: int) -> None:
    points, budget = normal(n, d).astype("f4"), 500_000
    tracemalloc.start()
    with memory(budget):
        found = nearest_neighbour_distances(points)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= budget + 3 * found.nbytes + 20_000
    assert budget < 8 * n * n / 10


# ---------------------------------------------------------------------- the ratio


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-10, 10))
def test_the_ratio_is_one_for_data_and_scales_with_the_spread(seed: int, factor: float, shift: float) -> None:
    data = normal(40, 2, seed)
    assert nearest_neighbour_ratio(data, data) == 1
    assert nearest_neighbour_ratio(factor * data + shift, data) == pytest.approx(factor, rel=1e-6)


def test_the_ratio_is_near_one_for_equal_distributions() -> None:
    assert nearest_neighbour_ratio(normal(2500, 2), normal(2500, 2, seed=1)) == pytest.approx(1, abs=0.05)


def test_a_collapsed_generator_has_ratio_zero() -> None:
    assert nearest_neighbour_ratio(np.full((50, 2), 0.3), normal(50, 2)) == 0


@given(st.integers(2, 30))
def test_the_ratio_is_that_of_the_means(n: int) -> None:
    samples, data = 3 * normal(n, 3) ** 3, normal(n, 3, seed=1)
    expected = brute(samples).mean() / brute(data).mean()
    assert nearest_neighbour_ratio(samples, data) == pytest.approx(expected, rel=1e-9)


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nearest([1.0], [[1.0]]), ShapeError, r"nearest: queries must be rows .* float64 of shape \(1,\)"),
        (lambda: nearest([[1.0]], np.empty((0, 1))), ShapeError, r"points must be rows .* float64 of shape \(0, 1\)"),
        (lambda: nearest([[1.0]], [[1.0, 2.0]]), ShapeError, "queries have rows of 1 values, but points .* of 2"),
        (lambda: nearest([[0.0], [np.nan]], [[1.0]]), DataError, "row 1 of queries holds nan or infinity"),
        (lambda: nearest([[0.0]], [[1.0], [2.0], [np.inf]]), DataError, "row 2 of points holds nan or infinity"),
        (lambda: nearest_neighbour_ratio([[1.0]], [[1.0]]), ShapeError, "ratio: a single point has no neighbour"),
        (lambda: nearest_neighbour_distances([[1.0]]), ShapeError, "a single point has no neighbour"),
        (
            lambda: nearest_neighbour_ratio([[1.0], [2.0]], [[1.0], [2.0], [3.0]]),
            ShapeError,
            r"got \(2, 1\) and \(3, 1\); more points are closer to each other",
        ),
        (lambda: nearest_neighbour_ratio([[np.nan], [2.0]], [[1.0], [2.0]]), DataError, "row 0 of samples"),
        (lambda: nearest_neighbour_ratio([[1.0], [2.0]], [[1.0], [1.0]]), DataError, "every point of the data"),
    ],
)
def test_arguments_without_neighbours_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------------- beside test images


@given(*[rows(1, 3)] * 3)
def test_training_distance_is_a_ratio_of_medians(samples: Any, train: Any, test: Any) -> None:
    reference = np.median(cdist(test.astype(np.float64), train.astype(np.float64)).min(axis=1))
    if reference < 1e-3:  # 0 is tested below
        return
    found = training_distance(samples, train, test)
    nearest_samples = cdist(samples.astype(np.float64), train.astype(np.float64)).min(axis=1)
    assert found.ratio == pytest.approx(np.median(nearest_samples) / reference, rel=1e-6, abs=1e-6)
    np.testing.assert_array_equal(found.samples, nearest(samples, train))
    np.testing.assert_array_equal(found.test, nearest(test, train))
    assert found.standard_error >= 0


def test_copies_have_the_ratio_0_and_data_1() -> None:
    train, test, new = (normal(400, 4, seed) for seed in range(3))
    assert training_distance(train[:100], train, test).ratio == 0
    found = training_distance(new, train, test)
    assert abs(found.ratio - 1) < 4 * found.standard_error
    assert training_distance(new + 5, train, test).ratio > 2


@pytest.mark.slow
def test_the_error_of_the_ratio_is_its_deviation() -> None:
    train = normal(300, 3)
    found = [training_distance(normal(150, 3, 2 * i + 1), train, normal(150, 3, 2 * i + 2)) for i in range(60)]
    deviation = np.std([each.ratio for each in found], ddof=1)
    assert 0.6 < np.median([each.standard_error for each in found]) / deviation < 1.6


def test_test_images_among_the_training_images_are_refused() -> None:
    with pytest.raises(DataError, match="most test images are also training images"):
        training_distance([[5.0]], [[0.0], [1.0]], [[0.0], [1.0]])
