"""``sweep``: the time of one iteration over the size of the batch and the width of the networks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.crew import Crew, crew_of
from benchmarks.products import products_of
from benchmarks.results import result
from benchmarks.statistics import summarise
from benchmarks.tables import format_table, milliseconds, threads_of
from benchmarks.task import Task, make_task

BATCHES = (1, 4, 16, 64, 256, 1024, 4096)  # at the widths of mnist.toml: 1,200 in both networks
WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096)  # at batch 100
_PIECES = 5


def sweep_task(axis: str, value: int, device: str, threads: int | None, experiment: str = "mnist") -> Task:
    """Return the game at one point of the sweep.

    Only speed is measured, so the learning rate is next to nothing and the weights suit the width: at the extremes the
    experiment's own would end in infinities. A width that `_PIECES` do not divide is rounded for the discriminator.
    """
    small = ["generator.optimizer.lr=1e-6", "discriminator.optimizer.lr=1e-6"]
    if axis == "batch":
        return make_task(experiment, "alternating", device, threads, [f"training.batch={value}", *small], False)
    pieces = max(1, round(value / _PIECES))
    widths = [
        *(f"generator.layers.{layer}.units={value}" for layer in (0, 2)),
        *(f"generator.layers.{layer}.weight_range={value**-0.5}" for layer in (2, 4)),
        *(f"discriminator.layers.{layer}.units={pieces}" for layer in (1, 3)),
    ]
    return make_task(experiment, "alternating", device, threads, ["training.batch=100", *widths, *small], False)


def measure_sweep(
    device: str = "cpu",
    threads: int | None = None,
    batches: Sequence[int] = BATCHES,
    widths: Sequence[int] = WIDTHS,
    seconds: float = 1.0,
) -> dict[str, Any]:
    """Time the iteration and its products at every point, in turn, for about `seconds` in all.

    Returns
    -------
    dict
        A result (see `results.result`) with ``points``: ``axis`` ("batch" or "width"), ``value``, ``flop``, and the
        names of the two measurements, ``step`` and ``products``.
    """
    where = [("batch", value) for value in batches] + [("width", value) for value in widths]
    measurements, points = {}, []
    for axis, value in tqdm(where, "sweep", leave=False, disable=None):
        task = sweep_task(axis, value, device, threads)
        with crew_of(task, ["tinygan", "products"]) as crew:
            times = _alternate(crew, seconds)
        flop = sum(product.flop for product in products_of(task.config, task.images.shape[1]))
        point = {"axis": axis, "value": value, "flop": flop}
        for name, key in (("tinygan", "step"), ("products", "products")):
            point[key] = f"{axis} {value} {key}"
            measurements[point[key]] = summarise(times[name])
        points.append(point)
    settings = {"device": device, "threads": task.threads, "batches": list(batches), "widths": list(widths)}
    return result("sweep", {**settings, "seconds": seconds}, measurements, points=points)


def _alternate(crew: Crew, seconds: float) -> dict[str, list[float]]:
    """Time both a few iterations at a time: a point of the sweep may take microseconds or seconds."""
    times: dict[str, list[float]] = {name: [] for name in crew.members}
    counts = {}
    for name, member in crew.members.items():
        member.ask("run", count=1)
        counts[name] = max(1, round(1e3 * seconds / 6 / float(np.median(member.ask("run", count=1)))))
    ends = time.perf_counter() + seconds
    while min(map(len, times.values())) < 3 or time.perf_counter() < ends:
        for name, member in crew.members.items():
            times[name] += member.ask("run", count=counts[name])
    return times


def sweep_table(measured: dict[str, Any]) -> str:
    """Write a result of `measure_sweep` as text."""
    rows = []
    for point in measured["points"]:
        step, products = (measured["measurements"][point[key]] for key in ("step", "products"))
        rows.append(
            (
                f"{point['axis']} {point['value']}",
                *milliseconds(step),
                f"{step['count']}",
                milliseconds(products)[0],
                f"{step['median_ms'] / products['median_ms']:.2f}",
                f"{point['flop'] / step['median_ms'] / 1e6:.1f}",
            )
        )
    settings = measured["settings"]
    head = ("one iteration", "median ms", "p10 to p90", "count", "products ms", "ratio", "GFLOP/s")
    return (
        f"batch at width 1200, width at batch 100; {settings['device']}, {threads_of(settings['threads'])}, "
        "random images\n"
    ) + format_table(head, rows)
