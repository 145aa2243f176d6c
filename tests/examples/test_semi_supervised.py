from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from tests.examples.test_losses import load
from tinygan import data
from tinygan.backend import Stream
from tinygan.data.dataset import Dataset, Split
from tinygan.errors import DataError

pytestmark = pytest.mark.slow

KEYS = ("error", "error_supervised", "error_features")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load("semi_supervised", monkeypatch)


def test_a_draw_has_ten_images_of_each_class(example: Any) -> None:
    digits = data.load("digits")
    rows = [example.draw_labels(digits, Stream(seed, "labels")) for seed in (0, 0, 1)]
    assert (np.bincount(digits.train.labels[rows[0]]) == 10).all()
    assert len(set(rows[0])) == 100
    assert (rows[0] == rows[1]).all()
    assert (rows[0] != rows[2]).any()


def test_a_class_with_few_images_is_refused(example: Any) -> None:
    split = Split(np.zeros((19, 4), np.float32), np.repeat([0, 1], [10, 9]).astype(np.uint8))
    with pytest.raises(DataError, match=r"10.*\[10, 9\]"):
        example.draw_labels(Dataset("few", (2, 2), split, split, split), Stream(0, "labels"))


def test_the_program_prints_the_errors_of_the_three_ways(
    example: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    drawn = []
    sample = example.gan.sample
    monkeypatch.setattr(example.gan, "sample", lambda *given: drawn.append(sample(*given)) or drawn[-1])
    words = ["--dataset", "digits", "--epochs", "12", "--seeds", "2", "--json", "--quiet", "--out", str(tmp_path)]
    assert example.main(words) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert told.err == ""
    assert (found["dataset"], found["epochs"], found["seeds"]) == ("digits", 12, 2)
    assert all(found[f"{key}_standard_error"] >= 0 for key in KEYS)
    assert all(0 < found[key] < 0.6 for key in KEYS)  # chance is .9
    assert found["error"] < 0.3
    data_mean = data.load("digits").train.images.mean(axis=0)
    assert np.abs(drawn[0].mean(axis=0) - data_mean).mean() < 0.1  # features are matched; before training .35
    assert imread(tmp_path / "semi_supervised.png").std() > 0.1


@pytest.mark.parametrize("words", [["--epochs", "0"], ["--dataset", "gaussian"], ["--seeds", "none"]])
def test_bad_options_are_refused(example: Any, capsys: Any, words: list[str]) -> None:
    assert example.main(words) == 2
    assert words[0] in capsys.readouterr().err
