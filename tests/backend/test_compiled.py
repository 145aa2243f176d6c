"""Machine code is stored and read again; where it cannot be, each process compiles. numba is imported late."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygan.backend import get_backend, select_backend
from tinygan.backend.compiled import compiled, load_numba
from tinygan.errors import DeviceError

LOOPS = """
from tinygan.backend.compiled import compiled

@compiled
def half(x):
    return x / 2

@compiled
def halve(x):
    for i in range(x.size):
        x[i] = half(x[i])
    return 1 / (x[0] - x[0])  # a division by zero, as NumPy divides
"""
RUN = """
import numpy as np, warnings
warnings.simplefilter("always")
import loops
x = np.ones(3, "f4")
print(loops.halve(x), x.tolist())
loops.halve(x)
loops.half(1.0)
stats = loops.halve._dispatcher.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def python(code: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), root]), **variables}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.slow
def test_the_second_process_reads_what_the_first_compiled(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    (tmp_path / "loops.py").write_text(LOOPS, encoding="utf-8")
    store = tmp_path / "store"
    done = [python(RUN, tmp_path, NUMBA_CACHE_DIR=str(store)) for _ in range(2)]
    assert done[0].stdout == "inf [0.5, 0.5, 0.5]\n0 1\n"
    assert done[1].stdout == "inf [0.5, 0.5, 0.5]\n1 0\n"
    for damaged in (".nbc", ".nbi"):
        for file in store.rglob(f"*{damaged}"):
            file.write_bytes(b"\x80damaged")
        found = python(RUN, tmp_path, NUMBA_CACHE_DIR=str(store))
        assert found.stdout.startswith("inf [0.5, 0.5, 0.5]\n")
        assert found.stderr.count("NUMBA_CACHE_DIR") == 1  # said once, for two functions


@pytest.mark.slow
def test_without_a_folder_for_it_each_process_compiles(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    (tmp_path / "loops.py").write_text(LOOPS, encoding="utf-8")
    (tmp_path / "__pycache__").touch()  # no folder can have this name now
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"), os.path.join(os.devnull, "home"))
    for more in ({}, {"NUMBA_CACHE_DIR": os.path.join(os.devnull, "store")}):
        done = python(RUN, tmp_path, **nowhere, **more)
        assert done.stdout.startswith("inf [0.5, 0.5, 0.5]\n")
        assert done.stderr.count("NUMBA_CACHE_DIR") == 1


@pytest.mark.slow
def test_numba_is_imported_only_to_compute_with_it(tmp_path: Path) -> None:
    python(
        """
import contextlib, sys, tinygan
from tinygan.cli import main
with contextlib.suppress(SystemExit):
    main(["--help"])
assert main(["train", "digits", "--steps", "1", "--backend", "numpy", "--quiet"]) == 0
assert "numba" not in sys.modules
""",
        tmp_path,
    )


@pytest.mark.slow
def test_a_command_without_numba_says_what_to_install(tmp_path: Path) -> None:
    done = python(
        """
import sys
sys.modules["numba"] = None
from tinygan.cli import main
print(main(["train", "digits", "--backend", "numba"]))
""",
        tmp_path,
    )
    assert done.stdout == "1\n"  # as for a device that is missing
    assert "pip install 'tinygan[fast]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_loading_without_numba_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(DeviceError, match="numba"):
        load_numba()
    with pytest.raises(DeviceError, match="numba"):
        compiled(lambda: None)()


def test_another_backend_is_refused() -> None:
    before = get_backend("cpu")
    with pytest.raises(DeviceError, match="'numpy' or 'numba'"):
        select_backend("numbra")
    assert get_backend("cpu") is before is select_backend("numpy")
