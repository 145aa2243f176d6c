"""The tape: what an `Operation` is, and how a call of one is recorded.

There is no list called tape. Each tensor that came out of an operation points to that operation, each operation
points to what its inputs came from, and that graph, followed backwards, is the tape::

    x ─┐
       ├─► Multiply ─► y        y._operation is the Multiply
    w ─┘   .edges = (x, w)      edges lead to operations, or to leaves such as x and w

Pointers go from results to inputs only. So there is no cycle, and the graph of a loss dies, by reference count, when
the loss does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from tinygan.backend import Array, Backend, Shape, backend_of, get_backend
from tinygan.backend.operands import check_broadcast, describe, in_one_dtype, operand
from tinygan.engine import modes
from tinygan.engine.tensor import Tensor, tensor
from tinygan.errors import DeviceError, DtypeError, GradientError, ShapeError, TinyganError

_OUTPUT = -1  # origin of a saved array: the result of the operation itself
_CONSTANT = -2  # origin of a saved array: neither an input nor the result, so no gradient flows through it


class Operation:
    """One call of a differentiable function: its forward formula, its backward formula, and what they share.

    A subclass writes two methods. ``forward(B, *inputs)`` computes the result from arrays with the backend `B`, and
    hands what the backward formula will need to `save`. ``backward(B, gy, *saved)`` gets the gradient of the loss
    with respect to the result, and returns the gradients with respect to each input (None for an input that has no
    gradient; one alone needs no tuple). Options, such as an axis, are arguments of the constructor.

    The subclass does nothing else. The engine checks devices, dtypes and shapes, sums gradients over
    broadcast axes, casts them to the dtype of the input, adds up those of a value used twice, and frees what was
    saved. It runs `backward` on arrays, or, with ``create_graph=True``, on tensors: then `B` is a backend whose arrays
    are tensors, and the same formula records a graph of the gradient.

    Attributes
    ----------
    fresh : bool
        Whether each gradient that `backward` returns is a new array, which nothing else refers to. Then the engine may
        write into it. False, the default, is always right, and costs a copy of what a leaf gets.
    needs : tuple of bool
        One entry an input: whether its gradient is needed. A rule may skip the work when not.
    mixed : slice
        Which inputs are brought to one dtype before `forward` sees them: all, unless a subclass says otherwise.

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
    _origins: tuple[int, ...] = ()
    _versions: tuple[tuple[list[int], int, int], ...] = ()  # of saved arrays: count, its value then, and origin

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

        Inputs and the result keep their place in the graph. Anything else, ``2 * x`` say, is a constant to a pass
        with ``create_graph=True``: save x itself and let `backward` compute from it.
        """
        self.saved = arrays

    # ------------------------------------------------------------------ one call

    def __call__(self, *inputs: Any) -> Tensor:
        """Apply the operation to tensors, arrays and numbers, and record the call if a gradient is wanted."""
        if self.edges:
            raise GradientError(
                f"{self.name}: this object has recorded a call already, and it holds the state of one call only; "
                f"make a new one for each, as in {type(self).__name__}(...)(x)"
            )
        backend, inputs, arrays = self._operands(inputs)
        recording = modes.is_grad_enabled()
        edges = [value.edge if isinstance(value, Tensor) else None for value in inputs]
        self.needs = tuple([recording and edge is not None for edge in edges])

        observer = modes.observer()
        given = [value.data if isinstance(value, Tensor) else value for value in inputs] if observer else []
        if observer is not None:
            observer.before_forward(self, given)
        result = self._compute(backend, arrays)
        array = backend.asarray(result) if backend_of(result) in (None, backend) else result  # on another device
        output = Tensor(array[...] if any([array is other for other in arrays]) else array)
        if observer is not None:
            observer.forward(self, given, output.data)

        source = _source(output.data, arrays)
        if source is not None and isinstance(inputs[source], Tensor):
            output._version = inputs[source]._version  # a view changes when its base does
        if any(self.needs):
            if output.dtype.kind == "c":
                raise DtypeError(f"{self.name}: the result is {output.dtype}, and gradients are of real numbers only")
            if output.is_floating_point:
                self.edges = tuple(edges)
                self._record(backend, inputs, arrays, result, output)
        return output

    def _operands(self, inputs: Sequence[Any]) -> tuple[Backend, Sequence[Any], list[Any]]:
        """Return the backend that all inputs share, the inputs, and their arrays and numbers in one dtype."""
        if not any([isinstance(value, Tensor) or getattr(value, "ndim", 0) for value in inputs]):
            inputs = [value if value is None else tensor(value) for value in inputs]  # nothing but numbers
        backends = [value.backend for value in inputs if isinstance(value, Tensor)]
        backend = backends[0] if backends else get_backend("cpu")
        if backends.count(backend) != len(backends):
            devices = " and ".join(sorted({other.device for other in backends}))
            raise DeviceError(f"{self.name}: inputs are on different devices ({devices}); move them with .to(device)")
        arrays = [value.data if isinstance(value, Tensor) else operand(value, backend, self.name) for value in inputs]
        if len(arrays) > 1:
            arrays[self.mixed] = in_one_dtype(arrays[self.mixed], backend)
            if len(set(map(id, arrays))) < len(arrays):  # saved arrays are told apart by identity
                arrays = [array[...] if backend.is_array(array) else array for array in arrays]
        return backend, inputs, arrays

    def _compute(self, backend: Backend, arrays: Sequence[Any]) -> Any:
        """Check the operands and apply the formula; an error of the array library becomes one that names the call."""
        self.check(*arrays)
        try:
            return self.forward(backend, *arrays)
        except TinyganError:
            raise
        except (TypeError, ValueError) as error:
            kind = ShapeError if isinstance(error, ValueError) else DtypeError
            raise kind(f"{self.name}: {error} (inputs: {describe(arrays)})") from error

    def _record(
        self, backend: Backend, inputs: Sequence[Any], arrays: Sequence[Any], result: Any, output: Tensor
    ) -> None:
        """Make this call the origin of `output`; note where each saved array came from, and its version."""
        self.backend, self.shape, self.dtype = backend, output.shape, output.dtype
        positions = {id(array): position for position, array in enumerate(arrays)}
        origins, saved, versions = [], [], []
        for value in self.saved or ():
            origin = positions.get(id(value), _OUTPUT if value is result else _CONSTANT)
            owner: Any = None  # the tensor whose values are saved
            if origin == _OUTPUT:
                value, owner = output.data, output  # a sum to one number was a scalar, and is a 0-d array now
            elif value is not None and backend.is_array(value):
                source = origin if origin >= 0 else _source(value, arrays)
                owner = None if source is None else inputs[source]
                if owner is not None and not isinstance(owner, Tensor):
                    value, owner = value.copy(), None  # the user may write into it before the backward pass
            if owner is not None:
                versions.append((owner._version, owner.version, origin))
            origins.append(origin)
            saved.append(value)
        self._origins, self.saved, self._versions = tuple(origins), tuple(saved), tuple(versions)
        output._operation, output._requires_grad = self, True

    # ------------------------------------------------------------------ what the backward pass reads

    def refuse_changed(self) -> None:
        """Raise if values that were saved have been changed in place since."""
        for count, before, origin in self._versions:
            if count[0] != before:
                what = "its result" if origin == _OUTPUT else "one of its inputs"
                if origin >= 0:
                    edge, array = self.edges[origin], self.saved[self._origins.index(origin)]  # type: ignore[index]
                    name = f" ({edge.name})" if isinstance(edge, Tensor) and edge.name else ""
                    what = f"its input {origin}{name}, of shape {array.shape},"
                raise GradientError(
                    f"{self.name}: {what} has been changed in place since the forward pass, by an optimiser's step "
                    "for example, and the gradient needs the values that were there; call backward before the "
                    "step, or compute the forward pass again"
                )

    def needing(self, needs: tuple[bool, ...]) -> Operation:
        """Return this operation, or a copy for a pass that needs fewer gradients: passes may run at the same time."""
        if needs == self.needs:
            return self
        narrowed = object.__new__(type(self))
        vars(narrowed).update(vars(self), needs=needs)
        return narrowed

    def saved_as_tensors(self) -> tuple[Any, ...]:
        """Return what was saved as tensors with their place in the graph, for a backward pass that is recorded."""
        tensors = []
        for value, origin in zip(self.saved or (), self._origins, strict=True):
            edge = self if origin == _OUTPUT else None if origin == _CONSTANT else self.edges[origin]
            if self.backend.is_array(value):
                value = edge if isinstance(edge, Tensor) else Tensor(value)
                if isinstance(edge, Operation):
                    value._operation, value._requires_grad = edge, True
            tensors.append(value)
        return tuple(tensors)


def _source(array: Array, operands: Sequence[Any]) -> int | None:
    """Return the position of the operand whose memory `array` is a view of, or None."""
    owner = array.base
    if owner is not None:
        for position, other in enumerate(operands):
            if other is owner or getattr(other, "base", None) is owner:
                return position
    return None


class Elementwise(Operation):
    """An operation on operands that broadcast against each other."""

    def check(self, *inputs: Any) -> None:
        """Refuse shapes that do not broadcast, naming both."""
        check_broadcast([array.shape for array in inputs if hasattr(array, "shape")], self.name)
