"""The layers of the paper, and a few others for comparison."""

from __future__ import annotations

import math

import tinygan.functional as F
from tinygan.backend import Stream, current_streams
from tinygan.checks import integer
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError
from tinygan.nn import init
from tinygan.nn.module import Module, Parameter

__all__ = ["Dropout", "Flatten", "LeakyReLU", "Linear", "Maxout", "ReLU", "Reshape", "Sigmoid", "Tanh"]


class Linear(Module):
    """The affine map ``x @ weight + bias``.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
        Whether to add a bias, which starts at 0.
    weight_init, bias_init : callable, optional
        See `tinygan.nn.init`; by default weights are U(-1/sqrt(in_features), 1/sqrt(in_features)).
    rng : Stream, optional
        The stream that the weights are drawn from; by default ``weights`` of `tinygan.manual_seed`.

    Attributes
    ----------
    weight : Parameter, shape (in_features, out_features)
        One column for each unit. (PyTorch stores the transpose.)
    bias : Parameter, shape (out_features,), or None

    Examples
    --------
    >>> import tinygan as tg
    >>> Linear(784, 10)(tg.tensor([[0.0] * 784])).shape
    (1, 10)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        weight_init: init.Initializer | None = None,
        bias_init: init.Initializer | None = None,
        rng: Stream | None = None,
    ) -> None:
        super().__init__()
        self.in_features = integer(in_features, "Linear: in_features", at_least=1)
        self.out_features = integer(out_features, "Linear: out_features", at_least=1)
        rng = rng or current_streams()["weights"]
        self.weight = Parameter((weight_init or init.fan_in())((in_features, out_features), rng), "weight")
        self.bias = Parameter((bias_init or init.constant(0))((out_features,), rng), "bias") if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


class Maxout(Module):
    """Units that are each the maximum of several affine maps (Goodfellow et al., 2013).

    ``h_u = max over p of (x @ W_p + b_p)_u``, p = 1 ... pieces.

    Parameters
    ----------
    in_features, units, pieces : int
    weight_init, bias_init, rng
        As in `Linear`.

    Attributes
    ----------
    weight : Parameter, shape (in_features, pieces * units)
        Column ``p * units + u`` is piece p of unit u. So the maximum runs over long contiguous rows.
    bias : Parameter, shape (pieces * units,)

    Examples
    --------
    >>> import tinygan as tg
    >>> Maxout(784, 240, 5)(tg.tensor([[0.0] * 784])).shape
    (1, 240)
    """

    def __init__(
        self,
        in_features: int,
        units: int,
        pieces: int,
        weight_init: init.Initializer | None = None,
        bias_init: init.Initializer | None = None,
        rng: Stream | None = None,
    ) -> None:
        super().__init__()
        self.in_features = integer(in_features, "Maxout: in_features", at_least=1)
        self.units = integer(units, "Maxout: units", at_least=1)
        self.pieces = integer(pieces, "Maxout: pieces", at_least=1)
        rng = rng or current_streams()["weights"]
        self.weight = Parameter((weight_init or init.fan_in())((in_features, pieces * units), rng), "weight")
        self.bias = Parameter((bias_init or init.constant(0))((pieces * units,), rng), "bias")

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., units)."""
        return F.maxout(F.linear(x, self.weight, self.bias), self.pieces, piece_major=True)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.in_features}, {self.units}, pieces={self.pieces}"


class ReLU(Module):
    """max(x, 0), elementwise."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply `functional.relu`."""
        return F.relu(x)


class LeakyReLU(Module):
    """Return x where x > 0, else `negative_slope` times x."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x: Tensor) -> Tensor:
        """Apply `functional.leaky_relu`."""
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        """Return the slope."""
        return f"{self.negative_slope}"


class Sigmoid(Module):
    """1 / (1 + e^-x), elementwise."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply `functional.sigmoid`."""
        return F.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent, elementwise."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply `functional.tanh`."""
        return F.tanh(x)


class Dropout(Module):
    """In training, zero each element with probability `p` and divide the others by 1 - p.

    Parameters
    ----------
    p : float
        Probability of dropping, in [0, 1].
    rng : Stream, optional
        The stream that the masks are drawn from; by default ``dropout`` of `tinygan.manual_seed`.
    """

    def __init__(self, p: float = 0.5, rng: Stream | None = None) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"Dropout: p is the probability of dropping an element, in [0, 1]; got {p}")
        self.p = p
        self.rng = rng

    def forward(self, x: Tensor) -> Tensor:
        """Apply `functional.dropout`."""
        return F.dropout(x, self.p, self.training, self.rng)

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"p={self.p}"


class Flatten(Module):
    """Join all axes but the first: (m, 1, 28, 28) becomes (m, 784)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the input with two axes."""
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class Reshape(Module):
    """Reshape each row: ``Reshape(28, 28)`` turns (m, 784) into (m, 28, 28)."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Return the input with the new axes after the first."""
        return x.reshape(x.shape[0], *self.shape)

    def extra_repr(self) -> str:
        """Return the shape."""
        return ", ".join(map(str, self.shape))
