"""What Python and NumPy may ask of a tensor: a length, a truth value, a picture of itself, its array.

Where the honest answer is no, the refusal says what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tinygan.engine import Tensor, is_grad_enabled
from tinygan.errors import GradientError, NoAxisError, ShapeError


def _array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Any:
    """``np.asarray(tensor)``: only where nothing is lost by leaving the tape."""
    if self.requires_grad:
        raise GradientError(
            "a tensor that requires a gradient would silently leave the tape by becoming a NumPy array; "
            "use a function of tinygan.functional, or say so with .detach().numpy()"
        )
    if self.device != "cpu":
        raise GradientError(f"this tensor is on {self.device!r}: copy it to host memory with .numpy()")
    array = self.data if dtype is None else self.data.astype(dtype)
    return array.copy() if copy else array


def _number(self: Tensor, convert: Callable[[Any], Any]) -> Any:
    """``float(tensor)``, ``int(tensor)``: only where nothing is lost by leaving the tape, as in `_array`."""
    if self.requires_grad and is_grad_enabled():
        raise GradientError(
            f"{convert.__name__}: a tensor that requires a gradient would silently leave the tape by becoming a "
            "number; use a function of tinygan.functional (F.exp for math.exp), or say so with .item()"
        )
    return convert(self.item())


def _bool(self: Tensor) -> bool:
    if self.size != 1:
        raise ShapeError(
            f"the truth value of a tensor of shape {self.shape} is ambiguous: is it that of all elements or of "
            "any? Reduce it to one element first, or choose elementwise with F.where"
        )
    return bool(self.item())


def _len(self: Tensor) -> int:
    if self.ndim == 0:
        raise NoAxisError("len: a 0-d tensor is one number and has no length")
    return self.shape[0]


def _iter(self: Tensor) -> Iterator[Tensor]:
    if self.ndim == 0:
        raise NoAxisError("iter: a 0-d tensor is one number and has no rows; use .item()")
    return (self[row] for row in range(self.shape[0]))


def _setitem(self: Tensor, index: Any, value: Any) -> None:
    raise GradientError(
        "a tensor cannot be assigned into: the tape may need the value that was there. Build a new tensor with "
        "F.where, F.concatenate or F.stack, or, outside of any graph, write into tensor.data"
    )


def _repr(self: Tensor) -> str:
    text = repr(self.numpy()).removeprefix("array").replace("\n", "\n ")
    facts = [f"device={self.device!r}"] if self.device != "cpu" else []
    if self.name is not None:
        facts.append(f"name={self.name!r}")
    if self.operation is not None:
        facts.append(f"operation={self.operation.name}")
    elif self.requires_grad:
        facts.append("requires_grad=True")
    return f"tensor{text[:-1]}{''.join(', ' + fact for fact in facts)})"


def _format(self: Tensor, spec: str) -> str:
    """``f"{loss:.3f}"`` is that of a number."""
    return format(self.item(), spec) if spec else repr(self)


def _getstate(self: Tensor) -> Any:
    """What ``copy.copy``, ``copy.deepcopy`` and ``pickle`` ask for."""
    if self.operation is not None:
        raise GradientError(
            f"a copy of the result of '{self.operation.name}' would take the whole graph along; "
            "copy it without its past, as in copy.deepcopy(tensor.detach()) or tg.tensor(tensor)"
        )
    return object.__getstate__(self)


for _name, _function in {
    "__array__": _array,
    "__bool__": _bool,
    "__float__": lambda self: _number(self, float),
    "__int__": lambda self: _number(self, int),
    "__len__": _len,
    "__iter__": _iter,
    "__setitem__": _setitem,
    "__repr__": _repr,
    "__format__": _format,
    "__getstate__": _getstate,
}.items():
    setattr(Tensor, _name, _function)
