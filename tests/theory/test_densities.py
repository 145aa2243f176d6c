"""Section 4 on densities: quadrature against closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from tinygan import theory
from tinygan.errors import DistributionError

LOG_2, LOG_4 = math.log(2), math.log(4)
NORMAL = stats.norm(0, 1)
SHIFTED = stats.norm(1, 2)

quadrature = settings(max_examples=5)  # each example takes some tenths of a second
centres, widths = st.floats(-3, 3), st.floats(-2, 2).map(lambda exponent: 10**exponent)


def standard_normal(x: Any) -> Any:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def kl_of_gaussians(a: float, s: float, b: float, t: float) -> float:
    return math.log(t / s) + (s**2 + (a - b) ** 2) / (2 * t**2) - 0.5


@quadrature
@given(centres, widths, centres, widths)
def test_kl_of_two_gaussians(a: float, s: float, b: float, t: float) -> None:
    found = theory.kl_divergence(stats.norm(a, s), stats.norm(b, t))
    assert found == pytest.approx(kl_of_gaussians(a, s, b, t), rel=1e-9, abs=1e-9)


@quadrature
@given(widths, widths)
def test_kl_of_two_exponentials(s: float, t: float) -> None:
    found = theory.kl_divergence(stats.expon(scale=s), stats.expon(scale=t))
    assert found == pytest.approx(math.log(t / s) + s / t - 1, rel=1e-9, abs=1e-9)


@quadrature
@given(st.floats(0.01, 0.99))
def test_uniform_densities(shift: float) -> None:
    p, q, wide = stats.uniform(0, 1), stats.uniform(shift, 1), stats.uniform(0, 1 + shift)
    assert theory.kl_divergence(p, wide) == pytest.approx(math.log(1 + shift), abs=1e-12)
    assert theory.kl_divergence(wide, p) == math.inf
    assert theory.js_divergence(p, q) == pytest.approx(shift * LOG_2, abs=1e-12)


def test_kl_of_two_cauchy_densities_with_their_heavy_tails() -> None:
    found = theory.kl_divergence(stats.cauchy(0, 1), stats.cauchy(3, 2))
    assert found == pytest.approx(math.log(((1 + 2) ** 2 + 3**2) / (4 * 1 * 2)), abs=1e-9)


def test_disjoint_supports() -> None:
    p, q = stats.uniform(0, 1), stats.uniform(5, 1)
    assert theory.kl_divergence(p, q) == math.inf
    assert theory.js_divergence(p, q) == pytest.approx(LOG_2, abs=1e-12)
    assert theory.criterion(p, q) == pytest.approx(0, abs=1e-12)


@quadrature
@given(centres, widths, centres, widths)
def test_equation_6_by_quadrature(a: float, s: float, b: float, t: float) -> None:
    p, q = stats.norm(a, s), stats.norm(b, t)
    assert abs(theory.criterion(p, q) - (-LOG_4 + 2 * theory.js_divergence(p, q))) < 1e-10


def test_equation_6_for_densities_infinite_at_their_ends() -> None:
    p, q = stats.beta(0.5, 0.5), stats.gamma(0.3)
    assert abs(theory.criterion(p, q) - (-LOG_4 + 2 * theory.js_divergence(p, q))) < 1e-9


def test_equation_4_agrees_with_a_sum_over_a_fine_grid() -> None:
    x, step = np.linspace(-40, 40, 80_001, retstep=True)  # exact beyond float64 for functions as smooth as these
    p, q = NORMAL.pdf(x), SHIFTED.pdf(x)
    s = np.logaddexp(NORMAL.logpdf(x), SHIFTED.logpdf(x))
    expected = step * (p * (NORMAL.logpdf(x) - s) + q * (SHIFTED.logpdf(x) - s)).sum()
    assert theory.criterion(NORMAL, SHIFTED) == pytest.approx(expected, abs=1e-12)


def test_theorem_1_by_quadrature() -> None:
    assert theory.criterion(SHIFTED, SHIFTED) == pytest.approx(-LOG_4, abs=1e-11)
    assert theory.js_divergence(SHIFTED, SHIFTED) == 0
    assert theory.js_divergence(NORMAL, stats.norm(1e-5, 1)) == pytest.approx(1e-10 / 8, rel=1e-3, abs=0)


def test_proposition_1_by_quadrature() -> None:
    best = theory.optimal_discriminator(NORMAL, SHIFTED)
    criterion = theory.criterion(NORMAL, SHIFTED)
    assert theory.value(NORMAL, SHIFTED, best) == pytest.approx(criterion, abs=1e-10)
    for off in (-0.1, 0.1):  # log p_data - log p_g = log 2 - x^2 / 2 + (x - 1)^2 / 8
        worse = theory.value(NORMAL, SHIFTED, lambda x, off=off: expit(off + LOG_2 - x * x / 2 + (x - 1) ** 2 / 8))
        assert worse < criterion - 1e-4
    assert theory.value(NORMAL, SHIFTED, 0.5) == pytest.approx(-LOG_4, abs=1e-10)


# ---------------------------------------------------------------------- D* as a function


def test_equation_2_of_two_gaussians_is_a_sigmoid() -> None:
    d = theory.optimal_discriminator(NORMAL, stats.norm(1, 1))
    x = np.array([[-1e3, -60.0, -1.0], [0.5, 2.0, 60.0]])  # at 60 both densities are rounded to 0
    np.testing.assert_allclose(d(x), expit(0.5 - x), rtol=1e-9, atol=1e-16)
    assert d(0.5) == 0.5
    assert d([0.5]).shape == (1,)
    assert d(1e3) > 0


def test_equation_2_is_undefined_off_the_union_of_the_supports() -> None:
    d = theory.optimal_discriminator(stats.uniform(0, 1), stats.uniform(0.5, 1))
    np.testing.assert_array_equal(d([-1, 0.2, 0.7, 1.2, 3]), [math.nan, 1, 0.5, 0, math.nan])


# ---------------------------------------------------------------------- densities as plain functions


@pytest.mark.parametrize(
    "q",
    [
        lambda x: math.exp(-((x - 1) ** 2) / 2) / math.sqrt(2 * math.pi),  # takes no arrays
        lambda x: np.exp(-((x - 1) ** 2) / 2) / math.sqrt(2 * math.pi),
        stats.norm(1, 1),
    ],
)
def test_functions_and_scipy_give_the_same(q: Any) -> None:
    assert theory.kl_divergence(standard_normal, q) == pytest.approx(0.5, abs=1e-9)
    d = theory.optimal_discriminator(standard_normal, q)
    np.testing.assert_allclose(d([-1.0, 0.5]), expit([1.5, 0.0]), atol=1e-12)


def test_a_function_is_0_and_not_called_outside_of_its_support() -> None:
    def density(x: Any) -> Any:
        assert np.all((x > 0) & (x <= 1))
        return 0.5 / np.sqrt(x)

    found = theory.kl_divergence(density, stats.uniform(0, 2), support=(0, 1))
    assert found == pytest.approx(LOG_2 - LOG_2 + 1, abs=1e-7)  # E log(1/sqrt x) = 1, - log 2, + log 2
    d = theory.optimal_discriminator(density, stats.uniform(0, 2), support=(0, 1))
    np.testing.assert_allclose(d([-1, 0.25, 1.5]), [math.nan, 2 / 3, 0], rtol=1e-14)


def test_a_constant_is_a_uniform_density() -> None:
    d = theory.optimal_discriminator(lambda x: 0.5, stats.uniform(0, 1), support=(0, 2))
    np.testing.assert_allclose(d([0.5, 1.5, 3]), [1 / 3, 1, math.nan])


def test_points_find_what_quadrature_overlooks() -> None:
    def far(x: Any) -> Any:
        return standard_normal((x - 500) / 0.01) / 0.01

    with pytest.raises(DistributionError, match="give points="):
        theory.criterion(far, standard_normal)
    points = [0, 499.9, 500, 500.1]
    assert theory.criterion(far, standard_normal, points=points) == pytest.approx(0, abs=1e-9)


def test_a_pole_inside_needs_a_point() -> None:
    def pole(x: float) -> float:
        return 0.25 / abs(x) ** 0.5

    with pytest.raises(DistributionError, match="give points="):
        theory.kl_divergence(pole, lambda x: 0.5, support=(-1, 1))
    found = theory.kl_divergence(pole, lambda x: 0.5, support=(-1, 1), points=[0])
    assert found == pytest.approx(1 - LOG_2, abs=1e-11)  # E log(1/sqrt|x|) = 1, log 1/4 - log 1/2
    assert theory.optimal_discriminator(pole, lambda x: 0.5, support=(-1, 1), points=[0])(0.0) == 1


def test_a_zero_at_a_single_point_does_not_matter() -> None:
    found = theory.kl_divergence(lambda x: 0.5, lambda x: 1.5 * x * x, support=(-1, 1))
    assert found == pytest.approx(2 - math.log(3), abs=1e-9)


def test_a_tail_rounded_to_0_still_has_mass() -> None:
    def narrow(x: Any) -> Any:  # exactly 0 beyond 19
        return standard_normal(2 * x) * 2

    assert theory.kl_divergence(standard_normal, narrow) == pytest.approx(kl_of_gaussians(0, 1, 0, 0.5), abs=1e-7)


def test_a_divergent_integral_is_refused() -> None:
    with pytest.raises(DistributionError, match=r"kl_divergence: the integral .* did not converge.* may be infinite"):
        theory.kl_divergence(lambda x: x**-1.5 / 2, stats.expon(1), support=(1, math.inf))


# ---------------------------------------------------------------------- discriminators over densities


def test_a_certain_and_wrong_d_is_minus_infinity() -> None:
    assert theory.value(NORMAL, SHIFTED, lambda x: x < 0) == -math.inf
    p, q = stats.uniform(0, 1), stats.uniform(1, 1)
    assert theory.value(p, q, lambda x: x < 1) == pytest.approx(0, abs=1e-12)
    assert theory.value(p, q, lambda x: x > 1) == -math.inf


def test_d_is_not_called_where_neither_density_has_mass() -> None:
    p, q = stats.uniform(0, 1), stats.uniform(5, 1)
    assert theory.value(p, q, theory.optimal_discriminator(p, q)) == pytest.approx(0, abs=1e-12)  # nan between them


@pytest.mark.parametrize(
    ("d", "words"),
    [
        (lambda x: x, r"value: d\(-?\d.*\) is .*; expected a probability in \[0, 1\]"),
        (lambda x: math.nan, r"value: d\(.*\) is nan; expected a probability"),
        ([0.5, 0.5], r"value: d has shape \(2,\) but p_data is a density; expected a function of x, or one number"),
        (2.0, r"value: d\(.*\) is 2; expected a probability"),
    ],
)
def test_d_that_is_not_a_discriminator_is_refused(d: Any, words: str) -> None:
    with pytest.raises(DistributionError, match=words):
        theory.value(NORMAL, SHIFTED, d)
