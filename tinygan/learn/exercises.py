"""The table of all exercises."""

from __future__ import annotations

import re

from tinygan.errors import ArgumentError
from tinygan.learn.bugs import BUGS
from tinygan.learn.exercise import Exercise
from tinygan.learn.layers import LAYERS
from tinygan.learn.passes import PASSES
from tinygan.learn.steps import STEPS

EXERCISES = (*PASSES, *LAYERS, *STEPS, *BUGS)


def exercise(number: int) -> Exercise:
    """Return the exercise of this number.

    Raises
    ------
    ArgumentError
        No exercise has this number.

    Examples
    --------
    >>> exercise(1).title
    'the affine map'
    """
    if not 1 <= number <= len(EXERCISES):
        raise ArgumentError(
            f"there is no exercise {number}; expected a number from 1 to {len(EXERCISES)}: see `tinygan learn`"
        )
    return EXERCISES[number - 1]


def exercise_of(file_name: str, source: str) -> Exercise:
    """Return the exercise to which a file belongs: by its first line, or else by its name.

    Raises
    ------
    ArgumentError
        The file is no exercise.

    Examples
    --------
    >>> exercise_of("mine.py", "'Exercise 2: the sigmoid'").name, exercise_of("03_cross_entropy.py", "").number
    ('02_sigmoid', 3)
    """
    found = re.search(r'^[\s\ufeff]*(?:#.*\n\s*)*[rR]?["\']{1,3}Exercise (\d{1,4})\b', source)
    if found:
        return exercise(int(found[1]))
    for each in EXERCISES:
        if each.file_name == file_name:
            return each
    raise ArgumentError(
        f"{file_name} is no exercise; expected Exercise and a number in its first line: write such a file with "
        "`tinygan learn start N`"
    )
