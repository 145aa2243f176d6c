"""Arithmetic: + - * / ** and the matrix product.

In every docstring of this package y is the result, L the loss, and gx stands for dL/dx.

Integers are added, subtracted, multiplied and negated in their own dtype, so that 200 + 100 is 44 as uint8: as in NumPy
and PyTorch. The quotient of integers is float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygan.backend import Array, Backend
from tinygan.engine import Elementwise, Operation, Tensor
from tinygan.errors import ShapeError
from tinygan.functional.arguments import real_result, with_shape

__all__ = ["add", "divide", "matmul", "multiply", "negative", "power", "remainder", "subtract"]


class Add(Elementwise):
    """y = a + b;  ga = gy,  gb = gy."""

    def forward(self, B: Backend, a: Array, b: Array) -> Array:
        return a + b

    def backward(self, B: Backend, gy: Any) -> Any:
        return gy, gy


class Subtract(Elementwise):
    """y = a - b;  ga = gy,  gb = -gy."""

    def forward(self, B: Backend, a: Array, b: Array) -> Array:
        return a - b

    def backward(self, B: Backend, gy: Any) -> Any:
        return gy, -gy if self.needs[1] else None


class Negative(Elementwise):
    """y = -x;  gx = -gy."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        return -x

    def backward(self, B: Backend, gy: Any) -> Any:
        return -gy


class Multiply(Elementwise):
    """y = a b;  ga = gy b,  gb = gy a."""

    fresh = True

    def forward(self, B: Backend, a: Array, b: Array) -> Array:
        self.save(a if self.needs[1] else None, b if self.needs[0] else None)
        return a * b

    def backward(self, B: Backend, gy: Any, a: Any, b: Any) -> Any:
        return gy * b if self.needs[0] else None, gy * a if self.needs[1] else None


class Divide(Elementwise):
    """y = a / b;  ga = gy / b,  gb = -gy y / b, since b^2 may overflow where a / b / b does not."""

    fresh = True

    def forward(self, B: Backend, a: Array, b: Array) -> Array:
        y = a / b
        self.save(y if self.needs[1] else None, b)
        return real_result(y, a, b)

    def backward(self, B: Backend, gy: Any, y: Any, b: Any) -> Any:
        return gy / b if self.needs[0] else None, -gy * (y / b) if self.needs[1] else None


class Power(Elementwise):
    """y = a^b;  ga = gy b a^(b-1),  gb = gy y log a.

    Where b = 0 the first is 0 whatever a is. The second is 0 where y log a has the limit 0, at a = 0 with b > 0 and at
    a = inf with b < 0; and at 0^0, as in PyTorch. gy is multiplied by the whole slope: gy b alone may overflow.
    """

    fresh = True

    def forward(self, B: Backend, a: Array, b: Array) -> Array:
        y = a**b
        self.save(a, b, y if self.needs[1] else None)
        return y

    def backward(self, B: Backend, gy: Any, a: Any, b: Any, y: Any) -> Any:
        ga = gb = None
        if self.needs[0]:
            if isinstance(b, (int, float)):
                ga = gy * (b * a ** (b - 1)) if b != 0 else B.xp.where(gy == gy, 0, gy)
            else:  # 1 / a would be infinite or nan at the first exponent of 0, and 0 times it is 0 here
                no_inverse = (b == 0) & ((abs(a) <= float(np.finfo(a.dtype).smallest_normal) / 4) | (a != a))
                ga = gy * (b * B.xp.where(no_inverse, math.inf, a) ** (b - 1))
        if self.needs[1]:
            if isinstance(a, (int, float)):
                a = B.xp.zeros_like(y) + a
            at_ends = ((a == 0) & (b >= 0)) | ((a == math.inf) & (b < 0))  # y is 0 or 1, and log a infinite
            gb = gy * (y * B.xp.log(B.xp.where(at_ends, 1, a)))
        return ga, gb


class Remainder(Elementwise):
    """y = a - b floor(a / b), which has the sign of b;  ga = gy,  gb = -gy floor(a / b)."""

    def forward(self, B: Backend, a: Array, b: Array) -> Array:
        self.save(a, b)
        return a % b

    def backward(self, B: Backend, gy: Any, a: Any, b: Any) -> Any:
        return gy, -gy * (a // b) if self.needs[1] else None


class Matmul(Operation):
    """Y = A B for stacks of matrices;  gA = gY B',  gB = A' gY."""

    fresh = True

    def check(self, a: Array, b: Array) -> None:
        if a.shape[-1] != b.shape[-2]:
            raise ShapeError(
                f"matmul: the left operand has {a.shape[-1]} columns but the right one has {b.shape[-2]} rows "
                f"(shapes {a.shape} and {b.shape})"
            )

    def forward(self, B: Backend, a: Array, b: Array) -> Array:
        self.save(a if self.needs[1] else None, b if self.needs[0] else None)
        return B.product(a, b)

    def backward(self, B: Backend, gy: Any, a: Any, b: Any) -> Any:
        ga = B.product(gy, B.xp.swapaxes(b, -1, -2)) if self.needs[0] else None
        gb = B.product(B.xp.swapaxes(a, -1, -2), gy) if self.needs[1] else None
        return ga, gb


def matmul(a: Any, b: Any) -> Tensor:
    """Multiply matrices, as ``a @ b``: stacks of them broadcast over the leading axes, as in `numpy.matmul`.

    Parameters
    ----------
    a : Tensor or array, shape (..., n, k) or (k,)
    b : Tensor or array, shape (..., k, m) or (k,)
        A 1-d operand is a row on the left and a column on the right; the result does not have its axis.

    Returns
    -------
    Tensor, shape (..., n, m)

    Raises
    ------
    ShapeError
        The inner sizes differ, or an operand is a number.
    DtypeError
        An operand is neither a tensor nor an array.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.matmul(tg.tensor([[1.0, 2.0]]), tg.tensor([3.0, 4.0]))
    tensor([11.], dtype=float32)
    """
    with_shape((a, b), "matmul")
    rows, columns = getattr(a, "ndim", 0), getattr(b, "ndim", 0)
    if rows == 0 or columns == 0:
        raise ShapeError("matmul: an operand is a single number; multiply by numbers with *")
    if rows == 1:
        a = a.reshape(1, -1)
    if columns == 1:
        b = b.reshape(-1, 1)
    y = Matmul()(a, b)
    if rows == 1:
        y = y[..., 0, :]
    return y[..., 0] if columns == 1 else y


def add(a: Any, b: Any) -> Tensor:
    """Add elementwise, broadcasting: ``a + b``."""
    return Add()(a, b)


def subtract(a: Any, b: Any) -> Tensor:
    """Subtract elementwise, broadcasting: ``a - b``."""
    return Subtract()(a, b)


def negative(x: Any) -> Tensor:
    """Change the sign: ``-x``."""
    return Negative()(x)


def multiply(a: Any, b: Any) -> Tensor:
    """Multiply elementwise, broadcasting: ``a * b``."""
    return Multiply()(a, b)


def divide(a: Any, b: Any) -> Tensor:
    """Divide elementwise, broadcasting: ``a / b``."""
    return Divide()(a, b)


def power(a: Any, b: Any) -> Tensor:
    """Raise to a power elementwise, broadcasting: ``a ** b``."""
    return Power()(a, b)


def remainder(a: Any, b: Any) -> Tensor:
    """Return what is left of `a` after whole multiples of `b`, elementwise, broadcasting: ``a % b``.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.remainder(tg.tensor([5.5, -1.0]), 2)
    tensor([1.5, 1. ], dtype=float32)
    """
    return Remainder()(a, b)
