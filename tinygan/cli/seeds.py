"""What the programs in ``examples/`` that measure games over several seeds have in common: options, results, tables.

A program defines ``play(row, seed)``, which plays one game and returns its numbers by name. `measure` calls it for each
row of the table and each seed; `show` prints the means over the seeds with their standard errors.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tinygan.backend import blas_threads
from tinygan.cli.arguments import add_data_option, path, positive
from tinygan.cli.figures import OUT, make_folder
from tinygan.cli.output import result, say
from tinygan.errors import RunError
from tinygan.runs.plain_files import refused

Numbers = dict[str, float]
ERROR = "_standard_error"  # follows the name of a number
START = b'{"settings": '  # of each line of a file of results
PLACE = {"data", "json", "out", "quiet", "results", "seeds"}  # options that change no number


def add_options(parser: argparse.ArgumentParser, datasets: Sequence[str] = (), seeds: int = 1) -> None:
    """Add the options: the data set, the seeds, where to write, and the form of the numbers.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    datasets : sequence of str
        The data sets that the program knows; the first is its default.
    seeds : int
        How many seeds it plays by default.
    """
    if datasets:
        told = f"the data set (default: {datasets[0]})"
        parser.add_argument("--dataset", choices=datasets, default=datasets[0], help=told)
        add_data_option(parser)
    told = f"play with the seeds 0, ..., N - 1 (default: {seeds})"
    parser.add_argument("--seeds", type=positive, default=seeds, metavar="N", help=told)
    parser.add_argument("--out", type=path, default=OUT, metavar="DIR", help="where to draw (default: %(default)s)")
    told = "keep the numbers of each game here, and do not play again what is there"
    parser.add_argument("--results", type=path, metavar="FILE", help=told)
    parser.add_argument("--json", action="store_true", help="print the numbers as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def measure(
    options: argparse.Namespace, play: Callable[[str, int], Mapping[str, float]], rows: Sequence[str] = ("",)
) -> dict[str, list[Numbers]]:
    """Play each row with each seed, on one thread of the BLAS.

    Parameters
    ----------
    options : argparse.Namespace
        With the options of `add_options`. The folder ``--out`` is made before the first game.
    play : callable
        ``play(row, seed)`` returns the numbers of one game by name.
    rows : sequence of str

    Returns
    -------
    dict of list of dict
        For each row the numbers of each seed; ``seconds`` is the processor time of the game.

    Raises
    ------
    RunError
        ``--out`` or ``--results`` cannot be used, or the results there are of other options.
    """
    make_folder(options.out)
    settings = {key: str(value) for key, value in sorted(vars(options).items()) if key not in PLACE}
    kept = _read(options.results, settings)
    found: dict[str, list[Numbers]] = {row: [] for row in rows}
    with blas_threads(1):
        for row in rows:
            for seed in range(options.seeds):
                numbers = kept.get((row, seed))
                if numbers is None:
                    begin = time.process_time()
                    numbers = {key: float(value) for key, value in play(row, seed).items()}
                    numbers["seconds"] = time.process_time() - begin
                    if options.results is not None:
                        record = {"settings": settings, "row": row, "seed": seed, "numbers": numbers}
                        _append(options.results, json.dumps(record) + "\n")
                found[row].append(numbers)
                if not options.quiet:
                    told = ", ".join(f"{key} {value:.4g}" for key, value in numbers.items())
                    say(f"{row + ', ' if row else ''}seed {seed}: {told}")
    return found


def summary(games: Sequence[Numbers]) -> dict[str, float | None]:
    """Return the mean over the games of each number, and with two games or more its standard error.

    Examples
    --------
    >>> summary([{"modes": 7.0}, {"modes": 8.0}])
    {'modes': 7.5, 'modes_standard_error': 0.5}
    """
    found: dict[str, float | None] = {}
    for key in games[0]:
        values = np.array([game[key] for game in games])
        found[key] = float(values.mean())
        if len(values) > 1:
            found[key + ERROR] = float(values.std(ddof=1) / math.sqrt(len(values)))
    return {key: value if value is not None and math.isfinite(value) else None for key, value in found.items()}


def show(
    options: argparse.Namespace, found: Mapping[str, list[Numbers]], columns: Mapping[str, str], facts: str = ""
) -> None:
    """Print the table, or with ``--json`` one object.

    Parameters
    ----------
    options : argparse.Namespace
    found : dict of list of dict
        What `measure` returned.
    columns : dict of str
        The format of each number that the table shows, such as ``{"modes": ".1f", "accuracy": ".1%"}``.
    facts : str
        Sentences after the table.

    Notes
    -----
    The object has the options, and all numbers of the only row, or a ``"rows"`` of such numbers for each row.
    """
    rows = {row: summary(games) for row, games in found.items()}
    if options.json:
        settings = {key: value for key, value in vars(options).items() if isinstance(value, str | int | float)}
        kept = {key: value for key, value in settings.items() if key not in PLACE} | {"seeds": options.seeds}
        result(json.dumps(kept | (rows[""] if list(rows) == [""] else {"rows": rows})))
        return
    cells = [["", *(key.replace("_", " ") for key in columns)]]
    cells += [[row, *(_cell(numbers, key, form) for key, form in columns.items())] for row, numbers in rows.items()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in cells]
    lines = [line if widths[0] else line.lstrip() for line in lines]
    result("\n".join([*lines, *([facts] if facts else []), f"The picture is in {options.out}"]))


def _cell(numbers: Mapping[str, float | None], key: str, form: str) -> str:
    value, error = numbers.get(key), numbers.get(key + ERROR)
    if value is None:
        return ""
    return f"{value:{form}}" + ("" if error is None else f" ± {error:{form}}")


def _append(file: Path, text: str) -> None:
    with refused(RunError, f"--results {file}: cannot be written", "name another file"), file.open("a") as stream:
        stream.write(text)


def _read(file: Path | None, settings: Mapping[str, str]) -> dict[tuple[str, int], Numbers]:
    """Return the numbers in a file of results; cut off a last line that was not written to its end."""
    if file is None:
        return {}
    _append(file, "")  # refused now, not after a game
    with refused(RunError, f"--results {file}: cannot be read", "name another file"):
        text = file.read_bytes()
    end = text.rfind(b"\n") + 1
    kept = {}
    rest = text[end:]  # of a game that was stopped while it was written, or of another program
    try:
        lines = text[:end].splitlines() + ([] if START.startswith(rest[: len(START)]) else [rest])
        records = [json.loads(line) for line in lines]
        for record in records:
            kept[record["row"], record["seed"]] = record["numbers"]
        others = [record["settings"] for record in records if record["settings"] != settings]
    except (ValueError, TypeError, KeyError) as error:
        raise RunError(f"--results {file}: is no file of results; name another file") from error
    if others:
        raise RunError(f"--results {file}: holds games of other options, {others[0]}; name another file")
    with refused(RunError, f"--results {file}: cannot be written", "name another file"):
        os.truncate(file, end)
    return kept
