from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from benchmarks import parallel
from benchmarks.__main__ import main
from benchmarks.crew import find_launcher
from benchmarks.errors import BenchmarkError, PeerMissingError
from benchmarks.parallel import ALONE, measure_parallel, parallel_table
from benchmarks.plots import draw_parallel
from benchmarks.scaling import NETWORKS, Network
from benchmarks.task import make_task

PARAMETERS = (3 * 7 + 7 + 7 * 64 + 64) + (15 * (64 + 1) + 5 * 4 + 4 + 4 + 1)  # of the game `tiny`: G and D


@pytest.mark.slow
def test_two_processes_beside_two_threads(tiny: str, made: Any, tmp_path: Path) -> None:
    pytest.importorskip("mpi4py")
    if not find_launcher():
        pytest.skip("there is no mpiexec")
    times = {"tinygan": [4.0], "tinygan-captured": [1.0]}
    gpu = made(settings={"experiment": "tiny", "batch": 6}, environment={"gpu": "A GPU, CUDA 99"}, **times)
    measured = measure_parallel(tiny, [2], None, 1e-3, gpu, sizes=(1024, 65536), shares=(0.5, 1, 2))
    assert measured["fits"]["gpu"] == {"name": "A GPU", "fixed_ms": 4.0, "row_ms": 0.0, "alone_ms": 1.0}
    assert measured["parameters"] == PARAMETERS
    one, two = measured["ranks"]["1"], measured["ranks"]["2"]
    assert (one["bytes"], one["calls"], one["ring_bytes"]) == (0, 0, 0)
    assert 4 * PARAMETERS <= two["bytes"] <= 4 * PARAMETERS + 200  # and some losses
    assert two["calls"] == 3  # D's gradients, G's, and the losses
    assert two["ring_bytes"] == two["bytes"]
    assert 0 < two["draws_ms"] < two["measured_ms"]
    assert 0 < two["sums_ms"] < two["measured_ms"]
    assert two["predicted_ms"] > 0
    assert {"1 process, 1 thread", "2 processes"} <= measured["contestants"].keys() <= measured["measurements"].keys()
    for name in ("2 processes, a sum of 1024 bytes", "1 process apart, 3 rows", "1 process apart, 12 rows"):
        assert measured["measurements"][name]["median_ms"] > 0
    names = [network["name"] for network in measured["networks"]]
    assert names == ["this machine", *(network.name for network in NETWORKS)]
    for scaling in ("strong", "weak"):
        assert [found["network"] for found in measured[scaling]] == names
    json.dumps(measured, allow_nan=False)
    table = parallel_table(measured)
    assert all(f"| {name}" in table for name in (*names, *measured["contestants"]))
    draw_parallel(measured, tmp_path / "parallel.png")
    assert imread(tmp_path / "parallel.png").std() > 0.02


@given(st.floats(0.1, 1e3), st.floats(1e-3, 1e3), st.sets(st.integers(10, 10**8), min_size=2))
def test_latency_and_bandwidth_are_found_again(latency: float, speed: float, sizes: set[int]) -> None:
    network = Network("", latency, speed, "")
    times = {(ranks, size): [sum(network.sum_ms(ranks, size))] * 3 for size in sizes for ranks in (2, 8)}
    found = parallel._fit_sums(times)
    assert found["residual"] < 1e-6
    again = Network("", found["latency_us"], found["gb_per_s"], "")
    assert all(sum(again.sum_ms(*key)) == pytest.approx(each[0], rel=1e-4) for key, each in times.items())


FITS = {
    "alone": {"fixed_ms": 10.0, "row_ms": 1.0, "residual": 0.0},
    "busy": {"fixed_ms": 20.0, "row_ms": 2.0, "residual": 0.0},
    "draws": {"fixed_ms": 0.0, "row_ms": 0.5, "residual": 0.0},
    "sums": {"latency_us": 1000.0, "gb_per_s": 1.0, "residual": 0.0},
}
NONE = {"draws_ms": 50.0, "sums_ms": 0.0, "calls": 0.0, "bytes": 0.0}
SPENT = {1: NONE, **{n: {"draws_ms": 50.0, "sums_ms": 5.0, "calls": 3.0, "bytes": 4e6} for n in (2, 4)}}
MEASURED = {1: 90.0, 2: 100.0, 4: 200.0}


def test_what_the_model_says_of_the_measured_ranks() -> None:
    model = parallel._model(FITS, SPENT, 100, MEASURED, cpus=2)
    assert model["ranks"]["1"]["predicted_ms"] == pytest.approx(10 + 100)
    own, draws = (2.0 - 0.5) * 100, 0.5 * 100
    assert model["ranks"]["2"]["predicted_ms"] == pytest.approx(20 + own / 2 + draws + 3 * 2 * 1 + 4)
    shared = 2 * (20 + own / 4 + draws)  # each processor works for two ranks
    assert model["ranks"]["4"]["predicted_ms"] == pytest.approx(shared + 3 * 2 * 2 * 1 + 6)
    assert model["ranks"]["4"]["ring_bytes"] == 6e6
    machine, ethernet, nccl = (model["steps"][i] for i in (0, 1, -1))
    assert (machine["fixed_ms"], machine["row_ms"], machine["draw_ms"]) == (20, 1.5, 0.5)
    assert ethernet == nccl == {**machine, "fixed_ms": 10, "row_ms": 0.5}
    assert machine["alone_ms"] == 90


def test_a_gpu_computes_for_the_ranks_of_nccl() -> None:
    fits = {**FITS, "gpu": {"name": "A GPU", "fixed_ms": 4.0, "row_ms": 0.0, "alone_ms": 1.0}}
    steps = parallel._model(fits, SPENT, 100, MEASURED, cpus=2)["steps"]
    for network, step in zip(NETWORKS, steps[1:], strict=True):
        found = step["fixed_ms"], step["row_ms"], step["draw_ms"], step["alone_ms"]
        assert found == ((4, 0, 0.5, 1) if "NCCL" in network.name else (10, 0.5, 0.5, 90))


def test_one_rank_a_row_at_most(tiny: str) -> None:
    for ranks in ([7], [1], [2, 7]):
        with pytest.raises(BenchmarkError, match="--ranks from 2 to 6, the rows of a minibatch"):
            parallel._refuse(ranks, make_task(tiny).rows)


def test_without_mpi_the_message_says_what_to_install(tiny: str, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("benchmarks.parallel.find_launcher", lambda: None)
    monkeypatch.setattr("benchmarks.parallel.importlib.util.find_spec", lambda name: None)
    with pytest.raises(PeerMissingError):
        measure_parallel(tiny)
    assert main(["parallel", "--experiments", tiny]) == 1
    assert "mpi4py and mpiexec not found; to install both: pip install -e '.[mpi]'" in capsys.readouterr().err


def test_it_is_not_started_by_mpiexec(tiny: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("benchmarks.parallel._lacking", list)
    for name, value in (("PMI_RANK", "0"), ("PMI_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(BenchmarkError, match="without mpiexec"):
        measure_parallel(tiny)


def test_only_a_step_tells_what_a_gpu_computes(made: Any, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "costs.json"
    path.write_text(json.dumps(made("costs", tinygan=[1.0])))
    assert main(["parallel", "--gpu", str(path)]) == 1
    assert "--gpu " in (error := capsys.readouterr().err)
    assert "costs.json: expected a step, got 'costs'" in error


def test_the_first_contestant_is_one_process_and_thread() -> None:
    turns = {ALONE: [[2.0], [2.0]], "2 runs": [[2.0], [4.0]]}
    assert parallel._rate(turns[ALONE], turns["2 runs"], 2)["ratio"] == pytest.approx(1.5)
    assert parallel._spread([ALONE], turns) == 1
    assert parallel._spread(turns, turns) == pytest.approx(1.9 / 1.1)
