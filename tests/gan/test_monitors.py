"""The monitors are plain averages over the steps."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from tinygan import nn
from tinygan.backend import Stream, get_backend
from tinygan.engine import Tensor
from tinygan.gan import (
    VALUE_AT_EQUILIBRIUM,
    Algorithm1,
    Monitor,
    Noise,
    Step,
    discriminator_loss,
    generator_loss,
    gradient_norm,
)

seeds = st.integers(0, 2**32 - 1)


def random_step(rng, rows, dtype=np.float64):
    real, fake = (Tensor(rng.normal(scale=3, size=(rows, 1)).astype(dtype)) for _ in range(2))
    return Step(discriminator_loss(real, fake), generator_loss(fake), real, fake)


def monitor_of(steps):
    monitor = Monitor(get_backend("cpu"))
    for step in steps:
        monitor.add(step)
    return monitor


@given(seeds, st.integers(1, 5), st.integers(1, 8))
def test_means_over_the_steps_of_an_epoch(seed, count, rows):
    rng = np.random.default_rng(seed)
    steps = [random_step(rng, rows) for _ in range(count)]
    real, fake = (np.stack([getattr(step, name).data for step in steps]) for name in ("real_logits", "fake_logits"))
    means = monitor_of(steps).means()
    assert means == pytest.approx(
        {
            "discriminator_loss": np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean(),
            "generator_loss": np.logaddexp(0, -fake).mean(),
            "d_real": expit(real).mean(),
            "d_fake": expit(fake).mean(),
            "d_accuracy": ((expit(real) > 0.5).mean() + (expit(fake) <= 0.5).mean()) / 2,
            "value": np.log(expit(real)).mean() + np.log(1 - expit(fake)).mean(),  # equation 1
        },
        rel=1e-9,
    )
    assert all(type(value) is float for value in means.values())


def test_at_the_equilibrium():
    half = Tensor(np.zeros((7, 1), np.float32))
    means = monitor_of([Step(discriminator_loss(half, half), generator_loss(half), half, half)] * 3).means()
    assert math.log(4) + VALUE_AT_EQUILIBRIUM == 0
    assert means["value"] == pytest.approx(-math.log(4), rel=1e-7)
    assert means["generator_loss"] == pytest.approx(math.log(2), rel=1e-7)
    assert (means["d_real"], means["d_fake"], means["d_accuracy"]) == (0.5, 0.5, 0.5)


def test_reset_forgets():
    rng = np.random.default_rng(0)
    first, second = random_step(rng, 3), random_step(rng, 3)
    monitor = monitor_of([first])
    monitor.reset()
    monitor.add(second)
    assert monitor.means() == monitor_of([second]).means()


@given(seeds, st.integers(0, 3), st.integers(0, 3))
def test_a_saved_monitor_goes_on_to_the_same_bits(seed, before, after):
    rng = np.random.default_rng(seed)
    steps = [random_step(rng, 4, np.float32) for _ in range(before + after)]
    monitor = Monitor(get_backend("cpu"))
    monitor.load_state_dict(json.loads(json.dumps(monitor_of(steps[:before]).state_dict())))
    for step in steps[before:]:
        monitor.add(step)
    assert monitor.means() == monitor_of(steps).means()
    assert monitor.count == before + after


@given(seeds)
def test_gradient_norm_is_that_of_all_gradients_concatenated(seed):
    rng = np.random.default_rng(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.Maxout(4, 2, 3))
    assert gradient_norm(net) == 0
    for parameter in net.parameters():
        parameter.grad = Tensor(rng.normal(size=parameter.shape).astype(parameter.dtype))
    everything = np.concatenate([parameter.grad.data.ravel().astype("f8") for parameter in net.parameters()])
    assert gradient_norm(net) == pytest.approx(np.linalg.norm(everything), rel=1e-6)
    net[0].weight.grad = None  # a parameter that was not updated does not count
    assert gradient_norm(net) == pytest.approx(np.linalg.norm(everything[12:]), rel=1e-6)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("exponent", [-0.9, -0.6, 0, 0.6, 0.9])
def test_gradient_norm_where_a_square_leaves_the_dtype(dtype, exponent):
    layer = nn.Linear(60, 50)
    size = 2.0 ** round(exponent * np.log2(float(np.finfo(dtype).max)))
    layer.weight.data = np.zeros((60, 50), dtype)
    layer.weight.grad = Tensor(np.full((60, 50), size, dtype))
    assert gradient_norm(layer) == pytest.approx(size * math.sqrt(3000), rel=1e-6)


@pytest.mark.parametrize("broken", [math.inf, math.nan])
def test_gradient_norm_of_gradients_that_are_not_finite(broken):
    layer = nn.Linear(2, 2)
    layer.weight.grad = Tensor(np.array([[1.0, broken], [0.0, 2.0]], "f4"))
    assert gradient_norm(layer) == pytest.approx(broken, nan_ok=True)


def test_a_real_step_reports_what_it_saw():
    """The losses of a step follow from its logits, and hold no graph."""
    generator = nn.Linear(2, 3, rng=Stream(0, "weights"))
    discriminator = nn.Linear(3, 1, rng=Stream(1, "weights"))
    game = Algorithm1(generator, discriminator, noise=Noise("gaussian", 2))
    step = game.step(np.ones((6, 3), np.float32))
    assert step.real_logits.shape == step.fake_logits.shape == (6, 1)
    means = monitor_of([step]).means()
    assert means["discriminator_loss"] == pytest.approx(
        discriminator_loss(step.real_logits, step.fake_logits).item(), rel=1e-6
    )
    assert not any(getattr(step, name).requires_grad for name in vars(step))
