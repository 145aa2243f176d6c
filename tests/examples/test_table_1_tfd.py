"""The TFD column in small: narrow nets, and a file of TFD's form."""

from __future__ import annotations

import json
import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.doubles import faces
from tests.doubles.small import shrunk
from tinygan import data, evaluation, gan
from tinygan.backend import Stream
from tinygan.cli import main as tinygan
from tinygan.config.experiment import to_toml
from tinygan.experiments.protocol import load_generator
from tinygan.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "table_1_tfd.py"


@pytest.fixture(scope="module")
def example() -> Any:
    return runpy.run_path(str(EXAMPLE))


@pytest.fixture
def small(tmp_path: Path) -> list[str]:
    """The options that make it a matter of seconds; the data are in tmp_path."""
    faces.write(tmp_path, faces.contents(100))
    names = []
    for name in ("tfd", "tfd-finetune"):
        config = shrunk(name, ["training.batch=25", "output.samples=4"])
        (tmp_path / f"{name}.toml").write_text(to_toml(config), encoding="utf-8")
        names.append(str(tmp_path / f"{name}.toml"))
    return ["--data", str(tmp_path), "--experiments", *names, "--epochs", "2", "--samples", "60", "--quiet"]


def test_from_the_file_to_the_row(example: Any, small: list[str], tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "table"
    assert example["main"]([*small, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    results = json.loads((out / "table_1_tfd.json").read_text())
    assert "| Adversarial nets (quoted) | 2057 ± 26 |" in printed
    assert results["table"] in printed
    assert results["table"] in (out / "table_1_tfd.md").read_text()
    assert "not public" not in results["table"]
    assert [fold["fold"] for fold in results["folds"]] == [0, 1, 2, 3, 4]
    first, second = results["configurations"]
    assert 'name = "tfd"' in first
    assert "seed = 2014\n" in first
    assert "seed = 2015\n" in second
    assert f'pretrained = "{out / "first"}"' in second

    # The same by hand: one set of samples, for each fold its own sigma by its validation images, then its test images.
    generator, *_ = load_generator(RunFolder.open(out / "second"))
    samples = gan.sample(generator, 60, gan.Noise("gaussian", 100), Stream(0, "samples"))
    means = []
    for fold, found in enumerate(results["folds"]):
        dataset = data.load("tfd", tmp_path, fold=fold)
        sigma = evaluation.select_sigma(samples, dataset.validation.images)
        values = evaluation.parzen_log_likelihood(samples, dataset.test.images, sigma)
        assert (found["sigma"], found["test_images"], found["valid_images"]) == (sigma, 10, 5)
        assert found["test_mean"] == values.mean()
        assert f"fold {fold}: {values.mean():.1f} nats over 10 images, sigma {sigma:.3f} by 5" in printed
        means.append(values.mean())
    assert results["mean"] == pytest.approx(np.mean(means))
    assert results["error"] == pytest.approx(np.std(means) / math.sqrt(5))
    assert results["error_with_4_degrees_of_freedom"] == pytest.approx(np.std(means, ddof=1) / math.sqrt(5))
    assert f"seed 2014 | {np.mean(means):.0f} ± {results['error']:.0f} |" in printed

    metrics = (out / "second" / "metrics.jsonl").read_bytes()
    assert example["main"]([*small, "--out", str(out)]) == 0  # nothing is trained again, and the answers are the same
    assert (out / "second" / "metrics.jsonl").read_bytes() == metrics
    assert json.loads((out / "table_1_tfd.json").read_text())["folds"] == results["folds"]


def test_a_stage_that_was_stopped_goes_on(example: Any, small: list[str], tmp_path: Path) -> None:
    assert example["main"]([*small, "--out", str(tmp_path / "whole")]) == 0
    words = [str(tmp_path / "tfd.toml"), "--data", str(tmp_path), "--out", str(tmp_path / "again" / "first"), "--quiet"]
    assert tinygan(["train", *words, "--seed", "2014", "--epochs", "2", "--steps", "3"]) == 0
    assert example["main"]([*small, "--out", str(tmp_path / "again")]) == 0
    for stage in ("first", "second"):
        one, other = (tmp_path / run / stage / "metrics.jsonl" for run in ("whole", "again"))
        assert one.read_bytes() == other.read_bytes()


def test_without_the_file_the_row_says_not_public(example: Any, tmp_path: Path, capsys: Any) -> None:
    assert example["main"](["--data", str(tmp_path), "--out", str(tmp_path / "table")]) == 0
    printed = capsys.readouterr().out
    assert "| tinygan | not public |" in printed
    assert "The Toronto Face Database is not public: ask its owners for it" in printed
    assert f"Put TFD_48x48.mat into {tmp_path / 'tfd'}" in printed
    assert not (tmp_path / "table").exists()


def test_a_damaged_file_is_no_missing_one(example: Any, small: list[str], tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "tfd" / "TFD_48x48.mat"
    path.write_bytes(path.read_bytes()[:5000])
    assert example["main"]([*small, "--out", str(tmp_path / "table")]) == 1
    assert "it is truncated; replace it by a fresh copy" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--epochs", "0"], ["--samples", "0"], ["--seed", "-1"]])
def test_refusals(example: Any, words: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit):
        example["main"](words)
    assert "--epochs and --samples take 1 or more, --seed 0 or more" in capsys.readouterr().err
