"""`NumbaBackend`: arrays in host memory, with kernels that are one loop over the elements, compiled by numba."""

from __future__ import annotations

from tinygan.backend.compiled import load_numba
from tinygan.backend.numpy import NumpyBackend


class NumbaBackend(NumpyBackend):
    """The backend of ``device="cpu"`` after ``select_backend("numba")``.

    It overrides only the methods for which a compiled loop is faster than NumPy. The tests compare each with the
    portable version.

    Raises
    ------
    DeviceError
        numba is not installed.
    """

    def __init__(self) -> None:
        load_numba()
        super().__init__()
