"""Modes that hold for a block of code: whether operations are recorded, and which `Observer` follows them.

A mode is a context variable, so it nests, survives exceptions, and belongs to one thread or task.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from contextvars import ContextVar, Token
from functools import wraps
from typing import Any, TypeVar, cast

from tinygan.errors import DtypeError

Function = TypeVar("Function", bound=Callable[..., Any])

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

    def __call__(self, function: Function) -> Function:
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise DtypeError(
                f"{function.__name__} runs after the call of it has returned, when this decorator has no effect any "
                "more; put the ``with`` block inside it, around the computation"
            )

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with Recording(self._value):
                return function(*args, **kwargs)

        return cast(Function, inside)


def is_grad_enabled() -> bool:
    """Return whether operations are being recorded for a backward pass."""
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
    """The engine calls the methods for every operation inside ``with observer:``. By default they do nothing.

    `tinygan.trace`, anomaly detection and the gradient checker derive from this class. Inside a block of another
    observer, both are called. Inside ``with UNOBSERVED:``, no observer is called.
    """

    def before_forward(self, operation: Any, inputs: Any) -> None:
        """Called before `operation` is applied to `inputs`: tensors, arrays, numbers or None."""

    def forward(self, operation: Any, inputs: Any, result: Any) -> None:
        """Called after `operation` has computed the tensor `result` from `inputs`, and has recorded the call."""

    def before_backward(self, operation: Any, gy: Any, saved: Any) -> None:
        """Called before the rule of `operation` is applied to the gradient `gy` and to the `saved` values."""

    def backward(self, operation: Any, gy: Any, gradients: Any) -> None:
        """Called after the rule has computed `gradients` from `gy`, one for each input (None: not needed)."""

    def during_pass(self, backward_pass: Any, output: Any) -> AbstractContextManager[Any]:
        """Return a context for one backward pass from the tensor `output`."""
        return nullcontext()

    def during_module(self, module: Any, inputs: Any) -> AbstractContextManager[Any]:
        """Return a context for one call of a module with `inputs`."""
        return nullcontext()

    def __enter__(self) -> Any:
        outer = _observer.get()
        alone = self is UNOBSERVED or outer is UNOBSERVED
        token = _observer.set(self if alone else _Several(outer, self))
        self._tokens: list[Token[Observer]] = [*getattr(self, "_tokens", ()), token]
        return self

    def __exit__(self, *error: Any) -> None:
        _observer.reset(self._tokens.pop())


class _Several(Observer):
    """The observers of nested blocks: each is called, the outermost first."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def before_forward(self, *facts: Any) -> None:
        self._each("before_forward", facts)

    def forward(self, *facts: Any) -> None:
        self._each("forward", facts)

    def before_backward(self, *facts: Any) -> None:
        self._each("before_backward", facts)

    def backward(self, *facts: Any) -> None:
        self._each("backward", facts)

    def during_pass(self, *facts: Any) -> AbstractContextManager[Any]:
        return self._inside("during_pass", facts)

    def during_module(self, *facts: Any) -> AbstractContextManager[Any]:
        return self._inside("during_module", facts)

    def _each(self, method: str, facts: Any) -> list[Any]:
        return [getattr(observer, method)(*facts) for observer in self.observers]

    def _inside(self, method: str, facts: Any) -> ExitStack:
        contexts = ExitStack()
        for context in self._each(method, facts):
            contexts.enter_context(context)
        return contexts


UNOBSERVED = Observer()  # outside of all blocks
_observer: ContextVar[Observer] = ContextVar("tinygan_observer", default=UNOBSERVED)


def observer() -> Observer:
    """Return the observer of this block, or `UNOBSERVED`, which does nothing."""
    return _observer.get()
