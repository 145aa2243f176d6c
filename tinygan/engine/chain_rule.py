"""The backward pass: the chain rule over the graph, from the result to the leaves.

For a scalar L computed through y = f(x), the chain rule says dL/dx = dL/dy · dy/dx. Each operation knows how to
multiply by its own dy/dx (its `backward`); what is left for this file is the order, the sums and the bookkeeping:

1. `topological_order` lists the operations so that each comes after everything it depends on.
2. The list is walked from the end. When an operation's turn comes, every use of its result has been visited, so the
   sum of what they sent is its complete gradient ``gy``.
3. Its rule turns ``gy`` into gradients of its inputs, which are added to what those have received so far; then
   whatever it saved is freed.

There is no recursion, and the time is linear in the operations plus the edges between them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tinygan.backend import Backend
from tinygan.backend.operands import broadcasts_to
from tinygan.engine import modes
from tinygan.engine.tape import Operation
from tinygan.engine.tensor import Tensor
from tinygan.errors import DtypeError, GradientError, ShapeError

# Set by tinygan.functional: the backend whose arrays are tensors, for a pass with create_graph=True.
differentiable: Callable[[Backend], Backend] | None = None
_adding = threading.Lock()  # two threads may add to the gradient of one leaf


def backward(
    output: Tensor, gradient: Any = None, create_graph: bool = False, retain_graph: bool | None = None
) -> None:
    """Add the gradient of `output` with respect to each leaf to the ``grad`` of that leaf: see `Tensor.backward`."""
    for leaf, slope in _Pass("backward", output, gradient, create_graph, retain_graph).run(wanted=None).items():
        with _adding:
            leaf.grad = slope if leaf.grad is None else leaf.grad + slope


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    grad_output: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> Any:
    """Return the gradients of `output` with respect to `inputs`, leaving every ``.grad`` as it is.

    Only what lies between `output` and `inputs` is computed. Inputs may be leaves or intermediate results.

    Parameters
    ----------
    output : Tensor
        What to differentiate.
    inputs : Tensor or sequence of Tensor
        With respect to what.
    grad_output : Tensor or array, optional
        The vector v of v'J, of the shape of `output`; 1 if that has one element.
    create_graph : bool
        Record the pass, so that the gradients can be differentiated again.
    retain_graph : bool, optional
        Keep the graph for a second pass; by default `create_graph`.
    allow_unused : bool
        Return None for an input that `output` does not depend on, instead of an error. An `output` that depends on
        no tensor at all, such as the slope of a function made of straight pieces, has None for every input.

    Returns
    -------
    Tensor or tuple of Tensor
        As `inputs`: one for one, a tuple for a sequence.

    Raises
    ------
    GradientError
        As `Tensor.backward`; or `output` does not depend on an input.
    DtypeError
        `output` is not a tensor, or `inputs` are not a tensor or a sequence.

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> slope = tg.grad(x**3, x, create_graph=True)
    >>> slope.item(), tg.grad(slope, x).item()  # 3 x^2 and 6 x
    (27.0, 18.0)
    """
    if not isinstance(output, Tensor):
        hint = "; differentiate a sum, as in tg.grad(a.sum() + b.sum(), x)" if isinstance(output, (list, tuple)) else ""
        raise DtypeError(f"grad: output: expected one tensor, got {type(output).__name__}{hint}")
    single = isinstance(inputs, Tensor)
    if not isinstance(inputs, Iterable):
        raise DtypeError(f"grad: inputs: expected a tensor or a list of tensors, got {type(inputs).__name__}")
    wanted = [inputs] if single else list(inputs)
    for position, tensor in enumerate(wanted):
        if getattr(tensor, "edge", None) is None:
            raise GradientError(f"grad: input {position} is not a tensor that requires a gradient")
    if output.edge is None and allow_unused:
        return None if single else (None,) * len(wanted)
    found = _Pass("grad", output, grad_output, create_graph, retain_graph).run({tensor.edge for tensor in wanted})
    for position, tensor in enumerate(wanted):
        if tensor.edge not in found and not allow_unused:
            raise GradientError(
                f"grad: the output does not depend on input {position}, so its gradient is 0 everywhere; "
                "pass allow_unused=True to get None for such an input"
            )
    results = tuple([found.get(tensor.edge) for tensor in wanted])
    return results[0] if single else results


def topological_order(root: Operation) -> list[Operation]:
    """Return every operation that `root` depends on, and `root`, each after all of its inputs."""
    order: list[Operation] = []
    seen = {root}
    stack: list[tuple[Operation, Any]] = [(root, iter(root.edges))]
    while stack:
        operation, edges = stack[-1]
        for edge in edges:
            if isinstance(edge, Operation) and edge not in seen:
                seen.add(edge)
                stack.append((edge, iter(edge.edges)))
                break
        else:
            order.append(operation)
            stack.pop()
    return order


class _Pass:
    """One backward pass.

    `sums` holds the gradient that each operation and leaf has received so far, and whether its memory belongs to the
    pass. The first term may be borrowed: an addition, for example, hands on its own gradient to both of its inputs. A
    borrowed term is never written to; the sum of two terms belongs to the pass, and later terms are added in place.
    """

    def __init__(
        self, caller: str, output: Tensor, gradient: Any, create_graph: bool, retain_graph: bool | None
    ) -> None:
        if output.edge is None:
            raise GradientError(
                f"{caller}: the output does not depend on any tensor with requires_grad=True, so there is nothing to "
                "differentiate. Was it computed under no_grad(), or by an earlier pass without create_graph=True? "
                "If it is the gradient of a function made of straight pieces, such as relu, it is constant: its own "
                "gradient is 0, and tg.grad(..., allow_unused=True) returns None"
            )
        self.caller, self.create_graph = caller, create_graph
        self.retain_graph = create_graph if retain_graph is None else retain_graph
        self.root: Any = output.edge
        self.sums: dict[Any, tuple[Any, bool]] = {self.root: (_seed(caller, output, gradient, create_graph), False)}

    def run(self, wanted: set[Any] | None) -> dict[Any, Tensor]:
        """Return the gradients with respect to the `wanted` operations and leaves; to every leaf if that is None."""
        order = topological_order(self.root) if isinstance(self.root, Operation) else []
        useful = None if wanted is None else _leading_to(wanted, order)
        found: dict[Any, tuple[Any, bool]] = {}
        with modes.Recording(self.create_graph):
            while order:
                operation = order.pop()
                if operation not in self.sums:  # every path to it was cut by a rule that returned no gradient
                    continue
                gy, owned = self.sums.pop(operation)
                if wanted is not None and operation in wanted:
                    found[operation] = gy, owned
                needs = tuple([edge is not None and (useful is None or edge in useful) for edge in operation.edges])
                if any(needs):
                    self._apply_rule(operation, needs, gy)
            found |= {edge: total for edge, total in self.sums.items() if isinstance(edge, Tensor)}
            return {edge: _own_tensor(total, owned) for edge, (total, owned) in found.items()}

    def _apply_rule(self, operation: Operation, needs: tuple[bool, ...], gy: Any) -> None:
        """Send the gradient of one operation on to what it was computed from."""
        if operation.saved is None:
            raise GradientError(
                f"{self.caller}: the graph of '{operation.name}' has been freed by an earlier backward pass; "
                "compute the forward pass again, or pass retain_graph=True to the first backward"
            )
        operation.refuse_changed()
        B, saved = operation.backend, operation.saved
        if self.create_graph:
            assert differentiable is not None, "tinygan.functional sets this when it is imported"
            B, saved = differentiable(B), operation.saved_as_tensors()
        if not self.retain_graph:
            operation.saved = None
        if (observer := modes.observer()) is not None:
            observer.before_backward(operation, gy, saved)
        gradients = operation.needing(needs).backward(B, gy, *saved)
        del saved
        gradients = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
        if len(gradients) != len(needs):
            raise GradientError(
                f"{operation.name}: its backward returned {len(gradients)} gradients for {len(needs)} inputs"
            )
        if observer is not None:
            observer.backward(operation, gy, gradients)
        for position, gradient in enumerate(gradients):
            if needs[position] and gradient is not None:
                self._add(operation.edges[position], *self._fitted(gradient, operation, position, B))

    def _fitted(self, gradient: Any, operation: Operation, position: int, B: Backend) -> tuple[Any, bool]:
        """Return a gradient in the form, shape and dtype of what it is of, and whether it belongs to the pass."""
        edge, fresh = operation.edges[position], operation.fresh
        if isinstance(gradient, Tensor) and not self.create_graph:
            gradient = gradient.data
        if not isinstance(gradient, Tensor):  # a scalar; or, in a pass that is recorded, a constant such as zeros
            gradient = operation.backend.asarray(gradient)
            gradient = Tensor(gradient) if self.create_graph else gradient
        if gradient.shape != edge.shape:
            if not broadcasts_to(edge.shape, gradient.shape):
                raise GradientError(
                    f"{operation.name}: its backward returned a gradient of shape {gradient.shape} "
                    f"for input {position} of shape {edge.shape}"
                )
            fresh = fresh or gradient.size != math.prod(edge.shape)  # a sum is new, a reshaped array is not
            gradient = B.unbroadcast(gradient, edge.shape)
        if gradient.dtype != edge.dtype:
            gradient, fresh = gradient.astype(edge.dtype), True
        return gradient, fresh

    def _add(self, edge: Any, term: Any, fresh: bool) -> None:
        total, owned = self.sums.get(edge, (None, False))
        if total is None:
            self.sums[edge] = term, fresh
        elif owned and not self.create_graph:
            self.sums[edge] = edge.backend.add_into(total, term), True
        else:
            self.sums[edge] = total + term if self.create_graph else edge.backend.asarray(total + term), True


def _own_tensor(total: Any, owned: bool) -> Tensor:
    """Return a sum of gradients as a tensor whose memory nothing else holds."""
    if isinstance(total, Tensor):
        return total if owned else total * 1
    return Tensor(total if owned else total.copy())


def _seed(caller: str, output: Tensor, gradient: Any, create_graph: bool) -> Any:
    """Return the gradient to start from, as an array, or as a tensor when the pass is to be recorded."""
    if gradient is None:
        if output.size != 1:
            raise GradientError(
                f"{caller}: the output has shape {output.shape}, and only one number has a gradient. Reduce it first, "
                "as in .sum() or .mean(), or pass the gradient of a number with respect to it, of the same shape"
            )
        gradient = output.backend.xp.ones(output.shape, output.dtype)
    elif not isinstance(gradient, Tensor):
        gradient = output.backend.array(gradient, output.dtype)
    if gradient.shape != output.shape:
        raise ShapeError(
            f"{caller}: the gradient must have the shape of the output, {output.shape}, not {gradient.shape}"
        )
    if gradient.dtype != output.dtype:
        gradient = gradient.astype(output.dtype)
    if isinstance(gradient, Tensor):
        return gradient if create_graph else gradient.data
    return Tensor(gradient) if create_graph else gradient


def _leading_to(wanted: set[Any], order: Iterable[Operation]) -> set[Any]:
    """Return `wanted` and every operation with an input among them, directly or not."""
    useful = set(wanted)
    for operation in order:
        if any(edge in useful for edge in operation.edges if edge is not None):
            useful.add(operation)
    return useful
