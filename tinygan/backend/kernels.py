"""Compile the CUDA kernels of ``kernels.cu``, ``images.cu`` and ``layers.cu`` at first use, and launch them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.backend.base import Array, Shape

SOURCES = [Path(__file__).with_name(name) for name in ("kernels.cu", "images.cu", "layers.cu")]
OPTIONS = ("--fmad=false",)  # a b + c is rounded twice, as in NumPy
NULL = np.uint64(0)  # a null pointer as an argument of a kernel

_THREADS = 256  # in a block; kernels that sum over a block depend on this number
_MOST_BLOCKS = 4096  # more than any GPU runs at once; for more elements, each thread processes several
_MOST_BLOCKS_EACH = 1024  # of each array, where one launch processes many
_MOST_ARRAYS = 64  # in one launch: `MOST_ARRAYS` of `kernels.cu`
LIMIT = 2**31  # elements are counted with 32 bits

# `struct Arrays` of `kernels.cu`; a launch copies it, like a number.
_POINTERS = ("weight", "gradient", "first", "second")
ARRAYS = np.dtype([*((name, np.uint64, _MOST_ARRAYS) for name in _POINTERS), ("size", np.uint32, _MOST_ARRAYS)])


def source() -> str:
    """Return the source of all kernels, which is compiled as one."""
    return "\n".join([path.read_text(encoding="utf-8") for path in SOURCES])


class Kernels:
    """Launch kernels by name.

    Parameters
    ----------
    cupy : module
        CuPy.
    """

    def __init__(self, cupy: Any) -> None:
        self._ndarray = cupy.ndarray
        self._module = cupy.RawModule(code=source(), options=OPTIONS)
        self._functions: dict[str, Callable[..., None]] = {}

    def take(self, *arrays: Array | None) -> bool:
        """Return whether the kernels can process these arrays: float32 in C order, with 1 to `LIMIT` - 1 elements."""
        return all(
            array is None
            or (
                isinstance(array, self._ndarray)
                and array.dtype == np.float32
                and array.flags.c_contiguous
                and 0 < array.size < LIMIT
            )
            for array in arrays
        )

    def __call__(self, name: str, threads: int, *arguments: Any) -> None:
        """Launch a kernel with at least `threads` threads, on the current stream, after all other work there."""
        self._launch(name, (min(-(-threads // _THREADS), _MOST_BLOCKS),), arguments)

    def in_blocks(self, name: str, blocks: int, *arguments: Any) -> None:
        """Launch a kernel with at most `blocks` blocks; the threads of each compute sums together."""
        self._launch(name, (min(blocks, _MOST_BLOCKS),), arguments)

    def update(self, name: str, updates: Sequence[tuple[Array, ...]], *arguments: Any) -> None:
        """Launch the kernel of an update rule for many weights, each with its gradient and the state of the rule."""
        for start in range(0, len(updates), _MOST_ARRAYS):
            some = updates[start : start + _MOST_ARRAYS]
            sizes = [weight.size for weight, *_ in some]
            table = np.zeros(1, ARRAYS)
            for field, arrays in zip(_POINTERS, zip(*some, strict=True), strict=False):
                table[field][0, : len(some)] = [0 if array is None else array.data.ptr for array in arrays]
            table["size"][0, : len(some)] = sizes
            blocks = min(-(-max(sizes) // _THREADS), _MOST_BLOCKS_EACH), len(some)
            self._launch(name, blocks, (table, *arguments))

    def in_one_thread(self, name: str, *arguments: Any) -> None:
        """Launch a kernel that needs one thread only."""
        self._launch(name, (1,), arguments, threads=1)

    def _launch(self, name: str, blocks: Shape, arguments: tuple[Any, ...], threads: int = _THREADS) -> None:
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = self._module.get_function(name)
        function(blocks, (threads,), arguments)
