"""Why a value has no gradient: which of the ways to lose one it was, at which line, and what to change.

The trace knows which row used which value, also where no gradient can pass. So there are two graphs: of all uses, and
of the uses that a gradient can pass. A path of the first that is none of the second is cut at its first other use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tinygan.engine import Tensor
from tinygan.trace.paths import Node, called, find, gradient_of, pass_of, rule_of
from tinygan.trace.record import Leaf, Pass, Row, Value
from tinygan.trace.recorder import Recorder

_MOST = 5  # reasons that are printed


@dataclass(frozen=True)
class Reason:
    """One reason for a missing gradient.

    Attributes
    ----------
    kind : str
        ``no pass``, ``not asked``, ``unused``, ``leads nowhere``, ``requires_grad``, ``detach``, ``no_grad``,
        ``integer``, ``copy``, ``constant``, ``no formula`` or ``error``.
    row : Row or None
        Where.
    text : str
    remedy : str
        What to change; "" if there is no advice.
    """

    kind: str
    row: Row | None
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        lines = [self.text]
        if self.row is not None:
            place = self.row.caller
            lines.append(f"{place}: {place.source}" if place.source else str(place))
        if self.remedy:
            lines.append(f"-> {self.remedy}")
        return "\n    ".join(lines)


@dataclass(frozen=True)
class WhyNot:
    """The reasons why a value has no gradient. Print it.

    Attributes
    ----------
    name : str
    reasons : list of Reason
        Empty if it has a gradient.
    headline : str
    """

    name: str
    reasons: list[Reason]
    headline: str

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        more = len(self.reasons) - _MOST
        shown = [f"  - {reason}" for reason in self.reasons[:_MOST]]
        return "\n".join([self.headline, *shown, *([f"  and {more} more"] if more > 0 else [])])


@dataclass(frozen=True, eq=False)
class _Use:
    """A value that went into an operation, and what stops a gradient there: a key of `_CUTS`, or "" for nothing."""

    source: Node
    row: Row
    position: int
    stopped: str


def why_not(trace: Recorder, subject: str | int | Tensor, backward_pass: int | None = None) -> WhyNot:
    """Return the reasons for a missing gradient: see `tinygan.trace.Trace.why_not`."""
    node = find(trace, subject)
    if node is None:
        assert isinstance(subject, Tensor), "find refuses an unknown name"
        node = Leaf(subject.name or "the tensor", subject, False, subject.requires_grad, Value(subject.numpy()))
    passes = trace.passes if backward_pass is None else [pass_of(trace, backward_pass)]
    name = called(node)
    reached = [str(one.number) for one in passes if gradient_of(node, one) is not None]
    if reached:
        return WhyNot(name, [], f"{name} has a gradient: pass {' and '.join(reached)} reached it; ask why(...)")
    which = "" if backward_pass is None else f" in pass {backward_pass}"
    found = list(dict.fromkeys(_reasons(trace, node, passes)))
    return WhyNot(name, found, f"{name} has no gradient{which}:")


def cut_paths(trace: Recorder, node: Node, one: Pass) -> list[Reason]:
    """Return where some paths from a value to the output of a pass are cut, while others carry a gradient."""
    return [_cut(use) for use in _cuts(node, one, _uses(trace))]


# ---------------------------------------------------------------------- reasons


def _reasons(trace: Recorder, node: Node, passes: list[Pass]) -> Iterator[Reason]:
    if not passes:
        yield _no_pass(trace)
    uses = _uses(trace) + _uses_of_copies(trace, node)
    used = any(use.source is node for use in uses)
    if isinstance(node, Row) and not node.recorded:
        yield _not_recorded(node)
    if isinstance(node, Leaf) and _jumps(node):
        yield Reason("integer", None, f"{node.name} is of {node.value.dtype}, and only floats have a gradient")
        return
    if isinstance(node, Leaf) and not node.requires_grad and not (used and passes):
        yield Reason("requires_grad", None, f"{node.name}.requires_grad is False", _CUTS["requires_grad"][1])
    if used:
        for one in passes:
            yield from _in_pass(node, one, uses, trace.passes)
    else:
        for one in passes:
            yield from _compared(node, one, uses)
        what = node.name if isinstance(node, Leaf) else f"the result of {node}"
        yield Reason("unused", None, f"no operation inside the block used {what}", "use it in the loss")


def _no_pass(trace: Recorder) -> Reason:
    if trace.error is None:
        return Reason("no pass", None, "no backward pass ran inside the block", "call loss.backward() inside the block")
    failed = next((row for row in reversed(trace.rows) if row.failed), None)
    where = "" if failed is None else f" in {failed}"
    text = f"the block ended with {type(trace.error).__name__}{where}, before any backward pass"
    return Reason("error", failed, text, f"mend the error: {trace.error}")


def _not_recorded(row: Row) -> Reason:
    """Return why a gradient cannot even enter a row."""
    for position, operand in enumerate(row.operands):
        stopped = _stopped(row, position)
        if operand.source is not None and stopped in ("no_grad", "integer", "error", "detach"):
            return _cut(_Use(operand.source, row, position, stopped))
    return Reason("requires_grad", row, f"no input of {row} requires a gradient, so its result is a constant")


def _in_pass(node: Node, one: Pass, uses: list[_Use], passes: list[Pass]) -> Iterator[Reason]:
    """Yield the reasons why one pass found no gradient for a value that was used."""
    if node not in _reach(one.output, uses, backwards=True):
        yield from _leads_nowhere(node, one, uses, passes)
    else:
        asked = one.wanted is None or node in one.wanted
        if not asked:
            others = ", ".join(map(called, one.wanted or ()))
            text = f"pass {one.number} was asked for other gradients only, at {one.place}: {others}"
            yield Reason("not asked", None, text, "add it to the inputs of tg.grad, or call backward()")
        cuts = _cuts(node, one, uses)
        yield from map(_cut, cuts)
        if asked and not cuts:
            yield from _in_formulas(node, one, uses)


def _leads_nowhere(node: Node, one: Pass, uses: list[_Use], passes: list[Pass]) -> Iterator[Reason]:
    """Yield the last rows that a value led to, where the output of a pass does not depend on it."""
    yield from _compared(node, one, uses)
    used = {use.source for use in uses}
    text = f"{called(one.output)}, which pass {one.number} differentiated, does not depend on it"
    for row in _reach(node, uses):
        if isinstance(row, Leaf) or row in used:
            continue
        others = [str(other.number) for other in passes if other.output is row]
        end = f"which pass {' and '.join(others)} differentiated" if others else "which nothing uses"
        remedy = "" if others else "use it in the loss, as a tensor: a trace cannot follow it through NumPy or .item()"
        yield Reason("leads nowhere", row, f"{text}: it leads to the result of {row}, {end}", remedy)


def _compared(node: Node, one: Pass, uses: list[_Use]) -> Iterator[Reason]:
    """Yield the uses of booleans and integers that may come from a value: a comparison is no operation of the trace."""
    leading = _reach(one.output, uses, backwards=True)
    shapes = [reached.value.shape if isinstance(reached, Leaf) else reached.shape for reached in _reach(node, uses)]
    for use in uses:
        source = use.source
        if isinstance(source, Leaf) and _jumps(source) and use.row in leading and source.value.shape in shapes:
            text = f"input {use.position} of {use.row}, {source.name}, is of {source.value.dtype}: if it was made of "
            text += "this value, by a comparison for example, no gradient comes back from it"
            yield Reason("integer", use.row, text, _CUTS["integer"][1])


def _jumps(leaf: Leaf) -> bool:
    """Return whether a leaf holds integers or booleans, which cannot change by a little."""
    return leaf.value.array.dtype.kind not in "fc"


def _in_formulas(node: Node, one: Pass, uses: list[_Use]) -> Iterator[Reason]:
    """Yield the formulas on the way that returned no gradient, or failed."""
    reached = _reach(node, (use for use in uses if not use.stopped))
    found = False
    for row in one.rows:
        gradients = rule_of(row, one).gradients or ()
        for position, gradient in enumerate(gradients):
            operand = row.operands[position]
            if gradient is None and row.needs[position] and operand.source in reached:
                found = True
                text = f"the formula of {row} returned no gradient for input {position}, {operand}"
                yield Reason("no formula", row, text, "let its backward return one, if the result depends on it")
    if not one.finished and not found:
        failed = next((row for row in one.rows if rule_of(row, one).gradients is None), None)
        where = "" if failed is None else f" in the formula of {failed}"
        yield Reason(
            "error", failed, f"pass {one.number} ended with an error{where}, before it reached this value", "mend it"
        )


_CUTS: dict[str, tuple[str, str]] = {
    "requires_grad": ("{source}.requires_grad was False when {row} used it", "set it to True before the forward pass"),
    "detach": ("{row} uses {source} detached, without its history", "leave out .detach(), if a gradient should pass"),
    "no_grad": ("{row} ran inside no_grad(), so it was not recorded", "move it out of the no_grad() block"),
    "integer": (
        "the result of {row} is of {dtype}: it changes in jumps, so it has no gradient",
        "use a smooth function in its place",
    ),
    "copy": (
        "input {position} of {row} has the numbers of {source}, but it is another tensor: a copy, made by .numpy(), "
        ".item(), .data or tg.tensor(...)",
        "use the tensor itself",
    ),
    "constant": ("{row} uses what {source} led to as a constant that was saved, such as a mask", ""),
    "error": ("{row} raised an error, so it has no result", "mend the error"),
}


def _cut(use: _Use) -> Reason:
    text, remedy = _CUTS[use.stopped]
    dtype = "" if use.row.result is None else use.row.result.dtype
    facts = {"source": called(use.source), "row": use.row, "position": use.position, "dtype": dtype}
    return Reason(use.stopped, use.row, text.format(**facts), remedy)


# ---------------------------------------------------------------------- the two graphs


def _uses(trace: Recorder) -> list[_Use]:
    """Return every use of a value, in the order of the rows."""
    uses = []
    for row in trace.rows:
        for position, operand in enumerate(row.operands):
            if operand.source is not None:
                uses.append(_Use(operand.source, row, position, _stopped(row, position)))
            for saved in operand.saved_by.operands if operand.saved_by is not None else ():
                if saved.source is not None:
                    uses.append(_Use(saved.source, row, position, "constant"))
    return uses


def _uses_of_copies(trace: Recorder, node: Node) -> list[_Use]:
    """Return the uses of copies that left the graph: arrays and numbers that a row or a leaf had before."""
    uses = []
    known: dict[Any, Node] = {}  # by the numbers: the newest row, or the first leaf, that had them
    if isinstance(node, Leaf):
        known[_numbers(node.value)] = node
    for row in trace.rows:
        for position, operand in enumerate(row.operands):
            source, numbers = operand.source, _numbers(operand.value, operand.number)
            origin = known.get(numbers)
            if numbers is None or isinstance(source, Row):
                continue
            if origin is not None and origin is not source:
                uses.append(_Use(origin, row, position, "detach" if _is_detached(source, origin) else "copy"))
            elif source is not None:
                known[numbers] = source
        if row.result is not None:
            known[_numbers(row.result)] = row
    return uses


def _stopped(row: Row, position: int) -> str:
    """Return what stops a gradient on its way from a row to an input; "upstream": the input itself has no gradient."""
    operand = row.operands[position]
    if not operand.requires_grad and isinstance(operand.source, Row):
        return "detach" if operand.source.recorded else "upstream"
    if not operand.requires_grad:
        return "requires_grad"
    if row.failed:
        return "error"
    if not row.recording:
        return "no_grad"
    return "" if row.recorded else "integer"


def _numbers(value: Value | None, number: Any = None) -> Any:
    """Return a key that copies of an array or a number share; None for one that other arrays share by chance."""
    if value is None or value.array.size == 1:
        number = number if value is None else value.array.item()
        return number if isinstance(number, float) and not number.is_integer() else None
    array = value.array
    return (array.shape, value.sha256) if array.size and array.min() != array.max() else None


def _is_detached(source: Node | None, origin: Node) -> bool:
    """Return whether a leaf is a detached copy of another leaf: they share the counter of changes."""
    return isinstance(source, Leaf) and isinstance(origin, Leaf) and source.tensor._version is origin.tensor._version


def _reach(start: Node, uses: Iterable[_Use], backwards: bool = False) -> dict[Node, None]:
    """Return what a value leads to, itself included; `backwards`: what leads to it. The nearest comes first."""
    following: dict[Node, list[Node]] = {}
    for use in uses:
        here, there = (use.row, use.source) if backwards else (use.source, use.row)
        following.setdefault(here, []).append(there)
    found, waiting = {start: None}, [start]
    for node in waiting:
        for there in following.get(node, ()):
            if there not in found:
                found[there] = None
                waiting.append(there)
    return found


def _cuts(node: Node, one: Pass, uses: list[_Use]) -> list[_Use]:
    """Return the first uses that stop a gradient on the paths from a value to the output of a pass."""
    leading = _reach(one.output, uses, backwards=True)
    reached = _reach(node, (use for use in uses if not use.stopped))
    stopping = (use for use in uses if use.stopped not in ("", "upstream"))
    return [use for use in stopping if use.source in reached and use.row in leading]
