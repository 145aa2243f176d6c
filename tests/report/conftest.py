"""Run folders like those of training, made without training."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinygan.config.experiment import load_experiment, to_toml
from tinygan.pictures.sheets import save_sheet, sheet_path
from tinygan.runs.run_folder import RunFolder


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


@pytest.fixture
def metrics_of():
    """Return a function that makes a record."""
    return _metrics_of


@pytest.fixture
def make_run(tmp_path):
    """Return a function that makes a run folder."""

    def make(epochs=0, sheets=(), experiment="digits", overrides=(), environment=None, change=None):
        config = load_experiment(experiment, [f"training.epochs={max(epochs, 1)}", *overrides])
        folder = tmp_path / f"run-{experiment}"
        run = RunFolder.create(folder, to_toml(config), environment or {"python": "3.11.0", "cpus": 2})
        for epoch in range(1, epochs + 1):
            run.append_metrics(_metrics_of(epoch, **(change(epoch) if change else {})))
            run.append_timing({"epoch": epoch, "seconds": 0.05 * epoch})
        for epoch in sheets:
            save_sheet(sheet_path(run, epoch), np.random.default_rng(epoch).random((4, 64)), (8, 8))
        return run

    return make
