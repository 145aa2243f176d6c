"""Arguments that are not distributions are refused; the message says what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

import tinygan as tg
from tinygan import theory
from tinygan.errors import DistributionError

NORMAL = stats.norm(0, 1)
FUNCTIONS: list[Callable[..., Any]] = [
    theory.criterion,
    theory.js_divergence,
    theory.kl_divergence,
    theory.optimal_discriminator,
    lambda p, q, **keywords: theory.value(p, q, 0.5, **keywords),
    theory.descend,
]


def refusal(*arguments: Any, **keywords: Any) -> str:
    with pytest.raises(DistributionError) as caught:
        theory.criterion(*arguments, **keywords)
    return str(caught.value)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "wrong",
    [[], [0.5, 0.6], [1.5, -0.5], [math.nan, 1], [math.inf, 0], [[0.5, 0.5]], 1.0, "half", None, [[1.0], 0.0], [1j]],
)
def test_every_function_checks_both_distributions(
    function: Callable[..., Any], wrong: Any
) -> None:
    for arguments in ((wrong, [0.5, 0.5]), ([0.5, 0.5], wrong)):
        with pytest.raises(DistributionError):
            function(*arguments)


@given(st.lists(st.floats(0, 1) | st.floats() | st.sampled_from([0.5, 1 / 3]), min_size=1, max_size=4))
def test_only_distributions_pass(masses: list[float]) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        off = abs(np.sum(masses) - 1)
    assume(not 0.9e-6 < off < 1.1e-6)
    if off < 1e-6 and min(masses) >= 0:
        assert theory.js_divergence(masses, masses) == 0
    else:
        with pytest.raises(DistributionError):
            theory.js_divergence(masses, masses)


@given(st.integers(1, 2000), st.integers(0, 2**32 - 1))
def test_masses_rounded_to_float32_pass(n: int, seed: int) -> None:
    p = np.random.default_rng(seed).dirichlet(np.ones(n)).astype(np.float32)
    assert abs(theory.criterion(p, tg.tensor(p)) + math.log(4)) < 1e-12


def test_messages_for_masses() -> None:
    assert refusal([0.5, 0.4], [0.5, 0.5]) == (
        "criterion: p_data sums to 0.9; expected masses that sum to 1 within 1e-06; divide them by their sum"
    )
    assert refusal([0.5, 0.5], [1.5, -0.5]) == (
        "criterion: p_g[1] is -0.5; expected a mass: a finite number, 0 or more"
    )
    assert "p_g[0] is nan; expected a mass" in refusal([0.5, 0.5], [math.nan, 1])
    assert "p_data has shape (1, 2); expected (n,), the masses of n >= 1 points; ravel" in refusal([[0.5, 0.5]], [1.0])
    assert "p_data has shape (0,)" in refusal([], [])
    assert "p_data is 'half'; expected real numbers, as in [0.5, 0.5]" in refusal("half", [1.0])
    assert "p_data is an array of complex128; expected real numbers" in refusal(np.ones(1, complex), [1.0])
    assert refusal([0.5, 0.5], [0.2, 0.3, 0.5]) == (
        "criterion: p_data has 2 masses and p_g has 3; expected masses of the same points in the same order; "
        "where one of them lacks a point, give it the mass 0"
    )
    assert "p_g is a list of masses and p_data a density; expected two of one kind" in refusal(NORMAL, [1.0])


def test_messages_for_densities() -> None:
    assert "p_data is a discrete distribution of scipy.stats; expected masses or a density; give" in refusal(
        stats.poisson(3), NORMAL
    )
    assert "p_data is a multivariate_normal_frozen, which has no support()" in refusal(
        stats.multivariate_normal([0, 0]), NORMAL
    )
    assert "p_data has the support (nan, nan): its parameters are out of range for scipy.stats" in refusal(
        stats.norm(0, -1), NORMAL
    )
    for several in (stats.norm([0, 1], 1), stats.gamma):
        assert "expected one distribution with all its parameters as single numbers" in refusal(several, NORMAL)
    assert "p_g integrates to 2 over (0, 1); expected 1 within 1e-06; divide it by its integral" in refusal(
        NORMAL, lambda x: 2.0, support=(0, 1)
    )
    assert "integrates to 0 over (-inf, inf); expected 1" in refusal(NORMAL, lambda x: math.exp(-((x - 1e4) ** 2) / 2))
    assert "or, where quadrature overlooked a narrow peak, give points=[...] at the peak and its flanks" in refusal(
        NORMAL, lambda x: math.exp(-((x - 1e4) ** 2) / 2)
    )
    assert "p_g is negative or nan at x = " in refusal(NORMAL, lambda x: -1.0)
    assert "p_g is negative or nan at x = " in refusal(NORMAL, lambda x: math.nan)
    assert "p_g: the integral from 0 to 1 did not converge" in refusal(NORMAL, lambda x: 1 / x, support=(0, 1))
    assert ") has shape (2,); expected one number for one x" in refusal(NORMAL, lambda x: [0.5, 0.5])


@pytest.mark.parametrize("support", [(1, 0), (0, 0), (0, math.nan), 3, "ab", (0, 1, 2)])
def test_messages_for_support(support: Any) -> None:
    assert "; expected (a, b) with a < b, as in (0, math.inf)" in refusal(lambda x: 1.0, NORMAL, support=support)


@pytest.mark.parametrize("points", [3, ["a"], None])
def test_messages_for_points(points: Any) -> None:
    assert "; expected a list of numbers" in refusal(NORMAL, NORMAL, points=points)
