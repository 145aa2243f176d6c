"""Checks of the arguments and the saved state of an update rule or an average."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from tinygan import checks
from tinygan.backend import Array
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, CheckpointError
from tinygan.nn.module import Module, problem_of


def positive(what: str, value: Any) -> float:
    """Return a finite number above 0; `what` names it in the message."""
    checked = number(what, value)
    if not checked > 0:
        raise ArgumentError(f"{what} must be positive, got {value}")
    return checked


def at_least_0(what: str, value: Any) -> float:
    """Return a finite number of at least 0."""
    checked = number(what, value)
    if not checked >= 0:
        raise ArgumentError(f"{what} must be at least 0, got {value}")
    return checked


def decay(what: str, value: Any) -> float:
    """Return a number in [0, 1)."""
    checked = number(what, value)
    if not 0 <= checked < 1:
        raise ArgumentError(f"{what} must be in [0, 1), got {value}")
    return checked


def number(what: str, value: Any) -> float:
    """Return a finite number, or nan, as a float."""
    try:
        found = float(checks.number(value, what))
    except OverflowError:
        found = math.inf
    if math.isinf(found):
        raise ArgumentError(f"{what} must be finite, got {value}")
    return found


def listed(who: str, params: Any) -> list[Any]:
    """Return parameters, or groups of them, as a list.

    Raises
    ------
    ArgumentError
        It is one tensor, one module, or nothing that has items.
    """
    if isinstance(params, Tensor):
        raise ArgumentError(f"{who}: expected a list of parameters, got one tensor; write [parameter]")
    if isinstance(params, Module):
        raise ArgumentError(f"{who}: expected a list of parameters, got a module; write module.parameters()")
    if not isinstance(params, Iterable) or isinstance(params, str | Mapping):
        raise ArgumentError(f"{who}: expected a list of parameters, got {checks.shown(params)}")
    return list(params)


def leaves(who: str, params: Iterable[Any], verb: str, done: str) -> list[Tensor]:
    """Return parameters as a list: one or more floating-point leaves, each once; `verb` and `done` are for messages.

    Raises
    ------
    ArgumentError
    """
    found = listed(who, params)
    if not found:
        raise ArgumentError(f"{who}: got no parameters to {verb}")
    first: dict[int, int] = {}
    for position, parameter in enumerate(found):
        if not isinstance(parameter, Tensor) or not parameter.is_leaf or parameter.dtype.kind != "f":
            raise ArgumentError(f"{who}: parameter {position} is not a leaf tensor with requires_grad=True")
        if first.setdefault(id(parameter), position) != position:
            raise ArgumentError(
                f"{who}: parameter {position} is parameter {first[id(parameter)]} once more; it would be {done} twice"
            )
    return found


def restored(who: str, value: Any, parameter: Tensor) -> Array:
    """Return a copy of a saved array, with the dtype and on the device of its parameter.

    Raises
    ------
    CheckpointError
        It is not a NumPy array, or its shape or dtype does not fit.
    """
    problem = problem_of(value, parameter)
    if problem:
        raise CheckpointError(f"{who} {problem}")
    return parameter.backend.array(value, parameter.dtype)


def restored_count(who: str, value: Any) -> int:
    """Return a saved count: an integer of at least 0.

    Raises
    ------
    CheckpointError
    """
    return checks.integer(value, who, at_least=0, error=CheckpointError)
