"""Units that do nothing on a batch: ReLUs that are 0 on every row, and pieces of maxout that are never the largest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygan import gan, nn
from tinygan.engine import Tensor
from tinygan.gan.sampling import evaluating
from tinygan.nn import Module


def watched(network: Module, rows: Any, player: str, *y: Tensor) -> tuple[Any, dict[str, float]]:
    """Pass rows through a network in evaluation mode; return the result, and the idle units of its layers.

    Parameters
    ----------
    network : Module
    rows : array in host memory, shape (m, ...)
    player : str
        The first part of the names: a layer is called as in `Module.named_parameters`, such as ``generator.1``.
    *y : Tensor, shape (m, ...)
        Labels, if the network takes them.

    Returns
    -------
    result : numpy.ndarray
    measures : dict of str to float
        ``dead_units.LAYER`` of each ReLU, see `dead_units`, and ``idle_pieces.LAYER`` of each maxout layer, see
        `idle_pieces`.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    >>> network[0].weight.data[...] = [[1.0, -1.0]]
    >>> watched(network, np.ones((5, 1), np.float32), "generator")[1]
    {'dead_units.generator.1': 0.5}
    """
    inputs: dict[str, list[Any]] = {}
    layers = {name: layer for name, layer in named_layers(network, player) if isinstance(layer, nn.ReLU | nn.Maxout)}
    with evaluating(network), _noting_inputs(layers, inputs):
        result = gan.push(network, rows, *y)
    found = {}
    for name, layer in layers.items():
        seen = [array.reshape(-1, array.shape[-1]) for array in inputs.get(name, ()) if array.ndim]
        if seen and isinstance(layer, nn.ReLU):
            found[f"dead_units.{name}"] = dead_units(np.concatenate(seen))
        elif seen and isinstance(layer, nn.Maxout) and layer.pieces > 1:
            found[f"idle_pieces.{name}"] = idle_pieces(layer, np.concatenate(seen))
    return result, found


def named_layers(network: Module, prefix: str) -> Iterator[tuple[str, Module]]:
    """Yield (name, module) for a network and every module inside it, each once, in order."""
    seen: set[int] = set()
    waiting = [(prefix, network)]
    while waiting:
        name, module = waiting.pop()
        if id(module) not in seen:
            seen.add(id(module))
            yield name, module
            waiting += reversed([(f"{name}.{child}", inner) for child, inner in module.named_children()])


def dead_units(inputs: Any) -> float:
    """Return the share of ReLU units that are 0 on every row: they pass no gradient.

    Parameters
    ----------
    inputs : array of shape (m, units)
        What the ReLUs receive.

    Examples
    --------
    >>> dead_units(np.array([[1.0, -1.0], [-1.0, -2.0]]))
    0.5
    """
    return float(1 - (inputs > 0).any(axis=0).mean())


def idle_pieces(layer: nn.Maxout, inputs: Any) -> float:
    """Return the share of spare pieces that are never the largest: 0 if each piece is sometimes, 1 if always the same.

    A unit of p pieces has p - 1 spare pieces. A piece that is never the largest receives no gradient.

    Parameters
    ----------
    layer : nn.Maxout
        Of two or more pieces.
    inputs : array of shape (m, in_features)

    Examples
    --------
    >>> layer = nn.Maxout(1, 1, 3)
    >>> layer.weight.data[...] = [[1.0, -1.0, 0.0]]
    >>> idle_pieces(layer, np.array([[-2.0], [2.0]], np.float32))
    0.5
    """
    won = np.zeros((layer.pieces, layer.units), bool)
    weight, bias = layer.weight.numpy(), layer.bias.numpy()
    for first in range(0, len(inputs), 1000):
        pieces = (inputs[first : first + 1000] @ weight + bias).reshape(-1, layer.pieces, layer.units)
        np.logical_or.at(won, (pieces.argmax(axis=1), np.arange(layer.units)), True)
    return float((layer.pieces * layer.units - won.sum()) / ((layer.pieces - 1) * layer.units))


@contextmanager
def _noting_inputs(layers: Mapping[str, Module], inputs: dict[str, list[Any]]) -> Iterator[None]:
    """Store what each of these layers receives inside the block; a layer that is used twice receives twice."""

    def noting(name: str, forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def note(x: Tensor) -> Tensor:
            inputs.setdefault(name, []).append(x.numpy())
            return forward(x)

        return note

    try:
        for name, layer in layers.items():
            vars(layer)["forward"] = noting(name, layer.forward)
        yield
    finally:
        for layer in layers.values():
            vars(layer).pop("forward", None)
