"""Table 1 in small: the digits stand in for MNIST; stopped and gone on with, it ends in the same bytes."""

from __future__ import annotations

import importlib.util
import json
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from tinygan.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "table_1.py"
SMALL = [
    *("--experiment", "digits", "--epochs", "2", "--set", "training.batch=200"),
    *("--set", "output.validate_every=1", "--set", "output.validation_samples=50"),
]


@pytest.fixture(scope="module")
def example() -> Any:
    return runpy.run_path(str(EXAMPLE))


def test_from_the_data_to_the_row(example: Any, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "table"
    command = [*SMALL, "--out", str(out), "--seeds", "1", "2", "--jobs", "2"]
    assert example["main"](command) == 0
    printed = capsys.readouterr().out
    results = json.loads((out / "table_1.json").read_text())
    assert results["table"] == (out / "table_1.md").read_text().strip()
    assert results["table"] in printed
    assert "| Adversarial nets (quoted) | 225 ± 2 | 2057 ± 26 |" in printed
    assert printed.count("on digits: no number of the paper's | ") == 4
    assert printed.count("not public") == 4
    images = results["training_images"]
    number = f"{images['test_mean']:.1f} ± {images['test_standard_error']:.1f}"
    assert f"| 1,397 training images in the place of samples (sigma {images['sigma']:.3f}) | {number} |  |" in printed
    assert images["test_mean"] > max(run["best"]["test_mean"] for run in results["runs"])  # who trained for 2 epochs
    assert results["environment"]["numpy"]
    assert 'name = "digits"' in results["configuration"]
    for run in results["runs"]:
        best, last = run["best"], run["last"]
        assert f"seed {run['seed']}, best on validation (epoch {best['epoch']}, sigma {best['sigma']:.3f})" in printed
        assert f"{last['test_mean']:.1f} ± {last['test_standard_error']:.1f}" in printed
        assert [epoch for epoch, _, _ in run["validation"]] == [1, 2]
        assert best["epoch"] == max(run["validation"], key=lambda point: point[1])[0]
        assert last["epoch"] == 2
        assert run["seconds"] >= 0
    means = [run["best"]["test_mean"] for run in results["runs"]]
    assert f"2 seeds, best on validation: mean ± deviation | {sum(means) / 2:.1f} ± " in printed
    assert imread(out / "table_1.png").std() > 0.05  # something is drawn

    metrics = (out / "seed-1" / "metrics.jsonl").read_bytes()
    assert example["main"](command) == 0  # nothing is trained again, and the answers are the same
    assert (out / "seed-1" / "metrics.jsonl").read_bytes() == metrics
    assert json.loads((out / "table_1.json").read_text())["runs"] == results["runs"]


def test_a_run_with_a_mean_has_a_row_without_it(example: Any, tmp_path: Path, capsys: Any) -> None:
    from tinygan.cli import main as tinygan

    average = ["--set", "generator.average_decay=0.9"]
    assert example["main"]([*SMALL, *average, "--out", str(tmp_path / "table")]) == 0
    printed = capsys.readouterr().out
    (run,) = json.loads((tmp_path / "table" / "table_1.json").read_text())["runs"]
    assert (run["last"]["averaged"], run["last, no mean"]["averaged"]) == (True, False)
    number = f"{run['last, no mean']['test_mean']:.1f} ± {run['last, no mean']['test_standard_error']:.1f}"
    (row,) = (line for line in printed.splitlines() if "last checkpoint, drawn without the mean of the weights" in line)
    assert f"| {number} |" in row
    tinygan(["evaluate", str(tmp_path / "table" / "seed-2014"), "--json", "--checkpoint", "last", "--no-average"])
    assert json.loads(capsys.readouterr().out) == run["last, no mean"]


def test_a_number_above_that_of_training_images_is_marked(example: Any) -> None:
    found = {"epoch": 1, "sigma": 0.2, "test_mean": 10.0, "test_standard_error": 1.0}
    runs = [{"seed": 1, "best": found, "last": {**found, "test_mean": 8.0}}]
    images = {"images": 9, "sigma": 0.2, "test_mean": 9.0, "test_standard_error": 1.0}
    best, last = (line for line in example["_table"]("x", runs, images).splitlines() if "tinygan" in line)
    assert "; smoother than the data, or copied: above the training images | 10.0 ± 1.0 |" in best
    assert "smoother" not in last


def test_a_run_that_was_stopped_goes_on(example: Any, tmp_path: Path) -> None:
    from tinygan.cli import main as tinygan

    assert example["main"]([*SMALL, "--out", str(tmp_path / "whole")]) == 0
    folder = tmp_path / "stopped" / "seed-2014"
    words = ["train", "digits", "--out", str(folder), "--seed", "2014", "--steps", "7", "--quiet"]
    overrides = [word for word in SMALL[4:] if word != "--set"]
    tinygan([*words, *(word for value in ("training.epochs=2", *overrides) for word in ("--set", value))])
    assert example["main"]([*SMALL, "--out", str(tmp_path / "stopped")]) == 0
    for name in ("metrics.jsonl", "checkpoints/best.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / "seed-2014" / name).read_bytes()


def test_a_longer_table_goes_on_with_the_runs_of_a_shorter_one(example: Any, tmp_path: Path) -> None:
    out = tmp_path / "table"
    assert example["main"]([*SMALL, "--out", str(out)]) == 0
    shorter = (out / "seed-2014" / "metrics.jsonl").read_bytes()
    assert example["main"]([*SMALL, "--epochs", "3", "--out", str(out)]) == 0
    longer = (out / "seed-2014" / "metrics.jsonl").read_bytes()
    assert longer.startswith(shorter)
    assert longer.count(b"\n") == 3


def test_sigterm_stops_every_training_after_a_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "table"
    endless = [word for word in SMALL if word not in ("--epochs", "2")]
    command = [sys.executable, str(EXAMPLE), *endless, "--epochs", "100000", "--out", str(out), "--seeds", "1", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (out / "seed-1" / "metrics.jsonl").exists() and process.poll() is None:
            time.sleep(0.01)
        process.terminate()
        assert process.stderr is not None
        said = process.stderr.read()  # to its end: no process that could write there is left
    assert process.returncode == 130, said
    assert said.endswith("stopped; the same command goes on from here\n")
    assert not (out / "seed-2").exists()  # it is not begun once the first has been stopped
    run = RunFolder.open(out / "seed-1")
    with run.lock():
        checkpoint = run.latest_checkpoint()
    assert checkpoint is not None


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_a_device_that_is_missing_is_told_by_the_training(example: Any, tmp_path: Path, capfd: Any) -> None:
    assert example["main"]([*SMALL, "--out", str(tmp_path), "--device", "cuda"]) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith(f"failed: {tmp_path / 'seed-2014'}: device 'cuda' is not available")


def test_a_seed_that_fails_stops_no_other(example: Any, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "table"
    (out / "seed-1").mkdir(parents=True)
    (out / "seed-1" / "notes").write_text("mine")
    assert example["main"]([*SMALL, "--out", str(out), "--seeds", "1", "2", "--quiet"]) == 1
    said = capsys.readouterr()
    assert "| tinygan, seed 2, last checkpoint (epoch 2, " in said.out
    assert "seed 1" not in said.out
    assert said.err.startswith(f"failed: {out / 'seed-1'}: expected an empty folder")
    assert [run["seed"] for run in json.loads((out / "table_1.json").read_text())["runs"]] == [2]


def test_runs_of_another_experiment_are_not_taken_for_this_one(example: Any, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "table"
    assert example["main"]([*SMALL, "--out", str(out)]) == 0
    before = (out / "seed-2014" / "config.toml").read_bytes()
    assert example["main"]([*SMALL, "--set", "training.k=2", "--out", str(out)]) == 1
    assert "holds a run with other settings: training.k was 1 and is now 2; choose" in capsys.readouterr().err
    assert (out / "seed-2014" / "config.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "1", "1"], "--seeds: the same seed twice would be the same run twice"),
        (["--jobs", "0"], "--jobs: expected an integer of at least 1, got '0'"),
        (["--epochs", "0"], "--epochs takes 1 or more"),
        (["--experiment", "digits"], "digits selects no checkpoint; add --set output.validate_every=10"),
    ],
)
def test_refusals(example: Any, words: list[str], message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        example["main"](words)
    assert message in capsys.readouterr().err
