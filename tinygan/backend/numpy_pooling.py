"""Fast pooling for images in host memory, in any order of their axes.

A window is reduced along its rows first, and then along its columns: k + k passes over memory instead of k k. Each pass
is a maximum or a sum of slices, which are long rows of memory if the batch is the last axis there, as after `conv`. The
passes are made for a few channels or examples at a time, so that the numbers stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygan.backend.base import Array, wide
from tinygan.backend.pooling import Pooling, Windows

_BLOCK = 1 << 17  # numbers of an image in one visit: they stay in the cache


class NumpyPooling(Pooling):
    """The methods of pooling. The results have the order of axes in memory that the operand has."""

    def max_pool(self, x: Array, windows: Windows) -> tuple[Array, Array]:
        """As the base class, as a running maximum with the place of the largest element so far."""
        y = np.empty_like(x, shape=windows.shape(x))
        place = np.empty_like(x, np.min_scalar_type(math.prod(windows.size) - 1), shape=y.shape)
        for part in parts(x, x.size, (0, 1)):
            some = x[part]
            shape = *some.shape[:3], windows.count[1]
            rows, places = np.empty_like(some, shape=shape), np.empty_like(some, place.dtype, shape=shape)
            for beats in (np.greater, beats_or_nan):
                _largest(some, None, windows, 1, beats, rows, places)
                _largest(rows, places, windows, 0, beats, y[part], place[part])
                if x.dtype.kind != "f" or not np.isnan(y[part].max(initial=0)):
                    break  # else a nan was there, which is not greater than a number
        return y, place

    def max_pool_backward(self, gy: Array, place: Array, windows: Windows) -> Array:
        """As the base class, as a sum into one axis of memory, for which NumPy is many times faster."""
        order, terms = _order(place), wide(gy)
        sizes = *gy.shape[:2], *windows.image
        gx = np.zeros([sizes[axis] for axis in order], terms.dtype)
        terms = terms.transpose(order)
        for begin, stop, places in _memory_places(place, windows, order):
            np.add.at(gx.reshape(-1), places, terms[begin:stop].reshape(-1))
        return gx.transpose(np.argsort(order)).astype(gy.dtype, copy=False)

    def winners(self, x: Array, place: Array, windows: Windows) -> Array:
        """As the base class, by a choice from one axis of memory."""
        order = _order(place)
        flat, y = x.transpose(order).reshape(-1), np.empty_like(place, x.dtype)
        for begin, stop, places in _memory_places(place, windows, order):
            flat.take(places, out=y.transpose(order)[begin:stop].reshape(-1))
        return y

    def sum_pool(self, x: Array, windows: Windows) -> Array:
        """As the base class, along the rows, and then along the columns."""
        y = np.empty_like(x, shape=windows.shape(x))
        for part in parts(x, x.size, (0, 1)):
            y[part] = _total(_total(x[part], windows, 1), windows, 0)
        return y

    def sum_pool_backward(self, gy: Array, windows: Windows) -> Array:
        """As the base class, along the columns, and then along the rows."""
        gx = np.empty_like(gy, shape=(*gy.shape[:2], *windows.image))
        for part in parts(gy, gx.size, (0, 1)):
            gx[part] = _spread(_spread(gy[part], windows, 0), windows, 1)
        return gx


def _largest(x: Array, inner: Array | None, windows: Windows, axis: int, beats: Any, y: Array, place: Array) -> None:
    """Set `y` to the maxima along one axis of the windows, and `place` to their places.

    `inner` is the place of each number of `x`, if x is itself a maximum along the other axis.
    """
    step = place.dtype.type(windows.size[1] if axis == 0 else 1)
    stride, padding, count = windows.stride[axis], windows.padding[axis], windows.count[axis]
    cut = min(-(-padding // stride), count)  # so many windows begin before the image
    first = np.maximum(padding - stride * np.arange(count), 0).astype(place.dtype) * step
    place[...] = first.reshape((-1, 1) if axis == 0 else -1)
    for here, pixels in (
        (slice(cut), slice(1)),
        (slice(cut, None), slice(cut * stride - padding, (count - 1) * stride - padding + 1, stride)),
    ):
        y[_at(axis, here)] = x[_at(axis, pixels)]
        if inner is not None:
            place[_at(axis, here)] += inner[_at(axis, pixels)]
    for q, some, pixels in _taps(windows, axis):
        if q:  # the first element is there already
            code = step * place.dtype.type(q)
            take_larger(y[some], place[some], x[pixels], code if inner is None else inner[pixels] + code, beats)


def take_larger(best: Array, place: Array, candidate: Array, code: Array, beats: Any) -> None:
    """Replace numbers by those of a candidate that are larger, and their places by its place, `code`.

    The places of later candidates are larger. So the place of a winner is the largest one of all that won so far.
    """
    won = beats(candidate, best).view(np.uint8)
    np.maximum(best, candidate, out=best)
    np.maximum(place, won * code, out=place)


def beats_or_nan(candidate: Array, best: Array) -> Array:
    """Return whether a candidate is greater, or the first nan."""
    return (candidate > best) | (np.isnan(candidate) & ~np.isnan(best))


def _total(x: Array, windows: Windows, axis: int) -> Array:
    """Return the sums along one axis of the windows."""
    shape = list(x.shape)
    shape[axis + 2] = windows.count[axis]
    y = np.zeros_like(x, shape=shape)
    for _, some, pixels in _taps(windows, axis):
        y[some] += x[pixels]
    return y


def _spread(gy: Array, windows: Windows, axis: int) -> Array:
    """Return the gradient of `_total`."""
    shape = list(gy.shape)
    shape[axis + 2] = windows.image[axis]
    gx = np.zeros_like(gy, shape=shape)
    for _, some, pixels in _taps(windows, axis):
        if windows.stride[axis] >= windows.size[axis]:  # no pixel is in two windows
            gx[pixels] = gy[some]
        else:
            gx[pixels] += gy[some]
    return gx


def _taps(windows: Windows, axis: int) -> Iterator[tuple[int, Any, Any]]:
    """Yield, for each element of a window along one axis, the windows where it is in the image, and these pixels."""
    size, stride, padding = windows.size[axis], windows.stride[axis], windows.padding[axis]
    for q in range(size):
        first = max(-((q - padding) // stride), 0)
        stop = min((windows.image[axis] - 1 + padding - q) // stride + 1, windows.count[axis])
        if first < stop:
            begin = first * stride + q - padding
            pixels = slice(begin, begin + (stop - first - 1) * stride + 1, stride)
            yield q, _at(axis, slice(first, stop)), _at(axis, pixels)


def _at(axis: int, which: slice) -> Any:
    """Return the index of some rows or columns."""
    return (..., which, slice(None)) if axis == 0 else (..., which)


def _memory_places(place: Array, windows: Windows, order: list[int]) -> Iterator[tuple[int, int, Array]]:
    """Yield ranges of the outermost axis, and where the maxima lie in images whose axes have this order in memory."""
    columns, (s, t), (p, q) = windows.size[1], windows.stride, windows.padding
    sizes = *place.shape[:2], *windows.image
    steps, step = [0] * 4, 1
    for axis in reversed(order):
        steps[axis], step = step, step * sizes[axis]
    element = np.arange(math.prod(windows.size))
    table = element // columns * steps[2] + element % columns * steps[3]
    starts = [np.arange(n) * step for n, step in zip(place.shape, steps, strict=True)]
    starts[2], starts[3] = starts[2] * s - p * steps[2], starts[3] * t - q * steps[3]
    first, *others = (starts[axis] for axis in order)
    inside = others[0][:, None, None] + others[1][:, None] + others[2]
    place = place.transpose(order)
    for begin, stop in _ranges(len(place), place.size):
        places = table.take(place[begin:stop])
        places += inside
        places += first[begin:stop, None, None, None]
        yield begin, stop, places.reshape(-1)


def _order(x: Array) -> list[int]:
    """Return the axes as they lie in memory, from the outermost."""
    return sorted(range(x.ndim), key=lambda axis: -x.strides[axis])


def _ranges(length: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of an axis of this length, of an array of this size, that are visited together."""
    step = max(_BLOCK * length // max(size, 1), 1)
    for begin in range(0, length, step):
        yield begin, min(begin + step, length)


def parts(x: Array, size: int, axes: tuple[int, ...]) -> Iterator[Any]:
    """Yield indices of parts of x, along that of some axes which is the outermost in memory.

    Where the arrays that are visited together have this size in all, a part of them has about `_BLOCK` numbers.
    """
    axis = max(axes, key=lambda one: abs(x.strides[one])) if axes and size > 2 * _BLOCK else None
    if axis is None:
        yield (...,)
    else:
        for begin, stop in _ranges(x.shape[axis], size):
            yield (slice(None),) * axis + (slice(begin, stop),)
