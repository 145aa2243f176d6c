"""Programs that end, stop or fill the process in which they run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tinygan.learn.exercises import exercise
from tinygan.learn.process import answers_of

pytestmark = pytest.mark.slow

BACKWARD = "def backward(gy, y):\n    return gy * y * (1 - y)\n"


def problems_of(source, seconds=60):
    """Return the problems by kind, and the answers."""
    program = f"import os, sys, time\nimport numpy as np\n{source}\n{BACKWARD}"
    answers = answers_of(exercise(2), Path("mine.py"), program, seconds)
    return {problem.kind: problem.text for problem in answers.problems}, answers


def test_a_program_that_ends_itself():
    problems, answers = problems_of("def forward(x):\n    print('one\\ntwo')\n    os._exit(7)")
    assert "forward, with status 7" in problems["ended"]
    assert answers.printed == "one\ntwo\n"


def test_a_loop_without_end_is_stopped_at_its_line():
    problems, answers = problems_of("def forward(x):\n    while True: print('hello' * 1000)", seconds=1)
    assert "within 1 s in forward. It was at line 4." in problems["time"]
    assert len(answers.printed) < 5000
    problems, _ = problems_of("while True: time.sleep(1)", seconds=1)
    assert "within 1 s. It was at line 3." in problems["time"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits, signals and fork")
def test_memory_signals_and_what_is_left_behind():
    problems, _ = problems_of("def forward(x):\n    return np.ones(10**10)")
    assert "Unable to allocate" in problems["memory"]
    problems, _ = problems_of("def forward(x):\n    os.kill(os.getpid(), 9)")
    assert "SIGKILL" in problems["ended"]
    thread = "import threading; threading.Thread(target=time.sleep, args=(1000,)).start()"
    left = f"if os.fork() == 0: time.sleep(1000)\n{thread}"
    problems, answers = problems_of(f"{left}\ndef forward(x):\n    return x")
    assert problems == {}
    assert set(answers.arrays) == {"numbers near 0", "large numbers"}


def test_modules_beside_the_file_and_questions(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise ValueError")
    monkeypatch.chdir(tmp_path)
    problems, _ = problems_of("def forward(x):\n    return input('?')")
    assert [*problems] == ["exception"]
    assert "EOFError" in problems["exception"]
