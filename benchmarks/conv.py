"""``conv``: convolution layers, and whole iterations of convolutional games, beside PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.contestants import refuse_missing
from benchmarks.conv_games import GAMES, LAYERS, WAYS, ConvTask, Game, Layer
from benchmarks.crew import crew_of
from benchmarks.errors import BenchmarkError, PeerMissingError
from benchmarks.results import result
from benchmarks.statistics import ratios, summarise
from benchmarks.tables import format_table, milliseconds, threads_of


def measure_conv(
    games: Sequence[str] = tuple(GAMES),
    layers: Sequence[str] = tuple(LAYERS),
    threads: Sequence[int] = (1, 2),
    batch: int | None = None,
    seconds: float = 4.0,
    after_each: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Time tinygan and PyTorch in turn, after a check that both compute the same.

    Parameters
    ----------
    games, layers : sequence of str
        Names in `GAMES` and in `LAYERS`.
    threads : sequence of int
        Everything is measured with each of these numbers.
    batch : int, optional
        By default that of each game and layer.
    seconds : float
        About how long each contestant runs in each game, and a quarter of it for each product of a layer.
    after_each : callable, optional
        Gets the result so far, after each row.

    Returns
    -------
    dict
        A result (see `results.result`) with ``rows``. A row has ``what`` ("cifar10-conv", or "dcgan-32 D1 forward"),
        ``threads``, ``measurements`` (by contestant, the name of its measurement), ``ratio`` to PyTorch with
        ``ratio_p10`` and ``ratio_p90``, ``cpu_ratio`` (the same of the time that all threads worked), and
        ``memory_bytes`` (see `measure_step`). A measurement also has ``cpu_ms``. Without PyTorch there are no ratios,
        and ``missing`` says why; ``refused`` says why a row has no times.
    """
    names, missing = ["tinygan", "torch"], {}
    try:
        refuse_missing(names)
    except PeerMissingError as error:
        names, missing = ["tinygan"], {"torch": str(error)}
    measurements: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    tables: list[tuple[Sequence[str], Mapping[str, Game | Layer], str]]
    tables = [(games, GAMES, ""), (layers, LAYERS, WAYS[0])]
    tasks = [
        ConvTask(name, count, batch or there[name].batch, way)
        for count in dict.fromkeys(threads)
        for chosen, there, way in tables
        for name in chosen
    ]
    settings = {"device": "cpu", "threads": list(threads), "batch": batch, "seconds": seconds}
    versions = {name: metadata.version(name) for name in names[1:]}

    def so_far() -> dict[str, Any]:
        return result("conv", settings, measurements, rows=rows, peer_versions=versions, missing=missing)

    for task in tqdm(tasks, "conv", leave=False, disable=None):
        for row in _measured(task, names, seconds / 4 if task.way else seconds, measurements):
            rows.append(row)
            if after_each is not None:
                after_each(so_far())
    return so_far()


def _measured(
    first: ConvTask, names: Sequence[str], seconds: float, measurements: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield a row for a game, or for each product of a layer; add to the measurements."""
    label = first.name
    try:
        with crew_of(first, names) as crew:
            for way in WAYS if first.way else ("",):
                label = f"{first.name} {way}".strip()
                task = ConvTask(first.name, first.threads, first.batch, way)
                if way and way != first.way:
                    crew.build(task)
                crew.check_agreement()
                turns, cpu = crew.take_turns(seconds), crew.cpu_turns
                keys = {name: f"{label}, {threads_of(task.threads)}, {name}" for name in names}
                row = {"what": label, "threads": task.threads, "batch": task.batch, "measurements": keys}
                if way:
                    row["flop"] = LAYERS[task.name].flop * task.batch // LAYERS[task.name].batch
                for name, key in keys.items():
                    measurements[key] = summarise(np.concatenate(turns[name]).tolist())
                    measurements[key]["cpu_ms"] = float(np.median(cpu[name]))
                if "torch" in names:
                    row |= ratios(turns["tinygan"], turns["torch"])
                    row["cpu_ratio"] = ratios(cpu["tinygan"], cpu["torch"])["ratio"]
                row["memory_bytes"] = {name: member.ask("memory") for name, member in crew.members.items()}
                yield row
    except BenchmarkError as error:
        yield {"what": label, "threads": first.threads, "batch": first.batch, "refused": str(error)}


def conv_table(measured: dict[str, Any]) -> str:
    """Write a result of `measure_conv` as text."""
    head = ["one iteration, or one product", "threads", "tinygan ms", "p10 to p90", "torch ms", "p10 to p90", "ratio",
            "CPU time", "MiB built to peak", "torch"]  # fmt: skip
    table, notes = [], [*measured["missing"].values()]
    for row in measured["rows"]:
        if "refused" in row:
            notes.append(f"{row['what']}, {threads_of(row['threads'])}: {row['refused']}")
            continue
        cells = [row["what"], str(row["threads"])]
        for name in ("tinygan", "torch"):
            key = row["measurements"].get(name)
            cells += milliseconds(measured["measurements"][key]) if key else ("", "")
        cells += [f"{row[key]:.2f}" if key in row else "" for key in ("ratio", "cpu_ratio")]
        for name in ("tinygan", "torch"):
            memory = row["memory_bytes"].get(name, {})
            cells.append(" to ".join(f"{memory[key] / 2**20:.0f}" for key in ("built", "peak") if memory.get(key)))
        table.append(cells)
    text = "convolutions, cpu, beside PyTorch eager; both compute the same; a ratio below 1: tinygan is faster\n"
    return text + "".join(f"{note}\n" for note in notes) + (format_table(head, table) if table else "")
