"""Run folders like those of training, made without training."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinygan.config.experiment import load_experiment, to_toml
from tinygan.pictures.sheets import data_path, save_sheet, sheet_path
from tinygan.runs.json_lines import append_record
from tinygan.runs.run_folder import RunFolder

LAYERS = [(player, i) for player, layers in (("discriminator", (1, 3, 5)), ("generator", (0, 2, 4))) for i in layers]


def _metrics_of(epoch, **changes):
    """Return a record with the fields of `Training.metrics`, near the equilibrium at late epochs."""
    away = math.exp(-epoch / 10)
    return {
        "epoch": epoch,
        "steps": 21 * epoch,
        "discriminator_loss": math.log(4) - 0.3 * away,
        "generator_loss": math.log(2) + 2 * away,
        "d_real": 0.5 + 0.3 * away,
        "d_fake": 0.5 - 0.3 * away,
        "d_accuracy": 0.5 + 0.4 * away,
        "value": 0.3 * away - math.log(4),
        "value_at_equilibrium": -math.log(4),
        "generator_gradient_norm": 0.2 + away,
        "discriminator_gradient_norm": 0.5 + away,
        "generator_lr": 0.1,
        "discriminator_lr": 0.05,
        "momentum": None,
    } | changes


def _diagnosis_of(epoch):
    """Return a diagnosis: until epoch 15 D has won; every tenth epoch a classifier was trained."""
    verdict = {
        "name": "d-won", "title": "d has won", "says": "G's gradient falls.", "number": 0.987,
        "reference": 0.5, "advice": ["train D less", "resume an earlier checkpoint"],
    }  # fmt: skip
    trained = {"classifier_accuracy": 0.9 - epoch / 100, "classifier_standard_error": 0.025, "recall": 0.5}
    measures = (trained if epoch % 10 == 0 else {}) | {"precision": 0.75, "jsd_bound_held_out": 0.01 * epoch}
    return {"epoch": epoch, "verdicts": [verdict] if epoch < 15 else [], "measures": measures}


@pytest.fixture
def diagnosis_of():
    """Return a function that makes a diagnosis."""
    return _diagnosis_of


@pytest.fixture
def metrics_of():
    """Return a function that makes a record."""
    return _metrics_of


@pytest.fixture
def make_run(tmp_path):
    """Return a function that makes a run folder."""

    def make(
        epochs=0, sheets=(), experiment="digits", overrides=(), environment=None, change=None, *,
        name=None, data=False, diagnosed=(), layers=False,
    ):  # fmt: skip
        config = load_experiment(experiment, [f"training.epochs={max(epochs, 1)}", *overrides])
        folder = tmp_path / (name or f"run-{experiment}")
        run = RunFolder.create(folder, to_toml(config), environment or {"python": "3.11.0", "cpus": 2})
        for epoch in range(1, epochs + 1):
            norms = {f"{player}.{i}": i + 1 / epoch for player, i in LAYERS} if layers else {}
            by_layer = {"gradient_norms": norms} if layers else {}
            run.append_metrics(_metrics_of(epoch, **by_layer, **(change(epoch) if change else {})))
            run.append_timing({"epoch": epoch, "seconds": 0.05 * epoch})
        for epoch in sheets:
            save_sheet(sheet_path(run, epoch), np.random.default_rng(epoch).random((4, 64)), (8, 8))
        if data:
            save_sheet(data_path(run), np.random.default_rng(99).random((4, 64)), (8, 8))
        for epoch in diagnosed:
            append_record(run.path / "diagnosis.jsonl", _diagnosis_of(epoch))
        return run

    return make
