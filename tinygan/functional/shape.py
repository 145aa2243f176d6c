"""Operations that move elements: shapes, axes, pieces, dtypes, devices."""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from typing import Any

from tinygan.backend import Array, Backend, Shape, backend_of, get_backend, plain_array
from tinygan.engine import Operation, Tensor
from tinygan.errors import DeviceError, DtypeError, ShapeError
from tinygan.functional.arguments import holds, integer, number, one_axis, several, sizes, with_shape

__all__ = ["astype", "broadcast_to", "concatenate", "getitem", "pad", "reshape", "stack", "to", "transpose"]


class Reshape(Operation):
    """y is x in another shape;  gx is gy in the shape of x."""

    def __init__(self, shape: Shape) -> None:
        self.new_shape = shape

    def forward(self, B: Backend, x: Array) -> Array:
        self.x_shape = x.shape
        return x.reshape(self.new_shape)

    def backward(self, B: Backend, gy: Any) -> Any:
        return gy.reshape(self.x_shape)


class Transpose(Operation):
    """Axis i of y is axis axes[i] of x;  gx is gy with the axes put back."""

    def __init__(self, axes: Sequence[int] | None) -> None:
        self.axes = None if axes is None else tuple(axes)

    def forward(self, B: Backend, x: Array) -> Array:
        return x.transpose(self.axes)

    def backward(self, B: Backend, gy: Any) -> Any:
        if self.axes is None:
            return gy.transpose()
        n = len(self.axes)
        return gy.transpose(sorted(range(n), key=lambda i: self.axes[i] % n))  # type: ignore[index]


class BroadcastTo(Operation):
    """y repeats x along new axes and axes of size 1;  gx is the sum over the repeats, which the engine computes."""

    def __init__(self, shape: Shape) -> None:
        self.new_shape = tuple(shape)

    def forward(self, B: Backend, x: Array) -> Array:
        return B.xp.broadcast_to(x, self.new_shape)

    def backward(self, B: Backend, gy: Any) -> Any:
        return gy


class GetItem(Operation):
    """y = x[index];  gx is 0 except that gy is added at the index, once for each time it selects an element."""

    fresh = True

    def __init__(self, index: Any) -> None:
        self.index = index

    def check(self, x: Array) -> None:
        here = backend_of(x)
        for part in self.index if isinstance(self.index, tuple) else (self.index,):
            there = backend_of(part)
            if here is not None and there is not None and there is not here:  # CuPy would copy it, and wait
                raise DeviceError(
                    f"getitem: an index array of device {there.device!r} met a tensor on {here.device!r}; "
                    f"move it with tg.tensor(index, device={here.device!r})"
                )

    def forward(self, B: Backend, x: Array) -> Array:
        self.x_shape = x.shape
        if self.needs[0]:
            self.index = _kept_index(self.index)
        return x[self.index]

    def backward(self, B: Backend, gy: Any) -> Any:
        return B.scatter(gy, self.index, self.x_shape)


class Scatter(Operation):
    """y is 0 except that x is added at the index, which is the adjoint of ``[]``;  gx = gy[index]."""

    def __init__(self, index: Any, shape: Shape) -> None:
        self.index = index
        self.new_shape = shape

    def forward(self, B: Backend, x: Array) -> Array:
        if self.needs[0]:
            self.index = _kept_index(self.index)
        return B.scatter(x, self.index, self.new_shape)

    def backward(self, B: Backend, gy: Any) -> Any:
        return gy[self.index]


class Concatenate(Operation):
    """y joins the inputs along an axis;  the gradient of each is its part of gy."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, B: Backend, *inputs: Array) -> Array:
        y = B.xp.concatenate(inputs, axis=self.axis)
        self.axis %= y.ndim
        self.sizes = [array.shape[self.axis] for array in inputs]
        return y

    def backward(self, B: Backend, gy: Any) -> Any:
        before = (slice(None),) * self.axis
        gradients, start = [], 0
        for size in self.sizes:
            gradients.append(gy[(*before, slice(start, start + size))])
            start += size
        return tuple(gradients)


class Pad(Operation):
    """y is x with a border;  gx is gy without it."""

    def __init__(self, widths: Sequence[tuple[int, int]], value: float) -> None:
        self.widths = [tuple(pair) for pair in widths]
        self.value = value

    def check(self, x: Array) -> None:
        if not holds(x.dtype, self.value):
            raise DtypeError(f"pad: no {x.dtype} is {self.value}; cast the tensor first, as in x.astype('float32')")

    def forward(self, B: Backend, x: Array) -> Array:
        self.inside = tuple(
            slice(before, before + size) for (before, _), size in zip(self.widths, x.shape, strict=True)
        )
        return B.xp.pad(x, self.widths, constant_values=self.value) if x.ndim else x.copy()

    def backward(self, B: Backend, gy: Any) -> Any:
        return gy[self.inside]


class Cast(Operation):
    """y is x in another dtype;  gx is gy, which the engine casts back."""

    def __init__(self, dtype: Any) -> None:
        self.new_dtype = dtype

    def forward(self, B: Backend, x: Array) -> Array:
        return x.astype(self.new_dtype)

    def backward(self, B: Backend, gy: Any) -> Any:
        return gy


class Transfer(Operation):
    """y is x on another device;  gx is gy, copied back."""

    def __init__(self, device: str) -> None:
        self.device = device

    def forward(self, B: Backend, x: Array) -> Array:
        return get_backend(self.device).from_numpy(B.to_numpy(x))

    def backward(self, B: Backend, gy: Any) -> Any:
        if isinstance(gy, Tensor):
            return gy.to(self.backend.device)
        return B.from_numpy(get_backend(self.device).to_numpy(gy))


def reshape(x: Any, *shape: Any) -> Tensor:
    """Return the elements in another shape; one size may be -1, and follows from the others.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.reshape(tg.tensor([1.0, 2.0, 3.0, 4.0]), (2, -1)).shape
    (2, 2)
    """
    shape = sizes(shape, "reshape")
    if any(size < -1 for size in shape):
        raise ShapeError(f"reshape: sizes are non-negative, or -1 for one that follows from the others; got {shape}")
    return Reshape(shape)(x)


def transpose(x: Any, *axes: Any) -> Tensor:
    """Permute the axes; without arguments, reverse them."""
    if not axes or (len(axes) == 1 and axes[0] is None):
        return Transpose(None)(x)
    return Transpose(sizes(axes, "transpose", "an axis"))(x)


def broadcast_to(x: Any, shape: Shape) -> Tensor:
    """Repeat `x` along new leading axes and axes of size 1."""
    return BroadcastTo(sizes((shape,), "broadcast_to"))(x)


def getitem(x: Any, index: Any) -> Tensor:
    """Return ``x[index]``: integers, slices, ``...``, None, integer arrays and boolean masks, as in NumPy."""
    return GetItem(_plain_index(index))(x)


def concatenate(inputs: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors along an existing axis; the other axes must agree.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.concatenate([tg.tensor([1.0]), tg.tensor([2.0, 3.0])])
    tensor([1., 2., 3.], dtype=float32)
    """
    return Concatenate(integer(axis, "concatenate", "axis"))(*several(inputs, "concatenate"))


def stack(inputs: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis."""
    inputs = several(inputs, "stack")
    shapes = [x.shape for x in inputs]
    if any(shape != shapes[0] for shape in shapes):
        raise ShapeError(f"stack: all tensors must have one shape, got {', '.join(map(str, shapes))}")
    ndim = len(shapes[0]) + 1
    axis = one_axis(axis, ndim, "stack", f"a result of {ndim} axes")
    with_axis = (*shapes[0][:axis], 1, *shapes[0][axis:])
    return Concatenate(axis)(*(Reshape(with_axis)(x) for x in inputs))


def pad(x: Any, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Put a border of `value` around `x`: `widths` holds (before, after) for each axis.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.pad(tg.tensor([1.0, 2.0]), [(1, 2)], value=9.0)
    tensor([9., 1., 2., 9., 9.], dtype=float32)
    """
    with_shape((x,), "pad")
    ndim = getattr(x, "ndim", 0)
    try:
        pairs = [(operator.index(before), operator.index(after)) for before, after in widths]
    except (TypeError, ValueError):
        pairs = []
    if len(pairs) != ndim or any(width < 0 for pair in pairs for width in pair):
        raise ShapeError(
            f"pad: expected a pair (before, after) of non-negative widths for each of {ndim} axes, got {widths}"
        )
    return Pad(pairs, number(value, "pad", "value"))(x)


def astype(x: Tensor, dtype: Any) -> Tensor:
    """Return `x` in another dtype; the gradient is cast back."""
    return x if x.dtype == dtype else Cast(dtype)(x)


def to(x: Tensor, device: str) -> Tensor:
    """Return `x` on ``"cpu"`` or ``"cuda"``; the gradient is copied back."""
    return x if get_backend(device) is x.backend else Transfer(device)(x)


def _plain_index(index: Any) -> Any:
    """Replace tensors in an index by their arrays."""
    if isinstance(index, tuple):
        return tuple(_plain_index(part) for part in index)
    return index.data if isinstance(index, Tensor) else plain_array(index, "getitem")


def _kept_index(index: Any) -> Any:
    """Return a copy of the arrays and lists in an index: the user may write into them before the backward pass."""
    if isinstance(index, tuple):
        return tuple(_kept_index(part) for part in index)
    return copy.deepcopy(index) if hasattr(index, "dtype") or isinstance(index, list) else index
