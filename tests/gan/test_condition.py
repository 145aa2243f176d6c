"""Conditional nets: the label is a one-hot row beside the input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tinygan import gan, nn
from tinygan.backend import Stream, Streams
from tinygan.errors import ArgumentError, ShapeError
from tinygan.gan.condition import one_hot_rows
from tinygan.gan.inputs import needs_labels
from tinygan.gan.players import last_activation, noise_size


def players(packing=1):
    with Streams(3).active():
        generator = gan.Conditional(nn.Sequential(nn.Linear(2 + 4, 3), nn.Sigmoid()), 4)
        discriminator = gan.Conditional(nn.Sequential(nn.Linear(packing * (3 + 4), 1)), 4)
    return generator, discriminator if packing == 1 else gan.Packed(discriminator, packing)


@given(st.integers(0, 1000), st.integers(1, 6), st.sampled_from(["float32", "float64"]))
def test_a_label_adds_its_row_of_the_first_weight(seed, rows, dtype):
    layer = nn.Linear(3 + 4, 2)
    net = gan.Conditional(layer, 4)
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(rows, 3)).astype(dtype), rng.integers(0, 4, rows)
    weight = layer.weight.numpy().astype(dtype)
    expected = x @ weight[:3] + weight[3:][y] + layer.bias.numpy()
    for labels in (y, y.astype(np.uint8), one_hot_rows(y, 4).astype(dtype)):
        got = net(tg.tensor(x), tg.tensor(labels))
        assert got.numpy() == pytest.approx(expected, rel=1e-5, abs=1e-5)
    only_y = tg.grad(net(tg.tensor(x), tg.tensor(y)).sum(), layer.weight).numpy()[3:, 0]
    assert only_y.tolist() == np.bincount(y, minlength=4).tolist()


@given(st.integers(1, 4), st.integers(1, 3))
def test_packs_have_the_label_of_each_sample(packs, m):
    rng = np.random.default_rng(packs)
    layer = nn.Linear(m * (3 + 4), 1)
    packed = gan.Packed(gan.Conditional(layer, 4), m)
    x, y = rng.normal(size=(packs * m, 3)).astype(np.float32), rng.integers(0, 4, packs * m)
    rows = np.concatenate([x.reshape(packs, -1), one_hot_rows(y, 4).reshape(packs, -1)], axis=1)
    for labels in (y, one_hot_rows(y, 4)):
        assert np.array_equal(packed(tg.tensor(x), tg.tensor(labels)).numpy(), layer(tg.tensor(rows)).numpy())


def test_a_game_reads_the_noise_and_the_last_layer_through_it():
    generator, discriminator = players()
    assert noise_size(generator) == 2
    assert last_activation(generator) == "sigmoid"
    assert gan.Algorithm1(generator, discriminator).noise.size == 2
    with pytest.raises(ShapeError, match="first layer takes 2"):
        gan.Algorithm1(generator, discriminator, noise=gan.Noise("uniform", 6))


@pytest.mark.parametrize("packing", [1, 2])
def test_labels_are_needed_also_through_packs(packing):
    generator, discriminator = players(packing)
    game = gan.Algorithm1(generator, discriminator)
    assert needs_labels(discriminator)
    with pytest.raises(ArgumentError, match=r"called with no labels"):
        game.step(np.zeros((4, 3), np.float32))
    plain = nn.Linear(packing * 3, 1)
    other = gan.Algorithm1(generator, plain if packing == 1 else gan.Packed(plain, packing))
    with pytest.raises(ArgumentError, match=r"the discriminator is called with labels"):
        other.step(np.zeros((4, 3), np.float32), np.zeros(4, int))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 2},
        {"schedule": "simultaneous", "shared_noise": True},
        {"separate_passes": True},
        {"penalty": [gan.R1(1.0), gan.GradientPenalty(1.0)]},
        {"penalty": gan.DRAGAN(1.0)},
        {"instance_noise": 0.1, "label_smoothing": 0.1},
    ],
)
@pytest.mark.parametrize("packing", [1, 2])
def test_every_option_takes_labels(options, packing):
    """Integer labels and one-hot rows are the same game."""
    x, y = Stream(0, "x").uniform((8, 3)), np.arange(8) % 4
    ends = []
    for labels in (y, one_hot_rows(y, 4)):
        game = gan.Algorithm1(*players(packing), streams=Streams(1), **options)
        for _ in range(2):
            game.step(x, labels)
        parameters = game.generator.parameters() + game.discriminator.parameters()
        ends.append([parameter.numpy() for parameter in parameters])
    for one, other in zip(*ends, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.zeros((2, 3, 1)), np.zeros(2, int), "expected rows of numbers"),
        (np.zeros((2, 3)), np.zeros(3, int), r"y has shape \(3,\) for 2 rows"),
        (np.zeros((2, 3)), np.full(2, 4), "in 0 ... 3"),
        (np.zeros((2, 3)), np.full(2, -1), "in 0 ... 3"),
        (np.zeros((2, 3)), np.zeros((2, 5)), "one-hot rows of 4 numbers"),
        (np.zeros((2, 3)), np.zeros(2), "one-hot rows of 4 numbers"),
    ],
)
def test_other_shapes_and_labels_are_refused(x, y, said):
    with pytest.raises(ShapeError, match=said):
        gan.Conditional(nn.Linear(7, 1), 4)(tg.tensor(x.astype(np.float32)), tg.tensor(y))


def test_one_class_is_no_condition():
    with pytest.raises(ArgumentError, match="at least 2"):
        gan.Conditional(nn.Linear(4, 1), 1)
    assert repr(gan.Conditional(nn.Linear(5, 1), 2)).startswith("Conditional(")
