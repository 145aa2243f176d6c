"""`Backend`: the operations on arrays that tinygan needs, in portable and readable form.

A backend computes with the arrays of one device. One method is one kernel. The operations in which a training step
spends its time are methods here. They use only operators and the functions of `xp`, the array module (NumPy, CuPy,
...). `NumpyBackend` and `CupyBackend` override the methods that must be fast, and the tests compare them with this
class. All other operations use `xp` and need no method.

The formulas prefer operators to functions of `xp`, because they are run on two kinds of operand:

- on arrays, in every forward pass and in an ordinary backward pass;
- on `Tensor`, in a backward pass with ``create_graph=True``, where `functional.differentiable` replaces `xp` by the
  differentiable operations. So a rule for a gradient is written once. Run on tensors, it records a graph of the
  gradient, which can be differentiated again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from tinygan.backend.convolutions import Convolutions
from tinygan.backend.layers import LayerKernels
from tinygan.backend.pooling import Pooling

Array = Any  # numpy.ndarray or cupy.ndarray; only the backend classes differ between the two
Shape = tuple[int, ...]
_BASIC_INDEX = (int, slice, type(None), type(Ellipsis))


def wide(x: Any) -> Any:
    """Return an array or a tensor of half precision in single precision, for sums and counts.

    A float16 holds no count above 65504, and not every count above 2048.
    """
    return x.astype(np.float32) if x.dtype.char == "e" else x


class Backend(Convolutions, LayerKernels, Pooling):
    """The portable backend: complete and readable, and slower than the others by a constant factor.

    Parameters
    ----------
    xp : module
        An array module with NumPy's interface.
    device : str
        ``"cpu"`` or ``"cuda"``.

    Attributes
    ----------
    runs_ahead : bool
        Whether work is queued and done later. Then reading a result waits for all queued work.
    capture : object or None
        The recording of a step that is in progress; then nothing may be read.

    Examples
    --------
    >>> import numpy as np
    >>> Backend(np, "cpu").relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    library = "numpy"  # of the loops on the CPU, as a run records it
    gpu: Any = None  # what a run records of a GPU: its name, and the versions of CuPy and CUDA
    together: Any = nullcontext  # updates of several arrays in ``with B.together():`` may be made at its end

    def __init__(self, xp: Any, device: str) -> None:
        self.xp = xp
        self.device = device
        self.runs_ahead = False
        self.capture: Any = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(device={self.device!r})"

    # ------------------------------------------------------------------ arrays: making and moving

    def is_array(self, value: Any) -> bool:
        """Return whether `value` is an array of this backend."""
        return isinstance(value, self.xp.ndarray)

    def array(self, data: Any, dtype: Any = None) -> Array:
        """Return a copy of `data` as an array in C order."""
        return self.xp.array(data, dtype=dtype, order="C")

    def asarray(self, data: Any) -> Array:
        """Return `data` as an array of this backend: a scalar result of a reduction becomes a 0-d array."""
        return self.xp.asarray(data)

    def to_numpy(self, array: Array) -> Any:
        """Return the array in host memory as a NumPy array."""
        return array

    def from_numpy(self, array: Any) -> Array:
        """Return a NumPy array as an array of this backend, without a copy where that is possible."""
        return self.xp.asarray(array)

    def is_writable(self, array: Array) -> bool:
        """Return whether the values of `array` can be changed in place."""
        return getattr(array.flags, "writeable", True)  # CuPy's arrays are always writable

    # ------------------------------------------------------------------ sums

    def sum(self, x: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
        """Sum the elements over `axis`. Half precision is summed in single precision."""
        terms = wide(x)
        total = terms.sum(axis=axis, keepdims=keepdims)
        return total if terms is x else total.astype(x.dtype)

    def sum_of_products(self, a: Array, b: Array, axes: tuple[int, ...]) -> Array:
        """Sum a b over `axes`, which are kept with size 1; a and b have one shape."""
        return self.sum(a * b, axes, keepdims=True)

    def unbroadcast(self, gradient: Array, shape: Shape) -> Array:
        """Sum `gradient` over the axes along which an operand of `shape` was repeated.

        If ``y = f(broadcast(x))``, each element of x is used in several elements of y, and its gradient is the sum of
        theirs.
        """
        added = gradient.ndim - len(shape)
        stretched = tuple(
            added + axis for axis, size in enumerate(shape) if size == 1 and gradient.shape[added + axis] != 1
        )
        axes = tuple(range(added)) + stretched
        # keepdims: without it, a sum over all axes is a scalar and not an array
        return self.sum(gradient, axes, keepdims=True).reshape(shape) if axes else gradient.reshape(shape)

    def add_into(self, total: Array, term: Array) -> Array:
        """Add `term` to `total` in place and return it; the caller must own `total`."""
        total += term
        return total

    def scatter(self, gradient: Array, index: Any, shape: Shape) -> Array:
        """Return zeros of `shape` with `gradient` added at `index`: the adjoint of ``x[index]``.

        An element that the index selects twice receives both shares. Slices and integers select no element twice.
        """
        if all(isinstance(part, _BASIC_INDEX) for part in (index if isinstance(index, tuple) else (index,))):
            out = self.xp.zeros(shape, gradient.dtype)
            out[index] = gradient
            return out
        terms = wide(gradient)
        out = self.xp.zeros(shape, terms.dtype)
        self.xp.add.at(out, index, terms)
        return out if terms is gradient else out.astype(gradient.dtype)

    def argmax(self, x: Array, axis: int | None, keepdims: bool = False) -> Array:
        """Return the place of the largest element: the first of several, or the first nan."""
        return x.argmax(axis=axis, keepdims=keepdims)

    def argsort(self, x: Array, axis: int) -> Array:
        """Return the places of the elements in ascending order; equal elements keep their order."""
        return x.argsort(axis=axis, kind="stable")

    def first_non_finite(self, array: Array) -> tuple[int, ...] | None:
        """Return the index of the first nan or infinity, in C order, or None; this waits for the device."""
        if array.dtype.kind not in "fc":
            return None
        broken = ~self.xp.isfinite(array)
        if not broken.any():
            return None
        return tuple(int(place) for place in np.unravel_index(int(broken.argmax()), array.shape))

    # ------------------------------------------------------------------ products

    def product(self, a: Array, b: Array) -> Array:
        """Return the matrix product ``a @ b``."""
        return a @ b

    def einsum(self, subscripts: str, *operands: Array) -> Array:
        """Return the sums of products that the subscripts describe, in a good order of the products."""
        return self.xp.einsum(subscripts, *operands, optimize=True)

    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """Return ``x @ weight + bias`` for x (m, n), weight (n, u), bias (u,)."""
        y = x @ weight
        return y if bias is None else y + bias

    # ------------------------------------------------------------------ activations

    def relu(self, x: Array) -> Array:
        """Return max(x, 0); nan stays nan."""
        return self.xp.maximum(x, 0)

    def relu_backward(self, gy: Array, y: Array) -> Array:
        """Return gy where y = relu(x) is not 0, else 0. So relu'(0) = 0, and the gradient passes through a nan."""
        return self.xp.where(y != 0, gy, 0)

    def sigmoid(self, x: Array) -> Array:
        """Return 1 / (1 + e^-x). No exponent is positive, so nothing overflows."""
        xp = self.xp
        small = xp.exp(-abs(x))  # in (0, 1]
        return xp.where(x >= 0, 1, small) / (1 + small)

    def sigmoid_backward(self, gy: Array, y: Array) -> Array:
        """Return gy y (1 - y)."""
        return gy * y * (1 - y)

    def softplus(self, x: Array) -> Array:
        """Return log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)."""
        xp = self.xp
        return xp.maximum(x, 0) + xp.log1p(xp.exp(-abs(x)))

    def normal_cdf(self, x: Array) -> Array:
        """Return the probability that a standard normal number is below x: (1 + erf(x / 2^(1/2))) / 2."""
        from scipy.special import ndtr  # exact also far below 0, where 1 + erf cancels

        return ndtr(x).astype(x.dtype)

    def maxout(self, x: Array, axis: int) -> tuple[Array, Array]:
        """Return the maximum over `axis`, and a mask of the shape of `x`: true for the maximum (the first at a tie).

        `axis` is negative: it counts from the end.
        """
        xp = self.xp
        winner = self.argmax(x, axis, keepdims=True)
        piece = xp.arange(x.shape[axis]).reshape((-1,) + (1,) * (-axis - 1))
        return xp.take_along_axis(x, winner, axis=axis).squeeze(axis), winner == piece

    def maxout_backward(self, gy: Array, won: Array, axis: int) -> Array:
        """Return gy where `won` is true, else 0; `axis` is the axis of the pieces in `won`."""
        return self.xp.where(won, self.xp.expand_dims(gy, axis), 0)

    def dropout(self, x: Array, stream: Any, keep: float) -> tuple[Array, Array]:
        """Return ``x * mask``, and the mask of `dropout_mask`."""
        mask = self.dropout_mask(stream, x.shape, keep, x.dtype)
        return x * mask, mask

    def dropout_mask(self, stream: Any, shape: Shape, keep: float, dtype: Any) -> Array:
        """Return an array of `shape` that is 1 / keep with probability `keep` and 0 elsewhere.

        `keep` is first rounded as in `Stream.rounded`, so that the mean of the mask is 1.
        """
        keep = stream.rounded(keep)
        kept = self.from_numpy(stream.bernoulli(shape, keep))
        return kept.astype(dtype) * self.xp.asarray(1 / keep if keep else 0, dtype)

    # ------------------------------------------------------------------ losses

    def cross_entropy(self, logits: Array, target: int) -> Array:
        """Return the mean of -log D for target 1, or of -log(1 - D) for target 0, with D = sigmoid(logits)."""
        return self.softplus(-logits if target else logits).mean()

    def cross_entropy_backward(self, gloss: Array, logits: Array, target: int) -> Array:
        """Return (sigmoid(logits) - target) gloss / n."""
        return wide(gloss) / max(math.prod(logits.shape), 1) * (self.sigmoid(logits) - target)

    # ------------------------------------------------------------------ running sums

    def new_sums(self, count: int) -> Array:
        """Return zeros for `count` running sums, the number of steps, and the first step that was not finite."""
        return self.xp.zeros(count + 2)

    def set_sums(self, sums: Array, values: Sequence[float]) -> None:
        """Make the sums what `read_sums` once returned."""
        sums[...] = self.from_numpy(np.asarray(values, np.float64))

    def read_sums(self, sums: Array) -> list[float]:
        """Return the sums as Python numbers; this waits for the device."""
        return self.to_numpy(sums).tolist()

    def add_scores(
        self, sums: Array, first: Array, second: Array, positive: Array, negative: Array, threshold: float = 0.0,
        probability: bool = True,
    ) -> None:  # fmt: skip
        """Add one step to five running sums: two numbers, and three scores of a binary classifier.

        The scores are computed from its outputs for examples of class 1 (`positive`) and of class 0 (`negative`): the
        mean over each of the two of the probability of class 1, if the outputs are logits, or else of the output; and
        the balanced accuracy, where an output above `threshold` means class 1. A sum that is not finite stays so; the
        first such step, counted from 1, is noted (0: every step was finite).
        """
        xp = self.xp
        accuracy = ((positive > threshold).mean() + (negative <= threshold).mean()) / 2
        scores = [(self.sigmoid(outputs) if probability else outputs).mean() for outputs in (positive, negative)]
        terms = xp.stack([first, second, *scores, accuracy])
        sums[:-2] += terms
        sums[-2] += 1
        found = (sums[-1] == 0) & ~xp.isfinite(terms).all()
        sums[-1] += xp.where(found, sums[-2], 0)

    # ------------------------------------------------------------------ random numbers

    def uniform(self, stream: Any, shape: Shape, low: float, high: float, dtype: Any) -> Array:
        """Draw from U[low, high): see `Stream.uniform`."""
        return self.from_numpy(stream.uniform(shape, low, high, dtype))

    def normal(self, stream: Any, shape: Shape, dtype: Any) -> Array:
        """Draw from N(0, 1): see `Stream.normal`."""
        return self.from_numpy(stream.normal(shape, dtype))

    # ------------------------------------------------------------------ data

    def rows(self, table: Array, order: Array, first: int, count: int) -> Array:
        """Return the rows ``order[first]``, ``order[first + 1]``, ... of `table`, `count` of them."""
        return table[order[first : first + count]]

    # ------------------------------------------------------------------ update rules (in place)

    def sgd_step(
        self,
        weight: Array,
        gradient: Array,
        velocity: Array | None,
        lr: float,
        momentum: float,
        decay: float = 0.0,
    ) -> None:
        """Set v = momentum v - lr g and w = w + v, with g = gradient + decay w; without a velocity, w = w - lr g."""
        if decay:
            gradient = gradient + decay * weight
        if velocity is None:
            weight -= lr * gradient
            return
        velocity *= momentum
        velocity -= lr * gradient
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
        """Update by algorithm 1 of Kingma and Ba (2014), with g = gradient + decay w; then `shrink` multiplies w first.

        `step` counts from 1. At step infinity the moments need no correction. Without a mean, g takes its place. Both
        together are RMSprop.
        """
        beta1, beta2 = betas
        if decay:
            gradient = gradient + decay * weight
        if mean is None:
            mean = gradient
        else:
            mean *= beta1
            mean += (1 - beta1) * gradient
        square *= beta2
        square += (1 - beta2) * gradient * gradient
        rate, eps = adam_rates(lr, betas, eps, step)
        if shrink != 1:
            weight *= shrink
        weight -= rate * mean / (self.xp.sqrt(square) + eps)

    def lerp(self, start: Array, end: Array, weight: float) -> None:
        """Move `start` towards `end`: start = start + weight (end - start), with `weight` in (0, 1]."""
        start += weight * (end - start)

    def limit_column_norm(self, weight: Array, limit: float) -> None:
        """Scale each column of `weight` (n, units) whose Euclidean norm exceeds `limit` > 0 to that norm.

        Each column is first divided by a power of two: this is exact, and no square overflows.
        """
        xp = self.xp
        if not weight.size:
            return
        _, exponent = xp.frexp(abs(weight).max(axis=0))
        exponent = xp.maximum(exponent, math.frexp(limit)[1])  # now neither the column nor the limit exceeds 2^exponent
        scaled = xp.ldexp(weight, -exponent)
        norm = xp.sqrt((scaled * scaled).sum(axis=0))
        bound = xp.ldexp(xp.full_like(norm, limit), -exponent)
        weight[...] = xp.where(norm <= bound, weight, scaled * (limit / xp.maximum(norm, 0.5)))


def adam_rates(lr: float, betas: tuple[float, float], eps: float, step: float) -> tuple[float, float]:
    """Return the step size and the eps that replace the bias correction of the moments in Adam's formula.

    ``rate m / (sqrt(v) + eps)`` is then exactly ``lr m^ / (sqrt(v^) + eps)``: Kingma and Ba (2014), end of section 2.

    Examples
    --------
    >>> adam_rates(0.1, (0.0, 0.75), 1e-8, 1)
    (0.05, 5e-09)
    """
    root = math.sqrt(1 - betas[1] ** step)
    return lr * root / (1 - betas[0] ** step), eps * root


def adam_numbers(
    lr: float, betas: tuple[float, float], eps: float, step: float, decay: float = 0.0, shrink: float = 1.0
) -> tuple[float, ...]:
    """Return the numbers that the CUDA kernel of `Backend.adam_step` takes, in its order.

    Examples
    --------
    >>> adam_numbers(0.1, (0.0, 0.75), 1e-8, 1)
    (0.05, 5e-09, 0.0, 1.0, 0.0, 1.0, 0.75, 0.25)
    """
    return *adam_rates(lr, betas, eps, step), decay, shrink, betas[0], 1 - betas[0], betas[1], 1 - betas[1]
