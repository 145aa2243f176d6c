"""Shapes, axes, dtypes and devices: the elements stay, and their arrangement changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygan.backend import Array, Backend, Shape, get_backend
from tinygan.engine import Operation, Tensor
from tinygan.errors import ShapeError
from tinygan.functional.arguments import Axis, axes_of, one_axis, shape_of, sizes

__all__ = [
    "astype", "broadcast_to", "expand_dims", "flatten", "moveaxis", "reshape", "squeeze", "swapaxes", "to", "transpose",
]  # fmt: skip


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
    """Permute the axes; without arguments, reverse them. Two axes are exchanged by `swapaxes`.

    Raises
    ------
    ShapeError
        Two axes are given, as for PyTorch's ``x.transpose(0, 1)``, but they are not those of a transposed matrix.
    """
    if not axes or (len(axes) == 1 and axes[0] is None):
        return Transpose(None)(x)
    if len(axes) == 2:  # (0, 1) of a matrix would change nothing, as in NumPy, where PyTorch exchanges the axes
        first, second = sizes(axes, "transpose", "an axis")
        ndim = len(shape_of(x, "transpose"))
        if ndim != 2 or (first % 2, second % 2) == (0, 1):
            raise ShapeError(
                f"transpose: expected all axes in their new order, got {first}, {second} for {ndim} axes; to exchange "
                f"two axes, write x.swapaxes({first}, {second})"
            )
    return Transpose(sizes(axes, "transpose", "an axis"))(x)


def broadcast_to(x: Any, shape: Shape) -> Tensor:
    """Repeat `x` along new leading axes and axes of size 1."""
    return BroadcastTo(sizes((shape,), "broadcast_to"))(x)


def flatten(x: Any, start: int = 0, end: int = -1) -> Tensor:
    """Join the axes from `start` to `end`, both included, to one; by default all.

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    >>> tg.functional.flatten(x).shape, tg.functional.flatten(x, start=1).shape
    ((4,), (1, 4))
    """
    shape = shape_of(x, "flatten") or (1,)
    first, last = (one_axis(axis, len(shape), "flatten", f"an input of shape {shape}") for axis in (start, end))
    if first > last:
        raise ShapeError(f"flatten: the first axis, {start}, comes after the last, {end}, in a shape {shape}")
    return reshape(x, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def squeeze(x: Any, axis: Axis = None) -> Tensor:
    """Remove axes of size 1: those of `axis`, or by default all.

    Raises
    ------
    ShapeError
        An axis has another size; PyTorch would keep it.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.squeeze(tg.tensor([[[1.0], [2.0]]]), axis=0).shape
    (2, 1)
    """
    shape = shape_of(x, "squeeze")
    gone = [k for k, size in enumerate(shape) if size == 1] if axis is None else axes_of(shape, axis, "squeeze")
    if any(shape[k] != 1 for k in gone):
        raise ShapeError(f"squeeze: axis={axis} has a size other than 1 in an input of shape {shape}")
    return reshape(x, [size for k, size in enumerate(shape) if k not in gone])


def expand_dims(x: Any, axis: int | Sequence[int]) -> Tensor:
    """Insert axes of size 1; `axis` counts the axes of the result.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.expand_dims(tg.tensor([1.0, 2.0]), 0).shape
    (1, 2)
    """
    shape = list(shape_of(x, "expand_dims"))
    new = sizes((axis,), "expand_dims", "an axis")
    ndim = len(shape) + len(new)
    places = sorted(one_axis(one, ndim, "expand_dims", f"a result of {ndim} axes") for one in new)
    if len(set(places)) < len(new):
        raise ShapeError(f"expand_dims: axis={axis} names an axis of the result twice")
    for place in places:
        shape.insert(place, 1)
    return reshape(x, shape)


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """Exchange two axes: PyTorch's ``x.transpose(axis1, axis2)``.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.swapaxes(tg.tensor([[[1.0, 2.0]]]), 0, 2).shape
    (2, 1, 1)
    """
    shape = shape_of(x, "swapaxes")
    axes = list(range(len(shape)))
    i, j = (one_axis(axis, len(axes), "swapaxes", f"an input of shape {shape}") for axis in (axis1, axis2))
    axes[i], axes[j] = axes[j], axes[i]
    return transpose(x, axes)


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Move axes to other positions; the others keep their order.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.moveaxis(tg.tensor([[[1.0, 2.0]]]), -1, 0).shape
    (2, 1, 1)
    """
    shape = shape_of(x, "moveaxis")
    places = [axes_of(shape, sizes((axes,), "moveaxis", "an axis"), "moveaxis") for axes in (source, destination)]
    if len(places[0]) != len(places[1]):
        raise ShapeError(f"moveaxis: got the axes {source} and the positions {destination}, of different number")
    axes = [k for k in range(len(shape)) if k not in places[0]]
    for place, axis in sorted(zip(places[1], places[0], strict=True)):
        axes.insert(place, axis)
    return transpose(x, axes)


def astype(x: Tensor, dtype: Any) -> Tensor:
    """Return `x` in another dtype; the gradient is cast back."""
    return x if x.dtype == dtype else Cast(dtype)(x)


def to(x: Tensor, device: str) -> Tensor:
    """Return `x` on ``"cpu"`` or ``"cuda"``; the gradient is copied back."""
    return x if get_backend(device) is x.backend else Transfer(device)(x)
