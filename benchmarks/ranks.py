"""A process of `parallel`: one that trains alone, or one of several under ``mpiexec``.

Only rank 0 has a pipe. The other ranks look every few milliseconds whether it has sent a request: MPI itself would wait
busily, and take a processor from the contestant whose turn it is.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.clocks import host_clock
from benchmarks.task import Task, as_dataset
from benchmarks.worker import Worker, peak_memory, serve
from tinygan.backend import Stream, keep_freed_memory
from tinygan.errors import TinyganError
from tinygan.experiments.training import Training
from tinygan.parallel.training import ParallelTraining
from tinygan.parallel.world import World, current

_LOOK_SECONDS = 0.002
_DRAWS = ("uniform", "normal", "bits16")  # the methods of a stream that a step calls
_SPENT = ("draws_ms", "sums_ms", "calls", "bytes")


class RankWorker(Worker):
    """What answers in each rank; `world` is None in a process that is alone."""

    def __init__(self, world: World | None) -> None:
        super().__init__()
        self.world = world

    def answer(self, request: dict[str, Any]) -> Any:
        """Do what a request says."""
        if self.world is not None and self.world.rank == 0:
            self._tell(request)
        match request:
            case {"do": "build", "name": name, "folder": folder}:
                self.contestant = None
                self.contestant = TrainingStep(name.split()[-1], Task.load(Path(folder)), self.world)
                self.built = peak_memory()
                return None
            case {"do": "run", "count": count}:
                return self._at_once(lambda: self.contestant.run(count))
            case {"do": "spent"}:
                return self.contestant.spent()
            case {"do": "sum", "size": size, "count": count}:
                array, world = np.ones(size // 4, np.float32), self.world
                assert world is not None
                return self._at_once(lambda: _sum_times(world, array, count))
        return super().answer(request)

    def _tell(self, request: dict[str, Any] | None) -> None:
        """Let the other ranks do the same; None ends them."""
        assert self.world is not None
        for rank in range(1, self.world.size):
            self.world.comm.send(request, rank)

    def _at_once(self, run: Callable[[], list[float]]) -> list[float]:
        """Begin on all ranks at once; return the mean of their times."""
        if self.world is None:
            return run()
        self.world.comm.Barrier()
        return [float(time) for time in np.mean(self.world.gather(run()), axis=0)]

    def follow(self) -> None:
        """Do what rank 0 says until it ends."""
        assert self.world is not None
        while True:
            while not self.world.comm.iprobe(0):
                time.sleep(_LOOK_SECONDS)
            request = self.world.comm.recv(source=0)
            if request is None:
                return
            with suppress(TinyganError):  # rank 0 reports it
                self.answer(request)

    def lead(self) -> None:
        """Answer what the pipe asks until it ends."""
        answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        serve(sys.stdin, answers, self)
        if self.world is not None:
            self._tell(None)


class TrainingStep:
    """One step of a training.

    Parameters
    ----------
    kind : str
        "processes" train together; "apart", each does for itself what it would do there, without a sum; everything else
        is a training of its own.
    task : Task
    world : World or None
    """

    def __init__(self, kind: str, task: Task, world: World | None) -> None:
        keep_freed_memory()  # as every training run does
        dataset = as_dataset(task.images, task.labels)
        if kind == "processes":
            assert world is not None
            self.training: Training = ParallelTraining(task.config, dataset, world=world)
        else:
            self.training = Training(task.config, dataset)
            self.training.replay = kind != "apart"  # several ranks do not replay their steps
        self._spent: list[tuple[float, ...]] = []

    def iterate(self) -> None:
        """Run one step."""
        if self.training.epoch_is_over:
            self.training.next_epoch()
        self.training.step()

    def run(self, count: int) -> list[float]:
        """Time `count` steps; in milliseconds."""
        times: list[float] = []
        for _ in range(count):
            with _watched(Stream, _DRAWS) as draws, _watched(World, ["sum"]) as sums:
                times += host_clock(self.iterate, 1)
            self._spent.append((1e3 * draws.seconds, 1e3 * sums.seconds, sums.calls, sums.bytes))
        return times

    def spent(self) -> dict[str, float]:
        """Return medians of a step: ``draws_ms``; ``sums_ms``, with the wait for others; their ``calls``, ``bytes``."""
        return dict(zip(_SPENT, np.median(self._spent, axis=0).tolist(), strict=True))


@contextmanager
def _watched(owner: type, names: Sequence[str]) -> Iterator[Any]:
    """Add up calls and seconds of some methods that do not call each other, and bytes of the arrays given to them."""
    seen = SimpleNamespace(seconds=0.0, calls=0, bytes=0)

    def watch(method: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                seen.seconds += time.perf_counter() - began
                seen.calls += 1
                seen.bytes += sum(getattr(argument, "nbytes", 0) for argument in arguments)

        return watched

    methods = {name: getattr(owner, name) for name in names}
    for name, method in methods.items():
        setattr(owner, name, watch(method))
    try:
        yield seen
    finally:
        for name, method in methods.items():
            setattr(owner, name, method)


def _sum_times(world: World, array: Any, count: int) -> list[float]:
    """Time `count` sums of an array over the ranks, which begin each together; in milliseconds."""
    times: list[float] = []
    for _ in range(count):
        array[...] = 1
        world.comm.Barrier()
        times += host_clock(lambda: world.sum(array), 1)
    return times


if __name__ == "__main__":
    worker = RankWorker(current())
    if worker.world is None or worker.world.rank == 0:
        worker.lead()
    else:
        worker.follow()
