"""Every exercise: its starter fails, its solution passes, and no wrong answer does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.learn.wrong_answers import WRONG, changed
from tinygan.learn.exercises import EXERCISES, exercise


@pytest.mark.parametrize("each", EXERCISES, ids=lambda each: each.name)
def test_a_starter_fails_and_its_solution_passes(each, judged):
    passed, kinds = judged(each, each.starter)
    assert not passed
    assert kinds == {"not written"} or "bug" in each.name
    assert each.is_starter(each.starter + "# a remark\n")
    assert not each.is_starter(each.solution)
    assert judged(each, each.solution) == (True, set())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "kind", "changes"), [(n, kind, changes) for n, kind, *changes in WRONG])
def test_a_wrong_answer_gets_the_hint_for_its_kind(number, kind, changes, judged):
    each = exercise(number)
    passed, kinds = judged(each, changed(each.solution, changes))
    assert not passed
    assert kind in kinds, kinds


def test_every_exercise_has_six_kinds_of_wrong_answers():
    kinds = Counter(number for number, _ in {(number, kind) for number, kind, *_ in WRONG})
    answers = Counter(number for number, *_ in WRONG)
    assert all(answers[each.number] >= 6 and kinds[each.number] >= 4 for each in EXERCISES)


def test_the_page_lists_every_exercise():
    page = Path(__file__).parents[2] / "docs" / "exercises.md"
    rows = [f"| {each.number} | {each.title} | {each.teaches.rstrip('.')} |" for each in EXERCISES]
    assert set(rows) <= set(page.read_text(encoding="utf-8").splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("each", EXERCISES, ids=lambda each: each.name)
def test_known_mistakes_are_wrong_and_differ(each):
    for mistake, wrong in each.variants:
        assert repr(wrong) != repr(each.expected), mistake
