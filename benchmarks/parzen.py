"""``parzen``: the evaluation of Table 1, beside the one matrix product in it."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import numpy as np

from benchmarks.clocks import host_clock
from benchmarks.results import result
from benchmarks.statistics import summarise
from benchmarks.tables import format_table, milliseconds, threads_of
from tinygan import evaluation
from tinygan.backend import blas_threads, keep_freed_memory

PIXELS = 784
TEST_ROWS = 10_000  # MNIST's test images, all of which the paper's protocol evaluates


def measure_parzen(threads: int = 1, samples: int = 10_000, rows: int = 500, seconds: float = 3.0) -> dict[str, Any]:
    """Time `evaluation.parzen_log_likelihood` and its product in turn, on random images.

    All distances between data X (n, d) and samples S (m, d) come down to the product X S' in float64, of 2 n m d
    operations.

    Parameters
    ----------
    threads : int
    samples : int
        What the generator made; the protocol takes 10,000.
    rows : int
        Of data. The time is proportional to them.
    seconds : float
        About how long both run together, at least three times each.

    Returns
    -------
    dict
        A result (see `results.result`) with ``flop``; ``ratio``, the evaluation by its product; ``test_seconds``, the
        evaluation of `TEST_ROWS` at this speed; ``working_bytes``, the most memory that one evaluation takes.
    """
    rng = np.random.default_rng(0)
    drawn, data = rng.random((samples, PIXELS)), rng.random((rows, PIXELS))
    out = np.empty((rows, samples))
    subjects = {
        "evaluation": lambda: evaluation.parzen_log_likelihood(drawn, data, 0.2),
        "its product": lambda: np.dot(data, drawn.T, out=out),
    }
    times: dict[str, list[float]] = {name: [] for name in subjects}
    keep_freed_memory()  # as every evaluation does
    with blas_threads(threads):
        for call in subjects.values():
            call()
        ends = time.perf_counter() + seconds
        while min(map(len, times.values())) < 3 or time.perf_counter() < ends:
            for name, call in subjects.items():
                times[name] += host_clock(call, 1)
        tracemalloc.start()
        subjects["evaluation"]()
        working = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    measurements = {name: summarise(each) for name, each in times.items()}
    evaluated = measurements["evaluation"]["median_ms"]
    settings = {"device": "cpu", "threads": threads, "samples": samples, "rows": rows, "seconds": seconds}
    return result(
        "parzen",
        settings,
        measurements,
        flop=2 * samples * rows * PIXELS,
        ratio=evaluated / measurements["its product"]["median_ms"],
        test_seconds=evaluated / 1e3 * TEST_ROWS / rows,
        working_bytes=working,
    )


def parzen_table(measured: dict[str, Any]) -> str:
    """Write a result of `measure_parzen` as text."""
    settings = measured["settings"]
    rows = [
        (name, *milliseconds(summary), f"{summary['count']}", f"{measured['flop'] / summary['median_ms'] / 1e6:.1f}")
        for name, summary in measured["measurements"].items()
    ]
    return (
        f"Parzen window of {settings['samples']:,} samples on {settings['rows']:,} rows of {PIXELS} pixels in float64, "
        f"cpu, {threads_of(settings['threads'])}\n"
        f"{measured['ratio']:.2f} times its product; {TEST_ROWS:,} rows would take {measured['test_seconds']:.1f} s; "
        f"working memory {measured['working_bytes'] / 2**20:.1f} MiB\n"
    ) + format_table(("", "median ms", "p10 to p90", "count", "GFLOP/s"), rows)
