"""Calls with arguments of PyTorch or NumPy: the error says what to write."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from tinygan.engine import Tensor
from tinygan.engine.modes import Recording
from tinygan.errors import CallError, nearest

Function = TypeVar("Function", bound=Callable[..., Any])

# Arguments of PyTorch and NumPy, and ours: the first that the function has.
RENAMED = {
    **dict.fromkeys(("input", "self", "a", "m", "ary", "arr", "array", "x1"), "x a logits indices labels"),
    **dict.fromkeys(("other", "exponent", "x2", "mat2", "vec2"), "b y exponent"),
    **dict.fromkeys(("dim", "dims", "axes"), "axis axes"),
    **{"keepdim": "keepdims", "ddof": "correction", "unbiased": "correction", "dim0": "axis1", "dim1": "axis2"},
    **{"a_min": "low", "a_max": "high", "min": "low", "max": "high", "start_dim": "start", "end_dim": "end"},
    **{"arrays": "inputs", "tensors": "inputs", "seq": "inputs", "index": "indices", "num_classes": "classes"},
    **{"newshape": "shape", "size": "shape", "indices_or_sections": "sections"},
    **{"pad_width": "widths", "pad": "widths", "constant_values": "value", "target": "targets labels"},
    **{"max_norm": "norm", "parameters": "params", "momentum_decay": "momentum", "equation": "subscripts"},
    **{"negative_slope": "negative_slope alpha", "obj": "data", "object": "data", "outputs": "output"},
    **{"kernel_size": "size", "scale_factor": "factor"},
    **{"step_size": "milestone", "T_max": "updates", "total_iters": "updates", "start_factor": "start"},
}
# What to know of an argument that is not here, or means something else.
NOTES = {
    "ord": "there is the 2-norm; abs(x).sum(1) is the 1-norm, abs(x).max(1) the maximum norm",
    "outputs": "one tensor for one tensor: no [0]",
    **dict.fromkeys(("split_size_or_sections", "split_size"), "range(2, len(x), 2) cuts pieces of 2 rows"),
    **{"device": "net.to('cuda') moves it", "dtype": "x.astype('float64') converts a tensor; a module is float32"},
    **{"descending": "(-x).argsort() begins with the largest", "step_size": "repeated=True, as StepLR"},
    **{"maximize": "minimize -loss", "pos_weight": "weight= has one for each element", "inplace": "results are new"},
    **dict.fromkeys(("size_average", "reduce"), "reduction='mean', 'sum' or 'none'"),
    **dict.fromkeys(("beta1", "beta2"), "betas=(0.5, 0.999)"),
    "dilation": "kernels have no gaps: leave out dilation=1",
    "groups": "each kernel takes all channels: leave out groups=1",
    "count_include_pad": "the zeros around an image count in the mean, as in PyTorch by default",
    "return_indices": "only the maxima are returned",
    "padding_mode": "the padding is zeros: for another, apply F.pad first",
    "ignore_index": "leave the rows out: x[labels != -100]",
}


def answering(function: Function, label: str, method: bool = False) -> Function:
    """Return the function with an error of its own for arguments that it does not take.

    Parameters
    ----------
    function : callable
    label : str
        How it is called, such as ``"F.sum"`` or ``"x.sum"``.
    method : bool
        Whether `label` stands for the first argument too.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if error.__traceback__.tb_next is not None:  # type: ignore[union-attr]  # raised inside of the function
                raise
        raise misfit(inspect.signature(function).parameters, label, method, args, kwargs)

    return call  # type: ignore[return-value]


def answer_methods(owner: type, label: str, constructor: str = "") -> None:
    """Let the public methods of a class answer arguments that they do not take; its constructor too, if labelled."""
    methods = {name: value for name, value in vars(owner).items() if inspect.isfunction(value) and name[0] != "_"}
    for name in methods.keys() - {"forward"}:
        setattr(owner, name, answering(methods[name], f"{label}.{name}", method=True))
    if constructor:
        owner.__init__ = answering(inspect.unwrap(owner.__init__), constructor, method=True)  # type: ignore[misc]


def answer_calls(module: str, label: str) -> None:
    """Let the public functions of a module answer arguments that they do not take."""
    names = vars(sys.modules[module])
    for name in names["__all__"]:
        if inspect.isfunction(names[name]):
            names[name] = answering(names[name], f"{label}.{name}")
            names[name].__module__ = module  # where pickle finds it


class Block:
    """A function whose result is used in ``with`` or as a decorator: `no_grad` or `enable_grad`."""

    def __init__(self, function: Callable[[], Recording]) -> None:
        functools.update_wrapper(self, function)
        self._make = function

    def __call__(self, function: Callable[..., Any] | None = None) -> Any:
        """Return the block; or the function inside it, for a decorator without ``()``."""
        return self._make() if function is None else self._make()(function)

    def __enter__(self) -> None:
        name = self._make.__name__
        raise CallError(f"tg.{name} has to be called: write with tg.{name}():")

    def __exit__(self, *error: Any) -> None:
        pass


class Count(int):
    """The number of elements of a tensor. PyTorch's ``x.size(0)`` would call it: the error says what to write."""

    def __call__(self, *axis: Any) -> Any:
        place = f"[{axis[0]}]" if axis else ""
        raise CallError(f"x.size is the number of elements, and no function: write x.shape{place}")


def misfit(parameters: Any, label: str, method: bool, args: Any, kwargs: Any) -> CallError:
    """Return the error for arguments that do not fit: it has the nearest call that fits."""
    kinds = {name: parameter.kind for name, parameter in parameters.items()}
    by_name = [name for name, kind in kinds.items() if kind == inspect.Parameter.KEYWORD_ONLY]
    several = [name for name, kind in kinds.items() if kind == inspect.Parameter.VAR_POSITIONAL]
    by_place = [name for name in kinds if kinds[name] in _BY_PLACE]
    facts = []
    unbiased = [name for name in by_name if name == "correction"]  # the second argument of PyTorch's x.var(0, False)
    found = dict(zip([*by_place, *unbiased], args, strict=False))
    if len(args) > len(by_place) and not several:
        facts.append(f"arguments without a name: at most {len(by_place) - method} here, got {len(args) - method}")
    for name, value in kwargs.items():
        free = [one for one in kinds if one not in found]
        ours = name if name in free else next((one for one in RENAMED.get(name, "").split() if one in free), None)
        ours = ours or (nearest(name, free, 0.7) if name not in (kinds | NOTES) else None)
        if ours:
            found[ours] = value
            facts += [f"{name}= is {ours}= here"] if ours != name and ours not in several else []
        else:
            facts.append(f"{name}= {'was given twice' if name in kinds else 'does not exist here'}")
    names = iter("xyz")
    lacking = [
        name
        for name in (*by_place, *by_name)
        if parameters[name].default is inspect.Parameter.empty and name not in found
    ]
    facts += [f"needs {name}" for name in lacking]
    parts: list[str] = []
    by_name_from_here = False
    for name in (*by_place, *several, *by_name):
        value = found.get(name, found)
        if value is not found or name in lacking:
            myself = method and not parts  # stands in the label, and may not be made yet
            value = +value if name == "correction" else value  # of unbiased=True: 1
            text = name if value is found or myself else _text(value, name, names)
            by_name_from_here |= not (name in several or name in by_place[: len(args)] or name in lacking)
            parts.append(f"{name}={text}" if by_name_from_here or name in by_name else text)
    parts = parts[method:]
    what = f"{label}: {', '.join(facts) or 'these arguments do not fit'}"
    if "dim0" in kwargs and "axis1" not in kinds:
        label, parts = label.replace("transpose", "swapaxes"), [*parts, str(kwargs["dim0"]), str(kwargs.get("dim1"))]
    notes = "; ".join([NOTES[name] for name in kwargs if name in NOTES and name not in kinds])
    return CallError(f"{what}: write {label}({', '.join(parts)})" + (f"  # {notes}" if notes else ""))


_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _text(value: Any, name: str, tensors: Any) -> str:
    """Return an argument as it is written: `x`, `y` or `z` for a tensor of real numbers."""
    if name == "params":
        return "net.parameters()"
    if isinstance(value, (list, tuple)) and value:
        inside = ", ".join([_text(one, name, tensors) for one in value])
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    if isinstance(value, Tensor):
        return next(tensors, name) if value.dtype.kind == "f" else name
    return repr(value) if isinstance(value, (bool, int, float, str, type(None), tuple)) else name
