"""Pictures, reports and progress: outputs beside the result, whose failure must not stop a run."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class SideOutputs:
    """Try work that the result does not depend on; if it fails, warn once for each kind of work, and continue.

    Examples
    --------
    >>> side_outputs = SideOutputs()
    >>> with warnings.catch_warnings(record=True, action="always") as said:
    ...     for _ in range(2):
    ...         with side_outputs.attempt("a picture"):
    ...             raise OSError("the disk is full")
    >>> print(*(warning.message for warning in said))
    a picture could not be made: the disk is full; the run goes on without it
    """

    def __init__(self) -> None:
        self._failed: set[str] = set()

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Turn any `Exception` in the block into a warning; Ctrl-C still stops the run.

        Parameters
        ----------
        what : str
            What the block makes, for the warning.
        """
        try:
            yield
        except Exception as error:  # a drawing library may raise anything
            if what not in self._failed:
                self._failed.add(what)
                reason = str(error) or type(error).__name__
                warnings.warn(f"{what} could not be made: {reason}; the run goes on without it", stacklevel=4)
