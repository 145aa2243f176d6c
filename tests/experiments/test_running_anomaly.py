"""A run with a nan stops at once, keeps the last good checkpoint, and names the operation."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tinygan.cli import main
from tinygan.config.experiment import load_experiment
from tinygan.data import load
from tinygan.errors import AnomalyError
from tinygan.experiments.running import run, start
from tinygan.experiments.training import Training

SMALL = (
    "training.epochs=3",
    "training.batch=200",
    "output.checkpoint_every=1",
    "output.samples=4",
    "generator.layers.0.units=16",
    "generator.layers.2.units=16",
    "discriminator.layers.1.units=8",
    "discriminator.layers.3.units=8",
)


def test_it_stops_at_once_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    """The nan is planted after the second epoch, so two checkpoints are good."""
    config, dataset = load_experiment("digits", SMALL), load("digits")
    folder, training = start(config, dataset, tmp_path / "run")
    per_epoch = training.steps_per_epoch
    step = Training.step

    def sabotaged(self):
        if self.steps == 2 * per_epoch + 1:
            self.game.generator[0].weight.data[3, 2] = np.inf
        step(self)

    monkeypatch.setattr(Training, "step", sabotaged)
    with np.errstate(all="ignore"), pytest.raises(AnomalyError) as caught:
        run(folder, training)
    message = str(caught.value)
    assert f"step {2 * per_epoch + 2}, epoch 3" in message
    assert re.search(r"forward of 'linear': (nan|-?inf) at index ", message)
    assert "its input 1 held inf at index (3, 2) already" in message
    assert f"the last good checkpoint is {tmp_path / 'run' / 'checkpoints'}" in message
    checkpoint = folder.latest_checkpoint()
    assert checkpoint.state["steps"] == 2 * per_epoch
    assert all(np.isfinite(array).all() for array in checkpoint.arrays.values())
    assert [record["epoch"] for record in folder.metrics()] == [1, 2]


def test_the_command_prints_the_anomaly_and_fails(tmp_path, capsys):
    overrides = (*SMALL, "generator.optimizer.lr=1e38", "discriminator.optimizer.lr=1e38")
    options = [part for override in overrides for part in ("--set", override)]
    with np.errstate(all="ignore"):
        status = main(["train", "digits", "--quiet", "--out", str(tmp_path / "run"), *options])
    error = capsys.readouterr().err
    assert status == 1
    assert "training stopped: step " in error
    assert "forward of '" in error or "backward of '" in error
    assert "smaller learning rate" in error
