"""Arrays: one `Backend` for each device, and the streams of random numbers.

`Backend` is the readable, portable version of every kernel. `NumpyBackend` and `CupyBackend` override the kernels that
must be fast.
"""

from tinygan.backend.base import Array, Backend, Shape, adam_numbers, wide
from tinygan.backend.cupy import CupyBackend
from tinygan.backend.numpy import NumpyBackend, blas_threads, keep_freed_memory
from tinygan.backend.operands import DEFAULT_DTYPE, plain_array
from tinygan.backend.random import Stream, Streams, current_streams, manual_seed
from tinygan.backend.registry import backend_of, get_backend, select_backend

__all__ = [
    "DEFAULT_DTYPE",
    "Array",
    "Backend",
    "CupyBackend",
    "NumpyBackend",
    "Shape",
    "Stream",
    "Streams",
    "adam_numbers",
    "backend_of",
    "blas_threads",
    "current_streams",
    "get_backend",
    "keep_freed_memory",
    "manual_seed",
    "plain_array",
    "select_backend",
    "wide",
]
