"""`compiled`: loops over arrays, compiled by numba at their first call and stored on the disk.

numba is optional (``pip install 'tinygan[fast]'``). It takes half a second to import, so the first call imports it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from tinygan.errors import DeviceError

_OPTIONS = {"nogil": True, "error_model": "numpy"}  # NumPy's model: a number divided by 0 is infinite


def load_numba() -> Any:
    """Import numba.

    Raises
    ------
    DeviceError
        It is not installed, or does not fit this NumPy. The message says how to install it.
    """
    try:
        import numba
    except ImportError as error:
        raise DeviceError(
            f"the numba backend needs numba, which cannot be imported ({error}): pip install 'tinygan[fast]', or use "
            "the backend numpy"
        ) from error
    return numba


class compiled:  # noqa: N801 (a decorator)
    """Compile a function at its first call, for the types of its arguments.

    The machine code is stored beside the source, or in the user's cache, and later processes read it. Where no folder
    can be written, or what is stored cannot be read, each process compiles again, and a warning says so once.

    One compiled function can call another in the same file. The stored code depends on the date of its own file only.

    Examples
    --------
    >>> @compiled
    ... def double(x):
    ...     for i in range(x.size):
    ...         x[i] *= 2
    >>> double  # nothing has been compiled yet
    <compiled double>
    """

    _warned = False

    def __init__(self, function: Callable[..., Any]) -> None:
        update_wrapper(self, function)
        self._function = function
        self._dispatcher: Any = None
        self._in_memory: Any = None  # a second dispatcher, which reads and stores nothing

    def __repr__(self) -> str:
        return f"<compiled {self._function.__name__}>"

    def __call__(self, *arguments: Any) -> Any:
        """Run the machine code."""
        try:
            return (self._dispatcher or self._with_storage())(*arguments)
        except Exception as error:  # the storage is damaged or full: a loop itself raises nothing
            if self._dispatcher is self._in_memory:
                raise
            return self._without_storage(error)(*arguments)

    def _with_storage(self) -> Any:
        numba = load_numba()
        try:
            self._dispatcher = numba.njit(cache=True, **_OPTIONS)(self._function)
        except RuntimeError as error:  # no folder can be written
            return self._without_storage(error)
        return self._dispatcher

    def _without_storage(self, error: Exception) -> Any:
        self._dispatcher = self._inner()
        if not compiled._warned:
            compiled._warned = True
            why = " ".join(str(error).split()) or type(error).__name__
            warnings.warn(
                f"numba cannot store its machine code ({why}), and this process compiles it again; let the variable "
                "NUMBA_CACHE_DIR name an empty folder that can be written",
                stacklevel=4,
            )
        return self._dispatcher

    def _inner(self) -> Any:
        self._in_memory = self._in_memory or load_numba().njit(**_OPTIONS)(self._function)
        return self._in_memory

    @property
    def _numba_type_(self) -> Any:
        """The type that numba asks for where a loop calls this function; its code becomes part of the loop's."""
        return self._inner()._numba_type_
