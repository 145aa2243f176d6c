"""The Parzen window against its formula, summed with SciPy, for every size of blocks."""

from __future__ import annotations

import math
import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from tests.doubles.small import memory
from tinygan.backend import Stream
from tinygan.errors import ArgumentError, DataError, ShapeError
from tinygan.evaluation import (
    SIGMAS,
    parzen_log_likelihood,
    parzen_log_likelihoods,
    select_sigma,
    standard_error,
)

VALUES = st.floats(-10, 10, width=32)
WIDTHS = st.floats(0.01, 10)


def rows(columns: int, most: int = 9) -> st.SearchStrategy[Any]:
    return st.integers(1, most).flatmap(lambda n: arrays(np.float32, (n, columns), elements=VALUES))


PAIRS = st.integers(1, 4).flatmap(lambda d: st.tuples(rows(d), rows(d)))


def by_formula(samples: Any, data: Any, sigma: float) -> Any:
    squares = cdist(np.asarray(data, float), np.asarray(samples, float)) ** 2
    normalisation = math.log(len(samples)) + np.shape(samples)[1] * math.log(sigma * math.sqrt(2 * math.pi))
    return logsumexp(-squares / (2 * sigma**2), axis=1) - normalisation


def normal(n: int, d: int, seed: int = 0) -> Any:
    return Stream(seed, "points").normal((n, d), np.float64)


# ---------------------------------------------------------------------- the formula


@given(PAIRS, st.lists(WIDTHS, min_size=1, max_size=3), st.integers(0, 4000))
def test_it_is_the_formula_for_every_budget(pair: tuple[Any, Any], sigmas: list[float], spare: int) -> None:
    samples, data = pair
    least = 8 * (2 * samples.shape[1] + 2 + 2 * (3 * samples.shape[1] + 2 * len(sigmas) + 8))
    with memory(least + spare):
        found = parzen_log_likelihoods(samples, data, sigmas)
    assert found.shape == (len(sigmas), len(data))
    assert found.dtype == np.float64
    for sigma, values in zip(sigmas, found, strict=True):
        # |x - s|^2 from products is right to about 1e-13 of the squares of these values
        np.testing.assert_allclose(values, by_formula(samples, data, sigma), rtol=1e-9, atol=1e-11 / sigma**2)
    with memory(least + spare):
        one, first = parzen_log_likelihood(samples, data, sigmas[0]), parzen_log_likelihoods(samples, data, sigmas[:1])
    np.testing.assert_array_equal(one, first[0])


@pytest.mark.parametrize("budget", [40_000, 200_000, 1 << 20, 32 << 20])
def test_pictures_in_blocks_that_do_not_divide_them(budget: int) -> None:
    samples, data = normal(211, 100), normal(97, 100, seed=1)
    with memory(budget):
        found = parzen_log_likelihood(samples, data, 0.7)
    np.testing.assert_allclose(found, by_formula(samples, data, 0.7), rtol=1e-12)


@pytest.mark.slow
@given(rows(1), WIDTHS)
def test_it_is_the_logarithm_of_a_density(samples: Any, sigma: float) -> None:
    def density(x: float) -> float:
        return math.exp(parzen_log_likelihood(samples, [[x]], sigma)[0])

    edges = sorted({float(s) + shift * sigma for s in samples[:, 0] for shift in (-9, -3, 0, 3, 9)})
    wide = [(a, b) for a, b in pairwise(edges) if b - a > 1e-9 * sigma]  # the others have almost no mass
    total = sum(quad(density, a, b, limit=200)[0] for a, b in wide)
    assert total == pytest.approx(1, abs=1e-6)


def test_far_away_it_neither_underflows_nor_overflows() -> None:
    found = parzen_log_likelihood(np.zeros((3, 2)), [[1e4, 0.0], [0.0, 0.0]], 0.01)
    plain = -2 * math.log(0.01 * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(found, [plain - 1e8 / 2e-4, plain])


def test_the_nearest_sample_may_come_last_or_first() -> None:
    """The running maximum is subtracted from the sums of earlier blocks, too."""
    samples, data = np.linspace(-50, 50, 200)[:, None], np.array([[49.0], [-49.0], [0.1]])
    for order in (slice(None), slice(None, None, -1)):
        with memory(3000):
            found = parzen_log_likelihood(samples[order], data, 0.05)
        np.testing.assert_allclose(found, by_formula(samples, data, 0.05), rtol=1e-10)


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_it_does_not_depend_on_the_origin(shift: float) -> None:
    samples, data = normal(50, 3), normal(20, 3, seed=1)
    found = parzen_log_likelihood(samples + shift, data + shift, 0.3)
    np.testing.assert_allclose(found, by_formula(samples, data, 0.3), rtol=1e-6)


def test_integers_and_float32_are_taken_as_they_are() -> None:
    samples, data = np.array([[0, 255]], np.uint8), np.array([[255, 0]], np.uint8)
    assert parzen_log_likelihood(samples, data, 100.0) == pytest.approx(by_formula(samples, data, 100.0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("far", [1e6, 1e9, 1e20])
@pytest.mark.parametrize("sigma", [0.05, 0.3])
def test_a_sample_far_away_does_not_change_others(dtype: Any, far: float, sigma: float) -> None:
    samples, data = Stream(0, "x").uniform((60, 5)).astype(dtype), Stream(1, "x").uniform((40, 5)).astype(dtype)
    data[3] = samples[1]
    plain = by_formula(samples, data, sigma)
    for position in (0, 30, 59):
        more = np.insert(samples, position, far, axis=0)
        for budget in (5000, 32 << 20):
            with memory(budget):
                found = parzen_log_likelihood(more, data, sigma)
            np.testing.assert_allclose(found, by_formula(more, data, sigma), rtol=1e-10, atol=1e-7)
            np.testing.assert_allclose(found, plain + math.log(60 / 61), rtol=1e-10, atol=1e-7)
    more = np.insert(data, 7, far, axis=0)
    found = parzen_log_likelihood(samples, more, sigma)
    np.testing.assert_allclose(found, by_formula(samples, more, sigma), rtol=1e-10)
    twins = parzen_log_likelihood(np.insert(samples, 7, far, axis=0), more, sigma)
    assert twins[7] == pytest.approx(plain[3] + math.log(60 / 61), abs=5)  # this row equals a sample


@given(PAIRS, st.floats(-100, 100))
def test_extreme_widths_follow_the_formula(pair: tuple[Any, Any], power: float) -> None:
    samples, data = pair
    sigma = 10.0 ** min(max(power, -99.9), 99.9)
    with np.errstate(all="ignore"):
        squares = cdist(data.astype(float), samples.astype(float), "sqeuclidean")
        exponents = -squares / 2 / sigma / sigma
        expected = logsumexp(exponents, axis=1) if np.isfinite(exponents).any() else exponents.max(axis=1)
        expected = np.where(np.isinf(exponents).all(axis=1), -np.inf, expected)
    expected = expected - math.log(len(samples)) - samples.shape[1] * (math.log(sigma) + math.log(2 * math.pi) / 2)
    found = parzen_log_likelihood(samples, data, sigma)
    assert not np.isnan(found).any()
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-7)


@given(PAIRS, WIDTHS, st.randoms())
def test_the_order_of_the_rows_does_not_matter(pair: tuple[Any, Any], sigma: float, random: Any) -> None:
    samples, data = pair
    first, second = (random.sample(range(len(rows)), len(rows)) for rows in pair)
    found = parzen_log_likelihood(samples[first], data[second], sigma)
    np.testing.assert_allclose(found, parzen_log_likelihood(samples, data, sigma)[second], rtol=1e-9, atol=1e-8)


# ---------------------------------------------------------------------- memory


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(900, 1500), (5, 4000), (3000, 7)])
def test_the_memory_stays_within_the_budget(n: int, m: int) -> None:
    samples, data = normal(m, 300).astype("f4"), normal(n, 300, seed=1).astype("f4")
    budget = 2 << 20
    tracemalloc.start()
    with memory(budget):
        found = parzen_log_likelihoods(samples, data, [0.5, 1.0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (2, n)
    assert peak <= budget + 6 * found.nbytes + 20_000
    assert budget < samples.nbytes + data.nbytes + 8 * n * m  # it was computed in blocks


def test_progress_sums_to_the_number_of_rows() -> None:
    seen: list[int] = []
    with memory(5000):
        parzen_log_likelihood(normal(50, 4), normal(33, 4), 1.0, progress=seen.append)
    assert sum(seen) == 33
    assert len(seen) > 1


# ---------------------------------------------------------------------- sigma


def test_select_sigma_takes_the_best_mean() -> None:
    samples, validation = normal(300, 5), normal(100, 5, seed=1)
    means = [by_formula(samples, validation, sigma).mean() for sigma in SIGMAS]
    chosen = select_sigma(samples, validation)
    assert chosen == SIGMAS[int(np.argmax(means))]
    assert isinstance(chosen, float)
    assert SIGMAS[0] < chosen < SIGMAS[-1]


def test_a_sigma_without_a_likelihood_is_not_chosen() -> None:
    samples, validation = normal(30, 5), normal(20, 5, seed=1)
    assert select_sigma(samples, validation, [1e-100, 0.5, 1e100]) == 0.5
    assert select_sigma(samples, samples, [1e-50, 0.5]) == 1e-50  # the likelihood of a copy is unbounded
    far = np.concatenate([validation, [[1e90] * 5]])
    with pytest.raises(ArgumentError, match=r"select_sigma: the log-likelihood is -inf for every sigma, give larger"):
        select_sigma(samples, far, [1e-100, 1e-90])
    for bad in ([], [[0.1]], [0.1, np.nan], [1e-160, 0.1], "0.1", None):
        with pytest.raises(ArgumentError, match="sigma must be a positive number"):
            select_sigma(samples, validation, bad)


def test_the_grid_is_that_of_the_released_code() -> None:
    np.testing.assert_allclose(SIGMAS, 10 ** np.linspace(-1, 0, 10))


def test_the_standard_error() -> None:
    assert standard_error(np.arange(5.0)) == pytest.approx(math.sqrt(2 / 5))
    for bad in ([], [[1.0]], 3.0):
        with pytest.raises(ShapeError, match=r"standard_error: expected values of shape \(n,\)"):
            standard_error(bad)
    assert standard_error([1e200, -1e200]) == pytest.approx(1e200 / math.sqrt(2))
    assert standard_error([3e-200, 1e-200]) == pytest.approx(1e-200 / math.sqrt(2))
    assert standard_error([0.0, 0.0]) == 0
    with pytest.raises(ShapeError, match="real numbers; got <U1"):
        standard_error(["a"])
    for bad in (np.nan, -np.inf):
        with pytest.raises(DataError, match=f"standard_error: value 1 is {bad}"):
            standard_error([0.0, bad])


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("samples", "data", "sigma", "error", "message"),
    [
        ([[1.0]], [[1.0, 2.0]], 1.0, ShapeError, "samples have rows of 1 values, but data have rows of 2"),
        ([1.0], [[1.0]], 1.0, ShapeError, r"samples must be rows of real numbers, .* got float64 of shape \(1,\)"),
        (np.zeros((0, 2)), [[1.0, 2.0]], 1.0, ShapeError, r"samples must be rows .* got float64 of shape \(0, 2\)"),
        ([["a"]], [[1.0]], 1.0, ShapeError, "samples must be rows of real numbers"),
        ([[1.0]], [[1j]], 1.0, ShapeError, "data must be rows of real numbers"),
        ([[0.0], [np.nan]], [[1.0]], 1.0, DataError, "row 1 of samples holds nan or infinity; did training diverge"),
        ([[0.0]], [[1.0], [np.inf]], 1.0, DataError, "row 1 of data holds nan or infinity"),
        ([[0.0]], [[1.0]], 0.0, ValueError, "sigma must be a positive number, got 0.0; it may be"),
        ([[0.0]], [[1.0]], np.nan, ValueError, "sigma must be a positive number"),
        ([[0.0]], [[1.0]], -1.0, ValueError, "sigma must be a positive number"),
        ([[0.0]], [[1.0]], 1e-160, ValueError, "sigma must be a positive number, got 1e-160; it may be from 1e-100 to"),
        ([[0.0]], [[1.0]], 1e160, ValueError, "sigma must be a positive number"),
        ([[0.0]], [[1.0]], 5e-324, ValueError, "sigma must be a positive number"),
        ([[0.0]], [[1.0]], "1", ValueError, "sigma must be a positive number"),
        ([[0.0]], [[1e200]], 1.0, DataError, r"row 0 of data holds a value of size 1e\+200, and distances need values"),
        (np.ma.masked_array([[0.0]], [[True]]), [[1.0]], 1.0, DataError, "samples are masked"),
    ],
)
def test_refusals(samples: Any, data: Any, sigma: float, error: type[Exception], message: str) -> None:
    with np.errstate(all="ignore"), pytest.raises(error, match=message):
        parzen_log_likelihood(samples, data, sigma)


def test_a_nan_is_found_in_a_later_block() -> None:
    samples = normal(40, 3)
    samples[31, 1] = np.nan
    with memory(2000), np.errstate(all="ignore"), pytest.raises(DataError, match="row 31 of samples"):
        parzen_log_likelihood(samples, normal(5, 3), 1.0)


def test_rows_larger_than_the_budget_are_taken_one_at_a_time() -> None:
    samples, data = normal(3, 784), normal(2, 784, seed=1)
    expected = parzen_log_likelihood(samples, data, 1.0)
    with memory(1000):
        np.testing.assert_allclose(parzen_log_likelihood(samples, data, 1.0), expected, rtol=1e-12)


@pytest.mark.parametrize("strip", [1, 30, 10**9])
def test_strips_change_no_bit(strip: int, monkeypatch: Any) -> None:
    rng = np.random.default_rng(0)
    samples, data = rng.random((40, 5)), rng.random((30, 5))
    expected = parzen_log_likelihoods(samples, data, (0.1, 0.5))
    monkeypatch.setattr("tinygan.evaluation.blocks.STRIP", strip)
    assert np.array_equal(parzen_log_likelihoods(samples, data, (0.1, 0.5)), expected)
