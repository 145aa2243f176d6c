"""Modes that hold for a block of code: recording on or off, and who is looking on.

A mode is a context variable, so it nests, survives exceptions, and belongs to one thread or task.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar, Token
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from tinygan.errors import DtypeError

P = ParamSpec("P")
R = TypeVar("R")

_recording: ContextVar[bool] = ContextVar("tinygan_recording", default=True)


class Recording:
    """Recording is `value` inside a ``with`` block, or inside the function that this decorates."""

    def __init__(self, value: bool) -> None:
        self._value = value
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_recording.get())
        _recording.set(self._value)

    def __exit__(self, *error: Any) -> None:
        _recording.set(self._before.pop())

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise DtypeError(
                f"{function.__name__} runs only after the call of it has returned, when this decorator has no effect "
                "any more; put the ``with`` block inside it, around the computation"
            )

        @wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> R:
            with Recording(self._value):
                return function(*args, **kwargs)

        return inside


def is_grad_enabled() -> bool:
    """Say whether operations are being recorded for a backward pass."""
    return _recording.get()


def no_grad() -> Recording:
    """Record nothing inside the block: results need no gradient, and nothing is kept for a backward pass.

    Also works as a decorator. A block that contains a ``yield`` holds for the caller too until the generator goes on.

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> with tg.no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """
    return Recording(False)


def enable_grad() -> Recording:
    """Record inside the block, even within `no_grad`."""
    return Recording(True)


class Observer:
    """Somebody who looks on at every operation: anomaly detection, a trace. Holds inside ``with observer:``."""

    def forward(self, operation: Any, inputs: Any, result: Any) -> None:
        """The `operation` computed the array `result` from the operands `inputs`."""

    def backward(self, operation: Any, gy: Any, gradients: Any) -> None:
        """The rule of `operation` turned the gradient `gy` into `gradients`, one an input (None: not wanted)."""

    def __enter__(self) -> Any:
        self._tokens: list[Token[Observer | None]] = [*getattr(self, "_tokens", ()), _observer.set(self)]
        return self

    def __exit__(self, *error: Any) -> None:
        _observer.reset(self._tokens.pop())


_observer: ContextVar[Observer | None] = ContextVar("tinygan_observer", default=None)


def observer() -> Observer | None:
    """Return who is looking on, if anybody."""
    return _observer.get()
