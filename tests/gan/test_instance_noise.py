"""Noise on D's inputs: its size, its schedule, its stream."""

from __future__ import annotations

import numpy as np
import pytest

from tinygan import gan, nn
from tinygan.backend import Stream, Streams
from tinygan.errors import ArgumentError, DtypeError


class Watching(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.seen = nn.Linear(3, 1, rng=Stream(1, "w")), []

    def forward(self, x):
        self.seen.append(x.numpy().copy())
        return self.net(x)


def game(std, seed=1, **options):
    generator = nn.Linear(2, 3, rng=Stream(0, "w"))
    noise = gan.Noise("gaussian", 2)
    return gan.Algorithm1(generator, Watching(), noise=noise, streams=Streams(seed), instance_noise=std, **options)


DATA = np.zeros((2000, 3), np.float32)


@pytest.mark.parametrize("options", [{}, {"schedule": "simultaneous"}, {"separate_passes": True}])
def test_every_pass_has_new_noise_of_the_given_size(options):
    played = game(0.25, **options)
    played.step(DATA)
    first = played.discriminator.seen[0][:2000]
    assert first.std() == pytest.approx(0.25, rel=0.05)
    assert first.mean() == pytest.approx(0, abs=0.02)
    assert first.dtype == np.float32
    clean = game(0.0, **options)
    clean.step(DATA)
    assert len(clean.discriminator.seen) == len(played.discriminator.seen)
    assert not np.array_equal(played.discriminator.seen[-1], clean.discriminator.seen[-1])  # G's update, too
    assert "instance noise" not in clean.streams.state_dict()["streams"]


def test_the_schedule_counts_iterations():
    played = game(gan.InstanceNoise(0.4, until=4), k=2)
    sizes = []
    for _ in range(6):
        played.discriminator.seen.clear()
        played.step(DATA[:1000])
        sizes.append([seen[:500].std() for seen in played.discriminator.seen[:2]])  # both updates of D
    assert np.allclose(sizes, [[0.4 * (1 - i / 4)] * 2 for i in (0, 1, 2, 3, 4, 4)], rtol=0.1, atol=1e-7)


def test_the_stream_decides_the_noise():
    passes = []
    for seed in (1, 1, 2):
        played = game(0.3, seed)
        played.step(DATA[:4])
        passes.append(played.discriminator.seen[0])
    assert np.array_equal(passes[0], passes[1])
    assert not np.array_equal(passes[0], passes[2])


def test_noise_changes_no_other_draw():
    plain, noisy = game(0.0), game(0.3)
    for played in (plain, noisy):
        played.step(DATA[:4])
    positions = [played.streams["noise"].position for played in (plain, noisy)]
    assert positions[0] == positions[1]


@pytest.mark.parametrize("std", [-0.1, float("nan"), float("inf"), lambda step: -1.0])
def test_sizes_that_are_no_deviation_are_refused(std):
    with pytest.raises(ArgumentError, match=r"^Algorithm1: instance_noise is .* after 0 iterations; expected a finite"):
        game(std)


def test_a_schedule_is_checked_where_it_is_made():
    for std in (0, -1, float("nan")):
        with pytest.raises(ArgumentError, match=r"^InstanceNoise: std"):
            gan.InstanceNoise(std, 5)
    with pytest.raises(ArgumentError, match=r"^InstanceNoise: until"):
        gan.InstanceNoise(0.1, 0)
    with pytest.raises(DtypeError, match="instance_noise must be a number"):
        game("0.3")
