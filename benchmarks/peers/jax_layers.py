"""The layers of an experiment file as functions of JAX. Images have their channels last, as is usual there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tinygan.config.layer_config import LayerConfig, Shape, shapes

Weights = Callable[[str], Any]  # a parameter of the layer by its name, or None


def forward(layers: Sequence[LayerConfig], weights: dict[str, Any], prefix: str, x: Any, key: Any, train: bool) -> Any:
    """Return what a player makes of rows x.

    Parameters
    ----------
    layers : sequence of LayerConfig
    weights : dict of str to array
        Under tinygan's names, of which those of this player begin with `prefix`.
    x : array of shape (m, n)
    key : array
        For dropout.
    train : bool
        Whether there is dropout. Batch normalization always takes the statistics of the batch; running ones, a few
        numbers that training does not read, are not kept.
    """
    reached = shapes(layers, (x.shape[1],), "layers")
    keys = jax.random.split(key, len(layers))
    for index, layer in enumerate(layers):

        def of(name: str, index: int = index) -> Any:
            return weights.get(f"{prefix}{index}.{name}")

        if layer.type == "dropout":
            x = _dropout(layer, x, keys[index]) if train else x
        else:
            x = _FUNCTIONS[layer.type](layer, x, of, reached[index : index + 2])
    return x


def _dropout(layer: Any, x: Any, key: Any) -> Any:
    keep = 1 - layer.p
    return jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0)


def _plus(y: Any, bias: Any) -> Any:
    return y if bias is None else y + bias


def _linear(layer: Any, x: Any, of: Weights, reached: Sequence[Shape]) -> Any:
    return _plus(x @ of("weight"), of("bias"))


def _maxout(layer: Any, x: Any, of: Weights, reached: Sequence[Shape]) -> Any:
    # on a CPU a tenth faster than the maximum over an axis, whose gradient counts the winners
    return reduce(jnp.maximum, jnp.split(_linear(layer, x, of, reached), layer.pieces, axis=1))


def _convolution(layer: Any, x: Any, of: Weights, reached: Sequence[Shape]) -> Any:
    padding = [(layer.padding, layer.padding)] * 2
    order = ("NHWC", "OIHW", "NHWC")
    y = lax.conv_general_dilated(x, of("weight"), (layer.stride,) * 2, padding, dimension_numbers=order)
    return _plus(y, of("bias"))


def _transposed(layer: Any, x: Any, of: Weights, reached: Sequence[Shape]) -> Any:
    low = layer.kernel - 1 - layer.padding
    y = lax.conv_general_dilated(
        x, jnp.flip(of("weight"), (2, 3)), (1, 1), [(low, low + layer.output_padding)] * 2,
        lhs_dilation=(layer.stride,) * 2, dimension_numbers=("NHWC", "IOHW", "NHWC"),
    )  # fmt: skip
    return _plus(y, of("bias"))


def _maxout_convolution(layer: Any, x: Any, of: Weights, reached: Sequence[Shape]) -> Any:
    y = _convolution(layer, x, of, reached)
    return reduce(jnp.maximum, (y[..., piece :: layer.pieces] for piece in range(layer.pieces)))


def _max_pool(layer: Any, x: Any, of: Weights, reached: Sequence[Shape]) -> Any:
    stride = layer.stride or layer.size
    (_, *before), (_, *count) = reached
    ends = [(n - 1) * stride + layer.size - layer.padding - side for n, side in zip(count, before, strict=True)]
    x = x[:, : before[0] + min(0, ends[0]), : before[1] + min(0, ends[1])]
    padding = [(0, 0), *((layer.padding, max(0, end)) for end in ends), (0, 0)]
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, *(layer.size,) * 2, 1), (1, *(stride,) * 2, 1), padding)


def _batch_norm(layer: Any, x: Any, of: Weights, reached: Sequence[Shape]) -> Any:
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes)
    scale = of("weight") * lax.rsqrt(jnp.square(x - mean).mean(axes) + layer.eps)
    return (x - mean) * scale + of("bias")


def _bias(layer: Any, x: Any, of: Weights, reached: Sequence[Shape]) -> Any:
    bias = of("bias")
    return x + (bias.transpose(1, 2, 0) if bias.ndim == 3 else bias)


def _flatten(layer: Any, x: Any, of: Weights, reached: Sequence[Shape]) -> Any:
    return x.transpose(0, 3, 1, 2).reshape(len(x), -1) if x.ndim == 4 else x  # in the order of tinygan's weights


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "linear": _linear,
    "maxout": _maxout,
    "relu": lambda layer, x, of, reached: jax.nn.relu(x),
    "leaky_relu": lambda layer, x, of, reached: jax.nn.leaky_relu(x, layer.slope),
    "sigmoid": lambda layer, x, of, reached: jax.nn.sigmoid(x),
    "tanh": lambda layer, x, of, reached: jnp.tanh(x),
    "batch_norm": _batch_norm,
    "maps": lambda layer, x, of, reached: x.reshape(len(x), layer.height, layer.width, -1),
    "pixels": lambda layer, x, of, reached: x.reshape(len(x), -1),
    "flatten": _flatten,
    "bias": _bias,
    "conv2d": _convolution,
    "conv_transpose2d": _transposed,
    "maxout_conv2d": _maxout_convolution,
    "max_pool2d": _max_pool,
}
