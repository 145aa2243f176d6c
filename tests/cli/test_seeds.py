"""The programs that measure games over several seeds: options, results that are kept, tables."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from tinygan.cli import seeds
from tinygan.cli.arguments import Parser
from tinygan.errors import RunError


def options(tmp_path: Path, *words: str, datasets: tuple[str, ...] = ()) -> argparse.Namespace:
    parser = Parser(prog="program")
    seeds.add_options(parser, datasets, seeds=2)
    parser.add_argument("--steps", type=int, default=3)
    return parser.parse_args(["--out", str(tmp_path / "out"), "--quiet", *words])


def play(row: str, seed: int) -> dict[str, float]:
    return {"length": len(row), "seed_plus_one": seed + 1}


def test_each_row_is_played_with_each_seed(tmp_path: Path) -> None:
    found = seeds.measure(options(tmp_path), play, ["a", "bc"])
    assert {row: [game["length"] for game in games] for row, games in found.items()} == {"a": [1, 1], "bc": [2, 2]}
    assert [game["seed_plus_one"] for game in found["bc"]] == [1, 2]
    assert all(game["seconds"] >= 0 for game in found["a"])
    assert (tmp_path / "out").is_dir()


def test_table_has_means_and_standard_errors(tmp_path: Path, capsys: Any) -> None:
    given = options(tmp_path)
    seeds.show(given, seeds.measure(given, play, ["a", "bc"]), {"seed_plus_one": ".2f"}, "A fact.")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["seed", "plus", "one"]
    assert lines[1].split() == ["a", "1.50", "±", "0.50"]
    assert lines[3] == "A fact."
    assert str(given.out) in lines[4]


def test_json_of_one_row_has_its_numbers_at_the_top(tmp_path: Path, capsys: Any) -> None:
    given = options(tmp_path, "--json", "--dataset", "digits", datasets=("mnist", "digits"))
    seeds.show(given, seeds.measure(given, play), {})
    found = json.loads(capsys.readouterr().out)
    assert (found["seed_plus_one"], found["seed_plus_one_standard_error"]) == (1.5, 0.5)
    assert (found["dataset"], found["seeds"], found["steps"]) == ("digits", 2, 3)
    assert "out" not in found


def test_json_of_rows_without_a_number_is_strict(tmp_path: Path, capsys: Any) -> None:
    given = options(tmp_path, "--json", "--seeds", "1")
    seeds.show(given, seeds.measure(given, lambda row, seed: {"x": float("nan")}, ["a", "b"]), {})
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["rows"]["a"]["x"] is None
    assert "x_standard_error" not in found["rows"]["a"]


def test_games_that_are_kept_are_not_played_again(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    first = seeds.measure(options(tmp_path, "--results", str(file), "--seeds", "1"), play, ["a"])
    played = []

    def note(row: str, seed: int) -> dict[str, float]:
        played.append((row, seed))
        return play(row, seed)

    with file.open("a") as half:
        half.write('{"settings": {"ste')  # killed while it wrote
    found = seeds.measure(options(tmp_path, "--results", str(file)), note, ["a", "b"])
    assert played == [("a", 1), ("b", 0), ("b", 1)]
    assert found["a"][0] == first["a"][0]
    assert len(file.read_text().splitlines()) == 4


@pytest.mark.parametrize("text", ["no JSON\n", "[1]\n", '{"row": "a"}\n', "\xff\n", "my notes"])
def test_another_file_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    file = tmp_path / "notes"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(RunError, match="notes"):
        seeds.measure(options(tmp_path, "--results", str(file)), play)
    assert file.read_text(encoding="latin-1") == text


def test_results_of_other_options_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "results"
    seeds.measure(options(tmp_path, "--results", str(file)), play)
    with pytest.raises(RunError, match="other options"):
        seeds.measure(options(tmp_path, "--results", str(file), "--steps", "4"), play)


def test_a_place_that_cannot_be_written_is_refused_before_the_games(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(RunError, match="--out"):
        seeds.measure(options(tmp_path), lambda row, seed: pytest.fail("played"))


def test_summary_of_one_game_has_no_error() -> None:
    assert seeds.summary([{"x": 2.0}]) == {"x": 2.0}
