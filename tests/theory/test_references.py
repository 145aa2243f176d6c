"""Divergences of densities are right or refused: closed forms, fine sums, and difficult integrals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import betaln, digamma, expit, gammaln, logsumexp

from tinygan import theory
from tinygan.errors import DistributionError
from tinygan.theory.logarithms import FORMULAS, log_density

INF, LOG_2 = math.inf, math.log(2)
NORMAL = stats.norm(0, 1)


def normal(centre: float, width: float) -> Callable[[float], float]:
    return lambda x: math.exp(-(((x - centre) / width) ** 2) / 2) / (width * math.sqrt(2 * math.pi))


def mixture(*parts: tuple[float, float, float]) -> Callable[[float], float]:
    """A mixture density, from (share, centre, width) of each component."""
    densities = [(share, normal(centre, width)) for share, centre, width in parts]
    return lambda x: sum(share * density(x) for share, density in densities)


# ---------------------------------------------------------------------- closed forms of KL, and fine sums for JSD


def draw_normal(rng: Any) -> tuple[Any, Any, float]:
    (a, b), (s, t) = rng.normal(0, 3, 2), 10 ** rng.uniform(-2, 2, 2)
    return stats.norm(a, s), stats.norm(b, t), math.log(t / s) + (s * s + (a - b) ** 2) / (2 * t * t) - 0.5


def draw_laplace(rng: Any) -> tuple[Any, Any, float]:
    (a, b), (s, t) = rng.normal(0, 3, 2), 10 ** rng.uniform(-2, 2, 2)
    d = abs(a - b)
    return stats.laplace(a, s), stats.laplace(b, t), math.log(t / s) + (s * math.exp(-d / s) + d) / t - 1


def draw_uniform(rng: Any) -> tuple[Any, Any, float]:
    a, width, left, right = rng.normal(), *10 ** rng.uniform(-3, 3, 3)
    if rng.random() < 0.3:  # the support of q does not contain that of p
        return stats.uniform(a, width), stats.uniform(a + left, width + right), INF
    return stats.uniform(a, width), stats.uniform(a - left, left + width + right), math.log1p((left + right) / width)


def draw_gamma(rng: Any) -> tuple[Any, Any, float]:
    (a, b), (s, t) = 10 ** rng.uniform(-1, 2, 2), 10 ** rng.uniform(-2, 2, 2)
    expected = (a - b) * digamma(a) - gammaln(a) + gammaln(b) + b * math.log(t / s) + a * (s / t - 1)
    return stats.gamma(a, scale=s), stats.gamma(b, scale=t), expected


def draw_beta(rng: Any) -> tuple[Any, Any, float]:
    a, b, c, d = 10 ** rng.uniform(-0.5, 1.5, 4)
    expected = betaln(c, d) - betaln(a, b) + (a - c) * digamma(a) + (b - d) * digamma(b)
    return stats.beta(a, b), stats.beta(c, d), expected + (c - a + d - b) * digamma(a + b)


def draw_cauchy(rng: Any) -> tuple[Any, Any, float]:
    (a, b), (s, t) = rng.normal(0, 10, 2), 10 ** rng.uniform(-2, 2, 2)
    return stats.cauchy(a, s), stats.cauchy(b, t), math.log(((s + t) ** 2 + (a - b) ** 2) / (4 * s * t))


@pytest.mark.slow
@pytest.mark.parametrize("draw", [draw_normal, draw_laplace, draw_uniform, draw_gamma, draw_beta, draw_cauchy])
def test_kl_against_closed_forms(draw: Any) -> None:
    rng = np.random.default_rng(0)
    for _ in range(8):
        p, q, expected = draw(rng)
        assert theory.kl_divergence(p, q) == pytest.approx(expected, rel=1e-9, abs=1e-9), (p.args, p.kwds, q.args)


@pytest.mark.slow
def test_js_against_a_fine_sum() -> None:
    rng = np.random.default_rng(1)
    for _ in range(4):
        parts = [[(w, *rng.normal(0, 4, 1), 10 ** rng.uniform(-1.5, 0.5)) for w in rng.dirichlet([1, 1])] for _ in "pq"]
        x, step = np.linspace(-40, 40, 100_001, retstep=True)  # exact beyond float64 for Gaussians as wide as these
        log_p, log_q = (
            logsumexp([math.log(w) + stats.norm.logpdf(x, a, s) for w, a, s in part], axis=0) for part in parts
        )
        log_m = np.logaddexp(log_p, log_q) - LOG_2
        expected = step * (np.exp(log_p) * (log_p - log_m) + np.exp(log_q) * (log_q - log_m)).sum() / 2
        assert theory.js_divergence(mixture(*parts[0]), mixture(*parts[1])) == pytest.approx(expected, abs=1e-10)


# ---------------------------------------------------------------------- logarithms that SciPy rounds


def test_a_density_that_scipy_rounds_to_0_has_a_logarithm() -> None:
    p, q = stats.laplace(0, 1), stats.laplace(0, 0.01)
    assert theory.kl_divergence(p, q) == pytest.approx(99 - math.log(100), abs=1e-10)
    assert theory.optimal_discriminator(stats.laplace(0, 1), stats.laplace(0, 2))(2000.0) == pytest.approx(
        0, abs=1e-300
    )
    assert theory.optimal_discriminator(p, stats.laplace(1, 1))(5000.0) == pytest.approx(expit(-1), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("q", [
    stats.hypsecant(scale=0.01), stats.laplace(scale=0.01), stats.foldnorm(1, scale=0.01, loc=-9),
    stats.johnsonsu(1, 2, scale=0.01), stats.norminvgauss(1.25, 0.5, scale=0.01), stats.rice(0.7, scale=0.01, loc=-9),
])  # fmt: skip
def test_kl_to_a_narrow_distribution_is_finite(q: Any) -> None:
    p, log_q = stats.uniform(-8, 7.5), log_density(q)
    assert log_q is not None
    x = np.linspace(-8, -0.5, 200_001)
    expected = -math.log(7.5) - np.trapezoid(log_q(x), x) / 7.5
    assert theory.kl_divergence(p, q) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_the_logarithms_are_those_of_scipy_where_it_has_digits() -> None:
    shapes = {
        "foldnorm": (1.9,), "invweibull": (10.6,), "johnsonsb": (4.3, 3.2), "johnsonsu": (2.6, 2.2),
        "loglaplace": (3.3,), "norminvgauss": (1.25, 0.5), "pareto": (2.6,), "rice": (0.8,),
    }  # fmt: skip
    for name in FORMULAS:
        frozen = getattr(stats, name)(*shapes.get(name, ()), loc=0.7, scale=1.9)
        x = np.concatenate([frozen.ppf(np.linspace(0.001, 0.999, 31)), [0.7, 2.6]])
        log = log_density(frozen)
        assert log is not None
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(log(x), frozen.logpdf(x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("q", [stats.landau(loc=6), stats.landau(loc=9), normal(0, 0.01), stats.rv_histogram])
def test_an_unknown_logarithm_is_refused(q: Any) -> None:
    if q is stats.rv_histogram:  # really 0 between the bars
        q = stats.rv_histogram((np.array([1, 0, 1]), np.array([-9.0, 0, 1, 9])), density=False)
        assert theory.kl_divergence(stats.uniform(-1, 3), q) == INF
        return
    with pytest.raises(DistributionError, match=r"is rounded to 0 from x = .*, where the other distribution has mass"):
        theory.kl_divergence(stats.uniform(-2, 4), q)


def test_d_star_is_refused_where_neither_logarithm_is_known() -> None:
    d = theory.optimal_discriminator(stats.landau(), stats.landau(0.1))
    assert 0 < d(0.0) < 1
    with pytest.raises(DistributionError, match="optimal_discriminator: p_data is rounded to 0 at x = -9"):
        d(-9.0)


# ---------------------------------------------------------------------- mass that an integral may overlook


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.3, 0.02, 1e-3])
@pytest.mark.parametrize("centre", [-7.3, 0.37, 5, 31])
def test_a_narrow_component_is_found_or_refused(centre: float, width: float) -> None:
    parts = (0.5, 0.0, 1.0), (0.5, centre, width)
    x = np.unique(
        np.concatenate([np.linspace(-30, 30, 60_001), np.linspace(centre - 40 * width, centre + 40 * width, 60_001)])
    )
    log_p = stats.norm.logpdf(x, 0, 2)
    log_q = np.logaddexp(stats.norm.logpdf(x, 0, 1), stats.norm.logpdf(x, centre, width)) - LOG_2
    log_m = np.logaddexp(log_p, log_q) - LOG_2
    expected = np.trapezoid(np.exp(log_p) * (log_p - log_m) + np.exp(log_q) * (log_q - log_m), x) / 2
    p, q = normal(0, 2), mixture(*parts)
    for first, second in ((p, q), (q, p), (NORMAL, q)):
        try:
            found = theory.js_divergence(first, second)
        except DistributionError as error:
            assert "give points=" in str(error)  # noqa: PT017
            found = theory.js_divergence(first, second, points=[centre])
        if first is not NORMAL:
            assert found == pytest.approx(expected, abs=1e-6)


def test_the_example_of_a_far_and_narrow_component() -> None:
    found = theory.js_divergence(normal(0, 2), mixture((0.5, 0, 1), (0.5, 5, 0.02)))
    assert found == pytest.approx(0.269769769, abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("ends", [(0.1, 0.7), (-3.0, 1e-3), (1 / 3, 17.0)])
def test_jumps_and_gaps_need_no_hint(ends: tuple[float, float]) -> None:
    a, b = ends
    box = lambda x: (a < x < b) / (b - a)  # noqa: E731
    halves = lambda x: (a < x < a + (b - a) / 4 or b - (b - a) / 4 < x < b) * 2 / (b - a)  # noqa: E731
    assert theory.kl_divergence(halves, box) == pytest.approx(LOG_2, abs=1e-9)
    assert theory.kl_divergence(box, halves) == INF
    assert theory.js_divergence(box, stats.uniform(a, b - a)) == pytest.approx(0, abs=1e-9)


# ---------------------------------------------------------------------- supports


SUPPORTS = {
    "line": stats.norm(0, 1),
    "right": stats.expon(),
    "further right": stats.expon(3),
    "left": stats.levy_l(),
    "box": stats.uniform(0, 1),
    "wide box": stats.uniform(-10, 20),
    "beta": stats.beta(2, 3),
    "far box": stats.uniform(-1e6, 2e6),
}


@pytest.mark.slow
@pytest.mark.parametrize("p", SUPPORTS)
@pytest.mark.parametrize("q", SUPPORTS)
def test_kl_is_infinite_where_q_has_no_support(p: str, q: str) -> None:
    (a, b), (c, d) = SUPPORTS[p].support(), SUPPORTS[q].support()
    try:
        found = theory.kl_divergence(SUPPORTS[p], SUPPORTS[q])
    except DistributionError as error:
        assert "it may be infinite" in str(error)  # noqa: PT017
        assert (p, q) == ("left", "line")  # a tail as 1 / |x|^1.5 against a Gaussian
        return
    assert (found == INF) == (not (c <= a and b <= d))


def test_the_mass_outside_may_be_small() -> None:
    q = stats.uniform(-10, 20)
    assert theory.kl_divergence(NORMAL, q) == INF
    assert theory.kl_divergence(normal(0, 1), q) == INF
    assert theory.kl_divergence(NORMAL, lambda x: 0.05, support=(-10, 10)) == INF
    assert theory.kl_divergence(NORMAL, lambda x: 0.05 * (-10 < x < 10)) == INF
    assert theory.kl_divergence(NORMAL, stats.pearson3(0.1)) == INF  # its support begins at -20
    assert math.isfinite(theory.kl_divergence(stats.pearson3(0.1), stats.expon(-20)))
    assert math.isfinite(theory.js_divergence(NORMAL, q))
    # the end of uniform(0.1, 0.2) is 0.1 + 0.2, one unit in the last place above 0.3
    assert theory.kl_divergence(stats.uniform(0.1, 0.2), stats.uniform(0, 0.3)) == pytest.approx(math.log(1.5))


def test_masses_of_discrete_distributions() -> None:
    k = np.arange(200)
    poisson, binomial = stats.poisson(3).pmf(k), stats.binom(20, 0.15).pmf(k)
    assert theory.kl_divergence(poisson, binomial) == INF
    expected = (binomial[:21] * np.log(binomial[:21] / poisson[:21])).sum()
    assert theory.kl_divergence(binomial, poisson) == pytest.approx(expected, abs=1e-13)
    for frozen in (stats.poisson(3), *([stats.Binomial(n=5, p=0.5)] if hasattr(stats, "Binomial") else [])):
        with pytest.raises(DistributionError, match="p is a discrete distribution"):
            theory.kl_divergence(frozen, NORMAL)


# ---------------------------------------------------------------------- the value of a D that is a formula


def sigmoid(a: float) -> Callable[[float], float]:
    return lambda x: 1 / (1 + math.exp(-a * x))


def value_of_logit(a: float, centre: float) -> float:
    x, step = np.linspace(-60, 60, 600_001, retstep=True)
    p, q = stats.norm.pdf(x, 1), stats.norm.pdf(x, centre)
    return -step * (p * np.logaddexp(0, -a * x) + q * np.logaddexp(0, a * x)).sum()


@pytest.mark.slow
@pytest.mark.parametrize("a", [1, 2, 4])
def test_a_d_that_is_rounded_where_it_cannot_matter(a: float) -> None:
    found = theory.value(stats.norm(1, 1), stats.norm(-1, 1), sigmoid(a))
    assert found == pytest.approx(value_of_logit(a, -1), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("a", [10, 100])
def test_a_d_that_is_rounded_where_it_matters(a: float) -> None:
    p, q = stats.norm(1, 1), stats.norm(2, 1)
    with pytest.raises(DistributionError, match=r"D .*give the logit of D, with logits=True"):
        theory.value(p, q, lambda x: float(expit(a * x)))
    found = theory.value(p, q, lambda x: a * x, logits=True)
    assert found == pytest.approx(value_of_logit(a, 2), rel=1e-9)


def test_logits_of_masses() -> None:
    p, q, a = np.array([0.5, 0.5]), np.array([0.25, 0.75]), np.array([0.3, -2.0])
    assert theory.value(p, q, a, logits=True) == pytest.approx(theory.value(p, q, expit(a)), abs=1e-15)
    assert theory.value(p, q, [800, 0.0], logits=True) == pytest.approx(-0.25 * 800 - 1.25 * LOG_2)
    assert theory.value([1, 0], [0, 1], [INF, -INF], logits=True) == 0
    with pytest.raises(DistributionError, match=r"value: d\[1\] is nan; expected a logit"):
        theory.value(p, q, [0, math.nan], logits=True)


@pytest.mark.slow
@pytest.mark.parametrize("low", [-1.37, 0.0, 0.5, 2.2])
@pytest.mark.parametrize("width", [0.3, 0.02, 0.003])
def test_a_narrow_band_of_d_counts(low: float, width: float) -> None:
    p, q = NORMAL, stats.norm(1, 1)
    in_p, in_q = (r.cdf(low + width) - r.cdf(low) for r in (p, q))
    expected = -2 * LOG_2 + in_p * math.log(2e-6) + in_q * (math.log1p(-1e-6) + LOG_2)
    found = theory.value(p, q, lambda x: 1e-6 if low < x < low + width else 0.5)
    assert found == pytest.approx(expected, abs=1e-9)
    found = theory.value(p, q, lambda x: 1e-6 if 0.5 < x < 0.50001 else 0.5, points=[0.5, 0.50001])
    assert found < -2 * LOG_2 - 1e-6


def test_a_d_that_is_certain_and_wrong_far_out() -> None:
    for side in (-1, 1):
        assert theory.value(NORMAL, NORMAL, lambda x, side=side: 0.5 if side * x < 9 else float(side > 0)) == -INF


# ---------------------------------------------------------------------- each x alone


@pytest.mark.slow
@pytest.mark.parametrize("function", [
    lambda x: normal(0, 1)(x) if np.ndim(x) == 0 else np.exp(-np.mean(np.square(x))),
    lambda x: normal(0, 1)(x) if np.ndim(x) == 0 else np.full(np.size(x), 0.3),
    lambda x: normal(0, 1)(x) if np.ndim(x) == 0 else 0.3,
    lambda x: np.reshape(normal(0, 1)(float(np.sum(x))), (1, 1)),
])  # fmt: skip
def test_each_x_is_evaluated_alone(function: Any) -> None:
    x = np.array([[-1.0, 0.0, 0.3], [1.0, 2.0, 4.0]])
    for p, q in ((function, stats.norm(1, 1)), (stats.norm(1, 1), function)):
        d = theory.optimal_discriminator(p, q)
        np.testing.assert_array_equal(d(x), [[d(at) for at in row] for row in x])
    assert theory.criterion(function, normal(1, 1)) == pytest.approx(theory.criterion(NORMAL, stats.norm(1, 1)))
    answers = lambda x: np.mean(function(x)) / (np.mean(function(x)) + np.mean(normal(1, 1)(np.sum(x))))  # noqa: E731
    assert theory.value(NORMAL, stats.norm(1, 1), answers) == pytest.approx(
        theory.criterion(NORMAL, stats.norm(1, 1)), abs=1e-9
    )
