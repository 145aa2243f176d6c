"""The products of a convolution on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygan.backend.convolutions import Array, Convolutions, Pair, places


class NumpyConvolutions(Convolutions):
    """Fast versions of the three products."""

    def conv(self, x: Array, w: Array, stride: Pair, padding: Pair) -> Array:
        x = _planes(x)
        (channels, height, _, batch), (units, _, h, k) = x.shape, w.shape
        rows, columns = places(x.shape[1:3], (h, k), stride, padding)
        shifted = _shifted(x, k, stride[1], padding[1], columns)
        kernels = w.transpose(0, 2, 1, 3).reshape(units, h, channels * k)
        y = np.empty((units, rows, columns * batch), x.dtype)
        for o in range(rows):
            top = o * stride[0] - padding[0]
            first, last = _inside(top, 1, h, height)
            seen = shifted[top + first : top + last].reshape((last - first) * channels * k, columns * batch)
            np.matmul(kernels[:, first:last].reshape(units, (last - first) * channels * k), seen, out=y[:, o])
        return _images(y.reshape(units, rows, columns, batch))

    def conv_transpose(self, g: Array, w: Array, size: Pair, stride: Pair, padding: Pair) -> Array:
        g = _planes(g)
        (units, rows, columns, batch), (_, channels, h, k) = g.shape, w.shape
        (s, t), (p, q) = stride, padding
        lines = np.ascontiguousarray(g.transpose(1, 0, 2, 3)).reshape(rows, units, columns * batch)
        downwards = w.transpose(2, 0, 1, 3)[::-1]
        phases = [np.ascontiguousarray(downwards[f::s]).reshape(-(-(h - f) // s) * units, channels * k) for f in range(min(s, h))]
        x = np.zeros((channels, *size, batch), g.dtype)
        for r in range(size[0]):
            first, last = max(0, -((h - 1 - r - p) // s)), min(rows, (r + p) // s + 1)
            if first >= last:
                continue
            turn, phase = divmod(h - 1 - r - p + s * first, s)
            part = phases[phase][turn * units : (turn + last - first) * units]
            spread = part.T @ lines[first:last].reshape((last - first) * units, columns * batch)
            spread = spread.reshape(channels, k, columns, batch)
            for b in range(k):
                begin, end = _inside(b - q, t, columns, size[1])
                if begin < end:
                    x[:, r, b - q + t * begin : b - q + t * (end - 1) + 1 : t] += spread[:, b, begin:end]
        return _images(x)

    def conv_weight(self, g: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
        x, g = _planes(x), _planes(g)
        (channels, height, _, batch), (units, rows, columns, _), (h, k) = x.shape, g.shape, kernel
        shifted = _shifted(x, k, stride[1], padding[1], columns)
        g = g.reshape(units, rows, columns * batch)
        total = np.zeros((units, h * channels * k), x.dtype)
        for o in range(rows):
            top = o * stride[0] - padding[0]
            first, last = _inside(top, 1, h, height)
            seen = shifted[top + first : top + last].reshape((last - first) * channels * k, columns * batch)
            total[:, first * channels * k : last * channels * k] += g[:, o] @ seen.T
        return np.ascontiguousarray(total.reshape(units, h, channels, k).transpose(0, 2, 1, 3))


def _planes(x: Array) -> Array:
    """Return images (N, C, H, W) as a contiguous array (C, H, W, N)."""
    return np.ascontiguousarray(x.transpose(1, 2, 3, 0))


def _images(x: Array) -> Array:
    """Return an array (C, H, W, N) as images (N, C, H, W) in the same memory."""
    return x.transpose(3, 0, 1, 2)


def _inside(shift: int, step: int, count: int, size: int) -> Pair:
    """Return the first of `count` places j at which shift + step j is in an axis of `size`, and the end of them."""
    first = min(max(0, -(shift // step)), count)
    return first, max(first, min(count, (size - 1 - shift) // step + 1))


def _shifted(x: Array, k: int, step: int, padding: int, columns: int) -> Array:
    """Return (H, C k, J N)."""
    channels, height, width, batch = x.shape
    out = np.empty((height, channels, k, columns, batch), x.dtype)
    for b in range(k):
        first, last = _inside(b - padding, step, columns, width)
        out[:, :, b, :first] = out[:, :, b, last:] = 0
        if first < last:
            begin = b - padding + step * first
            out[:, :, b, first:last] = x[:, :, begin : begin + step * (last - first - 1) + 1 : step].transpose(1, 0, 2, 3)
    return out.reshape(height, channels * k, columns * batch)
