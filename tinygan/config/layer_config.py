"""`LayerConfig`, the base of the layers of an experiment file, and the shapes of what passes through them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from tinygan import nn
from tinygan.backend import Stream
from tinygan.config.refusals import Place
from tinygan.config.schema import Choice, Kind, Section
from tinygan.errors import ConfigError

LARGEST_WIDTH = 100_000  # of a layer: two such layers have 10^10 weights between them
WIDE = "the weights between two layers that wide take 40 GB"

Shape = tuple[int, ...]  # of one row: (n,) for n numbers, (channels, height, width) for maps

registered: list[type[LayerConfig]] = []


@dataclass(frozen=True, kw_only=True)
class LayerConfig(Section):
    """The base of all layers; a subclass with a ``type`` becomes part of `LAYERS`.

    Attributes
    ----------
    starting : tuple of str
        The keys that decide how the weights start, and not what the layer computes.
    affine : bool
        Whether the layer computes affine maps of its input: it is what a network is trained by.
    """

    type: str
    starting: ClassVar[tuple[str, ...]] = ()
    affine: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        if "type" in inspect.get_annotations(cls):  # else a base of others
            registered.append(cls)

    def outputs(self, shape: Shape) -> Shape:
        """Return the shape of a row after the layer; refuse a shape that it cannot take with a `ConfigError`."""
        return shape

    def weights(self, shape: Shape) -> int:
        """Return how many numbers of the layer are trained, if a row has this shape."""
        return 0

    def numbers(self, shape: Shape) -> int:
        """Return how many numbers of a row an affine layer computes, before any maximum."""
        return 0

    def build(self, shape: Shape, stream: Stream) -> nn.Module:
        """Return the layer as a module for rows of this shape; its weights are drawn from the stream."""
        raise NotImplementedError(f"{type(self).__name__}.build is not written")


def shapes(layers: Sequence[LayerConfig], first: Shape, place: str) -> list[Shape]:
    """Return the shape of a row before the first layer and after each layer.

    Parameters
    ----------
    layers : sequence of LayerConfig
    first : tuple of int
        The shape of a row of the input.
    place : str
        Where the layers stand, for the message, such as "generator.layers".

    Raises
    ------
    ConfigError
        A layer cannot take the shape that reaches it.

    Examples
    --------
    >>> from tinygan.config.convolutions import FlattenConfig
    >>> from tinygan.config.layers import LinearConfig
    >>> shapes([FlattenConfig(), LinearConfig(units=5)], (3, 8, 8), "generator.layers")
    [(3, 8, 8), (192,), (5,)]
    >>> shapes([LinearConfig(units=5)], (3, 8, 8), "generator.layers")
    Traceback (most recent call last):
    tinygan.errors.ConfigError: generator.layers[0]: a linear layer takes rows of numbers, but 3 maps of 8x8 ...
    """
    found = [first]
    for index, layer in enumerate(layers):
        try:
            found.append(layer.outputs(found[-1]))
        except ConfigError as error:
            raise ConfigError(f"{place}[{index}]: {error}") from None
    return found


def without_weights(name: str, module: type[nn.Module], **keys: Kind | tuple[Kind, Any]) -> Any:
    """Register a layer without weights; return its section.

    Parameters
    ----------
    name : str
        The ``type`` in an experiment file.
    module : type of nn.Module
    **keys : Kind or (Kind, default)
        The keys of the section, in the order of the module's arguments.
    """
    fields: list[Any] = [("type", Annotated[str, Choice(name)], name)]
    for key, rule in keys.items():
        kind, *default = rule if isinstance(rule, tuple) else (rule,)
        fields.append((key, Annotated[Any, kind], *default))

    def build(self: Any, shape: Shape, stream: Stream) -> nn.Module:
        """Return the module."""
        return module(*(getattr(self, key) for key in keys))

    return _section(name, module, fields, build=build)


def normalization(
    name: str, module: Callable[..., nn.Module], of: Callable[[Shape], int | Shape], **keys: tuple[Kind, Any]
) -> Any:
    """Register a layer with a scale and a shift for each of its channels; return its section.

    Parameters
    ----------
    name : str
        The ``type`` in an experiment file.
    module : callable
        Takes the number or the shape of the scales.
    of : callable
        Returns the number or the shape of the scales for a row of a given shape.
    **keys : (Kind, default)
        The keys of the section, which are keywords of the module; "scale_std" is not: it draws the scales from
        N(1, scale_std^2), which start at 1 otherwise.
    """
    fields: list[Any] = [("type", Annotated[str, Choice(name)], name)]
    fields += [(key, Annotated[Any, kind], default) for key, (kind, default) in keys.items()]

    def build(self: Any, shape: Shape, stream: Stream) -> nn.Module:
        """Return the module."""
        layer: Any = module(of(shape), **{key: getattr(self, key) for key in keys if key != "scale_std"})
        if getattr(self, "scale_std", None):
            layer.weight.data[...] = nn.init.normal(1, self.scale_std)(layer.weight.shape, stream)
        return layer

    def weights(self: Any, shape: Shape) -> int:
        """Return how many numbers are trained."""
        return 2 * int(np.prod(of(shape)))

    starting = tuple({"scale_std"} & keys.keys())
    return _section(name, module, fields, build=build, weights=weights, starting=starting)


def _section(name: str, module: Any, fields: list[Any], **methods: Any) -> Any:
    title = "".join(word.capitalize() for word in name.split("_")) + "Config"
    namespace = {**methods, "__module__": __name__, "__doc__": f"{module.__name__}: see `tinygan.nn`."}
    return dataclasses.make_dataclass(
        title, fields, bases=(LayerConfig,), namespace=namespace, frozen=True, kw_only=True
    )


def initial_weights(weight_range: float | None, weight_std: float | None) -> nn.init.Initializer:
    """Return what draws the weights of a layer: U(-range, range), N(0, std^2), or by the number of its inputs."""
    if weight_range is not None:
        return nn.init.uniform(weight_range)
    return nn.init.fan_in() if weight_std is None else nn.init.normal(0, weight_std)


def refuse_two_starts(layer: Any, place: Place) -> None:
    """Refuse weights that start in two ways."""
    ways = [key for key in ("weight_range", "weight_std", "nonzero_weights") if getattr(layer, key, None) is not None]
    if len(ways) > 1:
        raise place.at(ways[-1]).refuse(f"{ways[0]} says already how the weights start: remove one of the two")


def limited(layer: nn.Module, spectral_norm: bool, stream: Stream) -> nn.Module:
    """Return the layer, with its weights divided by their largest singular value if that is asked for."""
    return nn.SpectralNorm(layer, rng=stream) if spectral_norm else layer


def described(shape: Shape) -> str:
    """Return a shape in words.

    Examples
    --------
    >>> described((100,)), described((3, 32, 32))
    ('rows of 100 numbers', '3 maps of 32x32')
    """
    if len(shape) == 1:
        return f"rows of {shape[0]:,} numbers"
    return f"{shape[0]:,} map{'s' if shape[0] > 1 else ''} of {'x'.join(map(str, shape[1:]))}"
