"""The parser, and the options that several commands share."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from tinygan.backend import select_backend
from tinygan.cli import output
from tinygan.errors import ArgumentError, RunError, did_you_mean, nearest
from tinygan.runs.command import quoted
from tinygan.runs.run_folder import RunFolder

_NEAR = 0.7  # "gpu" must not suggest "cpu"
RUNS = Path("runs")  # the default place of new run folders


class Parser(argparse.ArgumentParser):
    """A parser that suggests the nearest known word for an unknown one."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse all arguments; refuse unknown ones here, where the options of the command are known."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            hints = (did_you_mean(word.split("=")[0], options, _NEAR) for word in unknown if word.startswith("-"))
            self.error(f"unrecognized arguments: {' '.join(unknown)}{next(filter(None, hints), '')}")
        return namespace, []

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with status 2."""
        found = re.search(r"invalid choice: '(.*)' \(choose from (.*)\)$", message)
        hint = did_you_mean(found[1], re.findall(r"[\w-]+", found[2]), _NEAR) if found else ""
        super().error(output.escaped(message + hint))

    def _print_message(self, message: str, file: Any = None) -> None:
        if message and file is not None and file is sys.stdout:
            output.result(message, end="")
        elif message:
            output.messages.write(output.escaped(message, keep="\n"))


def path(text: str) -> Path:
    """Parse a path; expand ~, which a shell leaves in ``--data=~/data``."""
    return Path(os.path.expanduser(text))


def open_run(folder: Path) -> RunFolder:
    """Open the run of a command line.

    Raises
    ------
    RunError
        The folder is not a run; the message suggests a similar one.
    """
    try:
        return RunFolder.open(folder)
    except RunError as error:
        near = _nearest_run(folder)
        raise RunError(f"{error}{f'; did you mean {quoted(near)}?' if near else ''}") from None


def _nearest_run(folder: Path) -> Path | None:
    """Return the run in runs/ of this name, the run that contains the path, or a run with a similar name."""
    for place in (RUNS / folder, *(folder.parents if folder.exists() else ())):
        if (place / "config.toml").is_file():
            return place
    found: dict[str, Path] = {}
    for parent in (RUNS, folder.parent):
        with contextlib.suppress(OSError):
            found |= {run.name: run for run in parent.iterdir() if (run / "config.toml").is_file()}
    return found.get(nearest(folder.name, found) or "")


def positive(text: str) -> int:
    """Parse an integer of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return value


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``."""
    parser.add_argument(
        "--data",
        type=path,
        metavar="DIR",
        help="the folder of the data sets, which contains mnist/*.gz (default: $TINYGAN_DATA, otherwise a download)",
    )


def add_no_average_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-average``."""
    parser.add_argument(
        "--no-average",
        action="store_true",
        help="draw with G's weights themselves, even if the experiment has their running mean (average_decay)",
    )


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--device`` and ``--backend``."""
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to compute (default: cpu)")
    parser.add_argument(
        "--backend",
        choices=["numpy", "numba"],
        default="numpy",
        help="what computes on the CPU: NumPy, or also loops that numba compiles (default: numpy)",
    )


def use_backend(arguments: argparse.Namespace) -> None:
    """Select the backend of the command line, if the command has ``--backend``.

    Raises
    ------
    ArgumentError
        It does not compute on the device.
    DeviceError
        numba is not installed.
    """
    name = getattr(arguments, "backend", None)
    if name == "numba" and arguments.device != "cpu":
        raise ArgumentError("--backend numba: it computes on the CPU; leave out --backend or --device")
    if name is not None:
        select_backend(name)
