"""``tinygan train`` and ``tinygan resume``."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from tinygan.cli import output
from tinygan.cli.arguments import RUNS, add_device_options, open_run, path, positive
from tinygan.cli.own_data import add_data_options, load_data, load_experiment_and_data, own_data
from tinygan.cli.progress import Progress
from tinygan.data.files import VARIABLE
from tinygan.diagnosis import closing_line
from tinygan.errors import RunError
from tinygan.experiments.running import Limits, is_done, reopen, run, start
from tinygan.experiments.training import Training
from tinygan.runs.command import command
from tinygan.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from tinygan.parallel.world import World


def add_commands(commands: Any) -> None:
    """Add both commands to the parser."""
    parser = commands.add_parser(
        "train",
        help="train an experiment in a new run folder",
        description="Train an experiment in a new run folder.",
    )
    parser.add_argument(
        "experiment",
        type=os.path.expanduser,
        metavar="EXPERIMENT",
        help="a shipped name (see `tinygan experiments`) or a TOML file",
    )
    parser.add_argument("--out", type=path, metavar="RUN", help="the run folder to make (default: runs/NAME)")
    parser.add_argument("--seed", type=int, metavar="S", help="the seed of every random number: --set seed=S")
    _add_shared_options(parser, "change a key of the experiment, such as training.batch=50; may be repeated")
    parser.set_defaults(run=train, follow=follow)

    parser = commands.add_parser(
        "resume",
        help="continue a run that was stopped",
        description="Continue a stopped run from its newest checkpoint; or, with --epochs, a run that had reached its "
        "end.",
    )
    parser.add_argument("folder", type=path, metavar="RUN", help="the run folder")
    _add_shared_options(
        parser, "change a key that does not affect the bits of the run, such as output.samples=25; may be repeated"
    )
    parser.set_defaults(run=resume, follow=follow)


def _add_shared_options(parser: argparse.ArgumentParser, what_may_be_set: str) -> None:
    parser.add_argument("--epochs", type=positive, metavar="N", help="passes over the data: --set training.epochs=N")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help=what_may_be_set
    )
    add_data_options(parser)
    add_device_options(parser)
    parser.add_argument(
        "--steps", type=positive, metavar="N", help="stop after N iterations, counted from the start of the run"
    )
    parser.add_argument(
        "--eager", action="store_true", help="make every step on the tape: no CUDA graph on a GPU, no replay on the CPU"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def train(arguments: argparse.Namespace) -> int:
    """Run ``tinygan train``."""
    overrides = _overrides(arguments)
    if arguments.seed is not None:
        overrides.append(f"seed={arguments.seed}")
    config, dataset = load_experiment_and_data(arguments, arguments.experiment, overrides)
    data_folder = arguments.data or os.environ.get(VARIABLE)
    folder, training = start(
        config,
        dataset,
        arguments.out or RUNS / config.name,
        arguments.device,
        numbered=arguments.out is None,
        data_folder=data_folder,
        world=_world(arguments),
    )
    return _play(folder, training, arguments)


def resume(arguments: argparse.Namespace) -> int:
    """Run ``tinygan resume``."""
    folder = open_run(arguments.folder)
    with folder.lock():  # taken before reading, so that no other process changes the run in between
        overrides = [*own_data(arguments, folder.config_path), *_overrides(arguments)]
        world = _world(arguments)
        _, training = reopen(folder, lambda config: load_data(config, arguments), arguments.device, overrides, world)
        if is_done(training):
            done = f"{folder.path}: all {training.epoch} epochs are done"
            if arguments.epochs is not None:
                raise RunError(f"{done}; expected --epochs above that, got {arguments.epochs}: nothing was changed")
            more = _resume_command(folder, arguments, "--epochs", str(2 * training.config.training.epochs))
            output.say(f"{done}; for more: {more}")
        return _play(folder, training, arguments)


def follow(arguments: argparse.Namespace) -> int:
    """Take part in ``tinygan train`` or ``tinygan resume`` as another rank than 0."""
    from tinygan.parallel import following

    world = _world(arguments)
    assert world is not None
    with graceful_stop() as stop:
        training = following.join(world, lambda config: load_data(config, arguments), arguments.device)
        following.follow(training, _limits(training, arguments, stop))
        arguments.watch.close()  # a signal must not end this rank before rank 0 has written everything
    return 130 if training.stopping else 0


def _world(arguments: argparse.Namespace) -> World | None:
    """Return the ranks that train together; None in one process."""
    return None if arguments.watch is None else arguments.watch.world


def _limits(training: Training, arguments: argparse.Namespace, stop: list[int]) -> Limits:
    """Prepare a training for its steps; return when it should stop."""
    if training.world is None:
        training.capture = training.replay = not arguments.eager
        return Limits(arguments.steps, lambda: bool(stop))
    arguments.watch.training = training
    training.asked = lambda: bool(stop)
    return Limits(arguments.steps, arguments.watch.asked)


def _overrides(arguments: argparse.Namespace) -> list[str]:
    epochs = [] if arguments.epochs is None else [f"training.epochs={arguments.epochs}"]
    return [*arguments.overrides, *epochs]


def _play(folder: RunFolder, training: Training, arguments: argparse.Namespace) -> int:
    if arguments.watch is not None:
        arguments.watch.advise(_advice(folder, arguments))
    with graceful_stop() as stop, Progress(quiet=arguments.quiet) as progress:
        done = run(folder, training, _limits(training, arguments, stop), progress)
    if not progress.reported:  # a run that was already done has saved nothing
        progress.saved(folder)
    lines = [f"samples  {output.escaped(str(folder.samples_path))}", f"verdict  {_verdict(folder)}"]
    if progress.report is not None:
        lines.append(f"report   {output.escaped(str(progress.report))}")
    if not done:
        lines.append(f"saved after step {training.steps}; go on with: {_resume_command(folder, arguments)}")
    output.mention("\n".join(lines))
    return 130 if stop or training.stopping else 0


def _verdict(folder: RunFolder) -> str:
    """Return what the diagnosis says at the end; a failure is no failure of the run."""
    try:
        found = closing_line(folder.diagnoses())
    except (RunError, LookupError, TypeError) as error:  # another program may have changed the file
        return f"unknown: {output.escaped(str(error))}"
    return found or f"none yet, as no epoch has ended with a checkpoint; now: {command('diagnose', folder.path)}"


def _resume_command(folder: RunFolder, arguments: argparse.Namespace, *more: str) -> str:
    """Return the command that continues a run on the same data, device and backend."""
    here = {} if arguments.data is None else {"data_folder": arguments.data}
    resume = folder.resume_command(*more, device=arguments.device, backend=arguments.backend, **here)
    world = _world(arguments)
    return resume if world is None else f"mpiexec -n {world.size} {resume}"


def _advice(folder: RunFolder, arguments: argparse.Namespace) -> str:
    return output.indented(
        f"everything up to the last checkpoint is saved; go on with: {_resume_command(folder, arguments)}"
    )


@contextmanager
def graceful_stop(told: bool = True) -> Iterator[list[int]]:
    """Stop the run between two steps at Ctrl-C, SIGTERM or the end of the terminal; at once at a second Ctrl-C.

    Yields a list that is empty until a signal comes; if `told`, a message says so.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if not received:
            received.append(number)
            if told:
                output.messages.write("\nfinishing this step, then saving; Ctrl-C again stops at once\n")
        elif number == signal.SIGINT:  # the end of a terminal or a session sends several of the other signals
            raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # `nohup` ignores it
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, note) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
