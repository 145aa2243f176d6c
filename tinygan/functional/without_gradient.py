"""Functions without a gradient: comparisons, integers and choices. Their results are constants for the tape."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tinygan import checks
from tinygan.backend import Array, operands
from tinygan.engine import Tensor
from tinygan.errors import DtypeError, ShapeError
from tinygan.functional.arguments import backend_for, class_indices, integer, one_axis, shape_of
from tinygan.functional.shape import reshape

__all__ = ["argmax", "argsort", "floor", "floor_divide", "isfinite", "isinf", "isnan", "one_hot", "round", "sign"]


def _constant(name: str, compute: Callable[..., Array], *inputs: Any, mixed: slice = slice(0)) -> Tensor:
    """Compute a constant from an array module and arrays; `mixed` operands are converted to a common dtype."""
    arrays = [value.data if isinstance(value, Tensor) else None for value in inputs]
    backend, values = operands.prepare(inputs, arrays, mixed, name)
    try:
        return Tensor(backend.asarray(compute(backend.xp, *values)))
    except (TypeError, ValueError) as error:
        kind = ShapeError if isinstance(error, ValueError) else DtypeError
        raise kind(f"{name}: {error} (inputs: {operands.describe(values)})") from error


def _unary(name: str, doc: str = "") -> Callable[[Any], Tensor]:
    """Make an elementwise function of one operand from that of the array module."""

    def function(x: Any) -> Tensor:
        return _constant(name, lambda xp, values: getattr(xp, name)(values), x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc or f"Apply ``{name}`` elementwise."
    return function


def _binary(name: str) -> Callable[[Any, Any], Tensor]:
    """Make a comparison, ``&`` or ``|``: of two operands in their own dtypes, one of which is a tensor."""
    apply = getattr(operator, name)

    def function(a: Any, b: Any) -> Tensor:
        backend = (a if isinstance(a, Tensor) else b).backend
        values = [one.data if isinstance(one, Tensor) else operands.operand(one, backend, name) for one in (a, b)]
        try:
            return Tensor(backend.asarray(apply(*values)))
        except (TypeError, ValueError) as error:
            kind = ShapeError if isinstance(error, ValueError) else DtypeError
            raise kind(f"{name.rstrip('_')}: {error} (inputs: {operands.describe(values)})") from error

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Apply ``{name}`` elementwise, broadcasting."
    return function


eq, ne, lt, le, gt, ge, and_, or_ = map(_binary, ("eq", "ne", "lt", "le", "gt", "ge", "and_", "or_"))
invert, signbit, logical_not = map(_unary, ("invert", "signbit", "logical_not"))
isnan = _unary("isnan", "Return where the elements are nan.")
isinf = _unary("isinf", "Return where the elements are infinite.")
isfinite = _unary("isfinite", "Return where the elements are neither nan nor infinite.")
sign = _unary("sign", "Return -1, 0 or 1 for elements below, at and above 0; nan stays nan.")


def floor_divide(a: Any, b: Any) -> Tensor:
    """Return floor(a / b) elementwise, broadcasting: ``a // b``.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.floor_divide(tg.tensor([5.5, -1.0]), 2)
    tensor([ 2., -1.], dtype=float32)
    """
    return _constant("floor_divide", lambda xp, left, right: left // right, a, b, mixed=slice(None))


def floor(x: Any) -> Tensor:
    """Return the largest whole number that is not above each element, in the dtype of `x`.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.floor(tg.tensor([-0.5, 1.9]))
    tensor([-1.,  1.], dtype=float32)
    """
    return _constant("floor", lambda xp, values: xp.floor(values) if values.dtype.kind == "f" else values[...], x)


def round(x: Any, decimals: int = 0) -> Tensor:
    """Round each element to this number of decimals; a half goes to the even neighbour.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.round(tg.tensor([0.5, 1.5, -1.2]))
    tensor([ 0.,  2., -1.], dtype=float32)
    """
    decimals = integer(decimals, "round", "decimals")
    return _constant("round", lambda xp, values: xp.round(values, decimals), x)


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the place of the largest element along `axis`, the first at a tie; None counts in C order.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.argmax(tg.tensor([[1.0, 5.0], [7.0, 2.0]]), axis=1)
    tensor([1, 0])
    """
    axis = _axis_of(x, axis, "argmax")
    place = backend_for(x).argmax
    return _constant("argmax", lambda xp, values: place(values, axis, keepdims), x)


def argsort(x: Any, axis: int | None = -1) -> Tensor:
    """Return the places of the elements in ascending order along `axis`, equal ones in their order; nan comes last.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.argsort(tg.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    if axis is None:
        x, axis = reshape(x, -1), 0
    axis = _axis_of(x, axis, "argsort")
    sort = backend_for(x).argsort
    return _constant("argsort", lambda xp, values: xp.zeros((), "int64") if axis is None else sort(values, axis), x)


def _axis_of(x: Any, axis: int | None, caller: str) -> int | None:
    """Return an axis counted from the front; None for all, or for the only element of a 0-d array."""
    shape = shape_of(x, caller)
    if axis is None:
        return None
    axis = one_axis(axis, max(len(shape), 1), caller, f"an input of shape {shape}")
    return axis if shape else None


def one_hot(labels: Any, classes: int, dtype: Any = "float32") -> Tensor:
    """Return 1 at the place of each label and 0 elsewhere, along a new last axis of size `classes`.

    Parameters
    ----------
    labels : integer array or Tensor, shape (...)
        In {0, ..., classes - 1}. The check of the values waits for a GPU; it is left out while a step is captured.
    classes : int
    dtype : dtype
        By default float32, the dtype of a condition that a network reads; PyTorch returns integers.

    Returns
    -------
    Tensor, shape (..., classes)

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.one_hot([2, 0], 3)
    tensor([[0., 0., 1.],
            [1., 0., 0.]], dtype=float32)
    """
    classes = checks.integer(classes, "one_hot: classes", at_least=1, error=ShapeError)
    backend = backend_for(labels)
    found = class_indices(labels, classes, backend, "one_hot", "the classes")
    return Tensor((backend.xp.arange(classes) == found[..., None]).astype(dtype))
