"""`tinygan sweep`: runs, a table, what stays when it is stopped, and what fails."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import SMALL
from tinygan.cli.sweep import results
from tinygan.parallel.sweep import METRICS, SHOWN, read_sweep
from tinygan.report.report import NUMBERS
from tinygan.report.verdicts import MEASURES
from tinygan.runs.run_folder import RunFolder

RATES = ("0.002", "0.001")


def text(epochs: int = 1, seeds: str = "[1, 2]") -> str:
    """Return the file of a sweep of the digits in small, over two learning rates."""
    layers = "\n".join(override.replace("=", " = ", 1) for override in SMALL)
    return f"""
experiment = "digits"
seeds = {seeds}
metrics = ["d_accuracy", "recall"]
[set]
{layers.replace("layers = [", "layers = [[").replace("}]", "}]]")}
training.batch = 400
training.epochs = {epochs}
generator.optimizer.lr = [0.002, 0.001]
"""


@pytest.fixture
def file() -> Path:
    path = Path("mine.toml")
    path.write_text(text())
    return path


def folder(rate: str, seed: int) -> Path:
    return Path(f"runs/mine/generator.optimizer.lr={rate},seed={seed}")


@pytest.mark.slow
def test_from_the_file_to_the_table(tinygan, file):
    answer = tinygan("sweep", file, "--jobs", "2")
    assert answer.status == 0, answer.err
    table = Path("runs/mine/sweep.md").read_text("utf-8")
    assert table.strip() in answer.out
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[:4]]
    assert lines[0] == ["generator.optimizer.lr", "seeds", "d accuracy", "recall"]
    found = json.loads(Path("runs/mine/sweep.json").read_text())
    assert (found["experiment"], found["seeds"], found["settings"]["training.batch"]) == ("digits", [1, 2], "400")
    for rate, line, row in zip(RATES, lines[2:], found["rows"], strict=True):
        values = [RunFolder(folder(rate, seed)).metrics()[-1]["d_accuracy"] for seed in (1, 2)]
        mean, error = np.mean(values), np.std(values, ddof=1) / math.sqrt(2)
        assert line[:3] == [rate, "2", f"{mean:.4g} ± {error:.2g}"]
        assert row["settings"] == {"generator.optimizer.lr": rate}
        assert row["numbers"]["d_accuracy"] == pytest.approx(mean)
        assert row["numbers"]["d_accuracy_standard_error"] == pytest.approx(error)
        assert [(run["seed"], run["numbers"]["d_accuracy"]) for run in row["runs"]] == list(enumerate(values, 1))
    assert answer.err.count(" starts\n") == answer.err.count(" is done\n") == 4

    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in Path("runs/mine").glob("*/*.*")}
    again = tinygan("sweep", file)
    assert (again.status, again.out, again.err) == (0, answer.out, "")  # done runs are left alone
    assert all((path.stat().st_mtime_ns, path.read_bytes()) == was for path, was in before.items())

    # One row more, one failure, and one run that the file has no longer: the rest is there.
    file.write_text(text(seeds="[2, 3]"))
    folder("0.002", 3).mkdir()
    (folder("0.002", 3) / "notes").touch()
    answer = tinygan("sweep", file, "--quiet")
    assert answer.status == 1
    assert answer.err.count("\n") == 1
    assert answer.err.startswith(f"failed: {folder('0.002', 3)}: expected an empty folder")
    assert "| 0.002                  | 1 of 2 |" in answer.out
    assert "| 0.001                  | 2      |" in answer.out
    assert f"- failed: {folder('0.002', 3).name}: expected an empty folder" in answer.out
    assert f"not have them: {folder('0.001', 1).name}, {folder('0.002', 1).name}" in answer.out
    found = json.loads(Path("runs/mine/sweep.json").read_text())
    assert "expected an empty folder" in found["rows"][0]["runs"][1]["failed"]
    assert found["others"] == [folder("0.001", 1).name, folder("0.002", 1).name]


@pytest.mark.slow
def test_a_sweep_that_was_stopped_goes_on(tinygan, file):
    def words(out: str) -> list[str]:
        return [sys.executable, "-m", "tinygan", "sweep", str(file), "--jobs", "2", "--out", out]

    file.write_text(text(epochs=12, seeds="[1]"))
    subprocess.run(words("whole"), check=True, capture_output=True)
    for stop in (subprocess.Popen.terminate, subprocess.Popen.kill):
        with subprocess.Popen(words("stopped"), stderr=subprocess.PIPE, text=True) as process:
            while process.poll() is None and not list(Path("stopped").glob("*/metrics.jsonl")):
                time.sleep(0.01)
            stop(process)
            assert process.stderr is not None
            said = process.stderr.read()
        assert process.returncode == (130 if stop is subprocess.Popen.terminate else -9), said
        assert not Path("stopped/sweep.json").exists()
    assert tinygan("sweep", file, "--out", "stopped").status == 0
    for path in Path("whole").glob("**/*"):
        if path.name in ("sweep.json", "sweep.md", "metrics.jsonl", "step-000000036.safetensors"):
            assert (Path("stopped") / path.relative_to("whole")).read_bytes() == path.read_bytes(), path
    assert len(list(Path("whole").glob("*/checkpoints/step-000000036.safetensors"))) == 2


def test_a_dry_run_lists_the_runs_and_makes_nothing(tinygan, file):
    answer = tinygan("sweep", file, "--dry-run")
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.splitlines() == [f"missing             {folder(rate, seed)}" for rate in RATES for seed in (1, 2)]
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.toml"], "nothing.toml: no such file; expected the TOML file of a sweep"),
        (["mine.toml", "--out", "mine.toml"], "mine.toml: cannot be used"),
    ],
)
def test_refusals_of_sweep(tinygan, file, words, message):
    answer = tinygan("sweep", *words)
    assert (answer.status, answer.out) == (1, "")
    assert message in answer.err


def test_a_data_set_that_is_missing_is_refused_before_any_run(tinygan, file):
    file.write_text('experiment = "tfd"\nseeds = [1, 2]\n')
    answer = tinygan("sweep", file)
    assert answer.status == 1
    assert "not public" in answer.err
    assert "starts" not in answer.err
    assert not list(Path("runs/mine").glob("seed*"))


def test_metrics_are_those_that_a_report_explains():
    assert set(METRICS) <= NUMBERS.keys() | MEASURES.keys()
    assert set(SHOWN) <= set(METRICS)


def test_a_number_that_not_all_seeds_have_is_left_out(monkeypatch, file):
    found = read_sweep(file)
    numbers = {run.folder: {"recall": float(i), "d_accuracy": 0.5} for i, run in enumerate(found.runs)}
    del numbers[found.runs[0].folder]["recall"]
    monkeypatch.setattr("tinygan.parallel.sweep.SweepRun.numbers", lambda run: numbers[run.folder])
    table, everything = results(found, {})
    assert [cell.strip() for cell in table.splitlines()[2].split("|")[2:-1]] == ["2", "0.5 ± 0", ""]
    assert [cell.strip() for cell in table.splitlines()[3].split("|")[2:-1]] == ["2", "0.5 ± 0", "2.5 ± 0.5"]
    assert "recall" not in everything["rows"][0]["numbers"]


def test_a_row_without_a_run_is_empty(file):
    found = read_sweep(file)
    failed = {run.folder: "why" for run in found.runs}
    table, everything = results(found, failed)
    assert [cell.strip() for cell in table.splitlines()[2].split("|")[2:-1]] == ["0 of 2", "", ""]
    assert everything["rows"][0]["runs"][0] == {"folder": folder("0.002", 1).name, "seed": 1, "failed": "why"}
