"""Start Python on several ranks, by the launcher of the wheel `mpich` or the first on the path."""

from __future__ import annotations

import functools
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


def start_ranks(ranks, *words, folder=ROOT, **variables):
    """Return the process of the launcher; skip the test where there is no MPI."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    return _start(ranks, *words, folder=folder, **variables)


@functools.cache
def why_not():
    """Return why there is no MPI here, or an empty text."""
    pytest.importorskip("mpi4py")
    if launcher() is None:
        return "needs mpiexec"
    with _start(2, "-c", "from mpi4py import MPI; assert MPI.COMM_WORLD.size == 2", folder=ROOT) as process:
        return process.wait(60) and f"MPI does not work: {process.communicate()[1][-200:]}"


def launcher():
    """Return the path of mpiexec, or None."""
    try:
        found = [file.locate() for file in metadata.files("mpich") or () if file.name == "mpiexec"]
    except metadata.PackageNotFoundError:
        found = []
    return str(Path(found[0]).resolve()) if found else shutil.which("mpiexec")


def _start(ranks, *words, folder, **variables):
    return subprocess.Popen(
        [launcher(), "-n", str(ranks), sys.executable, *words], cwd=folder, env=ENVIRONMENT | variables, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
