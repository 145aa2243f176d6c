"""The losses are those of the paper, at every floating-point logit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit

import tinygan as tg
from tinygan import nn
from tinygan.engine import Tensor
from tinygan.gan import OBJECTIVES, Algorithm1, discriminator_loss, generator_loss
from tinygan.gan.objectives import Objective, probabilities

shapes = st.tuples(st.integers(1, 6), st.just(1)) | st.tuples(st.integers(1, 6))
finite = arrays(np.float64, shapes, elements=st.floats(-1000, 1000))
extreme = arrays(np.float64, shapes, elements=st.sampled_from([-np.inf, -1e300, -1000.0, 0.0, 1000.0, 1e300, np.inf]))
logits = finite | extreme


def minus_log_d(a):
    return np.logaddexp(0, -a)


def minus_log_one_minus_d(a):
    return np.logaddexp(0, a)


@given(logits, logits)
def test_the_discriminator_s_loss_is_minus_the_value_function(real, fake):
    loss = discriminator_loss(Tensor(real), Tensor(fake))
    expected = minus_log_d(real).mean() + minus_log_one_minus_d(fake).mean()
    assert loss.shape == ()
    assert loss.dtype == np.float64
    assert np.isclose(loss.item(), expected, rtol=1e-12, atol=0)


@given(logits)
def test_the_generator_s_two_losses(fake):
    saturating = generator_loss(Tensor(fake), "minimax").item()
    assert np.isclose(saturating, -minus_log_one_minus_d(fake).mean(), rtol=1e-12, atol=0)
    assert np.isclose(generator_loss(Tensor(fake)).item(), minus_log_d(fake).mean(), rtol=1e-12, atol=0)
    assert generator_loss(Tensor(fake)).item() == generator_loss(Tensor(fake), "non-saturating").item()


@given(logits, logits)
def test_gradients_with_respect_to_the_logits(real, fake):
    a, b = (Tensor(values, requires_grad=True) for values in (real, fake))
    on_real, on_fake = tg.grad(discriminator_loss(a, b), [a, b])
    saturating = tg.grad(generator_loss(b, "minimax"), b)
    recommended = tg.grad(generator_loss(b, "non-saturating"), b)
    # expit(-a) is 1 - D without the rounding of D to 1; hence the absolute tolerance
    assert np.allclose(on_real.data, -expit(-real) / real.size, rtol=1e-9, atol=1e-15)
    assert np.allclose(on_fake.data, expit(fake) / fake.size, rtol=1e-9, atol=1e-15)
    assert np.allclose(saturating.data, -expit(fake) / fake.size, rtol=1e-9, atol=1e-15)
    assert np.allclose(recommended.data, -(1 - expit(fake)) / fake.size, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_discriminator_that_is_certain(dtype):
    right, wrong = Tensor(np.full((3, 1), 1000, dtype)), Tensor(np.full((3, 1), -1000, dtype))
    assert discriminator_loss(right, wrong).item() == 0
    assert discriminator_loss(wrong, right).item() == 2000
    assert generator_loss(wrong).item() == 1000
    assert generator_loss(right).item() == 0
    assert generator_loss(right, "minimax").item() == -1000
    assert generator_loss(wrong, "minimax").item() == 0
    assert generator_loss(right).dtype == dtype


def test_a_discriminator_that_is_infinitely_certain():
    right, wrong = Tensor(np.array([np.inf])), Tensor(np.array([-np.inf]))
    assert discriminator_loss(right, wrong).item() == 0
    assert discriminator_loss(wrong, wrong).item() == np.inf
    assert generator_loss(wrong).item() == np.inf
    assert generator_loss(right, "minimax").item() == -np.inf


def test_undecided_is_log_4_and_log_2():
    half = Tensor(np.zeros((5, 1)))
    assert math.isclose(discriminator_loss(half, half).item(), math.log(4), rel_tol=1e-15)
    assert math.isclose(generator_loss(half).item(), math.log(2), rel_tol=1e-15)
    assert math.isclose(generator_loss(half, "minimax").item(), -math.log(2), rel_tol=1e-15)


def test_another_kind_is_refused():
    expected = "generator_loss: kind must be one of non-saturating, minimax; got 'wasserstein'"
    with pytest.raises(ValueError, match=expected):
        generator_loss(Tensor(np.zeros(1)), "wasserstein")


def test_one_line_registers_an_objective(monkeypatch):
    def for_d(real, fake):
        return ((real - 1) ** 2).mean() + (fake**2).mean()

    monkeypatch.setitem(OBJECTIVES, "least squares", Objective(for_d, lambda a: ((a - 1) ** 2).mean()))
    game = Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1), objective="least squares")
    step = game.step(np.ones((4, 3), np.float32))
    real, fake = step.real_logits.data, step.fake_logits.data
    assert math.isclose(step.discriminator_loss.item(), ((real - 1) ** 2).mean() + (fake**2).mean(), rel_tol=1e-5)
    assert generator_loss(Tensor(np.zeros(2)), "least squares").item() == 1


@given(logits)
def test_probabilities_are_the_sigmoid(a):
    np.testing.assert_allclose(probabilities(Tensor(a)), expit(a), rtol=1e-12, atol=1e-300)


def test_the_probability_of_nan_is_nan():
    assert np.isnan(probabilities(tg.tensor([float("nan")]))).all()
