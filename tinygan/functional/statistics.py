"""Variance, standard deviation and norm over axes."""

from __future__ import annotations

import math
from typing import Any

from tinygan import checks
from tinygan.backend import Array, Backend, wide
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError
from tinygan.functional.arguments import Axis, number, real
from tinygan.functional.reductions import _Reduction

__all__ = ["norm", "std", "var"]


class Var(_Reduction):
    """y = sum (x - mean x)^2 / (n - c);  gx = 2 gy (x - mean x) / (n - c), with a correction c."""

    fresh = True

    def __init__(self, axis: Axis, keepdims: bool, correction: float) -> None:
        super().__init__(axis, keepdims)
        self.correction = correction

    def forward(self, B: Backend, x: Array) -> Array:
        self.save(x)
        x = real(x)
        return self.variance(B, x).astype(x.dtype)

    def variance(self, B: Backend, x: Array) -> Array:
        """Compute the variance, of half precision in single precision."""
        terms = self.centred(x)
        return B.sum(terms * terms, self.axis, self.keepdims) * self.share()

    def centred(self, x: Any) -> Any:
        """Return x - mean x."""
        terms = wide(x)
        return terms - terms.mean(axis=self.axis, keepdims=True)

    def share(self) -> float:
        """Return 1 / (n - c). It is infinite if n is not above c; then the variance of equal numbers is nan."""
        return 1 / (self.n - self.correction) if self.n > self.correction else math.inf

    def backward(self, B: Backend, gy: Any, x: Any) -> Any:
        return 2 * self.share() * gy.reshape(self.kept) * self.centred(x)


class Std(Var):
    """y = (sum (x - mean x)^2 / (n - c))^(1/2);  gx = gy (x - mean x) / (y (n - c)), and 0 where y = 0."""

    def forward(self, B: Backend, x: Array) -> Array:
        floats = real(x)
        y = B.xp.sqrt(self.variance(B, floats)).astype(floats.dtype)
        self.save(x, y)
        return y

    def backward(self, B: Backend, gy: Any, x: Any, y: Any) -> Any:  # type: ignore[override]
        return super().backward(B, _over(B, gy, 2 * y), x)


class Norm(_Reduction):
    """y = (sum x^2)^(1/2);  gx = gy x / y, and 0 where y = 0."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        floats = real(x)
        terms = wide(floats)
        y = B.xp.sqrt(B.sum(terms * terms, self.axis, self.keepdims)).astype(floats.dtype)
        self.save(x, y)
        return y

    def backward(self, B: Backend, gy: Any, x: Any, y: Any) -> Any:
        return _over(B, gy, y).reshape(self.kept) * x


def _over(B: Backend, gy: Any, y: Any) -> Any:
    """Return gy / y, and 0 where y = 0."""
    return B.xp.where(y == 0, 0, gy / B.xp.where(y == 0, 1, y))


def var(x: Any, axis: Axis = None, *, keepdims: bool = False, correction: float = 0) -> Tensor:
    """Return NumPy's variance over `axis` (all axes): sum (x - mean x)^2 / n; ``correction=1`` gives PyTorch's.

    Parameters
    ----------
    x : Tensor
    axis : int or tuple of int, optional
    keepdims : bool
    correction : float
        0, the default, divides by n, as NumPy does: the variance of the n numbers themselves, which a normalisation
        needs. 1 divides by n - 1, as PyTorch's ``x.var()`` does: an unbiased estimate of the variance of what the
        numbers were drawn from.

    Returns
    -------
    Tensor
        nan or infinite if n is not above `correction`. The variance of integers is float32.

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor([1.0, 3.0])
    >>> tg.functional.var(x), tg.functional.var(x, correction=1)
    (tensor(1., dtype=float32), tensor(2., dtype=float32))
    """
    return Var(axis, keepdims, number(correction, "var", "correction"))(x)


def std(x: Any, axis: Axis = None, *, keepdims: bool = False, correction: float = 0) -> Tensor:
    """Return NumPy's standard deviation, the square root of `var`; ``correction=1`` gives PyTorch's.

    Its gradient is taken as 0 where the deviation is 0, as in PyTorch.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.std(tg.tensor([1.0, 3.0]))  # PyTorch's default is correction=1
    tensor(1., dtype=float32)
    """
    return Std(axis, keepdims, number(correction, "std", "correction"))(x)


def norm(x: Any, p: float = 2, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the Euclidean norm over `axis` (all axes by default): the square root of the sum of x^2.

    Its gradient x / norm is taken as 0 where the norm is 0, as in PyTorch.

    Parameters
    ----------
    x : Tensor
    p : 2
        There is no other norm: the 1-norm is ``abs(x).sum(axis)``, the maximum norm ``abs(x).max(axis)``.
    axis : int or tuple of int, optional
    keepdims : bool

    Raises
    ------
    ArgumentError
        `p` is not 2.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.norm(tg.tensor([[3.0, 4.0], [0.0, 0.0]]), axis=1)
    tensor([5., 0.], dtype=float32)
    """
    if p != 2:
        raise ArgumentError(
            f"norm: p must be 2, for the Euclidean norm, got {checks.shown(p)}; "
            "write abs(x).sum(axis) for the 1-norm, abs(x).max(axis) for the maximum norm"
        )
    return Norm(axis, keepdims)(x)
