from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from tests.examples.test_losses import load
from tinygan import data, gan
from tinygan.backend import Stream
from tinygan.config.experiment import load_experiment
from tinygan.errors import DataError
from tinygan.experiments.trained import train_in_memory

pytestmark = pytest.mark.slow


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = load("figure_3", monkeypatch)
    monkeypatch.setattr(module, "FRAMES", 3)
    return module


def test_pictures_and_numbers(example: Any, tmp_path: Path, capsys: Any) -> None:
    assert example.main(["--epochs", "1", "--quiet", "--json", "--out", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"nearest_ratio", "mmd2_before", "mmd2_after", "classes", "seconds", "epochs"} <= set(found)
    assert 0.1 - 1e-9 <= found["largest_step_ratio"] < 1
    assert found["jumps_error"] > 0
    assert (found["line_steps"], found["steps"]) == (10, 21)
    assert imread(tmp_path / "figure_3.png").std() > 0.1
    with Image.open(tmp_path / "figure_3.gif") as gif:
        assert gif.n_frames == 9


def test_the_sentences_name_the_ends_of_the_scale(example: Any, tmp_path: Path, capsys: Any) -> None:
    assert example.main(["--steps", "2", "--quiet", "--out", str(tmp_path)]) == 0
    assert "median of 200 lines; even steps: 0.10, one jump: 1.00" in capsys.readouterr().out


def test_the_ratio_of_known_lines(example: Any) -> None:
    even = np.linspace(0, 1, 11)[:, None]
    jump = (np.arange(11) > 4).astype(float)[:, None]
    there = np.minimum(np.arange(11), 5)[:, None] / 5.0
    np.testing.assert_allclose(example.step_ratios(np.stack([even, jump, there])), [0.1, 1, 0.2])
    nowhere = np.zeros((11, 1))
    np.testing.assert_allclose(example.step_ratios(np.stack([nowhere, even])), [0.1])
    for images in (nowhere[None], even[None] * np.nan):
        with pytest.raises(DataError, match="no line leads anywhere"):
            example.step_ratios(images)


def test_the_ends_are_fair_draws_and_the_animation_closes(example: Any) -> None:
    subject = train_in_memory(load_experiment("digits", ["training.epochs=1"]), data.load("digits"))
    ends = example.draws(subject, 6, Stream(0, "figure 3"))
    z = subject.noise.draw(12, Stream(0, "figure 3"))
    np.testing.assert_array_equal(ends.reshape(12, -1), z)
    assert example.picture(subject, 0).shape == example.picture(subject, 1).shape
    frames = example.animation(subject, 0)
    steps = [abs(a.astype(int) - b).mean() for a, b in zip(frames, [*frames[1:], frames[0]], strict=True)]
    assert min(steps) > 0  # no frame twice
    assert steps[-1] < 3 * np.median(steps)  # from the last to the first is a step as the others


def test_a_generator_of_one_image_is_refused(example: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gan, "push", lambda generator, z: np.zeros((len(z), 64), np.float32))
    assert example.main(["--steps", "1", "--quiet", "--out", str(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())
