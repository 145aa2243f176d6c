"""Sums, products, means, minima and maxima over axes."""

from __future__ import annotations

import builtins
import math
from typing import Any

from tinygan.backend import Array, Backend, Shape, wide
from tinygan.engine import Operation, Tensor
from tinygan.functional.arguments import Axis, axes_of, one_axis, real, real_result
from tinygan.functional.shape import reshape

__all__ = ["cumsum", "logsumexp", "max", "mean", "min", "prod", "sum"]


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


class Prod(_Reduction):
    """y = prod x;  gx = gy times the product of all other elements, which needs no division by x."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        self.save(x)
        return x.prod(axis=self.axis, keepdims=self.keepdims)

    def backward(self, B: Backend, gy: Any, x: Any) -> Any:
        reduced = axes_of(self.x_shape, self.given, self.name)
        order = [axis for axis in range(x.ndim) if axis not in reduced] + list(reduced)  # the reduced axes come last
        moved = x.transpose(order)
        others = _others(B, moved.reshape((*moved.shape[: len(order) - len(reduced)], self.n))).reshape(moved.shape)
        return gy.reshape(self.kept) * others.transpose(sorted(range(x.ndim), key=order.__getitem__))


def _others(B: Backend, x: Any) -> Any:
    """Return, for each element along the last axis, the product of all others: by halves, in 3 n products."""
    half = x.shape[-1] // 2
    if not half:
        return B.xp.zeros_like(x) + 1
    a, b, last = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    others = _others(B, B.xp.concatenate([a * b, last], axis=-1))
    of_pairs = others[..., :half]
    return B.xp.concatenate([of_pairs * b, of_pairs * a, others[..., half:]], axis=-1)


class CumSum(Operation):
    """y_k = x_1 + ... + x_k along an axis;  gx_k = gy_k + gy_(k+1) + ... to the last one."""

    fresh = True
    name = "cumsum"

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def check(self, x: Array) -> None:
        self.axis = one_axis(self.axis, x.ndim, self.name, f"an input of shape {x.shape}")
        self.backwards = (*[slice(None)] * self.axis, slice(None, None, -1))

    def forward(self, B: Backend, x: Array) -> Array:
        terms = wide(x)
        y = B.xp.cumsum(terms, axis=self.axis)
        return y if terms is x else y.astype(x.dtype)

    def backward(self, B: Backend, gy: Any) -> Any:
        return B.xp.cumsum(wide(gy)[self.backwards], axis=self.axis)[self.backwards]


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
    """Return the largest element over `axis`, without its place; elements that tie share its gradient equally."""
    return Max(axis, keepdims)(x)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest element over `axis`; elements that tie share its gradient equally."""
    return Min(axis, keepdims)(x)


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return log of the sum of e^x over `axis`, without overflow."""
    return LogSumExp(axis, keepdims)(x)


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Multiply the elements over `axis` (all axes by default); the gradient is right also where elements are 0.

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor([2.0, 0.0, 3.0], requires_grad=True)
    >>> tg.functional.prod(x).backward()
    >>> x.grad
    tensor([0., 6., 0.], dtype=float32)
    """
    return Prod(axis, keepdims)(x)


def cumsum(x: Any, axis: int | None = None) -> Tensor:
    """Return the sums of the first 1, 2, ... elements along `axis`; None reads all elements in C order.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.cumsum(tg.tensor([1.0, 2.0, 3.0]))
    tensor([1., 3., 6.], dtype=float32)
    """
    return CumSum(0)(reshape(x, -1)) if axis is None else CumSum(axis)(x)
