"""The layers of pooling, and convolution with maxout units."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import nn
from tinygan.backend import Stream
from tinygan.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(0)


def images(*shape):
    return tg.tensor(RNG.normal(size=shape), dtype="float32", requires_grad=True)


@pytest.mark.parametrize(("layer", "function"), [(nn.MaxPool2d, F.max_pool2d), (nn.AvgPool2d, F.avg_pool2d)])
@pytest.mark.parametrize("arguments", [(2,), ((3, 2), 1), (3, (2, 3), 1), (4, 2, (0, 2), True)])
def test_a_layer_is_its_function(layer, function, arguments):
    x = images(2, 3, 9, 7)
    np.testing.assert_array_equal(layer(*arguments)(x).data, function(x, *arguments).data)


def test_layers_show_what_differs_from_the_defaults():
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d(2)"
    assert repr(nn.MaxPool2d(4, 2, ceil_mode=True)) == "MaxPool2d(4, stride=2, ceil_mode=True)"
    assert repr(nn.AvgPool2d((3, 2), padding=1)) == "AvgPool2d((3, 2), padding=1)"
    assert repr(nn.Upsample((2, 1))) == "Upsample((2, 1))"
    assert repr(nn.MaxoutConv2d(3, 32, 2, 8, padding=4)) == "MaxoutConv2d(3, 32, pieces=2, kernel_size=8, padding=4)"


def test_sizes_are_checked_when_the_layer_is_made():
    with pytest.raises(ArgumentError, match=r"^MaxPool2d: size must be an integer of at least 1, got 0"):
        nn.MaxPool2d(0)
    with pytest.raises(ArgumentError, match=r"^AvgPool2d: padding=2 is more than half of size=3"):
        nn.AvgPool2d(3, padding=2)
    with pytest.raises(ArgumentError, match=r"^Upsample: factor must be an integer of at least 1, got -1"):
        nn.Upsample(-1)
    for sizes, name in (((0, 2, 2), "in_channels"), ((1, 0, 2), "units"), ((1, 2, 1.5), "pieces")):
        with pytest.raises(ArgumentError, match=rf"^MaxoutConv2d: {name} must be an integer of at least 1"):
            nn.MaxoutConv2d(*sizes, 3)


def test_a_layer_that_does_not_fit_is_named():
    net = nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(4))
    with pytest.raises(ShapeError, match=r"max_pool2d: a window of 4 rows .* images of 3 rows"):
        net.summary((2, 1, 6, 6))


@given(st.integers(0, 3), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**32))
def test_a_unit_is_the_largest_of_consecutive_channels(batch, units, pieces, seed):
    layer = nn.MaxoutConv2d(2, units, pieces, 3, padding=1, bias_init=nn.init.uniform(1.0), rng=Stream(seed, "weights"))
    x = images(batch, 2, 5, 4)
    channels = F.conv2d(x, layer.weight, layer.bias, padding=1).data
    expected = np.stack([channels[:, u * pieces : (u + 1) * pieces].max(axis=1) for u in range(units)], axis=1)
    y = layer(x)
    np.testing.assert_array_equal(y.data, expected)
    assert y.dtype == np.float32


def test_the_discriminator_of_2014_has_its_sizes():
    """The convolutional D for CIFAR-10: windows that are cut at the edge, and 12,454,073 parameters."""
    d = nn.Sequential(
        nn.MaxoutConv2d(3, 32, 2, 8, padding=4), nn.MaxPool2d(4, 2, ceil_mode=True),
        nn.MaxoutConv2d(32, 32, 2, 8, padding=3), nn.MaxPool2d(4, 2, ceil_mode=True),
        nn.MaxoutConv2d(32, 192, 2, 5, padding=3), nn.MaxPool2d(2, 2, ceil_mode=True),
        nn.Flatten(), nn.Maxout(4800, 500, 5), nn.Linear(500, 1),
    )  # fmt: skip
    shapes, x = [], images(1, 3, 32, 32)
    for layer in d:
        x = layer(x)
        shapes.append(x.shape[1:])
    assert shapes[:6] == [(32, 33, 33), (32, 16, 16), (32, 15, 15), (32, 7, 7), (192, 9, 9), (192, 5, 5)]
    assert sum(parameter.size for parameter in d.parameters()) == 12_454_073


def test_channels_that_tie_send_one_gradient():
    """Of a black image all pieces are equal; the first one gets the whole gradient."""
    layer = nn.MaxoutConv2d(1, 2, 2, 3, rng=Stream(0, "weights"))
    layer(tg.tensor(np.zeros((1, 1, 4, 4), "float32"))).sum().backward()
    assert layer.bias.grad.data.tolist() == [4, 0, 4, 0]
