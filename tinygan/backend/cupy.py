"""`CupyBackend`: arrays on an NVIDIA GPU. CuPy is optional; it is imported only here, at first use."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from tinygan.backend.base import Array, Backend, Shape, adam_numbers
from tinygan.backend.cupy_images import CupyImages, in_c_order
from tinygan.backend.cupy_layers import CupyLayers
from tinygan.backend.graph import Capture
from tinygan.backend.kernels import LIMIT, NULL, Kernels
from tinygan.backend.random import uniform_limits
from tinygan.errors import CaptureError, DeviceError

# Updates in a block of `together`: by rule, numbers and place of the rates, these rates and the arrays of each update.
_waiting: ContextVar[dict[Any, tuple[Any, list[Any]]] | None] = ContextVar("tinygan_waiting_updates", default=None)
_INSTALL = "pip install 'cupy-cuda13x[ctk]' (or 'cupy-cuda12x[ctk]' for a driver of CUDA 12)"


def missing() -> str | None:
    """Return in one sentence why ``device="cuda"`` does not work, or None if it works."""
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed; install it with {_INSTALL}"
    try:
        import cupy
    except ImportError as error:
        return f"CuPy is installed but cannot be imported ({error}); reinstall it with {_INSTALL}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CUDARuntimeError: no driver, or a driver too old
        return (
            f"CuPy {cupy.__version__} is installed but finds no usable GPU driver ({error}); "
            "install the NVIDIA driver, or use device='cpu'"
        )
    if count == 0:
        return "the NVIDIA driver reports no GPU on this machine; use device='cpu'"
    try:  # a driver without the toolkit's libraries fails only at the first product
        probe = cupy.ones((2, 2), cupy.float32)
        float((probe @ probe).sum())
    except Exception as error:
        return (
            f"CuPy {cupy.__version__} sees a GPU but cannot compute on it ({error}); "
            f"its CUDA libraries are missing: {_INSTALL}"
        )
    return None


class CupyBackend(CupyImages, CupyLayers, Backend):
    """The backend of ``device="cuda"``.

    Each operation in which a training step spends its time is one kernel of ``kernels.cu`` or ``layers.cu``, for
    float32 arrays in C order, or a few of ``images.cu``. All else is the portable method on CuPy arrays. No method
    waits for the GPU, or copies to or from it, but `to_numpy`, `from_numpy`, `array`, `first_non_finite`, `read_sums`
    and `set_sums`.

    Attributes
    ----------
    capture : Capture or None
        The step that is being recorded as a CUDA graph, if any.
    """

    def __init__(self) -> None:
        problem = missing()
        if problem is not None:
            raise DeviceError(f"device 'cuda' is not available: {problem}")
        import cupy

        super().__init__(cupy, "cuda")
        self.runs_ahead = True
        self.capture: Capture | None = None
        self._kernels: Kernels | None = None

    @property
    def kernels(self) -> Kernels:
        """The kernels. CuPy compiles them once and keeps them on disk."""
        if self._kernels is None:
            self._kernels = Kernels(self.xp)
        return self._kernels

    @property
    def gpu(self) -> str:
        """The name of the GPU, and the versions of CuPy and CUDA."""
        runtime = self.xp.cuda.runtime
        name = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
        version = runtime.runtimeGetVersion()  # 13020 means 13.2
        return f"{name}, CuPy {self.xp.__version__}, CUDA {version // 1000}.{version % 1000 // 10}"

    def array(self, data: Any, dtype: Any = None) -> Array:
        """As the base class; refused for host memory while a step is recorded."""
        self._refuse_host_memory(data)
        return super().array(data, dtype)

    def to_numpy(self, array: Array) -> Any:
        """Copy to host memory; this waits for the GPU."""
        return self.xp.asnumpy(array)

    def from_numpy(self, array: Any) -> Array:
        """As the base class; refused while a step is recorded."""
        self._refuse_host_memory(array)
        return super().from_numpy(array)

    def _refuse_host_memory(self, data: Any) -> None:
        if self.capture is not None and self.capture.recording and not self.is_array(data):
            raise CaptureError("it copies numbers from host memory, and each replay would copy the same numbers again")

    def argmax(self, x: Array, axis: int | None, keepdims: bool = False) -> Array:
        """As the base class; of several nan, CuPy's own takes any."""
        first = (x == x.max(axis=axis, keepdims=True)) | (x != x)
        return first.argmax(axis=axis, keepdims=keepdims)

    def argsort(self, x: Array, axis: int) -> Array:
        """As the base class; CuPy has one algorithm, which keeps the order of equal elements."""
        return x.argsort(axis=axis)

    # ------------------------------------------------------------------ products

    def product(self, a: Array, b: Array) -> Array:
        """As the base class; during a capture by our own handle of cuBLAS, since CuPy refuses to use its own."""
        if self.capture is not None and a.ndim == b.ndim == 2 and a.dtype == b.dtype == np.float32:
            return self.capture.product(a, b)
        return a @ b

    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """As the base class, with the bias added in place."""
        y = self.product(x, weight)
        if bias is None:
            return y
        if not self.kernels.take(y, bias):
            return y + bias
        self.kernels("add_bias", y.size, y, bias, np.uint32(y.size), np.uint32(bias.size))
        return y

    # ------------------------------------------------------------------ activations

    def relu(self, x: Array) -> Array:
        """As the base class, in one kernel."""
        return self._map("relu", x) if self.kernels.take(x) else super().relu(x)

    def relu_backward(self, gy: Array, y: Array) -> Array:
        """As the base class, in one kernel."""
        return self._map("relu_backward", gy, y) if self._alike(gy, y) else super().relu_backward(gy, y)

    def sigmoid(self, x: Array) -> Array:
        """As the base class, in one kernel."""
        return self._map("sigmoid", x) if self.kernels.take(x) else super().sigmoid(x)

    def sigmoid_backward(self, gy: Array, y: Array) -> Array:
        """As the base class, in one kernel."""
        return self._map("sigmoid_backward", gy, y) if self._alike(gy, y) else super().sigmoid_backward(gy, y)

    def softplus(self, x: Array) -> Array:
        """As the base class, in one kernel."""
        return self._map("softplus", x) if self.kernels.take(x) else super().softplus(x)

    def normal_cdf(self, x: Array) -> Array:
        """As the base class, with CuPy's version of the function."""
        from cupyx.scipy.special import ndtr

        return ndtr(x).astype(x.dtype)

    def maxout(self, x: Array, axis: int) -> tuple[Array, Array]:
        """As the base class, in one kernel that reads each piece once."""
        if not self.kernels.take(x):
            return super().maxout(x, axis)
        outer, pieces, inner = _around(x.shape, axis)
        y = self.xp.empty(x.shape[:axis] + x.shape[x.ndim + axis + 1 :], x.dtype)
        won = self.xp.empty(x.shape, bool)
        self.kernels("maxout", y.size, x, y, won, np.uint32(outer), np.uint32(pieces), np.uint32(inner))
        return y, won

    def maxout_backward(self, gy: Array, won: Array, axis: int) -> Array:
        """As the base class, in one kernel."""
        _, pieces, inner = _around(won.shape, axis)
        if not (self.kernels.take(gy) and won.flags.c_contiguous and won.size == gy.size * pieces < LIMIT):
            return super().maxout_backward(gy, won, axis)
        gx = self.xp.empty(won.shape, gy.dtype)
        self.kernels("maxout_backward", gx.size, gy, won, gx, np.uint32(gx.size), np.uint32(pieces), np.uint32(inner))
        return gx

    # ------------------------------------------------------------------ losses

    def cross_entropy(self, logits: Array, target: int) -> Array:
        """As the base class, in one kernel; the terms are summed in another order."""
        if not self.kernels.take(logits):
            return super().cross_entropy(logits, target)
        loss = self.xp.empty((), logits.dtype)
        self.kernels.in_blocks("cross_entropy", 1, logits, loss, np.uint32(logits.size), np.uint32(target))
        return loss

    def cross_entropy_backward(self, gloss: Array, logits: Array, target: int) -> Array:
        """As the base class, in one kernel."""
        if not (self.kernels.take(gloss, logits) and gloss.size == 1):
            return super().cross_entropy_backward(gloss, logits, target)
        gx, n = self.xp.empty(logits.shape, logits.dtype), np.uint32(logits.size)
        self.kernels("cross_entropy_backward", logits.size, gloss, logits, gx, n, np.float32(target))
        return gx

    # ------------------------------------------------------------------ running sums

    def new_sums(self, count: int) -> Array:
        """As the base class, in single precision, with a second row for the rounding errors made so far."""
        return self.xp.zeros((2, count + 2), np.float32)

    def set_sums(self, sums: Array, values: Sequence[float]) -> None:
        """As the base class; what single precision loses of a value goes to the second row."""
        exact = np.asarray(values, np.float64)
        rounded = exact.astype(np.float32)
        sums[...] = self.from_numpy(np.stack([rounded, (rounded - exact).astype(np.float32)]))

    def read_sums(self, sums: Array) -> list[float]:
        """As the base class; this waits for the GPU."""
        rounded, errors = self.to_numpy(sums).astype(np.float64)
        return (rounded - errors).tolist()

    def add_scores(
        self, sums: Array, first: Array, second: Array, positive: Array, negative: Array, threshold: float = 0.0,
        probability: bool = True,
    ) -> None:  # fmt: skip
        """As the base class, in one kernel."""
        terms = first, second, positive, negative
        if not self.kernels.take(*terms):
            super().add_scores(sums[0], *terms, threshold, probability)
            return
        sizes = np.uint32(positive.size), np.uint32(negative.size)
        rules = np.float32(threshold), np.uint32(probability)
        self.kernels.in_blocks("add_scores", 1, sums[0], sums[1], *terms, *sizes, *rules)

    # ------------------------------------------------------------------ random numbers

    def uniform(self, stream: Any, shape: Shape, low: float, high: float, dtype: Any) -> Array:
        """As the base class, with the same bits, drawn on the GPU."""
        n = math.prod(shape)
        if dtype != np.float32 or not 0 < n < LIMIT or not stream.by_word:
            return super().uniform(stream, shape, low, high, dtype)
        limits = uniform_limits(low, high, dtype)
        out = self.xp.empty(shape, dtype)
        self._draw("uniform", stream, (n + 1) // 2, out, np.uint32(n), *limits)
        return out

    def normal(self, stream: Any, shape: Shape, dtype: Any) -> Array:
        """As the base class up to rounding, drawn on the GPU."""
        n = math.prod(shape)
        if dtype != np.float32 or not 0 < n < LIMIT or not stream.by_word:
            return super().normal(stream, shape, dtype)
        out = self.xp.empty(shape, dtype)
        self._draw("normal", stream, (n + 1) // 2, out, np.uint32(n))
        return out

    def dropout(self, x: Array, stream: Any, keep: float) -> tuple[Array, Array]:
        """As the base class, with the same bits, drawn on the GPU."""
        keep = stream.rounded(keep)
        threshold = int(keep * 65536)
        if not self.kernels.take(x) or not 0 < threshold < 65536 or not stream.by_word:
            return super().dropout(x, stream, keep)
        y, mask = self.xp.empty(x.shape, x.dtype), self.xp.empty(x.shape, x.dtype)
        numbers = np.uint32(x.size), np.uint32(threshold), np.float32(1 / keep)
        self._draw("dropout", stream, (x.size + 3) // 4, x, y, mask, *numbers)
        return y, mask

    def _draw(self, kernel: str, stream: Any, words: int, *arguments: Any) -> None:
        """Launch a kernel that uses the next `words` words of a stream, one for each thread."""
        moved = NULL if self.capture is None else self.capture.moved(stream, stream.position)
        key0, key1 = stream.key
        first = stream.take(words)
        self.kernels(kernel, words, *arguments, np.uint64(key0), np.uint64(key1), np.uint64(first), moved)

    # ------------------------------------------------------------------ data

    def rows(self, table: Array, order: Array, first: int, count: int) -> Array:
        """As the base class, in one kernel."""
        columns = math.prod(table.shape[1:])
        size = count * columns
        if not self.kernels.take(table) or order.dtype != np.int64 or not 0 < size < LIMIT:
            return super().rows(table, order, first, count)
        out, n = self.xp.empty((count, *table.shape[1:]), table.dtype), np.uint32(size)
        moved = NULL if self.capture is None else self.capture.moved(order, first)
        self.kernels("rows", size, table, order, out, n, np.uint32(columns), np.uint64(first), moved)
        return out

    # ------------------------------------------------------------------ update rules

    @contextmanager
    def together(self) -> Iterator[None]:
        """As the base class: one kernel for all arrays with the same rule and the same numbers."""
        waiting: dict[Any, tuple[Any, list[Any]]] = {}
        token = _waiting.set(waiting)
        try:
            yield
        finally:
            _waiting.reset(token)
            for (name, numbers, _), (rates, updates) in waiting.items():
                self.kernels.update(name, updates, *numbers, rates)

    def _update(self, name: str, numbers: Sequence[float], *arrays: Array | None) -> None:
        """Launch a rule for one array of weights, or let it wait for the others in a block of `together`."""
        rates: Any = NULL if self.capture is None else self.capture.rates(arrays[0])
        given, waiting = tuple(map(np.float32, numbers)), _waiting.get()
        if waiting is None:
            self.kernels.update(name, [arrays], *given, rates)
        else:
            key = name, given, rates if rates is NULL else rates.data.ptr
            waiting.setdefault(key, (rates, []))[1].append(arrays)

    def sgd_step(
        self,
        weight: Array,
        gradient: Array,
        velocity: Array | None,
        lr: float,
        momentum: float,
        decay: float = 0.0,
    ) -> None:
        """As the base class, with the same bits, in one kernel."""
        gradient = in_c_order(gradient)  # only a kernel takes the rates of a replayed step from the device
        if not self._alike(weight, gradient, *([] if velocity is None else [velocity])):
            super().sgd_step(weight, gradient, velocity, lr, momentum, decay)
            return
        self._update("sgd_step", (lr, momentum, decay), weight, gradient, velocity)

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
        """As the base class, with the same bits, in one kernel."""
        gradient = in_c_order(gradient)
        numbers = lr, betas, eps, step, decay, shrink
        if not self._alike(weight, gradient, square, *([] if mean is None else [mean])):
            super().adam_step(weight, gradient, mean, square, *numbers)
            return
        self._update("adam_step", adam_numbers(*numbers), weight, gradient, mean, square)

    def lerp(self, start: Array, end: Array, weight: float) -> None:
        """As the base class, with the same bits, in one kernel."""
        if not self._alike(start, end):
            super().lerp(start, end, weight)
            return
        self._update("lerp", (weight,), start, end)

    def limit_column_norm(self, weight: Array, limit: float) -> None:
        """As the base class, in four kernels; only columns whose squares overflow are scaled first."""
        if not self.kernels.take(weight):
            super().limit_column_norm(weight, limit)
            return
        norms = (weight * weight).sum(axis=0)
        scales, (rows, units) = self.xp.empty(norms.shape, norms.dtype), map(np.uint32, weight.shape)
        self.kernels("column_norms", norms.size, weight, norms, scales, rows, units, np.float32(limit))
        self.kernels(
            "scale_columns", weight.size, weight, norms, scales, np.uint32(weight.size), units, np.float32(limit)
        )

    # ------------------------------------------------------------------ launching

    def _alike(self, *arrays: Array) -> bool:
        """Return whether one kernel can process all arrays element by element."""
        return self.kernels.take(*arrays) and all(array.shape == arrays[0].shape for array in arrays)

    def _map(self, kernel: str, *inputs: Array) -> Array:
        """Launch an elementwise kernel into new memory."""
        out = self.xp.empty(inputs[0].shape, inputs[0].dtype)
        self.kernels(kernel, out.size, *inputs, out, np.uint32(out.size))
        return out


def _around(shape: Shape, axis: int) -> tuple[int, int, int]:
    """Return the product of the sizes before a negative axis, its size, and the product of the sizes after it."""
    axis += len(shape)
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
