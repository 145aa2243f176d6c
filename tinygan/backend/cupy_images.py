"""Convolution and pooling on a GPU: the kernels of ``images.cu``, and products of matrices by cuBLAS.

A convolution is one product: `im2col` copies each window of the images into a column of a matrix, where the kernels are
the rows of the other matrix. Its adjoint goes the same way back, with `col2im`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygan.backend.base import Array, Shape
from tinygan.backend.convolutions import Convolutions, Pair, places
from tinygan.backend.kernels import LIMIT, Kernels
from tinygan.backend.pooling import Pooling, Windows


class CupyImages(Convolutions, Pooling):
    """The methods of images for float32; all else is computed by the portable methods."""

    product: Any

    @property
    def kernels(self) -> Kernels:
        """The kernels, which the backend compiles."""
        raise NotImplementedError

    # ------------------------------------------------------------------ convolution

    def conv(self, x: Array, w: Array, stride: Pair, padding: Pair) -> Array:
        """As the base class, as one product of matrices."""
        size = places(x.shape[2:], w.shape[2:], stride, padding)
        if not self._fit(x.dtype, w.dtype, (len(x), w.shape[1], *w.shape[2:], *size), x.shape, w.shape):
            return super().conv(x, w, stride, padding)
        columns = self._columns(x, w.shape[2:], size, stride, padding)
        y = self.product(w.reshape(len(w), -1), columns)
        return in_c_order(y.reshape(len(w), len(x), *size).transpose(1, 0, 2, 3))

    def conv_transpose(self, g: Array, w: Array, size: Pair, stride: Pair, padding: Pair) -> Array:
        """As the base class, as one product of matrices."""
        shape = (len(g), w.shape[1], *size)
        if not self._fit(g.dtype, w.dtype, (len(g), *w.shape[1:], *g.shape[2:]), shape, g.shape, w.shape):
            return super().conv_transpose(g, w, size, stride, padding)
        columns = self.product(w.reshape(len(w), -1).T, self._units(g))
        x, numbers = self.xp.empty(shape, g.dtype), (*size, *g.shape[2:], *w.shape[2:], *stride, *padding)
        self.kernels("col2im", x.size, columns, x, *map(np.uint32, (x.size, *shape[:2], *numbers)))
        return x

    def conv_weight(self, g: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
        """As the base class, as one product of matrices."""
        if not self._fit(g.dtype, x.dtype, (len(x), x.shape[1], *kernel, *g.shape[2:]), x.shape, g.shape):
            return super().conv_weight(g, x, kernel, stride, padding)
        columns = self._columns(x, kernel, g.shape[2:], stride, padding)
        return self.product(self._units(g), columns.T).reshape(g.shape[1], x.shape[1], *kernel)

    def _fit(self, dtype: Any, other: Any, *shapes: Shape) -> bool:
        """Return whether the arrays of one convolution are float32, and neither empty nor too large for 32 bits."""
        return dtype == other == np.float32 and all(0 < math.prod(shape) < LIMIT for shape in shapes)

    def _columns(self, x: Array, kernel: Shape, size: Shape, stride: Pair, padding: Pair) -> Array:
        """Return the windows of images as the columns (C h k, N I J) of a matrix."""
        n, c, *image = x.shape
        columns = self.xp.empty((c * math.prod(kernel), n * math.prod(size)), x.dtype)
        numbers = columns.size, n, c, *image, *size, *kernel, *stride, *padding
        self.kernels("im2col", columns.size, in_c_order(x), columns, *map(np.uint32, numbers))
        return columns

    def by_unit(self, g: Array) -> Array:
        """As the base class, with the units first."""
        return in_c_order(g.transpose(1, 0, 2, 3)).transpose(1, 0, 2, 3)

    def _units(self, g: Array) -> Array:
        """Return an array (N, K, I, J) as the matrix (K, N I J)."""
        return self.by_unit(g).transpose(1, 0, 2, 3).reshape(g.shape[1], -1)

    # ------------------------------------------------------------------ pooling

    def max_pool(self, x: Array, windows: Windows) -> tuple[Array, Array]:
        """As the base class, in one kernel."""
        x = in_c_order(x)
        if not self.kernels.take(x) or math.prod(windows.size) > 256:
            return super().max_pool(x, windows)
        y = self.xp.empty(windows.shape(x), x.dtype)
        place = self.xp.empty(y.shape, np.uint8)
        self._launch("max_pool", windows, y.size, x, y, place)
        return y, place

    def max_pool_backward(self, gy: Array, place: Array, windows: Windows) -> Array:
        """As the base class, in one kernel."""
        gy = in_c_order(gy)
        shape = *gy.shape[:2], *windows.image
        if not (self.kernels.take(gy) and place.dtype == np.uint8 and math.prod(shape) < LIMIT):
            return super().max_pool_backward(gy, place, windows)
        gx = self.xp.empty(shape, gy.dtype)
        self._launch("max_pool_backward", windows, gx.size, gy, place, gx)
        return gx

    def winners(self, x: Array, place: Array, windows: Windows) -> Array:
        """As the base class, in one kernel."""
        x = in_c_order(x)
        if not (self.kernels.take(x) and place.dtype == np.uint8):
            return super().winners(x, place, windows)
        y = self.xp.empty(place.shape, x.dtype)
        self._launch("winners", windows, y.size, x, place, y)
        return y

    def sum_pool(self, x: Array, windows: Windows) -> Array:
        """As the base class, in one kernel."""
        x = in_c_order(x)
        if not self.kernels.take(x):
            return super().sum_pool(x, windows)
        y = self.xp.empty(windows.shape(x), x.dtype)
        self._launch("sum_pool", windows, y.size, x, y)
        return y

    def sum_pool_backward(self, gy: Array, windows: Windows) -> Array:
        """As the base class, in one kernel."""
        gy = in_c_order(gy)
        shape = *gy.shape[:2], *windows.image
        if not (self.kernels.take(gy) and math.prod(shape) < LIMIT):
            return super().sum_pool_backward(gy, windows)
        gx = self.xp.empty(shape, gy.dtype)
        self._launch("sum_pool_backward", windows, gx.size, gy, gx)
        return gx

    def _launch(self, name: str, windows: Windows, size: int, *arrays: Array) -> None:
        numbers = *windows.image, *windows.count, *windows.size, *windows.stride, *windows.padding
        self.kernels(name, size, *arrays, *map(np.uint32, (size, *numbers)))


def in_c_order(x: Array) -> Array:
    """Return an array as the kernels read it; one in C order is not copied."""
    return x if x.flags.c_contiguous else x.copy(order="C")
