"""The layers of the paper, and a few others for comparison; `normalization` has more."""

from __future__ import annotations

import math

import tinygan.functional as F
from tinygan.backend import DEFAULT_DTYPE, Stream, current_streams
from tinygan.checks import integer, number
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError
from tinygan.nn import init
from tinygan.nn.module import Module, Parameter

__all__ = [
    "Dropout", "Embedding", "Flatten", "GaussianNoise", "Identity", "LeakyReLU", "Linear", "Maxout", "ReLU", "Reshape",
    "Sigmoid", "Softplus", "Tanh",
]  # fmt: skip


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
        self.weight = Parameter(init.drawn(weight_init, init.fan_in(), (in_features, out_features), rng), name="weight")
        self.bias = (
            Parameter(init.drawn(bias_init, init.constant(0), (out_features,), rng), name="bias") if bias else None
        )

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
        self.weight = Parameter(
            init.drawn(weight_init, init.fan_in(), (in_features, pieces * units), rng), name="weight"
        )
        self.bias = Parameter(init.drawn(bias_init, init.constant(0), (pieces * units,), rng), name="bias")

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., units)."""
        return F.maxout(F.linear(x, self.weight, self.bias), self.pieces, piece_major=True)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.in_features}, {self.units}, pieces={self.pieces}"


class Embedding(Module):
    """A table with one trained row for each class, such as a label that is given to G and D.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        The number of classes, and the size of a row.
    weight_init : callable, optional
        See `tinygan.nn.init`; by default N(0, 1), as in PyTorch.
    rng : Stream, optional
        The stream that the weights are drawn from; by default ``weights`` of `tinygan.manual_seed`.

    Attributes
    ----------
    weight : Parameter, shape (num_embeddings, embedding_dim)

    Examples
    --------
    >>> import tinygan as tg
    >>> Embedding(10, 4)(tg.tensor([3, 9, 3])).shape
    (3, 4)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        weight_init: init.Initializer | None = None,
        rng: Stream | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = integer(num_embeddings, "Embedding: num_embeddings", at_least=1)
        self.embedding_dim = integer(embedding_dim, "Embedding: embedding_dim", at_least=1)
        shape = self.num_embeddings, self.embedding_dim
        self.weight = Parameter(init.drawn(weight_init, init.normal(), shape, rng), name="weight")

    def forward(self, x: Tensor) -> Tensor:
        """Map integers in {0, ..., num_embeddings - 1} of shape (...) to (..., embedding_dim)."""
        return F.embedding(x, self.weight)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"{self.num_embeddings}, {self.embedding_dim}"


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


class Softplus(Module):
    """log(1 + e^(beta x)) / beta, elementwise: a smooth ReLU, which a large `beta` makes sharper."""

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = number(beta, "Softplus: beta")
        if not 0 < self.beta < math.inf:
            raise ArgumentError(f"Softplus: beta must be above 0 and finite, got {beta}")

    def forward(self, x: Tensor) -> Tensor:
        """Apply `functional.softplus`."""
        return F.softplus(x, self.beta)

    def extra_repr(self) -> str:
        """Return beta."""
        return f"{self.beta:g}"


class Identity(Module):
    """The input itself: holds the place of a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the input."""
        return x


class Dropout(Module):
    """In training, zero each element with probability `p` and divide the others by 1 - p.

    Parameters
    ----------
    p : float
        Probability of dropping, in [0, 1].
    rng : Stream, optional
        The stream that the masks are drawn from; by default ``dropout`` of `tinygan.manual_seed`.
    """

    def __init__(self, p: float = 0.5, *, rng: Stream | None = None) -> None:
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


class GaussianNoise(Module):
    """In training, add N(0, std^2) to each element.

    Noise may enter G at any layer, and not only at the first (Goodfellow et al., 2014, section 5).

    Parameters
    ----------
    std : float
        The standard deviation.
    always : bool
        Add noise in evaluation, too, as a source of the variety of the samples.
    rng : Stream, optional
        The stream that the noise is drawn from; by default ``gaussian_noise`` of `tinygan.manual_seed`.

    Examples
    --------
    >>> import tinygan as tg
    >>> layer = GaussianNoise(0.1)
    >>> layer.eval()(tg.tensor([1.0, 2.0]))
    tensor([1., 2.], dtype=float32)
    """

    def __init__(self, std: float, always: bool = False, rng: Stream | None = None) -> None:
        super().__init__()
        self.std, self.always, self.rng = number(std, "GaussianNoise: std"), always, rng
        if not 0 <= self.std < math.inf:
            raise ArgumentError(f"GaussianNoise: std is a standard deviation, finite and at least 0; got {std}")

    def forward(self, x: Tensor) -> Tensor:
        """Return the input plus noise."""
        if not (self.training or self.always) or not self.std:
            return x
        stream = self.rng or current_streams()["gaussian_noise"]
        dtype = x.dtype if x.dtype.char in "fd" else DEFAULT_DTYPE
        noise = x.backend.normal(stream, x.shape, dtype)
        noise *= self.std
        return x + Tensor(noise.astype(x.dtype if x.dtype.kind == "f" else dtype, copy=False), name="noise")

    def extra_repr(self) -> str:
        """Return the standard deviation."""
        return f"{self.std:g}" + (", always=True" if self.always else "")


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
