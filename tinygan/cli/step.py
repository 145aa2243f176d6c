"""``tinygan step``: one iteration of Algorithm 1, line by line."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from tqdm import tqdm

from tinygan.backend import blas_threads, keep_freed_memory
from tinygan.cli import output
from tinygan.cli.arguments import positive
from tinygan.cli.own_data import add_data_options, load_experiment_and_data
from tinygan.errors import ArgumentError
from tinygan.experiments.pretrained import load_pretrained
from tinygan.experiments.training import Training
from tinygan.pictures.terminal import can_encode, style_of
from tinygan.trace.algorithm_lines import Line, printed_lines, walk
from tinygan.trace.algorithm_text import AlgorithmText, without_signs

PROMPT = "-- Enter: next line, a: all, q: quit --"
ERASE = "\x1b[A\x1b[2K"  # goes up to the prompt and erases it, after its Enter
TITLES = {
    "alternating": "Algorithm 1",
    "simultaneous": "The released code's schedule, which updates both players at once (Algorithm 1 takes turns)",
}


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "step",
        help="walk through one iteration of Algorithm 1, line by line",
        description="Show one iteration of the training of an experiment: each line of Algorithm 1 with the numbers "
        "that it computes. On a terminal, it waits for Enter between two lines. Nothing is saved.",
    )
    parser.add_argument(
        "experiment",
        type=os.path.expanduser,
        metavar="EXPERIMENT",
        help="a shipped name (see `tinygan experiments`) or a TOML file",
    )
    first = parser.add_mutually_exclusive_group()
    first.add_argument("--steps", type=positive, metavar="N", help="train N iterations before the one that is shown")
    first.add_argument("--epochs", type=positive, metavar="N", help="train N epochs before the iteration that is shown")
    parser.add_argument("--seed", type=int, metavar="S", help="the seed of every random number: --set seed=S")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change a key of the experiment, such as training.k=2; may be repeated",
    )
    add_data_options(parser)
    parser.add_argument("--all", action="store_true", help="do not wait for Enter")
    parser.add_argument("--json", action="store_true", help="print one JSON object; do not wait")
    parser.add_argument("--quiet", action="store_true", help="show no progress of the iterations before")
    parser.set_defaults(run=step)


def step(arguments: argparse.Namespace) -> int:
    """Run ``tinygan step``."""
    seed = [] if arguments.seed is None else [f"seed={arguments.seed}"]
    config, dataset = load_experiment_and_data(arguments, arguments.experiment, [*arguments.overrides, *seed])
    keep_freed_memory()
    with blas_threads(config.training.threads):  # as in `tinygan train`, so that the bits are the same
        training = Training(config, dataset)
        load_pretrained(training)
        _train(training, arguments)
        if arguments.json:
            lines = walk(training.game, training.step)
            output.result(json.dumps(_record(training, lines)))
        else:
            _show(training, waits=not arguments.all and _is_terminal())
    return 0


def _train(training: Training, arguments: argparse.Namespace) -> None:
    """Make the iterations before the one that is shown."""
    every = training.steps_per_epoch
    steps, end = arguments.steps or every * (arguments.epochs or 0), every * training.config.training.epochs
    if steps >= end:
        raise ArgumentError(
            f"{training.config.name} ends after {end:,} iterations ({training.config.training.epochs:,} epochs of "
            f"{every:,}); expected fewer before the one that is shown, got {steps:,}: choose fewer, or a later end by "
            "--set training.epochs=N"
        )
    hidden = arguments.quiet or not output.shows_progress()
    with tqdm(total=steps, unit="step", leave=False, file=output.messages, disable=hidden or not steps) as bar:
        while training.steps < steps:
            _start_epoch(training)
            training.step()
            bar.update()
    _start_epoch(training)


def _start_epoch(training: Training) -> None:
    if training.epoch_is_over:
        training.next_epoch()


def _record(training: Training, lines: list[Line]) -> dict[str, Any]:
    return {
        "experiment": training.config.name,
        "seed": training.config.seed,
        "iteration": training.steps,
        "schedule": training.game.schedule,
        "algorithm": [line.text for line in printed_lines(training.game)],
        "lines": [line.as_dict() for line in lines],
    }


def _is_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _show(training: Training, waits: bool) -> None:
    pager = _Pager(training, waits)
    try:
        pager.begin()
        walk(training.game, training.step, pager.line)
    except KeyboardInterrupt:
        output.messages.write("\n")  # after the prompt
        raise


class _Pager:
    """Shows line after line, and waits between them."""

    def __init__(self, training: Training, waits: bool) -> None:
        self.training, self.waits = training, waits
        self.style = style_of(sys.stdout, os.environ)
        self.last = len(printed_lines(training.game))

    def begin(self) -> None:
        """Show the whole algorithm."""
        config, text = self.training.config, self._text()
        title = f"{TITLES[self.training.game.schedule]}, on {output.escaped(config.name)} with seed {config.seed}"
        self._write(f"{text.paragraph(title)}\n\n{text.program(printed_lines(self.training.game))}\n")
        self._wait()

    def line(self, line: Line) -> None:
        """Show a line."""
        self._write(self._text().line(line) + "\n")
        if line.number < self.last:
            self._wait()

    def _text(self) -> AlgorithmText:
        training = self.training
        iterations = training.steps_per_epoch * training.config.training.epochs
        columns, shown = output.columns(sys.stdout), training.dataset.shown
        return AlgorithmText(training.image_shape, iterations, columns, self.style, shown)

    @staticmethod
    def _write(text: str) -> None:
        signs = can_encode(sys.stdout, text) if sys.stdout is not None else True
        output.result(text if signs else without_signs(text), keep="\n\x1b")

    def _wait(self) -> None:
        if not self.waits:
            return
        output.result(PROMPT[: output.columns(sys.stdout)], end="")
        answer = sys.stdin.readline()
        if not answer:  # Ctrl-D
            output.result("")
            raise output.ReaderGoneError("the reader wants no more lines")
        if os.environ.get("TERM", "dumb") != "dumb":
            output.result(ERASE, end="", keep="\x1b")
        if answer.strip().lower() in ("q", "quit"):
            raise output.ReaderGoneError("the reader wants no more lines")
        self.waits = answer.strip().lower() not in ("a", "all")
