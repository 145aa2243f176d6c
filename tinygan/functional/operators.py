"""Attach the operations to `Tensor` as operators, as methods, and as NumPy functions of a tensor."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

from tinygan.backend import Backend
from tinygan.backend.operands import describe, operand
from tinygan.engine import Tensor, is_grad_enabled
from tinygan.errors import DtypeError, GradientError, ShapeError
from tinygan.functional import activations, arithmetic, elementwise, reductions, shape


def _values(other: Any, backend: Backend, caller: str) -> Any:
    return other.data if isinstance(other, Tensor) else operand(other, backend, caller)


def _reflected(function: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    def method(self: Tensor, other: Any) -> Tensor:
        return function(other, self)

    return method


def _comparison(name: str) -> Callable[[Any, Any], Tensor]:
    """Make a comparison, also of an array with a tensor: elementwise, of dtype bool, with no gradient."""
    compare = getattr(operator, name)

    def function(a: Any, b: Any) -> Tensor:
        backend = (a if isinstance(a, Tensor) else b).backend
        left, right = _values(a, backend, name), _values(b, backend, name)
        try:
            return Tensor(backend.asarray(compare(left, right)))
        except ValueError as error:
            raise ShapeError(f"{name}: {error} (inputs: {describe([left, right])})") from error

    return function


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
        value = _values(other, self.backend, name)
        try:
            change(self.data, value)
        except ValueError as error:
            raise ShapeError(f"{name}: {error} (inputs: {describe([self.data, value])})") from error
        except TypeError as error:
            raise DtypeError(f"{name}: {error} (inputs: {describe([self.data, value])})") from error
        self.mark_changed()
        return self

    return method


def _logical(name: str) -> Callable[[Tensor, Any], Tensor]:
    """Make ``&`` or ``|`` of boolean tensors."""
    combine = getattr(operator, name)

    def method(self: Tensor, other: Any) -> Tensor:
        return Tensor(self.backend.asarray(combine(self.data, _values(other, self.backend, name.rstrip("_")))))

    return method


def _binary(name: str, reflected: str, function: Callable[[Any, Any], Tensor]) -> None:
    setattr(Tensor, name, function)
    setattr(Tensor, reflected, _reflected(function))


_binary("__add__", "__radd__", arithmetic.add)
_binary("__sub__", "__rsub__", arithmetic.subtract)
_binary("__mul__", "__rmul__", arithmetic.multiply)
_binary("__truediv__", "__rtruediv__", arithmetic.divide)
_binary("__pow__", "__rpow__", arithmetic.power)
_binary("__matmul__", "__rmatmul__", arithmetic.matmul)
for _name in ("and_", "or_"):
    setattr(Tensor, f"__{_name.rstrip('_')}__", _logical(_name))
for _name in ("iadd", "isub", "imul", "itruediv", "ipow"):
    setattr(Tensor, f"__{_name}__", _in_place(_name))
for _name, _function in {
    "__neg__": arithmetic.negative,
    "__pos__": lambda x: x,
    "__abs__": elementwise.abs,
    "__getitem__": shape.getitem,
    "sum": reductions.sum,
    "mean": reductions.mean,
    "max": reductions.max,
    "min": reductions.min,
    "reshape": shape.reshape,
    "transpose": shape.transpose,
    "exp": elementwise.exp,
    "log": elementwise.log,
    "astype": shape.astype,
    "to": shape.to,
}.items():
    setattr(Tensor, _name, _function)
Tensor.T = property(shape.transpose)  # type: ignore[assignment]


# ---------------------------------------------------------------------- NumPy's functions, applied to a tensor

def _of_values(name: str, x: Tensor) -> Tensor:
    """Apply a function of NumPy whose values are booleans, and which has no derivative."""
    return Tensor(x.backend.asarray(getattr(x.backend.xp, name)(x.data)))


# Functions whose result does not depend on the values, or consists of integers or booleans.
_WITHOUT_DERIVATIVE = {
    *("shape", "ndim", "size", "zeros_like", "ones_like", "empty_like", "full_like", "result_type", "can_cast"),
    *("argmax", "argmin", "argsort", "argwhere", "nonzero", "flatnonzero", "count_nonzero", "searchsorted", "digitize"),
    *("any", "all", "isclose", "allclose", "array_equal", "array_equiv", "isin", "iscomplexobj", "isrealobj"),
    *("may_share_memory", "shares_memory", "histogram", "array2string", "array_repr", "array_str", "save", "savez"),
}

_UFUNCS: dict[str, Callable[..., Any]] = {
    "add": arithmetic.add,
    "subtract": arithmetic.subtract,
    "multiply": arithmetic.multiply,
    "divide": arithmetic.divide,
    "power": arithmetic.power,
    "matmul": arithmetic.matmul,
    "negative": arithmetic.negative,
    "absolute": elementwise.abs,
    "exp": elementwise.exp,
    "log": elementwise.log,
    "sqrt": elementwise.sqrt,
    "tanh": activations.tanh,
    "maximum": elementwise.maximum,
    "minimum": elementwise.minimum,
}
_COMPARISONS = {"eq": "equal", "ne": "not_equal"}
_COMPARISONS |= {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
for _name, _ufunc in _COMPARISONS.items():
    _UFUNCS[_ufunc] = _comparison(_name)
    setattr(Tensor, f"__{_name}__", _UFUNCS[_ufunc])
for _name in ("isnan", "isinf", "isfinite", "signbit", "logical_not"):
    _UFUNCS[_name] = partial(_of_values, _name)

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sum": reductions.sum,
    "mean": reductions.mean,
    "max": reductions.max,
    "amax": reductions.max,
    "min": reductions.min,
    "amin": reductions.min,
    "reshape": lambda a, shape: a.reshape(shape),  # by NumPy's names of arguments
    "transpose": lambda a, axes=None: a.transpose(axes),
    "broadcast_to": shape.broadcast_to,
    "concatenate": shape.concatenate,
    "stack": shape.stack,
    "where": elementwise.where,
    "clip": lambda a, a_min=None, a_max=None: elementwise.clip(a, a_min, a_max),
}


def _array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    """Apply ``np.exp(tensor)``, ``array * tensor``: record the operation if it exists, else raise an error."""
    function = _UFUNCS.get(ufunc.__name__)
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
    ours = _FUNCTIONS.get(function.__name__)
    if ours is not None:
        try:
            inspect.signature(ours).bind(*args, **kwargs)
        except TypeError as error:
            raise DtypeError(
                f"np.{function.__name__} of a tensor: {error}; it takes only the options of the function of the same "
                "name in tinygan.functional"
            ) from None
        return ours(*args, **kwargs)
    tensors = [value for value in _flatten(args) + _flatten(tuple(kwargs.values())) if isinstance(value, Tensor)]
    if function.__name__ not in _WITHOUT_DERIVATIVE and any(tensor.requires_grad for tensor in tensors):
        raise DtypeError(
            f"np.{function.__name__} cannot be recorded on the tape; use an operation of tinygan.functional, "
            "or leave the tape with tensor.detach().numpy()"
        )
    return function(*_to_numpy(args), **{key: _to_numpy(value) for key, value in kwargs.items()})


def _flatten(value: Any) -> list[Any]:
    return [leaf for part in value for leaf in _flatten(part)] if isinstance(value, (list, tuple)) else [value]


def _to_numpy(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_to_numpy(part) for part in value)
    return value.numpy() if isinstance(value, Tensor) else value


Tensor.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = _array_function  # type: ignore[attr-defined]
