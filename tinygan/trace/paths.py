"""Where a gradient went: the parts that the formulas of a pass sent, and those that lead to one value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tinygan.backend import get_backend
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, did_you_mean
from tinygan.trace.record import Leaf, Pass, Row, Rule, Value
from tinygan.trace.recorder import Recorder

Node = Row | Leaf


@dataclass(frozen=True, eq=False)
class Part:
    """What one formula sent to one input of its operation.

    Attributes
    ----------
    sender : Row
    position : int
        Which input.
    receiver : Row or Leaf
        What that input is.
    gy : Value
        The gradient with respect to the result of the sender.
    sent : Value
        What the formula returned for the input, before it is summed over broadcast axes.
    shape : tuple of int
        Of the input.
    """

    sender: Row
    position: int
    receiver: Node
    gy: Value
    sent: Value
    shape: tuple[int, ...]

    @cached_property
    def gradient(self) -> Value:
        """What was added to the gradient of the receiver."""
        if self.sent.shape == self.shape:
            return self.sent
        return Value(get_backend("cpu").unbroadcast(self.sent.array, self.shape))

    @property
    def factor(self) -> float:
        """The norm of the gradient over the norm of gy; nan if gy is 0."""
        return self.gradient.norm / self.gy.norm if self.gy.norm else math.nan


def parts(one: Pass) -> Iterator[Part]:
    """Yield what the formulas of a pass sent, in the order of the pass."""
    for row in one.rows:
        rule = rule_of(row, one)
        for position, (operand, needed) in enumerate(zip(row.operands, row.needs, strict=True)):
            sent = rule.gradients[position] if rule.gradients else None
            if needed and sent is not None and operand.source is not None:
                yield Part(row, position, operand.source, rule.gy, sent, operand.shape)


def rule_of(row: Row, one: Pass) -> Rule:
    """Return the application of a row's formula in a pass that reached the row."""
    return next(rule for rule in row.rules if rule.backward_pass is one)


def parts_towards(node: Node, one: Pass) -> list[Part]:
    """Return the parts of a pass that lead to a row or a leaf, in the order of the pass."""
    leading, found = {node}, []
    for part in reversed(list(parts(one))):
        if part.receiver in leading and part.sender is not node:
            leading.add(part.sender)
            found.append(part)
    return found[::-1]


def gradient_of(node: Node, one: Pass) -> Value | None:
    """Return the gradient of a row or a leaf in a pass; None: the pass found none."""
    return node.gradients.get(one.number) if isinstance(node, Leaf) else node.gradient(one)


def pass_of(trace: Recorder, number: int) -> Pass:
    """Return a pass by its number.

    Raises
    ------
    ArgumentError
        There is no such pass.
    """
    for one in trace.passes:
        if one.number == number:
            return one
    there = f"passes 1 to {len(trace.passes)}" if trace.passes else "no pass"
    raise ArgumentError(f"why: backward_pass: the trace has {there}, got {number!r}")


def called(node: Node) -> str:
    """Return the words for a row or a leaf in a sentence.

    Examples
    --------
    >>> import tinygan as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> with tg.trace() as t:
    ...     y = x * x
    >>> called(t.leaves[0]), called(t.rows[0])
    ('x', '#1 multiply')
    """
    return node.name if isinstance(node, Leaf) else str(node)


def find(trace: Recorder, subject: str | int | Tensor) -> Node | None:
    """Return the row or the leaf of a name, a number or a tensor; None for a tensor that the trace does not hold.

    Raises
    ------
    ArgumentError
        No row or leaf has this name, or several have it.
    """
    if isinstance(subject, Tensor):
        return trace._row_of(subject) or trace._leaves.get(id(subject))
    if isinstance(subject, bool) or not isinstance(subject, (str, int)):
        raise ArgumentError(
            "why: expected the name of a parameter, a tensor, or the number of a row such as '#3'; got "
            f"{type(subject).__name__}"
        )
    name = str(subject).strip()
    digits = name.removeprefix("#")
    if digits.isdecimal():
        if 1 <= int(digits) <= len(trace.rows):
            return trace.rows[int(digits) - 1]
        raise ArgumentError(f"why: there is no row #{digits}: the trace has {len(trace.rows)} rows")
    named: list[Node] = [leaf for leaf in trace.leaves if leaf.name == name]
    if not (named and named[0].parameter):  # type: ignore[union-attr]
        named += [row for row in trace.rows if row.name == name]
    if len(named) == 1:
        return named[0]
    if named:
        several = " and ".join("a leaf" if isinstance(node, Leaf) else str(node) for node in named)
        advice = f'give a number, such as "#{len(trace.rows)}", or the tensor itself'
        raise ArgumentError(f'why: "{name}" is the name of {several}; {advice}')
    leaves = [leaf.name for leaf in trace.leaves if leaf.parameter] or [leaf.name for leaf in trace.leaves]
    known = [*(leaf.name for leaf in trace.leaves), *dict.fromkeys(row.name for row in trace.rows if row.name)]
    there = f"there are {', '.join(leaves)}" if leaves else "the trace is empty"
    hint = did_you_mean(name, known) or "; or give the tensor itself, which may not have been used"
    raise ArgumentError(f'why: nothing in the trace is called "{name}": {there}{hint}')
