from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from tests.examples.test_losses import load
from tinygan import data, gan
from tinygan.config.experiment import load_experiment
from tinygan.experiments.trained import train_in_memory

pytestmark = pytest.mark.slow


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load("dcgan_latent_space", monkeypatch)


@pytest.fixture(scope="module")
def subject() -> Any:
    return train_in_memory(load_experiment("digits", ["training.epochs=15"]), data.load("digits"))


def test_pictures_and_numbers(example: Any, tmp_path: Path, capsys: Any) -> None:
    arguments = ["--epochs", "15", "--quiet", "--json", "--out", str(tmp_path)]
    assert example.main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"nearest_ratio", "mmd2_before", "mmd2_after", "classes", "seconds", "epochs"} <= set(found)
    arithmetic = found["arithmetic"]
    assert arithmetic["trials"] == 200
    for name in ("as_expected", "without_the_difference", "means"):
        assert 0 <= arithmetic[name] <= 1
        assert 0 < arithmetic[f"{name}_error"] < 0.05
    for name in ("dcgan_walk.png", "dcgan_arithmetic.png"):
        assert imread(tmp_path / name).std() > 0.1


def test_each_row_of_the_walk_starts_where_the_last_ends(example: Any, subject: Any) -> None:
    picture = example.walk(subject, 0)
    rows, columns = picture[6:, 6:].reshape(6, 70, 11, 70, 3).swapaxes(1, 2)[:, :, :64, :64], 11
    for row in range(5):
        assert abs(rows[row, columns - 1].astype(int) - rows[row + 1, 0]).max() <= 1


def test_the_trials_are_means_of_three(example: Any, subject: Any) -> None:
    found = example.calculate(subject, 0)
    assert (found.wanted != found.other).all()
    assert found.images.shape == (200, 13, 64)
    names = example.named(subject, found.images[:, [0, 1, 2, 4, 5, 6, 8, 9, 10]].reshape(-1, 64)).reshape(200, 9)
    expected = np.repeat(np.stack([found.wanted, found.other, found.other], axis=1), 3, axis=1)
    assert (names == expected).mean() > 0.98  # but for rounding in products of other sizes
    again = example.calculate(subject, 0)
    np.testing.assert_array_equal(found.images, again.images)


def test_a_linear_space_of_classes_is_all_as_expected(example: Any, subject: Any, monkeypatch: Any) -> None:
    # The class is the largest of the first ten coordinates: means of a class stay in it, and so do the results.
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 2000)
    z = np.eye(32, dtype=np.float32)[labels] + rng.normal(0, 0.01, (2000, 32)).astype(np.float32)
    monkeypatch.setattr(gan.Noise, "draw", lambda *_: z)
    monkeypatch.setattr(gan, "push", lambda generator, z: np.tile(z, 2))
    monkeypatch.setattr(example, "named", lambda subject, images: images[:, :10].argmax(axis=1))
    numbers = example.calculate(subject, 0).numbers()
    assert (numbers["as_expected"], numbers["without_the_difference"], numbers["means"]) == (1, 0, 1)


def test_a_generator_of_one_class_has_no_arithmetic(
    example: Any, subject: Any, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(example, "load_subjects", lambda options: [subject])
    monkeypatch.setattr(example, "named", lambda subject, images: np.zeros(len(images), int))
    assert example.main(["--json", "--out", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["arithmetic"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["dcgan_walk.png"]
    assert example.main(["--out", str(tmp_path)]) == 0
    assert "No arithmetic: it needs two classes" in capsys.readouterr().out
