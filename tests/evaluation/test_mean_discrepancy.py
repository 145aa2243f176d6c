"""The discrepancy against its formula and a closed form; the level of its permutation test."""

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
from tinygan.evaluation import maximum_mean_discrepancy
from tinygan.evaluation.mean_discrepancy import MEDIAN_ROWS

VALUES = st.floats(-10, 10, width=32)
WIDTHS = st.floats(0.1, 10)


def rows(columns: int, most: int = 9) -> st.SearchStrategy[Any]:
    return st.integers(2, most).flatmap(lambda n: arrays(np.float32, (n, columns), elements=VALUES))


PAIRS = st.integers(1, 4).flatmap(lambda d: st.tuples(rows(d), rows(d)))


def normal(n: int, d: int, seed: int = 0) -> Any:
    return Stream(seed, "points").normal((n, d), np.float64)


def by_formula(x: Any, y: Any, bandwidth: float) -> float:
    def kernel(a: Any, b: Any) -> Any:
        return np.exp(-cdist(a.astype(float), b.astype(float), "sqeuclidean") / (2 * bandwidth**2))

    def off_diagonal(k: Any) -> float:
        return float(k[~np.eye(len(k), dtype=bool)].mean())

    return off_diagonal(kernel(x, x)) + off_diagonal(kernel(y, y)) - 2 * float(kernel(x, y).mean())


@given(PAIRS, WIDTHS, st.integers(0, 4000))
def test_it_is_the_formula_for_every_budget(pair: tuple[Any, Any], bandwidth: float, spare: int) -> None:
    samples, data = pair
    least = 8 * (2 * samples.shape[1] + 2 + 2 * (3 * samples.shape[1] + 3 + 8))
    with memory(least + spare):
        found = maximum_mean_discrepancy(samples, data, bandwidth)
    assert found.squared == pytest.approx(by_formula(samples, data, bandwidth), abs=1e-11)
    assert found.bandwidth == bandwidth
    assert found.p_value is None
    swapped = maximum_mean_discrepancy(data, samples, bandwidth)
    assert swapped.squared == pytest.approx(found.squared, abs=1e-11)


def polynomial_by_formula(x: Any, y: Any) -> float:
    def mean_over_pairs(a: Any, b: Any, same: bool) -> float:
        values = [
            (sum(p * q for p, q in zip(u, v, strict=True)) / len(u) + 1) ** 3
            for i, u in enumerate(a.tolist()) for j, v in enumerate(b.tolist()) if not (same and i == j)
        ]  # fmt: skip
        return float(np.mean(values))

    return mean_over_pairs(x, x, True) + mean_over_pairs(y, y, True) - 2 * mean_over_pairs(x, y, False)


@given(PAIRS, st.integers(0, 4000))
def test_the_polynomial_kernel_is_that_of_kid(pair: tuple[Any, Any], spare: int) -> None:
    samples, data = pair
    least = 8 * (2 * samples.shape[1] + 2 + 2 * (3 * samples.shape[1] + 3 + 8))
    with memory(least + spare):
        found = maximum_mean_discrepancy(samples, data, kernel="polynomial")
    assert found.squared == pytest.approx(polynomial_by_formula(samples, data), rel=1e-9, abs=1e-8)
    assert found.bandwidth is None
    swapped = maximum_mean_discrepancy(data, samples, kernel="polynomial")
    assert swapped.squared == pytest.approx(found.squared, rel=1e-9, abs=1e-8)


def test_the_polynomial_kernel_sees_a_difference() -> None:
    null = maximum_mean_discrepancy(normal(200, 3), normal(200, 3, 1), kernel="polynomial", permutations=99)
    assert null.p_value is not None
    assert null.p_value > 0.05
    wider = maximum_mean_discrepancy(1.5 * normal(200, 3), normal(200, 3, 1), kernel="polynomial", permutations=99)
    assert wider.p_value == 0.01
    assert str(wider) == f"MMD^2 = {wider.squared:.3g} with the polynomial kernel, p = 0.01"
    draws = [
        maximum_mean_discrepancy(normal(20, 1, s) + 1, normal(20, 1, 5000 + s), kernel="polynomial").squared
        for s in range(500)
    ]
    # (xy + 1)^3 is a dot product of (1, sqrt(3) x, sqrt(3) x^2, x^3), whose means differ by (0, sqrt(3), sqrt(3), 4)
    assert np.mean(draws) == pytest.approx(3 + 3 + 16, abs=4 * np.std(draws) / np.sqrt(len(draws)))
    same = maximum_mean_discrepancy(np.full((9, 2), 255.0), np.full((7, 2), 255.0), kernel="polynomial", permutations=9)
    assert same.p_value == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("far", [1e6, 1e9, 1e20])
def test_a_row_far_away_does_not_change_others(dtype: Any, far: float) -> None:
    samples, data = normal(40, 5).astype(dtype), (normal(30, 5, 1) + 1).astype(dtype)
    samples[3] = far
    for bandwidth in (0.5, 2.0):
        found = maximum_mean_discrepancy(samples, data, bandwidth).squared
        assert found == pytest.approx(by_formula(samples, data, bandwidth), abs=1e-12)
    assert maximum_mean_discrepancy(samples, data).bandwidth < 10


@given(PAIRS, st.randoms())
def test_the_order_of_the_rows_does_not_matter(pair: tuple[Any, Any], random: Any) -> None:
    first, second = (rows[random.sample(range(len(rows)), len(rows))] for rows in pair)
    for options in ({"bandwidth": 1.0}, {"kernel": "polynomial"}):
        expected = maximum_mean_discrepancy(*pair, **options).squared
        assert maximum_mean_discrepancy(first, second, **options).squared == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_order_does_not_choose_the_rows_of_the_bandwidth() -> None:
    many = normal(4 * MEDIAN_ROWS, 2)
    order = Stream(0, "order").permutation(len(many))
    expected = maximum_mean_discrepancy(many, many[:300]).bandwidth
    assert maximum_mean_discrepancy(many[order], many[299::-1]).bandwidth == expected


@pytest.mark.parametrize("bandwidth", [1e-100, 1e100])
def test_extreme_bandwidths(bandwidth: float) -> None:
    samples, data = normal(5, 2), normal(5, 2, 1)
    assert maximum_mean_discrepancy(samples, data, bandwidth).squared == pytest.approx(0, abs=1e-12)
    twins = maximum_mean_discrepancy(np.ones((3, 2)), data, bandwidth).squared
    assert twins == pytest.approx(1 if bandwidth < 1 else 0, abs=1e-12)


@given(PAIRS, WIDTHS, st.floats(0.01, 100), st.floats(-100, 100))
def test_units_and_origin_do_not_matter(pair: tuple[Any, Any], width: float, factor: float, shift: float) -> None:
    samples, data = (rows.astype(float) for rows in pair)
    moved = maximum_mean_discrepancy(factor * samples + shift, factor * data + shift, factor * width)
    assert moved.squared == pytest.approx(maximum_mean_discrepancy(samples, data, width).squared, abs=1e-6)


@pytest.mark.parametrize(
    ("d", "shift", "scale", "bandwidth"), [(1, 0.5, 1.0, 1.0), (3, 0.2, 1.5, 2.0), (5, 0.0, 0.5, 1.0)]
)
def test_the_mean_over_many_draws_is_the_closed_form(d: int, shift: float, scale: float, bandwidth: float) -> None:
    """E k(x, y) is a Gaussian of the difference of the means: the estimate is unbiased, even from eight points."""

    def expected(variances: float, distance: float) -> float:
        total = bandwidth**2 + variances
        return float((bandwidth**2 / total) ** (d / 2) * np.exp(-(distance**2) / (2 * total)))

    truth = expected(2, 0) + expected(2 * scale**2, 0) - 2 * expected(1 + scale**2, shift * np.sqrt(d))
    draws = [
        maximum_mean_discrepancy(normal(8, d, seed), shift + scale * normal(8, d, 10_000 + seed), bandwidth).squared
        for seed in range(1000)
    ]
    assert np.mean(draws) == pytest.approx(truth, abs=4 * np.std(draws) / np.sqrt(len(draws)))
    many = maximum_mean_discrepancy(normal(3000, d), shift + scale * normal(2500, d, 1), bandwidth).squared
    assert many == pytest.approx(truth, abs=0.01)


def test_the_default_bandwidth_is_the_median_distance() -> None:
    samples, data = normal(40, 3), 2 * normal(60, 3, 1)
    both = np.concatenate([samples, data])
    distances = cdist(both, both)[np.triu_indices(100, k=1)]
    assert maximum_mean_discrepancy(samples, data).bandwidth == pytest.approx(np.median(distances), rel=1e-12)
    large = normal(5000, 1)
    from_a_part = maximum_mean_discrepancy(large[:2500], large[2500:])
    assert from_a_part.bandwidth == pytest.approx(0.6745 * np.sqrt(2), rel=0.1)
    assert len(large) / 2 > MEDIAN_ROWS


def test_extremes() -> None:
    data = normal(50, 2)
    apart = maximum_mean_discrepancy(np.zeros((50, 2)), 1e6 + np.zeros((50, 2)), 1.0, permutations=99)
    assert apart.squared == 2
    assert apart.p_value == 0.01
    same = maximum_mean_discrepancy(data, data, permutations=99)
    assert same.squared < 0  # equal points of the two sets count; a point with itself does not
    assert same.p_value == 1
    constant = maximum_mean_discrepancy(np.ones((5, 2)), np.ones((7, 2)), 1.0, permutations=9)
    assert constant.squared == pytest.approx(0, abs=1e-12)
    assert constant.p_value == 1
    assert str(apart) == "MMD^2 = 2 at bandwidth 1, p = 0.01"


@given(st.integers(0, 1000), st.integers(2, 8), st.integers(2, 8))
def test_the_p_value_is_that_of_the_permutations(seed: int, m: int, n: int) -> None:
    samples, data = normal(m, 2, seed), normal(n, 2, seed + 5000) + 0.5
    found = maximum_mean_discrepancy(samples, data, 1.0, permutations=30, stream=Stream(seed, "deal"))
    both, stream, as_large = np.concatenate([samples, data]), Stream(seed, "deal"), 1
    for _ in range(30):
        order = stream.permutation(m + n)
        as_large += by_formula(both[order[:m]], both[order[m:]], 1.0) >= found.squared - 1e-12
    assert found.p_value == as_large / 31


def test_the_level_is_right_and_a_difference_is_found() -> None:
    """Under the null hypothesis, p <= 0.1 in a tenth of all cases."""
    null = [
        maximum_mean_discrepancy(normal(12, 2, s), normal(9, 2, 999 + s), permutations=19, stream=Stream(s, "deal"))
        for s in range(300)
    ]
    share = np.mean([found.p_value <= 0.1 for found in null])
    assert share == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 300))
    assert maximum_mean_discrepancy(normal(200, 2), normal(200, 2, 1) + 0.5, permutations=199).p_value == 0.005


@pytest.mark.parametrize("permutations", [0, 20])
def test_the_memory_stays_within_the_budget(permutations: int) -> None:
    samples, data, budget = normal(1500, 100).astype("f4"), normal(1200, 100, 1).astype("f4"), 2 << 20
    tracemalloc.start()
    with memory(budget):
        maximum_mean_discrepancy(samples, data, 10.0, permutations=permutations)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= budget + 2700 * (permutations + 1) + 5 * 8 * 2700 + 20_000


@pytest.mark.parametrize(
    ("samples", "data", "options", "error", "message"),
    [
        ([[0.0]], [[0.0], [1.0]], {}, ShapeError, "samples must have two rows or more, got one: a mean over pairs"),
        ([[0.0], [1.0]], [[0.0]], {}, ShapeError, "data must have two rows or more, got one"),
        ([[0.0], [1.0]], [[0.0, 1.0]], {}, ShapeError, "samples have rows of 1 values, but data have rows of 2"),
        ([[0.0], [np.nan]], [[0.0], [1.0]], {}, DataError, "row 1 of samples holds nan"),
        ([[0.0], [1.0]], [[0.0], [np.inf]], {"bandwidth": 1.0}, DataError, "row 1 of data holds nan or infinity"),
        ([[0.0], [0.0]], [[0.0], [0.0]], {}, DataError, "half the distances are 0: almost all rows are the same"),
        ([[0.0], [1.0]], [[0.0], [1.0]], {"bandwidth": 0.0}, ValueError, "must be a positive number, got 0.0"),
        ([[0.0], [1.0]], [[0.0], [1.0]], {"bandwidth": np.nan}, ValueError, "must be a positive number, got nan"),
        ([[0.0], [1.0]], [[0.0], [1.0]], {"bandwidth": np.inf}, ValueError, "must be a positive number, got inf"),
        ([[0.0], [1.0]], [[0.0], [1.0]], {"permutations": -1}, ValueError, "an integer of at least 0, got -1"),
        ([[0.0], [1.0]], [[0.0], [1.0]], {"bandwidth": 1e-160}, ValueError, "got 1e-160; it may be from"),
        ([[0.0], [1.0]], [[0.0], [1.0]], {"bandwidth": 5e-324}, ValueError, "must be a positive number, got 5e-324"),
        ([[0.0], [1.0]], [[0.0], [1.0]], {"bandwidth": []}, ValueError, r"must be a positive number, got \[\]"),
        ([[0.0], [1.0]], [[0.0], [1.0]], {"permutations": 1.5}, ValueError, "permutations must be an integer"),
        ([[0.0], [1.0]], [[0.0], [1.0]], {"kernel": "cubic"}, ValueError, "one of gaussian, polynomial; got 'cubic'"),
        (
            [[0.0], [1.0]], [[0.0], [1.0]], {"kernel": "polynomial", "bandwidth": 1.0}, ValueError,
            "the polynomial kernel takes no bandwidth, got 1.0",
        ),
        (
            [[0.0], [1e60]], [[0.0], [1e60]], {"kernel": "polynomial"}, DataError,
            r"\(x.y / d \+ 1\)\^3 overflows for these rows; divide all by one number",
        ),
    ],
)
def test_refusals(samples: Any, data: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        maximum_mean_discrepancy(samples, data, **options)
