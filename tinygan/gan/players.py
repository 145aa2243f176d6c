"""Checks of the two players before training: a mistake is refused before anything is trained."""

from __future__ import annotations

import math
from typing import Any

from tinygan import nn
from tinygan.engine import Operation, Tensor
from tinygan.errors import ArgumentError, ShapeError
from tinygan.gan.condition import Conditional
from tinygan.gan.noise import Noise
from tinygan.gan.objectives import ANY, Objective
from tinygan.gan.packing import Packed
from tinygan.nn import Module
from tinygan.optim import SGD, Optimizer

# The range of each bounded activation, by the name of its operation.
RANGES = {
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "softplus": (0.0, math.inf),
    "log_sigmoid": (-math.inf, 0.0),
}
ROUNDING = 1e-4  # data may lie outside by this much: they were divided, and perhaps stored in float16
_NAMES = {nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.ReLU: "relu", nn.Softplus: "softplus"}
_RESHAPING = (nn.Flatten, nn.Reshape, nn.Maps, nn.Pixels)
_RESHAPING_NAMES = ("reshape", "transpose", "get_item", "cast")
_KEEPING_WIDTH = (
    nn.Dropout, nn.GaussianNoise, nn.BatchNorm, nn.LayerNorm, nn.Identity, nn.LeakyReLU, nn.Flatten, *_NAMES
)  # fmt: skip


def last_activation(network: Module) -> str:
    """Return the name of the activation of `RANGES` that a network ends in; "" if its layers show no such activation.

    Only an `nn.Sequential` shows its layers, also a nested one. For other modules see `activation_of`.

    Examples
    --------
    >>> last_activation(nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Sigmoid())))
    'sigmoid'
    """
    layers = [layer for layer in _layers(network) if type(layer) not in _RESHAPING]
    return _NAMES.get(type(layers[-1]), "") if layers else ""


def activation_of(result: Tensor) -> str:
    """Return the name of the activation of `RANGES` that made a tensor, if the tape recorded it; "" otherwise.

    Examples
    --------
    >>> import tinygan as tg, tinygan.functional as F
    >>> activation_of(F.sigmoid(tg.tensor([[0.0]], requires_grad=True)).reshape(1))
    'sigmoid'
    """
    operation: Any = result.operation
    while isinstance(operation, Operation) and operation.name in _RESHAPING_NAMES:
        operation = operation.edges[0]
    name = getattr(operation, "name", "")
    return name if name in RANGES else ""


def out_of_reach(activation: str, low: float, high: float) -> str:
    """Return why a generator that ends in `activation` cannot reach data from `low` to `high`; "" if it can.

    Examples
    --------
    >>> out_of_reach("sigmoid", 0.0, 255.0)
    'the data lie in [0, 255], but the generator ends in a sigmoid, which only reaches [0, 1]'
    >>> out_of_reach("tanh", 0.0, 1.0)
    ''
    """
    lowest, highest = RANGES.get(activation, (-math.inf, math.inf))
    if low >= lowest - ROUNDING and high <= highest + ROUNDING:
        return ""
    return (
        f"the data lie in [{low:g}, {high:g}], but the generator ends in a {activation}, which only reaches "
        f"[{lowest:g}, {highest:g}]"
    )


def refuse_bounded_logits(activation: str, objective: Objective) -> None:
    """Raise `ArgumentError` if the discriminator ends in an activation that cannot reach what the objective needs."""
    if not activation:
        return
    (lowest, highest), (low, high) = RANGES[activation], objective.reaches
    if low < lowest or high > highest:
        needed = "may be any number" if objective.reaches == ANY else f"must reach from {low} to {high}"
        raise ArgumentError(
            f"Algorithm1: the discriminator ends in a {activation}, so its outputs lie in [{lowest:g}, {highest:g}]; "
            f"the losses are computed on logits, which {needed}: remove the {activation}"
        )


def wrong_logits(logits: Any, samples: int, rows: int, patches: bool) -> ShapeError:
    """Return the error for a discriminator that does not return `rows` logits for `samples` samples."""
    shape = getattr(logits, "shape", type(logits).__name__)
    packs = "" if rows == samples else f" in {rows} packs"
    advice = (
        "; for several logits a row, give patches=True; to judge several rows at once, gan.Packed(discriminator, m)"
    )
    expected = f"logits for each row: ({rows}, ...)" if patches else f"one logit a row: ({rows}, 1) or ({rows},)"
    return ShapeError(
        f"Algorithm1.step: the discriminator returns {shape} for {samples} rows{packs}; expected {expected}"
        f"{'' if patches or packs else advice}"
    )


def noise_size(generator: Module) -> int | None:
    """Return the size of a noise vector, if the layers of an `nn.Sequential` show it; else None.

    Examples
    --------
    >>> noise_size(nn.Sequential(nn.Dropout(0.1), nn.Linear(5, 3)))
    5
    """
    classes = generator.classes if isinstance(generator, Conditional) else 0  # inputs beside the noise
    for layer in _layers(generator):
        layer = layer.layer if isinstance(layer, nn.SpectralNorm | nn.WeightNorm) else layer
        if isinstance(layer, nn.Linear | nn.Maxout):
            return layer.in_features - classes
        if type(layer) not in _KEEPING_WIDTH:
            return None
    return None


def noise_of(generator: Module, given: Noise | None) -> Noise:
    """Return the noise given, if its size fits the generator; or uniform noise of the size that the generator takes.

    Raises
    ------
    ShapeError
        The sizes differ.
    ArgumentError
        No noise is given, and the generator does not show its size.
    """
    expected = noise_size(generator)
    if given is None:
        shape = generator.parameters()[0].shape
        if expected is None and len(shape) != 2:
            raise ArgumentError(
                "Algorithm1: the generator does not show the size of its noise; its first parameter has the shape "
                f"{shape}: give noise=Noise(kind, size)"
            )
        return Noise("uniform", shape[0] if expected is None else expected)
    found = getattr(given, "size", None)
    if None not in (expected, found) and expected != found:
        raise ShapeError(
            f"Algorithm1: a row of noise has {found} numbers, but the generator's first layer takes {expected}: "
            f"give noise=Noise(kind, {expected})"
        )
    return given


def optimizer_of(who: str, player: Module, given: Optimizer | None, lr: Any, momentum: Any) -> Optimizer:
    """Return the optimiser given, if it updates the parameters of the player and no others; or a new `SGD`.

    Raises
    ------
    ArgumentError
        The player has nothing to train, or the optimiser was made for other parameters.
    """
    if not isinstance(player, Module):
        raise ArgumentError(f"Algorithm1: the {who} must be an nn.Module, got {type(player).__name__}")
    own = dict(player.named_parameters())
    trained = {name: parameter for name, parameter in own.items() if parameter.requires_grad}
    if not trained:
        why = "all of its parameters are frozen" if own else "it has no parameter"
        raise ArgumentError(f"Algorithm1: the {who} has nothing to train: {why}")
    if given is None:
        return SGD(own.values(), lr, momentum)  # with the frozen parameters: they may be trained later
    moved, ids = {id(parameter) for parameter in given.params}, {id(parameter) for parameter in own.values()}
    foreign = [position for position, parameter in enumerate(given.params) if id(parameter) not in ids]
    if foreign:
        raise ArgumentError(
            f"Algorithm1: {who}_optimizer updates a parameter that is not the {who}'s: number {foreign[0]}, of shape "
            f"{given.params[foreign[0]].shape}; make it with {who}.parameters()"
        )
    lacking = [name for name, parameter in trained.items() if id(parameter) not in moved]
    if lacking:
        raise ArgumentError(
            f"Algorithm1: {who}_optimizer does not update {', '.join(lacking)} of the {who}: make it with "
            f"{who}.parameters(); freeze a parameter that should not change with requires_grad = False"
        )
    return given


def refuse_shared(generator: Module, optimizers: tuple[Optimizer, Optimizer]) -> None:
    """Raise `ArgumentError` if both players train one parameter: their losses oppose each other."""
    first, second = ({id(parameter) for parameter in optimizer.params} for optimizer in optimizers)
    both = first & second
    shared = [name for name, own in generator.named_parameters() if id(own) in both and own.requires_grad]
    if shared:
        raise ArgumentError(
            f"Algorithm1: the generator and the discriminator share {', '.join(shared)} (names in the generator), and "
            "both would train it; give each its own"
        )


def _layers(network: Module) -> list[Module]:
    """Return the layers in the order in which they are applied, also those of nested `nn.Sequential`."""
    while isinstance(network, Packed | Conditional):
        network = network.net
    if not isinstance(network, nn.Sequential) or type(network).forward is not nn.Sequential.forward:
        return [network]
    return [layer for child in network for layer in _layers(child)]
