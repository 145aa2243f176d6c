"""Proposition 1 and Theorem 1 on distributions over points; the same on densities is in test_densities.py."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import entropy

import tinygan as tg
import tinygan.functional as F
from tinygan import optim, theory
from tinygan.errors import DistributionError, TinyganError

LOG_4 = math.log(4)
DATA = st.data()


def bernoulli_kl(a: Any, b: Any) -> Any:
    """KL between two Bernoulli distributions, given by the probability D of "data"."""
    return np.array([entropy([x, 1 - x], [y, 1 - y]) for x, y in zip(a, b, strict=True)])


def tensor_value(p: Any, q: Any, d: tg.Tensor) -> tg.Tensor:
    """Equation 1, differentiable."""
    return (p * F.log(d) + q * F.log(1 - d)).sum()


# ---------------------------------------------------------------------- equation 1


def test_equation_1_by_hand() -> None:
    expected = 0.5 * math.log(0.9) + 0.5 * math.log(0.4) + 0.25 * math.log(0.1) + 0.75 * math.log(0.6)
    assert theory.value([0.5, 0.5], [0.25, 0.75], [0.9, 0.4]) == pytest.approx(expected, abs=1e-15)


def test_equation_1_of_an_undecided_d_is_minus_log_4() -> None:
    assert theory.value([0.2, 0.8], [1.0, 0.0], 0.5) == pytest.approx(-LOG_4, abs=1e-15)


def test_equation_1_ignores_d_where_there_is_no_mass() -> None:
    assert theory.value([1, 0, 0], [0, 1, 0], [1, 0, math.nan]) == 0  # 0 log 0 = 0, twice


@pytest.mark.parametrize("d", [[0.0, 0.5], [0.5, 1.0]])
def test_equation_1_of_a_certain_and_wrong_d_is_minus_infinity(d: list[float]) -> None:
    assert theory.value([0.5, 0.5], [0.5, 0.5], d) == -math.inf


@given(DATA)
def test_equation_1_agrees_with_the_autodiff_engine(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    d = np.array(data.draw(st.lists(st.floats(1e-6, 1 - 1e-6), min_size=len(p), max_size=len(p))))
    expected = tensor_value(p, q, tg.tensor(d, dtype="float64")).item()
    assert theory.value(p, q, d) == pytest.approx(expected, rel=1e-12)


# ---------------------------------------------------------------------- Proposition 1, equation 2


@given(DATA)
def test_equation_2_by_exact_fractions(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    for a, b, d in zip(p, q, theory.optimal_discriminator(p, q), strict=True):
        if a + b == 0:
            assert np.isnan(d)
        else:
            assert d == pytest.approx(float(Fraction(a) / (Fraction(a) + Fraction(b))), rel=1e-14, abs=1e-300)
            assert (d == 0) == (a == 0)
            assert (d == 1) == (b == 0)


@given(DATA)
def test_proposition_1_no_discriminator_has_a_higher_value(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    d = data.draw(st.lists(st.floats(0, 1), min_size=len(p), max_size=len(p)))
    best = theory.value(p, q, theory.optimal_discriminator(p, q))
    assert theory.value(p, q, d) <= best + 1e-14
    assert best == pytest.approx(theory.criterion(p, q), abs=1e-14)


@pytest.mark.slow
@given(DATA)
def test_proposition_1_another_d_loses_a_divergence_from_d_star(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    d = np.array(data.draw(st.lists(st.floats(1e-6, 1 - 1e-6), min_size=len(p), max_size=len(p))))
    loss = np.nansum((p + q) * bernoulli_kl(theory.optimal_discriminator(p, q), d))  # nan times 0, outside the supports
    assert theory.criterion(p, q) - theory.value(p, q, d) == pytest.approx(loss, abs=1e-11)


@pytest.mark.slow
@given(DATA)
def test_proposition_1_the_derivative_vanishes_only_at_d_star(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs(smallest=1e-4, zeros=False))
    d = tg.tensor(theory.optimal_discriminator(p, q), dtype="float64", requires_grad=True)
    np.testing.assert_allclose(tg.grad(tensor_value(p, q, d), d).numpy(), 0, atol=1e-11)
    for factor, sign in ((0.99, 1), (1.01, -1)):
        logits = factor * np.exp(np.log(p) - np.log(q))
        off = tg.tensor(logits / (1 + logits), dtype="float64", requires_grad=True)
        assert (np.sign(tg.grad(tensor_value(p, q, off), off).numpy()) == sign).all()


@pytest.mark.slow
@settings(max_examples=10)
@given(DATA)
def test_proposition_1_gradient_ascent_approaches_d_star(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs(smallest=1e-2, zeros=False))
    logits = tg.tensor(np.zeros(len(p)), dtype="float64", requires_grad=True)
    adam = optim.Adam([logits], lr=0.3)
    distances = []
    for step in range(151):
        if step % 75 == 0:
            distances.append(abs(expit(logits.numpy()) - theory.optimal_discriminator(p, q)).max())
        logits.grad = tg.grad((p * F.softplus(-logits) + q * F.softplus(logits)).sum(), logits)
        adam.step()
    assert distances[-1] < 1e-3
    assert distances[0] < 1e-3 or distances[0] > 5 * distances[1]


# ---------------------------------------------------------------------- Theorem 1, equations 4 to 6


@given(DATA)
def test_equation_4_is_the_value_of_the_best_discriminator(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    union = p + q > 0
    a, b, s = p[union], q[union], (p + q)[union]
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(a > 0, a * np.log(a / s), 0).sum() + np.where(b > 0, b * np.log(b / s), 0).sum()
    assert theory.criterion(p, q) == pytest.approx(expected, abs=1e-13)


@given(DATA)
def test_equation_5_two_divergences_from_the_average(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    m = (p + q) / 2
    expected = -LOG_4 + theory.kl_divergence(p, m) + theory.kl_divergence(q, m)
    assert theory.criterion(p, q) == pytest.approx(expected, abs=1e-10)


@given(DATA)
def test_equation_6_minus_log_4_plus_twice_the_divergence(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    assert abs(theory.criterion(p, q) - (-LOG_4 + 2 * theory.js_divergence(p, q))) < 1e-10


def test_equation_6_holds_for_a_hundred_thousand_points() -> None:
    p, q = np.random.default_rng(0).dirichlet(np.full(100_000, 0.1), size=2)
    assert abs(theory.criterion(p, q) - (-LOG_4 + 2 * theory.js_divergence(p, q))) < 1e-10


@given(DATA)
def test_theorem_1_the_minimum_is_minus_log_4_at_equality(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    assert theory.criterion(p, p) == pytest.approx(-LOG_4, abs=1e-14)
    assert theory.criterion(p, q) >= -LOG_4 - 1e-14
    assert theory.criterion(p, q) <= 1e-14
    np.testing.assert_array_equal(theory.optimal_discriminator(p, p)[p > 0], 0.5)


@given(DATA)
def test_theorem_1_the_minimum_is_only_at_equality(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    variation = abs(p - q).sum() / 2
    # Pinsker's inequality, for each of the two divergences from the average: JSD >= variation^2 / 2
    assert theory.criterion(p, q) + LOG_4 >= variation**2 - 1e-14
    if variation > 1e-12:  # differences in the last digit may be lost
        assert theory.js_divergence(p, q) >= variation**2 / 2 * (1 - 1e-3)


def test_theorem_1_with_disjoint_supports_the_criterion_is_0() -> None:
    p, q = [0.5, 0.5, 0, 0, 0], [0, 0, 0.3, 0.7, 0]
    assert theory.criterion(p, q) == 0
    np.testing.assert_array_equal(theory.optimal_discriminator(p, q), [1, 1, 0, 0, math.nan])


# ---------------------------------------------------------------------- what is accepted and what is refused


def test_tensors_lists_and_whole_numbers_are_accepted() -> None:
    p = tg.tensor([0.25, 0.75], requires_grad=True)
    assert theory.criterion(p, (0.25, 0.75)) == pytest.approx(-LOG_4)
    assert theory.value([1, 0], np.array([0, 1], np.int8), tg.tensor([1.0, 0.0])) == 0
    assert theory.optimal_discriminator(p, p).dtype == np.float64


def test_the_arguments_are_left_as_they_are() -> None:
    p, q = np.array([0.25, 0.75]), np.array([0.5, 0.5])
    before = p.copy(), q.copy()
    theory.value(p, q, theory.optimal_discriminator(p, q))
    theory.criterion(p, q)
    np.testing.assert_array_equal((p, q), before)


@pytest.mark.parametrize(
    ("d", "words"),
    [
        ([0.5, 1.5], r"value: d\[1\] is 1.5; expected a probability in \[0, 1\]; .*sigmoid"),
        ([math.nan, 0.5], r"value: d\[0\] is nan; expected a probability"),
        ([0.5, 0.5, 0.5], r"value: d has shape \(3,\); expected \(2,\)"),
        (-0.1, r"value: d\[0\] is -0.1; expected a probability"),
        (lambda x: 0.5, "value: d is a function but p_data has masses; give the values of D"),
        ("half", "value: d is 'half'; expected real numbers"),
    ],
)
def test_d_that_is_not_a_discriminator_is_refused(d: Any, words: str) -> None:
    with pytest.raises(DistributionError, match=words):
        theory.value([0.5, 0.5], [0.25, 0.75], d)


def test_refusals_are_value_errors_of_tinygan() -> None:
    assert issubclass(DistributionError, ValueError)
    assert issubclass(DistributionError, TinyganError)
