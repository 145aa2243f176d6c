"""Checks of a number that a user gives or a file holds: each kind is checked here only, in every package."""

from __future__ import annotations

import numbers
import operator
from typing import Any

import numpy as np

from tinygan.errors import ArgumentError, DtypeError, TinyganError


def integer(value: Any, what: str, at_least: int | None = None, error: type[TinyganError] = ArgumentError) -> int:
    """Return an integer of Python or NumPy as an int. A boolean is refused.

    Parameters
    ----------
    value : object
    what : str
        The name of the argument, for the message.
    at_least : int, optional
    error : type
        Raised if `value` is not an integer, or is below `at_least`.

    Examples
    --------
    >>> integer(np.int64(3), "Linear: units", at_least=1)
    3
    >>> integer(0, "Linear: units", at_least=1)
    Traceback (most recent call last):
    tinygan.errors.ArgumentError: Linear: units must be an integer of at least 1, got 0
    """
    try:
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:  # a float, None, an array of several numbers, ...
        found = None
    if found is None or (at_least is not None and found < at_least):
        limit = "" if at_least is None else f" of at least {at_least}"
        raise error(f"{what} must be an integer{limit}, got {shown(value)}")
    return found


def number(value: Any, what: str) -> float:
    """Return a real number of Python or NumPy, or a 0-d array, as an int or a float. A boolean is refused.

    Raises
    ------
    DtypeError
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise DtypeError(f"{what} must be a number, got {shown(value)}")
    return value if isinstance(value, int) else float(value)


def shown(value: Any) -> str:
    """Return a number, a string or None as it is written, and the type of any other value."""
    if value is None or isinstance(value, (numbers.Number, str)):
        return repr(value)
    shape = f" of shape {value.shape}" if hasattr(value, "shape") else ""
    return f"a {type(value).__name__}{shape}"
