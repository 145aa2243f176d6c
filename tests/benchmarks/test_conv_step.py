"""Both contestants of ``conv``, in this process; those of PyTorch only where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.contestants import build_conv_contestant
from benchmarks.conv_games import GAMES, LAYERS, WAYS, ConvTask, Game, Layer, dcgan, sample
from benchmarks.conv_step import TinyganGame, TinyganLayer
from benchmarks.crew import refuse_disagreement
from benchmarks.errors import BenchmarkError, DisagreementError, PeerMissingError
from tinygan import functional as F
from tinygan.engine import Tensor


def of_2014(layers: Any) -> Any:
    """Build a small game with every kind of layer that cifar10-conv has."""
    generator = layers.Sequential(
        layers.Linear(100, 6), layers.ReLU(), layers.Linear(6, 18), layers.Sigmoid(), layers.Reshape(2, 3, 3),
        layers.ConvTranspose2d(2, 2, 5, stride=3),
    )  # fmt: skip
    discriminator = layers.Sequential(
        layers.Dropout(0.2), layers.MaxoutConv2d(2, 4, 2, 4, padding=2), layers.MaxPool2d(4, 2, ceil_mode=True),
        layers.Flatten(), layers.Dropout(0.5), layers.Maxout(4 * 5 * 5, 5, 3), layers.Linear(5, 1),
    )  # fmt: skip
    return generator, discriminator


@pytest.fixture(autouse=True)
def small(monkeypatch: Any) -> None:
    rules = {"lr": 0.1, "momentum": 0.5}
    monkeypatch.setitem(GAMES, "adam", Game((2, 8, 8), 4, "uniform", dcgan((2, 8, 8), (3, 5)), (0.2, 0.2)))
    monkeypatch.setitem(GAMES, "2014", Game((2, 11, 11), 4, "gaussian", of_2014, (0.2, 0.2), rules, released=True))
    monkeypatch.setitem(LAYERS, "down", Layer(3, (2, 9), (4, 5), 4, 2, 1 + 1))
    monkeypatch.setitem(LAYERS, "up", Layer(3, (2, 9), (4, 3), 5, 2, 0, transposed=True))


def task_of(name: str, way: str = "") -> ConvTask:
    return ConvTask(name, 1, 4, way)


@pytest.mark.parametrize("name", ["adam", "2014"])
def test_a_game_is_played_and_timed(name: str) -> None:
    contestant, again = TinyganGame(task_of(name)), TinyganGame(task_of(name))
    noise = task_of(name).noise()
    played = contestant.play(noise)
    assert played == again.play(noise)
    assert len(played["losses"]) == 3
    assert len(contestant.run(2)) == 2
    assert contestant.play(noise) != played  # it learns
    names = [f"generator.{name}" for name, _ in contestant.networks[0].named_parameters()]
    names += [f"discriminator.{name}" for name, _ in contestant.networks[1].named_parameters()]
    assert sorted(played["gradients"]) == sorted(names)
    assert all(np.linalg.norm(gradient) > 0 for gradient in played["gradients"].values())


@pytest.mark.parametrize("name", ["adam", "2014"])
def test_playing_leaves_the_game_as_it_was(name: str) -> None:
    contestant = TinyganGame(task_of(name))
    prior = contestant.game.noise
    contestant.play(task_of(name).noise())
    assert contestant.game.noise is prior
    assert all(layer.training for network in contestant.networks for layer in network.modules())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["down", "up"])
def test_a_layer_computes_what_its_way_says(name: str, way: str) -> None:
    task, layer = task_of(name, way), LAYERS[name]
    function = F.conv_transpose2d if layer.transposed else F.conv2d
    x, w, gy = (Tensor(array.astype(float), requires_grad=True) for array in task.arrays())
    y = function(x, w, None, layer.stride, layer.padding)
    y.backward(gy)
    result = {"forward": y, "by input": x.grad, "by weight": w.grad}[way]
    assert result is not None
    contestant = TinyganLayer(task)
    assert np.allclose(contestant.play(None)["gradients"]["its result"], sample(result.data), rtol=1e-4, atol=1e-4)
    assert len(contestant.run(3)) == 3


def test_a_gradient_that_is_permuted_is_refused() -> None:
    played = TinyganGame(task_of("adam")).play(task_of("adam").noise())
    refuse_disagreement({"tinygan": played, "same": played})
    gradients = {name: values[::-1] for name, values in played["gradients"].items()}
    with pytest.raises(DisagreementError, match=r"other .* the gradient in iteration 1 of \S+ is off by"):
        refuse_disagreement({"tinygan": played, "other": {**played, "gradients": gradients}})


def test_a_missing_peer_says_how_to_get_it(monkeypatch: Any) -> None:
    monkeypatch.setattr("benchmarks.contestants.importlib.util.find_spec", lambda name: None)
    with pytest.raises(PeerMissingError, match="torch not installed"):
        build_conv_contestant("torch", task_of("adam"))


@pytest.mark.parametrize("name", ["adam", "2014"])
def test_pytorch_plays_the_same_game(name: str) -> None:
    pytest.importorskip("torch")
    noise = task_of(name).noise()
    ours, theirs = (build_conv_contestant(who, task_of(name)) for who in ("tinygan", "torch"))
    plays = {"tinygan": ours.play(noise), "torch": theirs.play(noise)}
    refuse_disagreement(plays)
    assert len(theirs.run(2)) == 2
    with pytest.raises(BenchmarkError, match="does not play the same game"):
        refuse_disagreement({**plays, "torch": theirs.play(noise)})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["down", "up"])
def test_pytorch_computes_the_same_layer(name: str, way: str) -> None:
    pytest.importorskip("torch")
    contestants = {who: build_conv_contestant(who, task_of(name, way)) for who in ("tinygan", "torch")}
    refuse_disagreement({who: contestant.play(None) for who, contestant in contestants.items()})
