from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.plots import crossover

SIZES = [1, 4, 16, 64, 256, 1024]


@given(st.floats(0.2, 3), st.floats(0, 0.1), st.floats(1.5, 900))
def test_power_laws_cross_where_they_must(steep: float, flat: float, where: float) -> None:
    a = [(size / where) ** steep for size in SIZES]
    b = [(size / where) ** flat for size in SIZES]
    assert crossover(SIZES, a, SIZES, b) == pytest.approx(where, rel=1e-4)
    assert crossover(SIZES, b, SIZES, a) is None  # the steep one loses at the end


def test_one_that_always_wins_wins_from_the_smallest_common_size() -> None:
    assert crossover([1, 8], [5, 5], [2, 8], [1, 1]) == pytest.approx(2)


def test_the_last_crossing_counts() -> None:
    a, b = [1, 3, 1, 3], [2, 2, 2, 2]
    where = crossover([1, 10, 100, 1000], a, [1, 10, 100, 1000], b)
    assert where is not None
    assert 100 < where < 1000


def test_without_common_sizes_nothing_is_said() -> None:
    assert crossover([1, 2], [1, 1], [3, 4], [0.5, 0.5]) is None
