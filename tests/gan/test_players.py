"""The checks of the two players before training."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import nn
from tinygan.errors import ArgumentError, ShapeError
from tinygan.gan import Algorithm1, Noise
from tinygan.gan.players import RANGES, activation_of, last_activation, noise_size, out_of_reach
from tinygan.optim import SGD

LAYERS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


class BiasFirst(nn.Module):
    """Its first parameter does not have the size of the noise."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(np.zeros(3, np.float32))
        self.linear = nn.Linear(2, 3)

    def forward(self, z):
        return self.linear(z) + self.bias


def generator():
    return nn.Sequential(nn.Linear(2, 3))


def discriminator():
    return nn.Sequential(nn.Linear(3, 1))


# --- the ends of a network --------------------------------------------------------------------------------


@given(st.sampled_from(sorted(LAYERS)), st.lists(st.sampled_from(["nest", "flatten", "reshape"]), max_size=4))
def test_the_last_activation_is_found_behind_reshaping_layers(name, around):
    net, shaping = LAYERS[name](), {"nest": [], "flatten": [nn.Flatten()], "reshape": [nn.Reshape(2)]}
    for kind in around:
        net = nn.Sequential(nn.Linear(2, 2), net, *shaping[kind])
    assert last_activation(nn.Sequential(net)) == name


class Doubled(nn.Sequential):
    """Its forward does more than its layers."""

    def forward(self, x):
        return 2 * super().forward(x)


class Scaled(nn.Sigmoid):
    def forward(self, x):
        return 255 * super().forward(x)


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(),
        nn.Sequential(nn.Flatten()),
        nn.Sequential(nn.Sigmoid(), nn.Linear(2, 2)),
        nn.Sequential(nn.Sigmoid(), nn.LeakyReLU()),
        nn.Sequential(nn.Sigmoid(), nn.Dropout(0.5)),  # reaches 2
        Doubled(nn.Sigmoid()),
        nn.Sequential(nn.Sequential(Doubled(nn.Sigmoid()))),
        nn.Sequential(Scaled()),
    ],
)
def test_other_networks_have_no_known_last_activation(net):
    assert last_activation(net) == ""


@given(st.sampled_from(sorted(RANGES)), st.booleans())
def test_the_tape_records_the_activation_of_a_result(name, recorded):
    x = tg.tensor([[0.5, -3.0]], requires_grad=recorded)
    y = getattr(F, name)(x)
    low, high = RANGES[name]
    assert ((y.data >= low) & (y.data <= high)).all()
    for result in (y, y.reshape(2), y.T, y[0], y.astype(np.float64)):
        assert activation_of(result) == (name if recorded else "")
    for other in (2 * y, y + 1, F.leaky_relu(y), x, x.reshape(2)):
        assert activation_of(other) == ""


@given(st.sampled_from([*sorted(RANGES), ""]), st.lists(st.floats(-300, 300), min_size=2, max_size=2).map(sorted))
def test_data_outside_the_interval_are_out_of_reach(name, span):
    low, high = RANGES.get(name, (-math.inf, math.inf))
    outside = max(low - span[0], span[1] - high)
    if not 0 < outside < 1e-3:  # the tolerance for rounding is not tested here
        assert bool(out_of_reach(name, *span)) == (outside > 0)


@pytest.mark.parametrize(
    ("net", "size"),
    [
        (nn.Linear(4, 1), 4),
        (nn.Sequential(nn.Sequential(nn.Dropout(0.2), nn.Maxout(7, 2, 3)), nn.Linear(2, 1)), 7),
        (nn.Sequential(nn.GaussianNoise(0.1), nn.BatchNorm(7), nn.SpectralNorm(nn.Linear(7, 1))), 7),
        (nn.Sequential(nn.Reshape(2, 2), nn.Linear(2, 1)), None),
        (Doubled(nn.Linear(4, 1)), None),
        (BiasFirst(), None),
        (nn.Sequential(nn.ReLU()), None),
    ],
)
def test_the_width_of_the_noise_is_that_of_the_first_layer(net, size):
    assert noise_size(net) == size


# --- players that are refused -----------------------------------------------------------------------------


def tied():
    layer = nn.Linear(3, 3)
    return nn.Sequential(nn.Linear(2, 3), layer), nn.Sequential(layer, nn.Linear(3, 1))


def sgd(*parameters):
    return SGD([parameter for group in parameters for parameter in group], 0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g, d: {"generator_optimizer": sgd(d.parameters())}, "generator_optimizer updates a parameter"),
        (lambda g, d: {"discriminator_optimizer": sgd(g.parameters())}, "discriminator_optimizer updates a para"),
        (
            lambda g, d: {"generator_optimizer": sgd(g.parameters(), d.parameters())},
            r"generator_optimizer updates a parameter that is not the generator's: number 2, of shape \(3, 1\)",
        ),
        (
            lambda g, d: {"discriminator_optimizer": sgd(d.parameters()[:1])},
            "discriminator_optimizer does not update 0.bias of the discriminator: .*; freeze a parameter that should",
        ),
        (
            lambda g, d: {
                "generator_optimizer": sgd(g.parameters()), "discriminator_optimizer": sgd(d.parameters()), "lr": 0.1,
            },
            "lr and momentum are for the default optimisers",
        ),
        (lambda g, d: {"generator": tied()[0], "discriminator": nn.Linear(3, 1), "noise": 0}, None),
        (lambda g, d: dict(zip(("generator", "discriminator"), tied(), strict=True)), "share 1.weight, 1.bias"),
        (lambda g, d: {"generator": lambda z: z}, "the generator must be an nn.Module, got function"),
        (lambda g, d: {"discriminator": nn.ReLU()}, "the discriminator has nothing to train: it has no parameter"),
        (lambda g, d: {"discriminator_loss_scale": math.inf}, "discriminator_loss_scale must be positive, got inf"),
        (lambda g, d: {"discriminator_loss_scale": math.nan}, "discriminator_loss_scale must be positive, got nan"),
        (lambda g, d: {"generator": BiasFirst()}, r"first parameter has the shape \(3,\): give noise="),
    ],
)  # fmt: skip
def test_players_that_do_not_fit_are_refused(make, message):
    g, d = generator(), discriminator()
    players = {"generator": g, "discriminator": d} | make(g, d)
    if message is None:  # only one player trains the shared layers
        Algorithm1(**players | {"noise": Noise("uniform", 2)})
        return
    with pytest.raises(ArgumentError, match=f"^Algorithm1: .*{message}"):
        Algorithm1(**players)


def test_a_parameter_that_is_thawed_is_trained_from_then_on():
    g = generator()
    weight = g[0].weight
    weight.requires_grad = False
    game = Algorithm1(g, discriminator())
    for frozen in (True, False):
        weight.requires_grad = not frozen
        before = weight.data.copy()
        game.step(np.ones((4, 3), np.float32))
        assert np.array_equal(weight.data, before) == frozen


def test_players_may_share_frozen_parameters():
    g, d = tied()
    for parameter in g[1].parameters():
        parameter.requires_grad = False
    Algorithm1(g, d).step(np.ones((4, 3), np.float32))


def test_a_player_that_is_all_frozen_has_nothing_to_train():
    g = generator()
    for parameter in g.parameters():
        parameter.requires_grad = False
    with pytest.raises(ArgumentError, match="the generator has nothing to train: all of its parameters are frozen"):
        Algorithm1(g, discriminator())


def test_rates_are_for_the_optimiser_that_is_left_out():
    g, d = generator(), discriminator()
    game = Algorithm1(g, d, generator_optimizer=sgd(g.parameters()), lr=0.7, momentum=0.2)
    assert (game.discriminator_optimizer.lr, game.discriminator_optimizer.momentum) == (0.7, 0.2)
    default = Algorithm1(g, d).discriminator_optimizer
    assert (default.lr, default.momentum) == (0.1, 0.5)


def test_numbers_of_updates_may_be_numpy_s():
    game = Algorithm1(generator(), discriminator(), k=np.int64(2))
    assert (type(game.k), game.k) == (int, 2)


@pytest.mark.parametrize("first", [(), (nn.Dropout(0.1), nn.ReLU()), (nn.Sequential(nn.Flatten()),)])
def test_noise_of_another_width_than_the_first_layer_is_refused(first):
    g = nn.Sequential(*first, nn.Maxout(5, 3, 2))
    assert Algorithm1(g, discriminator()).noise == Noise("uniform", 5)
    with pytest.raises(ShapeError, match=r"^Algorithm1: a row of noise has 2 numbers, but .* first layer takes 5: "):
        Algorithm1(g, discriminator(), noise=Noise("gaussian", 2))
