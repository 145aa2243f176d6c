from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

import tinygan as tg
import tinygan.functional as F
from tests.examples.test_losses import load
from tinygan import data, gan
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
    made: dict[str, list[Any]] = {"classifier": [], "generator": []}
    for name, nets in made.items():
        make = getattr(example, name)
        monkeypatch.setattr(example, name, lambda *sizes, make=make, nets=nets: nets.append(make(*sizes)) or nets[-1])
    words = ["--dataset", "digits", "--epochs", "3", "--seeds", "1", "--json", "--quiet", "--out", str(tmp_path)]
    assert example.main(words) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert told.err == ""
    assert (found["dataset"], found["epochs"], found["seeds"]) == ("digits", 3, 1)
    assert all(0 < found[key] < 0.6 for key in KEYS)  # chance is .9
    assert imread(tmp_path / "semi_supervised.png").std() > 0.1

    test, D, G = data.load("digits").test.images, made["classifier"][2].eval(), made["generator"][1]
    samples = [gan.sample(net, 500, example.NOISE, Stream(0, "test")) for net in (G, example.generator(64))]
    log_z = [F.logsumexp(tg.tensor(gan.push(D, x)), axis=1).numpy().mean() for x in (test, samples[0])]
    assert log_z[0] > 0 > log_z[1]  # D tells data from samples; without the loss for that, both are above 0
    gaps = [abs(x.mean(axis=0) - test.mean(axis=0)).mean() for x in samples]
    assert gaps[0] < 0.8 * gaps[1]  # G has learnt


@pytest.mark.parametrize("words", [["--epochs", "0"], ["--dataset", "gaussian"], ["--seeds", "none"]])
def test_bad_options_are_refused(example: Any, capsys: Any, words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        example.main(words)
    assert words[0] in capsys.readouterr().err
