"""The kernels of `LayerKernels` for NumPy: piece by piece, so that what one pass wrote the next one finds in the cache.

A piece of a matrix is some rows. A piece of images is some channels, in the order in which they lie in memory: batch
first, channels first, or channels last. The results have the order of x.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygan.backend.layers import LayerKernels

Array = Any
_PIECE = 1 << 16  # numbers in a piece: with 2^14 the calls from Python show, with 2^18 the cache is too small
_LONG = 64  # numbers of a channel side by side, from which on NumPy's loops over them are long enough

# With a = |x|, Phi(-a) = e^(-a^2 / 2) N(a) / D(a). The coefficients of N and D, the highest first, are our own fit of
# the least relative error on [0, 15], which is 4e-7. All are positive, so nothing cancels.
_N = 0.01717121001835617, 0.1200518212550412, 0.36287541115461147, 0.4999998007113553
_D = 0.04304656167017755, 0.30073056036125645, 0.9559284601097585, 1.5236156782766197, 1.0


class NumpyLayerKernels(LayerKernels):
    """The overridden part of `NumpyBackend`; the tests compare each method with the portable one."""

    # ------------------------------------------------------------------ activations

    def elu(self, x: Array, alpha: float) -> tuple[Array, Array]:
        """As the base class, with one exponential."""
        (z,), back, _ = in_memory_order(x)
        y, slope = np.empty(z.size, z.dtype), np.empty(z.size, z.dtype)
        for a, value, s in _pieces(z.reshape(-1), y, slope):
            np.minimum(a, 0, out=s)
            np.expm1(s, out=s)
            s *= alpha
            np.maximum(a, 0, out=value)
            value += s
            s += alpha
            if alpha != 1:
                s += np.multiply(a > 0, 1 - alpha, dtype=s.dtype)
        return back(y), back(slope)

    def silu(self, x: Array) -> tuple[Array, Array]:
        """As the base class, in place."""
        (z,), back, _ = in_memory_order(x)
        y, slope = np.empty(z.size, z.dtype), np.empty(z.size, z.dtype)
        for a, value, s in _pieces(z.reshape(-1), y, slope):
            _logistic(a, s, room=value)
            np.multiply(a, s, out=value)
            rest = 1 - s
            rest *= value
            s += rest
        return back(y), back(slope)

    def gelu(self, x: Array) -> tuple[Array, Array]:
        """As the base class in single precision: by Phi(-|x|), so that no digit is lost far below 0."""
        if x.dtype != np.float32:
            return super().gelu(x)
        (z,), back, _ = in_memory_order(x)
        y, slope = np.empty(z.size, z.dtype), np.empty(z.size, z.dtype)
        for x_, value, s in _pieces(z.reshape(-1), y, slope):
            a = np.abs(x_)
            np.minimum(a, 15, out=a)
            density = np.multiply(x_, x_)
            density *= -0.5
            np.exp(density, out=density)
            below = _polynomial(_N, a)
            below /= _polynomial(_D, a)
            below *= density  # Phi(-|x|)
            np.multiply(below, -2, out=s)
            s += 1
            s *= x_ > 0
            s += below  # Phi(x): Phi(-|x|) below 0, and 1 minus that above
            np.multiply(x_, s, out=value)
            density *= 1 / math.sqrt(2 * math.pi)
            density *= x_
            s += density
        return back(y), back(slope)

    # ------------------------------------------------------------------ softmax

    def softmax(self, x: Array, axis: int | None) -> Array:
        """As the base class, in place."""
        y = np.empty_like(x)
        for axis_, a, b in _along(axis, x, y):
            np.subtract(a, a.max(axis=axis_, keepdims=True), out=b)
            np.exp(b, out=b)
            b /= _total(b, axis_)
        return y

    def softmax_backward(self, gy: Array, y: Array, axis: int | None) -> Array:
        """As the base class, in place."""
        gx = np.empty_like(y)
        for axis_, g, a, b in _along(axis, gy, y, gx):
            np.subtract(g, _dots(g, a, axis_), out=b)
            b *= a
        return gx

    def log_softmax(self, x: Array, axis: int | None) -> Array:
        """As the base class, in place."""
        y = np.empty_like(x)
        for axis_, a, b in _along(axis, x, y):
            np.subtract(a, a.max(axis=axis_, keepdims=True), out=b)
            b -= np.log(_total(np.exp(b), axis_))
        return y

    def log_softmax_backward(self, gy: Array, y: Array, axis: int | None) -> Array:
        """As the base class, in place."""
        gx = np.empty_like(y)
        for axis_, g, a, b in _along(axis, gy, y, gx):
            np.exp(a, out=b)
            b *= _total(g, axis_)
            np.subtract(g, b, out=b)
        return gx

    # ------------------------------------------------------------------ normalization

    def batch_norm(self, x: Array, gain: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
        """As the base class: channel by channel, or in columns."""
        n = x.size // x.shape[1]
        gain, bias = given_numbers(gain, 1, x), given_numbers(bias, 0, x)
        (z,), back, width = _by_channel(x)
        y = np.empty_like(z)
        mean, variance = (np.empty(x.shape[1], x.dtype) for _ in range(2))
        for c in _channels(z, width):
            a, out = _some(z, c), _some(y, c)
            b = out if a.flags.c_contiguous else np.empty(a.shape, a.dtype)
            mean[c] = (a @ np.ones(a.shape[2], a.dtype)).sum(axis=1) / n
            np.subtract(a, mean[c, None, None], out=b)
            rows = b.reshape(-1, n)
            variance[c] = np.vecdot(rows, rows) / n
            rows *= (gain[c] / np.sqrt(variance[c] + eps))[:, None]
            np.add(b, bias[c, None, None], out=out)
        if width:
            mean[...] = _joined(_column_sums(z), width) / n
            centre, squares = mean.repeat(width), 0
            for a, b in _pieces(z, y):
                np.subtract(a, centre, out=b)
                squares += np.einsum("ij,ij->j", b, b)
            variance[...] = _joined(squares, width) / n
            scale, shift = (gain / np.sqrt(variance + eps)).repeat(width), bias.repeat(width)
            for (b,) in _pieces(y):
                b *= scale
                b += shift
        return back(y), mean, variance

    def batch_norm_backward(
        self, gy: Array, x: Array, gain: Array, mean: Array, variance: Array, eps: float
    ) -> tuple[Array, Array, Array]:
        """As the base class: channel by channel, or in columns."""
        n = x.size // x.shape[1]
        (z, g), back, width = _by_channel(x, gy)
        gx = np.empty_like(z)
        gg, gb = (np.empty(x.shape[1], x.dtype) for _ in range(2))
        rate = 1 / np.sqrt(variance + eps)
        scale = rate * given_numbers(gain, 1, x)
        for c in _channels(z, width):
            a, k, out = _some(z, c), np.ascontiguousarray(_some(g, c)), _some(gx, c)
            b = out if a.flags.c_contiguous else np.empty(a.shape, a.dtype)
            np.subtract(a, mean[c, None, None], out=b)
            h, k = b.reshape(-1, n), k.reshape(-1, n)
            gb[c] = k @ np.ones(n, k.dtype)
            gg[c] = np.vecdot(h, k) * rate[c]
            h *= (gg[c] * rate[c] / -n)[:, None]
            h += k
            h -= gb[c, None] / n
            np.multiply(b, scale[c, None, None], out=out)
        if width:
            gb[...] = _joined(_column_sums(g), width)
            centre, products = mean.repeat(width), 0
            for a, k, b in _pieces(z, g, gx):
                np.subtract(a, centre, out=b)
                products += np.einsum("ij,ij->j", b, k)
            gg[...] = _joined(products, width) * rate
            slope, shift, scale = (v.repeat(width) for v in (gg * rate / -n, gb / n, scale))
            for k, b in _pieces(g, gx):
                b *= slope
                b += k
                b -= shift
                b *= scale
        return back(gx), gg, gb

    def channel_affine(self, x: Array, scale: Array, shift: Array) -> Array:
        """As the base class: piece by piece in the order of memory."""
        (z,), back, width = _by_channel(x)
        y = np.empty_like(z)
        if width:
            scale, shift = scale.repeat(width), shift.repeat(width)
        else:
            scale, shift = scale[:, None], shift[:, None]
        pieces = _pieces(z, y) if len(z) > 1 else _pieces(z[0], y[0], scale, shift)
        for a, b, *numbers in pieces:
            factor, term = numbers or (scale, shift)
            np.multiply(a, factor, out=b)
            b += term
        return back(y)

    def layer_norm(self, x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array]:
        """As the base class, some rows at a time."""
        n = x.shape[1]
        y = np.empty_like(x)
        mean, variance = (np.empty((len(x), 1), x.dtype) for _ in range(2))
        for a, b, m, v in _pieces(x, y, mean, variance):
            np.divide(_total(a, 1), n, out=m)
            np.subtract(a, m, out=b)
            np.divide(_dots(b, b, 1), n, out=v)
            b *= 1 / np.sqrt(v + eps)
            if weight is not None:
                b *= weight
            if bias is not None:
                b += bias
        return y, mean, variance

    def layer_norm_backward(
        self, gy: Array, x: Array, weight: Array, mean: Array, variance: Array, eps: float
    ) -> tuple[Array, Array, Array]:
        """As the base class, some rows at a time."""
        n = x.shape[1]
        gx = np.empty_like(x)
        gw, gb = (np.zeros(n, x.dtype) for _ in range(2))
        rates = 1 / np.sqrt(variance + eps)
        for g, a, b, m, rate in _pieces(gy, x, gx, mean, rates):
            h = a - m
            h *= rate
            gb += np.ones(len(g), g.dtype) @ g
            gw += np.einsum("ij,ij->j", g, h)
            np.multiply(g, 1 if weight is None else weight, out=b)
            total = _total(b, 1) / n
            h *= _dots(b, h, 1) / n
            b -= h
            b -= total
            b *= rate
        return gx, gw, gb


def _logistic(x: Array, out: Array, room: Array) -> None:
    """Write 1 / (1 + e^-x) into `out`, as e / (e + 1) with e = e^x.

    Where 1 would not change e, the result is 1. So x is limited before that, and nothing overflows.
    """
    np.minimum(x, 3 - math.log(np.finfo(x.dtype).eps), out=out)
    np.exp(out, out=out)
    out /= np.add(out, 1, out=room)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Return the value at x, by Horner's rule."""
    y = x * coefficients[0]
    y += coefficients[1]
    for coefficient in coefficients[2:]:
        y *= x
        y += coefficient
    return y


# ---------------------------------------------------------------------- pieces


def in_memory_order(*arrays: Array) -> tuple[list[Array], Any, list[int]]:
    """Return arrays of one shape with the axes as they lie in the memory of the first, the way back, and the order.

    Only an array with gaps, or in another order than the first, is copied.
    """
    x = arrays[0]
    if all(array.flags.c_contiguous for array in arrays):
        return list(arrays), lambda array: array.reshape(x.shape), list(range(x.ndim))
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    inverse = sorted(range(x.ndim), key=order.__getitem__)
    shape = [x.shape[axis] for axis in order]
    return (
        [np.ascontiguousarray(array.transpose(order)) for array in arrays],
        lambda array: array.reshape(shape).transpose(inverse),
        order,
    )


def _pieces(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield the same rows (or numbers) of all arrays, so many that the first has `_PIECE` numbers there."""
    rows = len(arrays[0])
    step = max(1, _PIECE * rows // max(arrays[0].size, 1))
    for begin in range(0, rows, step):
        yield tuple([array[begin : begin + step] for array in arrays])


def _along(axis: int | None, *arrays: Array) -> Iterator[tuple[Any, ...]]:
    """Yield pieces along the last axis, or else the whole arrays, and the axis in them."""
    x = arrays[0]
    if not x.size or x.ndim < 2 or axis != x.ndim - 1 or not all(array.flags.c_contiguous for array in arrays):
        yield axis, *arrays
    else:
        for piece in _pieces(*[array.reshape(-1, x.shape[-1]) for array in arrays]):
            yield 1, *piece


def _total(x: Array, axis: int | None) -> Array:
    """Return the sums along an axis, which is kept; those of rows as a product, the fastest sum there is."""
    if x.ndim == 2 and axis == 1:
        return (x @ np.ones(x.shape[1], x.dtype))[:, None]
    return x.sum(axis=axis, keepdims=True)


def _dots(a: Array, b: Array, axis: int | None) -> Array:
    """Return the sums of a b along an axis, which is kept."""
    if a.ndim == 2 and axis == 1:
        return np.vecdot(a, b)[:, None]
    return (a * b).sum(axis=axis, keepdims=True)


# ---------------------------------------------------------------------- channels


def _by_channel(*arrays: Array) -> tuple[list[Array], Any, int]:
    """Return arrays of one shape (N, C, ...) as (a, C, b) in the order of their memory, the way back, and 0.

    If channels are short, b < `_LONG`, and many, a > 1, return (a, C b) and b: each channel is b columns of a matrix.
    """
    views, back, order = in_memory_order(*arrays)
    place, sizes = order.index(1), views[0].shape
    a, channels, b = math.prod(sizes[:place]), sizes[place], math.prod(sizes[place + 1 :])
    if a > 1 and b < _LONG:
        return [view.reshape(a, channels * b) for view in views], back, b
    return [view.reshape(a, channels, b) for view in views], back, 0


def _channels(z: Array, width: int) -> Iterator[slice]:
    """Yield the slices of so many channels that they have `_PIECE` numbers; none if channels are columns."""
    channels = 0 if width else z.shape[1]
    step = max(1, _PIECE * channels // max(z.size, 1))
    for first in range(0, channels, step):
        yield slice(first, first + step)


def _some(z: Array, c: slice) -> Array:
    """Return a view of some channels of z (a, C, b), with the channels first."""
    return z[:, c].transpose(1, 0, 2)


def given_numbers(numbers: Array | None, default: float, x: Array) -> Array:
    """Return the numbers of the channels in the dtype of x."""
    return np.full(x.shape[1], default, x.dtype) if numbers is None else numbers.astype(x.dtype, copy=False)


def _column_sums(z: Array) -> Array:
    return np.ones(len(z), z.dtype) @ z


def _joined(sums: Array, width: int) -> Array:
    """Return one sum for each channel from those of its columns."""
    return sums if width == 1 else sums.reshape(-1, width).sum(axis=1)
