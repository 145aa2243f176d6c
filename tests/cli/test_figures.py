"""The options of the examples that draw samples: what is refused comes before any work, and leaves no file."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tinygan.cli import main as tinygan
from tinygan.cli.arguments import Parser
from tinygan.cli.figures import add_options, load_subjects, picture_path, run_program
from tinygan.cli.output import ReaderGoneError
from tinygan.config.data import DataConfig
from tinygan.errors import DataError


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of digits, one of numbers, and one without checkpoints."""
    folder = tmp_path_factory.mktemp("runs")
    for name, experiment in (("digits", "digits"), ("numbers", "gaussian"), ("fresh", "digits")):
        assert tinygan(["train", experiment, "--steps", "1", "--out", str(folder / name), "--quiet"]) == 0
    for path in (folder / "fresh" / "checkpoints").iterdir():
        path.unlink()
    (folder / "empty").mkdir()
    (folder / "file").write_text("kept")
    return folder


def start(runs: Path, *words: str, many: str = "*") -> tuple[int, list[Any]]:
    """Return the exit status and the subjects of a program, in the folder of the runs."""
    found: list[Any] = []
    parser = Parser(prog="figure")
    add_options(parser, many)
    here = Path.cwd()
    os.chdir(runs)
    try:
        return run_program(lambda options: found.extend(load_subjects(options)), parser, words), found
    finally:
        os.chdir(here)


def test_runs_are_loaded_in_their_order(runs: Path) -> None:
    status, found = start(runs, "digits", "digits", "--out", "new/folder")
    assert (status, [each.name for each in found]) == (0, ["digits", "digits"])
    assert (runs / "new/folder").is_dir()


def test_without_a_run_an_experiment_is_trained(runs: Path) -> None:
    changed = ("--set", "training.batch=100", "--quiet")
    status, [found] = start(runs, "--steps", "2", *changed, many="?")
    assert (status, found.name, found.steps, found.config.training.batch) == (0, "digits", 2, 100)
    status, [found] = start(runs, "--epochs", "1", "--experiment", "digits", *changed)
    assert found.epochs == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere", "nowhere: expected a run folder, found no folder of this name"),
        ("empty", "empty: expected a run folder, found one without config.toml and environment.json"),
        ("numbers", "numbers: its samples are single numbers, which have no picture"),
        ("fresh", "fresh: there is no checkpoint yet"),
        ("digits numbers", "numbers: its samples are single numbers"),
        ("digits --epochs 2", "--epochs: digits is trained already"),
        ("digits --set training.batch=3", "--set: digits is trained already"),
        ("digits --device cuda", "--device: digits is trained already"),
        ("digits --images .", "--images .: the run was trained on 'digits'"),
        ("--experiment gaussian", "gaussian: its samples are single numbers"),
        ("--experiment nosuch", "no such experiment"),
        ("--steps 1 --out file", "--out file: cannot be used: File exists"),
        ("--steps 1 --out file/below", "--out file/below: cannot be used"),
    ],
)
def test_what_cannot_be_drawn_is_refused(runs: Path, capsys: Any, words: str, message: str) -> None:
    assert start(runs, *words.split(), "--quiet") == (2, [])
    assert f"figure: error: {message}" in capsys.readouterr().err.replace('"nosuch": ', "")
    assert (runs / "file").read_text() == "kept"


@pytest.mark.parametrize("words", ["--seed -1", "--seed x", "--epochs 0", "--epochs 1 --steps 1", "--bogus"])
def test_arguments_that_cannot_be_parsed_exit_with_2(runs: Path, words: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        start(runs, *words.split())
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("error", "status"), [(DataError("x"), 2), (MemoryError(), 2), (KeyboardInterrupt(), 130), (ReaderGoneError(), 0)]
)
def test_the_exit_status_of_an_error(error: BaseException, status: int) -> None:
    def fail(options: argparse.Namespace) -> None:
        raise error

    assert run_program(fail, Parser(prog="figure"), []) == status


def test_the_recorded_data_folder_is_used(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    record = runs / "digits" / "environment.json"
    recorded = record.read_text()
    record.write_text(json.dumps({**json.loads(recorded), "data_folder": "/some/data"}))
    monkeypatch.setattr(DataConfig, "needs_files", True)
    load = DataConfig.load
    monkeypatch.setattr(DataConfig, "load", lambda self, folder, progress: seen.append(folder) or load(self))
    assert start(runs, "digits")[0] == 0
    assert start(runs, "digits", "--data", "/other")[0] == 0
    assert seen == [Path("/some/data"), Path("/other")]
    record.write_text(recorded)


# ---------------------------------------------------------------------- the lessons


def test_a_lesson_draws_where_its_command_line_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["examples/lessons/01_slope.py", "--out", "a/b"])
    assert picture_path("01_slope") == Path("a/b/01_slope.png")
    assert (tmp_path / "a/b").is_dir()
    assert not list((tmp_path / "a/b").iterdir())
    monkeypatch.setattr("sys.argv", ["examples/lessons/01_slope.py"])
    assert picture_path("01_slope") == Path("runs/examples/lessons/01_slope.png")


def test_a_notebook_keeps_its_own_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["ipykernel_launcher.py", "-f", "kernel.json", "--out", "elsewhere"])
    assert picture_path("01_slope") == Path("runs/examples/lessons/01_slope.png")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("words", "facts"),
    [(["--ou", "x", "y"], "y"), (["--seed", "1"], "--seed"), (["--out", "file/x"], "file/x: cannot be used")],
)
def test_a_lesson_refuses_before_it_begins(
    words: list[str], facts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("kept")
    monkeypatch.setattr("sys.argv", ["01_slope.py", *words])
    with pytest.raises(SystemExit) as stopped:
        picture_path("01_slope")
    assert stopped.value.code == 2
    assert facts in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_no_traceback(capsys: Any) -> None:
    def work(options: argparse.Namespace) -> None:
        raise OSError(28, "No space left on device", "figure.png")

    assert run_program(work, Parser(prog="figure"), []) == 2
    answer = capsys.readouterr().err
    assert "figure.png" in answer
    assert "No space left" in answer
