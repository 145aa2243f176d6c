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
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tinygan.backend import Backend, Shape, backend_of
from tinygan.engine import modes
from tinygan.engine.tape import Operation
from tinygan.engine.tensor import Tensor
from tinygan.errors import DtypeError, GradientError, ShapeError

_adding = threading.Lock()  # two threads may add to the gradient of one leaf

# Set by tinygan.functional: the backend whose arrays are tensors, for a pass with create_graph=True.
differentiable: Callable[[Backend], Backend] | None = None


def backward(
    output: Tensor, gradient: Any = None, create_graph: bool = False, retain_graph: bool | None = None
) -> None:
    """Add the gradient of `output` by every leaf to that leaf's ``grad``: see `Tensor.backward`."""
    chain = _Pass("backward", output, gradient, create_graph, retain_graph)
    for leaf, gradient_of_leaf in chain.run(wanted=None).items():
        _accumulate_into(leaf, gradient_of_leaf)


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    grad_output: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
) -> Any:
    """Return the gradients of `output` by `inputs`, leaving every ``.grad`` as it is.

    Only what lies between `output` and `inputs` is computed. Inputs may be leaves or intermediate results.

    Parameters
    ----------
    output : Tensor
        What to differentiate.
    inputs : Tensor or sequence of Tensor
        By what.
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

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> slope = tg.grad(x**3, x, create_graph=True)
    >>> slope.item(), tg.grad(slope, x).item()  # 3 x^2 and 6 x
    (27.0, 18.0)
    """
    if not isinstance(output, Tensor):
        raise DtypeError(
            f"grad: output: expected one tensor, got {type(output).__name__}"
            + (
                "; differentiate a sum of several, as in tg.grad(a.sum() + b.sum(), x)"
                if isinstance(output, (list, tuple))
                else ""
            )
        )
    single = isinstance(inputs, Tensor)
    if not single and not isinstance(inputs, Iterable):
        raise DtypeError(f"grad: inputs: expected a tensor or a list of tensors, got {type(inputs).__name__}")
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for position, tensor in enumerate(wanted):
        if getattr(tensor, "edge", None) is None:
            raise GradientError(f"grad: input {position} is not a tensor that requires a gradient")
    if output.edge is None and allow_unused:
        return None if single else (None,) * len(wanted)
    chain = _Pass("grad", output, grad_output, create_graph, retain_graph)
    found = chain.run(wanted={tensor.edge for tensor in wanted})
    results = []
    for position, tensor in enumerate(wanted):
        gradient = found.get(tensor.edge)
        if gradient is None and not allow_unused:
            raise GradientError(
                f"grad: the output does not depend on input {position}, so its gradient is 0 everywhere; "
                "pass allow_unused=True to get None for such an input"
            )
        results.append(gradient)
    return results[0] if single else tuple(results)


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


class _Total:
    """The gradient that an operation or a leaf has received so far.

    The first term is borrowed: it may be the memory of another gradient, such as ``gy`` itself, which an addition
    hands on to both of its inputs. So it is never written to. The second term makes a sum of its own, and later ones
    are added to that in place.
    """

    __slots__ = ("owned", "value")

    def __init__(self, value: Any, owned: bool) -> None:
        self.value = value
        self.owned = owned

    def add(self, term: Any) -> None:
        backend = backend_of(self.value)
        if backend is None:  # a tensor: the sum is recorded too
            self.value, self.owned = self.value + term, True
        elif self.owned:
            self.value = backend.add_into(self.value, term)
        else:
            self.value, self.owned = backend.asarray(self.value + term), True

    def as_tensor(self) -> Tensor:
        """Return the total in memory that nobody else holds."""
        if isinstance(self.value, Tensor):
            return self.value if self.owned else self.value * 1
        return Tensor(self.value if self.owned else self.value.copy())


class _Pass:
    """One backward pass."""

    def __init__(
        self, caller: str, output: Tensor, gradient: Any, create_graph: bool, retain_graph: bool | None
    ) -> None:
        if getattr(output, "edge", None) is None:
            raise GradientError(
                f"{caller}: the output does not depend on any tensor with requires_grad=True, so there is nothing to "
                "differentiate. Was it computed under no_grad(), or by an earlier pass without create_graph=True? "
                "If it is the gradient of a function made of straight pieces, such as relu, it is constant: its own "
                "gradient is 0, and tg.grad(..., allow_unused=True) returns None"
            )
        self.caller = caller
        self.create_graph = create_graph
        self.retain_graph = create_graph if retain_graph is None else retain_graph
        self.root = output.edge
        self.seed = _seed_gradient(caller, output, gradient, create_graph)

    def run(self, wanted: set[Any] | None) -> dict[Any, Tensor]:
        """Return the gradients of the `wanted` operations and leaves; of every leaf if that is None."""
        order = topological_order(self.root) if isinstance(self.root, Operation) else []
        useful = None if wanted is None else _leading_to(wanted, order)
        totals: dict[Any, _Total] = {self.root: _Total(self.seed, owned=False)}
        results: dict[Any, _Total] = {}
        with modes.Recording(self.create_graph):
            while order:
                operation = order.pop()
                total = totals.pop(operation, None)
                if total is None:  # every path to it was cut by a rule that returned no gradient
                    continue
                if wanted is None:
                    self._keep_if_retained(operation, total)
                elif operation in wanted:
                    results[operation] = total
                needs = tuple([edge is not None and (useful is None or edge in useful) for edge in operation.edges])
                if any(needs):
                    self._apply_rule(operation, needs, total.value, totals)
            results |= {edge: total for edge, total in totals.items() if isinstance(edge, Tensor)}
            return {edge: total.as_tensor() for edge, total in results.items()}

    def _apply_rule(
        self, operation: Operation, needs: tuple[bool, ...], gy: Any, totals: dict[Any, _Total]
    ) -> None:
        """Send the gradient of one operation on to what it was computed from."""
        if operation.saved is None:
            raise GradientError(
                f"{self.caller}: the graph of '{operation.name}' has been freed by an earlier backward pass; "
                "compute the forward pass again, or pass retain_graph=True to the first backward"
            )
        operation.refuse_changed()
        if self.create_graph:
            assert differentiable is not None, "tinygan.functional sets this when it is imported"
            B, saved = differentiable(operation.backend), operation.saved_as_tensors()
        else:
            B, saved = operation.backend, operation.saved
        if not self.retain_graph:
            operation.saved = None
        gradients = operation.needing(needs).backward(B, gy, *saved)
        if not isinstance(gradients, (tuple, list)):
            gradients = (gradients,)
        # of what goes to leaves only: in between, a gradient with one term is never written to
        reaches_leaf = any(isinstance(edge, Tensor) for edge in operation.edges)
        shared = _shared_memory((gy, *saved, *vars(operation).values(), *gradients)) if reaches_leaf else set()
        del saved
        if len(gradients) != len(operation.edges):
            raise GradientError(
                f"{operation.name}: its backward returned {len(gradients)} gradients for "
                f"{len(operation.edges)} inputs"
            )
        if (observer := modes.observer()) is not None:
            observer.backward(operation, gy, gradients)
        for position, (edge, gradient) in enumerate(zip(operation.edges, gradients, strict=True)):
            if not needs[position] or gradient is None:
                continue
            term = self._fitted(gradient, edge, operation, position, B)
            if edge in totals:
                totals[edge].add(term)
            else:
                owned = (
                    isinstance(edge, Tensor)
                    and id(gradient) not in shared
                    and operation.backend.owns_memory(term.data if self.create_graph else term)
                )
                totals[edge] = _Total(term, owned)

    def _fitted(self, gradient: Any, edge: Any, operation: Operation, position: int, B: Backend) -> Any:
        """Give a gradient the form, shape and dtype of what it is the gradient of."""
        if isinstance(gradient, Tensor) and not self.create_graph:
            gradient = gradient.data
        if not isinstance(gradient, Tensor):  # a scalar; or, in a pass that is recorded, a constant such as zeros
            gradient = operation.backend.asarray(gradient)
            gradient = Tensor(gradient) if self.create_graph else gradient
        if gradient.shape != edge.shape:
            if not _broadcasts_to(edge.shape, gradient.shape):
                raise GradientError(
                    f"{operation.name}: its backward returned a gradient of shape {gradient.shape} "
                    f"for input {position} of shape {edge.shape}"
                )
            gradient = B.unbroadcast(gradient, edge.shape)
        return gradient if gradient.dtype == edge.dtype else gradient.astype(edge.dtype)

    def _keep_if_retained(self, operation: Operation, total: _Total) -> None:
        tensor = None if operation._retained is None else operation._retained()
        if tensor is not None:
            _accumulate_into(tensor, _Total(total.value, owned=False).as_tensor())


def _seed_gradient(caller: str, output: Tensor, gradient: Any, create_graph: bool) -> Any:
    """Return the gradient to start from, as an array, or as a tensor when the pass is to be recorded."""
    if gradient is None:
        if output.size != 1:
            raise GradientError(
                f"{caller}: the output has shape {output.shape}, and only one number has a gradient. "
                "Reduce it first, as in .sum() or .mean(), or pass the gradient of a number by it, of the same shape"
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
    if create_graph:
        return gradient if isinstance(gradient, Tensor) else Tensor(gradient)
    return gradient.data if isinstance(gradient, Tensor) else gradient


def _leading_to(wanted: set[Any], order: Iterable[Operation]) -> set[Any]:
    """Return `wanted` and every operation with an input among them, directly or not."""
    useful = set(wanted)
    for operation in order:
        if any(edge in useful for edge in operation.edges if edge is not None):
            useful.add(operation)
    return useful


def _broadcasts_to(shape: Shape, larger: Shape) -> bool:
    added = len(larger) - len(shape)
    return added >= 0 and all(size in (1, other) for size, other in zip(shape, larger[added:], strict=True))


def _shared_memory(values: Iterable[Any]) -> set[int]:
    """Return the identities of the arrays whose memory more than one of `values` uses.

    A gradient is written to only if it is not among them: a rule may return one array twice, a view of another
    gradient, or an array that it saved, which may be the user's own data.
    """
    once: set[int] = set()
    again: set[int] = set()
    for value in values:
        base = getattr(value, "base", None)
        owner = id(value if base is None else base)
        (again if owner in once else once).add(owner)
    return again


def _accumulate_into(tensor: Tensor, gradient: Tensor) -> None:
    with _adding:
        tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
