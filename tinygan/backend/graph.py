"""One training step as a CUDA graph: recorded once, replayed with one call.

The launch of a kernel takes the host some microseconds, many times as long as a small kernel takes the GPU. A stream in
capture mode records its launches instead of making them. The resulting graph launches all of them at once, with the
same arguments and in the same memory. So

- memory comes from a pool that only the capture uses. Within the step it is reused, as in an ordinary step, so the
  numbers that the host sets before a replay have a pool of their own, which gets nothing back during the capture;
- what changes from step to step is read from the device: `Capture.moved` says by how much a stream of random numbers,
  or the position in the data, has moved on, and `Capture.rates` holds the numbers of an update rule. The host sets them
  by launching kernels with these values as arguments, so nothing is copied and nothing waits;
- CuPy refuses to call cuBLAS while a stream is captured, so `Blas` calls it directly.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import weakref
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygan.backend.base import Array
from tinygan.backend.kernels import NULL
from tinygan.backend.random import Stream
from tinygan.errors import CaptureError

if TYPE_CHECKING:
    from tinygan.backend.cupy import CupyBackend

_WORKSPACE = 32 << 20  # bytes: NVIDIA's advice for its newest GPUs, and enough for all others
_RATES = 8  # numbers that a kernel of an update rule reads at most


class Capture:
    """A step that is recorded, and then replayed.

    Parameters
    ----------
    backend : CupyBackend
    rules : mapping
        From the identity of each array that is updated to its rule and its row of rates. A rule has `rates`, the rows
        of at most eight numbers that its next update reads on the device, and `count_update`, called after each update.

    Attributes
    ----------
    recording : bool
        Whether kernels are written down at present, and not run.
    """

    def __init__(self, backend: CupyBackend, rules: Mapping[int, tuple[Any, int]]) -> None:
        cupy = backend.xp
        self.backend = backend
        self.stream = cupy.cuda.Stream(non_blocking=True)  # the default stream cannot be captured
        self._pool, self._pool_of_numbers = (cupy.cuda.MemoryPool() for _ in range(2))
        self._blas = Blas(cupy, load_cublas())
        self._rules = rules
        self.recording = False
        self._graph: Any = None
        self._counters: list[_Counter] = []
        self.updates: list[_Update] = []

    def rehearse(self, step: Any) -> Any:
        """Run ``step()`` once as it will be captured, so that all that is compiled or allocated at first use exists."""
        cupy = self.backend.xp
        cupy.cuda.get_current_stream().synchronize()  # the two streams do not wait for each other automatically
        result = self._inside(step)
        self.stream.synchronize()
        return result

    def record(self, step: Any) -> Any:
        """Record ``step()`` without running it; each replay writes its result into the arrays that are returned."""
        gc.collect()
        with self.stream:
            self.stream.begin_capture()
        self.recording = True
        was_enabled = gc.isenabled()
        gc.disable()  # the end of another capture would wait for the device, which ends this one
        try:
            result = self._inside(step)
            self._graph = self._end()
        except BaseException:
            with suppress(Exception):  # CUDA repeats the error, without its reason
                self._end()  # the stream must not stay in capture mode
            raise
        finally:
            if was_enabled:
                gc.enable()
        return result

    def replay(self) -> None:
        """Run the step again; call `set_counters` and `set_rates` first."""
        self._graph.launch()  # on the current stream, after all other work

    def close(self) -> None:
        """Give back memory and the handle of cuBLAS, once nothing else uses the results; then there is no replay."""
        self._graph = None
        self._counters, self.updates = [], []
        self._blas.close()
        for pool in (self._pool, self._pool_of_numbers):
            pool.free_all_blocks()

    @property
    def memory(self) -> int:
        """The bytes of device memory that the capture holds, besides those of CuPy's own pool."""
        return int(self._pool.total_bytes() + self._pool_of_numbers.total_bytes())

    def _inside(self, step: Any) -> Any:
        cupy = self.backend.xp
        self.backend.capture = self
        try:
            with self.stream, cupy.cuda.using_allocator(self._pool.malloc):
                return step()
        finally:
            self.backend.capture = None

    def _end(self) -> Any:
        self.recording = False
        with self.stream:
            return self.stream.end_capture()

    # ------------------------------------------------------------------ what changes from step to step

    def moved(self, what: Any, now: int) -> Any:
        """Return the array that tells a kernel how far `what`, now at `now`, has moved since the capture."""
        if not self.recording:
            return NULL
        for counter in self._counters:
            if counter.what is what:
                return counter.moved
        self._counters.append(_Counter(what, now, self._numbers((), np.uint64)))
        return self._counters[-1].moved

    def set_counters(self, positions: Iterable[tuple[Any, int]]) -> None:
        """Set the positions of streams and data at the beginning of the step to be replayed."""
        for what, now in positions:
            for counter in self._counters:
                if counter.what is what:
                    since = np.uint64((now - counter.start) % 2**64)  # a run may also go back to an earlier position
                    self.backend.kernels.in_one_thread("set_moved", counter.moved, since)

    def rates(self, weight: Array) -> Any:
        """Return where the update of `weight` reads its rates: one row for all weights of a group in one update."""
        if not self.recording:
            return NULL
        rule, row = self._rules.get(id(weight), (None, 0))
        if rule is None:
            raise CaptureError("an update of a weight that belongs to no optimiser of the game")
        for update in reversed(self.updates):
            if update.rule is rule:
                if id(weight) not in update.weights:
                    update.weights.add(id(weight))
                    return update.rates[row]
                break  # the same weight once more: another update by the same rule, in one step
        rates = self._numbers((len(rule.rates()), _RATES), np.float32)
        self.updates.append(_Update(rule, {id(weight)}, rates))
        return rates[row]

    def _numbers(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return memory that no kernel of the step has written to, or will write to: see the top of this page."""
        cupy = self.backend.xp
        with cupy.cuda.using_allocator(self._pool_of_numbers.malloc):
            return cupy.empty(shape, dtype)

    def words(self) -> list[tuple[Stream, int]]:
        """Return the streams that a step draws from, and how many words of each it uses."""
        streams = [counter for counter in self._counters if isinstance(counter.what, Stream)]
        return [(counter.what, counter.what.position - counter.start) for counter in streams]

    def set_rates(self) -> None:
        """Ask each rule for the rates of its next update, in the order of the updates; each counts its own."""
        for update in self.updates:
            for row, numbers in enumerate(update.rule.rates()):
                padded = (*numbers, *[0.0] * (_RATES - len(numbers)))
                self.backend.kernels.in_one_thread("set_rates", update.rates[row], *map(np.float32, padded))
            update.rule.count_update()

    def product(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """Return ``a @ b``, computed by our own call of cuBLAS; in `out`, if it is given."""
        if out is None:
            out = self.backend.xp.empty((a.shape[0], b.shape[1]), np.float32)
        self._blas.product(a, b, out, self.stream)
        return out


@dataclass
class _Counter:
    """A number on the device: how far `what` has moved since the capture."""

    what: Any
    start: int
    moved: Array


@dataclass
class _Update:
    """One update of the captured step, and the place on the device that holds its rates."""

    rule: Any
    weights: set[int]
    rates: Array


class Blas:
    """Products by cuBLAS on a given stream, in a workspace that is allocated before any capture.

    Parameters
    ----------
    cupy : module
    library : ctypes library
        cuBLAS.

    Attributes
    ----------
    close : callable
        Destroys the handle of cuBLAS, if it still exists; so does the end of this object.

    Raises
    ------
    CaptureError
        cuBLAS returns an error.
    """

    def __init__(self, cupy: Any, library: Any) -> None:
        self._library = library
        self._handle = ctypes.c_void_p()
        self._workspace = cupy.empty(_WORKSPACE, np.uint8)
        self._stream: Any = None
        self._check("cublasCreate_v2", ctypes.byref(self._handle))
        self.close = weakref.finalize(self, library.cublasDestroy_v2, self._handle)
        self.close.atexit = False  # the end of the process destroys it

    def product(self, a: Array, b: Array, out: Array, stream: Any) -> None:
        """Set out = a @ b, for float32 matrices of which `out` is in C order.

        cuBLAS stores matrices by columns, so it reads a matrix in C order as its transpose. So it computes
        out' = b' a'.
        """
        if stream is not self._stream:
            # setting the stream removes the workspace, so it comes first
            self._check("cublasSetStream_v2", self._handle, ctypes.c_void_p(stream.ptr))
            size = ctypes.c_size_t(self._workspace.nbytes)
            self._check("cublasSetWorkspace_v2", self._handle, ctypes.c_void_p(self._workspace.data.ptr), size)
            self._stream = stream
        (rows, inner), columns = a.shape, b.shape[1]
        if not out.size:
            return
        if not inner:
            out.fill(0)
            return
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        (b, op_b, width_b), (a, op_a, width_a) = _as_cublas_sees(b), _as_cublas_sees(a)
        self._check(
            "cublasSgemm_v2", self._handle, op_b, op_a, columns, rows, inner,
            ctypes.byref(one), ctypes.c_void_p(b.data.ptr), width_b, ctypes.c_void_p(a.data.ptr), width_a,
            ctypes.byref(zero), ctypes.c_void_p(out.data.ptr), columns,
        )  # fmt: skip

    def _check(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise CaptureError(f"{name} returned status {status}")


def _as_cublas_sees(matrix: Array) -> tuple[Array, int, int]:
    """Return a contiguous matrix, whether cuBLAS must transpose it (0 or 1), and its leading dimension."""
    if matrix.flags.c_contiguous:
        return matrix, 0, matrix.shape[1]
    if matrix.flags.f_contiguous:
        return matrix, 1, matrix.shape[0]
    return matrix.copy(order="C"), 0, matrix.shape[1]


def load_cublas() -> Any:
    """Return the cuBLAS that CuPy uses.

    Raises
    ------
    CaptureError
        It is not found.
    """
    try:
        pathfinder = importlib.import_module("cuda.pathfinder")  # comes with CuPy
        return ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path)
    except Exception as error:  # pathfinder's own errors, or OSError
        raise CaptureError(f"cuBLAS cannot be loaded ({error})") from error
