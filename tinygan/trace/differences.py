"""Check the backward formulas of a trace by differences: each row alone, at the values that it had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinygan.backend import get_backend
from tinygan.checking import GradcheckReport, gradcheck
from tinygan.engine import Tensor
from tinygan.trace.record import Row
from tinygan.trace.recorder import Recorder, copied
from tinygan.trace.replay import as_input
from tinygan.trace.table import aligned


@dataclass
class Differences:
    """The result of `check_rows`; true if no formula is wrong.

    Attributes
    ----------
    reports : dict
        From the number of a row to its `GradcheckReport`.
    rows : dict
        From the number of a row to the row.
    """

    reports: dict[int, GradcheckReport]
    rows: dict[int, Row]

    def __bool__(self) -> bool:
        return all(report.ok for report in self.reports.values())

    def error(self, number: int) -> float | None:
        """Return the worst relative error of a row; None if nothing was compared."""
        report = self.reports.get(number)
        return report.worst.relative_error if report is not None and report.worst is not None else None

    def verdict(self, number: int) -> str:
        """Return the result of one row for a reader: "not checked" if it has no backward formula in the trace."""
        report = self.reports.get(number)
        if report is None:
            return "not checked"
        if not report.ok:
            return f"WRONG: {report.failures[0].message}"
        return "nothing to compare" if report.worst is None else f"error {report.worst.relative_error:.0e}"

    def __str__(self) -> str:
        wrong = sum(not report for report in self.reports.values())
        head = f"{len(self.reports)} formulas compared with differences, in float64: "
        lines = [("#", "operation", "layer", "worst relative error", "method")]
        for number, report in self.reports.items():
            row = self.rows[number]
            method = "" if report.worst is None else report.worst.method
            lines.append((str(number), row.operation.name, row.layer, self.verdict(number), method))
        return "\n".join([head + (f"{wrong} are WRONG" if wrong else "none is wrong"), *aligned(lines)])


def check_rows(trace: Recorder) -> Differences:
    """Check the backward formula of every recorded row; see `tinygan.gradcheck`."""
    rows = {row.number: row for row in trace.rows if row.recorded and not row.earlier}
    return Differences({number: _check(row) for number, row in rows.items()}, rows)


def _check(row: Row) -> GradcheckReport:
    backend = get_backend(row.device)
    given: list[Any] = [as_input(operand, backend) for operand in row.operands]
    tensors = [value for value, needed in zip(given, row.needs, strict=True) if needed]

    def again(*variables: Any) -> Tensor:
        variables_left = iter(variables)
        inputs = [next(variables_left) if needed else value for value, needed in zip(given, row.needs, strict=True)]
        return copied(row.operation)(*inputs)  # a copy: a random stream starts where it was

    return gradcheck(again, tensors, name=row.operation.name, raise_exception=False)
