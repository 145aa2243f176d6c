from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

IdxBytes = Callable[[np.ndarray[Any, Any]], bytes]


@pytest.fixture(scope="session")
def idx_bytes() -> IdxBytes:
    """Return a function that writes a uint8 array as the bytes of an IDX file."""

    def write(array: np.ndarray[Any, Any]) -> bytes:
        return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()

    return write
