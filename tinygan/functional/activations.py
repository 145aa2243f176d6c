"""Activations: those of the paper (ReLU, sigmoid, maxout, dropout) and similar ones."""

from __future__ import annotations

import math
from typing import Any

from tinygan.backend import Array, Backend, Stream, current_streams
from tinygan.engine import Elementwise, Operation, Tensor
from tinygan.errors import ArgumentError, DtypeError, ShapeError
from tinygan.functional.arguments import integer, number, real
from tinygan.functional.arithmetic import multiply

__all__ = [
    "dropout", "elu", "gelu", "leaky_relu", "log_sigmoid", "maxout", "relu",
    "sigmoid", "silu", "softplus", "tanh",
]  # fmt: skip


class ReLU(Elementwise):
    """y = max(x, 0);  gx = gy where y is not 0, else 0."""

    fresh = True
    name = "relu"

    def forward(self, B: Backend, x: Array) -> Array:
        y = B.relu(x)
        self.save(y)
        return y

    def backward(self, B: Backend, gy: Any, y: Any) -> Any:
        return B.relu_backward(gy, y)


class LeakyReLU(Elementwise):
    """y = x where x > 0, else s x;  gx = gy where x > 0, else s gy;  gs = 0 where x > 0, else gy x."""

    fresh = True
    name = "leaky_relu"

    def forward(self, B: Backend, x: Array, s: Array) -> Array:
        y, positive = B.leaky(x, s)
        self.save(positive, s, x if self.needs[1] else None)
        return y

    def backward(self, B: Backend, gy: Any, positive: Any, s: Any, x: Any) -> Any:
        gx = B.leaky_backward(gy, positive, s) if self.needs[0] else None
        return gx, B.xp.where(positive, 0, gy * x) if self.needs[1] else None


class _WithSlope(Elementwise):
    """y = f(x);  gx = gy f'(x)."""

    fresh = True

    def _curve(self, B: Backend, x: Any) -> tuple[Any, Any]:
        """Return f(x) and f'(x)."""
        raise NotImplementedError

    def forward(self, B: Backend, x: Array) -> Array:
        y, slope = self._curve(B, real(x))
        self.save(x, slope)
        return y

    def backward(self, B: Backend, gy: Any, x: Any, slope: Any) -> Any:
        if isinstance(x, Tensor):  # the pass is recorded, and needs the slope as a function of x
            _, slope = self._curve(B, x)
        return gy * slope


class ELU(_WithSlope):
    """y = x where x > 0, else s (e^x - 1);  gx = gy where x > 0, else gy s e^x (Clevert et al., 2016)."""

    name = "elu"

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def _curve(self, B: Backend, x: Any) -> tuple[Any, Any]:
        return B.elu(x, self.alpha)


class SiLU(_WithSlope):
    """y = x s, where s = sigmoid(x);  gx = gy (s + y (1 - s)) (Elfwing et al., 2018)."""

    name = "silu"

    def _curve(self, B: Backend, x: Any) -> tuple[Any, Any]:
        return B.silu(x)


class GELU(_WithSlope):
    """y = x Phi(x);  gx = gy (Phi(x) + x e^(-x^2 / 2) / (2 pi)^(1/2)), Phi(x) = (1 + erf(x / 2^(1/2))) / 2."""

    name = "gelu"

    def _curve(self, B: Backend, x: Any) -> tuple[Any, Any]:
        return B.gelu(x)


class NormalCDF(Elementwise):
    """y = (1 + erf(x / 2^(1/2))) / 2;  gx = gy e^(-x^2 / 2) / (2 pi)^(1/2)."""

    fresh = True
    name = "normal_cdf"

    def forward(self, B: Backend, x: Array) -> Array:
        self.save(x)
        return B.normal_cdf(real(x))

    def backward(self, B: Backend, gy: Any, x: Any) -> Any:
        return gy * B.xp.exp(x * x / -2) / math.sqrt(2 * math.pi)


class Sigmoid(Elementwise):
    """y = 1 / (1 + e^-x);  gx = gy y (1 - y)."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        y = B.sigmoid(real(x))
        self.save(y)
        return y

    def backward(self, B: Backend, gy: Any, y: Any) -> Any:
        return B.sigmoid_backward(gy, y)


class Tanh(Elementwise):
    """y = tanh x;  gx = gy (1 - y^2)."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        y = B.xp.tanh(real(x))
        self.save(y)
        return y

    def backward(self, B: Backend, gy: Any, y: Any) -> Any:
        return B.tanh_backward(gy, y)


class Softplus(Elementwise):
    """y = log(1 + e^x);  gx = gy sigmoid(x)."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        self.save(x)
        return B.softplus(real(x))

    def backward(self, B: Backend, gy: Any, x: Any) -> Any:
        return gy * B.sigmoid(x)


class LogSigmoid(Elementwise):
    """y = log sigmoid(x) = -softplus(-x);  gx = gy sigmoid(-x)."""

    fresh = True

    def forward(self, B: Backend, x: Array) -> Array:
        self.save(x)
        return -B.softplus(-real(x))

    def backward(self, B: Backend, gy: Any, x: Any) -> Any:
        return gy * B.sigmoid(-x)


class Maxout(Operation):
    """y_u = max over the pieces p of x_up;  gx_up = gy_u for the piece that won, else 0 (Goodfellow et al., 2013).

    The pieces of a unit are consecutive (``piece_major=False``), or the units of a piece are.
    """

    fresh = True

    def __init__(self, pieces: int, axis: int, piece_major: bool) -> None:
        self.pieces = pieces
        self.axis = axis
        self.piece_major = piece_major

    def check(self, x: Array) -> None:
        if not -x.ndim <= self.axis < x.ndim:
            raise ShapeError(f"maxout: axis {self.axis} does not exist in an input of shape {x.shape}")
        if self.pieces < 1 or x.shape[self.axis] % self.pieces:
            raise ShapeError(
                f"maxout: axis {self.axis} has {x.shape[self.axis]} elements, which {self.pieces} pieces do not divide"
            )

    def forward(self, B: Backend, x: Array) -> Array:
        self.x_shape = x.shape
        axis = self.axis % x.ndim
        units = x.shape[axis] // self.pieces
        split = (self.pieces, units) if self.piece_major else (units, self.pieces)
        # the axis of the pieces after the split, counted from the end
        self.pieces_axis = axis - x.ndim - (1 if self.piece_major else 0)
        y, won = B.maxout(x.reshape(x.shape[:axis] + split + x.shape[axis + 1 :]), self.pieces_axis)
        self.save(won)
        return y

    def backward(self, B: Backend, gy: Any, won: Any) -> Any:
        return B.maxout_backward(gy, won, self.pieces_axis).reshape(self.x_shape)


class Dropout(Elementwise):
    """y = x m, with m = 1 / (1 - p) with probability 1 - p, else 0;  gx = gy m (Srivastava et al., 2014)."""

    fresh = True

    def __init__(self, p: float, stream: Stream) -> None:
        self.p = p
        self.stream = stream

    def forward(self, B: Backend, x: Array) -> Array:
        y, mask = B.dropout(real(x), self.stream, 1 - self.p)
        self.save(mask)
        return y

    def backward(self, B: Backend, gy: Any, mask: Any) -> Any:
        return gy * mask


def relu(x: Any) -> Tensor:
    """Return max(x, 0) elementwise; the gradient at 0 is 0, relu(-inf) is 0, nan stays nan.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.relu(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.], dtype=float32)
    """
    return ReLU()(x)


def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Tensor:
    """Return x where x > 0, else `negative_slope` times x; the slope is a number or a tensor, which may be trained."""
    return LeakyReLU()(x, negative_slope)


def sigmoid(x: Any) -> Tensor:
    """Return 1 / (1 + e^-x) elementwise, exact in both tails.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.sigmoid(tg.tensor([-1000.0, 0.0, 1000.0]))
    tensor([0. , 0.5, 1. ], dtype=float32)
    """
    return Sigmoid()(x)


def tanh(x: Any) -> Tensor:
    """Return the hyperbolic tangent elementwise."""
    return Tanh()(x)


def silu(x: Any) -> Tensor:
    """Return x sigmoid(x) elementwise, also called swish.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.silu(tg.tensor([0.0, 100.0]))
    tensor([  0., 100.], dtype=float32)
    """
    return SiLU()(x)


def gelu(x: Any) -> Tensor:
    """Return x Phi(x) elementwise, where Phi(x) = (1 + erf(x / 2^(1/2))) / 2 (Hendrycks and Gimpel, 2016).

    This is the exact function, not its approximation by tanh.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.gelu(tg.tensor([0.0, 1.0]))
    tensor([0.        , 0.84134...], dtype=float32)
    """
    return GELU()(x)


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """Return x where x > 0, else `alpha` (e^x - 1).

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.elu(tg.tensor([-1000.0, 0.0, 2.0]), alpha=0.5)
    tensor([-0.5,  0. ,  2. ], dtype=float32)
    """
    return ELU(number(alpha, "elu", "alpha"))(x)


def softplus(x: Any, beta: float = 1.0) -> Tensor:
    """Return log(1 + e^(beta x)) / beta elementwise, without overflow; beta > 0 says how sharp the bend at 0 is.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.softplus(tg.tensor([0.0, 1000.0]), beta=2)
    tensor([3.465736e-01, 1.000000e+03], dtype=float32)
    """
    beta = number(beta, "softplus", "beta")
    if not 0 < beta < math.inf:
        raise ArgumentError(f"softplus: beta must be a positive number, got {beta}")
    return Softplus()(x) if beta == 1 else Softplus()(multiply(x, beta)) / beta


def log_sigmoid(x: Any) -> Tensor:
    """Return log(1 / (1 + e^-x)) elementwise, without taking the logarithm of 0."""
    return LogSigmoid()(x)


def maxout(x: Any, pieces: int, axis: int = -1, piece_major: bool = False) -> Tensor:
    """Return the maximum over groups of `pieces` elements along `axis`.

    Parameters
    ----------
    x : Tensor
    pieces : int
        The number of elements for each maximum; it must divide the size of the axis.
    axis : int
    piece_major : bool
        False: unit u is the maximum of the consecutive elements ``x[u * pieces : (u + 1) * pieces]``. True: the
        elements of one piece are consecutive, and unit u is the maximum of ``x[u :: units]``, which is several times
        faster to compute; `nn.Maxout` uses it.

    Returns
    -------
    Tensor
        The axis is `pieces` times shorter. At a tie the first piece gets the whole gradient.

    Raises
    ------
    ShapeError
        `pieces` does not divide the axis.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.maxout(tg.tensor([1.0, 5.0, 3.0, 2.0]), pieces=2)
    tensor([5., 3.], dtype=float32)
    """
    return Maxout(integer(pieces, "maxout", "pieces"), integer(axis, "maxout", "axis"), piece_major)(x)


def dropout(x: Any, p: float, training: bool = True, rng: Stream | None = None) -> Tensor:
    """Zero each element with probability `p` and divide the others by 1 - p, so that the mean stays.

    Parameters
    ----------
    x : Tensor
    p : float
        Probability of dropping an element, in [0, 1]. 1 - p is rounded to a multiple of 1/65536, because a mask is
        drawn with 16 bits per element. The other elements are divided by the rounded 1 - p.
    training : bool
        False returns `x` unchanged.
    rng : Stream, optional
        The stream that the masks are drawn from; by default ``dropout`` of `tinygan.manual_seed`.

    Returns
    -------
    Tensor, of the shape of `x`

    Raises
    ------
    ArgumentError
        `p` is not a probability, or 1 - p is too small to be rounded well.
    """
    p = number(p, "dropout", "p")
    if rng is not None and not isinstance(rng, Stream):
        raise DtypeError(f"dropout: rng= is a tinygan.backend.Stream, got {type(rng).__name__}; there is no inplace=")
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: p is the probability of dropping an element, in [0, 1]; got {p}")
    if 0 < 1 - p < 2**-15:
        raise ArgumentError(
            f"dropout: with p={p} an element is kept too rarely for masks of 16 random bits; "
            f"p may be at most {1 - 2**-15}, or 1 to drop everything"
        )
    if not training or p == 0:
        return x if isinstance(x, Tensor) else Tensor(x)
    return Dropout(p, current_streams()["dropout"] if rng is None else rng)(x)
