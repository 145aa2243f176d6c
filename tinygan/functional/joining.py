"""Tensors joined, taken apart, and put into a frame."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

from tinygan import checks
from tinygan.backend import Array, Backend
from tinygan.engine import Operation, Tensor
from tinygan.errors import ArgumentError, DtypeError, ShapeError, did_you_mean
from tinygan.functional.arguments import backend_for, holds, integer, number, one_axis, several, shape_of
from tinygan.functional.indexing import getitem, take
from tinygan.functional.shape import Reshape, reshape

__all__ = ["concatenate", "pad", "split", "stack"]


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


def split(x: Any, sections: Any, axis: int = 0) -> list[Tensor]:
    """Cut a tensor along an axis into `sections` pieces, as NumPy; PyTorch's number is the size of a piece.

    Parameters
    ----------
    x : Tensor
    sections : int or sequence of int
        The number of pieces, all of one size; or where to cut. In PyTorch these are the sizes of the pieces.
    axis : int

    Examples
    --------
    >>> import tinygan as tg
    >>> first, last = tg.functional.split(tg.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 2)
    >>> last
    tensor([4., 5., 6.], dtype=float32)
    >>> [piece.shape for piece in tg.functional.split(tg.tensor([1.0, 2.0, 3.0]), [1])]
    [(1,), (2,)]
    """
    shape = shape_of(x, "split")
    axis = one_axis(axis, len(shape), "split", f"an input of shape {shape}")
    size = shape[axis]
    if isinstance(sections, Iterable) and getattr(sections, "ndim", 1) != 0:
        cuts = [integer(cut, "split", "a place to cut") for cut in sections]
    else:
        count = checks.integer(sections, "split: sections", at_least=1, error=ShapeError)
        if size % count:
            raise ShapeError(f"split: {count} sections do not divide the {size} elements of axis {axis}")
        cuts = list(range(size // count, size, size // count)) if size else [0] * (count - 1)
    pieces = [slice(*ends) for ends in zip([0, *cuts], [*cuts, size], strict=True)]
    return [getitem(x, (*[slice(None)] * axis, piece)) for piece in pieces]


def pad(x: Any, widths: Sequence[tuple[int, int]], value: float = 0.0, mode: str = "constant") -> Tensor:
    """Put a border around `x`.

    Parameters
    ----------
    x : Tensor
    widths : sequence of pairs
        (before, after) for each axis, from the first. PyTorch takes a flat list, which begins with the last axis.
    value : number
        The elements of a border of the mode "constant".
    mode : {"constant", "reflect", "edge"}
        "reflect" mirrors at the outermost element, which is not repeated; "edge" repeats it. The gradient of the border
        goes to the elements that were copied.

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor([1.0, 2.0, 3.0])
    >>> tg.functional.pad(x, [(1, 2)], value=9.0)
    tensor([9., 1., 2., 3., 9., 9.], dtype=float32)
    >>> tg.functional.pad(x, [(1, 2)], mode="reflect")
    tensor([2., 1., 2., 3., 2., 1.], dtype=float32)
    >>> tg.functional.pad(x, [(1, 2)], mode="edge")
    tensor([1., 1., 2., 3., 3., 3.], dtype=float32)
    """
    shape = shape_of(x, "pad")
    try:
        pairs = [(operator.index(before), operator.index(after)) for before, after in widths]
    except (TypeError, ValueError):
        pairs = []
    if len(pairs) != len(shape) or any(width < 0 for pair in pairs for width in pair):
        raise ShapeError(
            f"pad: expected a pair (before, after) of non-negative widths for each of {len(shape)} axes, got {widths}"
        )
    if mode == "constant":
        return Pad(pairs, number(value, "pad", "value"))(x)
    if mode not in ("reflect", "edge"):
        known = ("constant", "reflect", "edge")
        hint = "; PyTorch's 'replicate' is 'edge'" if mode == "replicate" else did_you_mean(str(mode), known)
        raise ArgumentError(f"pad: mode must be 'constant', 'reflect' or 'edge', got {checks.shown(mode)}{hint}")
    xp, y = backend_for(x).xp, reshape(x, shape)
    for axis, pair in enumerate(pairs):
        if not any(pair):
            continue
        if not shape[axis]:
            raise ShapeError(f"pad: mode={mode!r} copies elements, but axis {axis} of shape {shape} has none")
        y = take(y, xp.pad(xp.arange(shape[axis]), [pair], mode=mode), axis)
    return y
