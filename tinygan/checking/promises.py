"""What a function and its gradient must satisfy before any number is compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygan.backend import backend_of
from tinygan.checking import report as kinds
from tinygan.checking.judging import ROUNDING, rounding
from tinygan.checking.numerical import Settings, random_weights
from tinygan.checking.subject import Array, Subject, Variable, Watch, overlap
from tinygan.engine.modes import Observer
from tinygan.engine.tape import Operation
from tinygan.engine.tensor import Tensor

Fail = Callable[[str, str], None]

_SAME = 64  # units in the last place: two runs on a GPU may add in another order


def check_promises(subject: Subject, rng: np.random.Generator) -> None:
    """Check these promises, and add broken ones to the report.

    Two calls return the same. No call changes or shares an array that is not its own. A gradient has the shape, dtype
    and device of its tensor. It is 0 if the upstream gradient is 0.
    """
    first = subject.run()
    if differs(first, subject.run()):
        report_random(subject, "function")
        return
    upstream = [random_weights(rng, output.shape) for output in subject.outputs]
    gradients = subject.pull(upstream, watch=True)
    if differs(gradients, subject.pull(upstream, watch=True)):
        report_random(subject, "backward pass")
    nothing = subject.pull([np.zeros(output.shape) for output in subject.outputs])
    for variable, gradient, zero in zip(subject.inputs, gradients, nothing, strict=True):
        if np.any((zero != 0) & np.isfinite(gradient)):
            subject.fail(
                kinds.UPSTREAM_IGNORED,
                f"{subject.name}: when the gradient with respect to the output is 0, that of {variable} must be 0 too, "
                "but it is not: the backward pass does not multiply by its upstream gradient everywhere",
            )


def check_recorded(gradient: Subject, inputs: Sequence[Variable], plain: Sequence[Array], settings: Settings) -> None:
    """Check that a pass with create_graph=True returns the same gradients of `inputs` as a `plain` pass without.

    Both use the same rules but different kernels; the next order differentiates the pass with create_graph=True.
    """
    gradient.run()
    recorded = {output.name: output.point for output in gradient.outputs}
    for variable, expected in zip(inputs, plain, strict=True):
        got = recorded.get(f"gradient of {variable.name}", np.zeros(variable.shape))
        comparable = np.isfinite(expected)
        sizes = np.where(np.isfinite(variable.point) & (variable.point != 0), np.abs(variable.point), 1.0).ravel()
        atol = rounding(expected.ravel(), sizes, settings.unit).reshape(variable.shape)
        slack = settings.rtol * np.abs(expected) + atol + ROUNDING * settings.unit * gradient.scale
        wrong = comparable & ~(np.abs(got - expected) <= slack)
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
            gradient.fail(
                kinds.RECORDED_DIFFERS,
                f"{gradient.name}: with create_graph=True the gradient of {variable} is {got[index]:.6g} at index "
                f"{index}, without it {expected[index]:.6g}",
            )


def differs(first: list[Array], second: list[Array]) -> bool:
    """Return whether two runs differ by more than rounding."""
    return [a.shape for a in first] != [b.shape for b in second] or not all(map(_same, first, second))


def _same(a: Array, b: Array) -> bool:
    slack = _SAME * np.finfo(np.float64).eps
    largest = np.max(np.abs(a), initial=0, where=np.isfinite(a))
    return np.allclose(a, b, rtol=slack, atol=slack * largest, equal_nan=True)


def report_random(subject: Subject, what: str) -> None:
    """Report that a function draws new random numbers at every call, and what to do."""
    subject.fail(
        kinds.RANDOM,
        f"the {what} is random: two calls with the same inputs gave different results, so difference quotients have "
        "no meaning. Freeze the dropout mask: frozen=True starts every call from the same random state; or make the "
        "stream inside the function and pass it as rng=; or call .eval() on the module",
    )


# ---------------------------------------------------------------------- the promises of each operation


class OperationWatch(Observer):
    """Checks the arrays of every operation of a forward pass, and every rule of a backward pass.

    Parameters
    ----------
    fail : callable
        Called with the kind and the description of each fault.
    """

    def __init__(self, fail: Fail) -> None:
        self._fail = fail
        self._results: list[tuple[str, Watch]] = []
        self._held: list[Watch] = []  # one for each rule being applied; a rule may itself differentiate
        self._integers: dict[Operation, list[tuple[int, str]]] = {}

    def forward(self, operation: Any, inputs: Any, result: Any) -> None:
        """Store the result, and which operands hold integers."""
        self._results.append((operation.name, Watch({"result": result.data})))
        self._integers[operation] = [
            (position, str(array.dtype))
            for position, array in enumerate(inputs)
            if getattr(array, "dtype", None) is not None and array.dtype.kind in "iub"
        ]

    def finish(self) -> None:
        """Report the results that were changed after their operation."""
        for name, watch in self._results:
            for _ in watch.changed():
                self._fail(kinds.SAVED_CHANGED, f"{name}: its result is changed later in the forward pass")

    def before_backward(self, operation: Any, gy: Any, saved: Any) -> None:
        """Store the arrays that the rule must not change."""
        named = {"upstream": gy, **{str(k): value for k, value in enumerate(saved)}}
        arrays = {name: value.data if isinstance(value, Tensor) else value for name, value in named.items()}
        self._held.append(Watch({name: array for name, array in arrays.items() if backend_of(array) is not None}))

    def backward(self, operation: Any, gy: Any, gradients: Any) -> None:
        """Check the stored arrays, and the gradients that the rule returned."""
        for k in self._held.pop().changed():
            if k == "upstream":
                self._fail(kinds.UPSTREAM_CHANGED, f"{operation.name}: its backward changes its upstream gradient")
            else:
                self._fail(kinds.SAVED_CHANGED, f"{operation.name}: its backward changes array {k} of those it saved")
        self._check_dtypes(operation, gy, gradients)
        self._check_integers(operation, gy, gradients)

    def _check_dtypes(self, operation: Operation, gy: Array, gradients: Any) -> None:
        """Check that a gradient has the dtype of its input, or of its upstream gradient, which the engine casts."""
        for position, (edge, gradient) in enumerate(zip(operation.edges, gradients, strict=False)):
            dtype = getattr(gradient, "dtype", None)
            if edge is not None and dtype is not None and dtype not in (edge.dtype, gy.dtype):
                self._fail(
                    kinds.WRONG_DTYPE,
                    f"{operation.name}: its backward returned {dtype} for input {position}, which is {edge.dtype}",
                )

    def _check_integers(self, operation: Operation, gy: Array, gradients: Any) -> None:
        """Check that no gradient was computed for an input of integers; the engine drops it. Returning gy is free."""
        for position, dtype in self._integers.get(operation, ()):
            gradient = gradients[position] if position < len(gradients) else None
            if backend_of(gradient) is not None and not overlap(gradient, gy):
                self._fail(
                    kinds.INTEGER_GRADIENT,
                    f"{operation.name}: its backward returned a gradient for input {position}, which holds {dtype} "
                    "and cannot change continuously; return None for it",
                )
