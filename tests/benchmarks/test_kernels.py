from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from benchmarks import kernels
from benchmarks.__main__ import main
from tinygan.backend import Backend, select_backend

pytest.importorskip("numba")


def test_kernels_print_one_json_object_and_nothing_else(capsys: Any) -> None:
    before = select_backend("numpy")
    assert main(["kernels", "--rows", "2", "--seconds", "1e-6", "--no-costs", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert set(measured["best_ms"]) == {name for group in kernels.GROUPS for name in group(2)}
    for name, times in measured["best_ms"].items():
        for backend, best in times.items():
            samples = measured["measurements"][f"{name}: {backend}"]["samples_ms"]
            assert best == pytest.approx(min(samples), abs=1e-4)  # samples are rounded
    assert measured["numba"].startswith("numba ")
    assert "numba_costs" not in measured
    assert select_backend("numpy") is before


def test_the_table_has_a_row_for_each_kernel(monkeypatch: Any, capsys: Any) -> None:
    calls = {"one": lambda B: B.relu(np.ones(3, "f4")), "two": lambda B: B.sigmoid(np.ones(3, "f4"))}
    monkeypatch.setattr(kernels, "GROUPS", [lambda rows: {"one": calls["one"]}, lambda rows: {"two": calls["two"]}])
    costs = {"compiling": {"import_s": 0.5, "first_s": 4.0, "added_bytes": 1 << 20}}
    measured = kernels.measure_kernels(2, 1e-6, costs=False) | {"numba_costs": costs}
    lines = kernels.kernels_table(measured).splitlines()
    assert [line.split()[1] for line in lines if line.startswith("| ")] == ["kernel", "one", "two"]
    assert "0.50 s to import, 4.00 s more in the first iteration of MNIST, 1 MiB" in lines[1]


@pytest.mark.slow
def test_what_numba_costs(tiny: str) -> None:
    costs = kernels.numba_costs(tiny)
    assert costs["stored"]["first_s"] < costs["compiling"]["first_s"]  # seconds of the compiler, and none
    assert all(cost["import_s"] > 0 for cost in costs.values())


def test_every_kernel_runs_on_the_portable_backend() -> None:
    for kernel in kernels.mnist_kernels(3).values():
        kernel(Backend(np, "cpu"))
