from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.backend import Stream
from tinygan.data import toys
from tinygan.errors import DataError, ShapeError
from tinygan.evaluation import PACGAN_SAMPLES, count_modes


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 3), st.floats(0.05, 1), st.floats(0.5, 4))
def test_the_counts_are_those_of_the_definition(seed: int, k: int, d: int, std: float, deviations: float) -> None:
    stream = Stream(seed, "points")
    samples, modes = stream.normal((20, d)), stream.normal((k, d))
    counts = [0] * k
    for sample in samples:
        distances = [math.dist(sample, mode) for mode in modes]
        if min(distances) <= deviations * std:
            counts[distances.index(min(distances))] += 1
    found = count_modes(samples, modes, std, deviations)
    assert found.counts.tolist() == counts
    assert found.recovered == sum(count > 0 for count in counts)
    assert found.high_quality == sum(counts) / 20
    assert found.modes == k


@pytest.mark.parametrize("toy", [toys.ring(), toys.grid()], ids=repr)
def test_the_data_have_every_mode_and_the_share_of_a_gaussian(toy: toys.GaussianMixture) -> None:
    found = count_modes(toy.sample(PACGAN_SAMPLES, Stream(0, "data")), toy.modes, toy.std)
    assert found.recovered == len(toy.modes)
    share = 1 - math.exp(-9 / 2)
    assert found.high_quality == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / PACGAN_SAMPLES))


def test_lost_modes_are_not_counted() -> None:
    ring = toys.ring()
    left = toys.GaussianMixture("left", ring.modes[3:6], ring.std)
    found = count_modes(left.sample(PACGAN_SAMPLES, Stream(0, "data")), ring.modes, ring.std)
    assert np.flatnonzero(found.counts).tolist() == [3, 4, 5]
    assert str(found).startswith("3 of 8 modes, 9")


def test_one_sample_within_three_deviations_recovers_a_mode() -> None:
    modes = [[0.0], [10.0]]
    assert count_modes([[0.0], [5.0], [12.9]], modes, std=1).counts.tolist() == [1, 1]
    assert count_modes([[0.0], [5.0], [13.1]], modes, std=1).counts.tolist() == [1, 0]


def test_equally_near_modes_share_a_sample() -> None:
    found = count_modes([[0.1, 0.1], [0.2, 0.1], [0.0, 0.1]], [[0.0, 0.1], [0.2, 0.1], [0.1, 5.0]], std=0.1)
    assert found.counts.tolist() == [1.5, 1.5, 0]
    assert (found.recovered, found.high_quality) == (2, 1)
    three = count_modes([[0.0, 0.0]] * 7, [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], std=1)
    np.testing.assert_allclose(three.counts, 7 / 3)
    assert three.high_quality == 1


@given(st.integers(0, 1000), st.integers(1, 6), st.randoms())
def test_the_order_of_the_rows_does_not_matter(seed: int, k: int, random: Any) -> None:
    stream = Stream(seed, "grid")
    samples, modes = stream.integers(0, 5, (20, 2)) / 10, stream.integers(0, 5, (k, 2)) / 10
    first, second = random.sample(range(20), 20), random.sample(range(k), k)
    found, other = count_modes(samples, modes, 0.1, 1.2), count_modes(samples[first], modes[second], 0.1, 1.2)
    np.testing.assert_allclose(other.counts, found.counts[second], rtol=1e-12)
    assert other.high_quality == found.high_quality


def test_a_sample_far_away_does_not_change_others() -> None:
    ring = toys.ring()
    samples = ring.sample(500, Stream(0, "data"))
    plain = count_modes(samples, ring.modes, ring.std)
    for far in (1e6, 1e20):
        found = count_modes(np.concatenate([samples, [[far, far]]]), ring.modes, ring.std)
        assert found.counts.tolist() == plain.counts.tolist()
        modes = np.concatenate([[[far, -far]], ring.modes])
        assert count_modes(samples, modes, ring.std).counts.tolist() == [0, *plain.counts]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: count_modes([[0.0]], [[0.0]], std=0), ValueError, "count_modes: std must be a positive number, got 0"),
        (lambda: count_modes([[0.0]], [[0.0]], 1, deviations=-1), ValueError, "deviations must be .*, got -1"),
        (lambda: count_modes([[0.0]], [[0.0]], std=math.nan), ValueError, "std must be a positive number, got nan"),
        (lambda: count_modes([[0.0]], [[0.0]], math.inf), ValueError, "std must be a positive number, got inf"),
        (lambda: count_modes([[0.0]], [[0.0]], "1"), ValueError, "std must be a positive number, got '1'"),
        (lambda: count_modes([0.0], [[0.0]], 1), ShapeError, "samples must be rows of real numbers"),
        (lambda: count_modes(np.empty((0, 2)), [[0.0, 0.0]], 1), ShapeError, "samples must be rows of real numbers"),
        (lambda: count_modes([[0.0]], [[0.0, 1.0]], 1), ShapeError, "samples have rows of 1 values, but modes .* 2"),
        (lambda: count_modes([[0.0], [math.nan]], [[0.0]], 1), DataError, "row 1 of samples holds nan or infinity"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
