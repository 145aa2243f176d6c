"""The strict double instead of CuPy, during a ``with`` block."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.doubles.strict_cupy import StrictCupy, special
from tinygan.backend import registry


@contextmanager
def strict_cupy() -> Iterator[StrictCupy]:
    """Make ``device="cuda"`` use the double."""
    module = StrictCupy()
    doubles = {"cupy": module, "cupyx.scipy.special": special()}
    before = {name: sys.modules.get(name) for name in doubles}
    registry._cupy.cache_clear()
    # patch.dict would also remove modules that are imported for the first time in the block
    sys.modules |= doubles
    try:
        yield module
    finally:
        for name, original in before.items():
            if original is None:
                del sys.modules[name]
            else:
                sys.modules[name] = original
        registry._cupy.cache_clear()
