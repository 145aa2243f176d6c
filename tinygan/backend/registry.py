"""The backend of a device, and the backend of an array."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tinygan.backend.base import Backend
from tinygan.backend.cupy import CupyBackend
from tinygan.backend.numpy import NumpyBackend
from tinygan.errors import DeviceError


@cache
def _numpy() -> NumpyBackend:
    return NumpyBackend()


@cache
def _numba() -> NumpyBackend:
    from tinygan.backend.numba import NumbaBackend

    return NumbaBackend()


_cpu: Backend = _numpy()


def select_backend(name: str) -> Backend:
    """Choose the backend of ``device="cpu"`` for this process; return it.

    Tensors that exist already are computed with it, too: both backends have NumPy's arrays.

    Parameters
    ----------
    name : {"numpy", "numba"}
        With numba, the loops over elements are compiled; results differ in their last bits.

    Raises
    ------
    DeviceError
        The name is unknown, or numba is not installed.

    Examples
    --------
    >>> select_backend("numpy")
    NumpyBackend(device='cpu')
    """
    global _cpu
    if name not in ("numpy", "numba"):
        raise DeviceError(f"unknown backend {name!r}: expected 'numpy' or 'numba'")
    _cpu = _numba() if name == "numba" else _numpy()
    return _cpu


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
        The device is unknown; or it is ``"cuda"``, and CuPy or the GPU is missing. The message says what is missing
        and how to install it.

    Examples
    --------
    >>> get_backend("cpu")
    NumpyBackend(device='cpu')
    """
    if isinstance(device, str) and device == "cpu":
        return _cpu
    if isinstance(device, str) and device == "cuda":
        return _cupy()
    what = f"of type {type(device).__name__}" if hasattr(device, "shape") else repr(device)
    is_dtype = isinstance(device, (type, np.dtype)) or (isinstance(device, str) and device in np.sctypeDict)
    advice = "; for another dtype write x.astype('float64')" if is_dtype else ""
    raise DeviceError(f"unknown device {what}: expected 'cpu' or 'cuda'{advice}")


def backend_of(array: Any) -> Backend | None:
    """Return the backend that `array` belongs to, or None if it is not an array."""
    if isinstance(array, np.ndarray):
        return _cpu
    if type(array).__module__.partition(".")[0] == "cupy":
        return _cupy()
    return None
