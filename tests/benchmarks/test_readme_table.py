from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import build_parser, main
from benchmarks.errors import BenchmarkError
from benchmarks.readme_table import BEGIN, END, README, make_tables, updated


def test_the_readme_has_the_tables_that_the_results_make() -> None:
    text = README.read_text(encoding="utf-8")
    assert updated(text, make_tables()) == text, "run: python -m benchmarks table --write"


def test_the_readme_names_every_command() -> None:
    text = README.read_text(encoding="utf-8")
    [commands] = [action for action in build_parser()._actions if action.choices]
    assert commands.choices
    for command in commands.choices:
        assert command == "all" or f"| `{command}" in text


def test_only_what_stands_between_the_marks_changes() -> None:
    text = f"above\n{BEGIN}\nold\n{END}\nbelow"
    new = updated(text, "new")
    assert new == f"above\n{BEGIN}\n\nnew\n\n{END}\nbelow"
    assert updated(new, "new") == new


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END} {BEGIN}"])
def test_a_readme_without_the_marks_is_refused(text: str) -> None:
    with pytest.raises(BenchmarkError, match="expected the marks"):
        updated(text, "new")


@pytest.mark.slow
def test_results_become_a_section_a_machine(tiny: str, tmp_path: Path) -> None:
    assert make_tables(tmp_path) == "No results are committed yet."
    for machine in ("b-machine", "a-machine"):
        assert main(["costs", "--experiment", tiny, "--seconds", "0.001", "--out", str(tmp_path / machine)]) == 0
    assert main(["profile", "--experiment", tiny, "--seconds", "0.001", "--out", str(tmp_path / "a-machine")]) == 0
    text = make_tables(tmp_path)
    assert [line for line in text.splitlines() if line.startswith("#")] == ["### a-machine", "### b-machine"]
    assert text.count("a checkpoint") == 2
    assert text.count("under the profiler:\n\n|") == 1
