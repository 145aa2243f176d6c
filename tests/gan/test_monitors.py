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
    OBJECTIVES,
    VALUE_AT_EQUILIBRIUM,
    Algorithm1,
    Monitor,
    Noise,
    Step,
    discriminator_loss,
    generator_loss,
    gradient_norm,
    gradient_norms,
    update_ratios,
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


@given(seeds, st.sampled_from(sorted(OBJECTIVES)))
def test_means_have_the_names_that_the_objective_allows(seed, name):
    rng, rules = np.random.default_rng(seed), OBJECTIVES[name]
    real, fake = (Tensor(rng.normal(size=(5, 1))) for _ in range(2))
    losses = rules.discriminator_loss(real, fake), rules.generator_loss(fake)
    means = monitor_of([Step(*losses, real, fake, objective=rules)]).means()
    a, b = real.numpy(), fake.numpy()
    if name in ("minimax", "non-saturating"):
        assert means["d_real"] == pytest.approx(expit(a).mean())
        assert "score_real" not in means
    else:
        assert means["score_real"] == pytest.approx(a.mean())
        assert means["score_fake"] == pytest.approx(b.mean())
        assert means["score_difference"] == pytest.approx(a.mean() - b.mean())
        assert not {"value", "d_real", "d_fake"} & means.keys()
    threshold = {"lsgan": 0.5, "wasserstein": None}.get(name, 0)
    if threshold is None:
        assert "d_accuracy" not in means
        assert means["score_difference"] == pytest.approx(-means["discriminator_loss"])  # the estimate of the distance
    else:
        assert means["d_accuracy"] == pytest.approx(((a > threshold).mean() + (b <= threshold).mean()) / 2)


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


@given(seeds)
def test_the_norms_of_the_layers_are_the_parts_of_the_total(seed):
    rng = np.random.default_rng(seed)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Maxout(4, 2, 3)), nn.Linear(2, 1))
    assert gradient_norms(net) == {}
    for parameter in net.parameters()[:-2]:
        parameter.grad = Tensor(rng.normal(size=parameter.shape).astype(parameter.dtype))
    norms = gradient_norms(net)
    assert list(norms) == ["0", "2.0"]  # the last layer has no gradient
    assert gradient_norm(net) == math.hypot(*norms.values())
    for name, layer in (("0", net[0]), ("2.0", net[2][0])):
        assert norms[name] == pytest.approx(gradient_norm(layer))
    assert list(gradient_norms(net[0])) == [""]


@given(seeds, st.floats(-6, 1))
def test_update_ratios_are_those_of_the_layers(seed, exponent):
    rng = np.random.default_rng(seed)
    net = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 1), nn.Linear(1, 1))
    for parameter in net.parameters():
        parameter.data[...] = rng.normal(size=parameter.shape)
        parameter.grad = parameter
    before = {name: parameter.data.copy() for name, parameter in net.named_parameters()}
    for parameter in net[0].parameters():
        parameter.data += 10**exponent * parameter.data
    net[2].weight.grad = net[2].bias.grad = None  # frozen
    ratios = update_ratios(net, before)
    assert list(ratios) == ["0", "1"]
    assert ratios["0"] == pytest.approx(exponent - math.log10(1 + 10**exponent), abs=0.1)
    assert ratios["1"] == -12  # no change at all


def test_weights_of_0_have_no_update_ratio():
    layer = nn.Linear(2, 2, True, lambda shape, rng: np.zeros(shape, np.float32))
    layer.weight.grad, layer.bias.grad = layer.weight, layer.bias
    assert update_ratios(layer, {"weight": layer.weight.data - 1, "bias": layer.bias.data}) == {}
    layer.weight.data[0, 0] = np.inf  # such a training stops, elsewhere
    assert math.isnan(update_ratios(layer, {"weight": layer.weight.data, "bias": layer.bias.data})[""])


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
    assert not any(getattr(value, "requires_grad", False) for value in vars(step).values())
