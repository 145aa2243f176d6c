"""Several processes and one run: each step is made once, and no file of another process is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinygan.errors
from tinygan.errors import RunError
from tinygan.experiments.running import Limits, Watcher, reopen, run, start
from tinygan.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow

pytest.importorskip("fcntl")

ROOT = Path(tinygan.errors.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
QUICK = ["--quiet", "--epochs", "5", "--set", "output.samples=4", "--set", "output.samples_every=100",
         "--set", "generator.layers=[{type='linear',units=8},{type='relu'},{type='linear',units=64},{type='sigmoid'}]",
         "--set", "discriminator.layers=[{type='maxout',units=4,pieces=2},{type='linear',units=1}]"]  # fmt: skip
# Resume the run; after reading it, print a line and wait for one.
REOPEN = """
import sys
from pathlib import Path
from tinygan import data
from tinygan.errors import RunError
from tinygan.experiments.running import reopen, run
try:
    begun = reopen(Path(sys.argv[1]), lambda config: data.load(config.data.set))
    print("read", flush=True)
    sys.stdin.readline()
    print(run(*begun), flush=True)
except RunError as error:
    print(error, flush=True)
"""


def tinygan_process(folder, *words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "tinygan", *words], cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, **options,
    )  # fmt: skip


def epochs(path):
    return [record["epoch"] for record in RunFolder(path).metrics()]


@pytest.fixture
def begun(tmp_path):
    """Return a run after one of five epochs."""
    process = tinygan_process(tmp_path, "train", "digits", "--out", "run", *QUICK, "--steps", "20")
    assert process.communicate()[1] == ""
    return tmp_path / "run"


def test_two_resumes_at_once_make_each_epoch_once(begun):
    both = [tinygan_process(begun.parent, "resume", "run", "--quiet") for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    statuses = sorted(process.returncode for process in both)
    assert epochs(begun) == [1, 2, 3, 4, 5]
    if statuses == [0, 1]:  # otherwise the second started after the end of the first
        assert "in use by process" in "".join(errors)
    else:
        assert statuses == [0, 0]


def test_the_work_of_another_process_is_kept(begun):
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", REOPEN, str(begun)], env=ENVIRONMENT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as late:  # fmt: skip
        assert late.stdout.readline() == "read\n"
        early = tinygan_process(begun.parent, "resume", "run", "--quiet")
        assert early.communicate()[1] == ""
        before = sorted(os.listdir(begun / "checkpoints"))
        said, _ = late.communicate("go on\n")
        assert "another process went on with this run" in said
    assert sorted(os.listdir(begun / "checkpoints")) == before
    assert epochs(begun) == [1, 2, 3, 4, 5]


def test_three_starts_at_once_get_a_folder_each(tmp_path):
    processes = [tinygan_process(tmp_path, "train", "digits", *QUICK) for _ in range(3)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert sorted(os.listdir(tmp_path / "runs")) == ["digits", "digits-2", "digits-3"]
    assert [epochs(path) for path in (tmp_path / "runs").iterdir()] == [[1, 2, 3, 4, 5]] * 3
    (one, *others) = ((path / "metrics.jsonl").read_bytes() for path in (tmp_path / "runs").iterdir())
    assert others == [one, one]


# --- the same in one process ----------------------------------------------------------------


class At(Watcher):
    """Do something after a step."""

    def __init__(self, step, action):
        self.when, self.action = step, action

    def step(self, training):
        if training.steps == self.when:
            self.action()


@pytest.fixture
def tiny(tiny_experiment, tiny_data, tmp_path):
    """Return functions that start and reopen a small run."""
    path = tmp_path / "run"
    return (
        lambda *overrides: start(tiny_experiment(*overrides), tiny_data(), path),
        lambda *overrides: reopen(path, lambda config: tiny_data(), "cpu", overrides),
    )


@pytest.mark.filterwarnings("ignore:.*the run may not end in the same bits")
@pytest.mark.parametrize("steps", [7, 15])
def test_a_run_continued_by_another_process_is_refused(tiny, steps):
    begin, again = tiny
    run(*begin(), Limits(steps=6))
    late, early = again(), again()
    run(*early, Limits(steps=steps))
    folder = early[0]
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file() and path.name != "run.lock"}
    with pytest.raises(RunError, match="another process went on with this run"):
        run(*late)
    assert before == {
        path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file() and path.name != "run.lock"
    }
    assert run(*again())


@pytest.mark.parametrize("step", [3, 5, 12])
def test_a_replaced_lock_file_stops_the_run_before_writing(tiny, step):
    begin, again = tiny
    folder, training = begin()

    def replace():
        (folder.path / "run.lock").unlink()
        (folder.path / "run.lock").touch()

    with pytest.raises(RunError, match="the lock file was removed or replaced"):
        run(folder, training, None, At(step, replace))
    assert epochs(folder.path) == list(range(1, (step - 1) // 5 + 1))
    assert run(*again())
    assert epochs(folder.path) == [1, 2, 3]


def test_a_folder_that_becomes_a_link_stops_the_run(tiny, tmp_path):
    begin, _ = tiny
    folder, training = begin()
    (tmp_path / "outside").mkdir()

    def replace():
        os.rename(folder.samples_path, tmp_path / "samples before")
        folder.samples_path.symlink_to(tmp_path / "outside")

    with pytest.raises(RunError, match="samples: it is a symbolic link"):
        run(folder, training, None, At(7, replace))
    assert os.listdir(tmp_path / "outside") == []


def test_one_process_may_run_twice_with_its_training(tiny):
    begin, _ = tiny
    folder, training = begin()
    for steps in (3, 7, 7, 15):
        run(folder, training, Limits(steps=steps))
    assert epochs(folder.path) == [1, 2, 3]
