"""The products of a convolution on the CPU: `rows`, for every shape, or `numpy_fourier` where that multiplies less.

Images are kept as (channel, row, column, batch) in memory, and shown as (N, C, H, W) by a transposed view. So every
copy, and every elementwise operation that follows, runs along the batch.

The algorithm `rows` puts side by side only the columns that a kernel meets, not the rows. For a kernel of width 3, row
h of an image (one channel, one example) becomes the three rows of L[h], one for each column of the kernel::

    x[h]  a b c d      L[h]  0 a b c     columns that the kernel's column 0 meets, at 4 places
                             a b c d     ... column 1
                             b c d 0     ... column 2

Under each other, L[0], L[1], L[2], ... are one long matrix. The kernel at row o of the result meets the h rows from
o s - p on: a piece of that matrix, which needs no copy::

      L[0]  ┐
      L[1]  │ o = 0        y[:, o] = W L[o s - p : o s - p + h]        one product of full depth for each row o
      L[2]  ┘ ┐
      L[3]    │ o = 1      W: units x (h, channels, columns of the kernel); s: the stride, p: the padding
      L[4]    ┘

Rows of padding are no part of L; the columns of W for them are left out. So only 1 / h of the copies of `im2col` are
made. The weight's gradient is a sum over o: gW = sum of g[:, o] L[...]'. The image's gradient takes, for each row r of
the image, the rows o that met it, W' g[:, o], in one product, and adds its columns at their places.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygan.backend import numpy_fourier
from tinygan.backend.convolutions import Array, Convolutions, Pair, Shape, places


class NumpyConvolutions(Convolutions):
    """Fast versions of the three products, which take arrays in any memory order."""

    def conv(self, x: Array, w: Array, stride: Pair, padding: Pair) -> Array:
        """As the base class."""
        planes, (units, channels, h, k) = _planes(x), w.shape
        if _fourier_is_faster(planes.shape, w.shape, stride, padding, x.dtype):
            return _images(numpy_fourier.conv(planes, w, padding))
        rows, columns = places(planes.shape[1:3], (h, k), stride, padding)
        lines = _lines(planes, k, stride[1], padding[1], columns)
        kernels = w.transpose(0, 2, 1, 3).reshape(units, h * channels * k)
        y = np.empty((units, rows, columns * len(x)), x.dtype)
        for o in range(rows):
            met, elements = _met(lines, o, h, stride[0], padding[0])
            np.matmul(kernels[:, elements], met, out=y[:, o])
        return _images(y.reshape(units, rows, columns, len(x)))

    def conv_transpose(self, g: Array, w: Array, size: Pair, stride: Pair, padding: Pair) -> Array:
        """As the base class."""
        if not w.size:
            return super().conv_transpose(g, w, size, stride, padding)
        planes, (units, channels, h, k) = _planes(g), w.shape
        if _fourier_is_faster((channels, *size, len(g)), w.shape, stride, padding, g.dtype):
            return _images(numpy_fourier.conv_transpose(planes, w, size, padding))
        (s, t), (p, q), (rows, columns) = stride, padding, g.shape[2:]
        lines = planes.swapaxes(0, 1).reshape(rows * units, columns * len(g))
        # the rows of the kernel from the last to the first, as the rows o that met r go from the first to the last; if
        # one row of the kernel met r, so did every s-th
        upwards = [
            w[:, :, h - 1 - phase :: -s].transpose(2, 0, 1, 3).reshape(-1, channels * k) for phase in range(min(s, h))
        ]
        x = np.zeros((channels, *size, len(g)), g.dtype)
        for r in range(size[0]):
            first, last = max(0, -((h - 1 - r - p) // s)), min(rows, (r + p) // s + 1)
            if first >= last:
                continue
            skipped, phase = divmod(h - 1 - (r + p - s * first), s)
            kernels = upwards[phase][skipped * units :][: (last - first) * units]
            spread = (kernels.T @ lines[first * units : last * units]).reshape(channels, k, columns, len(g))
            for b in range(k):
                into, of = _columns(b - q, t, columns, size[1])
                x[:, r, into] += spread[:, b, of]
        return _images(x)

    def conv_weight(self, g: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
        """As the base class."""
        (units, rows, columns), channels, (h, k) = g.shape[1:], x.shape[1], kernel
        planes, slopes = _planes(x), _planes(g)
        if _fourier_is_faster(planes.shape, (units, channels, h, k), stride, padding, x.dtype):
            return numpy_fourier.conv_weight(slopes, planes, kernel, padding)
        lines = _lines(planes, k, stride[1], padding[1], columns)
        slopes = slopes.reshape(units, rows, columns * len(x))
        w = np.zeros((units, h * channels * k), x.dtype)
        for o in range(rows):
            met, elements = _met(lines, o, h, stride[0], padding[0])
            w[:, elements] += slopes[:, o] @ met.T
        return np.ascontiguousarray(w.reshape(units, h, channels, k).swapaxes(1, 2))


def _planes(x: Array) -> Array:
    """Return images (N, C, H, W) as a contiguous array (C, H, W, N)."""
    return np.ascontiguousarray(x.transpose(1, 2, 3, 0))


def _images(planes: Array) -> Array:
    """Return an array (C, H, W, N) as images (N, C, H, W) in the same memory."""
    return planes.transpose(3, 0, 1, 2)


def _lines(x: Array, k: int, step: int, padding: int, columns: int) -> Array:
    """Return L of the head of this file for x (C, H, W, N), with the shape (H, C k, columns N)."""
    channels, height, width, batch = x.shape
    out = np.empty((height, channels, k, columns, batch), x.dtype)
    for b in range(k):
        of, into = _columns(b - padding, step, columns, width)
        out[:, :, b, : into.start] = out[:, :, b, into.stop :] = 0
        out[:, :, b, into] = x[:, :, of].swapaxes(0, 1)
    return out.reshape(height, channels * k, columns * batch)


def _columns(shift: int, step: int, columns: int, width: int) -> tuple[slice, slice]:
    """Return the columns shift + step j that an image of `width` has, for j < `columns`, and these j."""
    first = min(max(0, -(shift // step)), columns)
    last = max(first, min(columns, (width - 1 - shift) // step + 1))
    begin = max(shift + step * first, 0)
    return slice(begin, begin + step * (last - first), step), slice(first, last)


def _met(lines: Array, o: int, h: int, step: int, padding: int) -> tuple[Array, slice]:
    """Return the piece of L that a kernel of `h` rows meets at row o of the result, and the elements that meet it."""
    height, depth, length = lines.shape
    top = o * step - padding
    first, last = max(top, 0), max(top, 0, min(top + h, height))
    piece = lines[first:last].reshape((last - first) * depth, length)
    return piece, slice((first - top) * depth, (last - top) * depth)


def _fourier_is_faster(planes: Shape, weight: Shape, stride: Pair, padding: Pair, dtype: Any) -> bool:
    """Return whether transforms save a sixth of the multiplications: their matrices are smaller, and so slower."""
    (channels, height, width, batch), (units, _, h, k) = planes, weight
    if stride != (1, 1) or dtype != np.float32:
        return False
    rows, columns = places((height, width), (h, k), stride, padding)
    length, across = height + padding[0], (width + padding[1]) // 2 + 1
    image, result = height * (width + 2 * length), rows * (columns + 2 * length)
    transforms = 2 * across * batch * (channels * image + units * result)
    products = 4 * across * length * units * channels * (batch + h * k + 30)  # 30: to write an element takes as long
    return 1.2 * (transforms + products) < units * channels * batch * columns * k * min(rows, height) * h
