"""`NumbaBackend`: arrays in host memory, with kernels that are one loop over the elements, compiled by numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygan.backend import loops
from tinygan.backend.base import Array, adam_numbers
from tinygan.backend.compiled import load_numba
from tinygan.backend.numba_images import NumbaImages
from tinygan.backend.numpy import NumpyBackend

_SINGLE = np.dtype(np.float32)
_REAL = (_SINGLE, np.dtype(np.float64))


def fits_loop(first: Array, *others: Array) -> bool:
    """Return whether a loop can take the arrays: of one shape, with axes, in C order, writable; float32 or float64.

    NumPy computes the others.
    """
    dtype, shape = first.dtype, first.shape
    if dtype not in _REAL or not shape or not first.flags.carray:
        return False
    for other in others:  # noqa: SIM110  (twice as fast as `all`)
        if other.dtype != dtype or other.shape != shape or not other.flags.carray:
            return False
    return True


class NumbaBackend(NumbaImages, NumpyBackend):
    """The backend of ``device="cpu"`` after ``select_backend("numba")``.

    It overrides only the methods for which a compiled loop is faster than NumPy. The tests compare each with the
    portable version.

    Raises
    ------
    DeviceError
        numba is not installed.
    """

    def __init__(self) -> None:
        self.library = f"numba {load_numba().__version__}"
        super().__init__()

    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """As the base class, with a loop that adds the bias."""
        if bias is None or x.ndim != 2 or not (x.dtype == weight.dtype == bias.dtype and fits_loop(bias)):
            return super().linear(x, weight, bias)
        y = self.product(x, weight)
        if bias.shape != y.shape[1:]:
            return y + bias
        loops.add_bias(y, bias)
        return y

    def relu(self, x: Array) -> Array:
        """As the base class."""
        if not fits_loop(x):
            return super().relu(x)
        y = np.empty_like(x)
        loops.relu(x.ravel(), y.ravel())
        return y

    def relu_backward(self, gy: Array, y: Array) -> Array:
        """As the base class."""
        if not fits_loop(gy, y):
            return super().relu_backward(gy, y)
        gx = np.empty_like(gy)
        loops.relu_backward(gy.ravel(), y.ravel(), gx.ravel())
        return gx

    def leaky(self, x: Array, slope: Any) -> tuple[Array, Array]:
        """As the base class."""
        if not isinstance(slope, float) or not fits_loop(x):
            return super().leaky(x, slope)
        y, positive = np.empty_like(x), np.empty_like(x, bool)
        loops.leaky(x.ravel(), slope, y.ravel(), positive.ravel())
        return y, positive

    def leaky_backward(self, gy: Array, positive: Array, slope: Any) -> Array:
        """As the base class."""
        if not isinstance(slope, float) or not fits_loop(gy) or not _is_mask(positive, gy.shape):
            return super().leaky_backward(gy, positive, slope)
        gx = np.empty_like(gy)
        loops.leaky_backward(gy.ravel(), positive.ravel(), slope, gx.ravel())
        return gx

    def sigmoid(self, x: Array) -> Array:
        """As the base class; the loop is for float32."""
        if x.dtype != _SINGLE or not fits_loop(x):
            return super().sigmoid(x)
        y = np.empty_like(x)
        loops.sigmoid(x.ravel(), y.ravel())
        return y

    def maxout(self, x: Array, axis: int) -> tuple[Array, Array]:
        """As the base class, for units that are contiguous in memory."""
        if axis == -1 or not x.size or not fits_loop(x):
            return super().maxout(x, axis)
        before, (pieces, *after) = x.shape[:axis], x.shape[axis:]
        y, won = np.empty((*before, *after), x.dtype), np.empty(x.shape, bool)
        sizes = math.prod(before), pieces, math.prod(after)
        loops.maxout(x.reshape(sizes), y.reshape(sizes[::2]), won.reshape(sizes))
        return y, won

    def maxout_backward(self, gy: Array, won: Array, axis: int) -> Array:
        """As the base class, for units that are contiguous in memory."""
        before, (pieces, *after) = won.shape[:axis], won.shape[axis:]
        if axis == -1 or gy.shape != (*before, *after) or not fits_loop(gy) or not _is_mask(won, won.shape):
            return super().maxout_backward(gy, won, axis)
        gx = np.empty(won.shape, gy.dtype)
        sizes = math.prod(before), pieces, math.prod(after)
        loops.maxout_backward(gy.reshape(sizes[::2]), won.reshape(sizes), gx.reshape(sizes))
        return gx

    def dropout(self, x: Array, stream: Any, keep: float) -> tuple[Array, Array]:
        """As the base class, with the same mask."""
        chance = stream.rounded(keep)
        if chance >= 1 or not fits_loop(x):
            return super().dropout(x, stream, keep)
        y, mask = np.empty_like(x), np.empty_like(x)
        threshold, scale = int(chance * 65536), 1 / chance if chance else 0.0
        loops.dropout(x.ravel(), stream.bits16(x.shape).ravel(), threshold, scale, y.ravel(), mask.ravel())
        return y, mask

    def cross_entropy(self, logits: Array, target: int) -> Array:
        """As the base class, summed in double precision."""
        if not logits.size or not fits_loop(logits):
            return super().cross_entropy(logits, target)
        return logits.dtype.type(loops.cross_entropy(logits.ravel(), target))

    def cross_entropy_backward(self, gloss: Array, logits: Array, target: int) -> Array:
        """As the base class."""
        if not fits_loop(logits) or gloss.dtype != logits.dtype or gloss.shape:
            return super().cross_entropy_backward(gloss, logits, target)
        gx = np.empty_like(logits)
        loops.cross_entropy_backward(float(gloss), logits.ravel(), target, gx.ravel())
        return gx

    def add_scores(
        self, sums: Array, first: Array, second: Array, positive: Array, negative: Array, threshold: float = 0.0,
        probability: bool = True,
    ) -> None:  # fmt: skip
        """As the base class, with the scores in double precision."""
        if not (fits_loop(positive) and fits_loop(negative) and positive.size and negative.size):
            super().add_scores(sums, first, second, positive, negative, threshold, probability)
            return
        numbers = float(first), float(second), positive.ravel(), negative.ravel(), float(threshold), probability
        loops.add_scores(sums, *numbers)

    def sgd_step(
        self,
        weight: Array,
        gradient: Array,
        velocity: Array | None,
        lr: float,
        momentum: float,
        decay: float = 0.0,
    ) -> None:
        """As the base class, in one pass over memory."""
        if not fits_loop(weight, gradient, weight if velocity is None else velocity):
            super().sgd_step(weight, gradient, velocity, lr, momentum, decay)
        elif velocity is None:
            loops.descend(weight.ravel(), gradient.ravel(), float(lr), float(decay))
        else:
            arrays = weight.ravel(), gradient.ravel(), velocity.ravel()
            loops.descend_with_momentum(*arrays, float(lr), float(momentum), float(decay))

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
        """As the base class, in one pass over memory."""
        if mean is None or not fits_loop(weight, gradient, mean, square):
            super().adam_step(weight, gradient, mean, square, lr, betas, eps, step, decay, shrink)
            return
        numbers = tuple(map(float, adam_numbers(lr, betas, eps, step, decay, shrink)))
        loops.adam(weight.ravel(), gradient.ravel(), mean.ravel(), square.ravel(), numbers)

    def lerp(self, start: Array, end: Array, weight: float) -> None:
        """As the base class, in one pass over memory."""
        if fits_loop(start, end):
            loops.lerp(start.ravel(), end.ravel(), float(weight))
        else:
            super().lerp(start, end, weight)


def _is_mask(array: Array, shape: tuple[int, ...]) -> bool:
    return array.dtype == bool and array.shape == shape and array.flags.carray
