"""The checks for a real GPU, run on the strict double, so that they work when a GPU is available."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import gpu_checks
from tests.doubles import cuda_on_cpu
from tests.doubles.cublas import Cublas
from tests.doubles.installed import strict_cupy
from tests.doubles.small import shrunk, stand_in
from tinygan.backend import graph
from tinygan.backend.cupy import CupyBackend

pytestmark = pytest.mark.slow

# These need a real GPU: they measure time, memory, and whether the host waits.
ONLY_ON_A_GPU = {"no-wait", "speed", "memory"}

needs_compiler = pytest.mark.skipif(
    not cuda_on_cpu.COMPILER, reason="no C++ compiler on this machine to run the kernels' source with"
)


@pytest.fixture
def double(monkeypatch):
    monkeypatch.setattr(graph, "load_cublas", Cublas)
    monkeypatch.setattr(gpu_checks, "LONG", 2)
    monkeypatch.setattr(gpu_checks, "_stand_in", stand_in)
    monkeypatch.setattr(gpu_checks, "_machine", lambda: {"gpu": "none"})
    monkeypatch.setattr(gpu_checks, "load_experiment", shrunk)
    slow = {"cifar10-conv", "dcgan-cifar10", "dcgan-mnist"}  # dcgan-digits has the same operations
    monkeypatch.setattr(gpu_checks, "NAMES", [name for name in gpu_checks.NAMES if name not in slow])
    with strict_cupy() as module:
        yield module


@needs_compiler
@pytest.mark.parametrize("name", sorted(set(gpu_checks.CHECKS) - ONLY_ON_A_GPU))
def test_a_check_passes_on_the_double(double, name, tmp_path, capsys):
    status = gpu_checks.main(["--only", name, "--json", str(tmp_path / "results.json")])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["checks"][name]["ok"], results["checks"][name]
    assert status == 0
    assert f"ok      {name}" in capsys.readouterr().out


@needs_compiler
def test_other_checks_run_after_a_failure(double, monkeypatch, capsys, tmp_path):
    right = CupyBackend.relu
    monkeypatch.setattr(CupyBackend, "relu", lambda self, x: right(self, x) + 1)
    status = gpu_checks.main(["--only", "methods", "draws", "--json", str(tmp_path / "results.json")])
    checks = json.loads((tmp_path / "results.json").read_text())["checks"]
    assert status == 1
    assert (checks["methods"]["ok"], checks["draws"]["ok"]) == (False, True)
    assert "relu" in checks["methods"]["error"]


def test_without_a_gpu_the_message_says_so():
    code = """if True:
        import runpy, sys
        sys.modules.update(dict.fromkeys(["cupy", "pooch", "tomli_w"]))  # no check of one kernel needs the others
        sys.argv = ["gpu_checks.py"]
        runpy.run_path(%r, run_name="__main__")
    """
    script = str(Path(gpu_checks.__file__))
    done = subprocess.run([sys.executable, "-c", code % script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("device 'cuda' is not available: CuPy is not installed")
