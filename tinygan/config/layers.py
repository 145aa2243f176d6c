"""The layers that an experiment file can name: `LAYERS`, the only list of them.

To add a layer without weights, such as an activation:

1. Write its module in `tinygan.nn` (and export it there).
2. Add one line here, with the word for ``type``::

       SiluConfig = without_weights("silu", nn.SiLU)

   A module with arguments gets a key for each, in their order: what the key may hold, and its default if it has one::

       EluConfig = without_weights("elu", nn.ELU, alpha=(Number(above=0), 1.0))

One that scales and shifts each of its channels is a line of `normalization`. Another layer is a class, such as
`MaxoutConfig` here or `Conv2dConfig` in `tinygan.config.convolutions`. It also states which shape it returns. Shapes
are those of one row: (n,) for n numbers, and (channels, height, width) for maps, which convolutions take.

The strict reader, the suggestions for a misspelled word, the written ``config.toml``, the networks, their least memory
and the comparison with a pretrained generator all follow from this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tinygan.config.convolutions  # noqa: F401  its layers are part of LAYERS
from tinygan import nn
from tinygan.backend import Stream
from tinygan.config.layer_config import (
    LARGEST_WIDTH,
    WIDE,
    LayerConfig,
    Shape,
    described,
    initial_weights,
    limited,
    normalization,
    refuse_two_starts,
    registered,
    without_weights,
)
from tinygan.config.refusals import Place
from tinygan.config.schema import Flag, Integer, Number, Tagged
from tinygan.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class LinearConfig(LayerConfig):
    """``units`` affine maps of the input.

    ``weight_range = r`` draws the weights uniformly from (-r, r), as the paper's code does; ``weight_std = s`` from
    N(0, s^2); without either they are uniform with r = 1 / sqrt(inputs). ``nonzero_weights = n`` instead gives each
    unit n weights from N(0, 1), at inputs drawn at random, and 0 for the others. ``bias`` is the initial bias, or
    "marginal": the logit of each pixel's training mean, or "none": there is no bias, as before a batch normalization,
    which would subtract it. ``spectral_norm`` divides the weights by their largest singular value.
    """

    type: Literal["linear"] = "linear"
    units: Annotated[int, Integer(at_least=1, at_most=LARGEST_WIDTH, because=WIDE)]
    weight_range: Annotated[float | None, Number(above=0, single=True)] = None
    weight_std: Annotated[float | None, Number(above=0, single=True)] = None
    nonzero_weights: Annotated[int | None, Integer(at_least=1)] = None
    bias: Annotated[float | Literal["marginal", "none"], Number(words=("marginal", "none"), single=True)] = 0.0
    spectral_norm: Annotated[bool, Flag()] = False
    starting = ("weight_range", "weight_std", "nonzero_weights", "bias")
    affine = True

    def check(self, place: Place) -> None:
        """Refuse weights that start in two ways."""
        refuse_two_starts(self, place)

    def outputs(self, shape: Shape) -> Shape:
        """Return the number of units."""
        _inputs(self, shape)
        return (self.units,)

    def weights(self, shape: Shape) -> int:
        """One for each input and unit, and the biases."""
        return (_inputs(self, shape) + (self.bias != "none")) * self.units

    def numbers(self, shape: Shape) -> int:
        """One for each unit."""
        return self.units

    def build(self, shape: Shape, stream: Stream) -> nn.Module:
        """Return an `nn.Linear`."""
        inputs = _inputs(self, shape)
        weights = initial_weights(self.weight_range, self.weight_std)
        if self.nonzero_weights is not None:
            if self.nonzero_weights > inputs:
                raise ConfigError(
                    f"nonzero_weights = {self.nonzero_weights}: the linear layer of {self.units} units has only "
                    f"{inputs} inputs: expected at most {inputs}"
                )
            weights = nn.init.sparse(self.nonzero_weights)
        bias = nn.init.constant(0.0 if isinstance(self.bias, str) else self.bias)
        layer = nn.Linear(inputs, self.units, self.bias != "none", weights, bias, stream)
        return limited(layer, self.spectral_norm, stream)


@dataclass(frozen=True, kw_only=True)
class MaxoutConfig(LayerConfig):
    """``units`` outputs, each the maximum over its own ``pieces`` affine maps.

    ``weight_range``, ``bias`` and ``spectral_norm`` are as in `LinearConfig`, but a maxout bias is always a number.
    """

    type: Literal["maxout"] = "maxout"
    units: Annotated[int, Integer(at_least=1, at_most=LARGEST_WIDTH, because=WIDE)]
    pieces: Annotated[int, Integer(at_least=1, at_most=LARGEST_WIDTH, because=WIDE)]
    weight_range: Annotated[float | None, Number(above=0, single=True)] = None
    weight_std: Annotated[float | None, Number(above=0, single=True)] = None
    bias: Annotated[float, Number(single=True)] = 0.0
    spectral_norm: Annotated[bool, Flag()] = False
    starting = ("weight_range", "weight_std", "bias")
    affine = True

    def check(self, place: Place) -> None:
        """Refuse weights that start in two ways."""
        refuse_two_starts(self, place)

    def outputs(self, shape: Shape) -> Shape:
        """Return the number of units."""
        _inputs(self, shape)
        return (self.units,)

    def weights(self, shape: Shape) -> int:
        """One for each input and piece of a unit, and the biases."""
        return (_inputs(self, shape) + 1) * self.units * self.pieces

    def numbers(self, shape: Shape) -> int:
        """One for each piece of each unit."""
        return self.units * self.pieces

    def build(self, shape: Shape, stream: Stream) -> nn.Module:
        """Return an `nn.Maxout`."""
        weights, bias = initial_weights(self.weight_range, self.weight_std), nn.init.constant(self.bias)
        layer = nn.Maxout(_inputs(self, shape), self.units, self.pieces, weights, bias, stream)
        return limited(layer, self.spectral_norm, stream)


def _inputs(layer: LayerConfig, shape: Shape) -> int:
    """Return the size of a row; refuse maps."""
    if len(shape) != 1:
        raise ConfigError(
            f"a {layer.type} layer takes rows of numbers, but {described(shape)} reach it: put "
            '{ type = "flatten" } before it'
        )
    return shape[0]


ReluConfig = without_weights("relu", nn.ReLU)
LeakyReluConfig = without_weights("leaky_relu", nn.LeakyReLU, slope=(Number(at_least=0, single=True), 0.01))
SigmoidConfig = without_weights("sigmoid", nn.Sigmoid)
TanhConfig = without_weights("tanh", nn.Tanh)
SoftplusConfig = without_weights("softplus", nn.Softplus, beta=(Number(above=0, single=True), 1.0))
DropoutConfig = without_weights("dropout", nn.Dropout, p=Number(at_least=0, below=1))
GaussianNoiseConfig = without_weights(
    "gaussian_noise", nn.GaussianNoise, std=Number(at_least=0, single=True), always=(Flag(), False)
)
BatchNormConfig = normalization(
    "batch_norm",
    nn.BatchNorm,
    lambda shape: shape[0],
    eps=(Number(above=0, single=True), 1e-5),
    momentum=(Number(above=0, below=1), 0.1),
    scale_std=(Number(above=0, single=True), None),
)
LayerNormConfig = normalization(
    "layer_norm", nn.LayerNorm, lambda shape: shape, eps=(Number(above=0, single=True), 1e-5)
)

LAYERS = Tagged("type", *registered)
