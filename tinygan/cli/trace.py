"""``tinygan trace``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tinygan.backend import blas_threads
from tinygan.cli import output
from tinygan.cli.arguments import add_device_options, open_run, path, positive
from tinygan.cli.own_data import add_data_options, load_data, load_experiment_and_data
from tinygan.config.experiment import shipped_experiments
from tinygan.errors import ArgumentError, TinyganError
from tinygan.experiments.running import at_newest_checkpoint, at_start
from tinygan.experiments.training import Training
from tinygan.runs.plain_files import refused
from tinygan.trace import Trace
from tinygan.trace import trace as begin_trace


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "trace",
        help="look inside one iteration of a training: each operation, and how each gradient came about",
        description="Make one iteration of a training and print each of its operations with its value, its gradient "
        "and its local rule. The run folder is only read. Without an option that prints something else, the table is "
        "printed.",
    )
    parser.add_argument(
        "subject",
        type=os.path.expanduser,
        metavar="EXPERIMENT|RUN",
        help="a shipped name or a TOML file: from the start; the folder of a run: from its newest checkpoint",
    )
    parser.add_argument(
        "--html", type=path, metavar="FILE", help="write the iteration as one HTML page, with each formula checked"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--why",
        action="append",
        default=[],
        metavar="NAME",
        help="explain the gradient of a parameter, such as discriminator.1.weight, or of a row, such as 16; may be "
        "repeated",
    )
    parser.add_argument("--check", action="store_true", help="compare each backward formula with differences")
    parser.add_argument("--replay", action="store_true", help="compute each row again and compare the bits")
    parser.add_argument("--steps", type=positive, default=0, metavar="N", help="train N iterations first (default: 0)")
    parser.add_argument("--seed", type=int, metavar="S", help="the seed of every random number: --set seed=S")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change a key of the experiment, such as training.batch=50; may be repeated",
    )
    add_data_options(parser)
    add_device_options(parser)
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.set_defaults(run=trace)


def trace(arguments: argparse.Namespace) -> int:
    """Run ``tinygan trace``."""
    _refuse(arguments)
    training = _training(arguments)
    game = training.game
    traced = begin_trace(generator=game.generator, discriminator=game.discriminator)
    with blas_threads(training.config.training.threads):  # the number of threads decides bits
        _advance(training, arguments)
        try:
            with traced:
                training.step()
        except TinyganError:
            output.result(str(traced))  # up to the operation at fault
            raise
    title = f"{training.config.name}: iteration {training.steps:,}"
    return _show(traced, title, arguments)


def _refuse(arguments: argparse.Namespace) -> None:
    """Refuse options that contradict each other, and a page that cannot be written, before the work begins."""
    html: Path | None = arguments.html
    if html is not None and html.suffix != ".html":
        raise ArgumentError(f"--html {html}: expected a name that ends in .html")
    if html is not None and not html.parent.is_dir():
        raise ArgumentError(f"--html {html}: there is no folder {html.parent}; make it first")
    if arguments.json and (arguments.why or arguments.check or arguments.replay):
        raise ArgumentError("--json prints one object and nothing else: leave out --why, --check and --replay")


def _training(arguments: argparse.Namespace) -> Training:
    """Return the training of the command line: of an experiment at its start, or of a run at its newest checkpoint."""
    subject: str = arguments.subject
    if not _is_run(subject):
        seed = [] if arguments.seed is None else [f"seed={arguments.seed}"]
        config, dataset = load_experiment_and_data(arguments, subject, [*arguments.overrides, *seed])
        return at_start(config, dataset, arguments.device)
    if arguments.overrides or arguments.seed is not None:
        option = "--seed" if arguments.seed is not None else "--set"
        raise ArgumentError(f"{option}: {subject} is a run, which has its settings; trace its experiment instead")
    return at_newest_checkpoint(open_run(Path(subject)), lambda config: load_data(config, arguments), arguments.device)


def _is_run(subject: str) -> bool:
    """Return whether the words of the command line mean a run: a folder, or a path that is no TOML file."""
    if subject in {config.name for config in shipped_experiments()} or os.path.isfile(subject):
        return False
    return os.path.isdir(subject) or (os.sep in subject and not subject.endswith(".toml"))


def _advance(training: Training, arguments: argparse.Namespace) -> None:
    """Train the iterations before the one to trace, and begin the epoch of that one."""
    last = training.config.training.epochs * training.steps_per_epoch
    if arguments.steps and training.steps + arguments.steps >= last:
        raise ArgumentError(
            f"--steps {arguments.steps}: the training has {last:,} iterations, and {training.steps:,} are done: the "
            f"iteration to trace must be one of them; expected less than {last - training.steps:,}"
        )
    hidden = arguments.quiet or not output.shows_progress()
    for _ in tqdm(range(arguments.steps), unit="step", leave=False, file=output.messages, disable=hidden):
        if training.epoch_is_over:
            training.next_epoch()
        training.step()
    if training.epoch_is_over:
        training.next_epoch()


def _show(traced: Trace, title: str, arguments: argparse.Namespace) -> int:
    """Print or write what was asked for; return 1 if a check has failed."""
    html: Path | None = arguments.html
    if html is not None and not arguments.quiet:
        output.say("checking each backward formula for the page")
    checked = traced.check() if html is not None or arguments.check else None  # the page shows the errors
    if html is not None:
        _write_page(traced, html, title)
    replayed = traced.replay() if arguments.replay else None
    status = int(any(found is not None and not found for found in (replayed, checked)))
    if arguments.json:
        output.result(traced.to_json())
        return status
    for name in arguments.why:
        output.result(str(traced.why(name)))
    for found, asked in ((replayed, arguments.replay), (checked, arguments.check)):
        if asked:
            output.result(str(found))
    if html is not None:
        output.mention(output.escaped(str(html)))
    elif not (arguments.why or arguments.replay or arguments.check):
        output.result(str(traced))
    return status


def _write_page(traced: Any, html: Path, title: str) -> None:
    with refused(ArgumentError, f"--html {html}: cannot be written", "free space, or choose another name"):
        traced.html(html, title=title)
