from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.errors import BenchmarkError
from benchmarks.statistics import ratios, summarise

TIMES = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=30)
TURNS = st.lists(TIMES, min_size=1, max_size=6)


@given(TIMES)
def test_the_summary_is_ordered_and_made_of_the_samples(times: list[float]) -> None:
    summary = summarise(times)
    assert min(times) <= summary["p10_ms"] <= summary["median_ms"] <= summary["p90_ms"] <= max(times)
    assert summary["iqr_ms"] >= 0
    assert summary["count"] == len(times)
    np.testing.assert_allclose(summary["samples_ms"], times, atol=1e-5)


@given(TIMES, st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(times: list[float], random) -> None:
    shuffled = random.sample(times, len(times))
    for key in ("median_ms", "p10_ms", "p90_ms", "iqr_ms"):
        assert summarise(times)[key] == summarise(shuffled)[key]


def test_one_interruption_changes_no_median_or_spread() -> None:
    calm = summarise([10.0] * 20)
    hit = summarise([10.0] * 20 + [1e6])
    assert {key: hit[key] for key in calm if key.endswith("_ms") and key != "samples_ms"} == {
        "median_ms": 10.0, "p10_ms": 10.0, "p90_ms": 10.0, "iqr_ms": 0.0
    }


def test_known_quantiles() -> None:
    summary = summarise([float(i) for i in range(101)])
    assert [summary[key] for key in ("median_ms", "p10_ms", "p90_ms", "iqr_ms")] == [50.0, 10.0, 90.0, 50.0]


def test_nothing_cannot_be_summarised() -> None:
    with pytest.raises(BenchmarkError, match="not one iteration was timed"):
        summarise([])


@given(TURNS, st.floats(0.1, 10), st.data())
def test_a_slow_machine_leaves_the_ratio_alone(turns: list[list[float]], factor: float, data) -> None:
    """Each turn is slowed by a factor of its own, for both."""
    slow = [data.draw(st.floats(0.1, 10)) for _ in turns]
    a = [[factor * s * time for time in turn] for s, turn in zip(slow, turns, strict=True)]
    b = [[s * time for time in turn] for s, turn in zip(slow, turns, strict=True)]
    found = ratios(a, b)
    assert found["ratio"] == pytest.approx(factor)
    assert found["ratio_p10"] == pytest.approx(factor)
    assert found["ratio_p90"] == pytest.approx(factor)


def test_the_ratio_is_the_median_of_the_turns() -> None:
    found = ratios([[1.0], [2.0], [30.0]], [[1.0], [1.0], [1.0]])
    assert found["ratio"] == 2.0
    assert found["ratio_p10"] < 2.0 < found["ratio_p90"]


def test_one_interruption_moves_no_ratio() -> None:
    assert ratios([[2.0, 2.0, 1e6]], [[1.0, 1.0, 1.0]])["ratio"] == 2.0


def test_ratios_need_equally_many_turns() -> None:
    with pytest.raises(BenchmarkError, match="got 1 and 2"):
        ratios([[1.0]], [[1.0], [1.0]])
