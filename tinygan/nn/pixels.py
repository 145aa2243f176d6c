"""Between rows of pixels, as a data set has them, and maps, as convolutions take them."""

from __future__ import annotations

from collections.abc import Sequence

import tinygan.functional as F
from tinygan.backend import Stream, current_streams
from tinygan.checks import integer
from tinygan.engine import Tensor
from tinygan.errors import ShapeError
from tinygan.functional.arguments import sizes
from tinygan.nn import init
from tinygan.nn.module import Module, Parameter

__all__ = ["Bias", "Maps", "Pixels"]


class Maps(Module):
    """Turn each row of pixels into maps: (N, height * width * C) becomes (N, C, height, width).

    A row has the pixels row by row, and the C channels of a pixel are neighbours, as in a data set. It is a view.

    Parameters
    ----------
    height, width : int

    Raises
    ------
    ShapeError
        The size of a row is not a multiple of height * width.

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> Maps(28, 28)(tg.tensor(np.zeros((5, 784)))).shape
    (5, 1, 28, 28)
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height = integer(height, "Maps: height", at_least=1)
        self.width = integer(width, "Maps: width", at_least=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps."""
        places = self.height * self.width
        if x.ndim != 2 or x.shape[1] % places:
            raise ShapeError(
                f"Maps: expected rows of {self.height} x {self.width} pixels, which are a multiple of {places} "
                f"numbers, got shape {x.shape}"
            )
        return x.reshape(len(x), self.height, self.width, x.shape[1] // places).transpose(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """Return the size."""
        return f"{self.height}, {self.width}"


class Pixels(Module):
    """Turn maps into rows of pixels: (N, C, H, W) becomes (N, H * W * C), the reverse of `Maps`.

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> Pixels()(tg.tensor(np.zeros((5, 3, 32, 32)))).shape
    (5, 3072)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows."""
        if x.ndim != 4:
            raise ShapeError(f"Pixels: expected maps of shape (N, C, H, W), got shape {x.shape}")
        n, channels, height, width = x.shape
        return x.transpose(0, 2, 3, 1).reshape(n, height * width * channels)


class Bias(Module):
    """Add a bias to each number of a row or of its maps, where a convolution has one for each channel.

    Parameters
    ----------
    shape : sequence of int
        The shape of one example, such as (3, 32, 32).
    bias_init, rng
        As in `Linear`; by default the biases are 0.

    Attributes
    ----------
    bias : Parameter, of that shape

    Examples
    --------
    >>> import tinygan as tg
    >>> layer = Bias((2,))
    >>> layer.bias.data[...] = 10, 20
    >>> layer(tg.tensor([[1.0, 2.0]]))
    tensor([[11., 22.]], dtype=float32, operation=add)
    """

    def __init__(
        self, shape: int | Sequence[int], bias_init: init.Initializer | None = None, rng: Stream | None = None
    ) -> None:
        super().__init__()
        self.shape = sizes((shape,), "Bias", "a size of the shape")
        draw = bias_init or init.constant(0)
        self.bias = Parameter(draw(self.shape, rng or current_streams()["weights"]), name="bias")

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum."""
        if x.shape[1:] != self.shape:
            raise ShapeError(f"Bias: expected examples of shape {self.shape}, got an input of shape {x.shape}")
        return F.add(x, self.bias)

    def extra_repr(self) -> str:
        """Return the shape."""
        return ", ".join(map(str, self.shape))
