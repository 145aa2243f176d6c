"""Shipped experiments train with the same bits whether steps are replayed or made on the tape."""

from __future__ import annotations

import pytest

from tests.doubles.small import NAMES, small, stand_in
from tinygan.cli import main
from tinygan.experiments.training import Training
from tinygan.trace import detect_anomaly

# Their layers or penalties may do something else in each step.
ON_THE_TAPE = {"dcgan-cifar10", "dcgan-digits", "dcgan-mnist", "digits-conditional"}
SMALL = ("training.batch=300", "training.epochs=1", "output.samples=4")


def pair(name):
    config = small(name)
    trainings = [Training(config, stand_in(config.data.set)) for _ in range(2)]
    trainings[1].replay = False
    return trainings


def state(training):
    arrays, plain = training.state()
    gradients = [None if p.grad is None else p.grad.data.tobytes() for p in training.game.generator.parameters()]
    return {name: array.tobytes() for name, array in arrays.items()}, plain, gradients, training.metrics()


def go_on(training, steps):
    for _ in range(steps):
        if training.epoch_is_over:
            training.next_epoch()
        training.step()


@pytest.mark.parametrize("name", NAMES)
def test_shipped_experiments_have_the_same_bits(name):
    replayed, taped = pair(name)
    for training in (replayed, taped):
        go_on(training, 5)
    assert state(replayed) == state(taped)
    assert bool(replayed._replayed.why) is (name in ON_THE_TAPE)


@pytest.mark.parametrize("before", [0, 1, 2, 5])
def test_a_state_continues_with_the_same_bits(before):
    """Whatever had been recorded on either side."""
    replayed, taped = pair("digits")
    go_on(replayed, before)
    arrays, plain = replayed.state()
    other, _ = pair("digits")
    go_on(other, 3)
    other.load_state(arrays, plain)
    for training in (replayed, other):
        go_on(training, 4)
    go_on(taped, before + 4)
    assert state(replayed) == state(taped) == state(other)


def test_steps_may_be_watched_and_switched_in_between():
    replayed, taped = pair("digits")
    go_on(replayed, 3)
    with detect_anomaly():
        go_on(replayed, 1)
    assert replayed._replayed.why
    replayed.replay = False
    go_on(replayed, 1)
    replayed.replay = True
    go_on(replayed, 1)
    assert not replayed._replayed.why
    go_on(taped, 6)
    assert state(replayed) == state(taped)


def test_the_option_eager(tmp_path):
    """The files of a run are the same bytes, but for times."""
    overrides = [part for override in SMALL for part in ("--set", override)]
    for name, options in (("replayed", ()), ("taped", ("--eager",))):
        assert main(["train", "digits", "--quiet", "--out", str(tmp_path / name), *overrides, *options]) == 0
    files = [path.relative_to(tmp_path / "taped") for path in sorted((tmp_path / "taped").rglob("*.safetensors"))]
    assert files
    for file in files:
        assert (tmp_path / "replayed" / file).read_bytes() == (tmp_path / "taped" / file).read_bytes()
