"""Numbers that are not finite: the index of the first, and the operand that it came from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygan.backend.base import Array
from tinygan.backend.registry import backend_of


def first_non_finite(value: Any) -> tuple[int, ...] | None:
    """Return the index of the first nan or infinity in an array or a number, or None.

    Examples
    --------
    >>> import numpy as np
    >>> first_non_finite(np.array([1.0, np.nan])), first_non_finite(math.inf), first_non_finite(None)
    ((1,), (), None)
    """
    backend = backend_of(value)
    if backend is not None:
        return backend.first_non_finite(value)
    return None if value is None or math.isfinite(abs(value)) else ()


def element(value: Any, index: tuple[int, ...]) -> str:
    """Return the value and the index of an element of an array (or of a number) as text."""
    return f"{float(value[index] if index else value)} at index {index}"


def form(value: Any) -> str:
    """Return the shape and the dtype of an array as text."""
    return f"(shape {value.shape}, {value.dtype})" if hasattr(value, "shape") else "(a number)"


def origin(operands: Sequence[Any], index: tuple[int, ...], result: Array) -> str:
    """Return as text which operand already held a nan or an infinity; or else the operands at `index`."""
    for position, value in enumerate(operands):
        broken = first_non_finite(value)
        if broken is not None:
            return f"; its input {position} held {element(value, broken)} already"
    here = [
        f"input {position} is {float(value[index])}"
        for position, value in enumerate(operands)
        if getattr(value, "shape", None) == result.shape
    ]
    return f"; there {' and '.join(here)}" if here else ""
