"""A trace as a table: one row for each operation, then the passes and the updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tinygan.trace.formulas import local_rules
from tinygan.trace.record import Pass, Row, Update, Value
from tinygan.trace.recorder import Recorder

NOT_COMPUTED = "not computed"
_HEAD = ("#", "operation", "layer", "shape", "dtype", "value", "gradient", "saved", "called at")


def as_table(trace: Recorder, verdict: Callable[[int], str] | None = None) -> str:
    """Return the table of a trace.

    Each row has a second line: the inputs, and the backward formulas with their shapes. A row that belongs to a
    recorded backward pass names the row whose formula made it. `verdict` returns the result of a check of a row.
    """
    if not trace.rows:
        return "the trace is empty: no operation ran inside the block"
    rows = [_HEAD, *[_cells(row) for row in trace.rows]]
    if verdict is not None:
        rows = [(*cells, "checked" if number == 0 else verdict(number)) for number, cells in enumerate(rows)]
    table = aligned(rows)
    lines = [table[0]]
    for row, line in zip(trace.rows, table[1:], strict=True):
        lines += [line, *_below(row)]
    for number in range(len(trace.passes) + 1):
        if number:
            lines += ["", *_pass_lines(trace.passes[number - 1])]
        lines += [_update_line(update) for update in trace.updates if update.after_pass == number]
    if trace.error is not None:
        lines += ["", f"the block ended with {type(trace.error).__name__}: {trace.error}"]
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines, with the columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def size(count: int) -> str:
    """Return a number of bytes for a reader.

    Examples
    --------
    >>> size(0), size(800), size(3_763_200)
    ('0', '800 B', '3.8 MB')
    """
    if count < 1000:
        return f"{count} B" if count else "0"
    for unit in ("kB", "MB"):
        count /= 1000  # type: ignore[assignment]
        if count < 1000:
            return f"{count:.2g} {unit}" if count < 10 else f"{count:.0f} {unit}"
    return f"{count / 1000:.2g} GB"


def _cells(row: Row) -> tuple[str, ...]:
    result, gradient = row.result, row.gradient()
    value = "failed" if row.failed else "before the trace" if result is None else str(result)
    return (
        str(row.number),
        row.operation.name,
        row.layer,
        "" if row.failed else str(row.shape),
        row.dtype,
        value,
        gradient_of(row, gradient),
        saved(row),
        "" if row.earlier else str(row.place),
    )


def gradient_of(row: Row, gradient: Value | None) -> str:
    """Return a gradient for a reader, or the reason why there is no gradient."""
    if gradient is not None or row.failed:
        return str(gradient or "")
    return NOT_COMPUTED if row.recorded else "not recorded"


def saved(row: Row) -> str:
    """Return how many bytes the backward formula needs, and when they were freed."""
    if row.failed:
        return ""
    if not row.recorded or not row.saved_bytes:
        return "0"
    return f"{size(row.saved_bytes)}, {'freed ' + row.freed if row.freed else 'kept'}"


def _below(row: Row) -> list[str]:
    inputs = ", ".join([f"{operand} {operand.shape}" if row.failed else str(operand) for operand in row.operands])
    named = f"{row.name} = " if row.name else ""
    made = ""
    if row.inside is not None:
        made = f"   (in pass {row.inside.number}"
        made += f", by the formula of #{row.rule_of.number})" if row.rule_of else ")"
    lines = [f"      {named}{row.operation.name}({inputs}){made}"]
    if row.recorded and not row.failed:
        found = local_rules(row.operation, row.shape, [operand.shape for operand in row.operands], row.needs)
        lines += [f"      {formula}" for formula in found.backward]
    return lines


def _pass_lines(one: Pass) -> list[str]:
    output = str(one.output) if isinstance(one.output, Row) else "a tensor from before the trace"
    recorded = ", recorded (create_graph=True)" if one.create_graph else ""
    order = ", ".join(f"#{row.number}" for row in one.rows)
    lines = [f"pass {one.number}: {one.caller} of {output}{recorded}, called at {one.place}"]
    rest = "" if one.finished else "; then an error"
    lines.append(f"  formulas applied, in this order: {order or 'none'}{rest}")
    rows = [("  gradient of", "shape", "norm", "value")]
    for leaf in one.leaves:
        gradient = leaf.gradients[one.number]
        rows.append((f"  {leaf.name}", str(gradient.shape), f"{gradient.norm:.3g}", str(gradient)))
    return lines + (aligned(rows) if one.leaves else [])


def _update_line(update: Update) -> str:
    moved, still = ([leaf.name for leaf in leaves] for leaves in (update.moved, update.still))
    kept = f"; unchanged: {', '.join(still)}" if still else ""
    return f"after #{update.after_row}: changed: {', '.join(moved)}{kept}"
