"""``sweep``: the time of one iteration over the size of the batch and the width of the networks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.contestants import refuse_missing
from benchmarks.crew import Crew, Turns, crew_of, undisturbed
from benchmarks.errors import BenchmarkError
from benchmarks.plots import crossover
from benchmarks.products import products_of
from benchmarks.results import result
from benchmarks.statistics import doubts, ratios, summarise
from benchmarks.tables import format_table, milliseconds, threads_of
from benchmarks.task import Task, make_task

BATCHES = (1, 4, 16, 64, 256, 1024, 4096)  # at the widths of mnist.toml: 1,200 in both networks
WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096)  # at batch 100
_PIECES = 5
PEERS_OF_SWEEP = ("tinygan-numba", "tinygan-captured", "torch", "torch-graph", "jax")


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
    peers: Sequence[str] = (),
) -> dict[str, Any]:
    """Time the iteration, its products and the peers at every point, in turn, for about `seconds` each.

    A point that was disturbed is measured again, up to three times; the one with the least spread counts.

    Returns
    -------
    dict
        A result (see `results.result`) with ``points``: ``axis`` ("batch" or "width"), ``value``, ``flop``; the names
        of the measurements, ``step``, ``products`` and ``peers`` (by peer); ``ratio`` to the products with its spread
        (see `statistics.ratios`), ``ratios`` to each peer, and ``tries``.
    """
    refuse_missing(peers)
    where = [("batch", value) for value in batches] + [("width", value) for value in widths]
    if not where:
        raise BenchmarkError("sweep: expected at least one size, in --batches or --widths")
    measurements: dict[str, Any] = {}
    points: list[dict[str, Any]] = []
    names = ["tinygan", "products", *peers]
    with ExitStack() as stack:
        crew: Crew | None = None
        for axis, value in tqdm(where, "sweep", leave=False, disable=None):
            task = sweep_task(axis, value, device, threads)
            if crew is None:
                crew = stack.enter_context(crew_of(task, names, optional=peers))
            else:
                crew.build(task)
            take = partial(crew.take_turns, seconds, slice_seconds=seconds / 6, least=3)
            turns, tries = undisturbed(take, spread)
            flop = sum(product.flop for product in products_of(task.config, task.images.shape[1]))
            keys = {name: f"{axis} {value} {'step' if name == 'tinygan' else name}" for name in turns}
            measurements |= {keys[name]: summarise(np.concatenate(turn).tolist()) for name, turn in turns.items()}
            there = [name for name in peers if name in turns]
            points.append({
                "axis": axis, "value": value, "flop": flop, "step": keys["tinygan"], "products": keys["products"],
                "peers": {name: keys[name] for name in there}, **ratios(turns["tinygan"], turns["products"]),
                "ratios": {name: ratios(turns["tinygan"], turns[name]) for name in there}, "tries": tries,
            })  # fmt: skip
        refused = crew.refused if crew else {}
    settings = {"device": device, "threads": task.threads, "batches": list(batches), "widths": list(widths)}
    return result("sweep", {**settings, "seconds": seconds}, measurements, points=points, refused=refused)


def spread(turns: Turns) -> float:
    """Return the spread of the ratio to the products, which is above 1 unless it is disturbed."""
    compared = ratios(turns["tinygan"], turns["products"])
    return compared["ratio_p90"] / compared["ratio_p10"] + (compared["ratio"] < 1)


def sweep_table(measured: dict[str, Any]) -> str:
    """Write a result of `measure_sweep` as text."""
    rows, notes = [], list(measured.get("refused", {}).values())
    peers = list(dict.fromkeys(name for point in measured["points"] for name in point.get("peers", {})))
    for point in measured["points"]:
        step, products = (measured["measurements"][point[key]] for key in ("step", "products"))
        compared = point if "ratio" in point else {"ratio": step["median_ms"] / products["median_ms"]}
        times = {name: measured["measurements"][key] for name, key in point.get("peers", {}).items()}
        fastest = min({"tinygan": step, **times}.items(), key=lambda item: item[1]["median_ms"])[0]
        cells = [milliseconds(times[name])[0] if name in times else "" for name in peers]
        rows.append(
            (
                f"{point['axis']} {point['value']}",
                *milliseconds(step),
                f"{step['count']}",
                milliseconds(products)[0],
                f"{compared['ratio']:.2f}",
                f"{point['flop'] / step['median_ms'] / 1e6:.1f}",
                *cells,
                *([fastest] if peers else []),
            )
        )
        if "ratio" in point and (doubt := doubts(point)):
            notes.append(f"{point['axis']} {point['value']}: {doubt}; it was measured {point['tries']} times")
    settings = measured["settings"]
    head = ["one iteration", "median ms", "p10 to p90", "count", "products ms", "ratio", "GFLOP/s"]
    head += [f"{name} ms" for name in peers] + ["fastest"] * bool(peers)
    return (
        f"batch at width 1200, width at batch 100; {settings['device']}, {threads_of(settings['threads'])}, "
        "random images\n" + "".join(f"{note}\n" for note in notes)
    ) + format_table(head, rows)


def devices_table(cpu: dict[str, Any], gpu: dict[str, Any]) -> str:
    """Write two sweeps beside each other, one of a CPU and one of a GPU, and from which size on the GPU is faster."""
    times = [
        {(point["axis"], point["value"]): each["measurements"][point["step"]] for point in each["points"]}
        for each in (cpu, gpu)
    ]
    rows, lines = [], []
    for axis in ("batch", "width"):
        sizes = sorted(value for along, value in times[0].keys() & times[1].keys() if along == axis)
        if not sizes:
            continue
        here, there = ([where[axis, value] for value in sizes] for where in times)
        medians = [[summary["median_ms"] for summary in each] for each in (here, there)]
        where = crossover(sizes, medians[0], sizes, medians[1])
        found = "the CPU is faster at the largest" if where is None else f"from {where:.0f} on the GPU is faster"
        lines.append(f"{axis} {sizes[0]} to {sizes[-1]}: {found}\n")
        rows += [
            (f"{axis} {value}", *milliseconds(a), *milliseconds(b), f"{a['median_ms'] / b['median_ms']:.2f}")
            for value, a, b in zip(sizes, here, there, strict=True)
        ]
    head = ("one iteration", "CPU ms", "p10 to p90", "GPU ms", "p10 to p90", "CPU / GPU")
    threads = threads_of(cpu["settings"]["threads"])
    text = f"batch at width 1200, width at batch 100; the CPU has {threads}\n{''.join(lines)}"
    return text + format_table(head, rows)
