"""Every registered layer builds what it states, and one line registers another."""

from __future__ import annotations

import numpy as np
import pytest

from tinygan import nn
from tinygan.backend import Stream
from tinygan.config.layers import LAYERS, without_weights
from tinygan.config.refusals import Place
from tinygan.config.schema import Number, Tagged
from tinygan.engine import Tensor
from tinygan.errors import ConfigError

NEEDED = {"units": 5, "pieces": 2, "p": 0.5, "std": 0.1}


@pytest.mark.parametrize("name", LAYERS.sections)
def test_a_layer_has_the_width_and_weights_it_states(name):
    section = LAYERS.sections[name]
    keys = {key: value for key, value in NEEDED.items() if key in section.__dataclass_fields__}
    layer = LAYERS.read({"type": name, **keys}, Place("f"))
    module = layer.build(3, Stream(0, "weights"))
    assert module(Tensor(np.ones((4, 3), np.float32))).shape == (4, layer.outputs(3))
    assert sum(parameter.data.size for parameter in module.parameters()) == layer.weights(3)


@pytest.mark.parametrize("keys", [{"type": "linear"}, {"type": "maxout", "pieces": 2}], ids=str)
def test_spectral_norm_is_a_key_of_layers_with_weights(keys):
    layer = LAYERS.read({**keys, "units": 5, "spectral_norm": True}, Place("f"))
    module = layer.build(3, Stream(0, "weights"))
    assert isinstance(module, nn.SpectralNorm)
    assert module(Tensor(np.ones((4, 3), np.float32))).shape == (4, 5)
    with pytest.raises(ConfigError, match=r"^f: spectral_norm: expected true or false, got 1 "):
        LAYERS.read({**keys, "units": 5, "spectral_norm": 1}, Place("f"))


def test_keys_of_the_normalizations_reach_their_modules():
    layer = LAYERS.read({"type": "batch_norm", "eps": 0.5, "momentum": 0.25}, Place("f")).build(3, Stream(0, "weights"))
    assert (layer.num_features, layer.eps, layer.momentum) == (3, 0.5, 0.25)
    layer = LAYERS.read({"type": "layer_norm", "eps": 0.5}, Place("f")).build(3, Stream(0, "weights"))
    assert (layer.normalized_shape, layer.eps) == ((3,), 0.5)
    layer = LAYERS.read({"type": "gaussian_noise", "std": 0.5, "always": True}, Place("f"))
    assert layer.build(3, Stream(0, "weights")).always


def test_one_line_registers_a_layer():
    leaky = without_weights("leaky", nn.LeakyReLU, slope=(Number(above=0), 0.2))
    layers = Tagged("type", leaky)
    assert layers.read({"type": "leaky"}, Place("f")).build(3, Stream(0, "weights")).negative_slope == 0.2
    assert layers.read({"type": "leaky", "slope": 1}, Place("f")) == leaky(slope=1.0)
    with pytest.raises(ConfigError, match=r"^f: slope: expected a number above 0, got 0$"):
        layers.read({"type": "leaky", "slope": 0}, Place("f"))
    with pytest.raises(ConfigError, match=r'^f: slop: unknown key; did you mean "slope"\?$'):
        layers.read({"type": "leaky", "slop": 1}, Place("f"))
