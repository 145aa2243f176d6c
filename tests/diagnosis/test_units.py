"""Idle units are counted as a loop over the rows counts them, and watching leaves no trace."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan import gan, nn
from tinygan.backend import Stream
from tinygan.diagnosis.units import dead_units, idle_pieces, named_layers, watched
from tinygan.errors import ShapeError


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 4), st.integers(1, 30))
def test_idle_pieces_are_those_of_a_loop(seed, units, pieces, rows):
    layer = nn.Maxout(3, units, pieces, rng=Stream(seed, "weights"))
    x = np.random.default_rng(seed).normal(size=(rows, 3)).astype(np.float32)
    winners = {
        (unit, int(np.argmax([row @ layer.weight.data[:, piece * units + unit] for piece in range(pieces)])))
        for row in x
        for unit in range(units)
    }
    expected = (units * pieces - len(winners)) / (units * (pieces - 1))
    assert idle_pieces(layer, x) == pytest.approx(expected)
    assert idle_pieces(layer, np.concatenate([x] * 1001)) == pytest.approx(expected)  # in several blocks


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 8))
def test_dead_units_are_those_without_a_positive_input(seed, units, rows):
    x = np.random.default_rng(seed).normal(size=(rows, units)) - 0.5
    assert dead_units(x) == pytest.approx(np.mean([not any(x[:, unit] > 0) for unit in range(units)]))


class Twice(nn.Module):
    """One ReLU that is used twice, on either sign: no unit is dead."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.ReLU())

    def forward(self, x):
        return self.inner(x) + self.inner(-x)


def test_a_layer_that_is_used_twice_is_judged_by_both():
    result, found = watched(Twice(), -np.ones((4, 3), np.float32), "generator")
    assert found == {"dead_units.generator.inner.0": 0.0}
    assert (result == 1).all()


def test_watching_changes_nothing():
    net = nn.Sequential(nn.Dropout(0.5), nn.Maxout(3, 4, 2), nn.Sequential(nn.ReLU()), nn.Maxout(4, 2, 1))
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    result, found = watched(net, x, "d")
    assert sorted(found) == ["dead_units.d.2.0", "idle_pieces.d.1"]  # a maxout of one piece has no spare piece
    assert all(module.training for module in net.modules())
    assert not any("forward" in vars(module) for module in net.modules())
    net.eval()
    np.testing.assert_array_equal(result, gan.push(net, x))


def test_a_failure_inside_leaves_no_trace():
    net = nn.Sequential(nn.ReLU(), nn.Linear(7, 1))
    with pytest.raises(ShapeError):
        watched(net, np.ones((2, 3), np.float32), "g")
    assert "forward" not in vars(net[0])


def test_layers_have_the_names_of_their_parameters():
    net = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Maxout(3, 1, 2)))
    layers = [name for name, _ in named_layers(net, "g")]
    assert {f"g.{name}".rpartition(".")[0] for name, _ in net.named_parameters()} <= set(layers)
    assert layers == ["g", "g.0", "g.1", "g.1.0", "g.1.1"]
