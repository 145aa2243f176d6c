"""Hashes tell which player moved."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan import gan, nn
from tinygan.trace.moved import PLAYERS, Before, hashes, moved, named_parameters


@pytest.fixture
def game():
    return gan.Algorithm1(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)))


def test_a_hash_is_that_of_the_bytes_in_order(game):
    for player in PLAYERS:
        content = b"".join(parameter.numpy().tobytes() for _, parameter in named_parameters(game, player))
        assert hashes(game)[player] == hashlib.sha256(content).hexdigest()


def test_names_have_the_player_first(game):
    names = [name for name, _ in named_parameters(game)]
    assert names == ["generator.weight", "generator.bias", "discriminator.0.weight", "discriminator.0.bias",
                     "discriminator.2.weight", "discriminator.2.bias"]  # fmt: skip


@given(st.data())
def test_one_changed_bit_is_seen(data):
    game = gan.Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1))
    before = Before(game)
    name, parameter = data.draw(st.sampled_from(list(named_parameters(game))))
    bits = parameter.data.reshape(-1).view(np.uint32)
    bits[data.draw(st.integers(0, bits.size - 1))] ^= np.uint32(1 << data.draw(st.integers(0, 22)))
    changes = before.changes()
    assert changes["moved"] == [name.split(".")[0]]
    assert [row["name"] for row in changes["parameters"] if row["moved"]] == [name]


def test_sizes_of_updates(game):
    parameter = game.discriminator[0].weight
    parameter.data[...] = 2
    before = Before(game)
    parameter.data[...] += 1
    rows = {row["name"]: row for row in before.changes("discriminator")["parameters"]}
    assert "generator.weight" not in rows
    row = rows["discriminator.0.weight"]
    assert row["update_norm"] == pytest.approx(np.sqrt(12))
    assert row["ratio"] == pytest.approx(0.5)
    assert rows["discriminator.0.bias"] | {"name": ""} == {
        "name": "", "shape": [4], "weight_norm": 0, "update_norm": 0, "ratio": None, "moved": False
    }  # fmt: skip


def test_no_player_moved(game):
    assert moved(hashes(game), hashes(game))["moved"] == []


def test_an_update_beyond_all_bounds_has_no_warning(game):
    game.generator.weight.data[...] = -3e38
    before = Before(game)
    game.generator.weight.data[...] = 3e38
    row = before.changes("generator")["parameters"][0]
    assert (row["update_norm"], row["moved"]) == (float("inf"), True)
