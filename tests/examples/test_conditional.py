from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

import tinygan as tg
from tests.examples.test_losses import load
from tinygan import data
from tinygan.cli.seeds import ERROR

pytestmark = pytest.mark.slow

DIGITS = ["--dataset", "digits", "--quiet", "--json"]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load("conditional", monkeypatch)


def test_a_few_epochs_draw_the_class_asked_for(example: Any, tmp_path: Path, capsys: Any) -> None:
    assert example.main([*DIGITS, "--epochs", "15", "--out", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["label_accuracy"] > 0.5  # .74; of any class .1
    assert found["classifier_accuracy"] > 0.85
    assert found["spread_ratio"] > 0.5
    assert found["parzen_test"] > 5  # 16; at the start -9
    assert found["parzen_images_error"] > 0
    assert (found["test_images"], found["setting"], found["epochs"]) == (200, "adam", 15)
    assert imread(tmp_path / "conditional_adam.png").std() > 0.1


def test_all_settings_have_a_row_and_are_kept(example: Any, tmp_path: Path, capsys: Any) -> None:
    example.SIZES["digits"] = (1, 1, 400, 8)
    words = [*DIGITS, "--setting", "all", "--epochs", "1", "--out", str(tmp_path), "--results", str(tmp_path / "kept")]
    outputs = []
    for seeds in "12":
        assert example.main([*words, "--seeds", seeds]) == 0
        outputs.append(json.loads(capsys.readouterr().out)["rows"])
    assert [set(rows) for rows in outputs] == [{"adam", "sgd", "mirza"}] * 2
    assert "label_accuracy" + ERROR in outputs[1]["mirza"]
    assert len((tmp_path / "kept").read_text().splitlines()) == 6  # the three games of seed 0 are not played again


def test_mirza_and_osindero_have_their_sizes(example: Any) -> None:
    g, d = example.players("mirza", 784, 0, tg.manual_seed(0))
    shapes = [[parameter.shape for parameter in net.parameters() if parameter.ndim > 1] for net in (g, d)]
    assert shapes == [
        [(100, 200), (10, 1000), (1200, 1200), (1200, 784)],
        [(784, 1200), (10, 250), (290, 960), (240, 1)],
    ]
    assert max(abs(parameter.numpy()).max() for parameter in g.parameters()) <= 0.05


def test_spread_is_the_deviation_within_a_class(example: Any) -> None:
    labels = np.repeat(np.arange(10), 2)
    means = np.arange(20, dtype=float)[:, None] // 2 * 7  # far apart, so that the classes add nothing
    inside = np.tile([-0.5, 0.5], 10)[:, None]
    assert example.spread(means + inside * [1, 1], labels) == pytest.approx(0.5)


def test_the_classifier_learns_from_training_images(example: Any) -> None:
    digits, streams = data.load("digits"), tg.manual_seed(0)
    net = example.classifier_of(digits.train, 20, 32, streams)
    right = tg.gan.push(net, digits.test.images).argmax(axis=1) == digits.test.labels
    assert right.mean() > 0.8


@pytest.mark.parametrize("words", [["--setting", "adm"], ["--dataset", "tfd"], ["--epochs", "-3"], ["--sets", "1"]])
def test_bad_options_are_refused(example: Any, tmp_path: Path, capsys: Any, words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        example.main([*words, "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_data_without_a_class_are_refused(example: Any, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    digits = data.load("digits")
    few = data.Split(digits.train.images, np.minimum(digits.train.labels, 8))
    monkeypatch.setattr(example.data, "load", lambda *_: dataclasses.replace(digits, train=few))
    assert example.main([*DIGITS, "--out", str(tmp_path)]) == 2
    assert "0 to 9" in capsys.readouterr().err
