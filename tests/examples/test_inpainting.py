from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

import tinygan as tg
from tests.examples.test_losses import load
from tinygan import data
from tinygan.backend import Stream

pytestmark = pytest.mark.slow


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load("inpainting", monkeypatch)


def test_a_few_epochs_read_the_known_pixels(example: Any, tmp_path: Path, capsys: Any) -> None:
    assert example.main(["--epochs", "20", "--json", "--quiet", "--out", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mean_of_ten_mse"] < found["nearest_fill_mse"]
    assert found["mean_of_ten_mse"] < 1.1 * found["mean_fill_mse"]  # of ten fair images that ignore the known pixels
    assert found["std_over_z"] > 0.1
    # ten fills with the variance s^2 around their mean: a fill has s^2 (1 - 1/10) more error than the mean of the ten
    excess = found["one_sample_mse"] - found["mean_of_ten_mse"]
    assert excess == pytest.approx(0.9 * found["std_over_z"] ** 2, rel=1e-4)
    assert (found["dataset"], found["epochs"], found["test_images"]) == ("digits", 20, 200)
    assert imread(tmp_path / "inpainting.png").std() > 0.1


def test_a_fill_keeps_the_known_pixels(example: Any) -> None:
    with tg.manual_seed(0).active():
        generator = example.Filler(64, 16)
    x, mask = data.load("digits").test.images[:20], example.masks(20, 8, Stream(0, "holes"))
    fill = generator(tg.tensor(np.zeros((20, 32), np.float32)), tg.tensor(np.concatenate([x * mask, mask], axis=1)))
    np.testing.assert_array_equal(fill.numpy()[mask == 1], x[mask == 1])
    assert (fill.numpy()[mask == 0] != x[mask == 0]).mean() > 0.9


@given(st.integers(2, 28), st.integers(0, 1000))
def test_a_hole_is_a_rectangle_from_half_to_the_image(side: int, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        masks = load("inpainting", patch).masks(50, side, Stream(seed, "holes")).reshape(50, side, side)
    for mask in masks:
        rows, columns = np.flatnonzero((mask == 0).any(axis=1)), np.flatnonzero((mask == 0).any(axis=0))
        assert (mask == 0).sum() == len(rows) * len(columns) < side**2
        assert min(len(rows), len(columns)) >= side // 2
        assert (np.diff(rows) == 1).all()
        assert (np.diff(columns) == 1).all()


def test_neighbours_are_the_nearest_on_the_known_pixels(example: Any) -> None:
    digits = data.load("digits")
    x, train, mask = digits.test.images[:5], digits.train.images, example.masks(5, 8, Stream(0, "holes"))
    found = example.neighbours(x, mask, train, 3)
    for i in range(5):
        distance = (((x[i] - train) * mask[i]) ** 2).sum(axis=1)
        nearest = np.sort(distance)[:3]
        np.testing.assert_allclose((((x[i] - found[i]) * mask[i]) ** 2).sum(axis=1), nearest, atol=1e-4)


@pytest.mark.parametrize("words", [["--dataset", "cifar10"], ["--epochs", "0"], ["--seeds", "-1"], ["--epoch"]])
def test_bad_options_are_refused(example: Any, tmp_path: Path, capsys: Any, words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        example.main([*words, "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert words[0] in capsys.readouterr().err
