"""Pooling of images: the largest or the mean number of each window; and the reverse, images with larger pixels.

`tinygan.backend.pooling` says where the windows lie. The gradient of a maximum goes to the pixel that was the maximum,
which does not change with x nearby. So it is linear in gy, and its own gradient picks these pixels again. Sums are
linear, too: the gradient of a sum goes to all pixels of the window, and the gradient of that is a sum again.
"""

from __future__ import annotations

from typing import Any

from tinygan.backend import Array, Backend, wide
from tinygan.backend.convolutions import Pair
from tinygan.backend.pooling import Windows
from tinygan.engine import Operation, Tensor
from tinygan.errors import ArgumentError, ShapeError
from tinygan.functional.arguments import pair, real, with_shape

__all__ = ["avg_pool2d", "max_pool2d", "upsample"]


class _Pooling(Operation):
    """What the operations share."""

    fresh = True

    def __init__(self, windows: Windows) -> None:
        self.windows = windows


class MaxPool2d(_Pooling):
    """y = the maximum of each window of x;  gx = gy, added at the pixel that was the maximum of the window."""

    def forward(self, B: Backend, x: Array) -> Array:
        y, place = B.max_pool(x, self.windows)
        self.save(place)
        return y

    def backward(self, B: Backend, gy: Any, place: Any) -> Any:
        return B.max_pool_backward(gy, place, self.windows)


class MaxUnpool2d(_Pooling):
    """y = x, added at the pixel of each window that `place` names;  gx = gy at these pixels."""

    mixed = slice(1)

    def forward(self, B: Backend, x: Array, place: Array) -> Array:
        self.save(place)
        return B.max_pool_backward(x, place, self.windows)

    def backward(self, B: Backend, gy: Any, place: Any) -> Any:
        return B.winners(gy, place, self.windows), None


class Winners(_Pooling):
    """y = x at the pixel of each window that `place` names;  gx = gy, added at these pixels."""

    mixed = slice(1)

    def forward(self, B: Backend, x: Array, place: Array) -> Array:
        self.save(place)
        return B.winners(x, place, self.windows)

    def backward(self, B: Backend, gy: Any, place: Any) -> Any:
        return B.max_pool_backward(gy, place, self.windows), None


class AvgPool2d(_Pooling):
    """y = the sum of each window of x / its size;  gx = gy / size, added to each pixel of the window."""

    def forward(self, B: Backend, x: Array) -> Array:
        x = real(x)
        y = B.sum_pool(wide(x), self.windows)
        y /= self._sizes(B, y.dtype)
        return y.astype(x.dtype, copy=False)

    def backward(self, B: Backend, gy: Any) -> Any:
        gy = wide(gy)
        return B.sum_pool_backward(gy / self._sizes(B, gy.dtype), self.windows)

    def _sizes(self, B: Backend, dtype: Any) -> Any:
        """Return the size of each window with its padding, cut at the end of the padding; one number if all agree."""
        given = self.windows
        if all(
            (n - 1) * s + k <= size + 2 * p
            for n, s, k, size, p in zip(given.count, given.stride, given.size, given.image, given.padding, strict=True)
        ):
            return given.size[0] * given.size[1]
        rows, columns = (
            B.xp.minimum(k, size + 2 * p - s * B.xp.arange(n)).astype(dtype)
            for n, s, k, size, p in zip(given.count, given.stride, given.size, given.image, given.padding, strict=True)
        )
        return rows.reshape(-1, 1) * columns


class SumPool2d(_Pooling):
    """y = the sum of each window of x;  gx = gy, added to each pixel of the window."""

    def forward(self, B: Backend, x: Array) -> Array:
        return B.sum_pool(x, self.windows)

    def backward(self, B: Backend, gy: Any) -> Any:
        return B.sum_pool_backward(gy, self.windows)


class Upsample(_Pooling):
    """y = x, added to each pixel of its window;  gx = the sum of each window of gy."""

    def forward(self, B: Backend, x: Array) -> Array:
        return B.sum_pool_backward(x, self.windows)

    def backward(self, B: Backend, gy: Any) -> Any:
        return B.sum_pool(wide(gy), self.windows)


def max_pool2d(
    x: Any, size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0, ceil_mode: bool = False
) -> Tensor:
    """Return the largest number of each window of images.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        N images of C channels.
    size : int or pair of int
        The size of a window, in rows and in columns.
    stride : int or pair of int, optional
        The distance from one window to the next; by default `size`.
    padding : int or pair of int
        How far the first window begins before the image: at most half of `size`. There are no pixels, so nothing there
        is the largest number.
    ceil_mode : bool
        False: pixels that are left over at the lower and the right edge are not used. True: a further window, which is
        cut at the edge, takes them.

    Returns
    -------
    Tensor, shape (N, C, I, J)
        I = floor((H + 2 padding - size) / stride) + 1, J likewise; ceil in `ceil_mode`. A nan in a window is its
        largest number. At a tie the first pixel of the window gets the whole gradient.

    Raises
    ------
    ShapeError
        `x` has not four axes, or no window fits.
    ArgumentError
        A number is not in its range.

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor([[[[1.0, 5.0, 2.0], [3.0, 4.0, 0.0], [7.0, 1.0, 6.0]]]])
    >>> tg.functional.max_pool2d(x, 2)
    tensor([[[[5.]]]], dtype=float32)
    >>> tg.functional.max_pool2d(x, 2, ceil_mode=True)
    tensor([[[[5., 2.],
              [7., 6.]]]], dtype=float32)
    """
    return MaxPool2d(windows_of("max_pool2d", _image_shape("max_pool2d", x)[2:], size, stride, padding, ceil_mode))(x)


def avg_pool2d(
    x: Any, size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0, ceil_mode: bool = False
) -> Tensor:
    """Return the mean of each window of images.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
    size, stride, padding, ceil_mode
        As in `max_pool2d`, but the padding is pixels that are 0, and they count in the mean, as in PyTorch by default.
        A window that `ceil_mode` adds is divided by the size of what is left of it.

    Returns
    -------
    Tensor, shape (N, C, I, J)

    Raises
    ------
    ShapeError, ArgumentError
        As in `max_pool2d`.

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor([[[[1.0, 3.0, 2.0], [3.0, 5.0, 0.0]]]])
    >>> tg.functional.avg_pool2d(x, 2, ceil_mode=True)
    tensor([[[[3., 1.]]]], dtype=float32)
    """
    return AvgPool2d(windows_of("avg_pool2d", _image_shape("avg_pool2d", x)[2:], size, stride, padding, ceil_mode))(x)


def upsample(x: Any, factor: int | Pair) -> Tensor:
    """Make each pixel of images `factor` rows high and `factor` columns wide ("nearest" in PyTorch).

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
    factor : int or pair of int

    Returns
    -------
    Tensor, shape (N, C, factor H, factor W)

    Raises
    ------
    ShapeError, ArgumentError
        `x` has not four axes, or the factor is below 1.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.upsample(tg.tensor([[[[1.0, 2.0]]]]), 2)
    tensor([[[[1., 1., 2., 2.],
              [1., 1., 2., 2.]]]], dtype=float32)
    """
    shape, factors = _image_shape("upsample", x), pair(factor, "upsample", "factor", at_least=1)
    larger = shape[2] * factors[0], shape[3] * factors[1]
    return Upsample(Windows(factors, factors, (0, 0), larger, (shape[2], shape[3])))(x)


def check_padding(caller: str, size: Pair, padding: Pair) -> None:
    """Refuse a padding of more than half of the windows, as PyTorch does."""
    for p, k in zip(padding, size, strict=True):
        if 2 * p > k:
            raise ArgumentError(f"{caller}: padding={p} is more than half of size={k}: take at most {k // 2}")


def _image_shape(caller: str, x: Any) -> tuple[int, ...]:
    with_shape((x,), caller)
    shape: tuple[int, ...] = getattr(x, "shape", ())
    if len(shape) != 4:
        hint = "; one image becomes a batch as x.expand_dims(0)" if len(shape) == 3 else ""
        raise ShapeError(f"{caller}: expected images of shape (N, C, H, W), got shape {shape}{hint}")
    return shape


def windows_of(
    caller: str, image: tuple[int, ...], size: Any, stride: Any, padding: Any, ceil_mode: bool
) -> Windows:
    """Return the windows of a call, which fit into images of this height and width."""
    size = pair(size, caller, "size", at_least=1)
    stride = size if stride is None else pair(stride, caller, "stride", at_least=1)
    padding = pair(padding, caller, "padding")
    check_padding(caller, size, padding)
    count = []
    for what, n, k, s, p in zip(("rows", "columns"), image, size, stride, padding, strict=True):
        windows = (n + 2 * p - k + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (windows - 1) * s >= n + p:  # the last one would begin after the image
            windows -= 1
        if windows < 1 or n < 1:
            hint = f"take a size of at most {n + 2 * p}, or larger images" if n else "the images are empty"
            raise ShapeError(
                f"{caller}: a window of {k} {what} does not fit into images of {n} {what} with padding={p}: {hint}"
            )
        count.append(windows)
    return Windows(size, stride, padding, (image[0], image[1]), (count[0], count[1]))
