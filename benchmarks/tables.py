"""Tables as text, which are also Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table; the first column reads from the left, the others are numbers and end at the right.

    Examples
    --------
    >>> print(format_table(("name", "ms"), [("one", "1.5"), ("three", "10.25")]))
    | name  |    ms |
    |-------|------:|
    | one   |   1.5 |
    | three | 10.25 |
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join([cells[0].ljust(len(first)), *others])} |"

    rule = [f"{'-' * (widths[0] + 2)}", *(f"{'-' * (width + 1)}:" for width in widths[1:])]
    return "\n".join([line(head), f"|{'|'.join(rule)}|", *map(line, rows)])


def milliseconds(summary: dict[str, Any]) -> tuple[str, str]:
    """Return the median and the spread of a summary, with digits that mean something.

    Examples
    --------
    >>> milliseconds({"median_ms": 20.123, "p10_ms": 19.9, "p90_ms": 25.0})
    ('20.12', '19.90 to 25.00')
    """
    digits = max(0, 2 - len(str(int(summary["median_ms"]))) + 2) if summary["median_ms"] >= 1 else 4
    median, low, high = (f"{summary[key]:.{digits}f}" for key in ("median_ms", "p10_ms", "p90_ms"))
    return median, f"{low} to {high}"


def threads_of(count: Any) -> str:
    """Say how many threads.

    Examples
    --------
    >>> threads_of(1), threads_of(2), threads_of([1, 2])
    ('1 thread', '2 threads', '1 and 2 threads')
    """
    counts = count if isinstance(count, list) else [count]
    return f"{' and '.join(map(str, counts))} thread{'s' * (counts != [1])}"
