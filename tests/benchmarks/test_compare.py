from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.compare import compare, verdict
from benchmarks.errors import BenchmarkError
from benchmarks.statistics import summarise

TIMES = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=20)


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(name: str, measured: Any) -> Path:
        path = tmp_path / name
        path.write_text(measured if isinstance(measured, str) else json.dumps(measured), encoding="utf-8")
        return path

    return write


def row(table: str, name: str) -> list[str]:
    [line] = [line for line in table.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_medians_ratio_and_verdict(made: Any, written: Any) -> None:
    a = written("a.json", made(tinygan=[20.0, 21.0, 22.0], products=[10.0, 11.0, 12.0], torch=[30.0]))
    b = written("b.json", made(tinygan=[40.0, 42.0, 44.0], products=[10.0, 11.5, 13.0], jax=[1.0]))
    text = compare(a, b)
    assert row(text, "tinygan") == ["tinygan", "21.00", "20.20 to 21.80", "42.00", "40.40 to 43.60", "2.000", "slower"]
    assert row(text, "products")[-2:] == ["1.045", "within the spread"]
    assert row(compare(b, a), "tinygan")[-2:] == ["0.500", "faster"]
    assert "only in one of them: torch, jax" in text


@given(TIMES, TIMES)
def test_the_verdict_turns_round_with_the_order(a: list[float], b: list[float]) -> None:
    x, y = summarise(a), summarise(b)
    opposite = {"slower": "faster", "faster": "slower", "within the spread": "within the spread"}
    assert verdict(y, x) == opposite[verdict(x, y)]
    if verdict(x, y) == "slower":
        assert y["median_ms"] > x["median_ms"]
    assert verdict(x, x) == "within the spread"


def test_machines_and_commits_are_named(made: Any, written: Any) -> None:
    environment = {"processor": "Abacus 3000", "commit": "0123456789abcdef-dirty"}
    path = written("a.json", made(environment=environment, tinygan=[1.0]))
    other = written("b.json", made(settings={"threads": 1, "device": "cuda"}, tinygan=[1.0]))
    text = compare(path, other)
    assert "cpu, 2 threads, Abacus 3000, NumPy " in text
    assert "commit 012345678-dirty" in text
    assert "cuda, 1 thread, " in text


def test_other_kinds_and_settings_are_refused(made: Any, written: Any) -> None:
    a = written("a.json", made(tinygan=[1.0]))
    with pytest.raises(BenchmarkError, match=r"a result of 'step', but .*b.json of 'layers'; compare two of one kind"):
        compare(a, written("b.json", made("layers", tinygan=[1.0])))
    with pytest.raises(BenchmarkError, match=r"measured with batch 100, but .*c.json with 64"):
        compare(a, written("c.json", made(settings={"batch": 64}, tinygan=[1.0])))
    with pytest.raises(BenchmarkError, match=r"with schedule None, but .*d.json with 'simultaneous'"):
        compare(a, written("d.json", made(settings={"schedule": "simultaneous"}, tinygan=[1.0])))
    with pytest.raises(BenchmarkError, match="no measurement in common"):
        compare(a, written("e.json", made(products=[1.0])))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[1]", "not a result; expected a JSON file"),
        ('{"benchmark": "step"}', "not a result"),
        ('{"benchmark": "step", "settings": 1, "environment": 1, "measurements": 1, "format": 0}', "has format 0"),
    ],
)
def test_other_files_are_refused(content: str, words: str, written: Any) -> None:
    with pytest.raises(BenchmarkError, match=words):
        compare(written("a.json", content), written("b.json", content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"nothing\.json: cannot be read: No such file"):
        compare(tmp_path / "nothing.json", tmp_path / "nothing.json")
