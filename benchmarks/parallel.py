"""``parallel``: a step of several processes beside one of several threads, and the model of `scaling` fitted to it."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.crew import Crew, Member, Turns, find_launcher, undisturbed
from benchmarks.errors import BenchmarkError, PeerMissingError
from benchmarks.results import result
from benchmarks.scaling import NETWORKS, WORTH, Network, Step, fit, where_it_pays
from benchmarks.statistics import ratios, summarise
from benchmarks.tables import format_table, milliseconds
from benchmarks.task import Task, make_task
from tinygan.parallel.world import launched

EXPERIMENTS = ("mnist", "digits", "dcgan-mnist")
BATCHES = {"dcgan-mnist": 16}  # a step on its whole minibatch takes too long
SIZES = tuple(4**power for power in range(5, 14))  # bytes of a sum: 1 KiB to 64 MiB
SHARES = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2)  # of the minibatch, at which a step is timed
ALONE, APART = "1 process, 1 thread", "1 process apart"
_SUMS = 11  # how often each sum is timed


def measure_parallel(
    experiment: str = "mnist",
    ranks: Sequence[int] = (2, 4),
    batch: int | None = None,
    seconds: float = 2.0,
    gpu: dict[str, Any] | None = None,
    sizes: Sequence[int] = SIZES,
    shares: Sequence[float] = SHARES,
) -> dict[str, Any]:
    """Time a step of one process and of several, in turn; fit the model of `scaling`, and ask it for more ranks.

    Parameters
    ----------
    experiment : str
        A shipped name, or the path of a TOML file.
    ranks : sequence of int
        How many processes. More than there are processors share them.
    batch : int, optional
        Rows of a minibatch, if not those of the experiment.
    seconds : float
        About how long each contestant runs; in the fit, a third of it for each number of rows.
    gpu : dict, optional
        A result of `step.measure_step` on a GPU. If it is of this experiment, ranks that NCCL connects compute as fast:
        kernel by kernel, because a CUDA graph cannot wait for other ranks. One process replays a graph.
    sizes : sequence of int
        Bytes of the sums that are timed alone.
    shares : sequence of float
        Parts of the minibatch at which the step is timed.

    Returns
    -------
    dict
        A result (see `results.result`).
        ``contestants``: by name ``processes``, ``threads``, ``rows`` of all in a step, and the rows of a second by
        those of one process with one thread (``ratio`` with its spread); ``tries``: how often they were measured.
        ``ranks``: by number, medians of a step: ``bytes`` in ``calls`` sums, ``ring_bytes`` that a rank sends in a
        ring, ``draws_ms``, ``sums_ms`` with the wait for the others, ``measured_ms`` and ``predicted_ms``.
        ``fits``: coefficients and residual of the steps of one process (``alone``) and of several at once (``busy``),
        of the ``draws`` and the ``sums``; and a ``gpu``. ``networks``: fitted to this machine, and assumed; for each
        ``steps``, a `scaling.Step`, and ``strong`` and ``weak``, what `scaling.where_it_pays` returns.

    Raises
    ------
    PeerMissingError
        There is no mpi4py or no ``mpiexec``.
    BenchmarkError
        There are more ranks than rows, or an MPI launcher has started this program.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ranks, batch = sorted({*ranks}), batch or BATCHES.get(experiment)
    task = _task(experiment, batch)
    rows = task.config.training.batch
    _refuse(ranks, rows)
    together = max([count for count in ranks if count <= cpus], default=1)  # as many as the machine really runs
    contestants = {ALONE: (1, 1, rows)}  # processes, threads, rows of all
    for count in ranks:
        if count <= cpus:
            contestants[f"1 process, {count} threads"] = 1, count, rows
            contestants[f"{count} runs"] = count, 1, count * rows
        contestants[f"{count} processes"] = count, 1, rows
    steady = [name for name, (processes, *_) in contestants.items() if processes <= cpus]
    with _crew(contestants, task) as crew:
        turns, tries = undisturbed(partial(crew.take_turns, seconds, least=3), partial(_spread, steady))
        groups = {count: crew.members[f"{count} processes"] for count in ranks}
        spent = {1: crew.members[ALONE].ask("spent"), **{count: group.ask("spent") for count, group in groups.items()}}
        sums = {
            (count, size): group.ask("sum", size=size, count=_SUMS)[1:]
            for count, group in groups.items() for size in sizes
        }  # fmt: skip
    steps: dict[int, Turns] = {}
    draws = {}
    points = sorted({max(2, round(share * rows)) for share in shares})  # batch normalization has no step on one row
    busy = f"{together} processes apart" if together > 1 else APART
    with _crew({APART: (1, 1), busy: (together, 1)}, task) as crew:
        for value in tqdm(points, "rows", leave=False, disable=None):
            crew.build(_task(experiment, value))
            take = partial(crew.take_turns, seconds / 3, slice_seconds=seconds / 9, least=3)
            steps[value], _ = undisturbed(take, partial(_spread, [APART, busy]))
            draws[value] = crew.members[APART].ask("spent")["draws_ms"]

    measurements = {name: _summary(turn) for name, turn in turns.items()}
    measurements |= {f"{p} processes, a sum of {size} bytes": summarise(times) for (p, size), times in sums.items()}
    measurements |= {f"{name}, {m} rows": _summary(turn) for m, each in steps.items() for name, turn in each.items()}
    fits = {
        "alone": _fit_rows({value: np.concatenate(each[APART]) for value, each in steps.items()}),
        "busy": _fit_rows({value: np.concatenate(each[busy]) for value, each in steps.items()}),
        "draws": _fit_rows(draws),
        "sums": _fit_sums({key: times for key, times in sums.items() if key[0] <= together} or sums),
    }
    if gpu is not None and (gpu["experiment"], gpu["batch"]) == (task.config.name, rows):
        times = {name: summary["median_ms"] for name, summary in gpu["measurements"].items()}
        name = (gpu["environment"].get("gpu") or "a GPU").split(",")[0]
        alone_ms = times.get("tinygan-captured", times["tinygan"])
        fits["gpu"] = {"name": name, "fixed_ms": times["tinygan"], "row_ms": 0.0, "alone_ms": alone_ms}
    settings = {**task.settings(), "threads": 1, "ranks": ranks, "cpus": cpus, "seconds": seconds}
    medians = {n: measurements[ALONE if n == 1 else f"{n} processes"]["median_ms"] for n in spent}
    return result(
        "parallel",
        settings,
        measurements,
        contestants={
            name: {"processes": p, "threads": t, "rows": m, **_rate(turns[ALONE], turns[name], m / rows)}
            for name, (p, t, m) in contestants.items()
        },
        parameters=sum(array.size for array in task.weights.values()),
        tries=tries,
        fits=fits,
        **_model(fits, spent, rows, medians, cpus),
    )


def _lacking() -> list[str]:
    lacking = [] if importlib.util.find_spec("mpi4py") else ["mpi4py"]
    return lacking if find_launcher() else [*lacking, "mpiexec"]


def _refuse(ranks: Sequence[int], rows: int) -> None:
    """Refuse what cannot be measured."""
    if lacking := _lacking():
        raise PeerMissingError(f"parallel: {' and '.join(lacking)} not found; to install both: pip install -e '.[mpi]'")
    if launched() > 1:
        raise BenchmarkError("parallel: it starts its own processes; run it without mpiexec")
    if max(ranks) > rows or min(ranks) < 2:
        raise BenchmarkError(f"parallel: --ranks from 2 to {rows}, the rows of a minibatch; got {ranks}")


def _task(experiment: str, batch: int | None) -> Task:
    """Return the game with a learning rate of next to nothing: only speed is measured, and few rows would diverge."""
    changes = [f"{player}.optimizer.lr=1e-6" for player in ("generator", "discriminator")]
    return make_task(experiment, threads=1, overrides=[*changes, *([f"training.batch={batch}"] if batch else [])])


@contextmanager
def _crew(contestants: Mapping[str, Sequence[int]], task: Task) -> Iterator[Crew]:
    """Start contestants by name: how many processes each has, and threads."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        members = {}
        for name, (processes, threads, *_) in contestants.items():
            members[name] = Member(name, threads, "benchmarks.ranks", processes)
            stack.callback(members[name].close)
        yield Crew(members, folder, task)


def _spread(names: Iterable[str], turns: Turns) -> float:
    """Return the largest spread of the ratios to the first of the contestants."""
    first, *others = (turns[name] for name in names)
    found = [ratios(other, first) for other in others]
    return max((each["ratio_p90"] / each["ratio_p10"] for each in found), default=1.0)


def _summary(turns: list[list[float]]) -> dict[str, Any]:
    return summarise(np.concatenate(turns).tolist())


def _rate(alone: list[list[float]], turns: list[list[float]], rows: float) -> dict[str, float]:
    """Return how many times the rows of one process and thread are done in a second, with the spread."""
    return {key: value * rows for key, value in ratios(alone, turns).items()}


def _fit_rows(times: Mapping[int, Any]) -> dict[str, Any]:
    """Fit the median time as a cost for each step and one for each row."""
    (fixed, row), residual = fit([np.ones(len(times)), list(times)], [np.median(each) for each in times.values()])
    return {"fixed_ms": fixed, "row_ms": row, "residual": residual}


def _fit_sums(times: Mapping[tuple[int, int], Any]) -> dict[str, Any]:
    """Fit the median time of sums, by ranks and bytes, as latency and bandwidth."""
    unit = [Network("", 1, 1, "").sum_ms(*key) for key in times]
    (latency, inverse), residual = fit(list(zip(*unit, strict=True)), [np.median(each) for each in times.values()])
    return {"latency_us": latency, "gb_per_s": 1 / max(inverse, 1e-9), "residual": residual}


def _model(
    fits: Mapping[str, Any], spent: Mapping[int, Any], rows: int, measured: Mapping[int, float], cpus: int
) -> dict[str, Any]:
    """Return what the model says of the ranks that were measured, and of more on other networks."""
    sent, alone_ms = next(each for count, each in spent.items() if count > 1), measured[1]
    machine = Network("this machine", fits["sums"]["latency_us"], fits["sums"]["gb_per_s"], "fitted")

    def step(name: str) -> Step:
        found, draw = fits[name], fits["draws"]["row_ms"]  # the ranks of GPUs draw on the processor, too
        own = max(0.0, found["row_ms"] - draw)
        return Step(found["fixed_ms"], own, draw, sent["bytes"], sent["calls"], found.get("alone_ms", alone_ms))

    busy, apart = step("busy"), step("alone")
    gpu = step("gpu") if "gpu" in fits else apart
    networks = {machine: busy, **{network: gpu if "NCCL" in network.name else apart for network in NETWORKS}}
    by_rank = {}
    for count, each in spent.items():
        parts = (apart if count == 1 else busy).terms(count, rows, machine)
        sums = float(parts.pop("latency") + parts.pop("bandwidth"))
        by_rank[str(count)] = {
            **each,
            "ring_bytes": 2 * (count - 1) / count * each["bytes"],
            "measured_ms": measured[count],
            "predicted_ms": sum(parts.values()) * max(1.0, count / cpus) + sums,
        }
    return {
        "ranks": by_rank,
        "networks": [asdict(network) for network in networks],
        "strong": [where_it_pays(step, rows, network, weak=False) for network, step in networks.items()],
        "weak": [where_it_pays(step, rows, network, weak=True) for network, step in networks.items()],
        "steps": [asdict(step) for step in networks.values()],
    }


# ---------------------------------------------------------------------- the table


def parallel_table(measured: dict[str, Any]) -> str:
    """Write a result of `measure_parallel` as text: what was measured, the fits, and what the model says."""
    settings, fits = measured["settings"], measured["fits"]
    text = (
        f"{settings['experiment']}, batch {settings['batch']}, k = {settings['k']}, {settings['cpus']} processors\n"
        f"data: {settings['data']}\n{measured['parameters']:,} parameters\n"
    )
    rows = []
    for name, each in measured["contestants"].items():
        summary = measured["measurements"][name]
        spread = f"{each['ratio']:.2f} ({each['ratio_p10']:.2f} to {each['ratio_p90']:.2f})"
        rate = 1e3 * each["rows"] / summary["median_ms"]
        rows.append([name, *milliseconds(summary), f"{summary['count']}", f"{rate:.0f}", spread])
    head = ["one step", "median ms", "p10 to p90", "count", "rows/s", f"times those of {ALONE}"]
    text += format_table(head, rows)
    rows = []
    for count, each in measured["ranks"].items():
        name = f"{count}{', sharing processors' if int(count) > settings['cpus'] else ''}"
        sent = [f"{each[key] / 1e6:.2f}" for key in ("bytes", "ring_bytes")]
        spent = [f"{each[key]:.4g}" for key in ("sums_ms", "draws_ms", "predicted_ms", "measured_ms")]
        rows.append([name, f"{each['calls']:.0f}", *sent, *spent])
    head = ["processes", "sums", "MB given", "MB sent in a ring", "ms in sums", "in draws", "model", "measured"]
    text += "\n\nIn one step; the time in sums includes the wait for each other:\n\n" + format_table(head, rows)
    words = {"alone": "a rank alone", "busy": "ranks at once", "draws": "draws of these"}
    rows = [
        [words[name], *(f"{fits[name][key]:.4g}" for key in ("fixed_ms", "row_ms")), f"{fits[name]['residual']:.1%}"]
        for name in words
    ]
    text += "\n\nFitted to steps of several sizes:\n\n"
    text += format_table(["ms", "for each step", "for each row", "rms of the relative errors"], rows)
    rows = []
    for network, strong, weak in zip(measured["networks"], measured["strong"], measured["weak"], strict=True):
        latency = network["latency_us"]
        speed = f"{latency:,.{0 if latency >= 10 else 1}f} us", f"{network['gb_per_s']:.3g}"
        rows.append([network["name"], *speed, *_pays(strong), *_pays(weak)])
    text += (
        f"\n\nRanks pay while each does at least {WORTH:.0%} of what one process does; `strong`: they share "
        f"{settings['batch']} rows; `weak`: each has as many. This machine is fitted to its sums (rms of the relative "
        f"errors {fits['sums']['residual']:.1%}), the others are assumed; ranks that NCCL connects compute as fast as "
        f"{_gpu_of(fits)}:\n\n"
    )
    head = ["network", "latency", "GB/s", "strong: pay", "stopped by", "most", "weak: pay", "stopped by", "most"]
    return text + format_table(head, rows)


def _gpu_of(fits: Mapping[str, Any]) -> str:
    if "gpu" not in fits:
        return "this processor"
    name, ranks, alone = (fits["gpu"][key] for key in ("name", "fixed_ms", "alone_ms"))
    return f"one {name} without a CUDA graph ({ranks:.3g} ms a step; one process replays a graph in {alone:.3g})"


def _pays(found: Mapping[str, Any]) -> tuple[str, str, str]:
    to = "none" if found["pays_to"] == 1 else f"to {found['pays_to']}"
    times = f"{found['speedup']:.1f}" if found["speedup"] < 100 else f"{found['speedup']:.0f}"
    best = "never faster" if found["faster_from"] is None else f"x {times} at {found['fastest']}"
    return to, found["why"] or "", best
