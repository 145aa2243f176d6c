"""The paper's statements on gradients: both objectives of the generator (section 3), and through noise (section 2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, ndtri

import tinygan as tg
import tinygan.functional as F
from tinygan import gan, nn, theory

DATA = st.data()
KINDS = ("minimax", "non-saturating")

Z = ndtri((np.arange(200) + 0.5) / 200)  # 200 points that represent N(0, 1): the medians of 200 equal shares


# ---------------------------------------------------------------------- section 3: the two objectives


@given(hnp.arrays(np.float64, st.integers(1, 5), elements=st.floats(-700, 700)))
@pytest.mark.parametrize("kind", KINDS)
def test_section_3_gradients_with_respect_to_the_logit(kind: str, logits: Any) -> None:
    a = tg.tensor(logits, requires_grad=True)
    found = tg.grad(gan.generator_loss(a, kind), a).numpy() * a.size  # the loss is a mean
    np.testing.assert_allclose(found, -expit(logits) if kind == "minimax" else -(1 - expit(logits)), rtol=0, atol=1e-15)


def generator_gradient(kind: str, centre: float, log_width: float) -> Any:
    """The gradient with respect to centre and log width of G(z) = centre + exp(log width) z, with D* for N(0, 1)."""
    parameters = tg.tensor([centre, log_width], dtype="float64", requires_grad=True)
    x = parameters[0] + F.exp(parameters[1]) * Z
    y = (x - centre) * math.exp(-log_width)  # D* is fixed: its parameters are not differentiated
    logits = -(x * x) / 2 + y * y / 2 + log_width  # log p_data - log p_g, of which D* is the sigmoid
    return tg.grad(gan.generator_loss(logits, kind), parameters).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_section_3_both_objectives_rest_where_p_g_is_p_data(kind: str) -> None:
    np.testing.assert_allclose(generator_gradient(kind, 0, 0), 0, atol=1e-15)


@given(st.floats(0.01, 3), st.sampled_from([-1, 1]))
@pytest.mark.parametrize("kind", KINDS)
def test_section_3_both_objectives_lead_to_where_p_g_is_p_data(kind: str, distance: float, sign: int) -> None:
    assert sign * generator_gradient(kind, sign * distance, 0)[0] > 0  # descent is towards 0
    assert sign * generator_gradient(kind, 0, sign * distance)[1] > 0


@given(DATA)
def test_section_3_both_slopes_are_flat_only_at_p_data(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs(smallest=1e-6, zeros=False))
    for slope in (lambda d: np.log1p(-d), lambda d: -np.log(d)):  # of E_g log(1 - D) and -E_g log D in p_g
        # where the slope is constant, moving mass between points changes nothing
        assert np.ptp(slope(theory.optimal_discriminator(p, p))) == 0
        assert np.ptp(slope(theory.optimal_discriminator(p, q))) >= abs(p - q).sum() / 4 - 1e-14


# ---------------------------------------------------------------------- section 2: the gradient through noise


def gradient_through_noise(f: Callable[[tg.Tensor], tg.Tensor], x: Any, s: float) -> Any:
    """grad_x of E f(x + e), e ~ N(0, s^2 I), the expectation by Gauss-Hermite quadrature with 20 nodes an axis."""
    nodes, shares = np.polynomial.hermite_e.hermegauss(20)
    e = np.array(list(product(nodes, repeat=len(x))))
    weights = np.array([math.prod(w) for w in product(shares / shares.sum(), repeat=len(x))])
    at = tg.tensor(x, dtype="float64", requires_grad=True)
    return tg.grad((f(at + s * e) * weights).sum(), at).numpy()


def smooth_network(inputs: int, seed: int) -> Callable[[tg.Tensor], tg.Tensor]:
    """log(1 - D) of a small discriminator, from points (m, inputs) to m values."""
    stream = np.random.default_rng(seed)
    network = nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, 1))
    for parameter in network.parameters():
        parameter.data = stream.normal(size=parameter.shape)
    return lambda x: -F.softplus(network(x))[:, 0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("inputs", [1, 2])
def test_section_2_the_error_falls_as_the_square_of_the_noise(
    inputs: int, seed: int
) -> None:
    f, x = smooth_network(inputs, seed), np.random.default_rng(seed).normal(size=inputs)
    at = tg.tensor(x, dtype="float64", requires_grad=True)
    exact = tg.grad(f(at.reshape(1, inputs)).sum(), at).numpy()
    sizes = [0.02, 0.01, 0.005]
    errors = [np.linalg.norm(gradient_through_noise(f, x, s) - exact) for s in sizes]
    assert errors[-1] < 1e-3
    # half the noise, a quarter of the error
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 4, rtol=0.02)
    np.testing.assert_allclose(gradient_through_noise(f, x, 1e-6), exact, atol=1e-9)


def test_section_2_for_a_polynomial_the_error_is_exact() -> None:
    f = lambda x: (x**3).sum(axis=1)  # noqa: E731  (grad of E (x + e)^3 is 3 x^2 + 3 s^2)
    x = np.array([0.7, -1.1])
    for s in (1.0, 0.1):
        np.testing.assert_allclose(gradient_through_noise(f, x, s), 3 * x**2 + 3 * s**2, rtol=1e-12)
