from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from tests.examples.test_losses import load
from tinygan import data
from tinygan.backend import Stream
from tinygan.cli import main as tinygan
from tinygan.config.experiment import load_experiment
from tinygan.experiments.trained import train_in_memory
from tinygan.pictures.plates import FRAME_COLOUR, GAP

pytestmark = pytest.mark.slow

TILE = 64 + GAP


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load("figure_2", monkeypatch)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A short run of digits."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    assert tinygan(["train", "digits", "--epochs", "2", "--out", str(folder), "--quiet"]) == 0
    return str(folder)


def test_fair_draws_and_the_nearest_training_image(example: Any) -> None:
    subject = train_in_memory(load_experiment("digits", ["training.epochs=1"]), data.load("digits"))
    picture = example.panel(subject, 3)
    tiles = picture[GAP:, GAP:].reshape(4, TILE, 6, TILE, 3).swapaxes(1, 2)[:, :, :64:8, :64:8]
    samples = subject.draw(20, Stream(3, "figure 2"))
    assert (tiles[:, :5].reshape(20, 8, 8, 3) == subject.colours(samples)).all()
    train = subject.dataset.train.images
    for row in range(4):
        nearest = ((train - samples[5 * row + 4]) ** 2).sum(axis=1).argmin()
        assert (tiles[row, 5] == subject.colours(train[nearest : nearest + 1])[0]).all()
    framed = (picture == FRAME_COLOUR).all(axis=2)
    assert framed.any()
    assert not framed[:, : 5 * TILE + 1].any()


def test_the_numbers_of_a_run_as_json(example: Any, run: str, tmp_path: Path, capsys: Any) -> None:
    assert example.main([run, "--json", "--out", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    needed = {"nearest_ratio", "nearest_ratio_error", "mmd2_before", "mmd2_after", "classes", "seconds", "epochs"}
    assert needed <= set(found)
    assert (found["epochs"], found["steps"], found["samples"]) == (2, 42, 1000)
    assert imread(tmp_path / "figure_2.png").std() > 0.1


def test_the_same_run_is_the_same_picture(example: Any, run: str, tmp_path: Path, capsys: Any) -> None:
    pictures = []
    for seed in ("0", "0", "1"):
        assert example.main([run, "--seed", seed, "--out", str(tmp_path)]) == 0  # the file is replaced
        pictures.append((tmp_path / "figure_2.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]
    assert [path.name for path in tmp_path.iterdir()] == ["figure_2.png"]
    told = capsys.readouterr().out
    assert "epochs (42 steps) in" in told
    assert "of 200 test images" in told
    assert f"Drawn in {tmp_path / 'figure_2.png'}" in told


def test_two_runs_have_two_panels_and_two_objects(example: Any, run: str, tmp_path: Path, capsys: Any) -> None:
    other = tmp_path / "other"
    assert tinygan(["train", "digits", "--epochs", "1", "--seed", "5", "--out", str(other), "--quiet"]) == 0
    capsys.readouterr()
    assert example.main([run, str(other), "--json", "--out", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(name, numbers["epochs"]) for name, numbers in found.items()] == [("one", 2), ("other", 1)]
    alone = tmp_path / "alone"
    assert example.main([str(other), "--json", "--out", str(alone)]) == 0
    assert json.loads(capsys.readouterr().out) == found["other"]
    both, one = (imread(io.BytesIO((folder / "figure_2.png").read_bytes())) for folder in (tmp_path, alone))
    width = one.shape[1]
    assert both.shape[1] == 2 * width
    np.testing.assert_array_equal(both[: 4 * TILE, width:], one[: 4 * TILE])


def test_one_run_given_twice_keeps_both(example: Any, run: str, tmp_path: Path, capsys: Any) -> None:
    again = f"{run}/../one"
    assert example.main([run, again, "--json", "--out", str(tmp_path)]) == 0
    assert list(json.loads(capsys.readouterr().out)) == [run, str(Path(again))]


def test_trained_on_the_spot(example: Any, tmp_path: Path, capsys: Any) -> None:
    assert example.main(["--steps", "3", "--json", "--quiet", "--out", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == 3
    assert found["epochs"] == pytest.approx(3 / 21)
    assert found["seconds"] > 0


def test_more_runs_than_letters_are_refused(example: Any, run: str, capsys: Any) -> None:
    assert example.main([run] * 27) == 2
    assert "expected at most 26 runs" in capsys.readouterr().err
