"""Functions of one element at a time, and choices between elements."""

from __future__ import annotations

import math
from typing import Any

from tinygan.backend import DEFAULT_DTYPE, Array, Backend
from tinygan.engine import Elementwise, Tensor


class Exp(Elementwise):
    """y = e^x;  gx = gy y."""

    def forward(self, B: Backend, x: Array) -> Array:
        y = B.xp.exp(x)
        self.save(y)
        return y

    def backward(self, B: Backend, gy: Any, y: Any) -> Any:
        return gy * y


class Log(Elementwise):
    """y = log x;  gx = gy / x."""

    def forward(self, B: Backend, x: Array) -> Array:
        self.save(x)
        return B.xp.log(x)

    def backward(self, B: Backend, gy: Any, x: Any) -> Any:
        return gy / x


class Sqrt(Elementwise):
    """y = x^(1/2);  gx = gy / (2 y), infinite at 0."""

    def forward(self, B: Backend, x: Array) -> Array:
        y = B.xp.sqrt(x)
        self.save(y)
        return y

    def backward(self, B: Backend, gy: Any, y: Any) -> Any:
        return gy / (2 * y)


class Abs(Elementwise):
    """y = |x|;  gx = gy sign x, which is 0 at 0."""

    def forward(self, B: Backend, x: Array) -> Array:
        self.save(B.xp.sign(x))
        return B.xp.abs(x)  # abs is the function below

    def backward(self, B: Backend, gy: Any, sign: Any) -> Any:
        return gy * sign


class Maximum(Elementwise):
    """y = max(a, b);  gy goes to the larger one, and half of it to each at a tie."""

    def forward(self, B: Backend, a: Array, b: Array) -> Array:
        self.save(a, b)
        return B.xp.maximum(a, b)

    def backward(self, B: Backend, gy: Any, a: Any, b: Any) -> Any:
        return _to_winner(B, gy, a, b, self.needs)


class Minimum(Elementwise):
    """y = min(a, b);  gy goes to the smaller one, and half of it to each at a tie."""

    def forward(self, B: Backend, a: Array, b: Array) -> Array:
        self.save(a, b)
        return B.xp.minimum(a, b)

    def backward(self, B: Backend, gy: Any, a: Any, b: Any) -> Any:
        return _to_winner(B, gy, b, a, self.needs)  # a is the smaller one where b is larger


def _to_winner(B: Backend, gy: Any, a: Any, b: Any, needs: tuple[bool, ...]) -> tuple[Any, Any]:
    at_tie = B.xp.where(a == b, gy / 2, 0)
    needs_a, needs_b = needs
    return B.xp.where(a > b, gy, at_tie) if needs_a else None, B.xp.where(a < b, gy, at_tie) if needs_b else None


class Where(Elementwise):
    """y = a where c, else b;  ga = gy where c, else 0,  gb = 0 where c, else gy."""

    mixed = slice(1, None)  # not the condition

    def forward(self, B: Backend, c: Array, a: Array, b: Array) -> Array:
        self.save(c)
        y = B.xp.where(c, a, b)
        of_numbers = not (B.is_array(a) or B.is_array(b))  # Python floats make float32, as in tg.tensor
        return y.astype(DEFAULT_DTYPE) if of_numbers and y.dtype.kind == "f" else y

    def backward(self, B: Backend, gy: Any, c: Any) -> Any:
        _, needs_a, needs_b = self.needs
        return None, B.xp.where(c, gy, 0) if needs_a else None, B.xp.where(c, 0, gy) if needs_b else None


class Clip(Elementwise):
    """y = min(max(x, low), high);  gx = gy where low <= x <= high, else 0."""

    def __init__(self, low: float | None, high: float | None) -> None:
        self.low = -math.inf if low is None else _plain(low)
        self.high = math.inf if high is None else _plain(high)

    def forward(self, B: Backend, x: Array) -> Array:
        self.save((x >= self.low) & (x <= self.high))
        return B.xp.clip(x, self.low, self.high)

    def backward(self, B: Backend, gy: Any, inside: Any) -> Any:
        return B.xp.where(inside, gy, 0)


def _plain(number: Any) -> Any:
    """Return NumPy's scalars as Python numbers, which do not promote float32."""
    return number.item() if hasattr(number, "item") else number


def exp(x: Any) -> Tensor:
    """Return e^x elementwise."""
    return Exp()(x)


def log(x: Any) -> Tensor:
    """Return the natural logarithm elementwise: -inf at 0, nan below."""
    return Log()(x)


def sqrt(x: Any) -> Tensor:
    """Return the square root elementwise; its slope at 0 is infinite."""
    return Sqrt()(x)


def abs(x: Any) -> Tensor:
    """Return the absolute value elementwise; its gradient at 0 is taken as 0."""
    return Abs()(x)


def maximum(a: Any, b: Any) -> Tensor:
    """Return the larger of two elements; at a tie each gets half of the gradient."""
    return Maximum()(a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """Return the smaller of two elements; at a tie each gets half of the gradient."""
    return Minimum()(a, b)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """Return `a` where `condition` is true and `b` elsewhere; all three broadcast.

    Both branches are evaluated before this is called. A branch that is infinite or nan where it is not chosen does
    no harm to the value, but its own backward pass may still multiply 0 by infinity: choose its input first.
    """
    return Where()(condition, a, b)


def clip(x: Any, low: float | None = None, high: float | None = None) -> Tensor:
    """Limit each element to [`low`, `high`]; the gradient is 0 where the limit acts, 1 on the limit itself."""
    return Clip(low, high)(x)
