"""The layers of an experiment file as PyTorch's, those included that PyTorch does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from tinygan.config.layer_config import LayerConfig, Shape, shapes


class Maxout(nn.Module):
    """Units that are each the maximum of several affine maps, piece by piece as in tinygan."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units * pieces)
        self.shape = (pieces, units)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (m, inputs) to (m, units)."""
        return self.linear(x).unflatten(1, self.shape).amax(1)


class MaxoutConv2d(nn.Module):
    """Units that are each the maximum of several neighbouring channels of a convolution."""

    def __init__(self, inputs: int, units: int, pieces: int, *sizes: int, bias: bool = True, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, units * pieces, *sizes, padding=padding, bias=bias)
        self.shape = (units, pieces)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, units, H', W')."""
        return self.conv(x).unflatten(1, self.shape).amax(2)


class Maps(nn.Module):
    """Rows of pixels, their channels side by side, as maps."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.shape = (height, width, -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, H * W * C) to (N, C, H, W)."""
        return x.unflatten(1, self.shape).permute(0, 3, 1, 2)


class Pixels(nn.Module):
    """Maps as rows of pixels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, H * W * C)."""
        return x.permute(0, 2, 3, 1).flatten(1)


class Bias(nn.Module):
    """A bias for each number."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add it."""
        return x + self.bias


def _sizes(layer: Any) -> dict[str, Any]:
    return {"bias": layer.bias != "none", "padding": layer.padding}


_MODULES: dict[str, Callable[[Any, Shape], nn.Module]] = {
    "linear": lambda layer, shape: nn.Linear(shape[0], layer.units, layer.bias != "none"),
    "maxout": lambda layer, shape: Maxout(shape[0], layer.units, layer.pieces),
    "relu": lambda layer, shape: nn.ReLU(),
    "leaky_relu": lambda layer, shape: nn.LeakyReLU(layer.slope),
    "sigmoid": lambda layer, shape: nn.Sigmoid(),
    "tanh": lambda layer, shape: nn.Tanh(),
    "dropout": lambda layer, shape: nn.Dropout(layer.p),
    "batch_norm": lambda layer, shape: (nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d)(
        shape[0], layer.eps, layer.momentum
    ),
    "maps": lambda layer, shape: Maps(layer.height, layer.width),
    "pixels": lambda layer, shape: Pixels(),
    "flatten": lambda layer, shape: nn.Flatten(),
    "bias": lambda layer, shape: Bias(shape),
    "conv2d": lambda layer, shape: nn.Conv2d(
        shape[0], layer.channels, layer.kernel, layer.stride, **_sizes(layer)
    ),
    "conv_transpose2d": lambda layer, shape: nn.ConvTranspose2d(
        shape[0], layer.channels, layer.kernel, layer.stride, output_padding=layer.output_padding, **_sizes(layer)
    ),
    "maxout_conv2d": lambda layer, shape: MaxoutConv2d(
        shape[0], layer.units, layer.pieces, layer.kernel, layer.stride, **_sizes(layer)
    ),
    "max_pool2d": lambda layer, shape: nn.MaxPool2d(
        layer.size, layer.stride, layer.padding, ceil_mode=layer.ceil_mode
    ),
}  # fmt: skip


def build_network(layers: Sequence[LayerConfig], inputs: int, weights: dict[str, Any], prefix: str) -> nn.Sequential:
    """Build a player that starts from given weights.

    Parameters
    ----------
    layers : sequence of LayerConfig
    inputs : int
        Numbers in a row of the input.
    weights : dict of str to array
        Of both players, under tinygan's names and in its layout.
    prefix : str
        What the names of this player begin with.
    """
    reached = shapes(layers, (inputs,), "layers")
    network = nn.Sequential(*(_MODULES[layer.type](layer, x) for layer, x in zip(layers, reached, strict=False)))
    with torch.no_grad():
        for name, parameter in named_parameters(network):
            there = parameter.T if parameter.ndim == 2 else parameter
            there.copy_(torch.from_numpy(weights[prefix + name]))
    return network


def named_parameters(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield each parameter under tinygan's name; PyTorch has a weight of two axes transposed: one row a unit."""
    for name, parameter in network.named_parameters():
        yield name.replace("linear.", "").replace("conv.", ""), parameter
