"""The moments of a trace in the order in which they happened, each with a sentence for the reader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinygan.trace.drawing import norm
from tinygan.trace.formulas import formulas
from tinygan.trace.graph import Step, sent
from tinygan.trace.record import Leaf, Operand, Pass, Row, Rule, Update

if TYPE_CHECKING:
    from tinygan.trace.recorder import Recorder

FEW = 3  # names in a sentence


@dataclass(eq=False)
class Moment:
    """One moment.

    Attributes
    ----------
    kind : {"forward", "begin", "backward", "update", "error"}
    caption : str
    step : Step
    row : Row or None
    one : Pass or None
    complete : list of Leaf
        The leaves whose gradient is complete from now on.
    """

    kind: str
    caption: str
    step: Step
    row: Row | None = None
    one: Pass | None = None
    complete: list[Leaf] = field(default_factory=list)


def moments(trace: Recorder, steps: list[Step]) -> list[Moment]:
    """Return the moments of a trace."""
    found: list[Moment] = []
    for step in steps:
        found += _of_step(step)
    if trace.error is not None and steps and not any(row.failed for row in trace.rows):
        found.append(Moment("error", f"The block ended with {_error(trace).rstrip('.')}.", steps[-1]))
    for moment in found:
        if moment.row is not None and moment.row.failed:
            moment.caption += f": {_error(trace).rstrip('.')}." if moment.row is trace.rows[-1] else "."
    return found


def _error(trace: Recorder) -> str:
    return f"{type(trace.error).__name__}: {trace.error}"


def _of_step(step: Step) -> Iterator[Moment]:
    """Yield the moments of a step: a pass comes before the first row that ran after its start."""
    passes, updates, shown = list(step.passes), list(step.updates), set()

    def until(row: int | None) -> Iterator[Moment]:
        while updates and (row is None or updates[0].after_row < row):
            if passes and updates[0].after_pass >= passes[0].number:
                break
            yield Moment("update", _update(updates.pop(0)), step)
        while passes and (row is None or passes[0].first_row <= row):
            for moment in _of_pass(step, passes.pop(0)):
                shown.add(moment.row if moment.kind == "forward" else None)
                yield moment
            yield from until(row)

    for row in step.rows:
        yield from until(row.number)
        if row not in shown and not row.earlier:
            yield Moment("forward", _forward(row), step, row)
    yield from until(None)


def _of_pass(step: Step, one: Pass) -> Iterator[Moment]:
    """Yield the moments of a pass, among them the operations that it made itself."""
    made: dict[Row | None, list[Row]] = {}
    for row in step.rows:
        if row.inside is one:
            made.setdefault(row.rule_of, []).append(row)
    complete_leaves = set(one.leaves) if one.finished else set()  # after an error, a term may be missing
    last_user = {leaf: row for row in one.rows for leaf in _leaves_of(row) if leaf in complete_leaves}
    output = one.output if isinstance(one.output, Row) else None
    where = one.output.name if isinstance(one.output, Leaf) else str(output or "a tensor")
    start = " The gradient of a number with respect to itself is 1." if one.shape == () else ""
    recorded = " The pass is recorded, so that its result can be differentiated." if one.create_graph else ""
    yield Moment("begin", f"Backward pass {one.number} begins at {where}.{start}{recorded}", step, output, one)
    for row in made.pop(None, []):
        yield Moment("forward", _forward(row), step, row)
    for row in one.rows:
        for inner in made.pop(row, []):
            yield Moment("forward", _forward(inner), step, inner)
        rule = next(rule for rule in row.rules if rule.backward_pass is one)
        complete = [leaf for leaf, last in last_user.items() if last is row]
        yield Moment("backward", _backward(row, rule, complete), step, row, one, complete)
    if isinstance(one.output, Leaf):
        yield Moment("backward", "It is a leaf: there is no operation to pass.", step, None, one, list(one.leaves))


def _leaves_of(row: Row) -> list[Leaf]:
    return [operand.source for operand in row.operands if isinstance(operand.source, Leaf)]


def listed(names: Iterable[str], few: int = FEW) -> str:
    """Return names as a list in a sentence.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
    ('a', 'a and b', 'a, b, c and 2 more')
    """
    names = list(names)
    if len(names) > few + 1:
        names = [*names[:few], f"{len(names) - few} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _named(operand: Operand) -> str:
    if isinstance(operand.source, Row):
        return f"#{operand.source.number} {operand.source.operation.name}"
    return str(operand)


def _forward(row: Row) -> str:
    inputs = listed([_named(operand) for operand in row.operands], 4)
    if row.failed:
        return f"{row} fails on {inputs}"
    assert row.result is not None, "earlier rows have no moment"
    value = row.result
    if value.array.size == 1:
        summary = f"The result is {value}."
    else:
        spread = f"mean {value.mean:.3g} and standard deviation {value.spread:.3g}"
        summary = f"The result has shape {value.shape}, {spread}."
    end = "" if row.recorded else " It is not recorded: no gradient can pass it."
    return f"{row} takes {inputs}: {formulas(row.operation).forward}. {summary}{end}"


def _backward(row: Row, rule: Rule, complete: list[Leaf]) -> str:
    size = "" if rule.gy.array.size == 1 else f"of shape {rule.gy.shape} and norm "
    parts = [f"{row} receives the gradient gy, {size}{norm(rule.gy)}."]
    if rule.gradients is None:
        parts.append("Its backward formula raises an error.")
    rules = formulas(row.operation).backward
    told = []
    for position, operand in enumerate(row.operands):
        gradient = sent(row, rule, position)
        if gradient is not None:
            formula = rules[position] if len(rules) == len(row.operands) else rules[0] if len(rules) == 1 else ""
            what = formula if " = " in formula else "a gradient"
            size = "" if gradient.array.size == 1 else "norm "
            told.append(f"{what} goes to {_named(operand)} ({size}{norm(gradient)})")
    if told:
        parts.append(f"{'; '.join(told)}.")
    if len(rules) == 1 and " = " not in rules[0]:
        parts.append(f"The formula in words: {rules[0]}.")
    if complete:
        names = listed([leaf.name for leaf in complete])
        one = len(complete) == 1
        parts.append(f"The gradient of {names} is complete." if one else f"The gradients of {names} are complete.")
    return " ".join([part[0].upper() + part[1:] if part.startswith("a gradient") else part for part in parts])


def _update(update: Update) -> str:
    moved, still = (_counted(leaves) for leaves in (update.moved, update.still))
    return f"Update: {moved} changed." + (f" {still} kept every bit." if update.still else "")


def _counted(leaves: Iterable[Leaf]) -> str:
    """Return the parameters of each module as a number, or the name of a single one."""
    names: dict[str, list[str]] = {}
    for leaf in leaves:
        names.setdefault(leaf.name.split(".")[0], []).append(leaf.name)
    return listed([f"{len(own)} parameters of {root}" if len(own) > 1 else own[0] for root, own in names.items()])
