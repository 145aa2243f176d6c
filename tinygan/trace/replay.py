"""Compute every row of a trace again, from the values that were recorded, and compare the bits.

A row is replayed alone: its inputs are the recorded copies, so a difference is found at the operation that made it. The
same holds for the backward formulas. Then the sums of the chain rule are made again: the gradient of a result is the
sum of what the formulas of its uses returned.

The formulas of a recorded pass (``create_graph=True``) made rows of their own, and are replayed as such.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tinygan.backend import Backend, get_backend
from tinygan.checking.subject import with_layout
from tinygan.engine import Tensor
from tinygan.engine.modes import UNOBSERVED, Recording
from tinygan.trace.record import Leaf, Operand, Pass, Row, Rule, Value
from tinygan.trace.recorder import Recorder, copied


@dataclass
class Replay:
    """The result of `replay`; true if all bits are equal.

    Attributes
    ----------
    rows, formulas, sums : int
        The numbers of results, applied formulas and sums of gradients that were computed again.
    differences : list of str
        One sentence for each value with other bits.
    """

    rows: int = 0
    formulas: int = 0
    sums: int = 0
    differences: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        counts = f"{self.rows} results, {self.formulas} backward formulas and {self.sums} sums of gradients"
        if not self.differences:
            return f"computed again: {counts}; all bits are equal"
        return "\n  ".join([f"computed again: {counts}; {len(self.differences)} differ:", *self.differences])

    def compare(self, what: str, again: Any, recorded: Value) -> None:
        """Add a difference if the bits differ."""
        found = Value(again.numpy() if isinstance(again, Tensor) else again)
        if not found.same_bits(recorded):
            self.differences.append(f"{what}: recorded {recorded}, now {found}")


def replay(trace: Recorder) -> Replay:
    """Compute every row, formula and sum of a trace again."""
    report = Replay()
    for row in trace.rows:
        if row.result is None or row.earlier:
            continue
        operation, result = call_again(row)
        report.rows += 1
        report.compare(f"{row} at {row.place}", result, row.result)
        for rule in row.rules:
            if rule.gradients is not None and not rule.backward_pass.create_graph:
                report.formulas += 1
                _replay_rule(report, row, rule, operation)
    for one in trace.passes:
        if one.finished and one.complete and not one.create_graph:
            _replay_sums(report, one)
    return report


def call_again(row: Row) -> tuple[Any, Tensor]:
    """Call a copy of the operation of a row on copies of the recorded inputs; return the copy and its result."""
    operation, backend = copied(row.operation), get_backend(row.device)
    with UNOBSERVED, Recording(row.recording):
        return operation, operation(*[as_input(operand, backend) for operand in row.operands])


def as_input(operand: Operand, backend: Backend) -> Any:
    """Return an input as it was: a tensor that requires a gradient or not, an array, or a number."""
    if operand.value is None:
        return operand.number
    array = _there(operand.value, backend)
    return Tensor(array, operand.requires_grad) if operand.is_tensor else array


def _there(value: Value, backend: Backend) -> Any:
    return with_layout(value.array, value.array) if backend.device == "cpu" else backend.from_numpy(value.array)


def _replay_rule(report: Replay, row: Row, rule: Rule, operation: Any) -> None:
    backend = operation.backend
    with UNOBSERVED, Recording(False):
        saved = operation.recall("replay")
        found = operation.needing(rule.needs).backward(backend, _there(rule.gy, backend), *saved)
    assert rule.gradients is not None, "formulas that failed are not replayed"
    found = found if isinstance(found, (tuple, list)) else (found,)
    for position, (again, recorded) in enumerate(zip(found, rule.gradients, strict=True)):
        if recorded is not None and again is not None:
            array = backend.to_numpy(backend.asarray(again))
            report.compare(f"backward formula of {row}, input {position}", array, recorded)


def _replay_sums(report: Replay, one: Pass) -> None:
    """Add up what the formulas returned, in the order of the pass."""
    totals: dict[Row | Leaf, Any] = {}
    for row in one.rows:
        rule = next(rule for rule in row.rules if rule.backward_pass is one)
        if row in totals:
            report.sums += 1
            report.compare(f"gradient of {row} in pass {one.number}", totals[row], rule.gy)
        for operand, gradient, needed in zip(row.operands, rule.gradients or (), row.needs, strict=True):
            source = operand.source
            if gradient is None or source is None or not needed or operand.value is None:
                continue
            backend = get_backend("cpu")
            term = backend.unbroadcast(gradient.array, operand.value.shape).astype(operand.value.dtype, copy=False)
            totals[source] = totals[source] + term if source in totals else term
    for leaf in one.leaves:
        if leaf in totals:
            report.sums += 1
            report.compare(f"gradient of {leaf.name} in pass {one.number}", totals[leaf], leaf.gradients[one.number])
