from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.crew import undisturbed
from benchmarks.errors import BenchmarkError
from benchmarks.plots import draw_sweep
from benchmarks.readme_table import make_tables
from benchmarks.results import write_result
from benchmarks.sweep import devices_table, measure_sweep, spread, sweep_table

SIZES = (4, 64, 1024)


def made_up(made: Any, device: str, times: tuple[float, ...], peers: dict[str, float] | None = None) -> Any:
    """Return a sweep over the batch with these times, and with peers that take so many times as long."""
    samples: dict[str, list[float]] = {}
    points = []
    for value, time in zip(SIZES, times, strict=True):
        samples |= {f"batch {value} step": [time], f"batch {value} products": [time / 1.25]}
        samples |= {f"batch {value} {name}": [factor * time] for name, factor in (peers or {}).items()}
        points.append({
            "axis": "batch", "value": value, "flop": 10**6, "step": f"batch {value} step",
            "products": f"batch {value} products", "peers": {name: f"batch {value} {name}" for name in peers or {}},
            "ratio": 1.25, "ratio_p10": 1.2, "ratio_p90": 1.3, "tries": 1,
        })  # fmt: skip
    measured = made("sweep", {"device": device, "threads": 2}, **samples)
    return {**measured, "points": points}


def cells(table: str, row: str) -> list[str]:
    [line] = [line for line in table.splitlines() if line.startswith(f"| {row} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_fastest_is_named_in_each_row(made: Any) -> None:
    measured = made_up(made, "cpu", (1.0, 2.0, 30.0), {"torch": 1.5, "jax": 0.5})
    del measured["points"][2]["peers"]["jax"]
    table = sweep_table(measured)
    assert cells(table, "batch 4")[-3:] == ["1.500", "0.5000", "jax"]
    assert cells(table, "batch 1024")[-3:] == ["45.00", "", "tinygan"]
    assert cells(sweep_table(made_up(made, "cpu", (1.0, 2.0, 3.0))), "batch 4")[-1] == "1.0"  # no peers, no columns


def test_a_row_faster_than_its_products_says_so(made: Any) -> None:
    measured = made_up(made, "cpu", (1.0, 2.0, 3.0))
    measured["points"][1] |= {"ratio": 0.77, "ratio_p10": 0.7, "ratio_p90": 0.8, "tries": 3}
    [note] = [line for line in sweep_table(measured).splitlines() if line.startswith("batch 64:")]
    assert "faster than its own products" in note
    assert "measured 3 times" in note


def test_results_of_two_devices_stand_beside_each_other(made: Any, tmp_path: Path) -> None:
    cpu, gpu = made_up(made, "cpu", (1.0, 10.0, 100.0)), made_up(made, "cuda", (4.0, 4.0, 4.0), {"torch": 2.0})
    table = devices_table(cpu, gpu)
    assert "batch 4 to 1024: from 21 on the GPU is faster" in table
    assert cells(table, "batch 1024")[-1] == "25.00"
    assert "the CPU is faster at the largest" in devices_table(cpu, made_up(made, "cuda", (400.0,) * 3))
    write_result(tmp_path / "a/sweep-cpu.json", cpu)
    write_result(tmp_path / "b/sweep-cuda.json", gpu)
    text = make_tables(tmp_path)
    assert [line for line in text.splitlines() if line.startswith("#")] == ["### a", "### b", "### CPU of a, GPU of b"]
    draw_sweep([cpu, gpu], tmp_path / "both.png")
    assert (tmp_path / "both.png").stat().st_size > 10_000


def test_a_sweep_of_no_size_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="at least one size"):
        measure_sweep(batches=(), widths=())


def test_a_disturbed_point_is_measured_again() -> None:
    def turns(*ratios: float) -> Any:
        return {"tinygan": [[ratio] for ratio in ratios], "products": [[1.0]] * len(ratios)}

    below, wide, good = turns(0.7, 0.7, 0.7), turns(1.0, 2.0, 3.0), turns(1.2, 1.3, 1.3)
    for ready, expected in (
        ([below, wide, good, good], (good, 3)),
        ([good, wide], (good, 1)),
        ([wide, below, wide, good], (below, 3)),  # it does not go on for ever
    ):
        assert undisturbed(iter(ready).__next__, spread) == expected


@pytest.mark.slow
def test_a_peer_that_is_tinygan_is_swept(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("numba")
    from benchmarks.__main__ import main

    arguments = ["sweep", "--batches", "2", "--widths", "8", "--seconds", "1e-6", "--threads", "1"]
    assert main([*arguments, "--peers", "tinygan-numba", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert [list(point["peers"]) for point in measured["points"]] == [["tinygan-numba"]] * 2
    assert "| tinygan-numba ms |" in sweep_table(measured)
