"""Algorithm 1 and the released code's iteration, written out in NumPy for one small net, against `Algorithm1`.

Nothing of tinygan computes the expected numbers: every derivative below was taken by hand.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from tinygan import nn
from tinygan.gan import Algorithm1
from tinygan.optim import SGD, ExponentialDecay, LinearMomentum

pytestmark = pytest.mark.slow

NOISE, HIDDEN, PIXELS, UNITS, PIECES, M = 2, 4, 3, 3, 2, 5  # sizes of the two nets, and of a minibatch
LR, DECAY, MOMENTUM = 0.3, 1.05, (0.5, 0.7, 3)


# --- G: linear, ReLU, linear, sigmoid. D: maxout, linear ---------------------------------------------------


def generate(g, z):
    w1, b1, w2, b2 = g
    h = np.maximum(z @ w1 + b1, 0)
    return h, expit(h @ w2 + b2)


def discriminate(d, x):
    v, c, u, e = d
    pieces = np.stack([x @ v[:, p * UNITS : (p + 1) * UNITS] + c[p * UNITS : (p + 1) * UNITS] for p in range(PIECES)])
    h = pieces.max(axis=0)
    return pieces.argmax(axis=0), h, h @ u + e


def gradient_of_d(d, x, slope):
    """The gradients with respect to D's parameters and x, given that with respect to the logits, (m, 1)."""
    v, _, u, _ = d
    winner, h, _ = discriminate(d, x)
    gh = slope @ u.T
    by_piece = [gh * (winner == p) for p in range(PIECES)]
    gv, gc = np.hstack([x.T @ part for part in by_piece]), np.hstack([part.sum(axis=0) for part in by_piece])
    gx = sum(part @ v[:, p * UNITS : (p + 1) * UNITS].T for p, part in enumerate(by_piece))
    return [gv, gc, h.T @ slope, slope.sum(axis=0)], gx


def gradient_of_g(g, z, gx):
    _, _, w2, _ = g
    h, x = generate(g, z)
    ga = gx * x * (1 - x)
    gh = (ga @ w2.T) * (h > 0)
    return [z.T @ gh, gh.sum(axis=0), h.T @ ga, ga.sum(axis=0)]


# --- one step of each player -------------------------------------------------------------------------------


def discriminator_gradients(g, d, real, z, scale):
    """The gradient of scale (mean softplus(-a(x)) + mean softplus(a(G(z))))."""
    _, fake = generate(g, z)
    slope_real = scale * -(1 - expit(discriminate(d, real)[2])) / M
    slope_fake = scale * expit(discriminate(d, fake)[2]) / M
    on_real, on_fake = gradient_of_d(d, real, slope_real)[0], gradient_of_d(d, fake, slope_fake)[0]
    return [a + b for a, b in zip(on_real, on_fake, strict=True)]


def generator_gradients(g, d, z, objective):
    """The gradient of mean softplus(-a(G(z))), or of mean log(1 - D(G(z)))."""
    _, fake = generate(g, z)
    certainty = expit(discriminate(d, fake)[2])
    slope = -(1 - certainty) / M if objective == "non-saturating" else -certainty / M
    return gradient_of_g(g, z, gradient_of_d(d, fake, slope)[1])


class Momentum:
    """v = m v - lr g, w = w + v, with lr after update t of max(1e-6, lr0 / decay^t)."""

    def __init__(self, params):
        self.params, self.velocity, self.updates = params, [np.zeros_like(w) for w in params], 0

    def move(self, gradients, epoch):
        first, last, epochs = MOMENTUM
        m = first + (last - first) * min(1, (epoch - 1) / (epochs - 1))
        lr = max(1e-6, LR / DECAY**self.updates)
        self.updates += 1
        for i, gradient in enumerate(gradients):
            self.velocity[i] = m * self.velocity[i] - lr * gradient
            self.params[i] += self.velocity[i]


def alternating(g, d, moves, minibatches, noise, rules, epoch):
    """Algorithm 1 as printed."""
    for real in minibatches:
        moves[1].move(discriminator_gradients(g, d, real, next(noise), rules["discriminator_loss_scale"]), epoch)
    moves[0].move(generator_gradients(g, d, next(noise), rules["objective"]), epoch)


def simultaneous(g, d, moves, minibatches, noise, rules, epoch):
    """The released code; with k > 1, the updates before the last are of the discriminator only."""
    *earlier, last = minibatches
    scale = rules["discriminator_loss_scale"]
    for real in earlier:
        moves[1].move(discriminator_gradients(g, d, real, next(noise), scale), epoch)
    z = next(noise)
    on_d = discriminator_gradients(g, d, last, z, scale)
    on_g = generator_gradients(g, d, z if rules["shared_noise"] else next(noise), rules["objective"])
    moves[1].move(on_d, epoch)
    moves[0].move(on_g, epoch)


# --- the comparison ----------------------------------------------------------------------------------------


class Tape:
    """Noise that was drawn in advance."""

    size = NOISE

    def __init__(self, batches):
        self.batches = iter(batches)

    def draw(self, count, stream, backend):
        return next(self.batches)


def network(*layers, rng):
    net = nn.Sequential(*layers)
    for parameter in net.parameters():
        parameter.data = rng.normal(size=parameter.shape)  # float64
    return net


def optimizer(net, updates_per_epoch):
    momentum = LinearMomentum(*MOMENTUM, updates_per_epoch=updates_per_epoch)
    return SGD(net.parameters(), ExponentialDecay(LR, DECAY, 1e-6), momentum)


@pytest.mark.parametrize(
    ("schedule", "shared_noise"), [("alternating", False), ("simultaneous", False), ("simultaneous", True)]
)
@given(
    k=st.integers(1, 3),
    objective=st.sampled_from(["non-saturating", "minimax"]),
    scale=st.sampled_from([0.5, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_parameter_after_several_iterations(schedule, shared_noise, k, objective, scale, seed):
    rng = np.random.default_rng(seed)
    g = network(nn.Linear(NOISE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS), nn.Sigmoid(), rng=rng)
    d = network(nn.Maxout(PIXELS, UNITS, PIECES), nn.Linear(UNITS, 1), rng=rng)
    expected_g, expected_d = ([parameter.data.copy() for parameter in net.parameters()] for net in (g, d))
    iterations = 4
    noise = list(rng.normal(size=(iterations * (k + 1), M, NOISE)))
    rules = {"shared_noise": shared_noise, "objective": objective, "discriminator_loss_scale": scale}
    game = Algorithm1(
        g, d, noise=Tape(noise), k=k, schedule=schedule, generator_optimizer=optimizer(g, 1),
        discriminator_optimizer=optimizer(d, k), **rules,
    )  # fmt: skip
    moves, left = (Momentum(expected_g), Momentum(expected_d)), iter(noise)
    iterate = alternating if schedule == "alternating" else simultaneous
    for epoch in range(1, iterations + 1):
        minibatches = rng.random((k, M, PIXELS))
        game.step(minibatches.reshape(k * M, PIXELS))
        iterate(expected_g, expected_d, moves, minibatches, left, rules, epoch)
    for net, expected in ((g, expected_g), (d, expected_d)):
        for parameter, value in zip(net.parameters(), expected, strict=True):
            assert parameter.dtype == np.float64
            assert np.allclose(parameter.data, value, rtol=1e-9, atol=1e-11), parameter.name
    assert len(list(left)) == len(list(game.noise.batches))  # and both used up as much noise
