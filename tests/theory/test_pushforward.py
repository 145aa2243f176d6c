"""The density of G(z): by change of variables, and by samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import norm

from tinygan.errors import DistributionError
from tinygan.theory.pushforward import pushforward

VALUES = hnp.arrays(float, st.integers(2, 12), elements=st.floats(-3, 3, width=16))
EDGES = st.sets(st.integers(-24, 24), min_size=2, max_size=9).map(lambda marks: np.array(sorted(marks)) / 8)


@given(VALUES, EDGES)
def test_the_masses_are_the_shares_of_evenly_spaced_z(values: Any, edges: Any) -> None:
    pieces = 4000
    z = (np.arange(pieces * (len(values) - 1)) + 0.5) / pieces  # the middles of small pieces
    x = np.interp(z, np.arange(len(values)), values)
    expected = np.diff([(x < edge).mean() for edge in edges])  # half open, as numpy.histogram's last bin is not
    np.testing.assert_allclose(pushforward(values, edges), expected, atol=1e-3)


@given(VALUES)
def test_masses_sum_to_1_if_the_edges_contain_all(values: Any) -> None:
    masses = pushforward(values, np.linspace(-4, 4, 30))
    assert masses.sum() == pytest.approx(1, abs=1e-12)
    assert (masses >= -1e-15).all()


@given(VALUES, EDGES)
def test_the_direction_of_z_does_not_matter_and_bins_add_up(values: Any, edges: Any) -> None:
    masses = pushforward(values, edges)
    np.testing.assert_allclose(pushforward(values[::-1], edges), masses, atol=1e-14)
    assert pushforward(values, edges[[0, -1]])[0] == pytest.approx(masses.sum(), abs=1e-14)


@given(VALUES, EDGES, st.floats(0.125, 8), st.floats(-5, 5))
def test_a_change_of_units_changes_nothing(values: Any, edges: Any, scale: float, shift: float) -> None:
    masses = pushforward(values, edges)
    # rounding may move a value across an edge, so the compared values lie on a straight piece or away from the edges
    if not np.isin(values, edges).any():
        np.testing.assert_allclose(pushforward(scale * values + shift, scale * edges + shift), masses, atol=1e-9)


def test_the_inverse_distribution_function_is_a_generator() -> None:
    edges = np.linspace(-2, 2, 41)
    errors = []
    for n in (1001, 10_001):
        z = np.linspace(0.001, 0.999, n)
        expected = np.diff(norm.cdf(edges)) / 0.998
        errors.append(abs(pushforward(norm.ppf(z), edges) - expected).max())
    assert errors[1] < 1e-6
    assert errors[0] > 50 * errors[1]  # the error falls as 1 / n^2


def test_p_g_is_high_where_g_contracts_and_low_where_it_expands() -> None:
    z = np.linspace(-1, 1, 2001)
    masses = pushforward(z**3, [-1, -0.125, 0.125, 1])
    np.testing.assert_allclose(masses, [0.25, 0.5, 0.25], atol=1e-6)


def test_a_constant_map_puts_all_mass_into_one_bin() -> None:
    assert pushforward([1.0, 1.0, 1.0], [0.0, 1.0, 2.0]).tolist() == [0, 1]
    assert pushforward([2.0, 2.0], [0.0, 1.0, 2.0]).tolist() == [0, 0]


def test_the_widest_map_does_not_overflow() -> None:
    np.testing.assert_allclose(pushforward([-1.5e308, 1.5e308], [-1.5e308, 0, 0.75e308]), [0.5, 0.25])
    np.testing.assert_allclose(pushforward([0.0, 2.0], [-math.inf, 0.5, math.inf]), [0.25, 0.75])


@pytest.mark.parametrize(("values", "edges", "words"), [
    ([1.0], [0, 1], r"values has shape \(1,\); expected G\(z\) at two or more z"),
    ([[1.0, 2.0]], [0, 1], r"values has shape \(1, 2\)"),
    ([1.0, math.nan], [0, 1], "all of them finite"),
    ([1.0, math.inf], [0, 1], "all of them finite"),
    ([1.0, 2.0], [0], r"edges has shape \(1,\); expected two or more increasing numbers"),
    ([1.0, 2.0], [0, 0], "increasing"),
    ([1.0, 2.0], [1, 0], "increasing"),
    ([1.0, 2.0], [0, math.nan], "increasing"),
    ("G", [0, 1], "pushforward: values is 'G'; expected real numbers"),
])  # fmt: skip
def test_values_or_edges_that_do_not_fit_are_refused(values: Any, edges: Any, words: str) -> None:
    with pytest.raises(DistributionError, match=words):
        pushforward(values, edges)
