"""What the forward and backward formulas of operations do to arrays of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygan.backend import backend_of
from tinygan.checking import report as kinds
from tinygan.checking.subject import Array, Watch, overlap
from tinygan.engine.modes import Observer
from tinygan.engine.tape import Operation
from tinygan.engine.tensor import Tensor

Fail = Callable[[str, str], None]


class OperationWatch(Observer):
    """Sees every operation of a forward pass, and every rule of a backward pass.

    Parameters
    ----------
    fail : callable
        Told the kind and the description of what is wrong.
    """

    def __init__(self, fail: Fail) -> None:
        self._fail = fail
        self._results: list[tuple[str, Watch]] = []
        self._held: list[Watch] = []  # one for each rule that is being applied: a rule may differentiate, too
        self._integers: dict[Operation, list[tuple[int, str]]] = {}

    def forward(self, operation: Any, inputs: Any, result: Any) -> None:
        """Remember what came out, and which operands hold integers."""
        self._results.append((operation.name, Watch({"result": result.data})))
        self._integers[operation] = [
            (position, str(array.dtype))
            for position, array in enumerate(inputs)
            if getattr(array, "dtype", None) is not None and array.dtype.kind in "iub"
        ]

    def finish(self) -> None:
        """Note the results that are no longer what they were."""
        for name, watch in self._results:
            for _ in watch.changed():
                self._fail(kinds.SAVED_CHANGED, f"{name}: its result is changed later in the forward pass")

    def before_backward(self, operation: Any, gy: Any, saved: Any) -> None:
        """Remember what the rule must leave as it is."""
        named = {"upstream": gy, **{str(k): value for k, value in enumerate(saved)}}
        arrays = {name: value.data if isinstance(value, Tensor) else value for name, value in named.items()}
        self._held.append(Watch({name: array for name, array in arrays.items() if backend_of(array) is not None}))

    def backward(self, operation: Any, gy: Any, gradients: Any) -> None:
        """Examine what the rule did, and the gradients that it returned."""
        for k in self._held.pop().changed():
            if k == "upstream":
                self._fail(kinds.UPSTREAM_CHANGED, f"{operation.name}: its backward changes its upstream gradient")
            else:
                self._fail(kinds.SAVED_CHANGED, f"{operation.name}: its backward changes array {k} of those it saved")
        self._check_dtypes(operation, gy, gradients)
        self._check_integers(operation, gy, gradients)

    def _check_dtypes(self, operation: Operation, gy: Array, gradients: Any) -> None:
        """A gradient is of its input's dtype, or of its upstream gradient's, which the engine casts."""
        for position, (edge, gradient) in enumerate(zip(operation.edges, gradients, strict=False)):
            dtype = getattr(gradient, "dtype", None)
            if edge is not None and dtype is not None and dtype not in (edge.dtype, gy.dtype):
                self._fail(
                    kinds.WRONG_DTYPE,
                    f"{operation.name}: its backward returned {dtype} for input {position}, which is {edge.dtype}",
                )

    def _check_integers(self, operation: Operation, gy: Array, gradients: Any) -> None:
        """Passing gy on costs nothing and the engine drops it; anything else was computed in vain."""
        for position, dtype in self._integers.get(operation, ()):
            gradient = gradients[position] if position < len(gradients) else None
            if backend_of(gradient) is not None and not overlap(gradient, gy):
                self._fail(
                    kinds.INTEGER_GRADIENT,
                    f"{operation.name}: its backward returned a gradient for input {position}, which holds {dtype} "
                    "and cannot be changed by a little; return None for it",
                )
