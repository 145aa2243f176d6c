"""Anomaly detection: `detect_anomaly` stops at the first operation that produces a nan or an infinity.

A nan spreads: when the loss is nan, every weight may be nan too. In this mode every result of an operation, and every
gradient that a rule returns, is checked as soon as it exists. The error names the operation, the line of code that
called it, the index and the value.
"""

from __future__ import annotations

from typing import Any

from tinygan.backend.finite import element, first_non_finite, form, origin
from tinygan.engine.modes import Observer
from tinygan.engine.tensor import Tensor
from tinygan.errors import AnomalyError, calling_line


class detect_anomaly(Observer):  # noqa: N801  (a context manager, named as in PyTorch)
    """Raise `AnomalyError` at the first nan or infinity that an operation or a gradient rule produces.

    It holds for forward and backward passes inside the block. It reads every array, so use it to find a fault, not to
    train. A backward pass can name the line of a forward call only if that ran in the mode too.

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
        """Check the result of an operation, and remember the line that called it."""
        operation.called_at = calling_line("engine", "functional", "trace")
        index = first_non_finite(result.data)
        if index is not None:
            why = origin([_array(value) for value in inputs], index, result.data)
            found = f"{element(result.data, index)} of its result {form(result)}{why}"
            raise AnomalyError(f"forward of '{operation.name}': {found}\n  {operation.called_at}")

    def backward(self, operation: Any, gy: Any, gradients: Any) -> None:
        """Check the gradients that the rule of an operation returned."""
        gy, *gradients = [_array(value) for value in (gy, *gradients)]
        index = first_non_finite(gy)
        if index is not None:
            raise _broken_rule(operation, f"the gradient that came in, {form(gy)}, holds {element(gy, index)}")
        for position, gradient in enumerate(gradients):
            index = first_non_finite(gradient)
            if index is not None:
                of_input = f"of the gradient with respect to its input {position} {form(gradient)}"
                of_result = "from a finite gradient with respect to its result"
                raise _broken_rule(operation, f"{element(gradient, index)} {of_input}, {of_result}")


def _broken_rule(operation: Any, found: str) -> AnomalyError:
    called_at = getattr(operation, "called_at", "called before detect_anomaly began, so the line is not known")
    return AnomalyError(f"backward of '{operation.name}': {found}\n  {called_at}")


def _array(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value
