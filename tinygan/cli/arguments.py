"""The parser, and the options that several commands share."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tinygan.cli import output
from tinygan.config.experiment import ExperimentConfig, load_experiment
from tinygan.config.layers import LARGEST_WIDTH
from tinygan.config.refusals import quote
from tinygan.config.sections import OWN, DataConfig
from tinygan.data.dataset import Dataset
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


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``, ``--images`` and ``--array``: the place of the data."""
    add_data_option(parser)
    own = parser.add_mutually_exclusive_group()
    instead = "instead of the experiment's data"
    own.add_argument("--images", metavar="DIR", help=f"your own images, in a folder, {instead}")
    own.add_argument("--array", metavar="FILE", help=f"your own images, in a .npy file, {instead}")


def own_data(arguments: argparse.Namespace, experiment: str | Path) -> list[str]:
    """Return the overrides of an experiment, or of the configuration of a run, for ``--images`` or ``--array``."""
    for kind in OWN:
        given = getattr(arguments, kind)
        if given is not None:
            if not given:
                raise ArgumentError(f"{OWN[kind]}: expected a path, got nothing")
            path = os.path.abspath(os.path.expanduser(given))
            text = quote(path).replace("\x7f", "\\u007f")  # which TOML wants escaped, and JSON does not
            if load_experiment(experiment).data.set == kind:  # keep the size and the colour
                return [f"data.path={text}"]
            return [f'data={{set="{kind}", path={text}}}']
    return []


def load_data(config: ExperimentConfig, arguments: argparse.Namespace, tell: bool = False) -> Dataset:
    """Load the data of a configuration; ``--images`` and ``--array`` win over its own.

    Parameters
    ----------
    config : ExperimentConfig
    arguments : argparse.Namespace
        With the options of `add_data_options`.
    tell : bool
        Write on stderr how one's own images were read.
    """
    section = config.data
    for kind in OWN:
        path = getattr(arguments, kind)
        if path is not None:
            kept = section if section.set == kind else DataConfig(set=kind)
            section = dataclasses.replace(kept, path=os.path.expanduser(path))
    if section.set in OWN and arguments.data is not None:
        raise ArgumentError(
            f"--data names a folder of data sets, but the images are your own: leave it out; {section.option} names "
            "their place"
        )
    quiet = getattr(arguments, "quiet", True)
    dataset = section.load(arguments.data, not quiet and (section.set not in OWN or output.shows_progress()))
    for note in dataset.notes if tell and not quiet else ():
        output.say(f"data: {note}")
    return dataset


def load_experiment_and_data(
    arguments: argparse.Namespace, experiment: str, overrides: Sequence[str]
) -> tuple[ExperimentConfig, Dataset]:
    """Read an experiment and load its data; fit the generator's last layer to those of ``--images`` or ``--array``."""
    overrides = [*own_data(arguments, experiment), *overrides]
    config = load_experiment(experiment, overrides)
    dataset = load_data(config, arguments, tell=True)
    if arguments.images is None and arguments.array is None:
        return config, dataset
    layers, numbers = config.generator.layers, dataset.train.images.shape[1]
    last = max(index for index, layer in enumerate(layers) if layer.maps)
    if getattr(layers[last], "units", numbers) == numbers:
        return config, dataset
    if numbers > LARGEST_WIDTH:
        smaller = "choose a smaller size: --set data.size=64" if arguments.images else "make them smaller"
        raise ArgumentError(
            f"an image has {numbers:,} numbers, and a layer has at most {LARGEST_WIDTH:,} units: {smaller}"
        )
    if not arguments.quiet:
        output.say(f"generator.layers[{last}].units is {numbers} here: one unit for each number of an image")
    return load_experiment(experiment, [*overrides, f"generator.layers.{last}.units={numbers}"]), dataset


def add_no_average_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-average``."""
    parser.add_argument(
        "--no-average",
        action="store_true",
        help="draw with G's weights themselves, even if the experiment has their running mean (average_decay)",
    )


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to compute (default: cpu)")
