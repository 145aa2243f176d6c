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
made. The image's gradient takes, for each row r of the image, the rows o that met it, W' g[:, o], in one product, and
adds its columns at their places. The weight's gradient takes, for each row a of the kernel, all that it met, the rows
a - p + o s of L, in one product. So L is made here of the rows of one phase of the stride at a time, side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygan.backend import numpy_fourier
from tinygan.backend.convolutions import Array, Convolutions, Pair, Shape, places

_NARROW = 64  # rows of L[h] from which on one product for each row of the kernel is faster than one for each of y


class NumpyConvolutions(Convolutions):
    """Fast versions of the three products, which take arrays in any memory order."""

    def conv(self, x: Array, w: Array, stride: Pair, padding: Pair) -> Array:
        """As the base class."""
        planes, (units, channels, h, k) = as_planes(x), w.shape
        if _fourier_is_faster(planes.shape, w.shape, stride, padding, x.dtype):
            return as_images(numpy_fourier.conv(planes, w, padding))
        rows, columns = places(planes.shape[1:3], (h, k), stride, padding)
        lines = _lines(planes, k, stride[1], padding[1], columns)
        kernels = _numbers(_items(w).swapaxes(1, 2), w).reshape(units, h * channels * k)
        y = np.empty((units, rows, columns * len(x)), x.dtype)
        for o in range(rows):
            met, elements = _met(lines, o, h, stride[0], padding[0])
            np.matmul(kernels[:, elements], met, out=y[:, o])
        return as_images(y.reshape(units, rows, columns, len(x)))

    def conv_transpose(self, g: Array, w: Array, size: Pair, stride: Pair, padding: Pair) -> Array:
        """As the base class."""
        if not w.size:
            return super().conv_transpose(g, w, size, stride, padding)
        planes, (units, channels, h, k) = as_planes(g), w.shape
        if _fourier_is_faster((channels, *size, len(g)), w.shape, stride, padding, g.dtype):
            return as_images(numpy_fourier.conv_transpose(planes, w, size, padding))
        (s, t), (p, q), (rows, columns) = stride, padding, g.shape[2:]
        lines = planes.swapaxes(0, 1).reshape(rows * units, columns * len(g))
        # the rows of the kernel from the last to the first, as the rows o that met r go from the first to the last; if
        # one row of the kernel met r, so did every s-th
        items = _items(w).transpose(2, 0, 1)
        upwards = [
            _numbers(items[last::-s], w).reshape(-1, channels * k) for last in range(h - 1, max(h - 1 - s, -1), -1)
        ]
        whole = all(
            k >= s and (n - 1) * s + k >= m + p
            for k, s, n, m, p in zip((h, k), stride, g.shape[2:], size, padding, strict=True)
        )
        x = (np.empty if whole else np.zeros)((channels, *size, len(g)), g.dtype)  # whole: each pixel met a kernel
        wide = columns + (k - 1) // t
        line = np.empty((channels, wide, len(g)), g.dtype)
        for r in range(size[0]):
            first, last = max(0, -((h - 1 - r - p) // s)), min(rows, (r + p) // s + 1)
            if first >= last:
                continue
            skipped, phase = divmod(h - 1 - (r + p - s * first), s)
            kernels = upwards[phase][skipped * units :][: (last - first) * units]
            spread = (kernels.T @ lines[first * units : last * units]).reshape(channels, k, columns, len(g))
            for b in range(min(t, k)):  # every t-th column of the kernel meets the same columns, one place further
                line[:, :columns], line[:, columns:] = spread[:, b], 0
                for further, c in enumerate(range(b + t, k, t), 1):
                    line[:, further : further + columns] += spread[:, c]
                into, of = _columns(b - q, t, wide, size[1])
                x[:, r, into] = line[:, of]
        return as_images(x)

    def conv_weight(self, g: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
        """As the base class."""
        (units, rows, columns), channels, (h, k) = g.shape[1:], x.shape[1], kernel
        planes, slopes = as_planes(x), as_planes(g)
        if _fourier_is_faster(planes.shape, (units, channels, h, k), stride, padding, x.dtype):
            return numpy_fourier.conv_weight(slopes, planes, kernel, padding)
        slopes, (s, p) = slopes.reshape(units, rows, columns * len(x)), (stride[0], padding[0])
        w = np.zeros((units, h, channels * k), x.dtype)
        if channels * k < _NARROW:
            lines, all_rows = _lines(planes, k, stride[1], padding[1], columns), w.reshape(units, h * channels * k)
            for o in range(rows):
                met, elements = _met(lines, o, h, s, p)
                all_rows[:, elements] += slopes[:, o] @ met.T
        else:
            for phase in range(min(s, h)):
                lines = _lines(planes[:, (phase - p) % s :: s], k, stride[1], padding[1], columns, rows_first=False)
                for a in range(phase, h, s):
                    of, into = _columns(a - p, s, rows, planes.shape[1])
                    first, count = of.start // s, into.stop - into.start
                    met = lines[:, first : first + count].reshape(channels * k, count * columns * len(x))
                    np.matmul(slopes[:, into].reshape(units, count * columns * len(x)), met.T, out=w[:, a])
        return _numbers(_items(w.reshape(units, h, channels, k)).swapaxes(1, 2), w).reshape(units, channels, h, k)


def as_planes(x: Array) -> Array:
    """Return images (N, C, H, W) as a contiguous array (C, H, W, N)."""
    return np.ascontiguousarray(x.transpose(1, 2, 3, 0))


def as_images(planes: Array) -> Array:
    """Return an array (C, H, W, N) as images (N, C, H, W) in the same memory."""
    return planes.transpose(3, 0, 1, 2)


def _items(w: Array) -> Array:
    """Return w (..., k) with each row of k numbers as one item, which NumPy moves at once."""
    return np.ascontiguousarray(w).view(f"V{w.shape[-1] * w.itemsize}")[..., 0]


def _numbers(items: Array, w: Array) -> Array:
    """Return `_items` of w, in another order, as numbers again; the rows follow one another along the last axis."""
    return np.ascontiguousarray(items).view(w.dtype)


def _lines(x: Array, k: int, step: int, padding: int, columns: int, rows_first: bool = True) -> Array:
    """Return L of the head of this file for x (C, H, W, N), (H, C k, columns N) or, for the weight, (C k, H, ...)."""
    channels, height, width, batch = x.shape
    sizes = (height, channels, k) if rows_first else (channels, k, height)
    out = np.empty((*sizes, columns, batch), x.dtype)
    for b, part in enumerate(out.transpose(2, 1, 0, 3, 4) if rows_first else out.swapaxes(0, 1)):
        of, into = _columns(b - padding, step, columns, width)
        part[:, :, : into.start] = part[:, :, into.stop :] = 0
        part[:, :, into] = x[:, :, of]
    shape = (height, channels * k) if rows_first else (channels * k, height)
    return out.reshape(*shape, columns * batch)


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
