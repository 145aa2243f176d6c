"""Jobs: commands in processes of their own, which end with the process that started them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tinygan.errors import RunError
from tinygan.parallel import jobs
from tinygan.parallel.jobs import Outcome, Place, open_jobs
from tinygan.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow

ENDLESS = ["train", "digits", "--epochs", "100000", "--set", "training.batch=200", "--quiet", "--out"]


def never() -> bool:
    return False


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_saved(folder: Path) -> bool:
    """Return whether no process writes there any more, and there is a checkpoint."""
    try:
        with (run := RunFolder.open(folder)).lock():
            return run.latest_checkpoint() is not None
    except RunError:  # a job still saves
        return False


def test_a_job_that_fails_stops_no_other() -> None:
    told: list[tuple[str, bool]] = []
    commands = {"good": ["experiments"], "bad": ["train", "nothing"]}
    with open_jobs(2, never) as places:
        assert places is not None
        found = places.run(commands, lambda name, outcome: told.append((name, outcome is None)))
    assert (found["good"].status, found["good"].message) == (0, "")
    assert "digits" in found["good"].output
    assert found["bad"].status == 1
    assert found["bad"].message.startswith('"nothing": no such experiment')
    assert not places.stopped
    assert sorted(told) == [("bad", False), ("bad", True), ("good", False), ("good", True)]


def test_the_message_is_kept_where_a_job_shows_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = Place(never, 1, shown=True).run(["train", "nothing"])
    assert outcome.message.startswith('"nothing": no such experiment')
    assert 'tinygan: error: "nothing": no such experiment' in capfd.readouterr().err


def test_no_job_starts_after_a_stop() -> None:
    with open_jobs(1, lambda: True) as places:
        assert places is not None
        assert places.run({"one": ["--version"]}) == {}
    assert places.stopped


def test_a_training_that_is_asked_to_stop_saves_a_checkpoint(tmp_path: Path) -> None:
    with open_jobs(1, lambda: (tmp_path / "run" / "metrics.jsonl").exists()) as places:
        assert places is not None
        found = places.run({"one": [*ENDLESS, str(tmp_path / "run")]})
    assert places.stopped
    assert (found["one"].status, found["one"].stopped) == (130, True)
    assert is_saved(tmp_path / "run")

    path = RunFolder.open(tmp_path / "run").environment_path
    path.write_text(json.dumps(json.loads(path.read_text()) | {"numpy": "1.0"}))
    outcome = Place(never, 2).run(["resume", str(tmp_path / "run"), "--steps", "1", "--quiet"])
    assert outcome.status == 0
    assert "NumPy was 1.0" in outcome.message  # a warning is not lost


def test_a_training_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    words = [*ENDLESS, str(tmp_path / "run")]
    program = f"from tinygan.parallel.jobs import Place; Place(lambda: False, 1).run({words})"
    starter = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    wait_until((tmp_path / "run" / "metrics.jsonl").exists)
    starter.kill()
    starter.wait()
    wait_until(lambda: is_saved(tmp_path / "run"))


def test_a_job_that_is_killed_is_told(tmp_path: Path) -> None:
    place = Place(lambda: place.killed, 1)

    def kill() -> bool:
        place.killed = (tmp_path / "run" / "metrics.jsonl").exists()
        return False

    place.asked = kill
    outcome = place.run([*ENDLESS, str(tmp_path / "run")])
    assert outcome.status == -signal.SIGKILL
    assert "signal 9" in outcome.message


def test_jobs_share_the_processors_and_are_no_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in jobs.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(jobs, "usable_cpus", lambda: 8)
    monkeypatch.setenv("PMI_RANK", "1")
    found = [Place(never, shares).environment for shares in (1, 2, 3, 16)]
    assert [each.get("OMP_NUM_THREADS") for each in found] == [None, "4", "2", "1"]
    assert all("PMI_RANK" not in each for each in found)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    assert "OMP_NUM_THREADS" not in Place(never, 2).environment


def test_a_process_that_cannot_start_is_a_failed_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/program")
    outcome = Place(never, 1).run(["--version"])
    assert outcome == Outcome(1, message=outcome.message)
    assert "no process can be started" in outcome.message


def ranks(tmp_path: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program on three ranks."""
    package = pytest.importorskip("mpi4py")
    beside = [Path(sys.executable).parent, Path(package.__file__).parents[4] / "bin"]
    mpiexec = shutil.which("mpiexec", path=os.pathsep.join([*map(str, beside), os.environ["PATH"]]))
    if mpiexec is None:
        pytest.skip("there is no mpiexec")
    (tmp_path / "program.py").write_text(program)
    command = [mpiexec, "-n", "3", sys.executable, "program.py", *words]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)


FAILING = """
import sys
from tinygan.errors import ArgumentError
from tinygan.parallel.jobs import open_jobs
try:
    with open_jobs(int(sys.argv[1]) or None, lambda: False) as jobs:
        if jobs is not None:
            found = jobs.run({name: ["train", "nothing" + name] for name in "abcd"})
            print(jobs.at_once, all(f"nothing{name}" in found[name].message for name in "abcd"))
except ArgumentError as error:
    print(error)
"""


@pytest.mark.parametrize(("at_once", "said"), [(0, "3 True"), (2, "--jobs 2: each of the 3 ranks runs one job")])
def test_under_mpiexec_each_rank_runs_jobs(tmp_path: Path, at_once: int, said: str) -> None:
    done = ranks(tmp_path, FAILING, str(at_once))
    assert done.stdout.startswith(said), done.stderr
    assert done.stdout.count("\n") == 1


STOPPED = """
import sys
from pathlib import Path
from tinygan.parallel.jobs import open_jobs
from tinygan.parallel.world import current
rank = int(sys.argv[1])
def asked():
    return current().rank == rank and len(list(Path(".").glob("run-*/metrics.jsonl"))) == 3
with open_jobs(None, asked) as jobs:
    if jobs is not None:
        found = jobs.run({number: [*sys.argv[2:], f"run-{number}"] for number in range(4)})
        print(jobs.stopped, [(number, end.status, end.stopped) for number, end in found.items()])
"""


@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_that_is_asked_to_stop_stops_the_others(tmp_path: Path, rank: int) -> None:
    done = ranks(tmp_path, STOPPED, str(rank), *ENDLESS)
    assert done.stdout == f"True {[(number, 130, True) for number in range(3)]}\n", done.stderr
    assert all(is_saved(tmp_path / f"run-{number}") for number in range(3))
