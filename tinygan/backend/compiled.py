"""`compiled`: loops over arrays, compiled by numba at their first call and stored on the disk.

numba is optional (``pip install 'tinygan[fast]'``). It takes half a second to import, so the first call imports it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from tinygan.errors import DeviceError


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
    can be written, each process compiles again, and a warning says so once.

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

    def __repr__(self) -> str:
        return f"<compiled {self._function.__name__}>"

    def __call__(self, *arguments: Any) -> Any:
        """Run the machine code."""
        return (self._dispatcher or self._compile())(*arguments)

    def _compile(self) -> Any:
        numba = load_numba()
        try:
            self._dispatcher = numba.njit(cache=True, nogil=True)(self._function)
        except RuntimeError as error:  # no folder for the cache
            if not compiled._warned:
                compiled._warned = True
                warnings.warn(
                    f"numba cannot store the machine code ({error}), and compiles it in each process; set the variable "
                    "NUMBA_CACHE_DIR to a folder that can be written",
                    stacklevel=3,
                )
            self._dispatcher = numba.njit(nogil=True)(self._function)
        return self._dispatcher
