"""The strict double in the place of CuPy, for the time of a ``with`` block."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import tinygan.backend as backend_package
from tests.doubles.strict_cupy import StrictCupy


@contextmanager
def strict_cupy() -> Iterator[StrictCupy]:
    """Make ``device="cuda"`` mean the double."""
    module = StrictCupy()
    backend_package._cupy.cache_clear()
    try:
        with mock.patch.dict(sys.modules, {"cupy": module}):
            yield module
    finally:
        backend_package._cupy.cache_clear()
