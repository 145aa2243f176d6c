"""``costs``: the time of training under an observer, of a trace, and of a checkpoint, over that of training alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clocks import Clock, clock_of, host_clock
from benchmarks.results import result
from benchmarks.statistics import ratios, summarise
from benchmarks.tables import format_table, milliseconds, threads_of
from benchmarks.task import Task, as_dataset
from benchmarks.tinygan_step import TinyganStep
from tinygan import nn
from tinygan.backend import blas_threads
from tinygan.checking.check import gradcheck
from tinygan.engine import Tensor
from tinygan.engine.modes import Observer
from tinygan.experiments.running import save, start
from tinygan.experiments.training import Training
from tinygan.optim import ExponentialMovingAverage
from tinygan.trace import detect_anomaly, trace

EPOCH_ROWS = 50_000  # examples in an epoch of MNIST, between two checkpoints


def measure_costs(task: Task, seconds: float = 2.0) -> dict[str, Any]:
    """Time a plain iteration, and in turn with it an iteration that is watched, or one with all that training adds.

    Parameters
    ----------
    task : Task
    seconds : float
        About how long each variant runs.

    Returns
    -------
    dict
        A result (see `results.result`) with ``ratios`` to the plain iteration, by variant; ``checkpoint_share``, the
        time of a checkpoint by that of an epoch of `EPOCH_ROWS` examples; and ``gradcheck_passes``, by order, the time
        of a gradient check of a small layer by that of one forward and backward pass.
    """
    with blas_threads(task.threads), tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        contestant = TinyganStep(task)
        dataset = as_dataset(task.images, task.labels)
        run_folder, training = start(task.config, dataset, Path(folder, "run"), task.device)
        variants = {
            "plain": contestant.iterate,
            "training": _in_training(training),
            "observer": _watched(contestant.iterate, Observer),
            "anomaly mode": _watched(contestant.iterate, detect_anomaly),
            "trace": _watched(contestant.iterate, trace),
            "averaging": _averaged(contestant),
        }
        turns = _take_turns(variants, clock_of(task.device), seconds)
        saves = host_clock(lambda: save(run_folder, training), 5)
        once, checks = _gradcheck()
    measurements = {name: summarise(np.concatenate(turn).tolist()) for name, turn in turns.items()}
    measurements |= {"checkpoint": summarise(saves), "one pass": summarise(once)}
    measurements |= {f"gradcheck of order {order}": summarise(times) for order, times in checks.items()}
    epoch_ms = measurements["training"]["median_ms"] * (EPOCH_ROWS // task.rows)
    return result(
        "costs",
        {**task.settings(), "seconds": seconds},
        measurements,
        ratios={name: ratios(turns[name], turns["plain"]) for name in variants if name != "plain"},
        checkpoint_share=measurements["checkpoint"]["median_ms"] / epoch_ms,
        gradcheck_passes={str(order): float(np.median(times) / np.median(once)) for order, times in checks.items()},
    )


def _in_training(training: Training) -> Callable[[], None]:
    """Return one iteration as a run makes it: rows in random order, losses recorded, refused if not finite."""

    def iterate() -> None:
        if training.epoch_is_over:
            training.next_epoch()
        training.step()

    return iterate


def _watched(iterate: Callable[[], None], watcher: Callable[[], Any]) -> Callable[[], None]:
    def watched() -> None:
        with watcher():
            iterate()

    return watched


def _averaged(contestant: TinyganStep) -> Callable[[], None]:
    """Return one iteration after which the weights of G go into their running mean."""
    average = ExponentialMovingAverage(contestant.game.generator.parameters(), 0.9999)

    def iterate() -> None:
        contestant.iterate()
        average.update()

    return iterate


def _take_turns(variants: dict[str, Callable[[], None]], clock: Clock, seconds: float) -> dict[str, list[list[float]]]:
    """Time the variants in turn; they share a process and a BLAS, so there is nothing to rest from."""
    for iterate in variants.values():
        clock(iterate, 2)
    typical = float(np.median(clock(variants["plain"], 3)))
    slices = 8
    count = max(1, round(1e3 * seconds / slices / typical))
    turns: dict[str, list[list[float]]] = {name: [] for name in variants}
    for _, (name, iterate) in zip(range(slices * len(variants)), cycle(variants.items()), strict=False):
        turns[name].append(clock(iterate, count))
    return turns


def _gradcheck() -> tuple[list[float], dict[int, list[float]]]:
    """Time one pass through a layer, and checks of its gradient."""
    layer = nn.Linear(20, 10)
    x = Tensor(np.random.default_rng(0).normal(size=(5, 20)), requires_grad=True)
    once = host_clock(lambda: layer(x).sum().backward(), 31)[1:]
    return once, {order: host_clock(partial(gradcheck, layer, [x], order=order), 3) for order in (1, 2)}


def costs_table(measured: dict[str, Any]) -> str:
    """Write a result of `measure_costs` as text."""
    measurements = measured["measurements"]
    what = {
        "training": "the whole of training",
        "observer": "an observer",
        "anomaly mode": "anomaly mode",
        "trace": "a trace",
        "averaging": "a running mean of G's weights",
    }
    rows = [("one iteration", *milliseconds(measurements["plain"]), "1")]
    rows += [
        (f"with {words}", *milliseconds(measurements[name]), f"{measured['ratios'][name]['ratio']:.3f}")
        for name, words in what.items()
        if name in measurements  # results from before there was a trace have none
    ]
    share = f"{100 * measured['checkpoint_share']:.2f} % of an epoch"
    rows.append(("a checkpoint", *milliseconds(measurements["checkpoint"]), share))
    rows += [
        (name, *milliseconds(measurements[name]), f"{measured['gradcheck_passes'][name[-1]]:.0f} passes")
        for name in measurements
        if name.startswith("gradcheck")
    ]
    settings = measured["settings"]
    return (
        f"{settings['experiment']}, {settings['schedule']} schedule, batch {settings['batch']}, {settings['device']}, "
        f"{threads_of(settings['threads'])}; an epoch has {EPOCH_ROWS:,} examples\n"
    ) + format_table(("", "median ms", "p10 to p90", "times one iteration"), rows)
