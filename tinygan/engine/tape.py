"""The tape: what an `Operation` is, and how a call of one is recorded.

There is no list called tape. Each result of an operation points to that operation. Each operation points to the
operations that computed its inputs. This graph, followed backwards, is the tape::

    x ─┐
       ├─► Multiply ─► y        y._operation is the Multiply
    w ─┘   .edges = (x, w)      edges lead to operations, or to leaves such as x and w

Pointers go from results to inputs only. So there is no cycle, and the graph of a loss is freed, by reference count,
together with the loss.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from tinygan.backend import Array, Backend, Shape, operands
from tinygan.engine import modes
from tinygan.engine.tensor import Tensor
from tinygan.errors import DtypeError, GradientError, ShapeError, TinyganError


class Operation:
    """One call of a differentiable function: its forward formula, its backward formula, and what they share.

    A subclass writes two methods. ``forward(B, *inputs)`` computes the result from arrays with the backend `B`, and
    passes the values that the backward formula needs to `save`. ``backward(B, gy, *saved)`` gets the gradient of the
    loss with respect to the result, and returns the gradients with respect to each input (None for an input that has no
    gradient; a single gradient needs no tuple). Options, such as an axis, are arguments of the constructor.

    The engine does all else. It checks devices, dtypes and shapes, sums gradients over
    broadcast axes, casts them to the dtype of the input, adds up those of a value used twice, and frees what was
    saved. It runs `backward` on arrays, or, with ``create_graph=True``, on tensors: then `B` is a backend whose arrays
    are tensors, and the same formula records a graph of the gradient.

    Attributes
    ----------
    fresh : bool
        Whether each gradient that `backward` returns is a new array, which nothing else refers to. Then the engine may
        write into it. False, the default, is always right, and costs a copy of each gradient of a leaf.
    needs : tuple of bool
        For each input, whether its gradient is needed. A rule need not compute the others.
    mixed : slice
        The inputs that are converted to a common dtype before `forward` gets them; by default all.

    Examples
    --------
    >>> import tinygan as tg
    >>> class Cube(tg.Operation):
    ...     'y = x^3,  gx = 3 x^2 gy'
    ...     def forward(self, B, x):
    ...         self.save(x)
    ...         return x * x * x
    ...     def backward(self, B, gy, x):
    ...         return 3 * x * x * gy
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> Cube()(x).backward()
    >>> x.grad.item()
    12.0
    """

    name: ClassVar[str] = "operation"
    fresh: ClassVar[bool] = False
    mixed: ClassVar[slice] = slice(None)

    needs: tuple[bool, ...] = ()
    edges: tuple[Any, ...] = ()
    saved: tuple[Any, ...] | None = ()
    backend: Backend
    shape: Shape
    dtype: Any
    _notes: tuple[tuple[int | None, list[int], int], ...] = ()  # on the saved values: see `_record`

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:  # SoftmaxCrossEntropy -> softmax_cross_entropy
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__.lstrip("_")).lower()

    # ------------------------------------------------------------------ for subclasses to write

    def check(self, *inputs: Any) -> None:
        """Raise `ShapeError` if the shapes do not fit; called before `forward` with the same arrays."""

    def forward(self, B: Backend, *inputs: Any) -> Array:
        """Compute the result from arrays."""
        raise NotImplementedError(f"{type(self).__name__}.forward is not written")

    def backward(self, B: Backend, gy: Any, *saved: Any) -> Any:
        """Compute the gradients with respect to the inputs from `gy`, the gradient with respect to the result."""
        raise NotImplementedError(f"{type(self).__name__}.backward is not written")

    def save(self, *arrays: Any) -> None:
        """Keep arrays for the backward pass: inputs, the result, or others (None holds a place).

        Inputs and the result keep their place in the graph. Any other array, such as ``2 * x``, is a constant in a pass
        with ``create_graph=True``: save x itself and let `backward` compute from it.
        """
        self.saved = arrays

    # ------------------------------------------------------------------ one call

    def __call__(self, *inputs: Any) -> Tensor:
        """Apply the operation to tensors, arrays and numbers, and record the call if a gradient is wanted."""
        if self.edges:
            raise GradientError.called_twice(self.name, type(self).__name__)
        tensors = [value.data if isinstance(value, Tensor) else None for value in inputs]
        backend, arrays = operands.prepare(inputs, tensors, self.mixed, self.name)
        edges = [value.edge if isinstance(value, Tensor) else None for value in inputs]
        recording = modes.is_grad_enabled()
        self.needs = tuple([recording and edge is not None for edge in edges])

        observer = modes.observer()
        observer.before_forward(self, inputs)
        result = self._compute(backend, arrays)
        output = Tensor(operands.result_array(result, arrays, backend))
        source = operands.viewed(output.data, arrays)
        if source is not None and isinstance(inputs[source], Tensor):
            output._version = inputs[source]._version  # a view changes when its base does

        if any(self.needs):
            if output.dtype.kind == "c":
                raise DtypeError(f"{self.name}: the result is {output.dtype}, and gradients are of real numbers only")
            if output.dtype.kind == "f":  # integers have no gradient
                self.backend, self.edges = backend, tuple(edges)
                self._record(inputs, arrays, result, output)
        observer.forward(self, inputs, output)
        return output

    def _compute(self, backend: Backend, arrays: Sequence[Any]) -> Any:
        """Check the operands and apply the formula; name the call in an error of the array library."""
        self.check(*arrays)
        try:
            return self.forward(backend, *arrays)
        except TinyganError:
            raise
        except (TypeError, ValueError) as error:
            kind = ShapeError if isinstance(error, ValueError) else DtypeError
            raise kind(f"{self.name}: {error} (inputs: {operands.describe(arrays)})") from error

    def _record(self, inputs: Sequence[Any], arrays: Sequence[Any], result: Any, output: Tensor) -> None:
        """Make this call the origin of `output`, and note the origin of each saved value.

        A note holds the position of the operand that the value is, with the result as the last (None: a constant,
        through which no gradient flows); the counter of changes of its memory; and the value of that counter now.
        """
        self.shape, self.dtype = output.shape, output.dtype
        owners, arrays = [*inputs, output], [*arrays, result]
        positions = {id(array): position for position, array in enumerate(arrays)}
        saved, notes = [], []
        for value in self.saved or ():
            origin = positions.get(id(value))
            source = operands.viewed(value, arrays) if origin is None else origin
            changes = [0]
            if value is result:
                value = output.data  # a full sum is a scalar in NumPy, and a 0-d array in the tensor
            if source is not None and isinstance(owners[source], Tensor):
                changes = owners[source]._version
            elif source is not None and self.backend.is_array(value):
                value = value.copy()  # the user owns this array, and may write into it before the backward pass
            saved.append(value)
            notes.append((origin, changes, changes[0]))
        self.saved, self._notes = tuple(saved), tuple(notes)
        output._operation, output._requires_grad = self, True

    # ------------------------------------------------------------------ what the backward pass reads

    def recall(self, caller: str) -> tuple[Any, ...]:
        """Return the saved values.

        Raises
        ------
        GradientError
            They have been freed, or changed in place since the forward pass.
        """
        saved = self.saved
        if saved is None:
            raise GradientError.graph_freed(caller, self.name)
        for value, (origin, changes, before) in zip(saved, self._notes, strict=True):
            if changes[0] != before:
                raise GradientError.changed_in_place(self.name, self._called(value, origin))
        return saved

    def _called(self, value: Any, origin: int | None) -> str:
        """Return the name of a saved value for a message."""
        if origin is None:
            return "one of its inputs"
        if origin == len(self.edges):
            return "its result"
        edge = self.edges[origin]
        name = f" ({edge.name})" if isinstance(edge, Tensor) and edge.name else ""
        return f"its input {origin}{name}, of shape {value.shape},"

    def as_tensors(self, saved: Sequence[Any]) -> tuple[Any, ...]:
        """Return the saved values as tensors with their place in the graph, for a backward pass that is recorded."""
        places = (*self.edges, self)
        tensors = []
        for value, (origin, *_) in zip(saved, self._notes, strict=True):
            if self.backend.is_array(value):
                edge = None if origin is None else places[origin]
                value = edge if isinstance(edge, Tensor) else Tensor(value)
                if isinstance(edge, Operation):
                    value._operation, value._requires_grad = edge, True
            tensors.append(value)
        return tuple(tensors)

    def needing(self, needs: tuple[bool, ...]) -> Operation:
        """Return this operation, or a copy for a pass that needs fewer gradients; other passes may run meanwhile."""
        if needs == self.needs:
            return self
        narrowed = object.__new__(type(self))
        vars(narrowed).update(vars(self), needs=needs)
        return narrowed


class Elementwise(Operation):
    """An operation on operands that broadcast against each other."""

    def check(self, *inputs: Any) -> None:
        """Refuse shapes that do not broadcast, naming both."""
        operands.check_broadcast([array.shape for array in inputs if hasattr(array, "shape")], self.name)
