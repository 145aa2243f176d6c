from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest

from tinygan.learn.answering import Answering
from tinygan.learn.exercise import Exercise
from tinygan.learn.judging import judge
from tinygan.learn.process import answers_from


@pytest.fixture
def judged() -> Callable[[Exercise, str], tuple[bool, set[str]]]:
    """Return a function that judges a program in this process: whether it passes, and the kinds of its mistakes."""

    def judged(exercise: Exercise, source: str) -> tuple[bool, set[str]]:
        written = io.StringIO()
        Answering(exercise, "answer.py", source, written).run()
        answers = answers_from([json.loads(line) for line in written.getvalue().splitlines()])
        rows = judge(exercise, answers.arrays)
        kinds = {problem.kind for problem in answers.problems} | {row.kind for row in rows if row.kind}
        return not answers.problems and all(row.approximate for row in rows), kinds

    return judged
