"""Runs on several ranks, under the launcher of the wheel `mpich`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import tinygan.errors

ROOT = Path(tinygan.errors.__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def mpiexec():
    """Return a function that starts Python on some ranks, and returns the process."""
    pytest.importorskip("mpi4py")
    try:
        found = [file.locate() for file in metadata.files("mpich") or () if file.name == "mpiexec"]
    except metadata.PackageNotFoundError:
        found = [shutil.which("mpiexec")]
    if not found[0]:
        pytest.skip("needs mpiexec")
    launcher = str(Path(found[0]).resolve())

    def start(ranks, *words, folder, **variables):
        return subprocess.Popen(
            [launcher, "-n", str(ranks), sys.executable, *words], cwd=folder, env=ENVIRONMENT | variables, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    with start(2, "-c", "from mpi4py import MPI; assert MPI.COMM_WORLD.size == 2", folder=ROOT) as process:
        if process.wait(60):
            pytest.skip(f"MPI does not work here: {process.communicate()[1][-200:]}")
    return start
