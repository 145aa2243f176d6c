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

import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from tinygan.backend import Backend
from tinygan.backend.operands import broadcasts_to
from tinygan.engine import modes
from tinygan.engine.tape import Operation
from tinygan.engine.tensor import Tensor
from tinygan.errors import DtypeError, GradientError, ShapeError

# Set by tinygan.functional: from a backend to the one whose arrays are tensors, for a pass with create_graph=True.
differentiable: Any = None
_adding = threading.Lock()  # two threads may add to the gradient of one leaf


def backward(output: Tensor, gradient: Any, create_graph: bool, retain_graph: bool | None) -> None:
    """Add the gradient of `output` with respect to each leaf to the ``grad`` of that leaf: see `Tensor.backward`."""
    for leaf, slope in _Pass("backward", create_graph, retain_graph).run(output, gradient, wanted=None).items():
        with _adding:
            leaf._grad = slope if leaf._grad is None else leaf._grad + slope


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
        Return None for an input that `output` does not depend on, instead of an error. If `output` depends on
        no tensor at all, such as the slope of a piecewise linear function, the result is None for every input.

    Returns
    -------
    Tensor or tuple of Tensor
        A tensor if `inputs` is a tensor, a tuple if it is a sequence.

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
    if not isinstance(inputs, Iterable):
        raise DtypeError(f"grad: inputs: expected a tensor or a list of tensors, got {type(inputs).__name__}")
    edges = [getattr(tensor, "edge", None) for tensor in ([inputs] if isinstance(inputs, Tensor) else inputs)]
    for position, edge in enumerate(edges):
        if edge is None:
            raise GradientError(f"grad: input {position} is not a tensor that requires a gradient")
    found = {}
    if output.edge is not None or not allow_unused:
        found = _Pass("grad", create_graph, retain_graph).run(output, grad_output, wanted=dict.fromkeys(edges))
    for position, edge in enumerate(edges):
        if edge not in found and not allow_unused:
            raise GradientError.unused(position)
    slopes = tuple([found.get(edge) for edge in edges])
    return slopes[0] if isinstance(inputs, Tensor) else slopes


def topological_order(root: Operation) -> list[Operation]:
    """Return every operation that `root` depends on, and `root`, each after all of its inputs."""
    order: list[Operation] = []
    seen: set[Operation] = set()
    stack = [(root, False)]
    while stack:
        operation, its_inputs_are_listed = stack.pop()
        if its_inputs_are_listed:
            order.append(operation)
        elif operation not in seen:
            seen.add(operation)
            stack.append((operation, True))
            stack += [(edge, False) for edge in reversed(operation.edges) if isinstance(edge, Operation)]
    return order


class _Pass:
    """One backward pass.

    `sums` holds the gradient that each operation and leaf has received so far, and whether its memory belongs to the
    pass. The first term may be borrowed: an addition, for example, hands on its own gradient to both of its inputs. A
    borrowed term is never written to; the sum of two terms belongs to the pass, and later terms are added in place.
    `found` holds the sums of the operations that are `wanted`.
    """

    def __init__(self, caller: str, create_graph: bool, retain_graph: bool | None) -> None:
        self.caller, self.create_graph = caller, create_graph
        self.retain_graph = create_graph if retain_graph is None else retain_graph
        self.sums: dict[Any, tuple[Any, bool]] = {}
        self.found: dict[Any, tuple[Any, bool]] = {}

    def run(self, output: Tensor, gradient: Any, wanted: Collection[Any] | None) -> dict[Any, Tensor]:
        """Return the gradients with respect to the `wanted` operations and leaves; without `wanted`, to every leaf."""
        root = output.edge
        if root is None:
            raise GradientError.no_graph(self.caller)
        self.sums[root] = self._seed(output, gradient), False
        order = topological_order(root) if isinstance(root, Operation) else []
        useful = set() if wanted is None else _leading_to(wanted, order)
        self.wanted = wanted
        with modes.Recording(self.create_graph), modes.observer().during_pass(self, output):
            while order:
                operation = order.pop()
                if operation not in self.sums:  # every path to it was cut by a rule that returned no gradient
                    continue
                gy, owned = self.sums.pop(operation)
                if wanted is not None and operation in wanted:
                    self.found[operation] = gy, owned
                needs = tuple([edge is not None and (wanted is None or edge in useful) for edge in operation.edges])
                if any(needs):
                    self._apply_rule(operation, needs, gy)
            found = self.found | self.sums  # the sums are of leaves only now
            return {edge: _own_tensor(total, owned) for edge, (total, owned) in found.items()}

    def _seed(self, output: Tensor, gradient: Any) -> Any:
        """Return the gradient of `output` with respect to itself, or the one that is given, in its shape and dtype."""
        if gradient is None:
            if output.size != 1:
                raise GradientError.many_numbers(self.caller, output.shape)
            gradient = Tensor(output.backend.xp.ones(output.shape, output.dtype))
        if not isinstance(gradient, Tensor):
            gradient = Tensor(output.backend.array(gradient, output.dtype))
        if gradient.shape != output.shape:
            raise ShapeError(
                f"{self.caller}: the gradient must have the shape of the output, {output.shape}, not {gradient.shape}"
            )
        if gradient.dtype != output.dtype:
            gradient = gradient.astype(output.dtype)
        return gradient if self.create_graph else gradient.data

    def _apply_rule(self, operation: Operation, needs: tuple[bool, ...], gy: Any) -> None:
        """Send the gradient of one operation on to what it was computed from."""
        B, saved = operation.backend, operation.recall(self.caller)
        if self.create_graph:
            B, saved = differentiable(B), operation.as_tensors(saved)
        if not self.retain_graph:
            operation.saved = None

        observer = modes.observer()
        observer.before_backward(operation, gy, saved)
        gradients = operation.needing(needs).backward(B, gy, *saved)
        del saved  # freed before the sums below are made
        if not isinstance(gradients, (tuple, list)):
            gradients = (gradients,)
        if len(gradients) != len(needs):
            raise GradientError(
                f"{operation.name}: its backward returned {len(gradients)} gradients for {len(needs)} inputs"
            )
        observer.backward(operation, gy, gradients)
        for position, gradient in enumerate(gradients):
            if needs[position] and gradient is not None:
                self._add(operation, position, gradient, B)

    def _add(self, operation: Operation, position: int, term: Any, B: Backend) -> None:
        """Add a gradient to what an input of `operation` has received, in the shape and dtype of that input."""
        edge, fresh = operation.edges[position], operation.fresh
        if isinstance(term, Tensor) and not self.create_graph:
            term = term.data
        term = B.asarray(term)  # it may be a number, or, in a pass that is recorded, an array
        if term.shape != edge.shape:
            if not broadcasts_to(edge.shape, term.shape):
                raise GradientError(
                    f"{operation.name}: its backward returned a gradient of shape {term.shape} "
                    f"for input {position} of shape {edge.shape}"
                )
            size, term = term.size, B.unbroadcast(term, edge.shape)
            fresh = fresh or term.size != size  # a sum is new, a reshaped array is not
        if term.dtype != edge.dtype:
            term, fresh = term.astype(edge.dtype), True

        total, owned = self.sums.get(edge, (None, False))
        if total is None:
            self.sums[edge] = term, fresh
        elif owned:
            self.sums[edge] = B.add_into(total, term), True
        else:
            self.sums[edge] = B.asarray(total + term), True


def _own_tensor(total: Any, owned: bool) -> Tensor:
    """Return a sum of gradients as a tensor whose memory nothing else holds."""
    if isinstance(total, Tensor):
        return total if owned else total * 1
    return Tensor(total if owned else total.copy())


def _leading_to(wanted: Iterable[Any], order: Iterable[Operation]) -> set[Any]:
    """Return `wanted` and every operation with an input among them, directly or not."""
    useful = set(wanted)
    for operation in order:
        if any(edge in useful for edge in operation.edges if edge is not None):
            useful.add(operation)
    return useful
