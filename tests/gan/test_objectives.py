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
from tinygan.backend import Stream, Streams
from tinygan.engine import Tensor
from tinygan.errors import DtypeError, GradientError, ShapeError
from tinygan.gan import OBJECTIVES, Algorithm1, Noise, Objective, discriminator_loss, generator_loss
from tinygan.gan.objectives import probabilities, smoothed

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
    expected = "generator_loss: kind must be one of non-saturating, minimax, .*; got 'vanilla'"
    with pytest.raises(ValueError, match=expected):
        generator_loss(Tensor(np.zeros(1)), "vanilla")


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


# --- objectives since 2014 -------------------------------------------------------------------------------

moderate = arrays(np.float64, shapes, elements=st.floats(-100, 100))


@given(moderate, moderate)
def test_lsgan_hinge_and_wasserstein_are_their_formulas(real, fake):
    a, b = Tensor(real), Tensor(fake)
    expected = {
        "lsgan": (((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2, ((fake - 1) ** 2).mean() / 2),
        "hinge": (np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean(), -fake.mean()),
        "wasserstein": (fake.mean() - real.mean(), -fake.mean()),
    }
    for name, (for_d, for_g) in expected.items():
        assert OBJECTIVES[name].discriminator_loss(a, b).item() == pytest.approx(for_d, rel=1e-9, abs=1e-9)
        assert generator_loss(b, name).item() == pytest.approx(for_g, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_at_equilibrium_are_those_of_the_best_d(name):
    """Where data and samples have one distribution, no constant output of D has a smaller loss."""
    objective = OBJECTIVES[name]
    outputs = np.linspace(-3, 3, 601)
    losses = [objective.discriminator_loss(Tensor(np.array([a])), Tensor(np.array([a]))).item() for a in outputs]
    for_d, for_g = objective.at_equilibrium
    assert min(losses) == pytest.approx(for_d, abs=1e-4)
    best = outputs[np.isclose(losses, min(losses), atol=1e-9)]
    assert (len(best) == 1) is (objective.undecided is not None)
    assert (for_g is None) is (objective.undecided is None)
    if objective.undecided is not None:
        assert best[0] == pytest.approx(objective.undecided, abs=1e-9)
        assert generator_loss(Tensor(best), name).item() == pytest.approx(for_g, rel=1e-12)


@given(st.floats(0.01, 0.99))
def test_smoothing_moves_the_label_of_data_only(amount):
    for name in ("minimax", "non-saturating"):
        objective = smoothed(name, amount)
        real, fake = Tensor(np.array([0.3, -2.0])), Tensor(np.array([1.5]))
        d = expit(real.numpy())
        expected = -((1 - amount) * np.log(d) + amount * np.log(1 - d)).mean() - np.log(1 - expit(1.5))
        assert objective.discriminator_loss(real, fake).item() == pytest.approx(expected)
        best = Tensor(np.array([objective.undecided]))
        assert objective.at_equilibrium[0] == pytest.approx(objective.discriminator_loss(best, best).item())
        slope = tg.grad(
            objective.discriminator_loss(
                a := Tensor(best.numpy(), requires_grad=True), b := Tensor(best.numpy(), requires_grad=True)
            ),
            [a, b],
        )
        assert slope[0].item() + slope[1].item() == pytest.approx(0, abs=1e-12)
        assert objective.at_equilibrium[1] == pytest.approx(OBJECTIVES[name].generator(best).item())
    assert smoothed("minimax", 0.0) is OBJECTIVES["minimax"]


@pytest.mark.parametrize("schedule", ["alternating", "simultaneous"])
def test_a_pair_of_functions_is_an_objective(schedule):
    rule = OBJECTIVES["lsgan"]
    pair = (rule.discriminator, rule.generator)
    results = []
    for objective in ("lsgan", pair):
        game = Algorithm1(*players(), noise=Noise("gaussian", 2), objective=objective, schedule=schedule, lr=0.1,
                          streams=Streams(0))  # fmt: skip
        results.append(game.step(np.ones((4, 3), np.float32)))
    assert results[0].generator_loss.item() == results[1].generator_loss.item()
    assert "no known value at equilibrium" in str(results[1])


def players(*last):
    return nn.Linear(2, 3, rng=Stream(0, "w")), nn.Sequential(nn.Linear(3, 1, rng=Stream(1, "w")), *last)


WRONG = [
    (lambda real, fake: real - fake, lambda fake: fake.mean(), ShapeError, r"discriminator's loss .* \(4, 1\)"),
    (lambda real, fake: (real - fake).mean(), lambda fake: fake, ShapeError, r"generator's loss is of shape \(4, 1\)"),
    (lambda real, fake: (real - fake).mean().reshape(1), lambda fake: fake, ShapeError, r"of shape \(1,\)"),
    (lambda real, fake: 0.0, lambda fake: fake.mean(), DtypeError, "discriminator's loss is of float"),
    (lambda real, fake: (real - fake).mean().item(), lambda fake: fake.mean(), DtypeError, "is of float"),
    (lambda real, fake: Tensor(np.ones((), np.float32)), lambda fake: fake.mean(), GradientError, "no gradient"),
]


@pytest.mark.parametrize(("for_d", "for_g", "error", "message"), WRONG)
def test_losses_that_are_not_one_number_are_refused(for_d, for_g, error, message):
    game = Algorithm1(*players(), noise=Noise("gaussian", 2), objective=(for_d, for_g))
    with pytest.raises(error, match=message):
        game.step(np.ones((4, 3), np.float32))
