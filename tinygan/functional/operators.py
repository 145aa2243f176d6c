"""The table of operations: one row attaches a function to `Tensor` and to NumPy's function of a tensor."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from tinygan.backend.operands import describe, operand
from tinygan.engine import Tensor, is_grad_enabled
from tinygan.errors import CallError, DtypeError, GradientError, ShapeError
from tinygan.functional import (
    activations,
    arithmetic,
    elementwise,
    indexing,
    joining,
    probabilities,
    products,
    reductions,
    shape,
    statistics,
    without_gradient,
)
from tinygan.functional.signatures import RENAMED, Count, answer_methods
from tinygan.missing_names import answer_attributes
from tinygan.pytorch_names import TENSOR


class Row(NamedTuple):
    """One operation, and where it can be called besides `tinygan.functional`.

    Attributes
    ----------
    function : callable
    operator : str
        The Python operator, such as ``add``, which also defines ``__radd__`` and ``__iadd__``.
    methods : str
        Names of methods of `Tensor`.
    numpy : str
        Names of ufuncs and functions of NumPy that record this operation if they get a tensor.
    """

    function: Callable[..., Any]
    operator: str = ""
    methods: str = ""
    numpy: str = ""


# No methods `repeat` and `split`: those of PyTorch's tensors mean other things.
TABLE = (
    Row(arithmetic.add, "add", "", "add"),
    Row(arithmetic.subtract, "sub", "", "subtract"),
    Row(arithmetic.multiply, "mul", "", "multiply"),
    Row(arithmetic.divide, "truediv", "", "divide"),
    Row(arithmetic.power, "pow", "", "power"),
    Row(arithmetic.matmul, "matmul", "matmul", "matmul"),
    Row(arithmetic.negative, "neg", "", "negative"),
    Row(arithmetic.remainder, "mod", "remainder", "remainder"),
    Row(elementwise.abs, "abs", "abs", "absolute"),
    Row(elementwise.square, "", "square", "square"),
    Row(elementwise.sqrt, "", "sqrt", "sqrt"),
    Row(elementwise.exp, "", "exp", "exp"),
    Row(elementwise.expm1, "", "expm1", "expm1"),
    Row(elementwise.log, "", "log", "log"),
    Row(elementwise.log1p, "", "log1p", "log1p"),
    Row(elementwise.logaddexp, "", "logaddexp", "logaddexp"),
    Row(elementwise.sin, "", "sin", "sin"),
    Row(elementwise.cos, "", "cos", "cos"),
    Row(elementwise.maximum, "", "maximum", "maximum"),
    Row(elementwise.minimum, "", "minimum", "minimum"),
    Row(elementwise.clip, "", "clip", "clip"),
    Row(elementwise.where, "", "", "where"),
    Row(activations.tanh, "", "tanh", "tanh"),
    Row(activations.sigmoid, "", "sigmoid"),
    Row(activations.relu, "", "relu"),
    Row(probabilities.softmax, "", "softmax"),
    Row(probabilities.log_softmax, "", "log_softmax"),
    Row(reductions.sum, "", "sum", "sum"),
    Row(reductions.mean, "", "mean", "mean"),
    Row(reductions.max, "", "max", "max amax"),
    Row(reductions.min, "", "min", "min amin"),
    Row(reductions.prod, "", "prod", "prod"),
    Row(reductions.cumsum, "", "cumsum", "cumsum"),
    Row(reductions.logsumexp, "", "logsumexp"),
    Row(statistics.var, "", "var", "var"),
    Row(statistics.std, "", "std", "std"),
    Row(statistics.norm, "", "norm", "linalg.norm"),
    Row(products.einsum, "", "", "einsum"),
    Row(products.outer, "", "outer", "outer"),
    Row(indexing.getitem, "getitem"),
    Row(indexing.take_along_axis, "", "", "take_along_axis"),
    Row(indexing.flip, "", "flip", "flip"),
    Row(indexing.repeat, "", "", "repeat"),
    Row(joining.concatenate, "", "", "concatenate"),
    Row(joining.stack, "", "", "stack"),
    Row(joining.split, "", "", "split"),
    Row(joining.pad, "", "", "pad"),
    Row(shape.reshape, "", "reshape", "reshape"),
    Row(shape.flatten, "", "flatten"),
    Row(shape.squeeze, "", "squeeze", "squeeze"),
    Row(shape.expand_dims, "", "expand_dims", "expand_dims"),
    Row(shape.transpose, "", "transpose", "transpose"),
    Row(shape.swapaxes, "", "swapaxes", "swapaxes"),
    Row(shape.moveaxis, "", "moveaxis", "moveaxis"),
    Row(shape.broadcast_to, "", "broadcast_to", "broadcast_to"),
    Row(shape.astype, "", "astype"),
    Row(shape.to, "", "to"),
    # without a gradient
    Row(without_gradient.floor_divide, "floordiv", "floor_divide", "floor_divide"),
    Row(without_gradient.and_, "and", "", "bitwise_and"),
    Row(without_gradient.or_, "or", "", "bitwise_or"),
    Row(without_gradient.invert, "invert", "", "invert"),
    Row(without_gradient.logical_not, "", "", "logical_not"),
    Row(without_gradient.eq, "eq", "", "equal"),
    Row(without_gradient.ne, "ne", "", "not_equal"),
    Row(without_gradient.lt, "lt", "", "less"),
    Row(without_gradient.le, "le", "", "less_equal"),
    Row(without_gradient.gt, "gt", "", "greater"),
    Row(without_gradient.ge, "ge", "", "greater_equal"),
    Row(without_gradient.isnan, "", "isnan", "isnan"),
    Row(without_gradient.isinf, "", "isinf", "isinf"),
    Row(without_gradient.isfinite, "", "isfinite", "isfinite"),
    Row(without_gradient.signbit, "", "", "signbit"),
    Row(without_gradient.sign, "", "sign", "sign"),
    Row(without_gradient.floor, "", "floor", "floor"),
    Row(without_gradient.round, "round", "round", "round"),
    Row(without_gradient.argmax, "", "argmax", "argmax"),
    Row(without_gradient.argsort, "", "argsort", "argsort"),
)
# Functions of NumPy whose result does not depend on the values, or consists of integers or booleans.
_WITHOUT_DERIVATIVE = {
    *("shape", "ndim", "size", "zeros_like", "ones_like", "empty_like", "full_like", "result_type", "can_cast"),
    *("argmin", "argwhere", "nonzero", "flatnonzero", "count_nonzero", "searchsorted", "digitize"),
    *("any", "all", "isclose", "allclose", "array_equal", "array_equiv", "isin", "iscomplexobj", "isrealobj"),
    *("may_share_memory", "shares_memory", "histogram", "array2string", "array_repr", "array_str", "save", "savez"),
}
_OURS: dict[Any, Callable[..., Any]] = {}  # by the function of NumPy


def _attach(row: Row) -> None:
    """Make the operator, the methods and the functions of NumPy of a row."""
    if row.operator:
        setattr(Tensor, f"__{row.operator}__", row.function)
        if hasattr(np.ndarray, f"__r{row.operator}__"):
            setattr(Tensor, f"__r{row.operator}__", _reflected(row.function))
        if hasattr(np.ndarray, f"__i{row.operator}__"):
            setattr(Tensor, f"__i{row.operator}__", _in_place(f"i{row.operator}"))
    for name in row.methods.split():
        setattr(Tensor, name, row.function)
    for name in row.numpy.split():
        _OURS[operator.attrgetter(name)(np)] = row.function


def _reflected(function: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    return lambda self, other: function(other, self)


def _in_place(name: str) -> Callable[[Tensor, Any], Tensor]:
    """Make ``+=``, ``-=``, ...: in place on a leaf that requires a gradient, else a new tensor as in ``x = x + y``."""
    change = getattr(operator, name)

    def method(self: Tensor, other: Any) -> Tensor:
        if not (self.requires_grad and self.is_leaf):
            return NotImplemented
        if is_grad_enabled():
            raise GradientError(
                f"{name}: this tensor is a leaf that requires a gradient, and the tape may need its values; "
                "write y = x + ... for a new tensor, or change it by an optimiser, or under tg.no_grad()"
            )
        value = other.data if isinstance(other, Tensor) else operand(other, self.backend, name)
        try:
            change(self.data, value)
        except ValueError as error:
            raise ShapeError(f"{name}: {error} (inputs: {describe([self.data, value])})") from error
        except TypeError as error:
            raise DtypeError(f"{name}: {error} (inputs: {describe([self.data, value])})") from error
        self.mark_changed()
        return self

    return method


def _refusal(sign: str, code: str) -> Callable[..., Any]:
    """Return a method in place of an operator that a tensor does not have."""

    def method(self: Tensor, *others: Any, **named: Any) -> Any:
        raise CallError(f"a tensor has no {sign}: write {code}")

    return method


def _size(x: Tensor) -> Count:
    """Return the number of elements."""
    return Count(x.data.size)


for _row in (*TABLE, Row(lambda x: x, "pos"), Row(lambda x, y: (x // y, x % y), "divmod")):
    _attach(_row)
for _name, _sign, _code in (("xor", "^", "x != y"), ("lshift", "<<", "x * 2 ** y"), ("rshift", ">>", "x // 2 ** y")):
    setattr(Tensor, f"__{_name}__", _refusal(_sign, _code))
    setattr(Tensor, f"__r{_name}__", _refusal(_sign, _code))
Tensor.T = property(shape.transpose)  # type: ignore[assignment]
Tensor.size = property(_size)  # type: ignore[assignment]
answer_methods(Tensor, "x")
answer_attributes(Tensor, TENSOR, "Tensor")


# ---------------------------------------------------------------------- NumPy's functions, applied to a tensor


def _array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """Apply ``np.exp(tensor)``, ``array * tensor``: record the operation if it exists, else raise an error."""
    function = _OURS.get(ufunc)
    if function is None or method != "__call__" or options:
        how = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
        if options:
            how += f" with {', '.join(options)}="
        raise DtypeError(
            f"{how} cannot be recorded on the tape; use an operation of tinygan.functional, "
            "or leave the tape with tensor.detach().numpy()"
        )
    return function(*inputs)


def _array_function(self: Tensor, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """Apply ``np.sum(tensor)``: record it, or compute on plain values if no gradient is needed, or raise an error."""
    if function in _OURS:
        args, kwargs = _by_our_names(function, args, kwargs)
        return _OURS[function](*args, **kwargs)
    tensors = [value for value in _flatten(args) + _flatten(tuple(kwargs.values())) if isinstance(value, Tensor)]
    if function.__name__ not in _WITHOUT_DERIVATIVE and any(tensor.requires_grad for tensor in tensors):
        raise DtypeError(
            f"np.{function.__name__} cannot be recorded on the tape; use an operation of tinygan.functional, "
            "or leave the tape with tensor.detach().numpy()"
        )
    return function(*_to_numpy(args), **{key: _to_numpy(value) for key, value in kwargs.items()})


def _by_our_names(function: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return the arguments of a function of NumPy as ours takes them; an option at its default is left out."""
    theirs, ours = _signatures(function)
    found = {}
    try:
        given = theirs.bind(*args, **kwargs).arguments
        for name, value in (given | given.pop("kwargs", {})).items():
            kind = theirs.parameters.get(name)
            if kind is None or value is not kind.default:
                if name not in ours.parameters:
                    name = next((one for one in RENAMED.get(name, "").split() if one in ours.parameters), name)
                several = theirs is not ours and ours.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
                found[name] = (value,) if several else value
        bound = inspect.BoundArguments(ours, found)
        ours.bind(*bound.args, **bound.kwargs)
    except (KeyError, TypeError) as error:
        what = f"there is no option {error}" if isinstance(error, KeyError) else error
        raise DtypeError(
            f"np.{function.__name__} of a tensor: {what}; it takes only the options of the function of the same name "
            "in tinygan.functional"
        ) from None
    return bound.args, bound.kwargs


@cache
def _signatures(function: Any) -> tuple[inspect.Signature, inspect.Signature]:
    """Return the signature of a function of NumPy, and that of ours."""
    ours = inspect.signature(_OURS[function])
    try:
        theirs = inspect.signature(function)
    except ValueError:  # in older versions of NumPy, functions of C do not tell their arguments
        theirs = ours
    return ours if "operands" in theirs.parameters else theirs, ours


def _flatten(value: Any) -> list[Any]:
    return [leaf for part in value for leaf in _flatten(part)] if isinstance(value, (list, tuple)) else [value]


def _to_numpy(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_to_numpy(part) for part in value)
    return value.numpy() if isinstance(value, Tensor) else value


Tensor.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = _array_function  # type: ignore[attr-defined]
