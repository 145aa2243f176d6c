"""The layers that an experiment file can name: `LAYERS`, the only list of them.

To add a layer without weights, such as an activation:

1. Write its module in `tinygan.nn` (and export it there).
2. Add one line here, with the word for ``type``::

       SiluConfig = without_weights("silu", nn.SiLU)

   A module with arguments gets a key for each, in their order: what the key may hold, and its default if it has one::

       EluConfig = without_weights("elu", nn.ELU, alpha=(Number(above=0), 1.0))

One that scales and shifts each of its inputs is a line of `normalization`. Another layer with weights is a class here,
such as `MaxoutConfig`. It also states how many values it returns.

The strict reader, the suggestions for a misspelled word, the written ``config.toml``, the networks, their least memory
and the comparison with a pretrained generator all follow from this file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from tinygan import nn
from tinygan.backend import Stream
from tinygan.config.refusals import Place
from tinygan.config.schema import Choice, Flag, Integer, Kind, Number, Section, Tagged
from tinygan.errors import ConfigError

LARGEST_WIDTH = 100_000  # of a layer: two such layers have 10^10 weights between them
WIDE = "the weights between two layers that wide take 40 GB"

_registered: list[type[LayerConfig]] = []


@dataclass(frozen=True, kw_only=True)
class LayerConfig(Section):
    """The base of all layers; a subclass with a ``type`` becomes part of `LAYERS`.

    Attributes
    ----------
    starting : tuple of str
        The keys that decide how the weights start, and not what the layer computes.
    maps : int
        How many affine maps of a row the layer computes, each with a weight for each input and a bias.
    """

    type: str
    starting: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        _registered.append(cls)

    @property
    def maps(self) -> int:
        """How many affine maps of a row the layer computes."""
        return 0

    def weights(self, inputs: int) -> int:
        """Return how many numbers of the layer are trained."""
        return (inputs + 1) * self.maps

    def outputs(self, inputs: int) -> int:
        """Return how many values leave the layer, of each row of so many inputs."""
        return inputs

    def build(self, inputs: int, stream: Stream) -> nn.Module:
        """Return the layer as a module; its weights are drawn from the stream."""
        raise NotImplementedError(f"{type(self).__name__}.build is not written")


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

    def build(self: Any, inputs: int, stream: Stream) -> nn.Module:
        """Return the module."""
        return module(*(getattr(self, key) for key in keys))

    return _section(name, module, fields, build=build)


def normalization(name: str, module: Callable[..., nn.Module], **keys: tuple[Kind, Any]) -> Any:
    """Register a layer that is made for its number of inputs, with a scale and a shift for each; return its section."""
    fields: list[Any] = [("type", Annotated[str, Choice(name)], name)]
    fields += [(key, Annotated[Any, kind], default) for key, (kind, default) in keys.items()]

    def build(self: Any, inputs: int, stream: Stream) -> nn.Module:
        """Return the module."""
        return module(inputs, **{key: getattr(self, key) for key in keys})

    def weights(self: Any, inputs: int) -> int:
        """Return how many numbers are trained."""
        return 2 * inputs

    return _section(name, module, fields, build=build, weights=weights)


def _section(name: str, module: Any, fields: list[Any], **methods: Any) -> Any:
    title = "".join(word.capitalize() for word in name.split("_")) + "Config"
    namespace = {**methods, "__module__": __name__, "__doc__": f"{module.__name__}: see `tinygan.nn`."}
    return dataclasses.make_dataclass(
        title, fields, bases=(LayerConfig,), namespace=namespace, frozen=True, kw_only=True
    )


@dataclass(frozen=True, kw_only=True)
class LinearConfig(LayerConfig):
    """``units`` affine maps of the input.

    ``weight_range = r`` draws the weights uniformly from (-r, r), as the paper's code does; without it
    r = 1 / sqrt(inputs). ``nonzero_weights = n`` instead gives each unit n weights from N(0, 1), at inputs drawn at
    random, and 0 for the others. ``bias`` is the initial bias, or "marginal": the logit of each pixel's training
    mean. ``spectral_norm`` divides the weights by their largest singular value.
    """

    type: Literal["linear"] = "linear"
    units: Annotated[int, Integer(at_least=1, at_most=LARGEST_WIDTH, because=WIDE)]
    weight_range: Annotated[float | None, Number(above=0, single=True)] = None
    nonzero_weights: Annotated[int | None, Integer(at_least=1)] = None
    bias: Annotated[float | Literal["marginal"], Number(word="marginal", single=True)] = 0.0
    spectral_norm: Annotated[bool, Flag()] = False
    starting = ("weight_range", "nonzero_weights", "bias")

    def check(self, place: Place) -> None:
        """Refuse weights that start in two ways."""
        if self.weight_range is not None and self.nonzero_weights is not None:
            raise place.at("nonzero_weights").refuse(
                "weight_range says already how the weights start: remove one of the two"
            )

    @property
    def maps(self) -> int:
        """One for each unit."""
        return self.units

    def outputs(self, inputs: int) -> int:
        """Return the number of units."""
        return self.units

    def build(self, inputs: int, stream: Stream) -> nn.Module:
        """Return an `nn.Linear`."""
        weights = _dense(self.weight_range)
        if self.nonzero_weights is not None:
            if self.nonzero_weights > inputs:
                raise ConfigError(
                    f"nonzero_weights = {self.nonzero_weights}: the linear layer of {self.units} units has only "
                    f"{inputs} inputs: expected at most {inputs}"
                )
            weights = nn.init.sparse(self.nonzero_weights)
        bias = nn.init.constant(0.0 if self.bias == "marginal" else self.bias)
        return _limited(nn.Linear(inputs, self.units, True, weights, bias, stream), self.spectral_norm, stream)


@dataclass(frozen=True, kw_only=True)
class MaxoutConfig(LayerConfig):
    """``units`` outputs, each the maximum over its own ``pieces`` affine maps.

    ``weight_range``, ``bias`` and ``spectral_norm`` are as in `LinearConfig`, but a maxout bias is always a number.
    """

    type: Literal["maxout"] = "maxout"
    units: Annotated[int, Integer(at_least=1, at_most=LARGEST_WIDTH, because=WIDE)]
    pieces: Annotated[int, Integer(at_least=1, at_most=LARGEST_WIDTH, because=WIDE)]
    weight_range: Annotated[float | None, Number(above=0, single=True)] = None
    bias: Annotated[float, Number(single=True)] = 0.0
    spectral_norm: Annotated[bool, Flag()] = False
    starting = ("weight_range", "bias")

    @property
    def maps(self) -> int:
        """One for each piece of each unit."""
        return self.units * self.pieces

    def outputs(self, inputs: int) -> int:
        """Return the number of units."""
        return self.units

    def build(self, inputs: int, stream: Stream) -> nn.Module:
        """Return an `nn.Maxout`."""
        weights, bias = _dense(self.weight_range), nn.init.constant(self.bias)
        layer = nn.Maxout(inputs, self.units, self.pieces, weights, bias, stream)
        return _limited(layer, self.spectral_norm, stream)


def _dense(weight_range: float | None) -> nn.init.Initializer:
    return nn.init.fan_in() if weight_range is None else nn.init.uniform(weight_range)


def _limited(layer: nn.Module, spectral_norm: bool, stream: Stream) -> nn.Module:
    return nn.SpectralNorm(layer, rng=stream) if spectral_norm else layer


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
    eps=(Number(above=0, single=True), 1e-5),
    momentum=(Number(above=0, below=1), 0.1),
)
LayerNormConfig = normalization("layer_norm", nn.LayerNorm, eps=(Number(above=0, single=True), 1e-5))

LAYERS = Tagged("type", *_registered)
