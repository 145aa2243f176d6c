"""The witness names the rank that dies, hangs or fails, and never one of a run that goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.errors import ArgumentError
from tinygan.parallel import watch, witness
from tinygan.parallel.witness import BEAT, FIRST, SLOWEST, TOGETHER, Clock, Rank, Witness

PATIENCE = 20.0


def witness_of(size, **state):
    found = Witness(size, PATIENCE)
    found.ranks = {rank: Rank(f"rank {rank} of {size}", 0.0) for rank in range(size)}
    for rank in found.ranks.values():
        vars(rank).update(fresh=False, **state)
    return found


def hear_all(judge, now, calls, but=(), **said):
    for rank in judge.ranks:
        if rank not in but:
            judge.hear(rank, {"calls": calls, "fresh": False, **said}, now)


@given(
    size=st.integers(2, 5),
    gaps=st.lists(st.floats(0.1, PATIENCE - 1), min_size=1, max_size=20),
    waits=st.booleans(),
)
def test_a_run_that_goes_on_is_never_ended(size, gaps, waits):
    judge, now = witness_of(size), 0.0
    for calls, gap in enumerate(gaps):
        now += gap
        assert judge.verdict(now) is None
        hear_all(judge, now, calls, waits=waits)
        assert judge.verdict(now) is None


@given(size=st.integers(2, 5), data=st.data())
def test_a_rank_that_does_not_go_on_is_named(size, data):
    judge, late = witness_of(size), data.draw(st.integers(0, size - 1))
    for second in range(100):
        hear_all(judge, float(second), second if second < 50 else 50, but=[late], waits=True)
        judge.hear(late, {"calls": min(second, 50), "waits": False, "fresh": False}, float(second))
        found = judge.verdict(float(second))
        if found is not None:
            break
    text, status = found
    assert 50 + PATIENCE <= second <= 50 + PATIENCE + 2
    assert f"rank {late} of {size}" in text
    assert sum(f"rank {rank} of" in text for rank in range(size)) == 1
    assert status == 1


@given(size=st.integers(2, 5), data=st.data())
def test_a_silent_rank_is_named(size, data):
    judge, silent = witness_of(size), data.draw(st.integers(0, size - 1))
    for second in range(100):
        hear_all(judge, float(second), second, but=[silent] if second > 50 else (), alone=silent != 0)
        found = judge.verdict(float(second))
        if found is not None:
            break
    assert 50 + PATIENCE < second <= 50 + PATIENCE + 2
    assert f"rank {silent} of {size}" in found[0]


@given(
    before=st.lists(st.floats(0, BEAT), max_size=5),
    sleep=st.floats(3 * BEAT, 1e5),
    ticks=st.lists(st.floats(0, BEAT), max_size=5),
)
def test_no_time_passes_while_a_run_is_suspended(before, sleep, ticks):
    clock, now = Clock(0.0), 0.0
    for gap in before:
        now += gap
        awake = clock.at(now, heard=True)
    for tick in [sleep, *ticks]:
        now += tick
        clock.at(now, heard=False)
    assert clock.seconds == (awake if before else 0.0)
    assert clock.at(now + BEAT, heard=True) == pytest.approx(clock.seconds)


def test_rank_0_may_work_alone_for_any_time():
    judge = witness_of(3)
    for second in range(1000):
        hear_all(judge, float(second), 5, but=[0], waits=True)
        judge.hear(0, {"calls": 4, "waits": False, "alone": True}, float(second))
        assert judge.verdict(float(second)) is None
    assert judge.longest < 2


def test_rank_0_may_save_for_any_time_when_the_others_are_done():
    judge = witness_of(2)
    for second in range(1000):
        judge.hear(0, {"calls": 4, "waits": False}, float(second))
        judge.hear(1, {"calls": 5, "waits": True, "done": True}, float(second))
        assert judge.verdict(float(second)) is None


def test_all_that_wait_for_each_other_are_ended():
    judge = witness_of(2, waits=True)
    for second in range(30):
        hear_all(judge, float(second), 7, waits=True)
    assert "for each other" in judge.verdict(30.0)[0]


def test_the_first_step_may_take_longer():
    judge = witness_of(2)
    for second in range(int(FIRST * PATIENCE) + 3):
        judge.hear(0, {"calls": 1, "waits": True, "fresh": True}, float(second))
        judge.hear(1, {"calls": 0, "waits": False, "fresh": True}, float(second))
        if second <= FIRST * PATIENCE:
            assert judge.verdict(float(second)) is None
    assert "rank 1 of 2" in judge.verdict(float(second))[0]


def test_slow_steps_raise_the_limit():
    judge, now, step = witness_of(2), 0.0, PATIENCE - 2
    for calls in range(5):
        for _ in range(int(step)):
            now += 1
            judge.hear(0, {"calls": calls, "waits": True, "fresh": False}, now)
            judge.hear(1, {"calls": calls, "waits": False, "fresh": False}, now)
            assert judge.verdict(now) is None
    while judge.verdict(now) is None:
        now += 1
        hear_all(judge, now, 4, but=[1], waits=True)
        judge.hear(1, {"calls": 4, "waits": False, "fresh": False}, now)
    assert now > 4 * step + SLOWEST * step - 2


def test_ranks_that_are_lost_at_once_are_all_named():
    judge = witness_of(3)
    judge.lose(2)
    judge.lose(0)
    text, _ = judge.verdict(1.0)
    assert "one of rank 2 of 3" in text
    assert "rank 0 of 3" in text


def test_a_rank_that_is_lost_is_named():
    judge = witness_of(3)
    judge.lose(2)
    judge.advice = "go on with: this"
    text, status = judge.verdict(1.0)
    assert "rank 2 of 3" in text
    assert "rank 0" not in text
    assert text.endswith("\n  go on with: this")
    assert status == 1


def test_no_rank_is_named_before_all_are_connected():
    judge = witness_of(3)
    del judge.ranks[1]
    judge.lose(0)
    text, status = judge.verdict(1.0)
    assert "a rank was killed" in text
    assert "rank 0" not in text
    assert status == 1


def test_a_rank_that_is_done_may_leave():
    judge = witness_of(2, done=True)
    judge.lose(0)
    judge.lose(1)
    assert judge.verdict(100.0) is None


def failure(text="tinygan: error: no such file", **options):
    return {"failed": {"text": text, "status": 1, "named": True, "advised": True, **options}}


def test_the_error_of_all_ranks_is_said_once_without_a_name():
    judge = witness_of(3)
    for rank in (2, 1, 0):
        assert judge.verdict(5.0) is None
        judge.hear(rank, failure(), 5.0)
    assert judge.verdict(5.0) == ("tinygan: error: no such file", 1)


def test_the_error_of_one_rank_is_said_with_its_name():
    judge = witness_of(3)
    judge.hear(1, failure(status=130), 5.0)
    assert judge.verdict(5.0 + TOGETHER / 2) is None
    assert judge.verdict(5.0 + TOGETHER) == ("tinygan: error: rank 1 of 3: no such file", 130)
    judge.hear(1, failure(named=False), 5.0)
    assert judge.verdict(5.0 + TOGETHER) == ("tinygan: error: no such file", 1)


# --- connections -------------------------------------------------------------------------------------------


class OneRank:
    """A world of one rank without MPI."""

    rank, size = 0, 1

    def __init__(self):
        self.comm = self
        self.aborted = []

    def sum(self, *arrays):
        pass

    def gather(self, value):
        return [value]

    def broadcast(self, value):
        return value

    def Abort(self, status):
        self.aborted.append(status)


@pytest.fixture
def one_rank(monkeypatch):
    """Return a watch of one rank; its end is noted, and not carried out."""
    ended = []
    monkeypatch.setattr(watch.Watch, "_abort", lambda self, status: ended.append(status))
    found = watch.Watch(OneRank(), 2.0)
    found.ended = ended
    yield found
    found._witness.kill()
    found._witness.wait()
    found._thread.join()
    found._socket.close()


def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_witness_leaves_with_the_ranks(one_rank):
    one_rank.close()
    assert one_rank._witness.wait(10) == 0
    assert one_rank.ended == []


def test_an_error_ends_the_rank_with_its_status(one_rank):
    one_rank.advise("go on")
    one_rank._send(**failure(status=3, named=False))
    wait_for(lambda: one_rank.ended)
    assert one_rank.ended == [3]


def test_the_end_of_the_witness_ends_the_rank(one_rank, capsys):
    os.kill(one_rank._witness.pid, signal.SIGKILL)
    wait_for(lambda: one_rank.ended)
    assert one_rank.ended == [1]
    assert "witness" in capsys.readouterr().err


@pytest.mark.parametrize("patience", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_patience_that_is_no_time_is_refused(monkeypatch, patience):
    monkeypatch.setenv(watch.VARIABLE, patience)
    with pytest.raises(ArgumentError, match=watch.VARIABLE):
        watch.Watch(OneRank())


@pytest.mark.parametrize(
    "line", [b"{}\n", b"GET / HTTP/1.1\r\n\r\n", b'{"token": "no", "rank": 0, "name": "x"}\n', b"[1]\n", b"\xff\n"]
)
def test_a_stranger_is_not_heard(line):
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", witness.__file__, "1", "20"], stdin=server, stderr=subprocess.PIPE,
            env={**os.environ, "TOKEN": "t"}, text=True,
        )  # fmt: skip
        port = server.getsockname()[1]
    with process, socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(line)
        while stranger.recv(100).strip(b"0\n"):
            pass
        with socket.create_connection(("127.0.0.1", port)) as rank:
            rank.sendall(b'{"token": "t", "rank": 0, "name": "rank 0"}\n{"done": true}\n')
            assert rank.recv(2) == b"0\n"
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_the_meetings_of_the_ranks_are_counted(one_rank):
    calls, seen = one_rank.calls, []
    one_rank.world.gather(1)
    counted = one_rank._counted(lambda: seen.append(one_rank.waits) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        counted()
    assert seen == [True]
    assert (one_rank.calls, one_rank.waits) == (calls + 2, False)
    one_rank.close()
    assert one_rank.world.gather(2) == [2]
    assert one_rank.calls == calls + 3  # with the last meeting, in `close`


@pytest.mark.parametrize(
    ("runs_ahead", "library", "compiles"), [(False, "numpy", False), (False, "numba 0.61", True), (True, "numpy", True)]
)
def test_what_rank_0_does_beside_the_steps_is_known(one_rank, runs_ahead, library, compiles):
    def now():
        state = one_rank._state()
        return state["alone"], state["fresh"]

    assert now() == (True, True)
    backend = SimpleNamespace(runs_ahead=runs_ahead, library=library)
    training = SimpleNamespace(steps=20, epoch_is_over=True, stopping=False, backend=backend)
    one_rank.training = training
    assert now() == (True, True)  # it draws the first sheet
    training.epoch_is_over = False
    assert one_rank.asked() is False
    assert now() == (False, compiles)
    training.steps, training.epoch_is_over, training.stopping = 21, True, True
    assert one_rank.asked() is True
    assert now() == (True, False)
    one_rank.waits = True
    assert now() == (False, False)
    one_rank.waits = False
