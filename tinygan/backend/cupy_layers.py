"""Batch normalization and activations with a slope on a GPU: the kernels of ``layers.cu``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygan.backend.base import Array
from tinygan.backend.cupy_images import in_c_order
from tinygan.backend.kernels import NULL
from tinygan.backend.layers import LayerKernels


class CupyLayers(LayerKernels):
    """The methods of `LayerKernels` that are one kernel for float32; all else is computed by the portable methods."""

    kernels: Any
    _alike: Any
    _map: Any

    # ------------------------------------------------------------------ activations

    def leaky(self, x: Array, slope: Any) -> tuple[Array, Array]:
        """As the base class, in one kernel."""
        if type(slope) is not float or not self.kernels.take(x):
            return super().leaky(x, slope)
        y, positive = self.xp.empty(x.shape, x.dtype), self.xp.empty(x.shape, bool)
        self.kernels("leaky", x.size, x, y, positive, np.uint32(x.size), np.float32(slope))
        return y, positive

    def leaky_backward(self, gy: Array, positive: Array, slope: Any) -> Array:
        """As the base class, in one kernel."""
        if type(slope) is not float or not self.kernels.take(gy) or not positive.flags.c_contiguous:
            return super().leaky_backward(gy, positive, slope)
        gx = self.xp.empty(gy.shape, gy.dtype)
        self.kernels("leaky_backward", gy.size, gy, positive, gx, np.uint32(gy.size), np.float32(slope))
        return gx

    def tanh_backward(self, gy: Array, y: Array) -> Array:
        """As the base class, in one kernel."""
        gy = in_c_order(gy)
        return self._map("tanh_backward", gy, y) if self._alike(gy, y) else super().tanh_backward(gy, y)

    # ------------------------------------------------------------------ normalization

    def batch_norm(self, x: Array, gain: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
        """As the base class, in one kernel."""
        x = in_c_order(x)
        if not self.kernels.take(x, gain, bias):
            return super().batch_norm(x, gain, bias, eps)
        y, mean, variance = (self.xp.empty(shape, x.dtype) for shape in (x.shape, *[x.shape[1:2]] * 2))
        self._by_channel("batch_norm", x, gain, bias, y, mean, variance, eps=eps)
        return y, mean, variance

    def batch_norm_backward(
        self, gy: Array, x: Array, gain: Array, mean: Array, variance: Array, eps: float
    ) -> tuple[Array, Array, Array]:
        """As the base class, in one kernel."""
        gy, x = in_c_order(gy), in_c_order(x)
        if not self.kernels.take(gy, x, gain, mean, variance):
            return super().batch_norm_backward(gy, x, gain, mean, variance, eps)
        gx, gg, gb = (self.xp.empty(shape, x.dtype) for shape in (x.shape, *[x.shape[1:2]] * 2))
        self._by_channel("batch_norm_backward", gy, x, gain, mean, variance, gx, gg, gb, eps=eps)
        return gx, gg, gb

    def follow_moments(self, running: tuple[Array, Array], now: tuple[Array, Array], n: int, momentum: float) -> None:
        """As the base class, with the same bits, in one kernel."""
        if not self.kernels.take(*running, *now):
            super().follow_moments(running, now, n, momentum)
            return
        channels, numbers = running[0].size, map(np.float32, (1 - momentum, momentum, n / (n - 1)))
        self.kernels("follow_moments", channels, *running, *now, np.uint32(channels), *numbers)

    def _by_channel(self, name: str, x: Array, *arrays: Array | None, eps: float) -> None:
        """Launch a kernel with a block for each channel of x (N, C, ...)."""
        sizes = x.size // x.shape[1], x.shape[1], math.prod(x.shape[2:])
        pointers = [NULL if array is None else array for array in arrays]
        self.kernels.in_blocks(name, x.shape[1], x, *pointers, *map(np.uint32, sizes), np.float32(eps))
