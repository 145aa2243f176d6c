"""The BLAS inside NumPy, for the two of its routines that an update rule wants and NumPy does not offer.

``y = a x + b y`` is three passes over memory in NumPy and one in BLAS. It must be NumPy's own copy of the library: a
second one, SciPy's say, has threads of its own, and the two would take the cores from each other.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from tinygan.errors import ShapeError

# The names by which builds of OpenBLAS know a routine, with the type of their integers.
_NAMES = (
    ("scipy_cblas_{}64_", ctypes.c_int64),  # the wheels on PyPI
    ("cblas_{}64_", ctypes.c_int64),
    ("cblas_{}", ctypes.c_int),  # conda and the distributions
)
_KINDS = {np.dtype(np.float32): ("s", ctypes.c_float), np.dtype(np.float64): ("d", ctypes.c_double)}


@cache
def axpby(dtype: np.dtype[Any]) -> Callable[[float, Any, float, Any], None] | None:
    """Return ``f(a, x, b, y)``, which sets y = a x + b y in place in one pass, or None where there is no such routine.

    x and y are contiguous arrays of `dtype` and of one size, and do not overlap. BLAS would go past the ends of others:
    they are refused with a ShapeError.

    Examples
    --------
    >>> x, y = np.ones(3, np.float32), np.ones(3, np.float32)
    >>> f = axpby(x.dtype)
    >>> f is None or f(2.0, x, 3.0, y)
    >>> bool((y == 5).all()) or f is None
    True
    """
    found = _routine("axpby", dtype)
    if found is None:
        return None
    routine, integer, real = found
    pointer = ctypes.c_void_p
    routine.argtypes = [integer, real, pointer, integer, real, pointer, integer]
    routine.restype = None

    def call(a: float, x: Any, b: float, y: Any) -> None:
        here, there = x.flags, y.flags
        if not (
            x.size == y.size
            and x.dtype == y.dtype == dtype
            and here.c_contiguous
            and there.c_contiguous
            and there.writeable
        ):
            raise ShapeError(
                f"axpby: expected two contiguous arrays of {dtype} of one size, the second writable; got "
                f"{x.dtype}{list(x.shape)} and {y.dtype}{list(y.shape)}"
            )
        routine(x.size, a, x.ctypes.data, 1, b, y.ctypes.data, 1)

    return call


def _routine(name: str, dtype: np.dtype[Any]) -> tuple[Any, Any, Any] | None:
    """Find a routine of NumPy's OpenBLAS; return it with the types of its integers and of its numbers."""
    path = _library()
    if path is None or dtype not in _KINDS:
        return None
    letter, real = _KINDS[dtype]
    library = ctypes.CDLL(path)
    for pattern, integer in _NAMES:
        routine = getattr(library, pattern.format(letter + name), None)
        if routine is not None:
            return routine, integer, real
    return None


def _library() -> str | None:
    """Return the path of the OpenBLAS that NumPy calls, or None if that cannot be told."""
    paths = {info["filepath"] for info in threadpool_info() if info["internal_api"] == "openblas"}
    own = {path for path in paths if "numpy" in path.lower()} or paths  # wheels of NumPy and of SciPy bring one each
    return own.pop() if len(own) == 1 else None
