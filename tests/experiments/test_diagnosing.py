"""The diagnosis of a run: what is recorded and told, after kills and failures too, and what a checkpoint shows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tinygan.data.dataset import Dataset, Split
from tinygan.errors import CheckpointError, RunError
from tinygan.experiments import diagnosing, running
from tinygan.experiments.diagnosing import diagnose_run
from tinygan.experiments.running import Limits, Watcher, reopen, run, start

pytestmark = pytest.mark.slow

EVERY = ("training.epochs=5", "output.checkpoint_every=2", "training.batch=50")
# D without dropout, against a G that hardly moves.
WON = (
    "training.epochs=6", "output.checkpoint_every=2", "training.batch=50", "generator.optimizer.lr=1e-7",
    "discriminator.layers=[{type='maxout',units=32,pieces=2,weight_range=0.5},{type='linear',units=1}]",
    "discriminator.optimizer.lr=0.01",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def same_machine():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "describe_environment", lambda: {"python": "3"})
        yield


@pytest.fixture(scope="module")
def data():
    """Images of which the samples of an untrained generator are unlike."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 500).astype(np.uint8)
    images = (0.8 * labels[:, None] + 0.2 * rng.random((500, 4))).astype(np.float32)
    parts = slice(300), slice(300, 400), slice(400, 500)
    return Dataset("digits", (1, 4), *(Split(images[rows], labels[rows]) for rows in parts))


class Notes(Watcher):
    def __init__(self):
        self.told = []

    def diagnosed(self, training, verdicts):
        self.told.append((training.epoch, [verdict["name"] for verdict in verdicts]))


def files_of(path):
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "run.lock"}


def test_each_checkpoint_has_a_record_of_the_whole_game(tiny_experiment, data, tmp_path):
    folder, training = start(tiny_experiment(*EVERY), data, tmp_path / "run")
    notes = Notes()
    run(folder, training, None, notes)
    records = folder.diagnoses()
    whole = [record for record in records if "classifier_accuracy" in record["measures"]]
    assert [record["epoch"] for record in whole] == [2, 4, 5]
    for record in records:
        assert list(record) == ["epoch", "verdicts", "measures"]
        for verdict in record["verdicts"]:
            assert list(verdict) == ["name", "title", "says", "number", "reference", "advice"]
        assert not any("second" in name or "time" in name for name in record["measures"])
        assert all(type(number) is float for number in record["measures"].values())
    needed = {"classifier_accuracy", "classifier_standard_error", "classifier_rows", "precision", "recall",
              "nearest_ratio", "jsd_bound_held_out", "jsd_bound_minibatch", "classes_covered"}  # fmt: skip
    assert all(needed <= set(record["measures"]) for record in whole)
    changes = [[verdict["name"] for verdict in record["verdicts"]] for record in records]
    told = [names for before, names in zip([[], *changes], changes, strict=False) if names != before]
    assert [names for _, names in notes.told] == told


def test_a_discriminator_that_wins_is_told_at_once(tiny_experiment, data, tmp_path):
    folder, training = start(tiny_experiment(*WON), data, tmp_path / "run")
    notes = Notes()
    run(folder, training, None, notes)
    record = folder.diagnoses()[-1]
    assert "helvetica" in [verdict["name"] for verdict in record["verdicts"]]
    assert record["measures"]["classifier_accuracy"] > 0.9


def test_a_kill_between_checkpoint_and_diagnosis_leaves_no_gap(tiny_experiment, data, tmp_path, monkeypatch):
    undisturbed, path = tmp_path / "undisturbed", tmp_path / "run"
    run(*start(tiny_experiment(*EVERY), data, undisturbed))
    measure, moments = diagnosing.dataset_measures, []

    def die(*arguments):
        moments.append(1)
        if len(moments) in (1, 2, 4, 6):
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(diagnosing, "dataset_measures", die)
    begun = start(tiny_experiment(*EVERY), data, path)
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            run(*begun)
        begun = reopen(path, lambda config: data)
    assert run(*begun)
    for name in ("diagnosis.jsonl", "metrics.jsonl"):
        assert (path / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.slow
def test_a_run_stopped_at_any_step_has_the_same_diagnoses(tiny_experiment, data, tmp_path):
    config = tiny_experiment(*EVERY, "training.epochs=4")
    run(*start(config, data, tmp_path / "undisturbed"))
    expected = (tmp_path / "undisturbed" / "diagnosis.jsonl").read_bytes()
    for step in range(1, 24):
        path = tmp_path / str(step)
        run(*start(config, data, path), Limits(steps=step))
        run(*reopen(path, lambda config: data))
        assert (path / "diagnosis.jsonl").read_bytes() == expected


def test_a_failure_is_a_warning_and_stops_nothing(tiny_experiment, data, tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(diagnosing, "dataset_measures", fail)
    folder, training = start(tiny_experiment(*EVERY), data, tmp_path / "run")
    with pytest.warns(UserWarning, match="the diagnosis could not be made: no room; the run goes on without it"):
        assert run(folder, training)
    assert [record["epoch"] for record in folder.metrics()] == [1, 2, 3, 4, 5]
    assert not any("rows" in record["measures"] for record in folder.diagnoses())


def test_a_run_of_an_older_version_goes_on(tiny_experiment, data, tmp_path):
    """Its records have no norms of the layers, and there is no diagnosis."""
    folder, training = start(tiny_experiment(*EVERY), data, tmp_path / "run")
    run(folder, training, Limits(steps=2 * training.steps_per_epoch + 1))
    records = [{k: v for k, v in r.items() if k not in ("gradient_norms", "update_ratios")} for r in folder.metrics()]
    folder.metrics_path.write_text("".join(json.dumps(record) + "\n" for record in records))
    folder.diagnosis_path.unlink()
    assert diagnose_run(folder, lambda config: data).record["measures"]["update_ratio.generator.0"] < 0
    assert run(*reopen(folder.path, lambda config: data))
    assert [record["epoch"] for record in folder.diagnoses()][-2:] == [4, 5]


def test_damaged_diagnoses_are_refused_and_nothing_is_changed(tiny_experiment, data, tmp_path):
    folder, training = start(tiny_experiment(*EVERY), data, tmp_path / "run")
    run(folder, training, Limits(steps=4 * training.steps_per_epoch))
    lines = folder.diagnosis_path.read_bytes()
    folder.diagnosis_path.write_bytes(b"{torn\n" + lines)
    before = files_of(folder.path)
    with pytest.raises(RunError, match=r"diagnosis\.jsonl, line 1: expected JSON"):
        reopen(folder.path, lambda config: data)
    assert files_of(folder.path) == before


@pytest.mark.parametrize("line", [b"{}", b'{"epoch": 1}', b'{"epoch": 1, "verdicts": 3, "measures": []}'])
def test_records_of_another_form_are_a_warning_at_most(tiny_experiment, data, tmp_path, line):
    folder, training = start(tiny_experiment(*EVERY), data, tmp_path / "run")
    run(folder, training, Limits(steps=training.steps_per_epoch + 1))
    folder.diagnosis_path.write_bytes(line + b"\n")
    if line == b"{}":
        with pytest.raises(RunError, match="expected a record of a later epoch than 0, found None"):
            reopen(folder.path, lambda config: data)
    else:
        with pytest.warns(UserWarning, match="the diagnosis could not be made"):
            assert run(*reopen(folder.path, lambda config: data))


# --- a checkpoint ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [1, 2.5, 5])
def test_a_checkpoint_is_diagnosed_and_nothing_is_changed(tiny_experiment, data, tmp_path, epochs):
    folder, training = start(tiny_experiment(*EVERY), data, tmp_path / "run")
    run(folder, training, Limits(steps=int(epochs * training.steps_per_epoch)))
    before = files_of(folder.path)
    found = diagnose_run(folder, lambda config: data)
    assert files_of(folder.path) == before
    assert (found.epoch, found.steps) == (training.epoch, training.steps)
    assert json.loads(json.dumps(found.as_dict()))["headline"].startswith("A fresh classifier")
    assert {"discriminator_loss", "update_ratio.generator.0", "classifier_accuracy"} <= set(found.record["measures"])
    if epochs == 5:  # the run has made the same diagnosis
        recorded = folder.diagnoses()[-1]
        assert found.record["measures"] == recorded["measures"]
        assert found.earlier is None


def test_the_checkpoint_before_d_won_is_named(tiny_experiment, data, tmp_path):
    config = tiny_experiment(*EVERY, "training.epochs=3", "output.checkpoint_every=1")
    folder, training = start(config, data, tmp_path / "run")
    run(folder, training)
    records = folder.metrics()
    for record, (loss, accuracy) in zip(records, [(0.001, 1.0), (1.2, 0.6), (0.001, 1.0)], strict=True):
        record["discriminator_loss"], record["d_accuracy"] = loss, accuracy
    folder.metrics_path.write_text("".join(json.dumps(record) + "\n" for record in records))
    found = diagnose_run(folder, lambda config: data)
    assert found.record["verdicts"][0]["name"] == "d-won"
    name = f"step-{2 * training.steps_per_epoch:09d}.safetensors"
    assert found.earlier == {"checkpoint": str(folder.checkpoints_path / name), "epoch": 2, "d_accuracy": 0.6}
    (folder.checkpoints_path / name).write_bytes(b"damaged")
    assert diagnose_run(folder, lambda config: data).earlier is None


def test_a_run_without_a_checkpoint_is_refused(tiny_experiment, data, tmp_path):
    folder, _ = start(tiny_experiment(), data, tmp_path / "run")
    with pytest.raises(CheckpointError, match="there is no checkpoint yet"):
        diagnose_run(folder, lambda config: data)


def test_other_data_are_refused(tiny_experiment, tiny_data, data, tmp_path):
    folder, training = start(tiny_experiment(*EVERY), data, tmp_path / "run")
    run(folder, training, Limits(steps=3))
    with pytest.raises(CheckpointError, match=r"step-000000003\.safetensors: the checkpoint holds an order of 300"):
        diagnose_run(folder, lambda config: tiny_data(80))
