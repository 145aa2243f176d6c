"""The classifier against brute force; the level on equal distributions, and the power on different ones."""

from __future__ import annotations

import hashlib
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist
from scipy.stats import binomtest

from tests.doubles.small import memory
from tinygan.backend import Stream
from tinygan.errors import DataError, ShapeError
from tinygan.evaluation import two_sample_test


def normal(n: int, d: int, seed: int = 0) -> Any:
    return Stream(seed, "points").normal((n, d), np.float64)


def by_hand(samples: Any, data: Any, k: int | None, stream: Stream) -> float:
    half = len(data) // 2
    sets = [sorted(rows, key=lambda row: row.tobytes()) for rows in (samples, data)]
    digests = [hashlib.sha256(np.array(rows).tobytes()).digest() for rows in sets]
    orders = {which: stream.permutation(len(data)) for which in sorted((0, 1), key=digests.__getitem__)}
    train, held_out = [], []
    for which, rows in enumerate(sets):
        train += [(rows[i], which) for i in orders[which][:half]]
        held_out += [(rows[i], which) for i in orders[which][half:]]
    k = math.floor(math.sqrt(len(train))) if k is None else k
    correct = 0.0
    for row, which in held_out:
        distances = cdist([row], [point for point, _ in train], "sqeuclidean")[0]
        last = np.sort(distances)[k - 1]
        same = [distances[i] < last * (1 - 1e-12) for i in range(len(train)) if train[i][1] == which]
        closer = sum(distances < last * (1 - 1e-12))
        tied = [i for i in range(len(train)) if abs(distances[i] - last) <= 1e-12 * last]
        mine = sum(train[i][1] == which for i in tied)
        for more in range(k - closer + 1):  # chosen from the rows that tie
            ways = math.comb(mine, more) * math.comb(len(tied) - mine, k - closer - more)
            votes = sum(same) + more
            right = 0.5 if 2 * votes == k else float(2 * votes > k)
            correct += right * ways / math.comb(len(tied), k - closer)
    return correct


@given(st.integers(0, 1000), st.integers(2, 25), st.none() | st.integers(1, 24), st.integers(0, 20_000))
def test_it_is_the_definition_for_every_budget(seed: int, n: int, k: int | None, spare: int) -> None:
    k = None if k is None else min(k, 2 * (n // 2))
    samples, data = normal(n, 2, seed), normal(n, 2, seed + 5000) + 1
    voters = k or math.isqrt(2 * (n // 2))
    least = 8 * (2 * 2 + 3 + 2 * (3 * 2 + 6 * (voters + 1) + 10 + 8))
    with memory(least + spare):
        found = two_sample_test(samples, data, k, stream=Stream(seed, "split"))
    assert found.correct == pytest.approx(by_hand(samples, data, k, Stream(seed, "split")), abs=1e-9)
    assert found.held_out == 2 * (n - n // 2)
    assert found.accuracy == found.correct / found.held_out
    expected = binomtest(math.ceil(found.correct), found.held_out, 0.5, alternative="greater").pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert two_sample_test(samples, data, k, stream=Stream(seed, "split")) == found


TIED = st.integers(2, 12).flatmap(
    lambda n: st.tuples(*[arrays(np.float64, (n, 2), elements=st.sampled_from([0.0, 0.1, 0.2, 0.7]))] * 2)
)


@given(TIED, st.none() | st.integers(1, 12), st.integers(0, 100), st.integers(0, 20_000))
def test_rows_that_tie_have_equal_shares(pair: tuple[Any, Any], k: int | None, seed: int, spare: int) -> None:
    samples, data = pair
    k = None if k is None else min(k, 2 * (len(data) // 2))
    with memory(4000 + spare):
        found = two_sample_test(samples, data, k, stream=Stream(seed, "split"))
    assert found.correct == pytest.approx(by_hand(samples, data, k, Stream(seed, "split")), abs=1e-9)
    assert 0 <= found.p_value <= 1


@given(TIED, st.integers(1, 4), st.randoms())
def test_neither_order_nor_names_matter(pair: tuple[Any, Any], k: int, random: Any) -> None:
    k = min(k, 2 * (len(pair[0]) // 2))
    expected = two_sample_test(*pair, k).correct
    samples, data = (rows[random.sample(range(len(rows)), len(rows))] for rows in pair)
    assert two_sample_test(samples, data, k).correct == pytest.approx(expected, abs=1e-9)
    assert two_sample_test(data, samples, k).correct == pytest.approx(expected, abs=1e-9)


def test_two_values_in_different_shares_get_the_best_accuracy() -> None:
    """The best classifier calls 0 a sample and 1 a datum: right for .6 and for .8, so for .7 of all."""
    samples, data = np.repeat([0.0, 1.0], [600, 400])[:, None], np.repeat([0.0, 1.0], [200, 800])[:, None]
    found = two_sample_test(samples, data)
    assert found.accuracy == pytest.approx(0.7, abs=0.03)
    assert two_sample_test(data, samples) == two_sample_test(samples[::-1], data) == found
    same = two_sample_test(np.zeros((50, 3)), np.zeros((50, 3)))
    assert same.accuracy == pytest.approx(0.5)
    assert same.p_value > 0.5


def test_the_level_is_right_with_ties() -> None:
    found = [
        two_sample_test(*Stream(seed, "coins").integers(0, 3, (2, 40, 1)), stream=Stream(seed, "split"))
        for seed in range(100)
    ]
    accuracies = np.array([one.accuracy for one in found])
    assert accuracies.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(40 * 100))
    assert np.mean([one.p_value <= 0.05 for one in found]) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 100)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("far", [1e6, 1e20])
def test_a_row_far_away_does_not_change_others(dtype: Any, far: float) -> None:
    samples, data = normal(60, 3).astype(dtype), (normal(60, 3, 1) + 1).astype(dtype)
    samples[5] = far
    found = two_sample_test(samples, data)
    assert found.correct == pytest.approx(by_hand(samples, data, None, Stream(0, "split")))
    assert found.accuracy > 0.6


def test_the_default_stream_gives_equal_results() -> None:
    samples, data = normal(100, 2), normal(100, 2, 1)
    first = two_sample_test(samples, data)
    assert two_sample_test(samples, data) == first == two_sample_test(samples, data, stream=Stream(0, "split"))
    assert any(two_sample_test(samples, data, stream=Stream(seed, "split")) != first for seed in range(1, 5))


def test_under_the_null_hypothesis_the_level_is_right() -> None:
    found = [
        two_sample_test(normal(40, 2, seed), normal(40, 2, 7000 + seed), stream=Stream(seed, "split"))
        for seed in range(400)
    ]
    accuracies = np.array([one.accuracy for one in found])
    assert accuracies.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(40 * 400))
    assert np.mean([one.p_value <= 0.05 for one in found]) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)


def test_extremes() -> None:
    data = normal(60, 3)
    apart = two_sample_test(data + 100, data)
    assert apart.accuracy == 1
    assert apart.p_value == pytest.approx(0.5**60)
    assert str(apart) == "told apart with accuracy 100.0% (60 rows), p = 8.67e-19"
    everyone = two_sample_test(data + 100, data, k=60)  # all rows vote: a tie, so each is right by half
    assert (everyone.correct, everyone.held_out) == (30, 60)
    assert two_sample_test(data, data).p_value > 0.01
    assert two_sample_test(data + 1.0, data).p_value < 1e-3


def test_the_memory_stays_within_the_budget() -> None:
    samples, data, budget = normal(1500, 100).astype("f4"), normal(1500, 100, 1).astype("f4"), 2 << 20
    tracemalloc.start()
    with memory(budget):
        two_sample_test(samples, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= budget + 2 * (samples.nbytes + data.nbytes) + 6 * 8 * 1500 + 20_000


@pytest.mark.parametrize(
    ("samples", "data", "k", "error", "message"),
    [
        ([[0.0]] * 3, [[0.0]] * 4, None, ShapeError, "as many samples as data, at least two, got 3 and 4; give equal"),
        ([[0.0]], [[0.0]], None, ShapeError, "at least two, got 1 and 1"),
        ([[0.0]] * 4, [[0.0, 1.0]] * 4, None, ShapeError, "samples have rows of 1 values, but data have rows of 2"),
        ([[0.0]] * 4, [[0.0]] * 4, 0, ValueError, "two_sample_test: k must be an integer of at least 1, got 0"),
        ([[0.0]] * 5, [[0.0]] * 5, 5, ValueError, "k must be from 1 to the number of training rows, 4; got 5"),
        ([[0.0]] * 4, [[0.0]] * 3 + [[np.inf]], None, DataError, "two_sample_test: row 3 of data holds nan"),
    ],
)
def test_refusals(samples: Any, data: Any, k: int | None, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        two_sample_test(samples, data, k)
