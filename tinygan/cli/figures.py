"""What the programs in ``examples/`` that draw samples have in common: their options, their subjects, their errors."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tinygan.cli import output
from tinygan.cli.arguments import Parser, add_device_options, open_run, path, positive, use_backend
from tinygan.cli.own_data import add_data_options, load_data, load_experiment_and_data
from tinygan.cli.progress import Progress
from tinygan.config.experiment import load_experiment
from tinygan.errors import ArgumentError, RunError, TinyganError
from tinygan.experiments.trained import Trained, load_trained, train_in_memory
from tinygan.runs.plain_files import refused
from tinygan.runs.run_folder import RunFolder

OUT = Path("runs/examples")


def add_options(parser: argparse.ArgumentParser, runs: str, experiment: str = "digits") -> None:
    """Add the options: the runs, or what to train instead; where to write; the form of the numbers.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    runs : {"*", "?"}
        Several run folders, or one at most.
    experiment : str
        What is trained without a run.
    """
    parser.set_defaults(default_experiment=experiment)
    parser.add_argument("runs", type=path, nargs=runs, metavar="RUN", help="a run folder (default: train here)")
    parser.add_argument(
        "--experiment",
        type=os.path.expanduser,
        metavar="NAME",
        help=f"train this experiment, a shipped name or a TOML file, and write no run folder (default: {experiment})",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=positive, metavar="N", help="passes over the data, instead of its own")
    length.add_argument("--steps", type=positive, metavar="N", help="stop after N iterations")
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="change a key of it"
    )
    add_data_options(parser)
    add_device_options(parser)
    parser.add_argument("--seed", type=_seed, default=0, metavar="S", help="the seed of the draws (default: 0)")
    parser.add_argument("--out", type=path, default=OUT, metavar="DIR", help="where to write (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the numbers as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def load_subjects(options: argparse.Namespace) -> list[Trained]:
    """Return the generators of the runs, or train one; make the folder ``--out``.

    Raises
    ------
    ArgumentError
        A run was given together with an option of the training, or draws no images.
    RunError, CheckpointError, ConfigError, DataError
        A run, its newest checkpoint, its data or the folder ``--out`` cannot be used.
    """
    runs = options.runs if isinstance(options.runs, list) else [options.runs] * (options.runs is not None)
    training = [name for name in ("experiment", "epochs", "steps", "overrides") if getattr(options, name)]
    training += ["device"] * (options.device != "cpu")
    if runs and training:
        option = {"overrides": "--set"}.get(training[0], f"--{training[0]}")
        raise ArgumentError(f"{option}: {runs[0]} is trained already; give either runs or what to train")
    subjects = [_of_run(open_run(run), options) for run in runs]
    make_folder(options.out)  # refused now, not after the training
    return subjects or [_train(options)]


def picture_path(lesson: str) -> Path:
    """Return the path of the picture of a lesson, in ``--out DIR`` of its command line; make the folder.

    In a notebook, the command line belongs to the notebook: the folder is the default one.

    Parameters
    ----------
    lesson : str
        The name of its file, without ``.py``.

    Raises
    ------
    SystemExit
        The command line has another option, or the folder cannot be used.
    """
    parser = Parser(prog=f"{lesson}.py", description="A lesson: prints what it shows, and draws a picture.")
    parser.add_argument(
        "--out", type=path, default=OUT / "lessons", metavar="DIR", help="where to write (default: %(default)s)"
    )
    is_script = Path(sys.argv[0]).name == f"{lesson}.py"
    folder: Path = parser.parse_args(sys.argv[1:] if is_script else []).out
    try:
        make_folder(folder)
    except RunError as error:
        parser.error(str(error))
    return folder / f"{lesson}.png"


def run_program(main: Callable[[argparse.Namespace], None], parser: Parser, arguments: Sequence[str] | None) -> int:
    """Parse the arguments and run a program; return its exit status: 2 for a refusal, 130 after Ctrl-C."""
    output.occupy_closed_streams()

    def work() -> int:
        try:
            options = parser.parse_args(arguments)
            use_backend(options)
            main(options)
        except OSError as error:
            if isinstance(error, TinyganError):
                raise
            raise RunError(f"{error}; free some space, or name another folder with --out") from error
        return 0

    return output.exit_status(parser.prog, work, 2)


def make_folder(folder: Path) -> None:
    """Make the folder of ``--out``, and refuse one that cannot be written to: now, not after the work."""
    with refused(RunError, f"--out {folder}: cannot be used", "name another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def _of_run(folder: RunFolder, options: argparse.Namespace) -> Trained:
    config, options = load_experiment(folder.config_path), argparse.Namespace(**vars(options))
    recorded = folder.environment().get("data_folder")
    if options.data is None and isinstance(recorded, str) and config.data.needs_files:
        options.data = Path(recorded)
    return load_trained(folder, config, load_data(config, options))


def _train(options: argparse.Namespace) -> Trained:
    overrides = list(options.overrides)
    if options.epochs is not None:
        overrides.append(f"training.epochs={options.epochs}")
    config, dataset = load_experiment_and_data(options, options.experiment or options.default_experiment, overrides)
    with Progress(options.quiet) as progress:
        return train_in_memory(config, dataset, options.steps, progress, options.device)


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected an integer of at least 0, got {text!r}")
    return int(text)
