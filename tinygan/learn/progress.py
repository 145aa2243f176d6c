"""Which exercises are passed: a file of text beside the reader's files.

Each line is the name of an exercise and the day. Other lines have no meaning, so a damaged file loses no more than what
is damaged.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from tinygan.learn.exercises import EXERCISES
from tinygan.runs.atomic import write_all
from tinygan.runs.plain_files import open_to_write, read_plain

NAME = "progress.txt"
LARGEST = 1_000_000  # bytes of a file that is read


def passed(folder: Path) -> set[int]:
    """Return the numbers of the exercises that are passed in this folder.

    Raises
    ------
    OSError
        The file is there, and cannot be read.
    """
    words = _content(folder).split()
    return {exercise.number for exercise in EXERCISES if exercise.name.encode() in words}


def _content(folder: Path) -> bytes:
    try:
        return read_plain(folder / NAME, LARGEST)
    except FileNotFoundError:
        return b""


def remember(folder: Path, number: int) -> None:
    """Note that an exercise is passed.

    Raises
    ------
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     remember(Path(folder), 2)
    ...     remember(Path(folder), 1)
    ...     passed(Path(folder))
    {1, 2}
    """
    if number in passed(folder):
        return
    descriptor = open_to_write(folder / NAME, create=True)
    try:
        os.lseek(descriptor, 0, os.SEEK_END)
        begin = b"\n" if _content(folder)[-1:].strip() else b""  # after a line that was cut off
        write_all(descriptor, begin + f"{EXERCISES[number - 1].name} {datetime.date.today()}\n".encode())
    finally:
        os.close(descriptor)
