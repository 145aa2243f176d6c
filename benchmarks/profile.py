"""``profile``: where the time of an iteration goes, function by function."""

from __future__ import annotations

import cProfile
import pstats
import time
from pathlib import Path
from typing import Any

import numpy as np

import tinygan
from benchmarks.clocks import host_clock
from benchmarks.errors import BenchmarkError
from benchmarks.results import result
from benchmarks.statistics import summarise
from benchmarks.tables import format_table
from benchmarks.task import Task
from benchmarks.tinygan_step import TinyganStep
from tinygan.backend import blas_threads

_SOURCE = Path(tinygan.__file__).parent


def measure_profile(task: Task, seconds: float = 3.0) -> dict[str, Any]:
    """Profile tinygan's iteration on the CPU.

    A function's own time has in it the array expressions that stand in it, such as the products of ``linear``, and what
    NumPy does for them in C.

    Returns
    -------
    dict
        A result (see `results.result`) with ``functions``: ``name``, ``calls`` and ``own_ms``, each of one iteration,
        the slowest first; and ``profiled_ms``, an iteration while the profiler looks on.

    Raises
    ------
    BenchmarkError
        The task is for a GPU.
    """
    if task.device != "cpu":
        raise BenchmarkError("profile: it sees only the host, and a GPU works behind its back; use --device cpu")
    with blas_threads(task.threads):
        contestant = TinyganStep(task)
        host_clock(contestant.iterate, 3)
        plain = host_clock(contestant.iterate, 5)
        count = max(1, round(1e3 * seconds / float(np.median(plain))))
        profiler = cProfile.Profile()
        began = time.perf_counter()
        profiler.enable()
        for _ in range(count):
            contestant.iterate()
        profiler.disable()
        profiled = 1e3 * (time.perf_counter() - began) / count
    stats: Any = pstats.Stats(profiler).stats  # type: ignore[attr-defined]  # absent from the stubs
    functions = [
        {"name": _name(*place), "calls": calls / count, "own_ms": 1e3 * own / count}
        for place, (_, calls, own, _, _) in stats.items()
    ]
    functions.sort(key=lambda function: -float(function["own_ms"]))
    settings = {**task.settings(), "seconds": seconds}
    return result("profile", settings, {"iteration": summarise(plain)}, profiled_ms=profiled, functions=functions)


def _name(file: str, line: int, function: str) -> str:
    """Name a function by its module within tinygan, or as the profiler does."""
    path = Path(file)
    if path.is_relative_to(_SOURCE):
        return f"{path.relative_to(_SOURCE).with_suffix('').as_posix().replace('/', '.')}: {function} (line {line})"
    return function if file == "~" else f"{path.stem}: {function}"


def profile_table(measured: dict[str, Any], most: int = 20) -> str:
    """Write the slowest functions of a result of `measure_profile` as text."""
    total = measured["profiled_ms"]
    rows = [
        (f["name"], f"{f['calls']:.0f}", f"{f['own_ms']:.3f}", f"{100 * f['own_ms'] / total:.1f} %")
        for f in measured["functions"][:most]
    ]
    plain = measured["measurements"]["iteration"]["median_ms"]
    return f"one iteration: {plain:.2f} ms, {total:.2f} ms under the profiler\n" + format_table(
        ("function", "calls", "own ms", "share"), rows
    )
