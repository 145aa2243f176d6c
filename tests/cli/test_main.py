"""The command line as a whole: its exit statuses, and `python -m tinygan`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import tinygan as package
from tinygan.cli import experiments
from tinygan.errors import TinyganError

MODULE = [sys.executable, "-m", "tinygan"]


def test_no_command_and_an_unknown_one(tinygan):
    answer = tinygan()
    assert answer.status == 2
    assert answer.err.endswith("tinygan: error: the following arguments are required: COMMAND\n")
    answer = tinygan("trian", "digits")
    assert answer.status == 2
    assert "invalid choice: 'trian' (choose from" in answer.err
    assert answer.out == ""


def test_help_names_every_command(tinygan):
    answer = tinygan("--help")
    assert answer.status == 0
    for command in ("train", "resume", "sample", "export", "experiments", "gradcheck", "doctor"):
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


def test_a_bug_of_ours_is_not_dressed_up_as_a_refusal(tinygan, monkeypatch):
    def fail():
        raise ValueError("a bug")

    monkeypatch.setattr(experiments, "shipped_experiments", fail)
    with pytest.raises(ValueError, match="a bug"):
        tinygan("experiments")


def test_as_a_module_in_a_process_of_its_own(tinygan):
    done = subprocess.run([*MODULE, "experiments"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, tinygan("experiments").out, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["experiments"], ["--help"]])
def test_a_reader_that_has_seen_enough_is_no_error(words, unbuffered):
    """As in `tinygan experiments | head -0`."""
    end, start = os.pipe()
    os.close(end)
    try:
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run([*MODULE, *words], stdout=start, stderr=subprocess.PIPE, text=True, env=environment)
    finally:
        os.close(start)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_starts_without_the_libraries_it_does_not_need():
    """Each of them takes longer to import than all of tinygan, and every command would wait for it."""
    slow = ["scipy.stats", "scipy.spatial", "scipy.integrate", "matplotlib", "pooch", "safetensors"]
    code = f"import sys; from tinygan.cli import main; main(['experiments']); print(set({slow}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr
