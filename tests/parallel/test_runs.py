"""``mpiexec -n N tinygan train``: one run, written by rank 0; a rank that fails ends all, and is named."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.parallel.launcher import ENVIRONMENT, start_ranks

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")]

QUICK = ["digits", "--quiet", "--epochs", "4", "--set", "training.batch=139", "--set", "output.samples=4",
         "--set", "output.checkpoint_every=2", "--set", "output.samples_every=100",
         "--set", "generator.layers=[{type='linear',units=8},{type='relu'},{type='linear',units=64},{type='sigmoid'}]",
         "--set", "discriminator.layers=[{type='dropout',p=0.2},{type='maxout',units=4,pieces=2},"
                  "{type='linear',units=1}]"]  # fmt: skip
STEPS = 10  # of an epoch
# Run the command; in a step of some ranks, do something.
FAULT = """
import os, signal, sys, time
from tinygan.cli import train
from tinygan.errors import DataError
from tinygan.experiments.training import Training
from tinygan.__main__ import main

def fault(training):
    FAULT

iterate, load_data = Training.iterate, train.load_data
def faulty(self):
    if self.world is not None and self.world.rank in RANKS and self.steps == STEP:
        fault(self)
    return iterate(self)
Training.iterate = faulty
def load(config, arguments):
    if -1 == STEP and arguments.watch.world.rank in RANKS:
        fault(None)
    return load_data(config, arguments)
train.load_data = load
sys.exit(main())
"""
NAN = "list(self.game.discriminator.parameters())[0].data[0, 0] = float('nan')"


def code(fault, *ranks, step):
    parts = {"    FAULT": f"    self = training; {fault}", "RANKS": str(ranks), "STEP": str(step)}
    found = FAULT
    for name, part in parts.items():
        found = found.replace(name, part)
    return found


def finished(process, within=60):
    """Return the exit status, stdout and stderr of a process; what the launcher itself says is left out."""
    out, err = process.communicate(timeout=within)
    err = "".join(line for line in err.splitlines(keepends=True) if line[:1] != "=" and "[mpiexec@" not in line)
    return process.returncode, out, re.sub(r"\n*YOUR APPLICATION(.|\n)*", "", err).strip("\n")


def one_process(folder, *words):
    process = subprocess.Popen(
        [sys.executable, "-m", "tinygan", *words], cwd=folder, env=ENVIRONMENT, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    return finished(process)


def content(run):
    """Return the files of a run by name, but those with times."""
    timed = ("run.lock", "timing.jsonl", "report.html")
    files = (path for path in run.rglob("*") if path.is_file() and path.name not in timed)
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def ranks_of(process):
    """Return the process ids of the ranks: the children of the child of the launcher, in their order."""
    children = [process.pid]
    for _ in range(2):
        lists = [Path(f"/proc/{parent}/task/{parent}/children").read_text().split() for parent in children]
        children = [int(child) for each in lists for child in each]
    return children


def wait_for(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a run on two ranks, and what it printed."""
    folder = tmp_path_factory.mktemp("whole")
    process = start_ranks(2, "-m", "tinygan", "train", *QUICK, "--out", "run", folder=folder)
    return folder / "run", finished(process)


def test_a_run_on_two_ranks_has_the_files_of_one_process(whole, tmp_path):
    run, (status, out, err) = whole
    assert status == 0
    assert err == ""
    assert [line.split()[0] for line in out.splitlines()] == ["samples", "verdict", "report"]
    one_process(tmp_path, "train", *QUICK, "--out", "run")
    alone = tmp_path / "run"
    assert content(run).keys() == content(alone).keys()
    assert (run / "config.toml").read_bytes() == (alone / "config.toml").read_bytes()
    for found, expected in zip(metrics(run), metrics(alone), strict=True):
        assert found.keys() == expected.keys()
        assert found["discriminator_loss"] == pytest.approx(expected["discriminator_loss"], rel=1e-3)
    assert json.loads((run / "environment.json").read_text())["ranks"] == 2
    assert "ranks" not in json.loads((alone / "environment.json").read_text())


def test_a_run_goes_on_with_another_number_of_ranks(whole, tmp_path):
    command = ["train", *QUICK, "--out", "run", "--steps", "15"]
    status, out, _ = finished(start_ranks(2, "-m", "tinygan", *command, folder=tmp_path))
    assert status == 0
    assert "mpiexec -n 2 tinygan resume run" in out
    for ranks, steps in ((1, 25), (3, 40)):
        command = ["resume", "run", "--quiet", "--steps", str(steps)]
        status, _, err = finished(start_ranks(ranks, "-m", "tinygan", *command, folder=tmp_path))
        assert status == 0
        assert f"the number of ranks was 2 and is now {ranks}" in err
        assert err.count("\n") == 0
    for found, expected in zip(metrics(tmp_path / "run"), metrics(whole[0]), strict=True):
        assert found["discriminator_loss"] == pytest.approx(expected["discriminator_loss"], rel=1e-3)


@pytest.mark.parametrize(
    ("words", "status", "fact"),
    [
        (["train", "nosuch"], 1, "nosuch"),
        (["train", "digits", "--epochs", "0"], 2, "--epochs"),
        (["train", "mnist", "--data", "nowhere"], 1, "nowhere"),
        (["train", "digits", "--out", "taken"], 1, "taken"),
        (["sample", "taken", "--count", "1", "--out", "x.png"], 1, "launcher"),
    ],
)
def test_an_error_before_the_training_is_said_once(tmp_path, words, status, fact):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    found, out, err = finished(start_ranks(2, "-m", "tinygan", *words, folder=tmp_path))
    assert (found, out) == (status, "")
    assert fact in err
    assert err.count("error: ") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_the_error_of_one_rank_names_it_and_leaves_no_folder(tmp_path):
    fault = code('raise DataError("no such disk")', 1, step=-1)
    status, _, err = finished(start_ranks(3, "-c", fault, "train", *QUICK, folder=tmp_path))
    assert status == 1
    assert "rank 1 of 3" in err
    assert "no such disk" in err
    assert err.count("error: ") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "rank", "fact"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", 0, "killed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 1, "killed"),
        ("os.kill(os.getpid(), signal.SIGSTOP)", 0, "stopped"),
        ("os.kill(os.getpid(), signal.SIGSTOP)", 1, "stopped"),
        ("exec('while True: pass')", 0, "waited"),
        ("time.sleep(1000)", 1, "waited"),
        ("1 / 0", 1, "ZeroDivisionError"),
    ],
)
def test_a_rank_that_fails_ends_all_and_is_named(whole, tmp_path, fault, rank, fact):
    fault = code(fault, rank, step=25)
    process = start_ranks(2, "-c", fault, "train", *QUICK, "--out", "run", folder=tmp_path, TINYGAN_PATIENCE="3")
    status, _, err = finished(process, within=50)
    assert status != 0
    assert f"rank {rank} of 2" in err
    assert f"rank {1 - rank} of" not in err
    assert fact in err
    assert err.count("tinygan: ") == 1
    assert "mpiexec -n 2 tinygan resume run" in err
    if (fact, rank) == ("killed", 1):
        assert finished(start_ranks(2, "-m", "tinygan", "resume", "run", "--quiet", folder=tmp_path))[::2] == (0, "")
        assert content(tmp_path / "run") == content(whole[0])


@pytest.mark.parametrize(("seconds", "fact"), [(20, "maxout"), (-1, "resume in one process")])
def test_nan_on_one_rank_ends_all_and_is_explained(tmp_path, seconds, fact):
    fault = f"from tinygan.experiments import explaining\nexplaining.SECONDS = {seconds}\n" + code(NAN, 1, step=25)
    process = start_ranks(2, "-c", fault, "train", *QUICK, "--out", "run", folder=tmp_path)
    status, _, err = finished(process)
    assert status == 1
    assert err.count("tinygan: error: ") == 1
    assert "rank 1" in err
    assert "step 26" in err
    assert fact in err
    assert "step-000000020.safetensors" in err


@pytest.mark.parametrize("rank", [None, 1])
def test_a_signal_saves_and_stops_all_after_one_step(whole, tmp_path, rank):
    slow = code("time.sleep(0.5); open(f'at-{self.world.rank}', 'w').close(); time.sleep(0.5)", 0, 1, step=15)
    process = start_ranks(2, "-c", slow, "train", *QUICK, "--out", "run", folder=tmp_path)
    wait_for(lambda: len(list(tmp_path.glob("at-*"))) == 2)
    os.kill(process.pid if rank is None else ranks_of(process)[rank], signal.SIGTERM)
    status, out, err = finished(process)
    assert status == 130
    assert "saved after step 16" in out
    assert "mpiexec -n 2 tinygan resume run" in out
    assert err.count("\n") <= 1
    assert finished(start_ranks(2, "-m", "tinygan", "resume", "run", "--quiet", folder=tmp_path))[0] == 0
    assert content(tmp_path / "run") == content(whole[0])


def test_a_signal_while_rank_0_draws_the_end_loses_nothing(whole, tmp_path):
    slow = "from tinygan.experiments import running as r; draw = r.draw_sheet; r.draw_sheet = "
    slow += "lambda *all: (open('at-0', 'w').close(), time.sleep(2), draw(*all))"
    process = start_ranks(2, "-c", code(slow, 0, step=39), "train", *QUICK, "--out", "run", folder=tmp_path)
    wait_for(lambda: (tmp_path / "at-0").exists())
    process.terminate()
    assert finished(process)[0] == 130
    assert content(tmp_path / "run") == content(whole[0])


def test_one_process_imports_no_mpi():
    check = "import sys; from tinygan.__main__ import main; main(); assert 'mpi4py' not in sys.modules, sys.modules"
    done = subprocess.run([sys.executable, "-c", check, "experiments"], env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
