"""What comes into an update rule or an average: each check is written once, here."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygan.backend import Array
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, CheckpointError, DeviceError, DtypeError, ShapeError, TinyganError
from tinygan.nn.module import problem_of


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
    """Return a finite number, or nan, as a float; no boolean."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise DtypeError(f"{what} must be a number, got {value!r}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if math.isinf(found):
        raise ArgumentError(f"{what} must be finite, got {value}")
    return found


def leaves(who: str, params: Iterable[Any], verb: str, done: str) -> list[Tensor]:
    """Return leaves of floating-point numbers as a list, one or more, each once; `verb` and `done` are for messages.

    Raises
    ------
    ArgumentError
    """
    if isinstance(params, Tensor):
        raise ArgumentError(f"{who}: expected a list of parameters, got one tensor; write [parameter]")
    found = list(params)
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


def fits(array: Array, data: Array) -> bool:
    """Return whether an array has the shape, dtype and device of a parameter's `data`, which may have been replaced."""
    return array.shape == data.shape and array.dtype == data.dtype and type(array) is type(data)


def misfit(what: str, array: Array, data: Array, remedy: str) -> TinyganError:
    """Return the error that says in what an array does not fit, and what to do about it."""
    if array.shape != data.shape:
        return ShapeError(f"{what} has shape {array.shape}, and the parameter {data.shape} now: {remedy}")
    if array.dtype != data.dtype:
        return DtypeError(f"{what} has dtype {array.dtype}, and the parameter {data.dtype} now: {remedy}")
    return DeviceError(f"{what} is not on the device where the parameter is now: {remedy}")


def restored(who: str, value: Any, parameter: Tensor) -> Array:
    """Return a saved array as one to keep for a parameter: a copy of its dtype and on its device.

    Raises
    ------
    CheckpointError
        It is no NumPy array, or of another shape, or does not hold numbers of that kind.
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
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise CheckpointError(f"{who} is {value!r}, expected an integer of at least 0")
    return value
