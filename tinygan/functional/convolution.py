"""Convolution and transposed convolution of images: three products, each differentiated by the other two.

`tinygan.backend.convolutions` says what the products are. Half precision is computed in single precision.
"""

from __future__ import annotations

from typing import Any

from tinygan.backend import Array, Backend, wide
from tinygan.backend.convolutions import Pair
from tinygan.engine import Operation, Tensor
from tinygan.errors import ArgumentError, ShapeError
from tinygan.functional.arguments import pair, with_shape

__all__ = ["conv2d", "conv_transpose2d"]


class _Product(Operation):
    """What the operations share: how far the kernel moves, and the zeros around the image."""

    fresh = True

    def __init__(self, stride: Pair, padding: Pair) -> None:
        self.stride, self.padding = stride, padding

    @property
    def _steps(self) -> tuple[Pair, Pair]:
        return self.stride, self.padding


class Conv2d(_Product):
    """y = conv(x, w) + b;  gx = conv_transpose(gy, w),  gw = conv_weight(gy, x),  gb = the sum of gy over images and
    places.
    """

    def check(self, x: Array, w: Array, b: Array | None) -> None:
        _check(self.name, x, w, b, channels=1, units=0)
        size = tuple([n + 2 * p for n, p in zip(x.shape[2:], self.padding, strict=True)])
        if any(n < k for n, k in zip(size, w.shape[2:], strict=True)):
            raise ShapeError(
                f"{self.name}: a kernel of {_by(w.shape[2:])} does not fit into an image of {_by(x.shape[2:])}, which "
                f"padding={self.padding} makes {_by(size)}: it needs {_by(w.shape[2:])} or more"
            )

    def forward(self, B: Backend, x: Array, w: Array, b: Array | None) -> Array:
        self.save(x if self.needs[1] else None, w if self.needs[0] else None)
        self.size, self.kernel = x.shape[2:], w.shape[2:]
        return _plus(B.conv(wide(x), wide(w), *self._steps), b, x.dtype)

    def backward(self, B: Backend, gy: Any, x: Any, w: Any) -> Any:
        needs_x, needs_w, needs_b = self.needs
        gy = B.by_unit(wide(gy))  # both products read it
        return (
            B.conv_transpose(gy, wide(w), self.size, *self._steps) if needs_x else None,
            B.conv_weight(gy, wide(x), self.kernel, *self._steps) if needs_w else None,
            B.sum(gy, (0, 2, 3)) if needs_b else None,
        )


class ConvTranspose2d(_Product):
    """y = conv_transpose(x, w) + b;  gx = conv(gy, w),  gw = conv_weight(x, gy),  gb = the sum of gy over images and
    places.
    """

    def __init__(self, size: Pair, stride: Pair, padding: Pair) -> None:
        super().__init__(stride, padding)
        self.size = size

    def check(self, x: Array, w: Array, b: Array | None) -> None:
        _check(self.name, x, w, b, channels=0, units=1)

    def forward(self, B: Backend, x: Array, w: Array, b: Array | None) -> Array:
        self.save(x if self.needs[1] else None, w if self.needs[0] else None)
        self.kernel = w.shape[2:]
        return _plus(B.conv_transpose(wide(x), wide(w), self.size, *self._steps), b, x.dtype)

    def backward(self, B: Backend, gy: Any, x: Any, w: Any) -> Any:
        needs_x, needs_w, needs_b = self.needs
        gy = wide(gy)
        return (
            B.conv(gy, wide(w), *self._steps) if needs_x else None,
            B.conv_weight(wide(x), gy, self.kernel, *self._steps) if needs_w else None,
            B.sum(gy, (0, 2, 3)) if needs_b else None,
        )


class ConvWeight(_Product):
    """w = conv_weight(g, x);  gg = conv(x, gw),  gx = conv_transpose(g, gw).

    The gradient of the other two with respect to their kernels.
    """

    def __init__(self, kernel: Pair, stride: Pair, padding: Pair) -> None:
        super().__init__(stride, padding)
        self.kernel = kernel

    def forward(self, B: Backend, g: Array, x: Array) -> Array:
        self.save(g if self.needs[1] else None, x if self.needs[0] else None)
        self.size = x.shape[2:]
        return B.conv_weight(wide(g), wide(x), self.kernel, *self._steps).astype(g.dtype, copy=False)

    def backward(self, B: Backend, gw: Any, g: Any, x: Any) -> Any:
        needs_g, needs_x = self.needs
        gw = wide(gw)
        return (
            B.conv(wide(x), gw, *self._steps) if needs_g else None,
            B.conv_transpose(wide(g), gw, self.size, *self._steps) if needs_x else None,
        )


def _plus(y: Array, b: Array | None, dtype: Any) -> Array:
    """Add the bias of each channel in place; return the sum in `dtype`."""
    if b is not None:
        y += wide(b).reshape(-1, 1, 1)
    return y.astype(dtype, copy=False)


def _by(size: Any) -> str:
    return "x".join(map(str, size))


def _check(caller: str, x: Array, w: Array, b: Array | None, channels: int, units: int) -> None:
    """Refuse shapes that do not fit; `channels` and `units` are the axes of the weight for the channels of x and y."""
    if w.shape[channels] != x.shape[1]:
        raise ShapeError(
            f"{caller}: the input of shape {x.shape} has {x.shape[1]} channels, its axis 1, but the weight of shape "
            f"{w.shape} takes {w.shape[channels]}, its axis {channels}"
        )
    if 0 in w.shape[2:]:
        raise ShapeError(f"{caller}: the kernels of a weight of shape {w.shape} are empty")
    if b is not None and b.shape != (w.shape[units],):
        raise ShapeError(
            f"{caller}: bias must have one number for each of the {w.shape[units]} channels of the result, but has "
            f"shape {b.shape}"
        )


def check_output_padding(extra: Pair, stride: Pair, caller: str) -> None:
    """Refuse an `output_padding` that is not below the stride."""
    if extra[0] >= stride[0] or extra[1] >= stride[1]:
        raise ArgumentError(
            f"{caller}: output_padding={extra} must be below stride={stride}: a convolution takes as many sizes to one "
            "size as its stride says, and output_padding chooses among them"
        )


def _images(caller: str, x: Any, weight: Any) -> None:
    """Refuse an input or a weight that has not four axes."""
    with_shape((x, weight), caller)
    for what, value, axes in (("input", x, "(N, C, H, W)"), ("weight", weight, "of four axes")):
        if getattr(value, "ndim", 0) != 4:
            hint = "; one image becomes a batch as x.expand_dims(0)" if getattr(value, "ndim", 0) == 3 else ""
            shape = getattr(value, "shape", ())
            raise ShapeError(f"{caller}: expected an {what} of shape {axes}, got shape {shape}{hint}")


def conv2d(x: Any, weight: Any, bias: Any = None, stride: int | Pair = 1, padding: int | Pair = 0) -> Tensor:
    """Lay each kernel on each place of each image, and sum the products of what meets.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        N images of C channels.
    weight : Tensor, shape (K, C, h, w)
        K kernels, one for each channel of the result.
    bias : Tensor, shape (K,), optional
        Added to each channel of the result.
    stride : int or pair of int
        The distance from one place of the kernel to the next, in rows and in columns.
    padding : int or pair of int
        Rows and columns of zeros around the image, on each side.

    Returns
    -------
    Tensor, shape (N, K, I, J)
        I = floor((H + 2 padding - h) / stride) + 1, J likewise. Pixels that are left over at the lower and the right
        edge are not used. The kernel is not turned around, as in PyTorch.

    Raises
    ------
    ShapeError
        Channels do not match, or the kernel is larger than the padded image.
    ArgumentError
        The stride is below 1, or the padding below 0.

    Examples
    --------
    >>> import tinygan as tg
    >>> x, w = tg.tensor([[[[1.0, 2.0, 4.0], [0.0, 1.0, 0.0]]]]), tg.tensor([[[[1.0, -1.0]]]])
    >>> tg.functional.conv2d(x, w)  # the differences of neighbours
    tensor([[[[-1., -2.],
              [-1.,  1.]]]], dtype=float32)
    """
    _images("conv2d", x, weight)
    stride, padding = pair(stride, "conv2d", "stride", 1), pair(padding, "conv2d", "padding")
    return Conv2d(stride, padding)(x, weight, bias)


def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    output_padding: int | Pair = 0,
) -> Tensor:
    """Let each pixel lay down its kernels, multiplied by it, and add up where they overlap: the adjoint of `conv2d`.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
    weight : Tensor, shape (C, K, h, w)
        For each channel of the input K kernels.
    bias : Tensor, shape (K,), optional
        Added to each channel of the result.
    stride : int or pair of int
        The distance of the kernels of two neighbouring pixels, in rows and in columns.
    padding : int or pair of int
        Rows and columns that are cut off at each side of the result.
    output_padding : int or pair of int, below the stride
        Rows and columns that are added below and to the right. `conv2d` with a stride takes images of several sizes to
        one size; this chooses among them.

    Returns
    -------
    Tensor, shape (N, K, I, J)
        I = (H - 1) stride - 2 padding + h + output_padding, J likewise.

    Raises
    ------
    ShapeError
        Channels do not match, or nothing is left of the result.
    ArgumentError
        A number is not in its range.

    Examples
    --------
    >>> import tinygan as tg
    >>> x, w = tg.tensor([[[[1.0, 10.0]]]]), tg.tensor([[[[1.0, 2.0, 3.0]]]])
    >>> tg.functional.conv_transpose2d(x, w, stride=2)
    tensor([[[[ 1.,  2., 13., 20., 30.]]]], dtype=float32)
    """
    _images("conv_transpose2d", x, weight)
    stride, padding = pair(stride, "conv_transpose2d", "stride", 1), pair(padding, "conv_transpose2d", "padding")
    extra = pair(output_padding, "conv_transpose2d", "output_padding")
    check_output_padding(extra, stride, "conv_transpose2d")
    rows, columns = (
        (n - 1) * s - 2 * p + k + e
        for n, s, p, k, e in zip(x.shape[2:], stride, padding, weight.shape[2:], extra, strict=True)
    )
    if rows < 1 or columns < 1:
        raise ShapeError(
            f"conv_transpose2d: an input of {_by(x.shape[2:])}, a kernel of {_by(weight.shape[2:])}, stride={stride} "
            f"and padding={padding} leave {rows} rows and {columns} columns: take less padding"
        )
    return ConvTranspose2d((rows, columns), stride, padding)(x, weight, bias)
