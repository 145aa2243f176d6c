from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from tinygan import theory

DATA = st.data()


@given(DATA)
def test_kl_agrees_with_scipy(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    assert theory.kl_divergence(p, q) == pytest.approx(entropy(p, q), rel=1e-12, abs=1e-12)


@given(DATA)
def test_js_agrees_with_scipy(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    with np.errstate(invalid="ignore"):  # SciPy takes the root of a rounded 0
        expected = np.nan_to_num(jensenshannon(p, q)) ** 2
    assert theory.js_divergence(p, q) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(DATA)
def test_kl_is_not_negative_and_0_between_equals(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    assert theory.kl_divergence(p, q) >= 0
    assert theory.kl_divergence(p, p) == 0


@given(DATA)
def test_kl_is_infinite_exactly_where_q_lacks_mass(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    assert math.isinf(theory.kl_divergence(p, q)) == bool(((p > 0) & (q == 0)).any())


@given(DATA)
def test_js_is_symmetric_and_at_most_log_2(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    assert theory.js_divergence(p, q) == theory.js_divergence(q, p)
    assert 0 <= theory.js_divergence(p, q) <= math.log(2)
    assert theory.js_divergence(p, p) == 0


@pytest.mark.parametrize("n", range(1, 30))
def test_js_of_disjoint_supports_is_log_2(n: int) -> None:
    p, q = np.zeros((2, 2 * n))
    p[:n], q[n:] = np.random.default_rng(n).dirichlet(np.ones(n), size=2)
    assert theory.js_divergence(p, q) == pytest.approx(math.log(2), rel=1e-14)
    assert theory.js_divergence(p, q) <= math.log(2)


@pytest.mark.parametrize("shift", [1e-3, 1e-6, 1e-9, 1e-12])
def test_close_distributions_keep_their_digits(shift: float) -> None:
    p, q = np.array([0.5, 0.5]), np.array([0.5 + shift, 0.5 - shift])
    e = q[0] - 0.5  # what the shift became by rounding
    assert theory.kl_divergence(p, q) == pytest.approx(2 * e**2, rel=3 * shift + 1e-3, abs=0)
    assert theory.js_divergence(p, q) == pytest.approx(e**2 / 2, rel=3 * shift + 1e-3, abs=0)


def test_kl_between_masses_of_the_smallest_size() -> None:
    tiny = 5e-324  # the smallest number of float64
    assert theory.kl_divergence([0.5, 0.5], [1.0, tiny]) == pytest.approx(-math.log(2) - 0.5 * math.log(tiny))
    assert theory.kl_divergence([1.0, tiny], [0.5, 0.5]) == pytest.approx(math.log(2))
