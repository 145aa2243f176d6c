"""``table``: the tables of the README, made from the results that are committed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.conv import conv_table
from benchmarks.costs import costs_table
from benchmarks.errors import BenchmarkError
from benchmarks.kernels import kernels_table
from benchmarks.layers import layers_table
from benchmarks.parallel import parallel_table
from benchmarks.parzen import parzen_table
from benchmarks.profile import profile_table
from benchmarks.results import read_result
from benchmarks.step import step_table
from benchmarks.sweep import devices_table, sweep_table

HERE = Path(__file__).parent
RESULTS = HERE / "results"
README = HERE / "README.md"
TABLES: dict[str, Callable[[dict[str, Any]], str]] = {  # in the order of the README
    "step": step_table,
    "sweep": sweep_table,
    "layers": layers_table,
    "costs": costs_table,
    "parzen": parzen_table,
    "kernels": kernels_table,
    "profile": profile_table,
    "conv": conv_table,
    "parallel": parallel_table,
}
BEGIN, END = "<!-- begin: python -m benchmarks table --write -->", "<!-- end -->"


def make_tables(results: Path = RESULTS) -> str:
    """Write, as Markdown, a section for each machine with a folder in `results`, and one for each CPU beside each GPU.

    Raises
    ------
    BenchmarkError
        A file there is no result.
    """
    sections, sweeps = [], []
    for folder in sorted({path.parent for path in results.glob("*/*.json")}):
        measured = [read_result(path) for path in sorted(folder.glob("*.json"))]
        measured = [each for kind in TABLES for each in measured if each["benchmark"] == kind]
        sweeps += [(folder.name, each) for each in measured if each["benchmark"] == "sweep"]
        sections.append(f"### {folder.name}\n\n{_machine(measured)}")
        sections += [_as_markdown(TABLES[each["benchmark"]](each)) for each in measured]
    for here, there in product(sweeps, sweeps):
        (name, cpu), (other, gpu) = here, there
        if (cpu["settings"]["device"], gpu["settings"]["device"]) == ("cpu", "cuda"):
            sections.append(f"### CPU of {name}, GPU of {other}")
            sections.append(_as_markdown(devices_table(cpu, gpu)))
    return "\n\n".join(sections) or "No results are committed yet."


def updated(readme: str, tables: str) -> str:
    """Return the README's text with the tables between its two marks.

    Raises
    ------
    BenchmarkError
        The marks are missing.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise BenchmarkError(f"README.md: expected the marks {BEGIN!r} and {END!r} around the tables")
    return f"{head}{begin}\n\n{tables}\n\n{end}{tail}"


def _machine(measured: list[dict[str, Any]]) -> str:
    """Describe where the results of a folder were made, from the results themselves."""
    environments = [each["environment"] for each in measured]
    keys = {"gpu": "", "processor": "", "cpus": "cpus", "python": "Python", "numpy": "NumPy", "blas": "BLAS"}
    parts = []
    for key, word in (keys | {"commit": "commit"}).items():
        values = sorted({str(environment.get(key)) for environment in environments})
        if key == "gpu" and values == ["None"]:
            continue
        parts.append(f"{word} {' and '.join(values)}".strip())
    return ", ".join(parts) + "."


def _as_markdown(text: str) -> str:
    """Make one paragraph of the lines above a table, and put an empty line between, as Markdown wants it."""
    above, _, table = text.partition("\n|")
    return f"{'; '.join(above.splitlines())}:\n\n|{table}"
