"""The softmax, which makes probabilities from logits, and its logarithm."""

from __future__ import annotations

from typing import Any

from tinygan.backend import Array, Backend, wide
from tinygan.engine import Operation, Tensor
from tinygan.functional.arguments import one_axis, real

__all__ = ["log_softmax", "softmax"]


class _AlongAxis(Operation):
    """The operations whose values along one axis depend on each other."""

    fresh = True

    def __init__(self, axis: int) -> None:
        self.given = axis

    def check(self, x: Array) -> None:
        axis = one_axis(self.given, max(x.ndim, 1), self.name, f"an input of shape {x.shape}")
        self.axis = axis if x.ndim else None


class Softmax(_AlongAxis):
    """y = e^x / sum e^x along an axis;  gx = y (gy - sum gy y)."""

    def forward(self, B: Backend, x: Array) -> Array:
        x = real(x)
        y = B.softmax(wide(x), self.axis).astype(x.dtype, copy=False) if x.size else x
        self.save(y)
        return y

    def backward(self, B: Backend, gy: Any, y: Any) -> Any:
        return B.softmax_backward(wide(gy), wide(y), self.axis)


class LogSoftmax(_AlongAxis):
    """y = x - log sum e^x along an axis;  gx = gy - e^y sum gy."""

    def forward(self, B: Backend, x: Array) -> Array:
        x = real(x)
        y = B.log_softmax(wide(x), self.axis).astype(x.dtype, copy=False) if x.size else x
        self.save(y)
        return y

    def backward(self, B: Backend, gy: Any, y: Any) -> Any:
        return B.log_softmax_backward(wide(gy), wide(y), self.axis)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """Return e^x / sum e^x along `axis`, without overflow: positive numbers whose sum is 1.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.softmax(tg.tensor([[0.0, 0.0], [1000.0, 0.0]]))
    tensor([[0.5, 0.5],
            [1. , 0. ]], dtype=float32)
    """
    return Softmax(axis)(x)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """Return the logarithm of the softmax along `axis`, without taking the logarithm of 0.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.log_softmax(tg.tensor([1000.0, 0.0]))
    tensor([    0., -1000.], dtype=float32)
    """
    return LogSoftmax(axis)(x)
