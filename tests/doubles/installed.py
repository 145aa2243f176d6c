"""The strict double instead of CuPy, during a ``with`` block."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.doubles.strict_cupy import StrictCupy
from tinygan.backend import registry


@contextmanager
def strict_cupy() -> Iterator[StrictCupy]:
    """Make ``device="cuda"`` use the double."""
    module = StrictCupy()
    before = sys.modules.get("cupy")
    registry._cupy.cache_clear()
    # patch.dict would also remove modules that are imported for the first time in the block
    sys.modules["cupy"] = module
    try:
        yield module
    finally:
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before
        registry._cupy.cache_clear()
