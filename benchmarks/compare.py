"""``compare``: two results of one kind, and whether they differ by more than their spread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.results import read_result
from benchmarks.tables import format_table, milliseconds, threads_of

# A comparison across these is what the command is for; `seconds` only says how many samples there are.
_MAY_DIFFER = {"device", "threads", "seconds"}


def compare(a: Path, b: Path) -> str:
    """Write what changed from one result to another.

    Parameters
    ----------
    a, b : path
        Two files of one kind, of the same settings but perhaps on other machines, devices or numbers of threads.

    Returns
    -------
    str
        What the results were made on, and one row for each thing measured in both: medians, the ratio b / a, and
        whether the ranges from p10 to p90 lie apart, so that the difference is more than noise.

    Raises
    ------
    BenchmarkError
        A file is no result, or the two did not measure the same thing.
    """
    before, after = read_result(a), read_result(b)
    if before["benchmark"] != after["benchmark"]:
        raise BenchmarkError(
            f"{a} is a result of {before['benchmark']!r}, but {b} of {after['benchmark']!r}; compare two of one kind"
        )
    for key in sorted((set(before["settings"]) | set(after["settings"])) - _MAY_DIFFER):
        x, y = before["settings"].get(key), after["settings"].get(key)
        if x != y:
            raise BenchmarkError(f"{a} was measured with {key} {x!r}, but {b} with {y!r}; measure one of them again")
    both = [name for name in before["measurements"] if name in after["measurements"]]
    if not both:
        raise BenchmarkError(f"{a} and {b} have no measurement in common")
    rows = []
    for name in both:
        x, y = before["measurements"][name], after["measurements"][name]
        ratio = y["median_ms"] / x["median_ms"]
        rows.append((name, *milliseconds(x), *milliseconds(y), f"{ratio:.3f}", verdict(x, y)))
    lines = [f"a: {a}: {describe(before)}", f"b: {b}: {describe(after)}"]
    left_out = [name for name in {**before["measurements"], **after["measurements"]} if name not in both]
    if left_out:
        lines.append(f"only in one of them: {', '.join(left_out)}")
    head = (before["benchmark"], "a ms", "p10 to p90", "b ms", "p10 to p90", "b / a", "b is")
    return "\n".join([*lines, format_table(head, rows)])


def verdict(a: dict[str, Any], b: dict[str, Any]) -> str:
    """Say how b compares with a: two spreads that overlap say nothing.

    Examples
    --------
    >>> verdict({"p10_ms": 1.0, "p90_ms": 2.0}, {"p10_ms": 1.5, "p90_ms": 9.0})
    'within the spread'
    >>> verdict({"p10_ms": 1.0, "p90_ms": 2.0}, {"p10_ms": 2.5, "p90_ms": 9.0})
    'slower'
    """
    if b["p10_ms"] > a["p90_ms"]:
        return "slower"
    return "faster" if b["p90_ms"] < a["p10_ms"] else "within the spread"


def describe(measured: dict[str, Any]) -> str:
    """Say in a line what a result was made on."""
    environment, settings = measured["environment"], measured["settings"]
    commit = environment.get("commit")
    words = [
        f"{settings.get('device', 'cpu')}",
        threads_of(settings.get("threads")),
        str(environment.get("processor") or "unknown processor"),
        f"NumPy {environment.get('numpy')}",
        f"commit {commit[:9]}{'-dirty' * commit.endswith('-dirty')}" if commit else "no commit",
    ]
    return ", ".join(words)
