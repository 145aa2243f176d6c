"""What a trace records: the rows, the backward passes, the updates of parameters, and the values they refer to.

This file says what is recorded. `tinygan.trace.recorder` records it, and the other files of this folder show it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tinygan.checking.subject import with_layout

Array = Any


class Place(NamedTuple):
    """A line of code.

    Attributes
    ----------
    file : str
        Short, for a reader: relative to the folder of the package or to the working folder.
    line : int
    function, source : str
    """

    file: str
    line: int
    function: str
    source: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Value:
    """A copy of an array, in host memory and in the same memory layout, with a summary.

    Attributes
    ----------
    array : numpy.ndarray
    """

    def __init__(self, array: Array) -> None:
        self.array: Array = with_layout(array, array)

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return self.array.shape

    @property
    def dtype(self) -> str:
        """The name of the dtype."""
        return str(self.array.dtype)

    @cached_property
    def _wide(self) -> Array:
        return np.abs(self.array) if self.array.dtype.kind == "c" else self.array.astype(np.float64)

    @cached_property
    def mean(self) -> float:
        """The mean of the elements; nan without elements."""
        return float(self._wide.mean()) if self.array.size else float("nan")

    @cached_property
    def spread(self) -> float:
        """The standard deviation of the elements; nan without elements."""
        return float(self._wide.std()) if self.array.size else float("nan")

    @cached_property
    def zeros(self) -> float:
        """The share of the elements that are 0; nan without elements."""
        return float((self.array == 0).mean()) if self.array.size else float("nan")

    @cached_property
    def norm(self) -> float:
        """The Euclidean norm."""
        return float(np.linalg.norm(self._wide.reshape(-1)))

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the bytes, in hexadecimal."""
        return hashlib.sha256(self.array.tobytes()).hexdigest()

    def same_bits(self, other: Value) -> bool:
        """Return whether the other value has the same shape, dtype and bytes."""
        a, b = self.array, other.array
        return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()

    def summary(self) -> dict[str, Any]:
        """Return the facts as plain values."""
        facts = {"shape": list(self.shape), "dtype": self.dtype, "mean": self.mean, "spread": self.spread}
        return {**facts, "zeros": self.zeros, "norm": self.norm}

    def __str__(self) -> str:
        """Return the number itself, or the mean, the spread and the share of zeros."""
        if self.array.size == 0:
            return "no elements"
        if self.array.size == 1:
            return f"{self.array.item():.4g}"
        zeros = f", {self.zeros:.0%} zeros" if self.zeros else ""
        return f"{self.mean:.3g} ± {self.spread:.3g}{zeros}"


@dataclass(eq=False)
class Leaf:
    """A tensor that no recorded operation computed: a parameter, data, noise, a constant.

    Attributes
    ----------
    name : str
        The name of a parameter, such as ``discriminator.0.weight``; else that of the tensor, of a variable, or of the
        module that it entered.
    tensor : Tensor
    parameter : bool
        Whether it belongs to a module.
    requires_grad : bool
    value : Value
        The newest copy.
    gradients : dict
        From the number of a pass to the gradient that the pass found for it.
    """

    name: str
    tensor: Any
    parameter: bool
    requires_grad: bool
    value: Value
    gradients: dict[int, Value] = field(default_factory=dict)


@dataclass(eq=False)
class Operand:
    """An input of an operation.

    Attributes
    ----------
    value : Value or None
        None for a number.
    number : Any
        The number, or None.
    source : Row, Leaf or None
        What computed it; None for a number or an array.
    requires_grad : bool
    saved_by : Row or None
        In a rule that is recorded: the row that saved this value as a constant.
    """

    value: Value | None
    number: Any = None
    source: Row | Leaf | None = None
    requires_grad: bool = False
    saved_by: Row | None = None

    def __str__(self) -> str:
        """Return the name of the source: ``#3`` for a row, the name of a leaf, a number."""
        if isinstance(self.source, Row):
            return f"#{self.source.number}"
        if self.source is not None:
            return self.source.name
        if self.saved_by is not None:
            return f"saved by #{self.saved_by.number}"
        return "array" if self.value is not None else "None" if self.number is None else f"{self.number:.4g}"

    @property
    def is_tensor(self) -> bool:
        """Whether it is a tensor, and not an array or a number."""
        return self.source is not None or self.saved_by is not None

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes; () for a number."""
        if self.value is None:
            return self.source.shape if isinstance(self.source, Row) else ()
        return self.value.shape


@dataclass(eq=False)
class Rule:
    """One application of the backward formula of an operation.

    Attributes
    ----------
    backward_pass : Pass
    gy : Value
        The gradient with respect to the result.
    needs : tuple of bool
        For each input, whether the pass needed its gradient.
    gradients : tuple of Value or None, or None
        What the formula returned, one for each input; None if it raised an error.
    """

    backward_pass: Pass
    gy: Value
    needs: tuple[bool, ...]
    gradients: tuple[Value | None, ...] | None = None


@dataclass(eq=False)
class Row:
    """One call of an operation.

    Attributes
    ----------
    number : int
        From 1, in the order of the calls.
    operation : Operation
        A copy from before the call: its class, its options, the state of its random stream.
    layer : str
        The innermost module, such as ``discriminator.2``; "" outside of modules.
    place : Place
        The line that called the operation.
    caller : Place
        The line that called the outermost module; outside of modules, `place`.
    operands : list of Operand
    result : Value or None
        None if the call raised an error, or came before the trace.
    earlier : bool
        Whether the call came before the trace, and the trace used its result. The place of such a row is not known,
        and of its values only those that the trace used.
    name : str
        The variable that held the result, if one was seen; else "".
    device : str
    needs : tuple of bool
        For each input, whether a gradient can flow to it.
    recorded : bool
        Whether the tape recorded the call, so that a gradient can pass it.
    recording : bool
        Whether the mode was to record; False under `no_grad`.
    inside : Pass or None
        The backward pass with ``create_graph=True`` that made this call.
    rule_of : Row or None
        In such a pass: the row whose formula made this call, or whose gradients were being added.
    saved_bytes : int
        The size of the arrays that the backward formula needs.
    freed : str
        When they were freed: "" if they are still kept.
    rules : list of Rule
        One for each pass that applied the formula of the row.
    wanted : dict
        From the number of a pass that was asked for the gradient of this row (`tinygan.grad`) to that gradient.
    """

    number: int
    operation: Any
    layer: str
    place: Place
    caller: Place
    operands: list[Operand]
    name: str = ""
    result: Value | None = None
    earlier: bool = False
    device: str = "cpu"
    needs: tuple[bool, ...] = ()
    recorded: bool = False
    recording: bool = True
    inside: Pass | None = None
    rule_of: Row | None = None
    saved_bytes: int = 0
    freed: str = ""
    rules: list[Rule] = field(default_factory=list)
    wanted: dict[int, Value] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"#{self.number} {self.operation.name}" + (f" ({self.layer})" if self.layer else "")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the result; () if the call raised an error."""
        return self.operation.shape if self.earlier else () if self.result is None else self.result.shape

    @property
    def dtype(self) -> str:
        """The dtype of the result; "" if the call raised an error."""
        return str(self.operation.dtype) if self.earlier else "" if self.result is None else self.result.dtype

    @property
    def failed(self) -> bool:
        """Whether the call raised an error."""
        return self.result is None and not self.earlier

    def gradient(self, backward_pass: Pass | None = None) -> Value | None:
        """Return the gradient with respect to the result, of a pass or of the newest one; None: not computed."""
        found = self.wanted | {rule.backward_pass.number: rule.gy for rule in self.rules}
        return found.get(max(found, default=0) if backward_pass is None else backward_pass.number)


@dataclass(eq=False)
class Pass:
    """One backward pass.

    Attributes
    ----------
    number : int
        From 1.
    caller : {"backward", "grad"}
    create_graph : bool
    output : Row or Leaf
        What was differentiated.
    shape : tuple of int
        Of the output.
    place : Place
    first_row : int
        The number of the first row after its start.
    rows : list of Row
        The rows whose rules were applied, in order.
    leaves : list of Leaf
        The leaves that received a gradient.
    wanted : list of Row and Leaf, or None
        With respect to what `tinygan.grad` was asked to differentiate; None: with respect to every leaf.
    complete : bool
        Whether all its operations were called inside the trace.
    finished : bool
    """

    number: int
    caller: str
    create_graph: bool
    output: Row | Leaf
    shape: tuple[int, ...]
    place: Place
    first_row: int
    rows: list[Row] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)
    wanted: list[Row | Leaf] | None = None
    complete: bool = True
    finished: bool = False


@dataclass(eq=False)
class Update:
    """A moment at which parameters were found changed, such as a step of an optimiser.

    Attributes
    ----------
    after_row : int
        The number of the last row before it.
    after_pass : int
        The number of the last pass before it; 0 if there was none.
    moved : dict
        From a leaf to its value before and after.
    still : list of Leaf
        The parameters that kept every bit.
    """

    after_row: int
    after_pass: int
    moved: dict[Leaf, tuple[Value, Value]]
    still: list[Leaf]
