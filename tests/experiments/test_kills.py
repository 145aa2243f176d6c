"""SIGKILL at any moment costs at most the step in progress, and the resumed run ends with the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinygan.errors

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def kill(folder, *arguments):
    worker = Path(__file__).with_name("kill_worker.py")
    done = subprocess.run(
        [sys.executable, str(worker), str(folder), *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(tinygan.errors.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_killed_at_random_moments(tmp_path):
    counts = kill(tmp_path, "moments", "20")
    assert counts.pop("steps") > 3
    assert counts == {"kills": 20, "survived": 20, "lost": 0, "differing": 0}


def test_killed_at_every_system_call_of_a_step(tmp_path):
    counts = kill(tmp_path, "calls")
    assert counts["kills"] > 50
    assert counts == {"kills": counts["kills"], "survived": counts["kills"], "lost": 0, "differing": 0}
