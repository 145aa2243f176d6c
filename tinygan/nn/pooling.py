"""Layers of pooling and upsampling."""

from __future__ import annotations

from typing import Any

import tinygan.functional as F
from tinygan.engine import Tensor
from tinygan.functional.arguments import pair
from tinygan.functional.pooling import check_padding
from tinygan.nn.convolution import Size, short
from tinygan.nn.module import Module

__all__ = ["AvgPool2d", "MaxPool2d", "Upsample"]


class _Pooling(Module):
    """What the two layers share: all but the operation."""

    def __init__(self, size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False) -> None:
        super().__init__()
        name = type(self).__name__
        self.size = pair(size, name, "size", 1)
        self.stride = self.size if stride is None else pair(stride, name, "stride", 1)
        self.padding, self.ceil_mode = pair(padding, name, "padding"), ceil_mode
        check_padding(name, self.size, self.padding)

    def extra_repr(self) -> str:
        """Return the sizes, as PyTorch does."""
        parts: list[Any] = [short(self.size)]
        parts += [f"stride={short(self.stride)}"] if self.stride != self.size else []
        parts += [f"padding={short(self.padding)}"] if self.padding != (0, 0) else []
        return ", ".join(map(str, parts)) + (", ceil_mode=True" if self.ceil_mode else "")


class MaxPool2d(_Pooling):
    """The largest number of each window: see `functional.max_pool2d`.

    Parameters
    ----------
    size : int or pair of int
        The size of a window, in rows and in columns.
    stride : int or pair of int, optional
        The distance from one window to the next; by default `size`.
    padding : int or pair of int
        How far the first window begins before the image: at most half of `size`.
    ceil_mode : bool
        Whether a further window, which is cut at the edge, takes the pixels that are left over.

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> MaxPool2d(4, stride=2, ceil_mode=True)(tg.tensor(np.zeros((10, 32, 33, 33)))).shape
    (10, 32, 16, 16)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, I, J)."""
        return F.max_pool2d(x, self.size, self.stride, self.padding, self.ceil_mode)


class AvgPool2d(_Pooling):
    """The mean of each window: see `functional.avg_pool2d`.

    Parameters
    ----------
    size, stride, padding, ceil_mode
        As in `MaxPool2d`, but the padding is pixels that are 0, and they count in the mean.

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> AvgPool2d(2)(tg.tensor(np.zeros((10, 32, 8, 8)))).shape
    (10, 32, 4, 4)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, I, J)."""
        return F.avg_pool2d(x, self.size, self.stride, self.padding, self.ceil_mode)


class Upsample(Module):
    """Pixels that are larger by a factor: see `functional.upsample`.

    Parameters
    ----------
    factor : int or pair of int
        For rows and for columns.

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> Upsample(2)(tg.tensor(np.zeros((10, 32, 8, 8)))).shape
    (10, 32, 16, 16)
    """

    def __init__(self, factor: Size) -> None:
        super().__init__()
        self.factor = pair(factor, "Upsample", "factor", 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, factor H, factor W)."""
        return F.upsample(x, self.factor)

    def extra_repr(self) -> str:
        """Return the factor."""
        return str(short(self.factor))
