"""`NumpyBackend`: arrays in host memory, with fast versions of the kernels of a training step."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tinygan.backend.base import Array, Backend, Shape, adam_rates, wide
from tinygan.backend.blas import axpby
from tinygan.backend.numpy_convolution import NumpyConvolutions
from tinygan.backend.numpy_layers import NumpyLayerKernels
from tinygan.backend.numpy_pooling import NumpyPooling, beats_or_nan, parts, take_larger

# Numbers in a block of `_blocks`. Smaller blocks need more calls from Python, larger blocks do not fit in the cache.
# For the 2.5 million weights of the MNIST generator, on a core of an AMD EPYC with AVX2, Adam's step takes 7.4 ms with
# 2^14, 5.4 with 2^16, 5.0 with 2^17, and 18.7 without blocks.
_BLOCK = 1 << 17


class NumpyBackend(NumpyConvolutions, NumpyLayerKernels, NumpyPooling, Backend):
    """The backend of ``device="cpu"``.

    It overrides only the methods that are slow in the portable version. The tests compare each with that version.
    """

    def __init__(self) -> None:
        super().__init__(np, "cpu")

    def is_array(self, value: Any) -> bool:
        """Return whether `value` is a NumPy array."""
        return isinstance(value, np.ndarray)

    def scatter(self, gradient: Array, index: Any, shape: Shape) -> Array:
        """As the base class, with the same bits, for indices that are arrays of integers.

        Rows are added by a product with a sparse matrix of ones: column k has its one in row ``index[k]``. scipy adds
        up column by column, in the order of ``np.add.at``, but a whole row at a time. If each element has an index,
        the elements are added in one axis, for which NumPy is several times faster.
        """
        parts = index if isinstance(index, tuple) else (index,)
        whole = all(isinstance(part, np.ndarray) and part.dtype.kind in "iu" for part in parts)
        if not whole or not gradient.size or gradient.dtype.char not in "efd":
            return super().scatter(gradient, index, shape)
        places = np.ravel_multi_index(parts, shape[: len(parts)], mode="wrap").ravel()
        size, terms = math.prod(shape[: len(parts)]), wide(gradient).reshape(places.size, -1)
        if len(parts) == len(shape):
            out = np.zeros(size, terms.dtype)
            np.add.at(out, places, terms.ravel())
        else:
            from scipy.sparse import csc_array  # takes longer to import than all of tinygan

            ones, ends = np.ones(places.size, terms.dtype), np.arange(places.size + 1)
            out = csc_array((ones, places, ends), (size, places.size)) @ terms
        return out.astype(gradient.dtype, copy=False).reshape(shape)

    def first_non_finite(self, array: Array) -> tuple[int, ...] | None:
        """As the base class, after a quick look: if the sum of the squares is finite, every number is."""
        if array.dtype.kind == "f" and math.isfinite(np.vdot(array, array)):
            return None
        return super().first_non_finite(array)

    def product(self, a: Array, b: Array) -> Array:
        """As the base class; a column times a row, which has nothing to sum, is many times faster elementwise.

        BLAS adds each product to 0, which turns -0 into 0.
        """
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != 1 or b.shape[0] != 1 or a.dtype.kind != "f":
            return a @ b
        y = a * b
        y += 0
        return y

    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """As the base class, with the bias added in place."""
        y = self.product(x, weight)
        if bias is not None:
            y = np.add(y, bias, out=y if bias.dtype == y.dtype else None)
        return y

    def sum_of_products(self, a: Array, b: Array, axes: tuple[int, ...]) -> Array:
        """As the base class, in one pass without a temporary."""
        letters = "abcdef"[: a.ndim]
        kept = "".join(letter for axis, letter in enumerate(letters) if axis not in axes)
        total: Any = np.einsum(f"{letters},{letters}->{kept}", a, b)
        return total.reshape([1 if axis in axes else size for axis, size in enumerate(a.shape)])

    def leaky_backward(self, gy: Array, positive: Array, slope: Any) -> Array:
        """As the base class, as gy times 1 or `slope`, in a ninth of the time."""
        if not (isinstance(slope, float) and 0 <= slope <= 1) or gy.ndim == 0:
            return super().leaky_backward(gy, positive, slope)
        factor = np.maximum(positive, slope, dtype=gy.dtype)
        factor *= gy
        return factor

    def relu_backward(self, gy: Array, y: Array) -> Array:
        """As the base class, without the branches of `where`."""
        return _kept(gy, y != 0)

    def sigmoid(self, x: Array) -> Array:
        """As the base class, as e^min(x, 0) / (1 + e^-|x|): without the branches of `where`, in two temporaries."""
        if x.ndim == 0:
            return super().sigmoid(x)
        numerator = np.minimum(x, 0)
        np.exp(numerator, out=numerator)
        denominator = np.abs(x)
        np.negative(denominator, out=denominator)
        np.exp(denominator, out=denominator)
        denominator += 1
        numerator /= denominator
        return numerator

    def sigmoid_backward(self, gy: Array, y: Array) -> Array:
        """As the base class, in one temporary."""
        out = 1 - y
        out *= y
        out *= gy
        return out

    def maxout(self, x: Array, axis: int) -> tuple[Array, Array]:
        """As the base class, as a running maximum over the pieces, a block at a time.

        Each piece is one slice. If the units of a piece are contiguous in memory (`axis` = -2, as in `nn.Maxout`), each
        comparison is a pass over contiguous floats, many times faster than argmax over a last axis of length 5. The
        elements that equal the maximum win, at least one for each unit. If some tie, there are more winners than units.
        A nan equals nothing. In both cases the first winner is found piece by piece.
        """
        first = (x.ndim + axis, *range(x.ndim + axis), *range(x.ndim + axis + 1, x.ndim))  # `moveaxis` is slower
        won, pieces = np.empty_like(x, bool), x.transpose(first)
        winners, y = won.transpose(first), np.empty_like(pieces[0])
        for part in parts(y, x.size, tuple(range(y.ndim))):
            best, some = y[part], (slice(None), *part)
            best[...] = pieces[some][0]
            for piece in pieces[some][1:]:
                np.maximum(best, piece, out=best)
            np.equal(pieces[some], best, out=winners[some])
            broken = not math.isfinite(np.vdot(best, best)) and np.isnan(best).any()
            if broken or np.count_nonzero(winners[some]) != best.size:
                best[...], place = pieces[some][0], np.zeros_like(best, np.min_scalar_type(len(pieces)))
                for p, piece in enumerate(pieces[some]):
                    take_larger(best, place, piece, place.dtype.type(p), beats_or_nan if broken else np.greater)
                order = np.arange(len(pieces), dtype=place.dtype).reshape(-1, *[1] * best.ndim)
                np.equal(place, order, out=winners[some])
        return y, won

    def maxout_backward(self, gy: Array, won: Array, axis: int) -> Array:
        """As the base class, without the branches of `where`."""
        return _kept(np.expand_dims(gy, axis), won)

    def add_scores(
        self, sums: Array, first: Array, second: Array, positive: Array, negative: Array, threshold: float = 0.0,
        probability: bool = True,
    ) -> None:  # fmt: skip
        """As the base class, in Python's numbers: five of them need no array."""
        right = [np.count_nonzero(said) / said.size for said in (positive > threshold, negative <= threshold)]
        scores = [float((self.sigmoid(a) if probability else a).mean()) for a in (positive, negative)]
        terms = [float(first), float(second), *scores, sum(right) / 2]
        sums[:-2] += terms
        sums[-2] += 1
        if not sums[-1] and not all(map(math.isfinite, terms)):
            sums[-1] = sums[-2]

    def sgd_step(
        self,
        weight: Array,
        gradient: Array,
        velocity: Array | None,
        lr: float,
        momentum: float,
        decay: float = 0.0,
    ) -> None:
        """As the base class, in two passes over memory: BLAS makes v = momentum v - lr g in one."""
        if decay:
            gradient = np.asarray(gradient + decay * weight)  # of 0-d arrays, NumPy returns a scalar
        fused = axpby(weight.dtype) if velocity is not None and _alike(weight, gradient, velocity) else None
        if fused is None or 0 in (weight.dtype.type(lr), weight.dtype.type(momentum)):
            # BLAS does not read an array whose factor is 0, so a nan in it would be lost
            super().sgd_step(weight, gradient, velocity, lr, momentum)
        else:
            fused(-lr, gradient, momentum, velocity)
            weight += velocity

    def adam_step(
        self,
        weight: Array,
        gradient: Array,
        mean: Array | None,
        square: Array,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        step: float,
        decay: float = 0.0,
        shrink: float = 1.0,
    ) -> None:
        """As the base class, block by block: one pass over memory instead of twelve."""
        if decay:
            gradient = np.asarray(gradient + decay * weight)  # of 0-d arrays, NumPy returns a scalar
        arrays = (weight, gradient, gradient if mean is None else mean, square)
        fused = axpby(weight.dtype) if _alike(*arrays) else None
        rate, small = adam_rates(lr, betas, eps, step)
        factors = (betas[1], 1 - betas[1], rate, shrink, *(() if mean is None else (betas[0], 1 - betas[0])))
        if fused is None or 0 in map(weight.dtype.type, factors):  # as in `sgd_step`
            super().adam_step(weight, gradient, mean, square, lr, betas, eps, step, shrink=shrink)
            return
        for w, g, m, v, out in _blocks(*arrays):
            if mean is not None:
                fused(1 - betas[0], g, betas[0], m)
            np.multiply(g, g, out=out)
            fused(1 - betas[1], out, betas[1], v)
            np.sqrt(v, out=out)
            out += small
            np.divide(m, out, out=out)
            fused(-rate, out, shrink, w)

    def lerp(self, start: Array, end: Array, weight: float) -> None:
        """As the base class, block by block: one pass over memory instead of three."""
        fused = axpby(start.dtype) if _alike(start, end) else None
        if fused is None or start.dtype.type(weight) == 0:  # as in `sgd_step`
            super().lerp(start, end, weight)
            return
        for a, b, out in _blocks(start, end):
            np.subtract(b, a, out=out)
            # weight b + (1 - weight) a needs no temporary, but the two rounded factors do not add up to 1
            fused(weight, out, 1.0, a)

    def limit_column_norm(self, weight: Array, limit: float) -> None:
        """As the base class, but columns are scaled first only if a square overflows or the limit is tiny."""
        with np.errstate(over="ignore"):
            squares = np.square(weight).sum(axis=0)
        room = np.finfo(weight.dtype)
        if limit < math.sqrt(room.smallest_normal / room.eps) or not np.isfinite(squares).all():
            super().limit_column_norm(weight, limit)
            return
        weight *= limit / np.maximum(np.sqrt(squares), limit)  # the factor is exactly 1 for columns within the limit


def _alike(*arrays: Array) -> bool:
    """Return whether all arrays have the same shape and dtype, and are contiguous in C order."""
    first, *others = arrays
    if not first.flags.c_contiguous:
        return False
    for array in others:
        if array.shape != first.shape or array.dtype != first.dtype or not array.flags.c_contiguous:
            return False
    return True


def _blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield flat pieces of arrays that are `_alike`, or small arrays as they are; and memory for one more such piece.

    Many passes over large arrays are as slow as the memory. Pieces stay in the cache between the passes.
    """
    if arrays[0].size <= _BLOCK:
        yield *arrays, np.empty_like(arrays[0])
        return
    flat = [array.reshape(-1) for array in arrays]
    room = np.empty(min(flat[0].size, _BLOCK), flat[0].dtype)
    for begin in range(0, flat[0].size, _BLOCK):
        piece = [array[begin : begin + _BLOCK] for array in flat]
        yield *piece, room[: piece[0].size]


def _kept(values: Array, mask: Array) -> Array:
    """Return `values` where `mask` is true and 0 elsewhere; `values` broadcasts to the mask.

    This is a bitwise and with all ones or all zeros. It is exact for infinity and nan, where a product with the mask is
    not, and ten times faster than ``where``.
    """
    kind = {2: np.int16, 4: np.int32, 8: np.int64}.get(values.dtype.itemsize)
    if kind is None:  # long double
        return np.where(mask, values, values.dtype.type(0))
    # -1 is all ones; the sign is changed before the mask becomes wider
    bits = np.negative(np.asarray(mask).view(np.int8)).astype(kind)
    bits &= np.asarray(values).view(kind)
    return bits.view(values.dtype)


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory mapped; return whether it agreed.

    By default glibc returns a block of 128 KiB or more to the kernel when it is freed. Then every large temporary array
    causes page faults again: a chain of three operations on 200x1200 floats takes three times as long. A training loop
    calls this once at its start. The process then keeps the most memory that it ever used.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    return bool(mallopt(mmap_threshold, 1 << 30)) and bool(mallopt(trim_threshold, (1 << 31) - 1))


def blas_threads(count: int | None) -> AbstractContextManager[Any]:
    """Limit the threads of matrix products inside a ``with`` block; None leaves them as they are.

    The threads of a BLAS use the cores while they wait for each other. For small products this costs more than it
    gains, and on a busy machine it costs many times more.
    """
    return nullcontext() if count is None else threadpool_limits(count, user_api="blas")
