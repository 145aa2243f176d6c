"""`CupyBackend`: arrays on an NVIDIA GPU. CuPy is optional and imported only here, when first asked for."""

from __future__ import annotations

import importlib.util
from typing import Any

from tinygan.backend.base import Array, Backend
from tinygan.errors import DeviceError

_INSTALL = "pip install 'cupy-cuda13x[ctk]' (or 'cupy-cuda12x[ctk]' for a driver of CUDA 12)"


def missing() -> str | None:
    """Say in one sentence what keeps ``device="cuda"`` from working, or return None when it works."""
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


class CupyBackend(Backend):
    """The backend of ``device="cuda"``: the portable kernels on CuPy arrays."""

    def __init__(self) -> None:
        problem = missing()
        if problem is not None:
            raise DeviceError(f"device 'cuda' is not available: {problem}")
        import cupy

        super().__init__(cupy, "cuda")

    def to_numpy(self, array: Array) -> Any:
        """Copy to host memory; this waits for the GPU."""
        return self.xp.asnumpy(array)
