"""The state that a function under test may change besides its inputs, and how it is restored.

A thousand calls of a function draw random numbers, change running averages and make NumPy warn. A check must leave no
such change.
"""

from __future__ import annotations

import copy
import functools
import inspect
import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np

from tinygan.backend import Stream, current_streams
from tinygan.engine.tensor import Tensor
from tinygan.nn import Module

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class RandomState:
    """The state of the random streams and generators that `fn` may use.

    These are the current streams, the global generators of NumPy and Python, and the streams and generators that are
    attributes, default arguments or outer variables of the function, or of other functions found in this way.
    """

    def __init__(self, fn: Any) -> None:
        self._streams = current_streams()
        self._streams_state = self._streams.state_dict()
        found = list(_reachable(fn))
        self._stream_states = [(one, one.state_dict()) for one in found if isinstance(one, Stream)]
        generators = [one for one in found if isinstance(one, np.random.Generator)]
        self._generator_states: list[tuple[Any, Any]] = [(one, one.bit_generator.state) for one in generators]
        self._numpy: Any = np.random.get_state()  # noqa: NPY002  (users' functions may draw from it)
        self._python = random.getstate()

    def restore(self) -> None:
        """Restore the state at the time of construction."""
        self._streams.load_state_dict(self._streams_state)
        for stream, state in self._stream_states:
            stream.load_state_dict(state)
        for generator, state in self._generator_states:
            generator.bit_generator.state = state
        np.random.set_state(self._numpy)  # noqa: NPY002
        random.setstate(self._python)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Restore the state, and the current streams, when the block ends."""
        with self._streams.active():
            try:
                yield
            finally:
                self.restore()


@contextmanager
def modules_kept(fn: Any) -> Iterator[None]:
    """When the block ends, restore the attributes and the tensors of the modules that `fn` uses."""
    owners = [one for one in (_owner(fn), *_reachable(fn)) if isinstance(one, Module)]
    modules = {id(module): module for owner in owners for module in owner.modules()}.values()
    attributes = [(vars(module), dict(vars(module))) for module in modules]
    tensors = [value for _, before in attributes for value in before.values() if isinstance(value, Tensor)]
    contents = [(tensor, tensor.version, tensor.data, copy.copy(tensor.data), tensor.grad) for tensor in tensors]
    try:
        yield
    finally:
        for now, before in attributes:
            now.clear()
            now.update(before)
        for tensor, version, data, values, gradient in contents:
            tensor.data, tensor.grad, tensor.version = data, gradient, version
            if tensor.numpy().tobytes() != values.tobytes():
                tensor.data[...] = values


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings: a check evaluates a function at extreme points."""
    with ExitStack() as stack:
        stack.enter_context(np.errstate(all="ignore"))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


def parameters_of(fn: Any) -> dict[str, Tensor]:
    """Return the parameters of a module, or of the module of a bound method, by name."""
    owner = _owner(fn)
    return dict(owner.named_parameters()) if isinstance(owner, Module) else {}


def name_of(fn: Any) -> str:
    """Return the name of a function or module."""
    return getattr(fn, "__name__", None) or type(fn).__name__


def named_type(value: Any) -> str:
    """Return a description of the type of an argument."""
    dtype = getattr(value, "dtype", None)
    return f"{type(value).__name__} of {dtype}" if dtype is not None else type(value).__name__


def _owner(fn: Any) -> Any:
    return getattr(fn, "__self__", fn)


def _reachable(fn: Any, depth: int = 3) -> Iterator[Any]:
    """Yield the values that a function refers to, and those that functions and modules among them refer to."""
    for value in _held_by(fn):
        yield value
        if depth and (inspect.isfunction(value) or isinstance(value, (functools.partial, Module))):
            yield from _reachable(value, depth - 1)


def _held_by(fn: Any) -> Iterator[Any]:
    owner = _owner(fn)
    for one in owner.modules() if isinstance(owner, Module) else [owner]:
        yield from getattr(one, "__dict__", {}).values()
    if isinstance(fn, functools.partial):
        yield from (fn.func, *fn.args, *fn.keywords.values())
    function = getattr(fn, "__func__", fn)
    if inspect.isfunction(function):
        yield from function.__defaults__ or ()
        yield from (function.__kwdefaults__ or {}).values()
        with suppress(ValueError):  # an outer variable without a value
            outer = inspect.getclosurevars(function)
            yield from (*outer.nonlocals.values(), *outer.globals.values())


def names_of_arguments(fn: Callable[..., Any], inputs: Iterable[Any]) -> list[str]:
    """Return names for the inputs: their own names, else those in the signature, else from their positions."""
    try:
        parameters = list(inspect.signature(getattr(fn, "forward", fn)).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names: list[str] = []
    for position, value in enumerate(inputs):
        name = getattr(value, "name", None) if isinstance(value, Tensor) else None
        if name is None and position < len(parameters) and parameters[position].kind in _BY_POSITION:
            name = parameters[position].name
        if name is None or name in names:
            name = f"input{position}"
        names.append(name)
    return names
