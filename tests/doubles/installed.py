"""The strict double in the place of CuPy, for the time of a ``with`` block."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.doubles.strict_cupy import StrictCupy
from tinygan.backend import registry


@contextmanager
def strict_cupy() -> Iterator[StrictCupy]:
    """Make ``device="cuda"`` mean the double."""
    module = StrictCupy()
    before = sys.modules.get("cupy")
    registry._cupy.cache_clear()
    # not by patch.dict, which would also forget whatever is imported for the first time meanwhile
    sys.modules["cupy"] = module
    try:
        yield module
    finally:
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before
        registry._cupy.cache_clear()
