"""Two processes cannot hold one lock, and a dead one holds none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinygan.errors
from tinygan.errors import RunError
from tinygan.runs.lock import exclusive_lock

pytest.importorskip("fcntl")

HOLD = """
import sys
from pathlib import Path
from tinygan.runs.lock import exclusive_lock
with exclusive_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """A second process that holds the lock until its input ends or it is killed."""
    root = Path(tinygan.errors.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run.lock")],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"held"
        yield process
        process.kill()


@pytest.mark.slow
def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path, other):
    expected = f"in use by process {other.pid}; wait until that process ends"
    with pytest.raises(RunError, match=expected), exclusive_lock(tmp_path / "run.lock"):
        pytest.fail("the lock was given twice")


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_free(tmp_path, other):
    other.kill()
    other.wait()
    with exclusive_lock(tmp_path / "run.lock"):
        assert (tmp_path / "run.lock").read_text() == f"{os.getpid()}\n"


def test_one_process_cannot_take_it_twice_but_can_take_it_again(tmp_path):
    path = tmp_path / "run.lock"
    with exclusive_lock(path):
        with pytest.raises(RunError, match=f"in use by process {os.getpid()}"), exclusive_lock(path):
            pytest.fail("the lock was given twice")
        with pytest.raises(RunError), exclusive_lock(path):
            pytest.fail("a refused attempt gave the lock back")
    with exclusive_lock(path):
        pass


def test_a_longer_number_of_an_earlier_holder_is_wiped_out(tmp_path):
    (tmp_path / "run.lock").write_text("9" * 15 + "\n")
    with exclusive_lock(tmp_path / "run.lock"):
        assert (tmp_path / "run.lock").read_text() == f"{os.getpid()}\n"


def test_an_error_inside_gives_the_lock_back(tmp_path):
    with pytest.raises(OSError, match="inside") as caught, exclusive_lock(tmp_path / "run.lock"):
        raise OSError("inside")
    assert not isinstance(caught.value, RunError)
    with exclusive_lock(tmp_path / "run.lock"):
        pass


def test_a_holder_that_has_not_written_its_number_is_unknown(tmp_path):
    path = tmp_path / "run.lock"
    with exclusive_lock(path):
        path.write_bytes(b"")
        with pytest.raises(RunError, match="in use by process unknown"), exclusive_lock(path):
            pass


def test_a_folder_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "missing" / "run.lock"
    with pytest.raises(RunError, match=r"cannot open the lock file: No such file"), exclusive_lock(path):
        pass


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    import errno
    import fcntl

    def fail(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(RunError, match="put the run on a local disk"), exclusive_lock(tmp_path / "run.lock"):
        pass


# --- a lock file that does not stay ----------------------------------------------------------------------


@pytest.mark.parametrize("replaced", [False, True])
def test_a_lock_file_that_was_taken_away_is_noticed(tmp_path, replaced):
    path = tmp_path / "run.lock"
    with exclusive_lock(path) as lock:
        lock.check()
        path.unlink()
        if replaced:
            path.write_text("")
        with pytest.raises(RunError, match="the lock file was removed or replaced while this process held it"):
            lock.check()
    with exclusive_lock(path) as lock:
        lock.check()


def test_a_lock_on_a_removed_file_is_taken_again(tmp_path, monkeypatch):
    """Between opening and locking, another process removes the file: a third would lock a new one."""
    import fcntl

    path, flock = tmp_path / "run.lock", fcntl.flock
    left = [2]

    def late(descriptor, operation):
        if left[0]:
            left[0] -= 1
            path.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with exclusive_lock(path) as lock:
        lock.check()
        assert left == [0]


@pytest.mark.parametrize("kind", ["link", "second name", "fifo", "folder"])
def test_a_lock_that_is_no_plain_file_is_refused(tmp_path, kind):
    target, path = tmp_path / "precious", tmp_path / "run.lock"
    target.write_text("precious")
    make = {"link": os.symlink, "second name": os.link}
    if kind in make:
        make[kind](target, path)
    else:
        (os.mkfifo if kind == "fifo" else os.mkdir)(path)
    with pytest.raises(RunError, match="cannot open the lock file: it "), exclusive_lock(path):
        pytest.fail("the lock was given")
    assert target.read_text() == "precious"
