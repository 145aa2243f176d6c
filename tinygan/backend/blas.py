"""A routine of the BLAS inside NumPy that update rules use and NumPy does not offer: ``y = a x + b y``.

It takes three passes over memory in NumPy and one in BLAS. The library must be NumPy's own copy: a second copy, such as
SciPy's, has threads of its own, and the two would compete for the cores.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from tinygan.errors import ShapeError

# The names of the routine in builds of OpenBLAS, with the type of their integers.
_NAMES = (
    ("scipy_cblas_{}axpby64_", ctypes.c_int64),  # the wheels on PyPI
    ("cblas_{}axpby64_", ctypes.c_int64),
    ("cblas_{}axpby", ctypes.c_int),  # conda and the distributions
)
_KINDS = {np.dtype(np.float32): ("s", ctypes.c_float), np.dtype(np.float64): ("d", ctypes.c_double)}


@cache
def axpby(dtype: np.dtype[Any]) -> Callable[[float, Any, float, Any], None] | None:
    """Return ``f(a, x, b, y)``, which sets y = a x + b y in place in one pass, or None if there is no such routine.

    x and y are contiguous arrays of `dtype` and of one size, and do not overlap. Other arrays are refused with a
    ShapeError, because BLAS would write past their ends.

    Examples
    --------
    >>> x, y = np.ones(3, np.float32), np.ones(3, np.float32)
    >>> f = axpby(x.dtype)
    >>> f is None or f(2.0, x, 3.0, y)
    >>> bool((y == 5).all()) or f is None
    True
    """
    path = _library()
    if path is None or dtype not in _KINDS:
        return None
    letter, real = _KINDS[dtype]
    library, pointer = ctypes.CDLL(path), ctypes.c_void_p
    found = [(name.format(letter), integer) for name, integer in _NAMES if hasattr(library, name.format(letter))]
    if not found:
        return None
    routine, integer = getattr(library, found[0][0]), found[0][1]
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


def _library() -> str | None:
    """Return the path of the OpenBLAS that NumPy calls, or None if it cannot be determined."""
    paths = {info["filepath"] for info in threadpool_info() if info["internal_api"] == "openblas"}
    own = {path for path in paths if "numpy" in path.lower()} or paths  # the wheels of NumPy and SciPy each contain one
    return own.pop() if len(own) == 1 else None
