"""What the ranks other than 0 do in a run: each step, and nothing that is written or shown."""

from __future__ import annotations

from collections.abc import Callable

from tinygan.backend import blas_threads, keep_freed_memory
from tinygan.config.experiment import ExperimentConfig, parse_experiment
from tinygan.data.dataset import Dataset
from tinygan.errors import AnomalyError
from tinygan.experiments.explaining import explain
from tinygan.experiments.running import Limits, is_done
from tinygan.parallel.training import ParallelTraining
from tinygan.parallel.world import World


def join(
    world: World, load_data: Callable[[ExperimentConfig], Dataset], device: str = "cpu"
) -> ParallelTraining:
    """Return the training that rank 0 starts or opens, in its state; called while rank 0 is in `start` or `reopen`.

    Raises
    ------
    CheckpointError
        The data here are not those of rank 0.
    """
    config = parse_experiment(*world.broadcast(("", "")))
    training = ParallelTraining(config, load_data(config), device, world=world)
    training.synchronize()
    return training


def follow(training: ParallelTraining, limits: Limits | None = None) -> None:
    """Make the steps of a run that rank 0 makes in `run`, with the same limits.

    Raises
    ------
    AnomalyError, ParallelError
        As for `ParallelTraining.step`.
    """
    limits = limits or Limits()
    keep_freed_memory()
    with blas_threads(training.config.training.threads):
        try:
            while not (is_done(training) or limits.reached(training)):
                if training.epoch_is_over:
                    training.next_epoch()
                training.step()
        except AnomalyError:
            again = join(training.world, lambda _: training.dataset, training.backend.device)
            raise explain(again, training.steps, *training.world.broadcast(("", ""))) from None
