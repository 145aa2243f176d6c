"""Modes that hold for a block of code: recording on or off.

A mode is a context variable, so it nests, survives exceptions, and belongs to one thread or task.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

_recording: ContextVar[bool] = ContextVar("tinygan_recording", default=True)


def is_grad_enabled() -> bool:
    """Say whether operations are being recorded for a backward pass."""
    return _recording.get()


@contextmanager
def _recording_set_to(value: bool) -> Iterator[None]:
    token = _recording.set(value)
    try:
        yield
    finally:
        _recording.reset(token)


def no_grad() -> AbstractContextManager[None]:
    """Record nothing inside the block: results need no gradient, and nothing is kept for a backward pass.

    Also works as a decorator.

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> with tg.no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """
    return _recording_set_to(False)


def enable_grad() -> AbstractContextManager[None]:
    """Record inside the block, even within `no_grad`."""
    return _recording_set_to(True)
