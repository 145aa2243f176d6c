"""``tinygan learn``: exercises, checked.

The exercises are imported where they are used, so that the other commands do not wait for them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygan.cli import output
from tinygan.cli.arguments import path, positive
from tinygan.errors import ArgumentError, TinyganError
from tinygan.runs.command import command
from tinygan.runs.json_values import json_value
from tinygan.runs.plain_files import read_plain, refused

if TYPE_CHECKING:
    from tinygan.learn.exercise import Exercise
    from tinygan.learn.judging import Row
    from tinygan.learn.process import Answers

FOLDER = Path("learn")
LARGEST = 1_000_000  # bytes of a file that is checked
WIDEST, NARROWEST = 100, 40
PRINTED = 20  # lines of what a file prints that are shown


class ExerciseError(TinyganError, OSError):
    """A file of an exercise cannot be read or written."""


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "learn",
        help="exercises: write a backward pass, find a bug, and have it checked",
        description="List the exercises, and which of them are passed.",
        epilog="The exit status of `check` is 0 if the exercise is passed, 1 if it is not, and 2 if the file is not "
        "an exercise.",
    )
    parser.set_defaults(run=show_list)
    _add_folder(parser, FOLDER)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    start = actions.add_parser(
        "start",
        help="write the file of an exercise, to fill in",
        description="Write the file of an exercise, to fill in. A file that is there stays as it is.",
    )
    start.add_argument("number", type=positive, metavar="N", help="the number of the exercise")
    _add_folder(start)
    start.set_defaults(run=start_exercise)
    check = actions.add_parser(
        "check",
        help="check a file that is filled in",
        description="Run the functions of a file in a process of its own, and compare what they return with what "
        "tinygan computes. The exit status is 0 if the exercise is passed, 1 if it is not, and 2 if the file is not "
        "an exercise.",
    )
    check.add_argument("file", type=path, metavar="FILE", help="the file, or the number of the exercise")
    check.add_argument("--seconds", type=positive, default=10, metavar="S", help="the time limit (default: 10)")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    _add_folder(check)
    check.set_defaults(run=check_file)
    solution = actions.add_parser(
        "solution",
        help="print the solution of an exercise",
        description="Print the solution of an exercise, and where the real thing stands in tinygan.",
    )
    solution.add_argument("number", type=positive, metavar="N", help="the number of the exercise")
    solution.set_defaults(run=show_solution)


def _add_folder(parser: argparse.ArgumentParser, default: Any = argparse.SUPPRESS) -> None:
    parser.add_argument(
        "--folder",
        type=path,
        default=default,
        metavar="DIR",
        help="the folder of the files (default: learn, or this folder if it has some)",
    )


def _folder(arguments: argparse.Namespace) -> Path:
    """Return the folder of the reader's files: this folder, if it is that of the files, or else ``learn``."""
    from tinygan.learn.exercises import EXERCISES

    if arguments.folder != FOLDER:
        chosen: Path = arguments.folder
        return chosen
    return Path() if any(Path(each.file_name).is_file() for each in EXERCISES) else FOLDER


def show_list(arguments: argparse.Namespace) -> int:
    """Run ``tinygan learn``."""
    from tinygan.learn.exercises import EXERCISES

    folder = _folder(arguments)
    done = _passed(folder)
    width = _width()
    for each in EXERCISES:
        state = "passed" if each.number in done else "started" if (folder / each.file_name).exists() else ""
        output.result(f"{each.number:2}  {state:7}  {each.title}")
        for line in textwrap.wrap(f"{each.teaches}", width - 13):
            output.result(f"{'':13}{line}")
    output.result(f"\n{len(done)} of {len(EXERCISES)} passed")
    following = next((each.number for each in EXERCISES if each.number not in done), None)
    if following is not None:
        output.result(f"Next: {_next(folder, following)}")
    return 0


def _next(folder: Path, number: int) -> str:
    """Return the command that comes next for an exercise."""
    from tinygan.learn.exercises import exercise

    file = folder / exercise(number).file_name
    place = () if folder in (FOLDER, Path()) else ("--folder", folder)
    return command("learn", "check", file) if file.exists() else command("learn", "start", str(number), *place)


def _passed(folder: Path) -> set[int]:
    from tinygan.learn.progress import passed

    try:
        return passed(folder)
    except OSError as error:
        output.warn(f"what is passed cannot be read in {folder}: {error.strerror or error}")
        return set()


def start_exercise(arguments: argparse.Namespace) -> int:
    """Run ``tinygan learn start``."""
    from tinygan.learn.exercises import exercise

    folder, each = _folder(arguments), exercise(arguments.number)
    file = folder / each.file_name
    with refused(ExerciseError, f"{file}: cannot be written", "choose another folder with --folder"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with open(file, "x", encoding="utf-8") as new:
                new.write(each.starter)
        except FileExistsError:
            raise ArgumentError(
                f"{file} is there, and stays as it is; to check it: {command('learn', 'check', file)}; to begin again, "
                "rename it first"
            ) from None
    output.result(f"{file}: {each.title}")
    output.result("Open it in an editor: its first lines say what to do. Then check it:")
    output.result(command("learn", "check", file))
    return 0


def show_solution(arguments: argparse.Namespace) -> int:
    """Run ``tinygan learn solution``."""
    from tinygan.learn.exercises import exercise

    each = exercise(arguments.number)
    output.result(f"{each.solution}\n# The real thing: {each.source}")
    return 0


def check_file(arguments: argparse.Namespace) -> int:
    """Run ``tinygan learn check``."""
    return output.exit_status("tinygan", lambda: _check(arguments), 2)


def _check(arguments: argparse.Namespace) -> int:
    from tinygan.learn.exercises import exercise, exercise_of
    from tinygan.learn.judging import judge
    from tinygan.learn.process import answers_of
    from tinygan.learn.progress import remember

    file: Path = arguments.file
    if str(file).isdecimal() and len(str(file)) < 4 and not file.exists():
        file = _folder(arguments) / exercise(int(str(file))).file_name
    source = _read(file)
    each = exercise_of(file.name, source)
    answers = answers_of(each, file, source, arguments.seconds)
    rows = judge(each, answers.arrays)
    if unchanged := each.is_starter(source):
        for row in rows:
            row.kind = row.hint = ""
    passed = not answers.problems and all(row.approximate for row in rows)
    if arguments.json:
        record = {
            "exercise": each.number,
            "title": each.title,
            "file": str(file),
            "passed": passed,
            "arrays": [asdict(row) for row in rows],
            "problems": [asdict(problem) for problem in answers.problems],
            "printed": answers.printed,
        }
        output.result(json.dumps(json_value(record, "exercise", non_finite_as_null=True)))
    else:
        output.result("\n".join(_lines(each, file, answers, rows, unchanged)))
    if passed:
        try:
            remember(file.parent, each.number)
        except OSError as error:
            output.warn(f"it is passed, but this cannot be noted in {file.parent}: {error.strerror or error}")
    if not arguments.json:
        output.result("\n".join(_verdict(each, file, rows, passed)))
    return 0 if passed else 1


def _read(file: Path) -> str:
    """Return the text of a file."""
    with refused(ExerciseError, f"{file}: cannot be read", f"write one with `{command('learn', 'start')} N`"):
        content = read_plain(file, LARGEST)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ArgumentError(f"{file} is no text of UTF-8: save it as such, or name another file") from None


def _width() -> int:
    return min(max(output.columns(sys.stdout), NARROWEST), WIDEST)


def _lines(each: Exercise, file: Path, answers: Answers, rows: list[Row], unchanged: bool) -> list[str]:
    """Return the table, what is wrong, and the hints."""
    width = _width()
    lines = [f"Exercise {each.number}: {each.title}", ""]
    if answers.printed.strip():
        printed = answers.printed.rstrip().splitlines()
        lines += [
            "The file prints:",
            *(f"  {line[: width - 2]}" for line in printed[:PRINTED]),
            *["  ..."][: len(printed) > PRINTED],
            "",
        ]
    for problem in answers.problems:
        lines += [*(part for line in problem.text.splitlines() for part in _wrapped(line, width)), ""]
    if answers.arrays:
        lines += [*_table(rows, width), ""]
    told = {problem.function for problem in answers.problems}
    wrong = [row for row in rows if not row.approximate and (row.shape is not None or not told)]
    for hint, same in itertools.groupby(wrong if answers.arrays else [], key=lambda row: row.hint):
        several = list(same)
        for row in several:
            lines += _wrapped(_where(row), width)
        if hint:
            lines += _wrapped(f"Hint ({several[0].kind}): {hint}", width, "    ")
        lines.append("")
    if unchanged and rows and answers.arrays:
        lines += [
            *_wrapped("The file is as you got it. Find the bug first; after your first change there are hints.", width),
            "",
        ]
    return [output.escaped(line) for line in lines]


def _table(rows: list[Row], width: int) -> list[str]:
    """Return a line for each array."""
    name = max(5, *(len(row.name) for row in rows))
    heads = ("exact", "approximate", "largest difference") if width >= name + 40 else ("exact", "about", "difference")
    lines = [f"{'array':{name}}  {heads[0]}  {heads[1]}  {heads[2]}"]
    for row in rows:
        numbers = "not computed" if row.shape is None else "wrong shape"
        if row.difference is not None:
            numbers = f"{row.difference:.2g}"
        exact, approximate = ("yes" if flag else "no" for flag in (row.exact, row.approximate))
        lines.append(f"{row.name:{name}}  {exact:{len(heads[0])}}  {approximate:{len(heads[1])}}  {numbers}")
    return lines


def _where(row: Row) -> str:
    """Return where an array is wrong."""
    if row.shape is None:
        return f'{row.name} was not computed in the case "{row.case}".'
    case = f'in the case "{row.case}"'
    if row.where is None:
        return f"{row.name} has the shape {tuple(row.shape)} {case}; expected {tuple(row.expected_shape or ())}."
    index = f"[{', '.join(map(str, row.where))}]" if row.where else ""
    count = (
        f"in {row.wrong} of {row.size} numbers, most at {row.name}{index} of shape {tuple(row.shape)} "
        if row.size > 1
        else ""
    )
    yours, expected = f"{row.yours:.6g}", f"{row.expected:.6g}"
    if yours == expected:  # they differ in a later digit
        yours, expected = repr(row.yours), repr(row.expected)
    return f"{row.name} is wrong {count}{case}: yours is {yours}; expected {expected}."


def _verdict(each: Exercise, file: Path, rows: list[Row], passed: bool) -> list[str]:
    """Return the last lines: whether it is passed, and what comes next."""
    width = _width()
    if not passed:
        right = sum(row.approximate for row in rows)
        said = f"right so far: {right} of {len(rows)} arrays" if right < len(rows) else "see what is said above"
        return _wrapped(f"Not yet; {said}. Change the file, and check it again.", width)
    from tinygan.learn.exercises import EXERCISES

    done = _passed(file.parent) | {each.number}
    following = next((other.number for other in EXERCISES[each.number :] if other.number not in done), None)
    more = [] if following is None else [f"Next: {_next(Path(os.path.normpath(file.parent)), following)}"]
    return [*_wrapped(f"Passed. The real thing: {each.source}", width), *more]


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return a text in lines; a line of source, which is indented, stays as it is."""
    if text.startswith(" "):
        return [text]
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    ) or [""]
