"""Looking over the shoulders of operations: what their forward and backward formulas do to arrays of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tinygan.backend import backend_of
from tinygan.engine.chain_rule import topological_order
from tinygan.engine.checking import report as kinds
from tinygan.engine.checking.subject import Array, Watch, overlap
from tinygan.engine.modes import Observer
from tinygan.engine.tape import Operation
from tinygan.engine.tensor import Tensor

Fail = Callable[[str, str], None]


class ForwardWatch(Observer):
    """Sees every operation of a forward pass.

    Parameters
    ----------
    fail : callable
        Told the kind and the description of what is wrong.
    """

    def __init__(self, fail: Fail) -> None:
        self._fail = fail
        self._results: list[tuple[str, Watch]] = []
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

    @contextmanager
    def backward_of(self, output: Tensor) -> Iterator[None]:
        """Examine what the rules of all operations below `output` do, while the block runs."""
        operations = topological_order(output.edge) if isinstance(output.edge, Operation) else []
        for operation in operations:
            operation.backward = self._watched(operation, operation.backward)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for operation in operations:
                del operation.backward

    def _watched(self, operation: Operation, rule: Callable[..., Any]) -> Callable[..., Any]:
        def backward(B: Any, gy: Any, *saved: Any) -> Any:
            upstream = Watch({"upstream": gy})
            kept = Watch({str(k): array for k, array in enumerate(saved) if backend_of(array) is not None})
            gradients = rule(B, gy, *saved)
            for _ in upstream.changed():
                self._fail(kinds.UPSTREAM_CHANGED, f"{operation.name}: its backward changes its upstream gradient")
            for k in kept.changed():
                self._fail(kinds.SAVED_CHANGED, f"{operation.name}: its backward changes array {k} of those it saved")
            several = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
            self._check_dtypes(operation, gy, several)
            self._check_integers(operation, gy, several)
            return gradients

        return backward

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
