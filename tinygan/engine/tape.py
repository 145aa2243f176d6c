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
from tinygan.engine import modes
from tinygan.engine.tensor import DEFAULT_DTYPE, Tensor, as_operand, tensor
from tinygan.errors import DeviceError, DtypeError, GradientError, ShapeError, TinyganError

Edge = "Operation | Tensor"  # what an input came from: an operation, or the tensor itself when it is a leaf

_OUTPUT = -1  # origin of a saved array: the result of the operation itself
_CONSTANT = -2  # origin of a saved array: neither an input nor the result, so no gradient flows through it


class Operation:
    """One call of a differentiable function: its forward formula, its backward formula, and what they share.

    A subclass writes two methods. ``forward(B, *inputs)`` computes the result from arrays with the backend `B`, and
    hands what the backward formula will need to `save`. ``backward(B, gy, *saved)`` gets the gradient of the loss by
    the result and returns the gradients by each input (None for an input that has none; a lone gradient needs no
    tuple). Options, such as an axis, are arguments of the constructor.

    Nothing else is the subclass's business. The engine checks devices, dtypes and shapes, sums gradients over
    broadcast axes, casts them to the dtype of the input, adds up those of a value used twice, and frees what was
    saved. It runs `backward` on arrays, or, with ``create_graph=True``, on tensors: then `B` is a backend whose arrays
    are tensors, and the same formula records a graph of the gradient.

    Attributes
    ----------
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
    mixed: ClassVar[slice] = slice(None)

    needs: tuple[bool, ...] = ()
    edges: tuple[Any, ...] = ()
    saved: tuple[Any, ...] | None = ()
    backend: Backend
    shape: Shape
    dtype: Any
    _origins: tuple[int, ...] = ()
    _versions: tuple[tuple[list[int], int, int], ...] = ()  # of saved arrays: count, its value then, and origin
    _retained: Any = None  # weak reference to the result, when somebody asked to keep its gradient

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
        """Compute the gradients by the inputs from `gy`, the gradient by the result."""
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
        if not any(isinstance(value, Tensor) or getattr(value, "ndim", 0) for value in inputs):
            inputs = tuple(value if value is None else tensor(value) for value in inputs)  # nothing but numbers
        backend = self._common_backend(inputs)
        arrays, edges = [], []
        for value in inputs:
            is_tensor = isinstance(value, Tensor)
            arrays.append(value.data if is_tensor else as_operand(value, backend, self.name))
            edges.append(value.edge if is_tensor else None)
        if len(arrays) > 1:
            arrays[self.mixed] = in_one_dtype(arrays[self.mixed], backend)
        # by identity, by which _record tells saved arrays apart: an array that was given twice becomes two
        positions = {id(array): position for position, array in enumerate(arrays)}
        if len(positions) < len(arrays):
            arrays = [array[...] if backend.is_array(array) else array for array in arrays]
            positions = {id(array): position for position, array in enumerate(arrays)}
        recording = modes.is_grad_enabled()
        self.needs = tuple([recording and edge is not None for edge in edges])
        self.check(*arrays)
        try:
            result = self.forward(backend, *arrays)
        except TinyganError:
            raise
        except ValueError as error:
            raise ShapeError(f"{self.name}: {error} (inputs: {describe(arrays)})") from error
        except TypeError as error:
            raise DtypeError(f"{self.name}: {error} (inputs: {describe(arrays)})") from error
        array = backend.asarray(result) if backend_of(result) in (None, backend) else result  # on another device
        output = Tensor(array[...] if id(array) in positions else array)
        if output.data.base is not None:
            self._share_version(output, arrays, inputs)
        if (observer := modes.observer()) is not None:
            observer.forward(self, [as_operand(value, backend, self.name) for value in inputs], output.data)
        if any(self.needs):
            if output.dtype.kind == "c":
                raise DtypeError(f"{self.name}: the result is {output.dtype}, and gradients are of real numbers only")
            if output.is_floating_point:
                self.edges = tuple(edges)
                self._record(backend, positions, arrays, result, inputs, output)
        return output

    def _record(
        self,
        backend: Backend,
        positions: dict[int, int],
        arrays: Sequence[Any],
        result: Any,
        inputs: Sequence[Any],
        output: Tensor,
    ) -> None:
        self.backend = backend
        self.shape, self.dtype = output.shape, output.dtype
        origins, saved, versions = [], [], []
        for value in self.saved or ():
            origin = positions.get(id(value), _OUTPUT if value is result else _CONSTANT)
            owner: Any = None  # the tensor whose values are saved
            if origin == _OUTPUT:
                # a reduction to one number returns a scalar; keep it as the 0-d array it stands for
                value, owner = output.data, output
            elif value is not None and backend.is_array(value):
                source = origin if origin >= 0 else _source(value, arrays)
                if source is not None:
                    owner = inputs[source]
                    if not isinstance(owner, Tensor):
                        value, owner = value.copy(), None  # the user may write into it before the backward pass
            if owner is not None:
                versions.append((owner._version, owner._version[0], origin))
            origins.append(origin)
            saved.append(value)
        self._origins, self.saved, self._versions = tuple(origins), tuple(saved), tuple(versions)
        output._operation = self
        output._requires_grad = True

    def _share_version(self, output: Tensor, arrays: Sequence[Any], inputs: Sequence[Any]) -> None:
        """Let a view have the version of the tensor whose memory it is a view of."""
        source = _source(output.data, arrays)
        if source is not None and isinstance(inputs[source], Tensor):
            output._version = inputs[source]._version

    def _common_backend(self, inputs: Sequence[Any]) -> Backend:
        found: Backend | None = None
        for value in inputs:
            if not isinstance(value, Tensor):
                continue
            backend = value.backend
            if found is not None and backend is not found:
                raise DeviceError(
                    f"{self.name}: inputs are on different devices "
                    f"({' and '.join(sorted((found.device, backend.device)))}); move them to one with .to(device)"
                )
            found = backend
        return found or get_backend("cpu")

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
        assert self.saved is not None
        return tuple(
            self._as_tensor(value, origin) for value, origin in zip(self.saved, self._origins, strict=True)
        )

    def _as_tensor(self, value: Any, origin: int) -> Any:
        if not self.backend.is_array(value):
            return value
        edge = self if origin == _OUTPUT else None if origin == _CONSTANT else self.edges[origin]
        if isinstance(edge, Tensor):
            return edge
        tensor = Tensor(value)
        if edge is not None:
            tensor._operation, tensor._requires_grad = edge, True
        return tensor


def _source(array: Array, operands: Sequence[Any]) -> int | None:
    """Return the position of the operand whose memory `array` is a view of, or None."""
    owner = array.base
    if owner is not None:
        for position, operand in enumerate(operands):
            if operand is owner or getattr(operand, "base", None) is owner:
                return position
    return None


def in_one_dtype(operands: list[Any], backend: Backend) -> list[Any]:
    """Return operands in the dtype that PyTorch would compute in.

    Arrays of floats decide among themselves. A 0-d operand does not promote them, nor does an integer or a boolean.
    Where there are floats without axes only, they decide; where there are integers and Python's floats only, the result
    is float32.
    """
    first, mixed, integers, real_number = None, False, False, False
    for operand in operands:
        dtype = getattr(operand, "dtype", None)
        if dtype is None:
            real_number = real_number or type(operand) is float
        elif first is None:
            first, integers = dtype, dtype.kind in "iub"
        elif dtype is not first:
            mixed = True
    if not mixed and not (integers and real_number):
        return operands
    floats = [operand for operand in operands if hasattr(operand, "dtype") and operand.dtype.kind == "f"]
    deciding = [operand.dtype for operand in floats if operand.ndim] or [operand.dtype for operand in floats]
    if not deciding and real_number:
        deciding = [backend.xp.dtype(DEFAULT_DTYPE)]
    if not deciding:
        return operands  # integers and booleans, or complex numbers: as in NumPy
    dtype = backend.xp.result_type(*deciding)
    return [
        operand.astype(dtype) if hasattr(operand, "dtype") and operand.dtype.kind in "fiub" else operand
        for operand in operands
    ]


def describe(arrays: Sequence[Any]) -> str:
    """Return shapes and dtypes of operands, for an error message."""
    return ", ".join(
        f"{array.dtype}{list(array.shape)}" if hasattr(array, "shape") else repr(array) for array in arrays
    )


class Elementwise(Operation):
    """An operation on operands that broadcast against each other."""

    def check(self, *inputs: Any) -> None:
        """Refuse shapes that do not broadcast, naming both."""
        shapes = [array.shape for array in inputs if hasattr(array, "shape")]
        if not shapes or shapes.count(shapes[0]) == len(shapes):
            return
        for axis in range(-max(map(len, shapes), default=0), 0):
            sizes = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
            if len(sizes) > 1:
                raise ShapeError(
                    f"{self.name}: shapes {' and '.join(map(str, shapes))} do not broadcast: "
                    f"axis {axis} has sizes {' and '.join(map(str, sorted(sizes)))} "
                    "(sizes must be equal, or one of them 1)"
                )
