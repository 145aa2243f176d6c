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
def test_data_themselves_have_every_mode_and_the_share_of_a_gaussian(toy: toys.GaussianMixture) -> None:
    found = count_modes(toy.sample(PACGAN_SAMPLES, Stream(0, "data")), toy.modes, toy.std)
    assert found.recovered == len(toy.modes)
    share = 1 - math.exp(-9 / 2)
    assert found.high_quality == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / PACGAN_SAMPLES))


def test_lost_modes_are_missed() -> None:
    ring = toys.ring()
    left = toys.GaussianMixture("left", ring.modes[3:6], ring.std)
    found = count_modes(left.sample(PACGAN_SAMPLES, Stream(0, "data")), ring.modes, ring.std)
    assert np.flatnonzero(found.counts).tolist() == [3, 4, 5]
    assert str(found).startswith("3 of 8 modes, 9")


def test_one_sample_recovers_a_mode_and_the_limit_is_three_deviations() -> None:
    modes = [[0.0], [10.0]]
    assert count_modes([[0.0], [5.0], [12.9]], modes, std=1).counts.tolist() == [1, 1]
    assert count_modes([[0.0], [5.0], [13.1]], modes, std=1).counts.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: count_modes([[0.0]], [[0.0]], std=0), ValueError, "count_modes: std must be positive, got 0"),
        (lambda: count_modes([[0.0]], [[0.0]], 1, deviations=-1), ValueError, "deviations must be positive, got -1"),
        (lambda: count_modes([[0.0]], [[0.0]], std=math.nan), ValueError, "std must be positive, got nan"),
        (lambda: count_modes([0.0], [[0.0]], 1), ShapeError, "samples must be rows of real numbers"),
        (lambda: count_modes(np.empty((0, 2)), [[0.0, 0.0]], 1), ShapeError, "samples must be rows of real numbers"),
        (lambda: count_modes([[0.0]], [[0.0, 1.0]], 1), ShapeError, "samples have rows of 1 values, but modes .* 2"),
        (lambda: count_modes([[0.0], [math.nan]], [[0.0]], 1), DataError, "row 1 of samples holds nan or infinity"),
    ],
)
def test_what_cannot_be_counted_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
