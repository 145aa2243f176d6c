from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from benchmarks.__main__ import main
from benchmarks.errors import BenchmarkError
from benchmarks.profile import measure_profile
from benchmarks.results import read_result
from benchmarks.task import make_task

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_step_prints_one_json_object_and_nothing_else(tiny: str) -> None:
    command = [sys.executable, "-m", "benchmarks", "step", "--experiment", tiny, "--device", "cpu", "--seconds", "0.02"]
    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    assert measured["count"] == len(measured["measurements"]["tinygan"]["samples_ms"]) > 0
    assert 0 < measured["p10_ms"] <= measured["median_ms"] <= measured["p90_ms"]
    assert measured["median_ms"] == measured["measurements"]["tinygan"]["median_ms"]
    assert measured["products_ms"] == measured["measurements"]["products"]["median_ms"]
    assert measured["ratio_p10"] <= measured["ratio"] <= measured["ratio_p90"]
    settings = {"experiment": "tiny", "device": "cpu", "schedule": "alternating", "threads": 1, "batch": 6, "k": 1}
    settings |= {"seconds": 0.02, "data": "digits"}
    assert settings == measured["settings"] == {key: measured[key] for key in settings}
    of_d, of_g = (2 + 3) + (3 + 2), (2 + 3) + 3 + (2 + 1)  # two layers in G, three in D: forward, then backward
    assert measured["products"] == of_d + of_g
    assert measured["gflop_per_s"] == pytest.approx(measured["flop"] / measured["median_ms"] / 1e6)
    assert measured["state_bytes"] == 12 * measured["parameters"]
    assert measured["memory_bytes"]["tinygan"]["peak"] >= measured["memory_bytes"]["tinygan"]["built"] > 0
    assert measured["environment"]["numpy"]
    assert measured["peers"] == {}


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def drawn(path: Path) -> bool:
    return bool(imread(path).std() > 0.02)


@pytest.mark.slow
def test_step_prints_a_table_and_leaves_json_and_a_picture(tiny: str, tmp_path: Path, capsys: Any) -> None:
    arguments = ("--experiment", tiny, "--seconds", "0.02", "--schedule", "simultaneous", "--threads", "1")
    assert run("step", *arguments, "--out", tmp_path) == 0
    out, err = capsys.readouterr()
    assert "tiny, simultaneous schedule, batch 6, k = 1, cpu, 1 thread, data: digits" in out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("| ")] == ["one", "tinygan", "products"]
    assert read_result(tmp_path / "step-tiny-simultaneous-cpu.json")["schedule"] == "simultaneous"
    assert drawn(tmp_path / "step-tiny-simultaneous-cpu.png")
    assert "step-tiny-simultaneous-cpu.png" in err


@pytest.mark.slow
def test_layers(tmp_path: Path, capsys: Any) -> None:
    assert run("layers", "--seconds", "1e-6", "--batch", 2, "--threads", 1, "--out", tmp_path) == 0
    measured = read_result(tmp_path / "layers-cpu.json")
    layers = ("linear", "maxout", "relu", "sigmoid", "dropout", "loss", "sgd", "adam", "running mean", "noise")
    for layer in layers:
        assert any(name.startswith(layer) for name in measured["measurements"])
    assert measured["peak_gflop_per_s"] > 0
    assert measured["copy_gb_per_s"] > 0
    linear = measured["measurements"]["linear 1200 to 1200 forward"]
    assert linear["flop"] == 2 * 2 * 1200 * 1200 + 2 * 1200
    assert linear["copy_gb_per_s"] > 0  # of a copy of its own size
    assert linear["gb_per_s"] == pytest.approx(linear["bytes"] / linear["median_ms"] / 1e6)
    assert drawn(tmp_path / "layers-cpu.png")
    assert "linear 1200 to 1200 backward" in capsys.readouterr().out


@pytest.mark.slow
def test_sweep_and_its_overlay(tmp_path: Path, capsys: Any) -> None:
    arguments = ("sweep", "--batches", 2, "--widths", 6, "--seconds", "1e-6", "--threads", 1)
    assert run(*arguments, "--out", tmp_path / "a") == 0
    measured = read_result(tmp_path / "a/sweep-cpu.json")
    assert [(point["axis"], point["value"]) for point in measured["points"]] == [("batch", 2), ("width", 6)]
    assert set(measured["measurements"]) == {f"{size} {what}" for size in ("batch 2", "width 6") for what in
                                             ("step", "products")}  # fmt: skip
    assert drawn(tmp_path / "a/sweep-cpu.png")
    assert "| width 6 " in capsys.readouterr().out
    assert run(*arguments, "--widths", "--overlay", tmp_path / "a/sweep-cpu.json", "--out", tmp_path / "b") == 0
    assert (tmp_path / "a/sweep-cpu.png").read_bytes() != (tmp_path / "b/sweep-cpu.png").read_bytes()


def test_an_overlay_must_be_a_sweep(made: Any, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "step.json"
    path.write_text(json.dumps(made("step", tinygan=[1.0])))
    assert run("sweep", "--overlay", path) == 1
    assert "step.json: expected a sweep, got 'step'" in capsys.readouterr().err


@pytest.mark.slow
def test_costs(tiny: str, tmp_path: Path, capsys: Any) -> None:
    assert run("costs", "--experiment", tiny, "--seconds", "0.01", "--out", tmp_path) == 0
    measured = read_result(tmp_path / "costs-tiny-cpu.json")
    assert set(measured["ratios"]) == {"training", "observer", "anomaly mode", "trace", "averaging"}
    assert measured["checkpoint_share"] > 0
    assert measured["gradcheck_passes"]["2"] > measured["gradcheck_passes"]["1"] > 1
    out = capsys.readouterr().out
    assert "with anomaly mode" in out
    assert "with a running mean of G's weights" in out
    assert " passes |" in out


def test_parzen(tmp_path: Path, capsys: Any) -> None:
    arguments = ("--samples", 40, "--rows", 20, "--threads", 1, "--seconds", "1e-6")
    assert run("parzen", *arguments, "--out", tmp_path) == 0
    measured = read_result(tmp_path / "parzen-cpu.json")
    assert measured["flop"] == 2 * 40 * 20 * 784
    evaluated, product = (measured["measurements"][name] for name in ("evaluation", "its product"))
    assert measured["ratio"] == pytest.approx(evaluated["median_ms"] / product["median_ms"])
    assert measured["test_seconds"] == pytest.approx(500 * evaluated["median_ms"] / 1e3)
    assert 20 * 8 < measured["working_bytes"] < 64 << 20
    assert "Parzen window of 40 samples on 20 rows" in capsys.readouterr().out


def test_profile(tiny: str, tmp_path: Path, capsys: Any) -> None:
    assert run("profile", "--experiment", tiny, "--seconds", "0.01", "--out", tmp_path) == 0
    measured = read_result(tmp_path / "profile-tiny-cpu.json")
    functions = measured["functions"]
    assert sum(function["own_ms"] for function in functions) <= 1.01 * measured["profiled_ms"]
    called = {function["name"].partition(" (")[0]: function["calls"] for function in functions}
    assert called["gan.algorithm1: step"] == 1
    assert called["optim.optimizers: step"] == 2
    own = [function["own_ms"] for function in functions]
    assert own == sorted(own, reverse=True)
    assert "own ms" in capsys.readouterr().out


def test_a_profile_of_a_gpu_is_refused(tiny: str) -> None:
    with pytest.raises(BenchmarkError, match="a GPU works behind its back; use --device cpu"):
        measure_profile(make_task(tiny, device="cuda"))


@pytest.mark.slow
def test_everything_at_once(tiny: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("benchmarks.contestants.importlib.util.find_spec", lambda name: None)
    assert run("--quick", "--experiment", tiny, "--threads", 1, "--out", tmp_path) == 0
    kinds = ("step-tiny", "layers", "costs-tiny", "parzen", "profile-tiny", "sweep")
    assert {path.name for path in tmp_path.glob("*.json")} == {f"{kind}-cpu.json" for kind in kinds}
    assert {path.name for path in tmp_path.glob("*.png")} == {"step-tiny-cpu.png", "layers-cpu.png", "sweep-cpu.png"}
    out, err = capsys.readouterr()
    assert out.count("GFLOP/s") >= 3
    assert "not all peers: jax and torch not installed" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["step", "--seconds", "0"], "--seconds: expected a number of seconds above 0, got 0"),
        (["step", "--seconds", "inf"], "--seconds: expected a number of seconds above 0, got inf"),
        (["step", "--seconds", "soon"], "--seconds: expected a number, got 'soon'"),
        (["step", "--threads", "0"], "--threads: expected at least 1, got 0"),
        (["layers", "--batch", "1.5"], "--batch: expected a number, got '1.5'"),
        (["step", "--peers", "theano"], "invalid choice: 'theano'"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
    ],
)
def test_wrong_command_lines(arguments: list[str], words: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_refusals_have_status_1(capsys: Any) -> None:
    assert main(["step", "--experiment", "mnits"]) == 1
    assert 'benchmarks: error: "mnits": no such experiment' in capsys.readouterr().err


def test_a_missing_device_is_named_before_anything_runs(monkeypatch: Any, capsys: Any) -> None:
    from tinygan.errors import DeviceError

    def no_gpu(device: str) -> None:
        raise DeviceError(f"device {device!r} is not available: no driver")

    monkeypatch.setattr("benchmarks.__main__.get_backend", no_gpu)
    for command in ("step", "layers", "sweep", "costs", "profile", "all"):
        assert main([command, "--device", "cuda"]) == 1
        assert "device 'cuda' is not available: no driver" in capsys.readouterr().err


def test_table(capsys: Any) -> None:
    assert main(["table"]) == 0
    assert capsys.readouterr().out.strip()
