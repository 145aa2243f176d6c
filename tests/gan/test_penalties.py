"""Penalties on the slope of D: their formulas, their gradients with respect to D's parameters, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import gan, nn
from tinygan.backend import Stream, Streams
from tinygan.engine import Operation, Tensor
from tinygan.errors import ArgumentError, DtypeError, GradientError
from tinygan.gan.penalties import squared_slopes

SLOPES = [gan.R1(2.0), gan.R2(2.0), gan.GradientPenalty(3.0), gan.DRAGAN(3.0, spread=0.2)]
ALL = pytest.mark.parametrize("penalty", SLOPES, ids=lambda penalty: type(penalty).__name__)


def network(dtype, *last, inputs=3):
    stream = Stream(1, "weights")
    net = nn.Sequential(nn.Maxout(inputs, 4, pieces=3, rng=stream), nn.Linear(4, 3, rng=stream), nn.Tanh(), *last)
    net = nn.Sequential(*net, nn.Linear(3, 1, rng=stream))
    for parameter in net.parameters():
        parameter.data = (2 * parameter.data).astype(dtype)
    return net


def rows(seed, dtype, count=6, size=3):
    return Tensor(np.random.default_rng(seed).normal(size=(count, size)).astype(dtype))


def value(penalty, judge, real, fake):
    """The same random points at every call."""
    return penalty.loss(judge, real, fake, Stream(5, "penalty"))


# --- formulas --------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_penalties_of_a_linear_d_follow_from_its_weights(seed, count):
    w = np.random.default_rng(seed).normal(size=(3, 1))
    square = float((w * w).sum())
    weights = Tensor(w, requires_grad=True)
    expected = [square, square, 3 * (square**0.5 - 1) ** 2, 3 * (square**0.5 - 1) ** 2]
    for penalty, number in zip(SLOPES, expected, strict=True):
        found = value(penalty, lambda x: x @ weights, rows(1, "float64", count), rows(2, "float64", count))
        assert found.shape == ()
        assert found.item() == pytest.approx(number, rel=1e-9)


def test_where_each_penalty_measures_the_slope():
    """a = |x|^2 / 2 has the slope x, so the slopes are the points."""
    seen = []

    def judge(x):
        seen.append(x.numpy())
        return (x * x).sum(axis=1) / 2

    real, fake = rows(1, "float64"), rows(2, "float64")
    r1, r2, _, _ = (value(penalty, judge, real, fake).item() for penalty in SLOPES)
    assert r1 == pytest.approx((real.numpy() ** 2).sum(axis=1).mean())
    assert r2 == pytest.approx((fake.numpy() ** 2).sum(axis=1).mean())
    shares = (seen[2] - fake.numpy()) / (real.numpy() - fake.numpy())
    assert np.allclose(shares, shares[:, :1])  # one number for each row
    assert len(np.unique(shares[:, 0].round(9))) == len(real)
    assert (shares >= 0).all()
    assert (shares < 1).all()
    away = (seen[3] - real.numpy()) / (0.2 * real.numpy().std())
    assert np.array_equal(away.round(9), Stream(5, "penalty").normal((6, 3), np.float64).round(9))


@ALL
def test_a_slope_of_zero_has_a_finite_gradient(penalty):
    weight = Tensor(np.zeros((3, 1)), requires_grad=True)
    loss = value(penalty, lambda x: x @ weight, rows(1, "float64"), rows(2, "float64"))
    assert np.isfinite(loss.item())
    assert np.array_equal(tg.grad(loss, weight).numpy(), np.zeros((3, 1)))


def test_the_slope_of_a_pack_is_that_of_its_samples_together():
    net = network("float64", inputs=6)
    packed = gan.Packed(net, 2)
    x = rows(1, "float64", 6)
    found = squared_slopes(packed, x).numpy()
    assert np.allclose(found, squared_slopes(net, Tensor(x.numpy().reshape(3, 6))).numpy(), rtol=1e-12)


def test_the_logit_of_patches_is_their_mean():
    net = nn.Linear(3, 4, rng=Stream(1, "weights"))
    mean = net.weight.numpy().mean(axis=1)
    assert np.allclose(squared_slopes(net, rows(1, "float32")).numpy(), (mean**2).sum(), rtol=1e-5)


# --- gradients with respect to D's parameters ------------------------------------------------------------


@pytest.mark.slow
@ALL
def test_parameter_gradients_pass_gradcheck(penalty):
    net, real, fake = network("float64"), rows(1, "float64"), rows(2, "float64")

    tg.gradcheck(lambda one: one * value(penalty, net, real, fake), [Tensor(np.ones(()))], parameters=net)


@ALL
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-4)])
def test_the_penalties_of_pytorch(penalty, dtype, tolerance):
    torch = pytest.importorskip("torch")
    net, real, fake = network(dtype), rows(1, dtype), rows(2, dtype)
    points = []

    def judge(x):
        points.append(x.numpy())
        return net(x)

    loss = value(penalty, judge, real, fake)
    assert loss.dtype == dtype
    ours = tg.grad(loss, net.parameters(), allow_unused=True)
    theirs = [torch.tensor(parameter.numpy(), requires_grad=True) for parameter in net.parameters()]
    x = torch.tensor(points[0], requires_grad=True)
    hidden = (x @ theirs[0] + theirs[1]).unflatten(-1, (3, 4)).amax(-2)
    logits = torch.tanh(hidden @ theirs[2] + theirs[3]) @ theirs[4] + theirs[5]
    (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    if isinstance(penalty, (gan.R1, gan.R2)):
        expected = penalty.weight / 2 * (slope**2).sum(dim=1).mean()
    else:
        expected = penalty.weight * ((slope.norm(dim=1) - 1) ** 2).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=tolerance)
    for our, their in zip(ours, torch.autograd.grad(expected, theirs, allow_unused=True), strict=True):
        near = np.zeros(1) if their is None else their.numpy()
        assert np.allclose(0 if our is None else our.numpy(), near, rtol=tolerance, atol=tolerance)


class FirstOrder(Operation):
    """y = 3 x; its rule computes with arrays of NumPy, which leaves the tape."""

    def forward(self, B, x):
        return 3 * x

    def backward(self, B, gy):
        return 3 * np.asarray(gy)


def test_a_d_without_second_order_is_refused_before_it_moves():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 1, rng=Stream(0, "w"))

        def forward(self, x):
            return self.inner(FirstOrder()(x * x))

    net = Net()
    game = gan.Algorithm1(nn.Linear(2, 3), net, noise=gan.Noise("gaussian", 2), penalty=gan.R1(1.0))
    before = net.inner.weight.numpy().copy()
    with pytest.raises(GradientError, match="a NumPy array"):
        game.step(np.ones((4, 3), np.float32))
    assert np.array_equal(net.inner.weight.numpy(), before)


# --- in a game -------------------------------------------------------------------------------------------


def game_with(penalty, **options):
    streams = Streams(3)
    g, d = nn.Linear(2, 3, rng=streams["weights"]), network("float32")
    return gan.Algorithm1(g, d, noise=gan.Noise("gaussian", 2), penalty=penalty, streams=streams, **options)


DATA = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)


@ALL
@pytest.mark.parametrize("schedule", ["alternating", "simultaneous"])
def test_a_step_adds_the_penalty_to_d_s_gradient_only(penalty, schedule):
    with_penalty, without = game_with(penalty, schedule=schedule), game_with(None, schedule=schedule)
    step, plain = with_penalty.step(DATA), without.step(DATA)
    assert step.penalty.shape == ()
    assert step.penalty.item() > 0
    assert not step.penalty.requires_grad
    assert plain.penalty is None
    assert step.discriminator_loss.item() == plain.discriminator_loss.item()  # the loss is without it
    pairs = zip(with_penalty.discriminator.parameters()[:1], without.discriminator.parameters()[:1], strict=True)
    assert not any(np.array_equal(a.grad.numpy(), b.grad.numpy()) for a, b in pairs)
    if schedule == "simultaneous":
        assert np.array_equal(with_penalty.generator.weight.numpy(), without.generator.weight.numpy())
    random = isinstance(penalty, (gan.GradientPenalty, gan.DRAGAN))
    assert (with_penalty.streams["penalty"].position > 4) is random or not random


def test_several_penalties_are_added():
    both, first, second = (game_with(p).step(DATA).penalty.item() for p in (SLOPES[:2], SLOPES[0], SLOPES[1]))
    assert both == pytest.approx(first + second, rel=1e-5)


@pytest.mark.parametrize("schedule", ["alternating", "simultaneous"])
def test_clipping_bounds_every_parameter_of_d(schedule):
    game = game_with(gan.WeightClipping(0.05), objective="wasserstein", schedule=schedule, lr=5.0)
    frozen = game.discriminator.parameters()[-1]
    frozen.data[...] = 7
    frozen.requires_grad = False
    versions = [parameter.version for parameter in game.discriminator.parameters()]
    step = game.step(DATA)
    *trained, _ = game.discriminator.parameters()
    assert step.penalty is None
    assert all(abs(parameter.numpy()).max() <= np.float32(0.05) for parameter in trained)
    assert frozen.item() == 7
    assert any(abs(parameter.numpy()).max() > 0.05 for parameter in game.generator.parameters())
    assert all(p.version > v for p, v in zip(trained, versions, strict=False))


def test_a_penalty_of_one_s_own():
    class Small(gan.Penalty):
        def loss(self, judge, real, fake, stream):
            return (judge(real) ** 2).mean()

    assert game_with(Small()).step(DATA).penalty.item() > 0


@pytest.mark.parametrize("penalty", sorted(gan.PENALTIES))
def test_names_and_defaults_of_the_table(penalty):
    assert isinstance(gan.PENALTIES[penalty](), gan.Penalty)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("penalty", gan.PENALTIES.values())
def test_weights_that_are_not_positive_are_refused(penalty, value):
    with pytest.raises(ArgumentError, match=rf"^{penalty.__name__}: .* finite number above 0, got"):
        penalty(value)


@pytest.mark.parametrize("penalty", gan.PENALTIES.values())
def test_weights_that_are_no_numbers_are_refused(penalty):
    for wrong in ("1", None, True):
        with pytest.raises(DtypeError, match=rf"^{penalty.__name__}: .* must be a number"):
            penalty(wrong)


@pytest.mark.parametrize("wrong", ["r1", gan.R1, 1.0, [gan.R1(1.0), None]])
def test_what_is_no_penalty_is_refused(wrong):
    with pytest.raises(ArgumentError, match=r"^Algorithm1: penalty must be one of R1, R2, .*; got "):
        game_with(wrong)


def test_the_penalty_depends_on_the_labels():
    class Conditional(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(3, 2, rng=Stream(0, "w"))

        def forward(self, x, y):
            return F.sum(self.net(x) * y, axis=1)

    class Copy(nn.Linear):
        def forward(self, z, y):
            return super().forward(z)

    game = gan.Algorithm1(Copy(2, 3), Conditional(), noise=gan.Noise("gaussian", 2), penalty=gan.R1(2.0))
    weights = game.discriminator.net.weight.numpy().copy()
    labels = np.eye(2, dtype=np.float32)[[0, 1, 1, 1]]
    found = game.step(DATA[:4], labels).penalty.item()
    assert found == pytest.approx((labels @ (weights**2).sum(axis=0)).mean(), rel=1e-5)
