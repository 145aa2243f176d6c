"""Checks of the options of an operation (axes, sizes, numbers), and the dtype of its result."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygan import checks
from tinygan.backend import DEFAULT_DTYPE, Array, Backend, Shape, backend_of, get_backend, plain_array
from tinygan.backend.operands import new_array
from tinygan.engine import Tensor, is_grad_enabled
from tinygan.errors import ArgumentError, DeviceError, DtypeError, GradientError, ShapeError

Axis = int | tuple[int, ...] | list[int] | None


def real(x: Array) -> Array:
    """Return integers and booleans as float32, for a function whose values are real numbers.

    NumPy would choose float16 for the exponential of an int8, and float64 for that of an int64.
    """
    return x.astype(DEFAULT_DTYPE) if x.dtype.kind in "iub" else x


def real_result(y: Array, *operands: Any) -> Array:
    """Return `y`, as float32 if it is float64 only because NumPy computes real results of integers in float64."""
    if y.dtype != np.float64 or any(hasattr(x, "dtype") and x.dtype.kind not in "iub" for x in operands):
        return y
    return y.astype(DEFAULT_DTYPE)


def number(value: Any, caller: str, argument: str) -> float:
    """Return an option as a Python number.

    No gradient flows to an option, so a tensor that requires a gradient is refused.
    """
    if type(value) in (float, int):  # nearly always
        return value
    if isinstance(value, Tensor) and value.requires_grad and is_grad_enabled():
        raise GradientError(
            f"{caller}: no gradient flows to {argument}, but the tensor given for it requires one; "
            f"give a number, or cut the tensor off with .item()"
        )
    if hasattr(value, "item") and value.size == 1:
        value = value.item()
    return value if isinstance(value, bool) else checks.number(value, f"{caller}: {argument}")


def integer(value: Any, caller: str, argument: str) -> int:
    """Return an integer of Python or NumPy as an int."""
    return value if type(value) is int else checks.integer(value, f"{caller}: {argument}", error=ShapeError)


def sizes(given: tuple[Any, ...], caller: str, argument: str = "a size") -> Shape:
    """Return integers that were given as ``f(2, 3)``, as ``f((2, 3))``, or as ``f(array)``."""
    if len(given) == 1 and (isinstance(given[0], (tuple, list)) or getattr(given[0], "ndim", 0) == 1):
        given = tuple(given[0])
    return tuple([integer(size, caller, argument) for size in given])


def pair(value: Any, caller: str, argument: str, at_least: int = 0) -> tuple[int, int]:
    """Return an option for rows and for columns, such as a stride; one integer stands for both."""
    both = value if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2:
        raise ArgumentError(
            f"{caller}: {argument} must be an integer, or a pair for rows and columns; got {len(both)} numbers"
        )
    rows, columns = (checks.integer(one, f"{caller}: {argument}", at_least) for one in both)
    return rows, columns


def axes_of(shape: Shape, axis: Axis, caller: str) -> tuple[int, ...]:
    """Return the axes that `axis` names in an array of `shape`, counted from the front; None names all.

    A 0-d array has no axes, but 0 and -1 are allowed, as in PyTorch: nothing is reduced then.
    """
    ndim = len(shape)
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is int and -ndim <= axis < ndim:  # nearly always
        return (axis % ndim,)
    named = [integer(one, caller, "axis") for one in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    for one in named:
        if not -max(ndim, 1) <= one < max(ndim, 1):
            raise ShapeError(f"{caller}: axis {one} does not exist in an input of shape {shape}")
    found = [one % max(ndim, 1) for one in named]
    if len(set(found)) < len(found):
        raise ShapeError(f"{caller}: axis={axis} names an axis of shape {shape} twice")
    return tuple(found) if ndim else ()


def one_axis(axis: Any, ndim: int, caller: str, where: str) -> int:
    """Return one axis of `ndim`, counted from the front; `where` describes the array in the message."""
    axis = integer(axis, caller, "axis")
    if not -ndim <= axis < ndim:
        raise ShapeError(f"{caller}: axis {axis} does not exist in {where}")
    return axis % ndim


def with_shape(values: Iterable[Any], caller: str) -> None:
    """Refuse values that have no shape, such as lists: neither tensors, arrays nor numbers."""
    for value in values:
        if not (hasattr(value, "ndim") or isinstance(value, numbers.Number)):
            raise DtypeError(f"{caller}: expected a tensor or an array, got {checks.shown(value)}; use tg.tensor(...)")


def shape_of(x: Any, caller: str) -> Shape:
    """Return the shape of a tensor, an array or a number."""
    with_shape((x,), caller)
    return getattr(x, "shape", ())


def backend_for(x: Any) -> Backend:
    """Return the backend of a tensor or an array; that of the CPU for a number."""
    return backend_of(x.data if isinstance(x, Tensor) else x) or get_backend("cpu")


def class_indices(labels: Any, count: int, backend: Backend, caller: str, counted: str) -> Array:
    """Return labels in {0, ..., `count` - 1} as an array of integers.

    The check of their values waits for a GPU, so it is left out while a step is captured.

    Parameters
    ----------
    labels : Tensor, array or sequence of int
    count : int
    backend : Backend
        Where they must be; a sequence is copied there.
    caller, counted : str
        The operation, and what `count` is, for messages.
    """
    if isinstance(labels, Tensor):
        labels = labels.data
    elif backend_of(labels) is None:
        labels = new_array(labels, None, backend)
    if not backend.is_array(labels):  # CuPy would copy them, and wait
        raise DeviceError(
            f"{caller}: the labels are on another device than {backend.device!r}; "
            f"move them with tg.tensor(labels, device={backend.device!r})"
        )
    labels = plain_array(labels, caller)
    if labels.dtype.kind not in "iu":
        raise DtypeError(f"{caller}: labels must be integers, not {labels.dtype}")
    if labels.size and backend.capture is None and (int(labels.min()) < 0 or int(labels.max()) >= count):
        raise ShapeError(
            f"{caller}: labels must be in 0 ... {count - 1}, {counted}; got {int(labels.min())} ... {int(labels.max())}"
        )
    return labels


def several(inputs: Any, caller: str) -> list[Any]:
    """Return the inputs of an operation that joins tensors or arrays, as a list."""
    found = list(inputs) if isinstance(inputs, Iterable) else [inputs]
    if not found:
        raise ShapeError(f"{caller}: expected at least one tensor, got none")
    for position, value in enumerate(found):
        if not hasattr(value, "ndim"):
            raise DtypeError(
                f"{caller}: expected a sequence of tensors or arrays, got {checks.shown(value)} at position "
                f"{position}; use tg.tensor(...)"
            )
    return found


def holds(dtype: Any, value: float) -> bool:
    """Return whether `dtype` can hold `value`, up to rounding."""
    if dtype.kind == "b":
        return value in (0, 1)
    if dtype.kind not in "iu":
        return True
    info = np.iinfo(dtype)
    return value % 1 == 0 and int(info.min) <= value <= int(info.max)  # nan % 1 is nan
