"""The layers of pooling and upsampling."""

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan import nn
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


def test_sizes_are_checked_when_the_layer_is_made():
    with pytest.raises(ArgumentError, match=r"^MaxPool2d: size must be an integer of at least 1, got 0"):
        nn.MaxPool2d(0)
    with pytest.raises(ArgumentError, match=r"^AvgPool2d: padding=2 is more than half of size=3"):
        nn.AvgPool2d(3, padding=2)
    with pytest.raises(ArgumentError, match=r"^Upsample: factor must be an integer of at least 1, got -1"):
        nn.Upsample(-1)


def test_a_layer_that_does_not_fit_is_named():
    net = nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(4))
    with pytest.raises(ShapeError, match=r"max_pool2d: a window of 4 rows .* images of 3 rows"):
        net.summary((2, 1, 6, 6))
