from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

import tinygan as tg
from tinygan import gan
from tinygan.data import toys

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load("losses", monkeypatch)


@pytest.mark.parametrize("dataset", ["ring", "grid", "digits"])
def test_a_row_for_each_loss(
    example: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any, dataset: str
) -> None:
    monkeypatch.setattr(example.evaluation, "PACGAN_SAMPLES", 200)
    words = ["--dataset", dataset, "--steps", "2", "--out", str(tmp_path), "--quiet"]
    assert example.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:-1]] == list(example.ROWS)
    assert ("modes" in lines[0]) == (dataset != "digits")
    assert imread(tmp_path / f"losses_{dataset}.png").std() > 0.05  # something is drawn


def test_numbers_and_figure_of_kept_games(example: Any, tmp_path: Path, capsys: Any) -> None:
    words = ["--dataset", "digits", "--steps", "1", "--seeds", "2", "--out", str(tmp_path), "--quiet", "--json"]
    words += ["--results", str(tmp_path / "results.jsonl")]
    pictures = []
    for _ in range(2):
        assert example.main(words) == 0
        pictures.append((tmp_path / "losses_digits.png").read_bytes())
        example.play = pytest.fail  # all games are kept
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == second
    assert pictures[0] == pictures[1]
    assert (first["dataset"], first["steps"], first["seeds"]) == ("digits", 1, 2)
    for row in first["rows"].values():
        keys = {"mmd_squared", "precision", "recall", "ms_a_step", "seconds"}
        assert set(row) == keys | {f"{key}_standard_error" for key in keys}


def test_r1_brings_samples_near_the_data_earlier(example: Any, tmp_path: Path, capsys: Any) -> None:
    example.ROWS = {row: example.ROWS[row] for row in ("minimax", "non-saturating", "non-saturating, R1 of 1")}
    example.main(["--dataset", "digits", "--steps", "40", "--out", str(tmp_path), "--quiet", "--json"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows["non-saturating, R1 of 1"]["mmd_squared"] < 0.5 * rows["non-saturating"]["mmd_squared"]


@pytest.mark.parametrize("row", ["non-saturating", "wasserstein, clipping .05, k = 3"])
def test_every_game_makes_as_many_updates(
    example: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, row: str
) -> None:
    games, options = [], ["--dataset", "ring", "--steps", "10", "--out", str(tmp_path), "--quiet"]
    start = example.start

    def remember(*arguments: Any) -> gan.Algorithm1:
        games.append(start(*arguments))
        return games[-1]

    monkeypatch.setattr(example, "start", remember)
    example.ROWS = {"minimax": example.ROWS["minimax"], row: example.ROWS[row]}
    example.main(options)
    updates = [game.generator_optimizer.updates + game.discriminator_optimizer.updates for game in games]
    assert updates == [20, 20]


def test_spectral_norm_bounds_the_slope_of_d(example: Any) -> None:
    toy = toys.ring()
    slopes = []
    for row in ("hinge", "hinge, spectral norm"):
        game = example.start(dict(example.ROWS[row]), toy, 100, 0)
        for _ in range(60):
            game.step(toy.sample(32, game.streams["data"]))
        x = tg.tensor(toy.sample(100, game.streams["data"]), requires_grad=True)
        (slope,) = tg.grad(game.discriminator.eval()(x).sum(), [x])
        slopes.append(np.linalg.norm(slope.numpy(), axis=1).max())
    assert slopes[1] < 1 / 3 * slopes[0]
    assert slopes[1] < 1.05  # sigma is found by iteration


def test_mean_of_weights_is_another_generator(example: Any, tmp_path: Path, capsys: Any) -> None:
    plain, mean = "non-saturating", "non-saturating, mean of weights"
    example.ROWS = {"minimax": {"objective": "minimax"}, plain: example.ROWS[plain], mean: example.ROWS[mean]}
    example.main(["--dataset", "digits", "--steps", "40", "--out", str(tmp_path), "--quiet", "--json"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows[mean]["mmd_squared"] < rows[plain]["mmd_squared"]


@pytest.mark.parametrize("words", [["--data", "ring"], ["--dataset", "mnist"], ["--steps", "0"], ["--seeds", "x"]])
def test_bad_input_is_refused(example: Any, words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        example.main(words)
    assert stopped.value.code == 2
