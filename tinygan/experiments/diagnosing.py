"""The diagnosis of a run: after each epoch, beside the training, and of a checkpoint, by ``tinygan diagnose``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from tinygan import gan
from tinygan.backend import blas_threads
from tinygan.config.experiment import ExperimentConfig, load_experiment
from tinygan.data.dataset import Dataset
from tinygan.diagnosis.diary import Diary, names_of
from tinygan.diagnosis.headline import headline
from tinygan.diagnosis.measures import dataset_measures, epoch_measures, is_number
from tinygan.diagnosis.rules import apply_rules, discriminator_has_won
from tinygan.errors import CheckpointError
from tinygan.experiments.protocol import LAST, choose_checkpoint
from tinygan.experiments.saved_state import moment
from tinygan.experiments.side_outputs import SideOutputs
from tinygan.experiments.training import Training
from tinygan.runs.checkpoint import read_checkpoint
from tinygan.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from tinygan.experiments.running import Watcher

WHAT = "the diagnosis"


class Diagnoses:
    """Diagnoses a training after its epochs and writes ``diagnosis.jsonl``; a failure is a warning and stops nothing.

    Parameters
    ----------
    folder : RunFolder
        Its records end where the training is.
    training : Training
    watcher : Watcher
        Is told when other verdicts hold than before.
    side_outputs : SideOutputs
    """

    def __init__(self, folder: RunFolder, training: Training, watcher: Watcher, side_outputs: SideOutputs) -> None:
        self.folder, self.training, self.watcher, self.side_outputs = folder, training, watcher, side_outputs
        self.diary = Diary(training.config.training.objective)

    def begin(self) -> None:
        """Read the records; make the diagnosis of the last checkpoint if a kill came before it was written."""
        with self.side_outputs.attempt(WHAT):
            training, metrics, records = self.training, self.folder.metrics(), self.folder.diagnoses()
            last = records[-1]["epoch"] if records else 0
            killed = training.epoch_is_over and bool(metrics) and last < training.epoch
            ended = metrics.pop() if killed else {}
            self.diary = Diary(training.config.training.objective, metrics, records)
            if killed:
                self.after_epoch(ended, whole=True)

    def after_epoch(self, metrics: Mapping[str, Any], whole: bool) -> None:
        """Diagnose the game, record what has changed, and tell the watcher.

        Parameters
        ----------
        metrics : mapping
            The record of the epoch.
        whole : bool
            Whether to measure the whole game, as at each checkpoint.
        """
        training, diary = self.training, self.diary
        with self.side_outputs.attempt(WHAT):
            before, game = names_of(diary.given), None
            if whole:
                with training.generator_to_sample() as generator:
                    game = dataset_measures(training.game, training.dataset, generator, training.config.seed)
            record = diary.after(metrics, game)
            if record is not None:
                self.folder.append_diagnosis(record)
            if names_of(diary.given) != before:
                self.watcher.diagnosed(training, diary.given)


@dataclass(frozen=True, eq=False)
class RunDiagnosis:
    """The result of `diagnose_run`.

    Attributes
    ----------
    run, experiment, checkpoint : str
        The folder, the name of the experiment, and the file of the checkpoint.
    epoch, steps : int
        When it was saved.
    record : dict
        As in ``diagnosis.jsonl``.
    earlier : dict or None
        If D has won: the newest checkpoint from before, ``{"checkpoint", "epoch", "d_accuracy"}``, if there is one.
    """

    run: str
    experiment: str
    checkpoint: str
    epoch: int
    steps: int
    record: dict[str, Any]
    earlier: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Return everything under its name, for JSON; ``headline``, the verdicts and the measures with the others."""
        plain = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "record"}
        return {**plain, "headline": headline({"measures": self.record["measures"]}), **self.record}


def diagnose_run(folder: RunFolder, load_data: Callable[[ExperimentConfig], Dataset]) -> RunDiagnosis:
    """Diagnose the newest checkpoint of a run; nothing in its folder is changed.

    The losses are those of the epoch of the checkpoint. Where no record has the size of the updates, one step is made
    in memory to measure it.

    Parameters
    ----------
    folder : RunFolder
    load_data : callable
        Returns the data set of a configuration.

    Raises
    ------
    CheckpointError
        The run has no checkpoint yet, or it does not belong to the configuration or the data.
    RunError
        A record of the run cannot be read.
    """
    config = load_experiment(folder.config_path)
    _, checkpoint = choose_checkpoint(folder, LAST)
    training = Training(config, load_data(config))
    try:
        training.load_state(checkpoint.arrays, checkpoint.state)
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error
    epoch, steps, over = training.epoch, training.steps, training.epoch_is_over
    before = [r for r in folder.metrics() if is_number(r.get("epoch")) and r["epoch"] < epoch + over]
    with blas_threads(config.training.threads):
        with training.generator_to_sample() as generator:
            game = dataset_measures(training.game, training.dataset, generator, config.seed)
        if training.monitor.count and not over:  # within an epoch
            metrics = training.monitor.means()
        else:
            metrics = before.pop() if before else {}
        if not metrics.get("update_ratios"):
            metrics = {**metrics, **_of_one_step(training)}
    record = Diary(config.training.objective, before).after({**metrics, "epoch": epoch}, game)
    assert record is not None, "the whole game was measured"
    won = "d-won" in names_of(record["verdicts"])
    earlier = _before_d_won(folder, config.training.objective, before) if won else None
    return RunDiagnosis(str(folder.path), config.name, str(checkpoint.path), epoch, steps, record, earlier)


def _of_one_step(training: Training) -> dict[str, Any]:
    """Make one iteration; return G's gradient norm and the update ratios. The training must not be saved after it."""
    if training.epoch_is_over:
        training.next_epoch()
    before = training.weights()
    training.step()
    return {
        "generator_gradient_norm": gan.gradient_norm(training.game.generator),
        "update_ratios": training.update_ratios(before),
    }


def _before_d_won(folder: RunFolder, objective: str, metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the newest checkpoint of an epoch in which D had not won yet, or None."""
    measured = {record["epoch"]: epoch_measures(record, objective) for record in metrics}
    played = [epoch for epoch, m in measured.items() if not apply_rules((discriminator_has_won,), m)]
    found: dict[str, Any] | None = None
    for path in sorted(folder.checkpoints_path.glob("*.safetensors")):
        with contextlib.suppress(CheckpointError):  # a damaged one is of no use here
            epoch, _ = moment(read_checkpoint(path))
            if epoch <= max(played, default=0) and (found is None or epoch >= found["epoch"]):
                accuracy = measured.get(epoch, {}).get("d_accuracy")
                found = {"checkpoint": str(path), "epoch": epoch, "d_accuracy": accuracy}
    return found
