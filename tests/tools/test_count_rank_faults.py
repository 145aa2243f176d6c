"""A sample of the kills of tools/count_rank_faults.py: a run survives them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parallel.launcher import ENVIRONMENT, ROOT, why_not

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")]


def count(kills):
    if why_not():
        pytest.skip(why_not())
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "count_rank_faults.py"), "--json", "--kills", str(kills)],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    print(done.stderr)
    return done.returncode, json.loads(done.stdout)


def test_a_few_kills():
    status, found = count(2)
    assert (found["made"], found["survived"], found["lost"], found["left"]) == (2, 2, 0, 0)
    assert found["slowest_end"] < 30
    assert status == 0

