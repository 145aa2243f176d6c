"""The CUDA kernels of ``kernels.cu``, compiled when they are first called, and how they are launched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.backend.base import Array

SOURCE = Path(__file__).with_name("kernels.cu")
OPTIONS = ("--fmad=false",)  # a b + c is rounded twice, as in NumPy
NULL = np.uint64(0)  # what stands for a null pointer among the arguments of a kernel

_THREADS = 256  # in a block; the kernels that add up over a block count on it
_MOST_BLOCKS = 4096  # more than any GPU runs at once; each thread then takes several elements
LIMIT = 2**31  # elements are counted in 32 bits


class Kernels:
    """Launches kernels by name.

    Parameters
    ----------
    cupy : module
        CuPy.
    """

    def __init__(self, cupy: Any) -> None:
        self._ndarray = cupy.ndarray
        self._module = cupy.RawModule(code=SOURCE.read_text(encoding="utf-8"), options=OPTIONS)
        self._functions: dict[str, Callable[..., None]] = {}

    def take(self, *arrays: Array | None) -> bool:
        """Return whether the kernels can work on these arrays: float32 in C order, some elements and not too many."""
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
        """Launch a kernel with `threads` threads or more, in the order and on the stream of all other work."""
        self._launch(name, min(-(-threads // _THREADS), _MOST_BLOCKS), arguments)

    def in_one_block(self, name: str, *arguments: Any) -> None:
        """Launch a kernel whose threads add up something together."""
        self._launch(name, 1, arguments)

    def in_one_thread(self, name: str, *arguments: Any) -> None:
        """Launch a kernel that has no threads to tell apart."""
        self._launch(name, 1, arguments, threads=1)

    def _launch(self, name: str, blocks: int, arguments: tuple[Any, ...], threads: int = _THREADS) -> None:
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = self._module.get_function(name)
        function((blocks,), (threads,), arguments)
