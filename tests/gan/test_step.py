"""A step as it is printed, for every objective."""

from __future__ import annotations

import numpy as np
import pytest

from tinygan import gan, nn
from tinygan.backend import Stream, Streams


def step(**options):
    players = nn.Linear(2, 3, rng=Stream(0, "w")), nn.Linear(3, 1, rng=Stream(1, "w"))
    game = gan.Algorithm1(*players, noise=gan.Noise("gaussian", 2), streams=Streams(0), **options)
    return game.step(np.ones((4, 3), np.float32))


@pytest.mark.parametrize(
    ("options", "d", "g", "answers"),
    [
        ({}, "(1.3863 at equilibrium)", "(0.6931 at equilibrium)", "(0.5 each at equilibrium)"),
        ({"objective": "minimax"}, "(1.3863 at", "(-0.6931 at", "(0.5 each"),
        ({"objective": "lsgan"}, "(0.2500 at", "(0.1250 at", "(0.5 each at equilibrium)"),
        ({"objective": "hinge"}, "(2.0000 at", "(no known value at equilibrium)", "(equal at equilibrium)"),
        ({"objective": (lambda a, b: b.mean() - a.mean(), lambda b: b.mean())}, "(no known", "(no known", "(equal"),
        ({"label_smoothing": 0.1}, "(1.3763 at", "(0.7985 at", "(0.45, 0.45 and 0.5 at equilibrium)"),
    ],
)
def test_what_each_line_says_of_the_equilibrium(options, d, g, answers):
    lines = str(step(**options)).splitlines()
    assert len(lines) == 3
    assert all(part in line for part, line in zip((d, g, answers), lines, strict=True))
    assert max(map(len, lines)) < 90


def test_outputs_that_are_no_probability_are_numbers():
    found = step(objective="hinge")
    means = found.real_logits.numpy().mean(), found.fake_logits.numpy().mean()
    assert f"D's output: {means[0]:.3f} for x, {means[1]:.3f} for G(z)" in str(found)


def test_the_penalty_is_printed():
    found = step(penalty=gan.R1(1.0))
    assert f"penalty {found.penalty.item():.4f}" in str(found).splitlines()[0]


def test_the_monitor_takes_the_middle_of_lsgan_for_undecided():
    found = step(objective="lsgan")
    monitor = gan.Monitor(found.real_logits.backend)
    monitor.add(found)
    right = ((found.real_logits.numpy() > 0.5).mean() + (found.fake_logits.numpy() <= 0.5).mean()) / 2
    assert monitor.means()["d_accuracy"] == pytest.approx(right)
