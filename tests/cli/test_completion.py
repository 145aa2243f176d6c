"""The script of `tinygan completion`, in each shell that this machine has."""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinygan.cli import build_parser
from tinygan.cli.completion import SHELLS
from tinygan.config.experiment import shipped_experiments

EXPERIMENTS = {config.name for config in shipped_experiments()}

# What the shell prints for each line that is typed, with Tab after it: one line for each word that may follow.
ASK = {
    "bash": 'source ./completion.sh; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _shtab_tinygan; '
    'printf "%s\\n" "${{COMPREPLY[@]}}"',
    "fish": "source ./completion.sh; complete -C {line}",
}


@pytest.fixture
def complete(tinygan):
    """Return a function from a shell and the words on its line to the words that may follow."""
    pytest.importorskip("shtab")

    def ask(shell: str, *words: str) -> set[str]:
        if shutil.which(shell) is None:
            pytest.skip(f"there is no {shell} here")
        Path("completion.sh").write_text(tinygan("completion", shell).out, encoding="utf-8")
        line = ASK[shell].format(words=shlex.join(["tinygan", *words]), line=shlex.quote(" ".join(["tinygan", *words])))
        flags = ["--norc"] if shell == "bash" else ["--no-config"]
        done = subprocess.run([shell, *flags, "-c", line], capture_output=True, text=True, timeout=60, check=True)
        return {answer.partition("\t")[0] for answer in done.stdout.splitlines()}

    return ask


@pytest.mark.parametrize("shell", ASK)
def test_a_shell_completes_each_kind_of_word(complete, shell):
    Path("runs", "digits-7").mkdir(parents=True)
    Path("runs", "digits-7", "config.toml").touch()
    Path("runs", "no-run").mkdir()
    Path("runs", "sweep", "seed=1").mkdir(parents=True)
    Path("runs", "sweep", "seed=1", "config.toml").touch()
    Path("my.toml").touch()
    assert {"train", "trace"} <= complete(shell, "tra") <= {"train", "trace"}
    assert complete(shell, "train", "") >= EXPERIMENTS | {"my.toml"}
    assert complete(shell, "train", "digits-c") == {"digits-conditional"}
    assert complete(shell, "train", "digits", "--device", "") == {"cpu", "cuda"}
    assert complete(shell, "train", "digits", "--ep") == {"--epochs"}
    assert {"runs/digits-7", "runs/sweep/seed=1"} <= complete(shell, "sample", "")
    assert "my.toml" in complete(shell, "sweep", "")
    assert "runs/no-run" not in complete(shell, "sample", "")
    assert complete(shell, "trace", "") >= EXPERIMENTS | {"runs/digits-7", "my.toml"}
    assert complete(shell, "gradcheck", "exp", "conv2") == {"conv2d"}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_has_every_command_and_is_valid(tinygan, shell):
    pytest.importorskip("shtab")
    answer = tinygan("completion", shell)
    assert (answer.status, answer.err) == (0, "")
    [commands] = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    for command in commands.choices:
        assert command in answer.out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=answer.out, text=True, timeout=60, check=True)


def test_without_shtab_the_command_names_it(tinygan, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    answer = tinygan("completion", "bash")
    assert (answer.status, answer.out) == (1, "")
    assert "pip install shtab" in answer.err


def test_another_shell_is_refused(tinygan):
    answer = tinygan("completion", "fisch")
    assert answer.status == 2
    assert answer.err.endswith('; did you mean "fish"?\n')
