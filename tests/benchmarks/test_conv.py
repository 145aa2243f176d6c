from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import benchmarks.conv
from benchmarks.__main__ import main
from benchmarks.conv import conv_table, measure_conv
from benchmarks.conv_games import GAMES, LAYERS, WAYS, ConvTask
from benchmarks.errors import DisagreementError
from benchmarks.results import read_result


class FakeMember:
    def ask(self, do: str) -> Any:
        return {"built": 1 << 20, "peak": 3 << 20, "device": None}


class FakeCrew:
    """tinygan takes 3 ms and PyTorch 2; in CPU time, 1 and 4."""

    built: list[ConvTask]
    refused = ""

    def __init__(self, names: Sequence[str]) -> None:
        self.members = {name: FakeMember() for name in names}

    def build(self, task: ConvTask) -> None:
        self.built.append(task)

    def check_agreement(self) -> None:
        if self.built[-1].name == self.refused:
            raise DisagreementError("torch does not play the same game")

    def take_turns(self, seconds: float) -> Any:
        self.cpu_turns = {name: [[{"tinygan": 1.0, "torch": 4.0}[name]]] * 2 for name in self.members}
        return {name: [[{"tinygan": 3.0, "torch": 2.0}[name]]] * 2 for name in self.members}


@pytest.fixture
def crew(monkeypatch: Any) -> type[FakeCrew]:
    class Crew(FakeCrew):
        built: list[ConvTask] = []  # noqa: RUF012

    @contextmanager
    def crew_of(task: ConvTask, names: Sequence[str]) -> Iterator[Crew]:
        crew = Crew(names)
        crew.build(task)
        yield crew

    monkeypatch.setattr(benchmarks.conv, "crew_of", crew_of)
    monkeypatch.setattr(benchmarks.conv, "refuse_missing", lambda names: None)
    monkeypatch.setattr("benchmarks.conv.metadata.version", lambda name: "1.0")
    return Crew


def test_games_and_layers_become_rows(crew: type[FakeCrew]) -> None:
    measured = measure_conv(["dcgan-mnist"], ["dcgan-32 D1"], [1, 2, 2])
    names = ["dcgan-mnist", *(f"dcgan-32 D1 {way}" for way in WAYS)]
    assert [(row["what"], row["threads"]) for row in measured["rows"]] == [(name, n) for n in (1, 2) for name in names]
    for row in measured["rows"]:
        assert row["ratio"] == 1.5
        assert row["cpu_ratio"] == 0.25
        ours = measured["measurements"][row["measurements"]["tinygan"]]
        assert (ours["median_ms"], ours["cpu_ms"], ours["count"]) == (3.0, 1.0, 2)
    assert measured["rows"][1]["flop"] == LAYERS["dcgan-32 D1"].flop
    assert [task.way for task in crew.built] == ["", *WAYS] * 2
    assert {task.batch for task in crew.built} == {64}
    table = conv_table(measured)
    assert "| dcgan-32 D1 by weight         |       2 |" in table
    assert "1 to 3" in table


def test_what_disagrees_is_not_timed(crew: type[FakeCrew], capsys: Any) -> None:
    crew.refused = "dcgan-32"
    measured = measure_conv(["dcgan-32", "dcgan-mnist"], [], [1])
    refused, fine = measured["rows"]
    assert (refused["what"], refused["refused"]) == ("dcgan-32", "torch does not play the same game")
    assert fine["ratio"] == 1.5
    assert list(measured["measurements"]) == ["dcgan-mnist, 1 thread, tinygan", "dcgan-mnist, 1 thread, torch"]
    assert "dcgan-32, 1 thread: torch does not play the same game" in conv_table(measured)
    assert main(["conv", "--steps", "dcgan-32", "--json"]) == 1
    out, err = capsys.readouterr()
    assert [row["refused"] for row in json.loads(out)["rows"]] == ["torch does not play the same game"] * 2
    assert "no times of dcgan-32" in err
    assert "dcgan-32, 2 threads: torch does not play" in conv_table(json.loads(out))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "games", "layers"),
    [
        ([], GAMES, LAYERS),
        (["--steps"], GAMES, {}),
        (["--layers"], {}, LAYERS),
        (["--steps", "dcgan-64", "--layers"], {"dcgan-64": 1}, LAYERS),
        (["--layers", "cifar10-conv G"], {}, {"cifar10-conv G": 1}),
    ],
)
def test_options_choose(options: list[str], games: Any, layers: Any, crew: Any, tmp_path: Path, capsys: Any) -> None:
    assert main(["conv", *options, "--threads", "1", "--batch", "2", "--out", str(tmp_path)]) == 0
    rows = read_result(tmp_path / "conv-cpu.json")["rows"]
    assert [row["what"] for row in rows] == [*games, *(f"{layer} {way}" for layer in layers for way in WAYS)]
    assert {row["batch"] for row in rows} == {2}
    assert "both compute the same" in capsys.readouterr().out


def test_a_stopped_run_keeps_its_rows(crew: type[FakeCrew], monkeypatch: Any, tmp_path: Path, capsys: Any) -> None:
    def stopped(crew: Any) -> None:
        if crew.built[-1].name == "dcgan-64":
            raise KeyboardInterrupt

    monkeypatch.setattr(crew, "check_agreement", stopped)
    games = ["dcgan-mnist", "dcgan-32", "dcgan-64"]
    assert main(["conv", "--steps", *games, "--threads", "1", "--out", str(tmp_path)]) == 130
    assert [row["what"] for row in read_result(tmp_path / "conv-cpu.json")["rows"]] == games[:2]
    assert "dcgan-32, 1 thread: 1.50 of PyTorch's time" in capsys.readouterr().err


def test_unknown_games_and_layers_are_refused(capsys: Any) -> None:
    for option in ("--steps", "--layers"):
        with pytest.raises(SystemExit):
            main(["conv", option, "dcgan-128"])
        assert "invalid choice: 'dcgan-128'" in capsys.readouterr().err


@pytest.mark.slow
def test_without_pytorch_tinygan_runs_alone(monkeypatch: Any, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.setattr("benchmarks.contestants.importlib.util.find_spec", lambda name: None)
    arguments = ["conv", "--steps", "dcgan-mnist", "--layers", "dcgan-32 D1", "--threads", "1", "--batch", "2"]
    assert main([*arguments, "--seconds", "0.01", "--out", str(tmp_path)]) == 0
    measured = read_result(tmp_path / "conv-cpu.json")
    assert list(measured["missing"]) == ["torch"]
    assert len(measured["rows"]) == 4
    assert all("ratio" not in row for row in measured["rows"])
    assert all(summary["cpu_ms"] > 0 for summary in measured["measurements"].values())
    assert "torch not installed; to compare with the peers" in capsys.readouterr().out
