"""Why a value has the gradient it has: the chain of formulas from the loss to it, with the norm after each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tinygan.engine import Tensor
from tinygan.trace.formulas import local_rules
from tinygan.trace.measures import CANCELS, FALLS, RISES, Finding, findings, words
from tinygan.trace.paths import Node, Part, called, find, gradient_of, parts_towards, pass_of
from tinygan.trace.record import Leaf, Pass, Row, Value
from tinygan.trace.recorder import Recorder
from tinygan.trace.table import aligned
from tinygan.trace.why_not import WhyNot, cut_paths, why_not

_HEAD = ("row", "operation", "layer", "norm of gy", "norm sent", "factor", "to", "formula")
_NOTE = " " * 6
_MOST = 3  # paths without a gradient that are mentioned


def why(trace: Recorder, subject: str | int | Tensor, backward_pass: int | None = None) -> Why | WhyNot:
    """Return the explanation of a gradient; of a missing one, the reasons: see `tinygan.trace.Trace.why`."""
    node = find(trace, subject)
    reached = [one for one in trace.passes if node is not None and gradient_of(node, one) is not None]
    if backward_pass is not None:
        reached = [one for one in reached if one.number == pass_of(trace, backward_pass).number]
    if node is None or not reached:
        return why_not(trace, subject, backward_pass)
    return Why(trace, node, reached[-1])


@dataclass(frozen=True, eq=False)
class Join:
    """A place where the gradient is the sum of several parts, because a value is used several times.

    Attributes
    ----------
    receiver : Row or Leaf
        The value that is used several times.
    parts : list of Part
    gradient : Value
        The sum.
    """

    receiver: Node
    parts: list[Part]
    gradient: Value

    @property
    def share(self) -> float:
        """The norm of the sum over the sum of the norms: 1 if all parts point the same way, 0 if they cancel."""
        largest = sum(part.gradient.norm for part in self.parts)
        return self.gradient.norm / largest if largest else math.nan

    def findings(self) -> list[Finding]:
        """Return the words for the sum, and for parts that cancel."""
        each = " + ".join(f"{part.gradient.norm:.3g} from #{part.sender.number}" for part in self.parts)
        used = f"{called(self.receiver)} is used {len(self.parts)} times, so {len(self.parts)} parts are added: norms"
        found = [Finding("joins", len(self.parts), f"{used} {each}; the sum has the norm {self.gradient.norm:.3g}")]
        if self.share <= CANCELS:
            found.append(Finding("cancels", self.share, "the parts point in opposite directions and cancel"))
        return found


class Why:
    """The chain from the loss to a gradient. Print it.

    Attributes
    ----------
    node : Row or Leaf
        What was asked for.
    name : str
    backward_pass : Pass
    parts : list of Part
        What each formula sent towards it, in the order of the pass.
    gradient : Value
    joins : list of Join
        Where parts are added, in the order of the pass.
    """

    def __init__(self, trace: Recorder, node: Node, backward_pass: Pass) -> None:
        gradient = gradient_of(node, backward_pass)
        assert gradient is not None, "the pass reached it"
        self.trace, self.node, self.name, self.backward_pass = trace, node, called(node), backward_pass
        self.gradient = gradient
        self.parts = parts_towards(node, backward_pass)

    @cached_property
    def joins(self) -> list[Join]:
        """Where parts are added."""
        arriving: dict[Node, list[Part]] = {}
        for part in self.parts:
            arriving.setdefault(part.receiver, []).append(part)
        rows = [row for row in self.backward_pass.rows if row in arriving and row is not self.node]
        found = []
        for node in [*rows, self.node]:
            gradient = gradient_of(node, self.backward_pass)
            if len(arriving.get(node, ())) > 1 and gradient is not None:
                found.append(Join(node, arriving[node], gradient))
        return found

    @property
    def step(self) -> tuple[Value, Value] | None:
        """The values before and after the first update that followed the pass; None: there was no update of it."""
        moved = [update.moved for update in self.trace.updates if update.after_pass >= self.backward_pass.number]
        return next((one[self.node] for one in moved if self.node in one), None)

    @cached_property
    def findings(self) -> list[tuple[Node, Finding]]:
        """What was measured, and at which row or leaf, in the order of the pass."""
        return [(node, finding) for node, _, found in self._lines() for finding in found]

    def _lines(self) -> list[tuple[Node, tuple[str, ...], list[Finding]]]:
        """Return the lines of the table: the row, its cells (none: only a remark), and what was measured."""
        joins = {join.receiver: join for join in self.joins}
        lines: list[tuple[Node, tuple[str, ...], list[Finding]]] = []
        before = None
        for part in self.parts:
            row, found = part.sender, findings(part)
            if row is before:
                known = {finding.text for finding in lines[-1][2]}
                found = [finding for finding in found if finding.text not in known]
            elif row in joins:
                lines.append((row, (), joins[row].findings()))
            lines.append((row, _cells(part, first=row is not before), found))
            before = row
        if self.node in joins:
            lines.append((self.node, (), joins[self.node].findings()))
        return lines

    # ------------------------------------------------------------------ text

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        one = self.backward_pass
        shape = f", of shape {self.gradient.shape}," if self.gradient.shape else ""
        which = f"pass {one.number}, {one.caller} of {called(one.output)}, at {one.place}"
        lines = [f"why {self.name}{shape} has its gradient: {which}"]
        if self.parts:
            lines.append(
                "gy is the gradient with respect to the result of a row; the formula turns gy into the gradient that "
                "is sent on"
            )
            lines += ["", *self._table()]
        return "\n".join([*lines, "", *self._ending()])

    def _table(self) -> list[str]:
        """Return the lines of the table, each with its remarks below it."""
        lines = self._lines()
        cells = iter(aligned([_HEAD, *[cells for _, cells, _ in lines if cells]]))
        table = [next(cells)]
        for _, has_cells, found in lines:
            table += [next(cells)] if has_cells else []
            table += [f"{_NOTE}{finding.text}" for finding in _shown(found)]
        return table

    def _ending(self) -> list[str]:
        gradient, one = self.gradient, self.backward_pass
        if one.output is self.node:
            lines = [f"{self.name} is what pass {one.number} differentiated, so its gradient is the start: {gradient}"]
        else:
            elements = f"; elements {gradient}" if gradient.array.size > 1 else ""
            lines = [f"the gradient of {self.name}: norm {gradient.norm:.3g}{elements}"]
        lines += self._totals()
        if not one.finished:
            lines.append(f"pass {one.number} ended with an error, so parts of this gradient may be missing")
        for reason in cut_paths(self.trace, self.node, one)[:_MOST]:
            lines.append(f"another path carries no gradient: {reason.text}{_at(reason.row)}")
        return [*lines, *self._other_passes(), *self._update()]

    def _totals(self) -> list[str]:
        """Return the product of the factors by operation, if there is one path only."""
        senders = {part.sender for part in self.parts}
        if len(senders) < len(self.parts) or len(self.parts) < 2 or not self.parts[0].gy.norm:
            return []
        factors: dict[str, list[float]] = {}
        for part in self.parts:
            factors.setdefault(part.sender.operation.name, []).append(part.factor)
        each = [
            f"{name} {math.prod(found):.2g}" + (f" ({len(found)} times)" if len(found) > 1 else "")
            for name, found in sorted(factors.items(), key=lambda item: math.prod(item[1]))
        ]
        total = self.gradient.norm / self.parts[0].gy.norm
        lines = [f"from the loss to here, the norm is multiplied by {total:.2g}: {', '.join(each)}"]
        if total <= FALLS or total >= RISES:
            verb, extreme = ("falls", min) if total <= FALLS else ("grows", max)
            most = extreme(self.parts, key=lambda part: (math.prod(factors[part.sender.operation.name]), part.factor))
            reason = words(most)
            lines += [f"it {verb} most at {most.sender.operation.name}: in {most.sender} {reason}"] if reason else []
        return lines

    def _other_passes(self) -> list[str]:
        """Return the lines on other passes that reached it, and on what the tensor holds in ``grad`` now."""
        reached = [one for one in self.trace.passes if gradient_of(self.node, one) is not None]
        lines = []
        if len(reached) > 1:
            others = " and ".join(str(one.number) for one in reached if one is not self.backward_pass)
            lines.append(f"it has a gradient in pass {others} too: why(..., backward_pass=NUMBER) explains another")
        if isinstance(self.node, Leaf) and self.node.tensor.grad is not None:
            now = Value(self.node.tensor.grad.numpy())
            summed = _summed(self.node, reached, now)
            if len(summed) > 1:
                numbers = " and ".join(str(number) for number in summed)
                lines.append(f"its .grad holds the sum of passes {numbers} now: norm {now.norm:.3g}")
        return lines

    def _update(self) -> list[str]:
        if self.step is None:
            return []
        before, after = self.step
        step = Value(after.array.astype("float64") - before.array.astype("float64")).norm
        moved = f"the update that followed changed it by {step:.3g} (norm)"
        if not before.norm:
            return [f"{moved}; before, it was 0"]
        return [f"{moved}: {step / before.norm:.2g} times its norm, {before.norm:.3g}; for weights, 0.001 is usual"]


def _cells(part: Part, first: bool) -> tuple[str, ...]:
    """Return the cells of a line; the first line of a row names it."""
    row = part.sender
    only = tuple([position == part.position for position in range(len(row.operands))])
    rules = local_rules(row.operation, row.shape, [operand.shape for operand in row.operands], only).backward
    made = f" (made by pass {row.inside.number})" if row.inside is not None else ""
    made += " (before the trace)" if row.earlier else ""
    names = (f"#{row.number}", row.operation.name + made, row.layer, f"{part.gy.norm:.3g}")
    receiver = f"#{part.receiver.number}" if isinstance(part.receiver, Row) else part.receiver.name
    factor = "-" if math.isnan(part.factor) else f"{part.factor:.3g}"
    return (*(names if first else [""] * 4), f"{part.gradient.norm:.3g}", factor, receiver, ",  ".join(rules))


def _at(row: Row | None) -> str:
    return "" if row is None else f", at {row.caller}"


def _shown(found: Sequence[Finding]) -> list[Finding]:
    """Leave out the findings that a verdict before them repeats."""
    shown: list[Finding] = []
    for finding in found:
        if not any(finding.text in earlier.text for earlier in shown):
            shown.append(finding)
    return shown


def _summed(leaf: Leaf, reached: list[Pass], now: Value) -> list[int]:
    """Return the numbers of the passes whose gradients, added in order, are what ``grad`` holds now."""
    numbers = [one.number for one in reached if one.caller == "backward"]
    for start in range(len(numbers)):
        total = None
        for end in range(start, len(numbers)):
            term = leaf.gradients[numbers[end]].array
            total = term if total is None else total + term
            if Value(total).same_bits(now):
                return numbers[start : end + 1]
    return []
