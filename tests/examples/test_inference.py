from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from tests.examples.test_losses import load
from tinygan.backend import Stream
from tinygan.data.dataset import Dataset, Split

pytestmark = pytest.mark.slow


def spots(count: int, name: str) -> Split:
    """Images of 3x3 pixels with one bright spot: two numbers say where it is. The label is its quarter."""
    where = Stream(0, name).uniform((count, 2))
    across, down = (np.exp(-((np.arange(3) - 2 * where[:, [axis]]) ** 2)) for axis in (0, 1))
    images = (down[:, :, None] * across[:, None, :]).reshape(count, 9)
    return Split(images.astype(np.float32), ((where > 0.5) @ [1, 2]).astype(np.uint8))


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program with small networks, on an easy data set."""
    program = load("inference", monkeypatch)
    monkeypatch.setattr(program, "UNITS", 32)
    monkeypatch.setattr(program, "NOISE", program.gan.Noise("uniform", 2))
    monkeypatch.setattr(program, "ADAM", lambda params: program.optim.Adam(params, 0.002, (0.0, 0.99)))
    easy = Dataset("spots", (3, 3), spots(2000, "train"), spots(10, "validation"), spots(500, "test"))
    monkeypatch.setattr(program.data, "load", lambda name, folder: easy)
    return program


def run(example: Any, tmp_path: Path, *words: str) -> int:
    return example.main(["--seeds", "1", "--quiet", "--out", str(tmp_path), *words])


def test_both_encoders_invert_their_generators(example: Any, tmp_path: Path, capsys: Any) -> None:
    assert run(example, tmp_path, "--epochs", "10", "--json") == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert told.err == ""
    assert (found["dataset"], found["method"], found["penalty"], found["epochs"]) == ("mnist", "both", 1.0, 10)
    ratios = [found[f"reconstruction_ratio_{method}"] for method in example.METHODS]
    assert found["reconstruction_ratio"] == max(ratios) < 0.6  # 1 without a code
    accuracies = [found[f"nearest_neighbour_accuracy_{method}"] for method in example.METHODS]
    assert found["nearest_neighbour_accuracy"] == min(accuracies) > 0.9
    assert 0.3 < found["nearest_neighbour_accuracy_untrained"] < 1
    assert imread(tmp_path / "inference.png").std() > 0.1


def test_the_table_has_a_row_for_each_encoder(example: Any, tmp_path: Path, capsys: Any) -> None:
    assert run(example, tmp_path, "--epochs", "1", "--method", "bigan", "--penalty", "0") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["reconstruction", "bigan", "untrained"]


@pytest.mark.parametrize("penalty", ["-1", "nan", "inf"])
def test_a_bad_penalty_is_refused(example: Any, tmp_path: Path, capsys: Any, penalty: str) -> None:
    assert run(example, tmp_path, "--penalty", penalty) == 2
    assert "R1: weight" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--method", "wake-sleep"], ["--dataset", "gaussian"], ["--penalty", "one"]])
def test_bad_options_are_refused(example: Any, tmp_path: Path, capsys: Any, words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(example, tmp_path, *words)
    assert words[0] in capsys.readouterr().err
