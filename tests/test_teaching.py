"""docs/teaching.md: the plans add up, name what is there, and the command that marks a class marks it."""

from __future__ import annotations

import json
import re
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from tests.test_pages import ROOT, commands_of, run

PAGE = ROOT / "docs" / "teaching.md"
ROW = re.compile(r"^\| (\d+) \| (.*) \| (.*) \|$", re.MULTILINE)
PLANS = {
    heading: ROW.findall(text)
    for heading, _, text in (part.partition("\n") for part in PAGE.read_text(encoding="utf-8").split("\n## "))
    if ROW.search(text)
}


def numbers(kind: str, plan: list[tuple[str, str, str]]) -> list[int]:
    """Return the numbers of the lessons or exercises of a plan, in its order."""
    found = (re.search(rf"{kind}s? ([\d, ]+)", what) for _, _, what in plan)
    return [int(number) for match in found if match for number in match[1].split(",")]


def test_the_minutes_add_up() -> None:
    minutes = {heading.split(":")[0]: sum(int(row[0]) for row in plan) for heading, plan in PLANS.items()}
    assert minutes == {"Two hours": 120, "Six hours": 360}
    [six] = (plan for heading, plan in PLANS.items() if heading.startswith("Six"))
    ends = [sum(int(row[0]) for row in six[: number + 1]) for number in range(len(six))]
    assert ends[4] == 120  # "Two hours end after exercise 4, and four after `tinygan trace digits`"
    assert "exercise 4" in six[4][2]
    assert six[ends.index(240)][2] == "`tinygan trace digits`"


def test_the_plans_name_every_lesson_and_each_exercise_after_its_lesson() -> None:
    [six] = (plan for heading, plan in PLANS.items() if heading.startswith("Six"))
    there = sorted(int(path.name[:2]) for path in (ROOT / "examples" / "lessons").glob("[0-9][0-9]_*.py"))
    if there:
        assert numbers("lesson", six) == there
    assert sorted(numbers("exercise", six)) == [1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13]  # 6 and 7 are for home
    for plan in PLANS.values():
        assert numbers("lesson", plan) == sorted(numbers("lesson", plan))


@pytest.mark.slow
def test_the_command_that_marks_a_class(tmp_path: Path) -> None:
    pytest.importorskip("tinygan.learn")
    first = import_module("tinygan.learn.exercises").exercise(1)
    answers = {"ada": first.solution, "bob": first.starter, "eve": "import"}
    for student, answer in answers.items():
        (tmp_path / "class" / student).mkdir(parents=True)
        (tmp_path / "class" / student / "01_linear.py").write_text(answer, encoding="utf-8")
    [command] = (command for command in commands_of(PAGE) if command.startswith("for file in class/"))
    done: subprocess.CompletedProcess[str] = run(command, tmp_path, tmp_path / "bin")
    assert done.returncode == 0, done.stderr
    status = dict(line.split(" ") for line in done.stdout.splitlines())
    assert status["class/ada/01_linear.py"] == "0"
    assert status["class/bob/01_linear.py"] == "1"
    assert status["class/eve/01_linear.py"] != "0"
    marks = [json.loads(line) for line in (tmp_path / "marks.jsonl").read_text(encoding="utf-8").splitlines()]
    keys = ("exercise", "title", "file", "passed", "arrays", "problems", "printed")
    assert all(set(mark) >= set(keys) for mark in marks)
    assert [mark["passed"] for mark in marks] == [True, *[False] * (len(marks) - 1)]
