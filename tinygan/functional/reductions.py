"""Sums, means, minima and maxima over axes."""

from __future__ import annotations

import builtins
import math
from typing import Any

from tinygan.backend import Array, Backend, Shape, wide
from tinygan.engine import Operation, Tensor
from tinygan.functional.arguments import Axis, axes_of, real, real_result

__all__ = ["logsumexp", "max", "mean", "min", "sum"]


class _Reduction(Operation):
    """The shape of the input, and that of the result with the reduced axes kept as 1."""

    def __init__(self, axis: Axis, keepdims: bool) -> None:
        self.given = axis
        self.keepdims = keepdims

    def check(self, x: Array) -> None:
        axes = axes_of(x.shape, self.given, self.name)
        self.axis = axes if x.ndim and self.given is not None else None
        self.x_shape: Shape = x.shape
        self.kept: Shape = tuple([1 if axis in axes else size for axis, size in enumerate(x.shape)])
        self.n = math.prod([x.shape[axis] for axis in axes])  # elements in one result


class Sum(_Reduction):
    """y = sum x;  every element of a sum gets the gradient of the sum."""

    def forward(self, B: Backend, x: Array) -> Array:
        return B.sum(x, self.axis, self.keepdims)

    def backward(self, B: Backend, gy: Any) -> Any:
        return B.xp.broadcast_to(gy.reshape(self.kept), self.x_shape)


class Mean(_Reduction):
    """y = (1/n) sum x;  gx = gy / n."""

    def forward(self, B: Backend, x: Array) -> Array:
        return real_result(x.mean(axis=self.axis, keepdims=self.keepdims), x)

    def backward(self, B: Backend, gy: Any) -> Any:
        return B.xp.broadcast_to(wide(gy).reshape(self.kept) / builtins.max(self.n, 1), self.x_shape)


class _Extremum(_Reduction):
    """The maximum and the minimum: gy goes to the winner, in equal shares to all that tie."""

    fresh = True

    def share(self, x: Array, y: Array) -> Array:
        """Save the winners and their shares; return the result, which is `y` without the reduced axes."""
        if self.needs[0]:
            wins = (x == y) | (x != x)  # if there is a nan, it is the result
            self.save(wins, (1 / wins.sum(axis=self.axis, keepdims=True)).astype(x.dtype))
        return y if self.keepdims else y.squeeze(self.axis)

    def backward(self, B: Backend, gy: Any, wins: Any, share: Any) -> Any:
        return B.xp.where(wins, gy.reshape(self.kept) * share, 0)


class Max(_Extremum):
    """y = max x;  gy goes to the maximum, in equal shares to all that tie for it."""

    def forward(self, B: Backend, x: Array) -> Array:
        return self.share(x, x.max(axis=self.axis, keepdims=True))


class Min(_Extremum):
    """y = min x;  gy goes to the minimum, in equal shares to all that tie for it."""

    def forward(self, B: Backend, x: Array) -> Array:
        return self.share(x, x.min(axis=self.axis, keepdims=True))


class LogSumExp(_Reduction):
    """y = log sum e^x;  gx = gy e^(x - y), the softmax."""

    fresh = True
    name = "logsumexp"

    def forward(self, B: Backend, x: Array) -> Array:
        x = real(x)
        # CuPy has no max(initial=-inf); a sum over no elements is 0 whatever is subtracted
        top = x.max(axis=self.axis, keepdims=True) if self.n else B.xp.zeros(self.kept, x.dtype)
        top = B.xp.where(B.xp.isfinite(top), top, 0)  # e^(inf - inf) would be nan, but the sum is infinite
        y = B.xp.log(B.sum(wide(B.xp.exp(x - top)), self.axis, keepdims=True)).astype(x.dtype) + top
        y = y if self.keepdims else y.squeeze(self.axis)
        self.save(x, y)
        return y

    def backward(self, B: Backend, gy: Any, x: Any, y: Any) -> Any:
        return gy.reshape(self.kept) * B.xp.exp(x - y.reshape(self.kept))


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum the elements over `axis`: one, several, or by default all. float16 is summed in single precision."""
    return Sum(axis, keepdims)(x)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Average the elements over `axis` (all axes by default); the mean of integers is float32."""
    return Mean(axis, keepdims)(x)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest element over `axis`; elements that tie share its gradient equally."""
    return Max(axis, keepdims)(x)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest element over `axis`; elements that tie share its gradient equally."""
    return Min(axis, keepdims)(x)


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return log of the sum of e^x over `axis`, without overflow."""
    return LogSumExp(axis, keepdims)(x)
