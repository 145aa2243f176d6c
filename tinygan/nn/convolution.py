"""Layers of images: convolution, transposed convolution, and convolution with maxout units."""

from __future__ import annotations

from typing import Any

import tinygan.functional as F
from tinygan.backend import Shape, Stream
from tinygan.checks import integer
from tinygan.engine import Tensor
from tinygan.functional.arguments import pair
from tinygan.functional.convolution import check_output_padding
from tinygan.nn import init
from tinygan.nn.module import Module, Parameter

__all__ = ["Conv2d", "ConvTranspose2d", "MaxoutConv2d"]

Size = int | tuple[int, int]


def short(size: tuple[int, int]) -> Any:
    """Return a pair as a user would write it: one number if both are equal."""
    return size[0] if size[0] == size[1] else size


class _Convolution(Module):
    """What the two layers share: all but the order of the weight's axes and the operation."""

    output_padding: tuple[int, int] = (0, 0)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size,
        bias: bool,
        weight_init: init.Initializer | None,
        bias_init: init.Initializer | None,
        rng: Stream | None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.in_channels = integer(in_channels, f"{name}: in_channels", at_least=1)
        self.out_channels = integer(out_channels, f"{name}: out_channels", at_least=1)
        self.kernel_size = pair(kernel_size, name, "kernel_size", 1)
        self.stride = pair(stride, name, "stride", 1)
        self.padding = pair(padding, name, "padding")
        self.weight = Parameter(init.drawn(weight_init, init.fan_in(), self._weight_shape(), rng), name="weight")
        self.bias = None
        if bias:
            self.bias = Parameter(init.drawn(bias_init, init.constant(0), (self.out_channels,), rng), name="bias")

    def _weight_shape(self) -> Shape:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Return the channels and the sizes, as PyTorch does."""
        parts = [self.in_channels, self.out_channels, f"kernel_size={short(self.kernel_size)}"]
        parts += [f"stride={short(self.stride)}"] if self.stride != (1, 1) else []
        for name in ("padding", "output_padding"):
            value = getattr(self, name)
            parts += [f"{name}={short(value)}"] if value != (0, 0) else []
        return ", ".join(map(str, parts)) + ("" if self.bias is not None else ", bias=False")


class Conv2d(_Convolution):
    """A convolution of images: see `functional.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding : int or pair of int
        For rows and for columns.
    bias : bool
        Whether to add a bias to each channel, which starts at 0.
    weight_init, bias_init, rng
        As in `Linear`; by default weights are U(-1/sqrt(n), 1/sqrt(n)), where each place of the result has
        n = in_channels h w inputs.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels, h, w)
    bias : Parameter, shape (out_channels,), or None

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> layer = Conv2d(3, 64, 4, stride=2, padding=1)
    >>> layer(tg.tensor(np.zeros((10, 3, 32, 32), "float32"))).shape
    (10, 64, 16, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        bias: bool = True,
        weight_init: init.Initializer | None = None,
        bias_init: init.Initializer | None = None,
        rng: Stream | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, bias, weight_init, bias_init, rng
        )

    def _weight_shape(self) -> Shape:
        return self.out_channels, self.in_channels, *self.kernel_size

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, I, J)."""
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)


class ConvTranspose2d(_Convolution):
    """A transposed convolution, which makes images larger if the stride is above 1: see `functional.conv_transpose2d`.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, output_padding : int or pair of int
        For rows and for columns; `output_padding` is below the stride.
    bias : bool
        Whether to add a bias to each channel, which starts at 0.
    weight_init, bias_init, rng
        As in `Linear`; by default weights are U(-1/sqrt(n), 1/sqrt(n)) with n = out_channels h w, as in PyTorch.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels, h, w)
    bias : Parameter, shape (out_channels,), or None

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> layer = ConvTranspose2d(64, 3, 4, stride=2, padding=1)
    >>> layer(tg.tensor(np.zeros((10, 64, 16, 16), "float32"))).shape
    (10, 3, 32, 32)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        bias: bool = True,
        weight_init: init.Initializer | None = None,
        bias_init: init.Initializer | None = None,
        rng: Stream | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, bias, weight_init, bias_init, rng
        )
        self.output_padding = pair(output_padding, "ConvTranspose2d", "output_padding")
        check_output_padding(self.output_padding, self.stride, "ConvTranspose2d")

    def _weight_shape(self) -> Shape:
        return self.in_channels, self.out_channels, *self.kernel_size

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, I, J)."""
        return F.conv_transpose2d(x, self.weight, self.bias, self.stride, self.padding, self.output_padding)


class MaxoutConv2d(Conv2d):
    """A convolution whose units are each the maximum of several channels (Goodfellow et al., 2013).

    Parameters
    ----------
    in_channels, units, pieces : int
        The convolution has units * pieces channels. Unit u is the largest of the consecutive channels u * pieces, ...,
        u * pieces + pieces - 1.
    kernel_size, stride, padding, bias, weight_init, bias_init, rng
        As in `Conv2d`.

    Attributes
    ----------
    weight : Parameter, shape (units * pieces, in_channels, h, w)
    bias : Parameter, shape (units * pieces,), or None

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> layer = MaxoutConv2d(3, 32, 2, kernel_size=8, padding=4)
    >>> layer(tg.tensor(np.zeros((10, 3, 32, 32), "float32"))).shape
    (10, 32, 33, 33)
    """

    def __init__(
        self,
        in_channels: int,
        units: int,
        pieces: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        bias: bool = True,
        weight_init: init.Initializer | None = None,
        bias_init: init.Initializer | None = None,
        rng: Stream | None = None,
    ) -> None:
        units = integer(units, "MaxoutConv2d: units", at_least=1)
        pieces = integer(pieces, "MaxoutConv2d: pieces", at_least=1)
        channels = units * pieces
        super().__init__(in_channels, channels, kernel_size, stride, padding, bias, weight_init, bias_init, rng)
        self.units, self.pieces = units, pieces

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, units, I, J)."""
        return F.maxout(super().forward(x), self.pieces, axis=1)

    def extra_repr(self) -> str:
        """Return the channels and the sizes."""
        _, _, rest = super().extra_repr().split(", ", 2)
        return f"{self.in_channels}, {self.units}, pieces={self.pieces}, {rest}"
