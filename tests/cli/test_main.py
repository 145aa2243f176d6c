"""The command line as a whole: its exit statuses, and `python -m tinygan`."""

from __future__ import annotations

import html
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tinygan as package
from tinygan.cli import experiments
from tinygan.errors import TinyganError
from tinygan.runs.run_folder import RunFolder

MODULE = [sys.executable, "-m", "tinygan"]


def test_a_missing_and_an_unknown_command(tinygan):
    answer = tinygan()
    assert answer.status == 2
    assert answer.err.endswith("tinygan: error: the following arguments are required: COMMAND\n")
    answer = tinygan("trian", "digits")
    assert answer.status == 2
    assert "invalid choice: 'trian' (choose from" in answer.err
    assert answer.err.endswith('; did you mean "train"?\n')
    assert answer.out == ""


def test_help_names_every_command(tinygan):
    answer = tinygan("--help")
    assert answer.status == 0
    for command in ("train", "resume", "step", "sample", "export", "experiments", "gradcheck", "doctor"):
        assert f"\n    {command}" in answer.out
        assert tinygan(command, "--help").status == 0


def test_version(tinygan):
    assert tinygan("--version").out == f"tinygan {package.__version__}\n"


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (TinyganError("no; do this"), 1, "tinygan: error: no; do this\n"),
        (KeyboardInterrupt(), 130, "tinygan: stopped\n"),
    ],
)
def test_refusals_and_interruptions(tinygan, monkeypatch, raised, status, said):
    def fail():
        raise raised

    monkeypatch.setattr(experiments, "shipped_experiments", fail)
    answer = tinygan("experiments")
    assert (answer.status, answer.out, answer.err) == (status, "", said)


def test_an_unexpected_error_is_not_caught(tinygan, monkeypatch):
    def fail():
        raise ValueError("a bug")

    monkeypatch.setattr(experiments, "shipped_experiments", fail)
    with pytest.raises(ValueError, match="a bug"):
        tinygan("experiments")


@pytest.mark.slow
def test_python_m_tinygan_in_a_new_process(tinygan):
    done = subprocess.run([*MODULE, "experiments"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, tinygan("experiments").out, "")


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["experiments"], ["--help"]])
def test_a_reader_that_stops_early_is_not_an_error(words, unbuffered):
    """As in `tinygan experiments | head -0`."""
    end, start = os.pipe()
    os.close(end)
    try:
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run([*MODULE, *words], stdout=start, stderr=subprocess.PIPE, text=True, env=environment)
    finally:
        os.close(start)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_command_does_not_import_unneeded_libraries():
    """Each of them takes longer to import than all of tinygan."""
    slow = ["scipy.stats", "scipy.spatial", "scipy.integrate", "matplotlib", "pooch", "safetensors"]
    code = f"import sys; from tinygan.cli import main; main(['experiments']); print(set({slow}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr


# --- commands that are printed -------------------------------------------------------------------------------

SHELL = """tinygan() { for word; do printf '%s\\0' "$word"; done; }; """


def words_of(text):
    """Return the arguments of each printed command, as a shell splits them."""
    commands = re.findall(r"(?:^|: |>)(tinygan (?:train|resume) [^;\n<]*)", text, re.MULTILINE)
    heard = [subprocess.run(["/bin/sh", "-c", SHELL + line], stdout=subprocess.PIPE, check=True) for line in commands]
    return [[os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]] for done in heard]


def steps_of(path):
    return RunFolder.open(path).latest_checkpoint().state["steps"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "it's my run", "-run", "~", "数字 $HOME `id`", "a\nb\x1b[1m"])
def test_every_printed_command_runs_as_printed(tinygan, small, tmp_path, monkeypatch, real_report, name):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")  # the working directory of the command that printed
    out = f"./{name}"
    answer = tinygan("train", "digits", f"--out={out}", "--epochs", "2", "--steps", "3", "--quiet", *small)
    assert answer.status == 0, answer.err
    [words] = words_of(answer.out)
    assert tinygan(*words, "--steps", "5", "--quiet").status == 0
    assert steps_of(out) == 5
    again = tinygan("train", "digits", f"--out={out}")  # is refused, with the command to resume
    [words] = words_of(again.err)
    assert tinygan(*words, "--quiet").status == 0
    [words] = words_of(tinygan(*words, "--quiet").err)  # finished: the message shows how to make it longer
    assert words[-2:] == ["--epochs", "4"]
    assert tinygan(*words, "--quiet").status == 0
    assert steps_of(out) == 4 * 21
    page = html.unescape(Path(out, "report.html").read_text(encoding="utf-8"))
    [words] = words_of(page)
    monkeypatch.chdir(out)  # "in the folder of this report"
    assert tinygan(*words, "--quiet").status == 0
    assert Path("../again/metrics.jsonl").read_bytes() == Path("metrics.jsonl").read_bytes()


def test_printed_commands_keep_data_and_device(tinygan, tmp_path, monkeypatch):
    """For a data set with files, in a relative folder or a folder of the environment."""
    taken = {"device": "cuda", "data_folder": str(tmp_path / "my data")}
    run = RunFolder.create(tmp_path / "run", "", taken)
    expected = ["resume", str(run.path), "--data", str(tmp_path / "my data"), "--device", "cuda"]
    assert words_of(f": {run.resume_command()}") == [expected]
    assert words_of(f": {run.resume_command(device='cpu')}") == [expected[:-2]]
    assert words_of(f": {run.resume_command('--epochs', '3', data_folder=Path('x y'))}") == [
        ["resume", str(run.path), "--epochs", "3", "--data", "x y", "--device", "cuda"]
    ]
    run.environment_path.write_text("damaged")
    assert words_of(f": {run.resume_command()}") == [expected[:2]]


def test_the_installed_command_is_the_module(monkeypatch, capsys):
    """Both call `tinygan.__main__.main`, which handles Ctrl-C even during imports."""
    settings = Path(package.__file__).parents[1] / "setup.cfg"
    [script] = re.findall(r"^\s+tinygan = (.*)$", settings.read_text(), re.MULTILINE)
    assert script == "tinygan.__main__:main"
    entry = importlib.import_module("tinygan.__main__")
    monkeypatch.setattr(sys, "argv", ["tinygan", "--version"])
    with pytest.raises(SystemExit, match="0"):
        entry.main()
    assert capsys.readouterr().out == f"tinygan {package.__version__}\n"

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("tinygan.cli.main", interrupted)
    assert entry.main() == 130
