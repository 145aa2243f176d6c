"""Where arrays live: one `Backend` a device, and the streams of random numbers.

`Backend` is the readable, portable version of every kernel; `NumpyBackend` and `CupyBackend` override what must be
fast.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tinygan.backend.base import Array, Backend, Shape, adam_rates, wide
from tinygan.backend.cupy import CupyBackend
from tinygan.backend.numpy import NumpyBackend, blas_threads, keep_freed_memory
from tinygan.backend.random import Stream, Streams, current_streams, manual_seed
from tinygan.errors import DeviceError, DtypeError

__all__ = [
    "PLAIN_ARRAYS",
    "Array",
    "Backend",
    "CupyBackend",
    "NumpyBackend",
    "Shape",
    "Stream",
    "Streams",
    "adam_rates",
    "backend_of",
    "blas_threads",
    "current_streams",
    "get_backend",
    "keep_freed_memory",
    "manual_seed",
    "plain_array",
    "wide",
]

_numpy = NumpyBackend()


@cache
def _cupy() -> CupyBackend:
    return CupyBackend()


def get_backend(device: str) -> Backend:
    """Return the backend of a device.

    Parameters
    ----------
    device : {"cpu", "cuda"}

    Raises
    ------
    DeviceError
        The device is unknown, or it is ``"cuda"`` and CuPy or the GPU is missing; the message says which, and how
        to get it.

    Examples
    --------
    >>> get_backend("cpu")
    NumpyBackend(device='cpu')
    """
    if device == "cpu":
        return _numpy
    if device == "cuda":
        return _cupy()
    raise DeviceError(f"unknown device {device!r}: expected 'cpu' or 'cuda'")


def backend_of(array: Any) -> Backend | None:
    """Return the backend that `array` belongs to, or None when it is no array."""
    if isinstance(array, np.ndarray):
        return _numpy
    if type(array).__module__.partition(".")[0] == "cupy":
        return _cupy()
    return None


PLAIN_ARRAYS = {np.ndarray}  # classes whose arrays are nothing but arrays


def plain_array(array: Array, caller: str) -> Array:
    """Return an array as one that has only the arithmetic of arrays.

    A subclass of ``numpy.ndarray`` may mean something else by ``*``, or hold more than its numbers, and neither would
    reach the gradient. So each is refused but ``numpy.memmap``, which differs only in where its memory lies.

    Raises
    ------
    DtypeError
        The array is a matrix, a masked array or of another such class.

    Examples
    --------
    >>> plain_array(np.ma.array([1.0, 2.0], mask=[False, True]), "multiply")
    Traceback (most recent call last):
    tinygan.errors.DtypeError: multiply: got a masked array, and a tensor has no mask; ...
    """
    if type(array) in PLAIN_ARRAYS or not isinstance(array, np.ndarray):
        return array
    if isinstance(array, np.memmap):
        return array.view(np.ndarray)
    if isinstance(array, np.ma.MaskedArray):
        raise DtypeError(
            f"{caller}: got a masked array, and a tensor has no mask; fill it first, as in array.filled(0), "
            "and choose by the mask with F.where"
        )
    raise DtypeError(
        f"{caller}: got a {type(array).__name__}, whose operators are not those of an array; "
        "use np.asarray(array) if its plain values are meant"
    )
