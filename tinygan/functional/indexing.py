"""Elements chosen by an index: the gradient of a choice is a sum over all that chose the same element."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from tinygan import checks
from tinygan.backend import Array, Backend, Shape, backend_of, plain_array
from tinygan.backend.operands import check_broadcast
from tinygan.engine import Operation, Tensor
from tinygan.errors import DeviceError, ShapeError
from tinygan.functional.arguments import Axis, axes_of, backend_for, class_indices, one_axis, shape_of
from tinygan.functional.shape import moveaxis, reshape

__all__ = ["embedding", "flip", "getitem", "repeat", "take_along_axis"]


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


def getitem(x: Any, index: Any) -> Tensor:
    """Return ``x[index]``: integers, slices, ``...``, None, integer arrays and boolean masks, as in NumPy."""
    return GetItem(_plain_index(index))(x)


def embedding(indices: Any, weight: Any) -> Tensor:
    """Return the rows of `weight` that `indices` names, such as one row of numbers for each class.

    Row i gets the sum of the gradients of all places that chose it: gW = the sum of gY over the places with index i.

    Parameters
    ----------
    indices : integer array or Tensor, shape (...)
        In {0, ..., classes - 1}. The check of the values waits for a GPU; it is left out while a step is captured.
    weight : Tensor, shape (classes, units)

    Returns
    -------
    Tensor, shape (..., units)

    Raises
    ------
    ShapeError, DtypeError, DeviceError
        An index does not exist or is not an integer, or the indices are on another device.

    Examples
    --------
    >>> import tinygan as tg
    >>> weight = tg.tensor([[0.1, 0.2], [1.0, 2.0]], requires_grad=True)
    >>> tg.functional.embedding([1, 0, 1], weight).sum().backward()
    >>> weight.grad
    tensor([[1., 1.],
            [2., 2.]], dtype=float32)
    """
    weight = weight if isinstance(weight, Tensor) else Tensor(weight)
    count = shape_of(weight, "embedding")[:1]
    if not count:
        raise ShapeError("embedding: weight is a single number; expected one row for each class")
    return GetItem(class_indices(indices, count[0], weight.backend, "embedding", "the rows of weight"))(weight)


def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Tensor:
    """Return, for each index, the element with that place along `axis`; the other axes match those of `x`.

    With the result of `argmax` or `argsort`, this gives the largest elements, or the sorted ones.

    Parameters
    ----------
    x : Tensor
    indices : integer array or Tensor
        As many axes as `x`; it broadcasts with `x` along the others.
    axis : int, optional
        None reads all elements of `x` in C order.

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor([[3.0, 1.0, 2.0]])
    >>> tg.functional.take_along_axis(x, x.argsort(axis=1), axis=1)
    tensor([[1., 2., 3.]], dtype=float32)
    """
    if axis is None:
        x, axis = reshape(x, -1), 0
    shape = shape_of(x, "take_along_axis")
    axis = one_axis(axis, len(shape), "take_along_axis", f"an input of shape {shape}")
    xp = backend_for(x).xp
    indices = _plain_index(indices)
    indices = indices if hasattr(indices, "dtype") else xp.asarray(indices)
    if indices.dtype.kind not in "iu" or indices.ndim != len(shape):
        raise ShapeError(
            f"take_along_axis: expected integers with {len(shape)} axes, like the input of shape {shape}, got "
            f"{indices.dtype} of shape {indices.shape}"
        )
    others = [sizes[:axis] + sizes[axis + 1 :] for sizes in (shape, indices.shape)]
    check_broadcast(others, "take_along_axis, besides the axis itself")
    places = [xp.arange(size).reshape((-1,) + (1,) * (len(shape) - 1 - k)) for k, size in enumerate(shape)]
    return getitem(x, (*places[:axis], indices, *places[axis + 1 :]))


def flip(x: Any, axis: Axis = None) -> Tensor:
    """Reverse the order of the elements along `axis`: one, several, or by default all.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.flip(tg.tensor([1.0, 2.0, 3.0]))
    tensor([3., 2., 1.], dtype=float32)
    """
    shape = shape_of(x, "flip")
    turned = axes_of(shape, axis, "flip")
    return getitem(x, tuple([slice(None, None, -1 if k in turned else 1) for k in range(len(shape))]))


def repeat(x: Any, repeats: Any, axis: int | None = None) -> Tensor:
    """Repeat each element along `axis`, as `numpy.repeat`: PyTorch's ``repeat_interleave``, not its ``repeat``.

    Parameters
    ----------
    x : Tensor
    repeats : int, or sequence, array or Tensor of int
        One number for all, or one for each element of the axis.
    axis : int, optional
        None reads all elements in C order.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.repeat(tg.tensor([1.0, 2.0]), 2)
    tensor([1., 1., 2., 2.], dtype=float32)
    """
    if axis is None:
        x, axis = reshape(x, -1), 0
    shape = shape_of(x, "repeat")
    axis = one_axis(axis, len(shape), "repeat", f"an input of shape {shape}")
    backend, size = backend_for(x), shape[axis]
    repeats = repeats.numpy() if isinstance(repeats, Tensor) else repeats
    if not isinstance(repeats, Iterable) or not getattr(repeats, "ndim", 1):
        count = checks.integer(repeats, "repeat: repeats", at_least=0, error=ShapeError)
        return take(x, backend.xp.arange(size * count) // max(count, 1), axis)
    counts = [checks.integer(count, "repeat: repeats", at_least=0, error=ShapeError) for count in repeats]
    if len(counts) != size:
        raise ShapeError(f"repeat: expected {size} repeats, one for each element of the axis, got {len(counts)}")
    places = [place for place, count in enumerate(counts) for _ in range(count)]
    return take(x, backend.array(places, "int64"), axis)


def take(x: Any, places: Any, axis: int) -> Tensor:
    """Return the slices of `x` at these places along an axis."""
    if axis == 0:
        return getitem(x, places)
    return moveaxis(getitem(moveaxis(x, axis, 0), places), 0, axis)


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
