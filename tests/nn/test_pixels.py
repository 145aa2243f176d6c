"""Rows of pixels and maps: each the reverse of the other, and a bias for each number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tinygan import nn
from tinygan.backend import Stream
from tinygan.errors import ArgumentError, ShapeError

sizes = st.integers(1, 5)


@given(st.integers(0, 4), sizes, sizes, sizes)
def test_maps_have_the_colours_of_each_pixel(n, height, width, channels):
    pictures = np.arange(n * height * width * channels, dtype=np.float32).reshape(n, height, width, channels)
    rows = tg.tensor(pictures.reshape(n, height * width * channels))
    maps = nn.Maps(height, width)(rows)
    assert np.array_equal(maps.data, pictures.transpose(0, 3, 1, 2))
    assert np.array_equal(nn.Pixels()(maps).data, rows.data)


def test_maps_are_a_view():
    rows = tg.tensor(np.zeros((2, 12)), dtype="float32")
    assert np.shares_memory(nn.Maps(2, 2)(rows).data, rows.data)


@given(sizes, sizes, sizes, st.integers(0, 99))
def test_gradients_return_to_their_numbers(height, width, channels, seed):
    rng = np.random.default_rng(seed)
    rows = tg.tensor(rng.normal(size=(2, height * width * channels)), requires_grad=True)
    weights = rng.normal(size=(2, channels, height, width))
    (nn.Maps(height, width)(rows) * weights).sum().backward()
    assert np.array_equal(rows.grad.data, weights.transpose(0, 2, 3, 1).reshape(rows.shape))
    maps = tg.tensor(weights, requires_grad=True)
    shares = rng.normal(size=rows.shape)
    (nn.Pixels()(maps) * shares).sum().backward()
    assert np.array_equal(maps.grad.data, shares.reshape(2, height, width, channels).transpose(0, 3, 1, 2))


@given(st.integers(0, 99))
def test_a_bias_for_each_number(assert_gradients, seed):
    rng = np.random.default_rng(seed)
    layer = nn.Bias((3, 2, 2), nn.init.uniform(1.0), Stream(0, "weights"))
    x = rng.normal(size=(4, 3, 2, 2)).astype(np.float32)
    assert layer.bias.shape == (3, 2, 2)
    assert len(np.unique(layer.bias.data)) == 12
    assert np.array_equal(layer(tg.tensor(x)).data, x + layer.bias.data)
    assert not nn.Bias(5).bias.data.any()
    assert_gradients(layer, x, rng)


def test_what_the_layers_show():
    network = nn.Sequential(nn.Maps(4, 4), nn.Bias((2, 4, 4)), nn.Pixels())
    assert repr(network[0]) == "Maps(4, 4)"
    assert repr(network[1]) == "Bias(2, 4, 4)"
    assert "Bias(2, 4, 4)  (5, 2, 4, 4)          32" in str(network.summary((5, 32)))


@pytest.mark.parametrize(
    ("make", "error", "facts"),
    [
        (lambda: nn.Maps(0, 4), ArgumentError, ["Maps: height", "at least 1"]),
        (lambda: nn.Maps(4, 1.5), ArgumentError, ["Maps: width", "1.5"]),
        (lambda: nn.Maps(2, 2)(tg.tensor(np.zeros((3, 6)))), ShapeError, ["multiple of 4", "(3, 6)"]),
        (lambda: nn.Maps(2, 2)(tg.tensor(np.zeros(4))), ShapeError, ["rows of 2 x 2", "(4,)"]),
        (lambda: nn.Pixels()(tg.tensor(np.zeros((3, 4)))), ShapeError, ["(N, C, H, W)", "(3, 4)"]),
        (lambda: nn.Bias((2, 3))(tg.tensor(np.zeros((4, 3, 2)))), ShapeError, ["(2, 3)", "(4, 3, 2)"]),
        (lambda: nn.Bias((2, 3))(tg.tensor(np.zeros((1, 3)))), ShapeError, ["(2, 3)", "(1, 3)"]),
    ],
)
def test_what_does_not_fit_is_refused(make, error, facts):
    with pytest.raises(error) as raised:
        make()
    for fact in facts:
        assert fact in str(raised.value)
