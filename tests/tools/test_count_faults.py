"""A sample of the faults of tools/count_faults.py: a run survives them, and the script reports if it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "count_faults.py"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]


def count_faults(*arguments, before=""):
    """Run the script, after some code that breaks something; return its exit status and its counts."""
    code = f"import runpy, sys; sys.argv = {[str(SCRIPT), '--json', *arguments]!r}\n{before}\n"
    code += f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    print(done.stderr)  # names the files that differ
    assert done.stdout
    return done.returncode, json.loads(done.stdout)


def test_killed_at_random_moments():
    status, [count] = count_faults("--only", "moments", "--kills", "20")
    assert (count["made"], count["survived"], count["lost"]) == (20, 20, 0)
    assert status == 0


@pytest.mark.parametrize(
    ("kind", "at_least"), [("steps", 5), ("birth", 9), ("calls", 10), ("end", 10), ("full", 6), ("read-only", 5)]
)
def test_disturbed_at_a_sample_of_all_moments(kind, at_least):
    status, [count] = count_faults("--only", kind, "--every", "12" if kind != "steps" else "10")
    assert count["made"] >= at_least
    assert (count["survived"], count["lost"]) == (count["made"], 0)
    assert status == 0


@pytest.mark.parametrize("kind", ["truncations", "flips"])
def test_damage_to_a_sample_of_all_bytes_is_detected(kind):
    status, [count] = count_faults("--only", kind, "--every", "997")
    assert count["made"] > 20
    assert count["survived"] == count["made"]
    assert status == 0


# --- what it is worth: it sees what is broken ------------------------------------------------------------

BROKEN = {
    "random streams that begin again": (
        "steps",
        "from tinygan.experiments.training import Training; load = Training.load_state\n"
        "def forgetful(self, arrays, plain): load(self, arrays, {**plain, 'streams': self.streams.state_dict()})\n"
        "Training.load_state = forgetful",
    ),
    "a checkpoint written in place": (
        "calls",
        "from tinygan.runs import checkpoint\n"
        "def in_place(path, chunks):\n"
        "    import os\n"
        "    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)\n"
        "    for chunk in chunks: os.write(file, chunk)\n"
        "    os.close(file)\n"
        "checkpoint.atomic_write = in_place",
    ),
    "a folder half made that stands in its own way": (
        "birth",
        "from tinygan.runs.run_folder import RunFolder\nRunFolder._is_half_made = lambda *_: False",
    ),
    "a checksum that is not looked at": (
        "flips",
        "from tinygan.runs import safetensors_file\nsafetensors_file._compare_checksum = lambda *_: None",
    ),
}


@pytest.mark.parametrize("bug", BROKEN)
def test_it_sees_a_planted_bug(bug):
    kind, code = BROKEN[bug]
    every = {"steps": "13", "birth": "15", "calls": "12", "flips": "997"}[kind]
    status, [count] = count_faults("--only", kind, "--every", every, before=code)
    assert count["survived"] < count["made"] or count["lost"]
    assert status == 1
