from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.conv_games import GAMES, LAYERS, WAYS, ConvTask, dcgan, sample, starting_values
from tinygan import nn
from tinygan.backend import Stream
from tinygan.engine import Tensor
from tinygan.functional import conv2d, conv_transpose2d

NO_WEIGHTS = ("ReLU", "LeakyReLU", "Sigmoid", "Tanh", "Reshape", "Flatten", "Dropout", "MaxPool2d")


def counting() -> SimpleNamespace:
    """Layers that are the numbers of their weights, for networks that are too large to build in a test."""

    def convolution(c: int, k: int, kernel: int, *rest: Any, bias: bool = True, **more: Any) -> int:
        return c * k * kernel**2 + k * bias

    return SimpleNamespace(
        Sequential=lambda *layers: sum(layers),
        Linear=lambda n, u, bias=True: n * u + u * bias,
        Maxout=lambda n, u, pieces: (n + 1) * u * pieces,
        Conv2d=convolution,
        ConvTranspose2d=lambda c, k, kernel, *rest, bias=True, **more: c * k * kernel**2 + k * bias,
        MaxoutConv2d=lambda c, u, pieces, kernel, padding: convolution(c, u * pieces, kernel),
        BatchNorm=lambda channels: 2 * channels,
        **dict.fromkeys(NO_WEIGHTS, lambda *sizes, **more: 0),
    )


def test_cifar10_conv_has_the_released_sizes() -> None:
    untied = 3 * 32 * 32 - 3  # the released bias has a number for each pixel
    g, d = GAMES["cifar10-conv"].networks(counting())
    assert (g + untied, d) == (64_825_072, 12_454_073)


@pytest.mark.parametrize(
    ("image", "widths"),
    [((1, 28, 28), (2, 3)), ((3, 32, 32), (2, 3, 4)), ((3, 64, 64), (1, 2, 3, 4)), ((2, 4, 4), (3,))],
)
def test_a_dcgan_makes_and_judges_images(image: tuple[int, int, int], widths: tuple[int, ...]) -> None:
    generator, discriminator = dcgan(image, widths)(nn)
    images = generator(Tensor(Stream(0, "noise").normal((5, 100))))
    assert images.shape == (5, *image)
    assert discriminator(images).shape == (5, 1)


@pytest.mark.parametrize("name", LAYERS)
def test_the_shapes_of_a_layer_fit(name: str) -> None:
    layer = LAYERS[name]
    x, w, gy = (Tensor(np.zeros(shape, np.float32)) for shape in layer.shapes(1))
    function = conv_transpose2d if layer.transposed else conv2d
    assert function(x, w, None, layer.stride, layer.padding).shape == gy.shape


def test_flop_of_a_layer() -> None:
    found = {name: round(LAYERS[name].flop / 1e9, 2) for name in ("cifar10-conv D2", "cifar10-conv G", "dcgan-64 D4")}
    assert found == {"cifar10-conv D2": 7.55, "cifar10-conv G": 0.15, "dcgan-64 D4": 4.29}


def test_starting_values_are_those_of_the_game() -> None:
    game = GAMES["dcgan-32"]
    shapes = {"0.weight": (40, 50), "1.weight": (7,), "1.bias": (7,)}
    values = dict(starting_values(game, 0, shapes))
    assert {name: array.shape for name, array in values.items()} == shapes
    assert all(array.dtype == np.float32 for array in values.values())
    assert values["1.weight"].tolist() == [1] * 7
    assert values["1.bias"].tolist() == [0] * 7
    assert values["0.weight"].std() == pytest.approx(game.ranges[0] / math.sqrt(3), rel=0.05)
    again = dict(starting_values(game, 1, shapes))["0.weight"]
    assert not np.array_equal(values["0.weight"], again)  # the players differ


def test_a_task_draws_the_same_everywhere() -> None:
    task = ConvTask("dcgan-mnist", 1, 2)
    same = ConvTask(**task.order(None)["conv"])  # type: ignore[arg-type]
    for a, b in zip(task.batches(), same.batches(), strict=True):
        assert a.shape == (2, 1, 28, 28)
        assert np.array_equal(a, b)
    assert np.array_equal(task.noise(), same.noise())
    assert task.noise().shape == (3, 2, 2, 100)
    assert ConvTask("cifar10-conv", 1, 2).noise().shape == (3, 1, 2, 100)  # shared


def test_a_layer_has_arrays_and_no_noise() -> None:
    task = ConvTask("dcgan-32 D1", 1, 2, WAYS[0])
    assert [array.shape for array in task.arrays()] == [(2, 3, 32, 32), (64, 3, 4, 4), (2, 64, 16, 16)]
    assert task.noise().size == 0


@pytest.mark.parametrize("size", [1, 7, 499, 500, 501, 12_345])
def test_a_sample_is_spread_over_the_array(size: int) -> None:
    found = sample(np.arange(size).reshape(1, size).T)
    assert found[0] == 0
    assert min(size, 500) <= len(found) <= 1000
    assert found[-1] >= 0.99 * (size - 1) - 1
