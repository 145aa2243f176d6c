"""Where did the nan come from? `detect_anomaly` stops at the first operation that makes one.

A nan spreads: by the time a loss shows it, every weight may hold it. In this mode the result of every operation, and
every gradient that a rule returns, is looked at as soon as it exists; the error names the operation, the line of code
that called it, the index and the value.
"""

from __future__ import annotations

import linecache
import os
import sys
from types import FrameType
from typing import Any

from tinygan.engine.modes import Observer
from tinygan.engine.tensor import Tensor
from tinygan.errors import AnomalyError

_PACKAGE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..")) + os.sep
_MACHINERY = tuple(os.path.join(_PACKAGE, floor) + os.sep for floor in ("engine", "functional"))


class detect_anomaly(Observer):  # noqa: N801  (a context manager, named as in PyTorch)
    """Raise `AnomalyError` at the first nan or infinity that an operation or a gradient rule produces.

    It holds for the block, forward and backward passes alike, and costs a look at every array: use it to find a
    fault, not to train. A backward pass can name the line of a forward call only if that ran in the mode too.

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> x = tg.tensor([1.0, 0.0], requires_grad=True)
    >>> with tg.detect_anomaly(), np.errstate(divide="ignore"):
    ...     y = x.log()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tinygan.errors.AnomalyError: forward of 'log': -inf at index (1,) of its result (shape (2,), float32)...
    """

    def forward(self, operation: Any, inputs: Any, result: Any) -> None:
        """Look at the result of an operation, and remember the line that called it."""
        operation.called_at = called_at = _calling_line()
        index = _first_non_finite(result)
        if index is None:
            return
        raise AnomalyError(
            f"forward of '{operation.name}': {_found(result, index)} of its result {_form(result)}"
            f"{_origin(inputs, index, result)}\n  {called_at}"
        )

    def backward(self, operation: Any, gy: Any, gradients: Any) -> None:
        """Look at the gradients that the rule of an operation returned."""
        called_at = getattr(operation, "called_at", "called before detect_anomaly began, so the line is not known")
        index = _first_non_finite(gy)
        if index is not None:
            raise AnomalyError(
                f"backward of '{operation.name}': the gradient that came in, {_form(gy)}, holds {_found(gy, index)}"
                f"\n  {called_at}"
            )
        for position, gradient in enumerate(gradients):
            index = _first_non_finite(gradient)
            if index is not None:
                raise AnomalyError(
                    f"backward of '{operation.name}': {_found(gradient, index)} of the gradient by its input "
                    f"{position} {_form(gradient)}, from a finite gradient by its result\n  {called_at}"
                )


def _array(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _first_non_finite(value: Any) -> tuple[int, ...] | None:
    tensor = value if isinstance(value, Tensor) else Tensor(value) if hasattr(value, "shape") and value.ndim else None
    if tensor is not None:
        return tensor.backend.first_non_finite(tensor.data)
    finite = value is None or abs(float(value)) < float("inf")  # a Python number, or the scalar of a 0-d array
    return None if finite else ()


def _found(value: Any, index: tuple[int, ...]) -> str:
    array = _array(value)
    return f"{float(array[index] if index else array)} at index {index}"


def _form(value: Any) -> str:
    array = _array(value)
    return f"(shape {array.shape}, {array.dtype})" if hasattr(array, "shape") else "(a number)"


def _origin(inputs: Any, index: tuple[int, ...], result: Any) -> str:
    """Say which input was broken already, or else what the inputs were at the same place."""
    for position, value in enumerate(inputs):
        broken = _first_non_finite(value)
        if broken is not None:
            return f"; its input {position} held {_found(value, broken)} already"
    here = [
        f"input {position} is {float(value[index])}"
        for position, value in enumerate(inputs)
        if getattr(value, "shape", None) == result.shape
    ]
    return f"; there {' and '.join(here)}" if here else ""


def _calling_line() -> str:
    """Describe the innermost line outside of the engine and the operations; and, if that is ours, the user's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_MACHINERY):
        frame = frame.f_back
    inner = _line(frame)
    if frame is None or not frame.f_code.co_filename.startswith(_PACKAGE):
        return f"called at {inner}"
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"called at {inner}" + (f"\n  from {_line(frame)}" if frame is not None else "")


def _line(frame: FrameType | None) -> str:
    if frame is None:
        return "an unknown line"
    path, number = frame.f_code.co_filename, frame.f_lineno
    name = path.removeprefix(os.path.dirname(_PACKAGE.rstrip(os.sep)) + os.sep)
    source = linecache.getline(path, number).strip()
    return f"{name}:{number}, in {frame.f_code.co_name}" + (f": {source}" if source else "")
