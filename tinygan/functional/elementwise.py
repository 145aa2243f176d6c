"""Elementwise functions, and choices between elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygan.backend import Array, Backend
from tinygan.engine import Elementwise, Tensor
from tinygan.functional.arguments import real, real_result
from tinygan.functional.arithmetic import multiply

__all__ = [
    "abs", "clip", "cos", "exp", "expm1", "log", "log1p", "logaddexp", "maximum", "minimum", "sin", "sqrt", "square",
    "where",
]  # fmt: skip


class Exp(Elementwise):
    """y = e^x;  gx = gy y."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        y = B.xp.exp(real(x))
        self.save(y)
        return y

    def backward(self, B: Backend, gy: Any, y: Any) -> Any:
        return gy * y


class Log(Elementwise):
    """y = log x;  gx = gy / x."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        self.save(x)
        return B.xp.log(real(x))

    def backward(self, B: Backend, gy: Any, x: Any) -> Any:
        return gy / x


class Expm1(Elementwise):
    """y = e^x - 1;  gx = gy (y + 1)."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        y = B.xp.expm1(real(x))
        self.save(y)
        return y

    def backward(self, B: Backend, gy: Any, y: Any) -> Any:
        return gy * (y + 1)


class Log1p(Elementwise):
    """y = log(1 + x);  gx = gy / (1 + x)."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        self.save(x)
        return B.xp.log1p(real(x))

    def backward(self, B: Backend, gy: Any, x: Any) -> Any:
        return gy / (1 + x)


class LogAddExp(Elementwise):
    """y = log(e^a + e^b);  ga = gy sigmoid(a - b),  gb = gy sigmoid(b - a)."""

    fresh = True
    name = "logaddexp"

    def forward(self, B: Backend, a: Array, b: Array) -> Array:
        self.save(a, b)
        d = _difference(B, a, b)  # NumPy's own function takes ten times as long
        return real_result(B.xp.maximum(a, b) + B.xp.log1p(B.xp.exp(-B.xp.abs(d))), a, b)

    def backward(self, B: Backend, gy: Any, a: Any, b: Any) -> Any:
        d = _difference(B, a, b)
        return gy * B.sigmoid(d) if self.needs[0] else None, gy * B.sigmoid(-d) if self.needs[1] else None


def _difference(B: Backend, a: Any, b: Any) -> Any:
    """Return a - b, and 0 for equal infinities."""
    d = a - b
    return B.xp.where(d == d, d, 0)


class Sin(Elementwise):
    """y = sin x;  gx = gy cos x."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        self.save(x)
        return B.xp.sin(real(x))

    def backward(self, B: Backend, gy: Any, x: Any) -> Any:
        return gy * B.xp.cos(x)


class Cos(Elementwise):
    """y = cos x;  gx = -gy sin x."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        self.save(x)
        return B.xp.cos(real(x))

    def backward(self, B: Backend, gy: Any, x: Any) -> Any:
        return -gy * B.xp.sin(x)


class Sqrt(Elementwise):
    """y = x^(1/2);  gx = gy / (2 y), infinite at 0."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        y = B.xp.sqrt(real(x))
        self.save(y)
        return y

    def backward(self, B: Backend, gy: Any, y: Any) -> Any:
        return gy / (2 * y)


class Abs(Elementwise):
    """y = |x|;  gx = gy sign x, which is 0 at 0."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        self.save(B.xp.sign(x) if self.needs[0] else None)
        return B.xp.abs(x)  # abs is the function below

    def backward(self, B: Backend, gy: Any, sign: Any) -> Any:
        return gy * sign


class Maximum(Elementwise):
    """y = max(a, b);  gy goes to the larger one, or the only nan, and half of it to each at a tie."""

    fresh = True

    def forward(self, B: Backend, a: Array, b: Array) -> Array:
        if any(self.needs):
            self.save(_beats(a > b, a, b), _beats(b > a, b, a))
        return B.xp.maximum(a, b)

    def backward(self, B: Backend, gy: Any, a_wins: Any, b_wins: Any) -> Any:
        return _to_winner(B, gy, a_wins, b_wins, self.needs)


class Minimum(Elementwise):
    """y = min(a, b);  gy goes to the smaller one, or the only nan, and half of it to each at a tie."""

    fresh = True

    def forward(self, B: Backend, a: Array, b: Array) -> Array:
        if any(self.needs):
            self.save(_beats(a < b, a, b), _beats(b < a, b, a))
        return B.xp.minimum(a, b)

    def backward(self, B: Backend, gy: Any, a_wins: Any, b_wins: Any) -> Any:
        return _to_winner(B, gy, a_wins, b_wins, self.needs)


def _beats(beyond: Any, a: Any, b: Any) -> Any:
    """Return where the result is a and not b: where a lies beyond b, or is the only nan."""
    return beyond | ((a != a) & (b == b))


def _to_winner(B: Backend, gy: Any, a_wins: Any, b_wins: Any, needs: tuple[bool, ...]) -> tuple[Any, Any]:
    half = gy / 2
    needs_a, needs_b = needs
    return (
        B.xp.where(a_wins, gy, B.xp.where(b_wins, 0, half)) if needs_a else None,
        B.xp.where(b_wins, gy, B.xp.where(a_wins, 0, half)) if needs_b else None,
    )


class Where(Elementwise):
    """y = a where c, else b;  ga = gy where c, else 0,  gb = 0 where c, else gy."""

    fresh = True
    mixed = slice(1, None)  # the condition keeps its own dtype

    def forward(self, B: Backend, c: Array, a: Array, b: Array) -> Array:
        self.save(c)
        return real_result(B.xp.where(c, a, b), a, b)

    def backward(self, B: Backend, gy: Any, c: Any) -> Any:
        _, needs_a, needs_b = self.needs
        return None, B.xp.where(c, gy, 0) if needs_a else None, B.xp.where(c, 0, gy) if needs_b else None


class Clip(Elementwise):
    """y = min(max(x, low), high);  gy goes to high where high acts, else to low where low acts, else to x.

    A limit does not act on an x that equals it, unless low = high: then y is high whatever x is.
    """

    fresh = True

    def forward(self, B: Backend, x: Array, low: Array | None, high: Array | None) -> Array:
        if hasattr(x, "dtype") and x.dtype.kind in "iu":  # a limit outside the range of the dtype never acts
            info = np.iinfo(x.dtype)
            low = None if isinstance(low, int) and low <= info.min else low
            high = None if isinstance(high, int) and high >= info.max else high
        raised = x if low is None else B.xp.maximum(x, low)
        y = raised if high is None else B.xp.minimum(raised, high)
        if any(self.needs):  # where max(x, low) is x, and where min(raised, high) is raised; nan counts as both
            apart = True if low is None or high is None else low < high
            over_low = (x >= (-math.inf if low is None else low)) | (x != x)
            under_high = (raised <= (math.inf if high is None else high)) & apart | (raised != raised)
            self.save(over_low & under_high, over_low if self.needs[1] else None, under_high)
        return y

    def backward(self, B: Backend, gy: Any, inside: Any, over_low: Any, under_high: Any) -> Any:
        needs_x, needs_low, needs_high = self.needs
        return (
            B.xp.where(inside, gy, 0) if needs_x else None,
            B.xp.where(under_high, B.xp.where(over_low, 0, gy), 0) if needs_low else None,
            B.xp.where(under_high, 0, gy) if needs_high else None,
        )


def exp(x: Any) -> Tensor:
    """Return e^x elementwise."""
    return Exp()(x)


def log(x: Any) -> Tensor:
    """Return the natural logarithm elementwise: -inf at 0, nan below."""
    return Log()(x)


def expm1(x: Any) -> Tensor:
    """Return e^x - 1 elementwise, exact also near 0.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.expm1(tg.tensor([0.0, 1e-10]))
    tensor([0.e+00, 1.e-10], dtype=float32)
    """
    return Expm1()(x)


def log1p(x: Any) -> Tensor:
    """Return log(1 + x) elementwise, exact also near 0.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.log1p(tg.tensor([0.0, 1e-10]))
    tensor([0.e+00, 1.e-10], dtype=float32)
    """
    return Log1p()(x)


def logaddexp(a: Any, b: Any) -> Tensor:
    """Return log(e^a + e^b) elementwise, without overflow.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.logaddexp(tg.tensor([1000.0]), 0.0)
    tensor([1000.], dtype=float32)
    """
    return LogAddExp()(a, b)


def sin(x: Any) -> Tensor:
    """Return the sine elementwise, of angles in radians.

    Examples
    --------
    >>> import math, tinygan as tg
    >>> tg.functional.sin(tg.tensor([0.0, math.pi / 2]))
    tensor([0., 1.], dtype=float32)
    """
    return Sin()(x)


def cos(x: Any) -> Tensor:
    """Return the cosine elementwise, of angles in radians.

    Examples
    --------
    >>> import math, tinygan as tg
    >>> tg.functional.cos(tg.tensor([0.0, math.pi]))
    tensor([ 1., -1.], dtype=float32)
    """
    return Cos()(x)


def sqrt(x: Any) -> Tensor:
    """Return the square root elementwise; its slope at 0 is infinite."""
    return Sqrt()(x)


def square(x: Any) -> Tensor:
    """Return x^2 elementwise; its gradient is 2 x gy.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.square(tg.tensor([3.0, -1.0]))
    tensor([9., 1.], dtype=float32)
    """
    return multiply(x, x)


def abs(x: Any) -> Tensor:
    """Return the absolute value elementwise; its gradient at 0 is taken as 0."""
    return Abs()(x)


def maximum(a: Any, b: Any) -> Tensor:
    """Return the larger of two elements; at a tie each gets half of the gradient. A nan gets all of it."""
    return Maximum()(a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """Return the smaller of two elements; at a tie each gets half of the gradient. A nan gets all of it."""
    return Minimum()(a, b)


def where(condition: Any, x: Any, y: Any) -> Tensor:
    """Return `x` where `condition` is true and `y` elsewhere; all three broadcast.

    Both branches are computed before the choice. A branch that is infinite or nan where it is not chosen does not
    change the value, but its backward pass may multiply 0 by infinity: to avoid this, apply `where` to its input.
    """
    return Where()(condition, x, y)


def clip(x: Any, low: Any = None, high: Any = None) -> Tensor:
    """Limit each element to [`low`, `high`].

    Parameters
    ----------
    x : Tensor
    low, high : Tensor, array or number, optional
        They broadcast with `x`. Where `low` is not below `high`, the result is `high`, as in PyTorch.

    Returns
    -------
    Tensor
        Where a limit acts, it gets the gradient; elsewhere `x` gets it, also where `x` equals a limit.

    Examples
    --------
    >>> import tinygan as tg
    >>> x, high = tg.tensor([-1.0, 1.0, 4.0], requires_grad=True), tg.tensor(2.0, requires_grad=True)
    >>> tg.functional.clip(x, 0.0, high).sum().backward()
    >>> x.grad, high.grad
    (tensor([0., 1., 0.], dtype=float32), tensor(1., dtype=float32))
    """
    return Clip()(x, low, high)
