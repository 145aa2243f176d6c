"""Sums of products by the names of their axes."""

from __future__ import annotations

import string
from typing import Any

from tinygan import checks
from tinygan.backend import Array, Backend
from tinygan.engine import Operation, Tensor
from tinygan.errors import ArgumentError, ShapeError
from tinygan.functional.arguments import several
from tinygan.functional.arithmetic import multiply
from tinygan.functional.shape import reshape

__all__ = ["einsum", "outer"]


class Einsum(Operation):
    """y = einsum of the operands;  the gradient of each is the einsum of gy and all the others.

    If an axis of an operand is summed over and no other operand has it, all elements along it get the same gradient.
    """

    def __init__(self, inputs: list[str], output: str) -> None:
        self.inputs = inputs
        self.output = output

    def forward(self, B: Backend, *operands: Array) -> Array:
        self.save(*operands)
        return B.einsum(f"{','.join(self.inputs)}->{self.output}", *operands)

    def backward(self, B: Backend, gy: Any, *operands: Any) -> Any:
        return tuple(self._gradient(B, gy, operands, k) if needed else None for k, needed in enumerate(self.needs))

    def _gradient(self, B: Backend, gy: Any, operands: Any, k: int) -> Any:
        names = [self.output, *self.inputs[:k], *self.inputs[k + 1 :]]
        own = self.inputs[k]
        shared = [axis for axis in own if axis in "".join(names)]
        gx = B.einsum(f"{','.join(names)}->{''.join(shared)}", gy, *operands[:k], *operands[k + 1 :])
        found = dict(zip(shared, gx.shape, strict=True))
        kept = [found.get(axis, 1) for axis in own]
        full = [size if one == 1 else one for size, one in zip(operands[k].shape, kept, strict=True)]
        return gx if kept == full == list(gx.shape) else B.xp.broadcast_to(gx.reshape(kept), full)


def einsum(subscripts: str, *operands: Any) -> Tensor:
    """Multiply tensors and sum over axes, as `numpy.einsum`: each axis has a letter.

    Parameters
    ----------
    subscripts : str
        The letters of each operand, and after ``->`` those of the result; the other axes are summed over. ``...``
        stands for any further axes. Without ``->``, the result has the letters that occur once, in alphabetical order.
    operands : Tensor or array

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        The letters do not fit the operands.

    Examples
    --------
    >>> import tinygan as tg
    >>> a, b = tg.tensor([[1.0, 2.0]]), tg.tensor([[3.0, 4.0]])
    >>> tg.functional.einsum("ij,kj->ik", a, b)  # a @ b.T
    tensor([[11.]], dtype=float32)
    """
    if not isinstance(subscripts, str):
        raise ArgumentError(f"einsum: expected subscripts such as 'ij,jk->ik' first, got {checks.shown(subscripts)}")
    tensors = [x if isinstance(x, Tensor) else Tensor(x) for x in several(operands, "einsum")]
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(tensors):
        raise ShapeError(f"einsum: {subscripts!r} names {len(inputs)} operands, but {len(tensors)} were given")
    for names, x in zip(inputs, tensors, strict=True):
        letters = len(names.replace("...", ""))
        if letters > x.ndim or (letters < x.ndim and "..." not in names):
            raise ShapeError(f"einsum: {names!r} names {letters} axes of an operand of shape {x.shape}")
    unused = [letter for letter in string.ascii_letters if letter not in subscripts]
    further = [x.ndim - len(names.replace("...", "")) for names, x in zip(inputs, tensors, strict=True)]
    hidden = "".join(unused.pop() for _ in range(max(further)))  # the axes that "..." stands for
    inputs = [names.replace("...", hidden[len(hidden) - n :]) for names, n in zip(inputs, further, strict=True)]
    if not arrow:
        every = "".join(inputs)
        output = "..." + "".join(sorted(letter for letter in {*every} - {*hidden} if every.count(letter) == 1))
    output = output.replace("...", hidden)
    for k, x in enumerate(tensors[: len(inputs)]):
        inputs[k] = _without_diagonals(inputs[k], x, inputs, tensors, unused, subscripts)
    return Einsum(inputs, output)(*tensors)


def _without_diagonals(
    names: str, x: Tensor, inputs: list[str], tensors: list[Tensor], unused: list[str], subscripts: str
) -> str:
    """Return names that differ: ``ii`` becomes ``ij``, and a unit matrix ``ij`` becomes an operand."""
    found = ""
    for axis, name in enumerate(names):
        if name in found and axis < x.ndim:
            if x.shape[axis] != x.shape[found.index(name)]:
                raise ShapeError(f"einsum: {name!r} names axes of different sizes in {subscripts!r}, shape {x.shape}")
            inputs.append(name + unused[-1])
            tensors.append(Tensor(x.backend.xp.eye(x.shape[axis], dtype=x.dtype)))
            name = unused.pop()
        found += name
    return found


def outer(a: Any, b: Any) -> Tensor:
    """Return the products of each element of `a` with each of `b`: a matrix, as `numpy.outer`.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.outer(tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0, 5.0]))
    tensor([[ 3.,  4.,  5.],
            [ 6.,  8., 10.]], dtype=float32)
    """
    return multiply(reshape(a, -1, 1), reshape(b, 1, -1))
