"""Sums, means, maxima over axes."""

from __future__ import annotations

import builtins
import math
from typing import Any

from tinygan.backend import Array, Backend, Shape
from tinygan.engine import Operation, Tensor

Axis = int | tuple[int, ...] | None


class _Reduction(Operation):
    """Shared bookkeeping: the shape of the input, and that of the result with the reduced axes kept as 1."""

    def __init__(self, axis: Axis, keepdims: bool) -> None:
        self.axis = axis
        self.keepdims = keepdims

    def remember(self, x: Array) -> int:
        """Note the shapes and return how many elements go into one."""
        axes = range(x.ndim) if self.axis is None else self.axis if isinstance(self.axis, tuple) else (self.axis,)
        reduced = {axis % x.ndim if x.ndim else axis for axis in axes}
        self.x_shape: Shape = x.shape
        self.kept: Shape = tuple(1 if axis in reduced else size for axis, size in enumerate(x.shape))
        return math.prod(x.shape[axis] for axis in reduced if axis < x.ndim)


class Sum(_Reduction):
    """y = sum x;  every element of a sum gets the gradient of the sum."""

    def forward(self, B: Backend, x: Array) -> Array:
        self.remember(x)
        return x.sum(axis=self.axis, keepdims=self.keepdims)

    def backward(self, B: Backend, gy: Any) -> Any:
        return B.xp.broadcast_to(gy.reshape(self.kept), self.x_shape)


class Mean(_Reduction):
    """y = (1/n) sum x;  gx = gy / n."""

    def forward(self, B: Backend, x: Array) -> Array:
        self.n = self.remember(x)
        return x.mean(axis=self.axis, keepdims=self.keepdims)

    def backward(self, B: Backend, gy: Any) -> Any:
        return B.xp.broadcast_to(gy.reshape(self.kept) / builtins.max(self.n, 1), self.x_shape)


class Max(_Reduction):
    """y = max x;  gy goes to the maximum, in equal shares to all that tie for it."""

    def forward(self, B: Backend, x: Array) -> Array:
        self.remember(x)
        y = x.max(axis=self.axis, keepdims=True)
        winners = (x == y) | (x != x)  # a nan is the maximum wherever there is one
        self.save(winners / winners.sum(axis=self.axis, keepdims=True, dtype=x.dtype))
        return y if self.keepdims else y.squeeze(self.axis)

    def backward(self, B: Backend, gy: Any, share: Any) -> Any:
        return gy.reshape(self.kept) * share


class LogSumExp(_Reduction):
    """y = log sum e^x;  gx = gy e^(x - y), the softmax."""

    name = "logsumexp"

    def forward(self, B: Backend, x: Array) -> Array:
        # not max(initial=-inf), which CuPy lacks; the sum over nothing is 0 whatever is subtracted
        top = x.max(axis=self.axis, keepdims=True) if self.remember(x) else B.xp.zeros(self.kept, x.dtype)
        top = B.xp.where(B.xp.isfinite(top), top, 0)  # e^(inf - inf) would be nan where the sum is just infinite
        total = B.xp.exp(x - top).sum(axis=self.axis, keepdims=True)
        y = B.xp.log(total) + top
        y = y if self.keepdims else y.squeeze(self.axis)
        self.save(x, y)
        return y

    def backward(self, B: Backend, gy: Any, x: Any, y: Any) -> Any:
        return gy.reshape(self.kept) * B.xp.exp(x - y.reshape(self.kept))


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Add up the elements over `axis` (all axes by default)."""
    return Sum(axis, keepdims)(x)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Average the elements over `axis` (all axes by default)."""
    return Mean(axis, keepdims)(x)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest element over `axis`; elements that tie share its gradient equally."""
    return Max(axis, keepdims)(x)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest element over `axis`; elements that tie share its gradient equally."""
    return -Max(axis, keepdims)(-x)


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return log of the sum of e^x over `axis`, without overflow."""
    return LogSumExp(axis, keepdims)(x)
