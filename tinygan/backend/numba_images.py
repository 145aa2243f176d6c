"""`NumbaImages`: convolution with fewer multiplications, batch normalization, and pooling, in loops of numba.

DCGAN's kernels, 4x4 with stride 2, are computed by Winograd's algorithm. Along one axis, and for the pixels of one
parity, such a kernel is g0, g1 with stride 1. Two neighbouring results share a pixel, so 3 products do instead of 4::

    y0 = d0 g0 + d1 g1      m0 = (d0 - d1) g0        y0 = m0 + m1
    y1 = d1 g0 + d2 g1      m1 = d1 (g0 + g1)        y1 = m1 + m2
                            m2 = (d2 - d1) g1

Along both axes, 9 products do instead of 16. Here each d is a matrix (channels and phases) x (tiles and examples), each
g a matrix of weights, and each product one of matrices, for some rows of tiles at a time. The other two products of a
convolution are the adjoints: the same loops from the end to the beginning. Each result is as exact as NumPy's, but an
infinite pixel makes its whole tile nan.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygan.backend import image_loops as loops
from tinygan.backend.convolutions import Array, Pair, Shape, places
from tinygan.backend.numpy import NumpyBackend
from tinygan.backend.numpy_convolution import as_images, as_planes
from tinygan.backend.numpy_layers import given_numbers, in_memory_order
from tinygan.backend.pooling import Windows

_LENGTH = 256  # columns of a product from which on OpenBLAS is fast
_CHANNELS = 16  # below, the transforms take longer than the products that they save
_SHORT = 16  # numbers of a channel side by side from which on loops over them pay


class NumbaImages(NumpyBackend):
    """The overridden part of `NumbaBackend` for images; the tests compare each method with the portable one."""

    # ------------------------------------------------------------------ convolution

    def conv(self, x: Array, w: Array, stride: Pair, padding: Pair) -> Array:
        """As the base class."""
        if not _is_dcgan(x, w.shape, stride, padding) or w.shape[1] < _CHANNELS:
            return super().conv(x, w, stride, padding)
        tiles = _Tiles(x, w.shape, places(x.shape[2:], (4, 4), stride, padding), padding)
        planes, kernels = as_planes(x), tiles.kernels(w)
        y = np.empty((len(w), *tiles.size, len(x)), x.dtype)
        for first, top in tiles.blocks():
            loops.conv_tiles(planes, top, padding[1], tiles.room, tiles.v)
            tiles.multiply(kernels, tiles.pixels, tiles.results, first)
            loops.conv_results(tiles.m, first, y)
        return as_images(y)

    def conv_transpose(self, g: Array, w: Array, size: Pair, stride: Pair, padding: Pair) -> Array:
        """As the base class."""
        if not _is_dcgan(g, w.shape, stride, padding):
            return super().conv_transpose(g, w, size, stride, padding)
        tiles = _Tiles(g, w.shape, g.shape[2:], padding)
        slopes, kernels = as_planes(g), tiles.kernels(w).swapaxes(2, 3)
        met = all(4 * -(-n // 2) + 2 - p >= m for n, p, m in zip(tiles.size, padding, size, strict=True))
        x = (np.empty if met else np.zeros)((w.shape[1], *size, len(g)), g.dtype)
        for first, top in tiles.blocks():
            loops.conv_slopes(slopes, first, tiles.m)
            tiles.multiply(kernels, tiles.results, tiles.pixels, first)
            loops.conv_pixels(tiles.v, top, padding[1], tiles.room, x, first == 0)
        return as_images(x)

    def conv_weight(self, g: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
        """As the base class."""
        shape = g.shape[1], x.shape[1], *kernel
        if not _is_dcgan(g, shape, stride, padding) or x.shape[1] < _CHANNELS:
            return super().conv_weight(g, x, kernel, stride, padding)
        tiles = _Tiles(g, shape, g.shape[2:], padding, whole=True)
        loops.conv_tiles(as_planes(x), -padding[0], padding[1], tiles.room, tiles.v)
        loops.conv_slopes(as_planes(g), 0, tiles.m)
        u = np.empty((3, 3, shape[0], 4 * shape[1]), x.dtype)
        for r, length in ((slice(2), tiles.rows), (slice(2, 3), g.shape[2] // 2)):  # of an odd last row, r is 0 or 1
            columns = length * tiles.length
            np.matmul(tiles.results[r, :, :, :columns], tiles.pixels[r, :, :, :columns].swapaxes(2, 3), out=u[r])
        w = np.empty(shape, x.dtype)
        loops.conv_weights(u.reshape(3, 3, *shape[:2], 2, 2), w)
        return w

    # ------------------------------------------------------------------ activations

    def relu(self, x: Array) -> Array:
        """As the base class, in the order of memory."""
        if x.flags.c_contiguous:
            return super().relu(x)
        (z,), back, _ = in_memory_order(x)
        return back(self.relu(z))

    def relu_backward(self, gy: Array, y: Array) -> Array:
        """As the base class, in the order of memory."""
        if y.flags.c_contiguous or gy.shape != y.shape:
            return super().relu_backward(gy, y)
        (a, g), back, _ = in_memory_order(y, gy)
        return back(self.relu_backward(g, a))

    def leaky(self, x: Array, slope: Any) -> tuple[Array, Array]:
        """As the base class, in the order of memory."""
        if x.flags.c_contiguous:
            return super().leaky(x, slope)
        (z,), back, _ = in_memory_order(x)
        y, positive = self.leaky(z, slope)
        return back(y), back(positive)

    def leaky_backward(self, gy: Array, positive: Array, slope: Any) -> Array:
        """As the base class, in the order of memory."""
        if positive.flags.c_contiguous or gy.shape != positive.shape:
            return super().leaky_backward(gy, positive, slope)
        (mask, g), back, _ = in_memory_order(positive, gy)
        return back(self.leaky_backward(g, mask, slope))

    # ------------------------------------------------------------------ batch normalization

    def batch_norm(self, x: Array, gain: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
        """As the base class: three passes over a channel, of which the last two find it in the cache."""
        (z,), back = _channels(x)
        if not _fits(z):
            return super().batch_norm(x, gain, bias, eps)
        y, (mean, variance) = np.empty_like(z), np.empty((2, x.shape[1]), x.dtype)
        loops.batch_norm(z, given_numbers(gain, 1, x), given_numbers(bias, 0, x), eps, y, mean, variance)
        return back(y), mean, variance

    def batch_norm_backward(
        self, gy: Array, x: Array, gain: Array, mean: Array, variance: Array, eps: float
    ) -> tuple[Array, Array, Array]:
        """As the base class, in two passes over a channel."""
        (z, g), back = _channels(x, gy)
        if not _fits(z) or gy.dtype != x.dtype:
            return super().batch_norm_backward(gy, x, gain, mean, variance, eps)
        gx, (gg, gb) = np.empty_like(z), np.empty((2, x.shape[1]), x.dtype)
        loops.batch_norm_backward(g, z, given_numbers(gain, 1, x), mean, 1 / np.sqrt(variance + eps), gx, gg, gb)
        return back(gx), gg, gb

    # ------------------------------------------------------------------ pooling

    def max_pool(self, x: Array, windows: Windows) -> tuple[Array, Array]:
        """As the base class, for images of which the batch is the last axis in memory."""
        planes = x.transpose(1, 2, 3, 0)
        if not planes.flags.c_contiguous or x.dtype.char not in "fd" or not x.size:
            return super().max_pool(x, windows)
        y = np.empty((x.shape[1], *windows.count, len(x)), x.dtype)
        place = np.empty(y.shape, np.min_scalar_type(math.prod(windows.size) - 1))
        loops.max_pool(planes, windows.size, windows.stride, windows.padding, y, place)
        return as_images(y), as_images(place)


class _Tiles:
    """Memory for some rows of tiles of 2x2 results, where `multiply` goes from `pixels` to `results`, or back.

    Attributes
    ----------
    rows, length : int
        So many rows of tiles; numbers of one of them.
    v, pixels : array (3, 3, C, 2, 2, rows, T, N) and (3, 3, 4 C, rows T N)
        Transformed pixels, two views of the same memory.
    m, results : array (3, 3, K, rows, T, N) and (3, 3, K, rows T N)
        Transformed results, two views of the same memory.
    room : array (3, 4 T + 2, N)
        For the pixels of one channel, one phase and one row of tiles.
    """

    def __init__(self, x: Array, weight: Shape, size: Shape, padding: Pair, whole: bool = False) -> None:
        batch, (units, channels, *_), (rows, tiles) = len(x), weight, [-(-n // 2) for n in size]
        self.size, self.padding, self.length = size, padding, tiles * batch
        few = -(-_LENGTH // max(self.length, 1))
        self.rows = rows if whole else 1 if size[1] % 2 else max(1, min(rows, few))
        self.v = (np.zeros if size[1] % 2 else np.empty)((3, 3, channels, 2, 2, self.rows, tiles, batch), x.dtype)
        self.m = np.empty((3, 3, units, self.rows, tiles, batch), x.dtype)
        self.pixels = self.v.reshape(3, 3, 4 * channels, -1)
        self.results = self.m.reshape(3, 3, units, -1)
        self.room = np.empty((3, 4 * tiles + 2, batch), x.dtype)
        self._parts = [(slice(3), self.rows * self.length)]
        if self.rows == 1 and size[1] % 2:  # in the last tile there is no second column of results
            self._parts = [(slice(2), self.length), (slice(2, 3), self.length - batch)]

    def kernels(self, w: Array) -> Array:
        """Return the transformed weights (3, 3, K, 4 C)."""
        u = np.empty((3, 3, *w.shape[:2], 2, 2), w.dtype)
        loops.conv_kernels(np.ascontiguousarray(w), u)
        return u.reshape(3, 3, len(w), -1)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield the first row of results of each block of tiles, and the row of pixels where it begins."""
        for first in range(0, self.size[0], 2 * self.rows):
            yield first, 2 * first - self.padding[0]

    def multiply(self, kernels: Array, source: Array, out: Array, first: int) -> None:
        """Set `out` to the products, without those of results beyond the image."""
        r = slice(2 if self.rows == 1 and first + 1 == self.size[0] else 3)
        for e, length in self._parts:
            np.matmul(kernels[r, e], source[r, e, :, :length], out=out[r, e, :, :length])
        out[r.stop :] = 0


def _is_dcgan(x: Array, weight: Shape, stride: Pair, padding: Pair) -> bool:
    """Return whether the kernels are 4x4 with stride 2, for numbers that a loop can take."""
    return stride == (2, 2) and weight[2:] == (4, 4) and x.dtype.char in "fd" and 0 not in (*x.shape, *weight)


def _channels(*arrays: Array) -> tuple[list[Array], Any]:
    """Return arrays (N, C, ...) as (a, C, b) in the order of memory of the first, and the way back."""
    views, back, order = in_memory_order(*arrays)
    place, sizes = order.index(1), views[0].shape
    shape = math.prod(sizes[:place]), sizes[place], math.prod(sizes[place + 1 :])
    return [view.reshape(shape) for view in views], back


def _fits(z: Array) -> bool:
    """Return whether loops over z (a, C, b) are faster than NumPy's passes."""
    return z.dtype.char in "fd" and z.size > 0 and z.shape[2] >= _SHORT
