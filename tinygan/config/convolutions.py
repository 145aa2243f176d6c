"""The layers of images that an experiment file can name, and those between images and rows of numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

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
    refuse_two_starts,
)
from tinygan.config.refusals import Place
from tinygan.config.schema import Flag, Integer, Number
from tinygan.errors import ArgumentError, ConfigError, ShapeError
from tinygan.functional.pooling import windows_of

LARGEST_SIZE = 4096  # of an image, a kernel, a stride

_Units = Annotated[int, Integer(at_least=1, at_most=LARGEST_WIDTH, because=WIDE)]
_Size = Annotated[int, Integer(at_least=1, at_most=LARGEST_SIZE)]
_Border = Annotated[int, Integer(at_least=0, at_most=LARGEST_SIZE)]
_Positive = Annotated[float | None, Number(above=0, single=True)]


def _maps(layer: LayerConfig, shape: Shape) -> Shape:
    """Return the shape of maps; refuse a row of numbers."""
    if len(shape) != 3:
        raise ConfigError(
            f"a {layer.type} layer takes maps, but {described(shape)} reach it: put "
            '{ type = "maps", height = ..., width = ... } before it'
        )
    return shape


@dataclass(frozen=True, kw_only=True)
class _Convolution(LayerConfig):
    """What the layers with kernels share: square kernels, and how their weights start.

    ``weight_range``, ``weight_std`` and ``spectral_norm`` are as in `LinearConfig`. ``bias`` is the initial bias of
    each channel, or "none".
    """

    kernel: _Size
    stride: _Size = 1
    padding: _Border = 0
    weight_range: _Positive = None
    weight_std: _Positive = None
    bias: Annotated[float | Literal["none"], Number(words=("none",), single=True)] = 0.0
    spectral_norm: Annotated[bool, Flag()] = False
    starting: ClassVar[tuple[str, ...]] = ("weight_range", "weight_std", "bias")
    affine: ClassVar[bool] = True

    def check(self, place: Place) -> None:
        """Refuse weights that start in two ways."""
        refuse_two_starts(self, place)

    @property
    def channels_made(self) -> int:
        """How many channels the convolution returns."""
        raise NotImplementedError

    def _side(self, size: int) -> int:
        """Return the size of the result for an image of this size."""
        side = (size + 2 * self.padding - self.kernel) // self.stride + 1
        if side < 1:
            raise ConfigError(
                f"a kernel of {self.kernel}x{self.kernel} does not fit into an image of size {size} with padding = "
                f"{self.padding}"
            )
        return side

    def numbers(self, shape: Shape) -> int:
        """One for each channel and place."""
        _, height, width = _maps(self, shape)
        return self.channels_made * self._side(height) * self._side(width)

    def outputs(self, shape: Shape) -> Shape:
        """Return the channels and the size of the result."""
        _, height, width = _maps(self, shape)
        return self.channels_made, self._side(height), self._side(width)

    def weights(self, shape: Shape) -> int:
        """One for each channel in, channel out and element of the kernel, and the biases."""
        biases = 0 if self.bias == "none" else self.channels_made
        return _maps(self, shape)[0] * self.channels_made * self.kernel**2 + biases

    def build(self, shape: Shape, stream: Stream) -> nn.Module:
        """Return the layer."""
        start: Any = 0.0 if self.bias == "none" else self.bias
        options = {
            "bias": self.bias != "none",
            "weight_init": initial_weights(self.weight_range, self.weight_std),
            "bias_init": nn.init.constant(start),
            "rng": stream,
        }
        return limited(self._layer(_maps(self, shape)[0], options), self.spectral_norm, stream)

    def _layer(self, inputs: int, options: dict[str, Any]) -> nn.Module:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Conv2dConfig(_Convolution):
    """A convolution with ``channels`` kernels: see `nn.Conv2d`."""

    type: Literal["conv2d"] = "conv2d"
    channels: _Units

    @property
    def channels_made(self) -> int:
        """The channels."""
        return self.channels

    def _layer(self, inputs: int, options: dict[str, Any]) -> nn.Module:
        return nn.Conv2d(inputs, self.channels, self.kernel, self.stride, self.padding, **options)


@dataclass(frozen=True, kw_only=True)
class ConvTranspose2dConfig(_Convolution):
    """A transposed convolution that returns ``channels`` maps, larger ones with a stride: see `nn.ConvTranspose2d`."""

    type: Literal["conv_transpose2d"] = "conv_transpose2d"
    channels: _Units
    output_padding: _Border = 0

    def check(self, place: Place) -> None:
        """Refuse an output padding that is not below the stride."""
        super().check(place)
        if self.output_padding >= self.stride:
            raise place.at("output_padding").refuse(f"expected less than the stride, which is {self.stride}")

    @property
    def channels_made(self) -> int:
        """The channels."""
        return self.channels

    def _side(self, size: int) -> int:
        side = (size - 1) * self.stride - 2 * self.padding + self.kernel + self.output_padding
        if side < 1:
            raise ConfigError(f"nothing is left of an image of size {size} with padding = {self.padding}")
        return side

    def _layer(self, inputs: int, options: dict[str, Any]) -> nn.Module:
        sizes = self.kernel, self.stride, self.padding, self.output_padding
        return nn.ConvTranspose2d(inputs, self.channels, *sizes, **options)


@dataclass(frozen=True, kw_only=True)
class MaxoutConv2dConfig(_Convolution):
    """``units`` maps, each the maximum over its own ``pieces`` convolutions: see `nn.MaxoutConv2d`."""

    type: Literal["maxout_conv2d"] = "maxout_conv2d"
    units: _Units
    pieces: _Units

    @property
    def channels_made(self) -> int:
        """One for each piece of each unit."""
        return self.units * self.pieces

    def outputs(self, shape: Shape) -> Shape:
        """Return the units and the size of the result."""
        return self.units, *super().outputs(shape)[1:]

    def _layer(self, inputs: int, options: dict[str, Any]) -> nn.Module:
        return nn.MaxoutConv2d(inputs, self.units, self.pieces, self.kernel, self.stride, self.padding, **options)


@dataclass(frozen=True, kw_only=True)
class _Pool(LayerConfig):
    """What the layers with windows share."""

    size: _Size
    stride: Annotated[int | None, Integer(at_least=1, at_most=LARGEST_SIZE)] = None
    padding: _Border = 0
    ceil_mode: Annotated[bool, Flag()] = False

    def _layer(self) -> nn.Module:
        raise NotImplementedError

    def outputs(self, shape: Shape) -> Shape:
        """Return the channels and the number of windows."""
        channels, *image = _maps(self, shape)
        options = self.size, self.stride, self.padding, self.ceil_mode
        try:
            return channels, *windows_of(self.type, tuple(image), *options).count
        except (ArgumentError, ShapeError) as error:
            raise ConfigError(str(error)) from None

    def build(self, shape: Shape, stream: Stream) -> nn.Module:
        """Return the layer."""
        return self._layer()


@dataclass(frozen=True, kw_only=True)
class MaxPool2dConfig(_Pool):
    """The maximum over windows of ``size``, every ``stride``: see `nn.MaxPool2d`."""

    type: Literal["max_pool2d"] = "max_pool2d"

    def _layer(self) -> nn.Module:
        return nn.MaxPool2d(self.size, self.stride, self.padding, self.ceil_mode)


@dataclass(frozen=True, kw_only=True)
class AvgPool2dConfig(_Pool):
    """The mean over windows of ``size``, every ``stride``: see `nn.AvgPool2d`."""

    type: Literal["avg_pool2d"] = "avg_pool2d"

    def _layer(self) -> nn.Module:
        return nn.AvgPool2d(self.size, self.stride, self.padding, self.ceil_mode)


@dataclass(frozen=True, kw_only=True)
class UpsampleConfig(LayerConfig):
    """Each pixel becomes ``factor`` x ``factor`` pixels: see `nn.Upsample`."""

    type: Literal["upsample"] = "upsample"
    factor: _Size

    def outputs(self, shape: Shape) -> Shape:
        """Return the larger maps."""
        channels, *image = _maps(self, shape)
        return channels, *(self.factor * side for side in image)

    def build(self, shape: Shape, stream: Stream) -> nn.Module:
        """Return an `nn.Upsample`."""
        return nn.Upsample(self.factor)


@dataclass(frozen=True, kw_only=True)
class MapsConfig(LayerConfig):
    """Rows of pixels, the channels of a pixel side by side, as maps of ``height`` x ``width``: see `nn.Maps`."""

    type: Literal["maps"] = "maps"
    height: _Size
    width: _Size

    def outputs(self, shape: Shape) -> Shape:
        """Return the channels, the height and the width."""
        places, numbers = self.height * self.width, math.prod(shape)
        if len(shape) != 1 or numbers % places:
            raise ConfigError(
                f"maps of {self.height}x{self.width} are made of rows of a multiple of {places:,} numbers, but "
                f"{described(shape)} reach it"
            )
        return numbers // places, self.height, self.width

    def build(self, shape: Shape, stream: Stream) -> nn.Module:
        """Return an `nn.Maps`."""
        return nn.Maps(self.height, self.width)


@dataclass(frozen=True, kw_only=True)
class PixelsConfig(LayerConfig):
    """Maps as rows of pixels, as a data set has them: see `nn.Pixels`."""

    type: Literal["pixels"] = "pixels"

    def outputs(self, shape: Shape) -> Shape:
        """Return the number of pixels times the channels."""
        return (math.prod(_maps(self, shape)),)

    def build(self, shape: Shape, stream: Stream) -> nn.Module:
        """Return an `nn.Pixels`."""
        return nn.Pixels()


@dataclass(frozen=True, kw_only=True)
class FlattenConfig(LayerConfig):
    """Maps as rows of numbers, for a linear layer: see `nn.Flatten`."""

    type: Literal["flatten"] = "flatten"

    def outputs(self, shape: Shape) -> Shape:
        """Return how many numbers a row has."""
        return (math.prod(shape),)

    def build(self, shape: Shape, stream: Stream) -> nn.Module:
        """Return an `nn.Flatten`."""
        return nn.Flatten()


@dataclass(frozen=True, kw_only=True)
class BiasConfig(LayerConfig):
    """A bias for each number, also for each pixel of each map, which starts at ``start``: see `nn.Bias`."""

    type: Literal["bias"] = "bias"
    start: Annotated[float, Number(single=True)] = 0.0
    starting: ClassVar[tuple[str, ...]] = ("start",)

    def weights(self, shape: Shape) -> int:
        """One for each number."""
        return math.prod(shape)

    def build(self, shape: Shape, stream: Stream) -> nn.Module:
        """Return an `nn.Bias`."""
        return nn.Bias(shape, nn.init.constant(self.start), stream)
