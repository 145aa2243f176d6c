"""Run an experiment in a run folder: train, record, draw, save, and continue a stopped run.

The files of a run are described in `tinygan.runs.run_folder`. The configuration, the data and the machine decide the
bits of a run, so ``metrics.jsonl`` and the checkpoints of two runs can be compared byte for byte. An interrupted run
ends with the same bits as an uninterrupted one.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygan.backend import blas_threads, get_backend, keep_freed_memory
from tinygan.config.decisive import changes, decisive_toml
from tinygan.config.experiment import ExperimentConfig, load_experiment, parse_experiment, to_toml
from tinygan.data.dataset import Dataset
from tinygan.errors import AnomalyError, CheckpointError, RunError
from tinygan.experiments.diagnosing import Diagnoses
from tinygan.experiments.drawing import draw_data, draw_sheet
from tinygan.experiments.explaining import explained
from tinygan.experiments.labels import in_proportion
from tinygan.experiments.pretrained import load_pretrained, with_absolute_path
from tinygan.experiments.selection import score_generator
from tinygan.experiments.side_outputs import SideOutputs
from tinygan.experiments.training import Training, built
from tinygan.pictures.sheets import sheet_path
from tinygan.runs.checkpoint import Checkpoint
from tinygan.runs.environment import describe_environment, differences
from tinygan.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from tinygan.parallel.world import World

SHEET = "the sample sheet"


@dataclass
class Limits:
    """Reasons to stop before the last epoch of the configuration.

    Attributes
    ----------
    steps : int, optional
        Stop after this many iterations, counted from the start of the run.
    asked : callable, optional
        Called between two steps; if it returns True, the run saves a checkpoint and stops.
    """

    steps: int | None = None
    asked: Callable[[], bool] | None = None

    def reached(self, training: Training) -> bool:
        """Return whether the run should stop before its next step."""
        if self.steps is not None and training.steps >= self.steps:
            return True
        return self.asked is not None and self.asked()


class Watcher:
    """Callbacks of `run`, which do nothing here; the command line shows its progress by them."""

    def begin(self, training: Training) -> None:
        """Called when the run starts or continues."""

    def step(self, training: Training) -> None:
        """Called after each iteration."""

    def epoch(self, training: Training, seconds: float) -> None:
        """Called after each epoch, when it is recorded, with its duration."""

    def diagnosed(self, training: Training, verdicts: Sequence[Mapping[str, Any]]) -> None:
        """Called when other verdicts hold after an epoch than before; see `tinygan.diagnosis`."""

    def saved(self, folder: RunFolder) -> None:
        """Called after each checkpoint."""


def start(
    config: ExperimentConfig,
    dataset: Dataset,
    out: Path,
    device: str = "cpu",
    numbered: bool = False,
    *,
    data_folder: str | os.PathLike[str] | None = None,
    world: World | None = None,
) -> tuple[RunFolder, Training]:
    """Make a run folder and its training.

    The training is built first, so no folder is made for a configuration that does not fit.

    Parameters
    ----------
    config, dataset, out, device
        See `Training`, and `RunFolder.create`. The record has absolute paths.
    numbered : bool
        If `out` exists, make out-2, or the first number that is free; see `RunFolder.create`.
    data_folder : path, optional
        The folder of the data files. It is recorded with the device, for the commands that name this run.
    world : World, optional
        The ranks that train together. Call this on rank 0, and `tinygan.parallel.following.join` on the others.

    Raises
    ------
    RunError
        `out` exists.
    ConfigError, DeviceError
        The experiment cannot be built, or the run in ``generator.pretrained`` does not fit.
    """
    config = with_absolute_path(config)
    text = to_toml(config)
    parse_experiment(text, config.name)  # a run can be resumed only if its configuration can be read again
    training = at_start(config, dataset, device, world)
    training.synchronize()
    environment = _environment(training) | {"device": device}
    if data_folder is not None and config.data.needs_files:
        environment["data_folder"] = os.path.abspath(os.path.expanduser(data_folder))
    if dataset.notes:
        environment["data"] = list(dataset.notes)
    return RunFolder.create(out, text, environment, numbered), training


def reopen(
    path: Path | RunFolder,
    load_data: Callable[[ExperimentConfig], Dataset],
    device: str = "cpu",
    overrides: Sequence[str] = (),
    world: World | None = None,
) -> tuple[RunFolder, Training]:
    """Open a run folder and rebuild its training from the newest checkpoint.

    Everything is read under the lock of the folder. If another process continues the run before `run` takes the lock
    again, `run` refuses. To exclude other processes until then, hold the lock yourself and pass the `RunFolder`.

    A warning names each difference between the recorded machine and this one that can change bits.

    Parameters
    ----------
    path : Path or RunFolder
    load_data : callable
        Returns the data set of a configuration.
    device : {"cpu", "cuda"}
    overrides : sequence of str
        Changes to the configuration, as in `load_experiment`, such as a later end. `run` writes them into the folder;
        before that, nothing is changed.
    world : World, optional
        As in `start`.

    Raises
    ------
    RunError
        The folder is not a run, or another process is writing there; or an override changes a setting that decides the
        bits of the run, or has no effect.
    CheckpointError
        No checkpoint can be read, or it does not belong to this run.
    """
    folder = path if isinstance(path, RunFolder) else RunFolder.open(path)
    with folder.lock():
        recorded = load_experiment(folder.config_path)
        config = load_experiment(folder.config_path, overrides)
        if (config.generator.pretrained, config.data) != (recorded.generator.pretrained, recorded.data):
            config = with_absolute_path(config)
        changed = changes(decisive_toml(recorded), config)
        checkpoint = folder.latest_checkpoint()
        if checkpoint is not None and config.generator.pretrained != recorded.generator.pretrained:
            changed.append("generator.pretrained was used at the start, and its record would be wrong")
        if changed:
            raise RunError(
                f"{folder.path}: {'; '.join(changed)}: that would be another run; leave the change out, or train a new "
                "run with it"
            )
        training = built(config, load_data(config), device, world)
        _restore(training, folder, checkpoint)
        folder.check_records(_epochs_done(training))
        if config != recorded and is_done(training):
            raise RunError(
                f"{folder.path}: {_epochs_done(training)} epochs are done, and the run would end at "
                f"{config.training.epochs}: the change would have no effect, and nothing was changed; choose a later "
                "end: --epochs N"
            )
        folder.remember()
        training.synchronize()
    return folder, training


def at_start(
    config: ExperimentConfig, dataset: Dataset, device: str = "cpu", world: World | None = None
) -> Training:
    """Return a training before its first step, in memory: nothing is written. The errors are those of `start`."""
    training = built(config, dataset, device, world)
    load_pretrained(training)
    return training


def at_newest_checkpoint(
    folder: RunFolder, load_data: Callable[[ExperimentConfig], Dataset], device: str = "cpu"
) -> Training:
    """Return the training of a run at its newest checkpoint, in memory: the folder is only read, and not locked.

    Parameters
    ----------
    folder : RunFolder
    load_data, device
        As in `reopen`, with the same warnings.

    Raises
    ------
    CheckpointError
        No checkpoint can be read, or it does not belong to this run.
    """
    config = load_experiment(folder.config_path)
    training = built(config, load_data(config), device)
    _restore(training, folder, folder.latest_checkpoint())
    return training


def _restore(training: Training, folder: RunFolder, checkpoint: Checkpoint | None) -> None:
    """Load a checkpoint of a run, or the start without one; warn if this machine may compute other bits."""
    for difference in differences(folder.environment(), _environment(training)):
        warnings.warn(f"{folder.path}: {difference}; the run may not end in the same bits", stacklevel=3)
    if checkpoint is None:
        load_pretrained(training)
        return
    try:
        training.load_state(checkpoint.arrays, checkpoint.state)
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error


def _epochs_done(training: Training) -> int:
    return training.epoch if training.epoch_is_over else training.epoch - 1


def _environment(training: Training) -> dict[str, Any]:
    """Describe this process as it is during the run."""
    environment, config = describe_environment(), training.config
    if config.training.threads is not None:
        environment["blas_threads"] = config.training.threads
    if training.world is not None:
        environment["ranks"] = training.world.size
    environment["backend"] = get_backend("cpu").library
    if training.backend.gpu is not None:
        environment["gpu"] = training.backend.gpu
    return environment


def run(folder: RunFolder, training: Training, limits: Limits | None = None, watcher: Watcher | None = None) -> bool:
    """Train until the last epoch or a limit, then save.

    Parameters
    ----------
    folder, training
        From `start` or `reopen`.
    limits, watcher
        See `Limits` and `Watcher`.

    Returns
    -------
    bool
        Whether the last epoch is done.

    Raises
    ------
    RunError
        Another process has continued the run since it was opened, or has removed the lock file. Its files are kept.
    AnomalyError
        A loss or a weight is nan or infinite; the message names the operation.
    """
    limits, watcher = limits or Limits(), watcher or Watcher()
    keep_freed_memory()
    with folder.lock(), blas_threads(training.config.training.threads):
        folder.refuse_if_changed()
        done = _epochs_done(training)
        folder.check_records(done)
        # Every check has passed; only now is the folder changed.
        try:
            if load_experiment(folder.config_path) != training.config:  # `reopen` was given overrides
                folder.write_config(to_toml(training.config))
            folder.rewind(done, training.steps)
            side_outputs = SideOutputs()
            epoch = 0 if training.steps == 0 else training.epoch
            if epoch == 0 or (_sheet_is_due(training) and not sheet_path(folder, epoch).exists()):  # not yet drawn
                with side_outputs.attempt(SHEET):
                    draw_sheet(folder, training, epoch)
            with side_outputs.attempt(SHEET):
                draw_data(folder, training)
            watcher.begin(training)
            diagnoses = Diagnoses(folder, training, watcher, side_outputs)
            diagnoses.begin()
            stopped = False
            while not (stopped or is_done(training)):
                stopped = not _run_epoch(folder, training, limits, watcher, side_outputs, diagnoses)
        except AnomalyError as error:
            raise explained(error, folder, training) from None
        except MemoryError as error:
            raise RunError(
                f"{folder.path}: the memory is full ({error}); everything up to the last checkpoint is saved. End "
                "other programs, then resume, with smaller output.samples or output.validation_samples if those are "
                "large"
            ) from error
        finally:
            folder.remember()
            training.close_capture()
    return is_done(training)


def is_done(training: Training) -> bool:
    """Return whether the last epoch of the configuration is over."""
    last = training.config.training.epochs
    return training.epoch > last or (training.epoch == last and training.epoch_is_over)


def _sheet_is_due(training: Training) -> bool:
    """Return whether the present epoch is over and ends with a sample sheet."""
    every = training.config.output.samples_every
    return training.epoch_is_over and (training.epoch % every == 0 or is_done(training))


def _run_epoch(
    folder: RunFolder, training: Training, limits: Limits, watcher: Watcher, side_outputs: SideOutputs,
    diagnoses: Diagnoses,
) -> bool:  # fmt: skip
    """Train to the end of the epoch and record it; if a limit is reached before, save and return False."""
    if training.epoch_is_over:
        training.next_epoch()
    began = time.perf_counter()
    while not training.epoch_is_over:
        if limits.reached(training):
            save(folder, training)
            watcher.saved(folder)
            return False
        training.step()
        watcher.step(training)
    metrics, seconds = training.metrics(), time.perf_counter() - began
    output = training.config.output
    is_best = False
    if output.validate_every is not None and (training.epoch % output.validate_every == 0 or is_done(training)):
        images, noise, seed = training.dataset.validation.images, training.game.noise, training.config.seed
        labels = in_proportion(training.config, training.dataset.train.labels, output.validation_samples, seed)
        with training.generator_to_sample() as generator:
            found = score_generator(generator, noise, images, seed, output.validation_samples, labels)
        metrics |= found.metrics()
        if found.log_likelihood > training.best_validation:
            is_best, training.best_validation = True, found.log_likelihood
    folder.append_metrics(metrics)
    folder.append_timing({"epoch": training.epoch, "seconds": seconds})
    saves = training.epoch % output.checkpoint_every == 0 or is_done(training) or is_best
    if saves:
        save(folder, training, is_best)
    watcher.epoch(training, seconds)
    diagnoses.after_epoch(metrics, saves)  # after the save, as the sheet: a failure or a crash there loses nothing
    if _sheet_is_due(training):
        with side_outputs.attempt(SHEET):
            draw_sheet(folder, training, training.epoch)
    if saves:
        watcher.saved(folder)
    return True


def save(folder: RunFolder, training: Training, best: bool = False) -> None:
    """Write a checkpoint of the whole state; with `best`, also as ``best.safetensors``."""
    arrays, plain = training.state()
    folder.save_checkpoint(training.steps, arrays, plain, best=best)
