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

    def below_0(self, x: Array) -> Array:
        """Return x without its maximum along the axis, so that e^x does not overflow."""
        x = real(x)
        return x - x.max(axis=self.axis, keepdims=True) if x.size else x


class Softmax(_AlongAxis):
    """y = e^x / sum e^x along an axis;  gx = y (gy - sum gy y)."""

    def forward(self, B: Backend, x: Array) -> Array:
        powers = B.xp.exp(self.below_0(x))
        y = (powers / B.sum(wide(powers), self.axis, keepdims=True)).astype(powers.dtype, copy=False)
        self.save(y)
        return y

    def backward(self, B: Backend, gy: Any, y: Any) -> Any:
        return y * (gy - B.sum(gy * y, self.axis, keepdims=True))


class LogSoftmax(_AlongAxis):
    """y = x - log sum e^x along an axis;  gx = gy - e^y sum gy."""

    def forward(self, B: Backend, x: Array) -> Array:
        y = self.below_0(x)
        if y.size:
            y = y - B.xp.log(B.sum(wide(B.xp.exp(y)), self.axis, keepdims=True)).astype(y.dtype)
        self.save(y)
        return y

    def backward(self, B: Backend, gy: Any, y: Any) -> Any:
        return gy - B.xp.exp(y) * B.sum(gy, self.axis, keepdims=True)


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
