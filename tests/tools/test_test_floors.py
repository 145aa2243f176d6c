"""tools/test_floors.py reads the floors of setup.cfg. The installation, which needs a network, is not tested."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "test_floors.py"
floors = runpy.run_path(str(SCRIPT))["floors"]

SETUP = """
[options]
install_requires =
    numpy>=2.0
    # why
    some-name[extra,other] >= 1.2.3
[options.extras_require]
cuda = never>=1
test =
    pytest>=8
    only_there>=12.4.99; sys_platform == "linux"
dev =
    %(test)s
    ruff>=0.9
"""


def test_each_floor_is_pinned():
    assert floors(SETUP) == [
        "numpy==2.0",
        "some-name[extra,other]==1.2.3",
        "pytest==8",
        'only_there==12.4.99; sys_platform == "linux"',
    ]


@pytest.mark.parametrize("line", ["numpy", "numpy==2.0", "numpy>=2.0,<3", "numpy>2", "numpy>="])
def test_a_requirement_without_a_floor_is_refused(line):
    with pytest.raises(ValueError, match=r"expected name>=version, got 'numpy"):
        floors(SETUP.replace("numpy>=2.0", line))


def test_the_list_is_that_of_setup_cfg():
    done = subprocess.run([sys.executable, str(SCRIPT), "--list"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == floors((ROOT / "setup.cfg").read_text(encoding="utf-8"))
    assert {"numpy==2.0", "pytest==8"} <= set(done.stdout.splitlines())
