"""tools/mutate_backward.py on a repository of one operation, and its list of mutants."""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "mutate_backward.py"
forked = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

OPERATIONS = """
class Base:
    def backward(self, gy):
        return gy


class Tested(Base):
    def backward(self, gy):
        return super().backward(-gy) - 1


class Untested:
    def backward(self, gy):
        return 3 * gy


class Far:
    left = 1

    def backward(self, gy):
        while self.left - 1:
            pass
        return gy
"""
FIRST = """
from tinygan.functional.small import Tested

def test_tested():
    assert Tested().backward(2) == -3
"""
FURTHER = """
from tinygan.functional.small import Base, Far

def test_far():
    assert (Base().backward(2), Far().backward(2)) == (2, 2)
"""


@pytest.fixture
def repository(tmp_path):
    """Return a repository with the script, a few operations, and tests of some of them."""
    for name, text in {
        "tinygan/__init__.py": "",
        "tinygan/functional/__init__.py": "",
        "tinygan/functional/small.py": OPERATIONS,
        "tests/functional/test_small.py": FIRST,
        "tests/functional/test_far.py": FURTHER,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    (tmp_path / "tools").mkdir()
    # a mutant that runs forever is stopped
    (tmp_path / "tools" / SCRIPT.name).write_text(SCRIPT.read_text().replace("TIMEOUT = 300", "TIMEOUT = 0.5"))
    return tmp_path


def mutate(repository, *arguments):
    """Run the script with one worker; return its exit status and its lines."""
    script = repository / "tools" / SCRIPT.name
    done = subprocess.run(
        [sys.executable, str(script), "--workers", "1", *arguments],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


@forked
@pytest.mark.slow
def test_a_planted_survivor_is_found(repository):
    status, lines = mutate(repository)
    place = "tinygan/functional/small.py"
    near, far = "tests/functional/test_small.py::test_tested", "tests/functional/test_far.py::test_far"
    for line in (
        f"killed      {place}:9 Tested.backward: super().backward(-gy) - 1 -> 1  [{near}]",  # super() is gone
        f"unnoticed   {place}:23 Far.backward: return gy -> return None  [1 tests pass]",
        f"killed      {place}:23 Far.backward: return gy -> return None  [{far}]",
        f"killed      {place}:21 Far.backward: self.left - 1 -> 1  [the tests ended with status {int(signal.SIGPROF)}]",
        f"SURVIVED    {place}:14 Untested.backward: 3 * gy -> gy  [1 tests pass]",
    ):
        assert line in lines
    assert lines[-1] == "14 mutants: 10 killed, 0 equivalent, 4 SURVIVED"
    assert status == 1


@forked
@pytest.mark.slow
def test_nothing_survives_and_a_reason_is_named(repository):
    script = repository / "tools" / SCRIPT.name
    known = 'EQUIVALENT = {"Untested.backward: 3 * gy -> gy": "why not",'
    script.write_text(script.read_text().replace("EQUIVALENT = {", known))
    status, lines = mutate(repository, "--only", "Tested.", "* gy -> gy")
    assert lines[0] == "equivalent  tinygan/functional/small.py:14 Untested.backward: 3 * gy -> gy  [why not]"
    assert lines[-1] == "6 mutants: 5 killed, 1 equivalent, 0 SURVIVED"
    assert status == 0


@forked
@pytest.mark.slow
def test_a_test_that_always_fails_kills_nothing(repository):
    (repository / "tests/functional/test_small.py").write_text("def test_tested():\n    assert False\n")
    status, lines = mutate(repository, "--only", "Tested.")
    assert "this test fails without any mutant: tests/functional/test_small.py::test_tested" in "\n".join(lines)
    assert "killed  " not in "\n".join(lines)
    assert status == 2


@pytest.mark.slow
def test_each_reason_belongs_to_a_mutant():
    tool = runpy.run_path(str(SCRIPT))
    assert tool["EQUIVALENT"].keys() <= {str(mutant) for mutant in tool["mutants"]()}
