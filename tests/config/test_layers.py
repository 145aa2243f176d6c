"""Every registered layer builds what it states, and one line registers another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan import nn
from tinygan.backend import Stream
from tinygan.config.layer_config import shapes, without_weights
from tinygan.config.layers import LAYERS
from tinygan.config.refusals import Place
from tinygan.config.schema import Number, Tagged
from tinygan.engine import Tensor
from tinygan.errors import ConfigError, ShapeError

NEEDED = {
    **{"units": 5, "pieces": 2, "p": 0.5, "std": 0.1, "channels": 5, "kernel": 3, "size": 2, "factor": 2},
    **{"height": 2, "width": 3},
}
ROW, MAPS = (12,), (4, 6, 7)
ONLY_ROWS = {"linear", "maxout", "maps"}
ONLY_MAPS = {"conv2d", "conv_transpose2d", "maxout_conv2d", "max_pool2d", "avg_pool2d", "upsample", "pixels"}


def read(name, **more):
    keys = {key: value for key, value in NEEDED.items() if key in LAYERS.sections[name].__dataclass_fields__}
    return LAYERS.read({"type": name, **keys, **more}, Place("f"))


def agrees(layer, shape):
    """Assert that the module of a layer has the shape and the weights that the layer states."""
    module = layer.build(shape, Stream(0, "weights"))
    y = module(Tensor(np.ones((4, *shape), np.float32)))
    assert y.shape == (4, *layer.outputs(shape))
    assert sum(parameter.data.size for parameter in module.parameters()) == layer.weights(shape)
    return y


@pytest.mark.parametrize("name", LAYERS.sections)
def test_a_layer_has_the_shape_and_weights_it_states(name):
    layer = read(name)
    for shape in (ROW, MAPS):
        if name in (ONLY_MAPS if shape == ROW else ONLY_ROWS):
            with pytest.raises(ConfigError, match=r"reach it"):
                layer.outputs(shape)
            with pytest.raises(ConfigError, match=r"^D.layers\[1\]: "):
                shapes([read("dropout"), layer], shape, "D.layers")
        else:
            agrees(layer, shape)


sides, flags = st.integers(1, 9), st.booleans()


@given(st.sampled_from(sorted(ONLY_MAPS - {"upsample", "pixels"})), st.data())
def test_sides_of_convolutions_and_pools_are_those_of_the_modules(name, data):
    layer_keys = LAYERS.sections[name].__dataclass_fields__
    kernel, stride, padding = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4)), data.draw(st.integers(0, 2))
    if "size" in layer_keys:
        layer = read(name, size=kernel, stride=stride, padding=min(padding, kernel // 2), ceil_mode=data.draw(flags))
    else:
        layer = read(name, kernel=kernel, stride=stride, padding=padding)
    shape = (2, data.draw(sides), data.draw(sides))
    try:
        layer.outputs(shape)
    except ConfigError:
        with pytest.raises(ShapeError):
            layer.build(shape, Stream(0, "weights"))(Tensor(np.ones((1, *shape), np.float32)))
    else:
        agrees(layer, shape)


def test_rows_of_pixels_become_maps_and_rows_again():
    rows = np.arange(2 * 5 * 4 * 3, dtype=np.float32).reshape(2, 60)
    maps = nn.Maps(5, 4)(Tensor(rows))
    assert maps.shape == (2, 3, 5, 4)
    assert maps.numpy()[1, 2, 4, 0] == rows[1].reshape(5, 4, 3)[4, 0, 2]
    assert (nn.Pixels()(maps).numpy() == rows).all()


@pytest.mark.parametrize("keys", [{"type": "linear"}, {"type": "maxout", "pieces": 2}], ids=str)
def test_spectral_norm_is_a_key_of_layers_with_weights(keys):
    layer = LAYERS.read({**keys, "units": 5, "spectral_norm": True}, Place("f"))
    module = layer.build((3,), Stream(0, "weights"))
    assert isinstance(module, nn.SpectralNorm)
    assert module(Tensor(np.ones((4, 3), np.float32))).shape == (4, 5)
    with pytest.raises(ConfigError, match=r"^f: spectral_norm: expected true or false, got 1 "):
        LAYERS.read({**keys, "units": 5, "spectral_norm": 1}, Place("f"))


def test_keys_of_the_normalizations_reach_their_modules():
    layer = read("batch_norm", eps=0.5, momentum=0.25).build((3,), Stream(0, "weights"))
    assert (layer.num_features, layer.eps, layer.momentum) == (3, 0.5, 0.25)
    layer = LAYERS.read({"type": "layer_norm", "eps": 0.5}, Place("f")).build((3,), Stream(0, "weights"))
    assert (layer.normalized_shape, layer.eps) == ((3,), 0.5)
    layer = LAYERS.read({"type": "gaussian_noise", "std": 0.5, "always": True}, Place("f"))
    assert layer.build((3,), Stream(0, "weights")).always


def test_one_line_registers_a_layer():
    leaky = without_weights("leaky", nn.LeakyReLU, slope=(Number(above=0), 0.2))
    layers = Tagged("type", leaky)
    assert layers.read({"type": "leaky"}, Place("f")).build((3,), Stream(0, "weights")).negative_slope == 0.2
    assert layers.read({"type": "leaky", "slope": 1}, Place("f")) == leaky(slope=1.0)
    with pytest.raises(ConfigError, match=r"^f: slope: expected a number above 0, got 0$"):
        layers.read({"type": "leaky", "slope": 0}, Place("f"))
    with pytest.raises(ConfigError, match=r'^f: slop: unknown key; did you mean "slope"\?$'):
        layers.read({"type": "leaky", "slop": 1}, Place("f"))


def test_weights_that_start_in_two_ways_are_refused():
    for name in ("linear", "maxout", "conv2d", "conv_transpose2d", "maxout_conv2d"):
        with pytest.raises(ConfigError, match=r"^f: weight_std: weight_range says already"):
            read(name, weight_range=0.1, weight_std=0.1)
        assert read(name, weight_std=0.1).weight_std == 0.1


def test_normal_weights_and_scales_have_their_deviation():
    for name in ("linear", "maxout"):
        layer = read(name, units=500, weight_std=0.02).build((500,), Stream(0, "weights"))
        assert layer.weight.numpy().std() == pytest.approx(0.02, rel=0.01)
    for name in ("conv2d", "conv_transpose2d"):
        layer = read(name, channels=500, weight_std=0.02, bias="none").build((100, 4, 4), Stream(0, "weights"))
        assert layer.weight.numpy().std() == pytest.approx(0.02, rel=0.01)
        assert layer.bias is None
    layer = read("batch_norm", scale_std=0.02).build((10_000, 2, 2), Stream(0, "weights"))
    assert layer.weight.numpy().mean() == pytest.approx(1, abs=1e-3)
    assert layer.weight.numpy().std() == pytest.approx(0.02, rel=0.03)
