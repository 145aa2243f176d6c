from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scaling import NETWORKS, WORTH, Network, Step, fit, where_it_pays

COSTS = st.floats(1e-4, 100)
STEPS = st.builds(Step, COSTS, COSTS, st.floats(0, 1), st.integers(0, 10**8), st.integers(0, 50), COSTS)
FREE = Network("free", 0, float("inf"), "")


@given(COSTS, COSTS, st.lists(st.integers(1, 4096), min_size=2, unique=True))
def test_a_line_is_found_again(fixed: float, row: float, rows: list[int]) -> None:
    times = [fixed + row * m for m in rows]
    coefficients, residual = fit([np.ones(len(rows)), rows], times)
    assert residual < 1e-6
    assert np.dot([1, 100], coefficients) == pytest.approx(fixed + 100 * row, rel=1e-3)


def test_no_coefficient_is_negative() -> None:
    (fixed, row), residual = fit([[1, 1], [1, 2]], [1.0, 3.0])
    assert fixed == 0
    assert row > 0
    assert residual > 0.01


@given(STEPS, st.integers(1, 500), st.sampled_from(NETWORKS))
def test_one_rank_sends_nothing(step: Step, rows: int, network: Network) -> None:
    assert step.ms(1, rows, network) == pytest.approx(step.fixed_ms + (step.row_ms + step.draw_ms) * rows)


@given(STEPS, st.integers(1, 500), st.sampled_from(NETWORKS), st.booleans())
def test_the_last_rank_that_pays(step: Step, rows: int, network: Network, weak: bool) -> None:
    found = where_it_pays(step, rows, network, weak, most=50)
    last = 50 if weak else min(50, rows)
    speedups = [1.0, *(step.speedup(n, rows, network, weak) for n in range(2, last + 1))]
    worth = [speedup / n for n, speedup in enumerate(speedups, 1)]
    assert all(share < WORTH + 1e-9 for share in worth[found["pays_to"] :])
    assert worth[found["pays_to"] - 1] >= WORTH - 1e-9
    assert (found["why"] is None) == (found["pays_to"] == last)
    assert found["speedup"] == pytest.approx(max(speedups))
    assert speedups[found["fastest"] - 1] == found["speedup"]
    assert (found["faster_from"] is None) == (max(speedups) <= 1)


@given(st.integers(2, 1000), st.integers(1, 10**9))
def test_the_bytes_of_a_sum(ranks: int, size: int) -> None:
    latency, transfer = Network("", 1.0, 1.0, "").sum_ms(ranks, size, calls=3)
    assert latency == pytest.approx(3 * 2 * np.log2(ranks) / 1e3)
    assert size / 1e6 * (1 - 1e-9) <= transfer < 2 * size / 1e6


def test_a_free_network_divides_the_rows_only() -> None:
    step = Step(fixed_ms=2, row_ms=1, draw_ms=0.1, size=10**6, calls=2, alone_ms=90)
    assert step.ms(4, 100, FREE) == pytest.approx(2 + 25 + 10)
    assert step.speedup(4, 100, FREE, weak=True) == pytest.approx(4 * 90 / (2 + 100 + 40))


@pytest.mark.parametrize(
    ("step", "weak", "why"),
    [
        (Step(50, 1, 0, 0, 0, 150), False, "fixed cost"),
        (Step(0, 1, 0.2, 0, 0, 120), True, "draws"),
        (Step(0, 1, 0, 10**9, 1, 100), False, "bandwidth"),
        (Step(0, 1, 0, 0, 10**5, 100), True, "latency"),
    ],
)
def test_why_no_more_ranks_pay(step: Step, weak: bool, why: str) -> None:
    assert where_it_pays(step, 100, NETWORKS[1], weak)["why"] == why
