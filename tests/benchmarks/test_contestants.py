from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.contestants import EXTRAS, NAMES, PEERS, build_contestant, default_peers, refuse_missing
from benchmarks.crew import refuse_disagreement
from benchmarks.errors import BenchmarkError, PeerMissingError
from benchmarks.peers.rules import refuse_unwritten
from benchmarks.task import Task, make_task
from benchmarks.tinygan_step import TinyganStep
from tinygan.backend import select_backend

CONVOLUTIONAL = """
name = "small"
seed = 4
data.set = "cifar10"
noise = { kind = "gaussian", size = 5 }

[generator]
layers = [{ type = "linear", units = 18, weight_range = 0.5 }, { type = "relu" },
          { type = "maps", height = 3, width = 3 },
          { type = "conv_transpose2d", channels = 3, kernel = 5, stride = 3, weight_range = 0.3, bias = "none" },
          { type = "bias" }, { type = "pixels" }]
optimizer = { kind = "sgd", lr = 0.1, momentum = 0.5 }

[discriminator]
layers = [{ type = "dropout", p = 0.2 }, { type = "maps", height = 11, width = 11 },
          { type = "maxout_conv2d", units = 4, pieces = 2, kernel = 4, padding = 2, weight_range = 0.3 },
          { type = "max_pool2d", size = 4, stride = 2, ceil_mode = true },
          { type = "conv2d", channels = 4, kernel = 2, stride = 2, weight_range = 0.3 },
          { type = "flatten" }, { type = "dropout", p = 0.5 },
          { type = "maxout", units = 5, pieces = 3 }, { type = "linear", units = 1 }]
optimizer = { kind = "sgd", lr = 0.1, momentum = 0.5 }

[training]
epochs = 1
batch = 6
threads = 1
"""
CPU_PEERS = ("torch", "torch-compile", "jax")


def need(name: str) -> None:
    if importlib.util.find_spec(PEERS[name]) is None:
        pytest.skip(f"{PEERS[name]} is not installed: pip install -e '.[peers]'")


def test_missing_peers_say_how_to_get_them(monkeypatch: Any, capsys: Any, tiny: str) -> None:
    monkeypatch.setattr("benchmarks.contestants.importlib.util.find_spec", lambda name: None)
    missing = r"cupy and jax and numba and torch not installed; .* pip install -e '.\[cuda13,fast,peers\]'"
    with pytest.raises(PeerMissingError, match=missing):
        refuse_missing(NAMES)
    assert "tinygan-numba" not in default_peers("cpu")
    refuse_missing(["tinygan", "products"])
    assert main(["step", "--experiment", tiny, "--peers", "jax"]) == 1
    assert "jax not installed" in capsys.readouterr().err


def test_the_extra_installs_what_the_peers_need() -> None:
    import configparser

    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    extra = setup["options.extras_require"]["peers"].split()
    assert {requirement.partition(">")[0] for requirement in extra} == set(PEERS.values()) - set(EXTRAS)
    assert all(name in setup["options.extras_require"] for name in EXTRAS.values())


def test_a_captured_graph_is_for_a_gpu() -> None:
    assert [name for name in default_peers("cpu") if name != "tinygan-numba"] == list(CPU_PEERS)
    graphs = {"torch-reduce-overhead", "torch-graph"}
    assert set(default_peers("cuda")) - set(CPU_PEERS) >= graphs
    assert "tinygan-numba" not in default_peers("cuda")
    assert default_peers("cpu", ("torch-graph", "jax")) == ["jax"]


def test_unknown_contestants_are_refused(tiny: str) -> None:
    with pytest.raises(BenchmarkError, match="unknown contestant 'theano'"):
        build_contestant("theano", make_task(tiny))


def agree(name: str, task: Task) -> Any:
    """Let a peer play beside tinygan; return it."""
    peer = build_contestant(name, task)
    plays = {"tinygan": TinyganStep(task).play(task.noise()), name: peer.play(task.noise())}
    assert all(norm > 0 for norm in plays["tinygan"]["moved"].values())
    refuse_disagreement(plays, task.loose)
    return peer


@pytest.mark.parametrize("schedule", ["alternating", "simultaneous"])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_peers_play_the_same_game(name: str, k: int, schedule: str, tiny: str) -> None:
    need(name)
    task = make_task(tiny, schedule, overrides=[f"training.k={k}"])
    peer = agree(name, task)
    before = peer.play(task.noise())
    assert len(peer.run(2)) == (1 if name == "jax" else 2)
    assert peer.play(task.noise()) != before  # it learns


@pytest.mark.parametrize(
    "overrides",
    [
        ['training.objective="minimax"'],
        ['training.objective="lsgan"'],
        ['training.objective="hinge"'],
        ["generator.optimizer.momentum=0.0"],
        ["generator.optimizer.lr_decay=1.05", "generator.optimizer.momentum=0.0"],
        ["discriminator.optimizer.max_col_norm=0.3"],
        ["discriminator.optimizer.weight_decay=0.1"],
    ],
)
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_peers_know_every_option_of_a_game(name: str, overrides: list[str], tiny: str) -> None:
    need(name)
    agree(name, make_task(tiny, overrides=overrides))


@pytest.mark.parametrize("schedule", ["alternating", "simultaneous"])
@pytest.mark.parametrize("experiment", ["digits", "gaussian", "digits-conditional", "dcgan-digits"])
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_peers_play_what_is_shipped(name: str, experiment: str, schedule: str) -> None:
    need(name)
    agree(name, make_task(experiment, schedule, overrides=["training.batch=12"])).run(1)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_peers_play_every_convolutional_layer(name: str, tmp_path: Path) -> None:
    """The layers of cifar10-conv, which is too large for a test."""
    need(name)
    path = tmp_path / "small.toml"
    path.write_text(CONVOLUTIONAL, encoding="utf-8")
    for schedule in ("alternating", "simultaneous"):
        agree(name, make_task(str(path), schedule)).run(1)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ('generator.optimizer={kind="rmsprop", lr=0.1}', 'generator.optimizer.kind = "rmsprop"'),
        ("training.label_smoothing=0.1", "training.label_smoothing"),
        ("training.instance_noise=0.1", "training.instance_noise"),
        ('noise.kind="spherical"', 'noise.kind = "spherical"'),
        ("generator.layers.0.spectral_norm=true", r"generator.layers\[0\].spectral_norm"),
        ('training.penalty={kind="r2"}', 'training.penalty.kind = "r2"'),
        ("generator.optimizer.lr_warmup=5", "generator.optimizer.lr_warmup"),
    ],
)
def test_a_setting_that_is_not_written_is_named(change: str, word: str, tiny: str) -> None:
    task = make_task(tiny, overrides=[change])
    with pytest.raises(BenchmarkError, match=f"some-peer: {word}: not written for the peers"):
        refuse_unwritten("some-peer", task.config)
    refuse_unwritten("some-peer", make_task(tiny).config)


def test_compiled_pytorch_makes_no_second_derivative() -> None:
    need("torch")
    with pytest.raises(BenchmarkError, match=r"torch-compile: training\.penalty"):
        build_contestant("torch-compile", make_task("digits-conditional"))
    with pytest.raises(BenchmarkError, match="a CUDA graph needs device 'cuda'"):
        build_contestant("torch-reduce-overhead", make_task("digits"))


def test_the_numba_contestant_runs_on_its_backend(tiny: str) -> None:
    pytest.importorskip("numba")
    try:
        ours = build_contestant("tinygan-numba", make_task(tiny))
        assert type(ours.batches[0][0].backend).__name__ == "NumbaBackend"
        task = make_task(tiny)
        plays = {"tinygan-numba": ours.play(task.noise())}
    finally:
        select_backend("numpy")
    refuse_disagreement({"tinygan": TinyganStep(task).play(task.noise()), **plays})
