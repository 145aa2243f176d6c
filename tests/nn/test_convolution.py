"""The layers of images: shapes, starting weights, gradients, and what they show."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import nn
from tinygan.backend import Stream
from tinygan.errors import ArgumentError, CallError, ShapeError


def images(*shape, seed=0):
    return tg.tensor(np.random.default_rng(seed).normal(size=shape), dtype="float32")


def test_layers_apply_their_operation_with_their_options():
    x = images(2, 3, 7, 6)
    layer = nn.Conv2d(3, 4, (3, 2), (2, 1), (1, 0))
    assert np.array_equal(layer(x).data, F.conv2d(x, layer.weight, layer.bias, (2, 1), (1, 0)).data)
    layer = nn.ConvTranspose2d(3, 4, 4, 3, 1, (2, 0))
    expected = F.conv_transpose2d(x, layer.weight, layer.bias, 3, 1, (2, 0))
    assert np.array_equal(layer(x).data, expected.data)


def test_a_transposed_layer_undoes_the_size_of_a_layer():
    x = images(2, 3, 8, 8)
    y = nn.Conv2d(3, 5, 4, stride=2, padding=1)(x)
    assert y.shape == (2, 5, 4, 4)
    assert nn.ConvTranspose2d(5, 3, 4, stride=2, padding=1)(y).shape == x.shape


@given(st.sampled_from([nn.Conv2d, nn.ConvTranspose2d]), st.integers(0, 99))
def test_gradients_are_right(assert_gradients, kind, seed):
    rng = np.random.default_rng(seed)
    assert_gradients(kind(3, 2, 3, stride=2, padding=1), rng.normal(size=(2, 3, 4, 5)), rng)


@pytest.mark.parametrize(("kind", "inputs"), [(nn.Conv2d, 3 * 4 * 5), (nn.ConvTranspose2d, 64 * 4 * 5)])
def test_weights_start_as_in_pytorch_and_biases_at_0(kind, inputs):
    layer = kind(3, 64, (4, 5), rng=Stream(0, "weights"))
    largest = abs(layer.weight.data).max()
    assert 0.95 * inputs**-0.5 < largest <= inputs**-0.5
    assert not layer.bias.data.any()
    assert np.array_equal(layer.weight.data, kind(3, 64, (4, 5), rng=Stream(0, "weights")).weight.data)


def test_initialisers_and_no_bias():
    layer = nn.Conv2d(3, 4, 2, bias=False, weight_init=nn.init.constant(0.5))
    assert layer.bias is None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert (layer.weight.data == 0.5).all()
    assert (nn.ConvTranspose2d(3, 4, 2, bias_init=nn.init.constant(2)).bias.data == 2).all()


@pytest.mark.parametrize("init", [nn.init.kaiming_normal(), nn.init.xavier_uniform(), nn.init.orthogonal()])
def test_every_initialiser_fits_a_kernel(init):
    assert nn.Conv2d(3, 4, (2, 3), weight_init=init).weight.shape == (4, 3, 2, 3)


def test_a_sparse_start_is_for_matrices():
    with pytest.raises(ArgumentError, match=r"two axes.*\(4, 3, 2, 3\)"):
        nn.Conv2d(3, 4, (2, 3), weight_init=nn.init.sparse(5))


def test_what_a_layer_shows():
    assert repr(nn.Conv2d(3, 64, 4, 2, 1, bias=False)) == (
        "Conv2d(3, 64, kernel_size=4, stride=2, padding=1, bias=False)"
    )
    assert repr(nn.ConvTranspose2d(3, 4, (4, 5), (2, 3), 0, (1, 0))) == (
        "ConvTranspose2d(3, 4, kernel_size=(4, 5), stride=(2, 3), output_padding=(1, 0))"
    )
    summary = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(32, 1)).summary((5, 1, 4, 4))
    assert "(5, 2, 4, 4)" in summary


@pytest.mark.parametrize(
    ("make", "error", "facts"),
    [
        (lambda: nn.Conv2d(0, 4, 3), ArgumentError, ["Conv2d: in_channels", "at least 1"]),
        (lambda: nn.ConvTranspose2d(3, 4, 0), ArgumentError, ["ConvTranspose2d: kernel_size", "at least 1"]),
        (lambda: nn.Conv2d(3, 4, 3, stride=(1, 0)), ArgumentError, ["Conv2d: stride", "at least 1"]),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1), ArgumentError, ["Conv2d: padding", "at least 0"]),
        (lambda: nn.ConvTranspose2d(3, 4, 3, 2, 1, 2), ArgumentError, ["ConvTranspose2d", "output_padding"]),
        (lambda: nn.Conv2d(3, 4, 3, groups=1), CallError, ["groups=", "nn.Conv2d(3, 4, 3)"]),
        (lambda: nn.Conv2d(3, 4, 3)(images(2, 4, 5, 5)), ShapeError, ["4 channels", "takes 3"]),
        (lambda: nn.Conv2d(3, 4, 3).summary((2, 3, 2, 5)), ShapeError, ["Conv2d(3, 4, kernel_size=3)", "2x5"]),
    ],
)
def test_what_does_not_fit_is_refused(make, error, facts):
    with pytest.raises(error) as raised:
        make()
    for fact in facts:
        assert fact in str(raised.value)


# ---------------------------------------------------------------------- maxout units


def test_maxout_units_show_their_pieces_and_check_their_sizes():
    assert repr(nn.MaxoutConv2d(3, 32, 2, 8, padding=4)) == "MaxoutConv2d(3, 32, pieces=2, kernel_size=8, padding=4)"
    for sizes, name in (((0, 2, 2), "in_channels"), ((1, 0, 2), "units"), ((1, 2, 1.5), "pieces")):
        with pytest.raises(ArgumentError, match=rf"^MaxoutConv2d: {name} must be an integer of at least 1"):
            nn.MaxoutConv2d(*sizes, 3)


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
