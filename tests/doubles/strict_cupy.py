"""A strict double of CuPy: its arrays are in host memory, and a wait for the GPU or an implicit copy is an error.

`StrictCupy` is a module that replaces ``cupy``. Its `ndarray` wraps a NumPy array, and

- never becomes a NumPy array, is combined with one, or is indexed by one or by a list, except through `asnumpy`,
  `array`, `asarray` or ``.get()``: CuPy refuses some of this, and copies silently for the rest;
- has only names and signatures of CuPy 14, and its reductions to 0-d arrays (`tests/doubles/test_strict_cupy.py`
  compares them with the real CuPy if it is installed);
- runs kernels of a `RawModule` from their CUDA source, compiled for the CPU, after comparing every argument with its
  declaration: CuPy would pass any bytes.

`GPU` counts launches, copies between host and device, and waits. Inside ``with gpu.step():`` copies, waits and double
precision are errors. While a stream is captured, products by cuBLAS and the memory of the host are errors, too.

A `MemoryPool` gives memory to a new array as soon as the last array there is gone, as CuPy's does. So a graph reads and
writes the memory that it would on a GPU, also where a recorded kernel overwrites what another needs.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import math
import operator
import types
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from tests.doubles import cuda_on_cpu


class StrictError(AssertionError):
    """Raised for a call that CuPy refuses, or that would make a step slow."""


class GPU:
    """The device: it counts calls, and refuses those that are not allowed at the moment."""

    def __init__(self) -> None:
        self.launches: Counter[str] = Counter()
        self.transfers: list[str] = []
        self.waits: list[str] = []
        self.in_step = False
        self.recording: list[Callable[[], None]] | None = None  # the graph during a capture
        self.pool: MemoryPool | None = None  # the pool that memory comes from, unless it is the common one
        self.blocks: list[np.ndarray] = []  # the memory of all pools

    @contextlib.contextmanager
    def step(self) -> Iterator[Counter[str]]:
        """Refuse transfers, waits and float64 during the block; yield the counts of its launches."""
        before, self.launches, self.in_step = self.launches, Counter(), True
        try:
            yield self.launches
        finally:
            self.launches, self.in_step = before + self.launches, False

    def launch(self, name: str, work: Callable[[], None], *arrays: Any) -> None:
        """Count a kernel and run it; in a capture, record it instead. `work` fills memory that exists already."""
        self.launches[name] += 1
        for array in arrays:
            if self.in_step and getattr(array, "dtype", None) == np.float64:
                raise StrictError(f"{name}: float64 in a training step")
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    def wait(self, why: str) -> None:
        """Count a wait of the host for the device."""
        self.waits.append(why)
        if self.in_step or self.recording is not None:
            raise StrictError(f"{why} waits for the device")

    def transfer(self, what: str) -> None:
        """Count a copy from host to device or back."""
        self.transfers.append(what)
        if self.in_step or self.recording is not None:
            raise StrictError(f"{what} copies between host and device")


_gpu = GPU()  # the device of every array; `StrictCupy` begins a new one


class MemoryPool:
    """Memory that is used again; `total_bytes` counts it, used or not, until `free_all_blocks` gives them back."""

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []
        self._taken = 0

    def malloc(self, size: int) -> np.ndarray:
        """Return memory in a block that is a multiple of 512 bytes; the block is free when no array refers to it."""
        needed = -(-max(size, 1) // 512) * 512
        fitting = [block for block in self._free if block.nbytes == needed]
        if fitting:
            block = fitting[0]
            self._free[:] = [other for other in self._free if other is not block]
        else:
            block = np.empty(needed, np.uint8)
            _gpu.blocks.append(block)
            self._taken += needed
        memory = np.frombuffer(memoryview(block), np.uint8, size)
        weakref.finalize(memory, self._free.append, block).atexit = False
        return memory

    def total_bytes(self) -> int:
        return self._taken

    def free_all_blocks(self) -> None:
        self._taken -= sum(block.nbytes for block in self._free)
        self._free.clear()


def _new(shape: Any, dtype: Any) -> np.ndarray:
    """Return memory for a new array."""
    dtype, shape = np.dtype(dtype), (shape,) if np.ndim(shape) == 0 else tuple(shape)
    if _gpu.pool is None:
        return np.empty(shape, dtype)
    size = dtype.itemsize * math.prod(shape)
    return _gpu.pool.malloc(size).view(dtype).reshape(shape) if size else np.empty(shape, dtype)


def _new_like(array: np.ndarray) -> np.ndarray:
    """Return memory for a new array whose axes have the order of another's: from the slowest to the fastest."""
    order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    new = _new([array.shape[axis] for axis in order], array.dtype)
    return new.transpose(np.argsort(order))


def _recorded(array: Any) -> Any:
    """Return an array as a recorded kernel refers to it: by its address, which keeps no memory of a pool in use."""
    if _gpu.recording is None or not isinstance(array, np.ndarray) or not array.size:
        return array
    start = np.lib.array_utils.byte_bounds(array)[0]
    for block in _gpu.blocks:
        if 0 <= start - block.ctypes.data < block.nbytes:
            offset = array.ctypes.data - block.ctypes.data
            return np.ndarray(array.shape, array.dtype, block, offset, array.strides)
    return array


def _plain(value: Any, where: str) -> Any:
    """Return the NumPy array inside an array of the double; refuse foreign ones."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, (np.ndarray, list)):
        raise StrictError(f"{where}: a {type(value).__name__} was combined with an array on the device")
    return value  # numbers and dtypes


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_index(part) for part in index)
    if isinstance(index, ndarray) and index.dtype == bool:
        _gpu.wait("a boolean mask")
    return _plain(index, "indexing")


def _compute(name: str, function: Callable[..., Any], *operands: Any, out: Any = None, **options: Any) -> Any:
    """Run one kernel that makes a new array, or fills `out`."""
    plain = [_recorded(_plain(operand, name)) for operand in operands]
    with np.errstate(all="ignore"):
        trial = np.asarray(function(*plain, **options))
    result = ndarray(_new_like(trial)) if out is None else out
    target = _recorded(result._host)

    def work() -> None:
        with np.errstate(all="ignore"):
            np.copyto(target, np.asarray(function(*plain, **options)), casting="same_kind")

    _gpu.launch(name, work, result, *operands)
    return result


class _Flags(NamedTuple):
    """The flags of CuPy that tinygan uses; CuPy has no `writeable`."""

    c_contiguous: bool
    f_contiguous: bool


def _argmax(a: np.ndarray, axis: Any, keepdims: bool) -> Any:
    """Return the place of the last nan, where NumPy takes the first: CuPy takes any of them."""
    place = a.argmax(axis=axis, keepdims=keepdims)
    if a.dtype.kind != "f" or not np.isnan(a).any():
        return place
    nan = np.isnan(a)
    last = (nan.size if axis is None else nan.shape[axis]) - 1 - np.flip(nan, axis).argmax(axis=axis, keepdims=keepdims)
    return np.where(nan.any(axis=axis, keepdims=keepdims), last, place)


class _Meta(type):
    """Adds the operators; each is one kernel."""

    def __init__(cls, *args: Any) -> None:
        super().__init__(*args)
        comparisons = ["eq", "ne", "lt", "le", "gt", "ge"]
        for name in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", *comparisons]:
            function = getattr(operator, f"{name}_" if name in ("and", "or") else name)
            setattr(cls, f"__{name}__", cls._forward(name, function))
            if name not in comparisons:
                setattr(cls, f"__r{name}__", cls._reflected(name, function))
                setattr(cls, f"__i{name}__", cls._in_place(name, function))
        for name in ("neg", "abs", "invert"):
            setattr(cls, f"__{name}__", cls._forward(name, getattr(operator, name)))
        for name in ("max", "min", "any", "all"):
            setattr(cls, name, cls._reduction(name, lambda a, name=name, **options: getattr(a, name)(**options)))
        cls.argmax = cls._reduction("argmax", _argmax)
        for name in ("sum", "mean", "prod"):
            setattr(cls, name, cls._sum(name))

    @staticmethod
    def _forward(name: str, function: Any) -> Any:
        return lambda self, *others: _compute(name, function, self, *others)

    @staticmethod
    def _reflected(name: str, function: Any) -> Any:
        return lambda self, other: _compute(name, lambda a, b: function(b, a), self, other)

    @staticmethod
    def _in_place(name: str, function: Any) -> Any:
        return lambda self, other: _compute(name, function, self, other, out=self)

    @staticmethod
    def _reduction(name: str, function: Any) -> Any:
        def reduce(self: Any, axis: Any = None, keepdims: bool = False) -> Any:
            return _compute(name, lambda a: function(a, axis=axis, keepdims=keepdims), self)

        return reduce

    @staticmethod
    def _sum(name: str) -> Any:
        def reduce(self: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
            return _compute(name, lambda a: getattr(a, name)(axis=axis, dtype=dtype, keepdims=keepdims), self)

        return reduce


class ndarray(metaclass=_Meta):  # noqa: N801
    """An array on the device."""

    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None

    def __init__(self, host: np.ndarray, base: Any = None) -> None:
        self._host = host
        self.base = base
        if host.dtype == np.float64 and _gpu.in_step:
            raise StrictError("an array of float64 in a training step")

    shape = property(lambda self: self._host.shape)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    dtype = property(lambda self: self._host.dtype)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: _Flags(self._host.flags.c_contiguous, self._host.flags.f_contiguous))
    T = property(lambda self: self._view(self._host.T))
    data = property(lambda self: types.SimpleNamespace(ptr=self._host.ctypes.data))

    def _view(self, host: Any) -> ndarray:
        return ndarray(host, self if self.base is None else self.base)

    # ------------------------------------------------------------------ views need no kernel

    def __getitem__(self, index: Any) -> ndarray:
        host = self._host[_index(index)]
        if isinstance(host, np.ndarray) and np.shares_memory(host, self._host):
            return self._view(host)
        if not isinstance(host, np.ndarray):  # integers for every axis: still an array, a view
            fixed = tuple(slice(i, i + 1 or None) for i in (index if isinstance(index, tuple) else (index,)))
            return self._view(self._host[fixed].reshape(()))
        return _compute("take", lambda a: a[_index(index)], self)

    def __setitem__(self, index: Any, value: Any) -> None:
        target = self._host[_index(index)]
        if isinstance(target, np.ndarray) and target.size and np.shares_memory(target, self._host):
            _compute("setitem", lambda v: np.broadcast_to(np.asarray(v, target.dtype), target.shape), value,
                     out=self._view(target))  # fmt: skip
            return
        plain = _plain(value, "setitem")
        _gpu.launch("setitem", lambda: self._host.__setitem__(_index(index), plain), self)

    def reshape(self, *shape: Any) -> ndarray:
        host = self._host.reshape(*shape)
        return self._view(host) if np.shares_memory(host, self._host) or not host.size else self.copy().reshape(*shape)

    def transpose(self, *axes: Any) -> ndarray:
        return self._view(self._host.transpose(*axes))

    def squeeze(self, axis: Any = None) -> ndarray:
        return self._view(self._host.squeeze(axis))

    def ravel(self) -> ndarray:
        return self.reshape(-1)

    def view(self, dtype: Any = None) -> ndarray:
        return self._view(self._host.view() if dtype is None else self._host.view(dtype))

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    # ------------------------------------------------------------------ kernels

    def copy(self, order: str = "C") -> ndarray:
        return _compute("copy", lambda a: a.copy(), self)

    def astype(self, dtype: Any, copy: bool = True) -> ndarray:
        if not copy and self.dtype == dtype:
            return self
        return _compute("astype", lambda a: a.astype(dtype), self)

    def argsort(self, axis: int = -1) -> ndarray:
        return _compute("argsort", lambda a: a.argsort(axis, kind="stable"), self)

    def fill(self, value: Any) -> None:
        _compute("fill", lambda a: np.full_like(a, value), self, out=self)

    def __matmul__(self, other: Any) -> ndarray:
        if _gpu.recording is not None:
            raise StrictError("cuBLAS through CuPy is refused while a stream is captured")
        return _compute("matmul", operator.matmul, self, other)

    def __rmatmul__(self, other: Any) -> ndarray:
        raise StrictError(f"matmul: a {type(other).__name__} was combined with an array on the device")

    # ------------------------------------------------------------------ values read by the host need a wait

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise StrictError("implicit conversion to a NumPy array")

    def get(self) -> np.ndarray:
        _gpu.wait("get")
        _gpu.transfer("get")
        return self._host.copy()

    def item(self) -> Any:
        _gpu.wait("item")
        return self._host.item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def nonzero(self) -> Any:
        _gpu.wait("nonzero")
        return tuple(ndarray(index) for index in self._host.nonzero())

    def __bool__(self) -> bool:
        _gpu.wait("bool")
        return bool(self._host)

    def __int__(self) -> int:
        _gpu.wait("int")
        return int(self._host)

    def __float__(self) -> float:
        _gpu.wait("float")
        return float(self._host)

    def __index__(self) -> int:
        _gpu.wait("index")
        return operator.index(self._host)

    def __repr__(self) -> str:
        _gpu.wait("repr")
        return repr(self._host)


ndarray.__module__ = "cupy"


class RawModule:
    """Kernels from CUDA source, run on the CPU."""

    def __init__(self, code: str, *, options: tuple[str, ...] = ()) -> None:
        self._library = cuda_on_cpu.build(code, options)
        self._signatures = cuda_on_cpu.signatures(code)

    def get_function(self, name: str) -> Callable[[tuple[int, ...], tuple[int, ...], tuple[Any, ...]], None]:
        signature = self._signatures[name]

        def call(grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
            if len(arguments) != len(signature):
                raise StrictError(f"{name} takes {len(signature)} arguments, got {len(arguments)}")
            limits = zip(grid, (2**31, 2**16), strict=False)
            sound = len(grid) in (1, 2) and all(0 < size < limit for size, limit in limits)
            if not (sound and len(block) == 1 and 0 < block[0] <= 1024):
                raise StrictError(f"{name}: no launch on a grid of {grid} blocks of {block} threads")
            values = []
            for position, (argument, (dtype, pointer, _)) in enumerate(zip(arguments, signature, strict=True)):
                where = f"{name}: argument {position}"
                if isinstance(argument, ndarray) and pointer:
                    if argument.dtype != dtype:
                        raise StrictError(f"{where} is an array of {argument.dtype}, the kernel reads {dtype}")
                    if not argument.flags.c_contiguous:
                        raise StrictError(f"{where} has gaps, and a RawKernel reads memory as it lies")
                    values.append(_recorded(argument._host))
                elif pointer and isinstance(argument, np.uint64) and not argument:
                    values.append(None)
                elif not pointer and isinstance(argument, np.generic) and argument.dtype == dtype:
                    values.append(argument)
                elif dtype.names and isinstance(argument, np.ndarray) and (argument.dtype, argument.size) == (dtype, 1):
                    values.append(argument[0].copy())  # a struct
                else:
                    expected = f"an array of {dtype} or np.uint64(0)" if pointer else f"np.{dtype}"
                    raise StrictError(f"{where} must be {expected}, got {type(argument).__name__}")
            work = lambda: cuda_on_cpu.launch(self._library, name, grid, block[0], values)  # noqa: E731
            _gpu.launch(name, work, *arguments)

        return call


class Graph:
    """The recorded work of a capture."""

    def __init__(self, works: list[Callable[[], None]]) -> None:
        self._works = works

    def launch(self, stream: Any = None) -> None:
        _gpu.launches["graph"] += 1
        for work in self._works:
            work()


class Stream:
    """A queue; work is done at once, or recorded during a capture."""

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.non_blocking = non_blocking
        self.ptr = id(self)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def begin_capture(self, mode: Any = None) -> None:
        if not self.non_blocking:
            raise StrictError("capture needs a non-blocking stream")
        _gpu.recording = []

    def end_capture(self) -> Graph:
        works, _gpu.recording = _gpu.recording, None
        assert works is not None, "nothing is being captured"
        return Graph(works)

    def is_capturing(self) -> bool:
        return _gpu.recording is not None

    def synchronize(self) -> None:
        _gpu.wait("synchronize")


def _elementwise(name: str) -> Callable[..., Any]:
    return lambda *operands: _compute(name, getattr(np, name), *operands)


def _memory(name: str) -> Callable[..., Any]:
    """Return `zeros` or `ones`: a kernel that fills new memory (`empty` needs no kernel)."""

    def make(shape: Any, dtype: Any = float) -> ndarray:
        out = ndarray(_new(shape, dtype))
        target = _recorded(out._host)
        _gpu.launch(name, lambda: np.copyto(target, getattr(np, name)(shape, dtype)), out)
        return out

    return make


class StrictCupy(types.ModuleType):
    """The module."""

    def __init__(self) -> None:
        super().__init__("cupy")
        global _gpu
        self.gpu = _gpu = GPU()
        self.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
        self.__version__ = "14.2.0"
        self.ndarray = ndarray
        self.RawModule = RawModule
        for name in ("float32", "float64", "int64", "uint8", "uint64", "bool_"):
            setattr(self, name, getattr(np, name))
        functions = ["exp", "log", "log1p", "sqrt", "tanh", "abs", "sign", "isfinite", "maximum", "minimum", "multiply"]
        functions += ["ldexp", "full_like", "sin", "cos", "expm1", "logaddexp", "floor", "round", "isnan", "isinf"]
        functions += ["signbit", "logical_not", "invert"]
        for name in functions:
            setattr(self, name, _elementwise(name))
        for name in ("zeros", "ones"):
            setattr(self, name, _memory(name))
        self.add = _Add()
        self.frexp = lambda a: tuple(_compute("frexp", lambda x, i=i: np.frexp(x)[i], a) for i in range(2))
        self.cuda = types.SimpleNamespace(
            runtime=types.SimpleNamespace(
                getDeviceCount=lambda: 1,
                getDevice=lambda: 0,
                getDeviceProperties=lambda device: {"name": b"Double"},
                runtimeGetVersion=lambda: 13020,
            ),
            Device=lambda device=0: types.SimpleNamespace(use=lambda: None),
            Stream=Stream,
            get_current_stream=lambda: Stream(null=True),
            MemoryPool=MemoryPool,
            using_allocator=self._using_allocator,
        )

    @contextlib.contextmanager
    def _using_allocator(self, allocator: Any) -> Iterator[None]:
        before, self.gpu.pool = self.gpu.pool, allocator.__self__
        try:
            yield
        finally:
            self.gpu.pool = before

    # ------------------------------------------------------------------ between host and device

    def asnumpy(self, a: Any) -> np.ndarray:
        return a.get() if isinstance(a, ndarray) else np.asarray(a)

    def array(self, obj: Any, dtype: Any = None, copy: bool = True, order: str = "K") -> ndarray:
        if isinstance(obj, ndarray):
            return _compute("copy", lambda a: np.array(a, dtype, order=order), obj)
        self.gpu.transfer("array")
        return ndarray(np.array(obj, dtype, order=order))

    def asarray(self, a: Any, dtype: Any = None) -> ndarray:
        if isinstance(a, ndarray):
            return a if dtype in (None, a.dtype) else a.astype(dtype)
        self.gpu.transfer("asarray")
        return ndarray(np.array(a, dtype))

    # ------------------------------------------------------------------ new arrays

    def empty(self, shape: Any, dtype: Any = float) -> ndarray:
        if self.gpu.recording is not None and self.gpu.pool is None:
            raise StrictError("memory of a captured step from the common pool, which may be reused by others")
        out = ndarray(_new(shape, dtype))
        if out.dtype.kind == "f":
            out._host.fill(np.nan)  # shows a read before the first write
        return out

    def eye(self, N: int, dtype: Any = float) -> ndarray:
        out = ndarray(_new((N, N), dtype))
        self.gpu.launch("eye", lambda: np.copyto(out._host, np.eye(N, dtype=dtype)), out)
        return out

    def empty_like(self, prototype: ndarray, dtype: Any = None) -> ndarray:
        return self.empty(prototype.shape, prototype.dtype if dtype is None else dtype)

    def full(self, shape: Any, fill_value: Any, dtype: Any = None) -> ndarray:
        out = ndarray(_new(shape, np.asarray(fill_value).dtype if dtype is None else dtype))
        out.fill(fill_value)
        return out

    def zeros_like(self, a: ndarray) -> ndarray:
        return self.zeros(a.shape, a.dtype)

    def arange(self, start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
        host = np.arange(start, dtype=dtype) if stop is None else np.arange(start, stop, step, dtype)
        out = ndarray(_new(host.shape, host.dtype))
        self.gpu.launch("arange", lambda: np.copyto(out._host, host), out)
        return out

    # ------------------------------------------------------------------ from arrays

    def where(self, condition: ndarray, x: Any, y: Any) -> ndarray:
        if not isinstance(condition, ndarray):
            raise StrictError("where: the condition is no array on the device")
        return _compute("where", np.where, condition, x, y)

    def clip(self, a: ndarray, a_min: Any, a_max: Any) -> ndarray:
        return _compute("clip", np.clip, a, a_min, a_max)

    def concatenate(self, tup: Any, axis: int = 0) -> ndarray:
        plain = [_plain(a, "concatenate") for a in tup]
        return _compute("concatenate", lambda: np.concatenate(plain, axis))

    def stack(self, tup: Any, axis: int = 0) -> ndarray:
        plain = [_plain(a, "stack") for a in tup]
        return _compute("stack", lambda: np.stack(plain, axis))

    def pad(self, array: ndarray, pad_width: Any, mode: str = "constant", **kwargs: Any) -> ndarray:
        return _compute("pad", lambda a: np.pad(a, pad_width, mode, **kwargs), array)

    def take_along_axis(self, a: ndarray, indices: ndarray, axis: int) -> ndarray:
        return _compute("take_along_axis", lambda x, i: np.take_along_axis(x, i, axis), a, indices)

    def cumsum(self, a: ndarray, axis: Any = None) -> ndarray:
        return _compute("cumsum", lambda x: np.cumsum(x, axis), a)

    def einsum(self, *operands: Any, **kwargs: Any) -> ndarray:
        return _compute("einsum", lambda *plain: np.einsum(operands[0], *plain, **kwargs), *operands[1:])

    def broadcast_to(self, array: ndarray, shape: Any) -> ndarray:
        return array._view(np.broadcast_to(array._host, shape))

    def expand_dims(self, a: ndarray, axis: int) -> ndarray:
        return a._view(np.expand_dims(a._host, axis))

    def swapaxes(self, a: ndarray, axis1: int, axis2: int) -> ndarray:
        return a._view(a._host.swapaxes(axis1, axis2))

    def shares_memory(self, a: ndarray, b: ndarray) -> bool:
        return np.shares_memory(a._host, b._host)


def special() -> types.ModuleType:
    """Return the double of ``cupyx.scipy.special``."""
    module = types.ModuleType("cupyx.scipy.special")
    module.ndtr = lambda x: _compute("ndtr", scipy.special.ndtr, x)  # type: ignore[attr-defined]
    return module


class _Add:
    """The ufunc `add`, for its `at`."""

    def __call__(self, a: Any, b: Any) -> ndarray:
        return _compute("add", operator.add, a, b)

    def at(self, a: ndarray, indices: Any, b: Any) -> None:
        plain, index = _plain(b, "add.at"), _index(indices)
        _gpu.launch("add.at", lambda: np.add.at(a._host, index, plain), a)
