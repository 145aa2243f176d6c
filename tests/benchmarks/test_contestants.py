from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.contestants import EXTRAS, NAMES, PEERS, build_contestant, default_peers, refuse_missing
from benchmarks.crew import refuse_disagreement
from benchmarks.errors import BenchmarkError, PeerMissingError
from benchmarks.task import make_task
from benchmarks.tinygan_step import TinyganStep

CPU_PEERS = ("torch", "torch-compile", "jax")


def need(name: str) -> None:
    if importlib.util.find_spec(PEERS[name]) is None:
        pytest.skip(f"{PEERS[name]} is not installed: pip install -e '.[peers]'")


def test_missing_peers_say_how_to_get_them(monkeypatch: Any, capsys: Any, tiny: str) -> None:
    monkeypatch.setattr("benchmarks.contestants.importlib.util.find_spec", lambda name: None)
    missing = r"cupy and jax and torch not installed; .* pip install -e '.\[cuda13,peers\]'"
    with pytest.raises(PeerMissingError, match=missing):
        refuse_missing(NAMES)
    refuse_missing(["tinygan", "products"])
    assert main(["step", "--experiment", tiny, "--peers", "jax"]) == 1
    assert "jax not installed" in capsys.readouterr().err


def test_the_extra_installs_what_the_peers_need() -> None:
    import configparser

    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    extra = setup["options.extras_require"]["peers"].split()
    assert {requirement.partition(">")[0] for requirement in extra} == set(PEERS.values()) - {"cupy"}
    assert all(name in setup["options.extras_require"] for name in EXTRAS.values())


def test_a_captured_graph_is_for_a_gpu() -> None:
    assert default_peers("cpu") == list(CPU_PEERS)
    assert default_peers("cuda") == list(PEERS)


def test_unknown_contestants_are_refused(tiny: str) -> None:
    with pytest.raises(BenchmarkError, match="unknown contestant 'theano'"):
        build_contestant("theano", make_task(tiny))


@pytest.mark.parametrize("schedule", ["alternating", "simultaneous"])
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_peers_play_the_same_game(name: str, k: int, schedule: str, tiny: str) -> None:
    need(name)
    task = make_task(tiny, schedule, overrides=[f"training.k={k}"])
    noise = np.random.default_rng(1).uniform(-1.7, 1.7, (4, k + 1, 6, 3)).astype(np.float32)
    peer = build_contestant(name, task)
    refuse_disagreement({"tinygan": TinyganStep(task).play(noise), name: peer.play(noise)})
    before = peer.play(noise)
    assert len(peer.run(2)) == 2
    assert peer.play(noise) != before  # it learns


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_peers_refuse_what_they_cannot_play(name: str, tiny: str) -> None:
    need(name)
    with pytest.raises(BenchmarkError, match=f"{name}: only SGD"):
        build_contestant(name, make_task("digits"))
    with pytest.raises(BenchmarkError, match=f"{name}: only the non-saturating objective"):
        build_contestant(name, make_task(tiny, overrides=['training.objective="minimax"']))
