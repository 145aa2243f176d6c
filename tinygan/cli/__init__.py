"""The command line: parse the arguments, call tinygan, print the result.

Results go to stdout, progress and errors to stderr. The exit status is 0 for success, 1 for a refusal (the message says
what to do), 2 for arguments that cannot be parsed, 130 after Ctrl-C, SIGTERM or the end of the terminal. A run that is
trained and saved ends with 0, even if its pictures, its report or its messages failed. If the result of a command is
its output, a stdout that cannot be written is a failure; a reader that stops early, such as ``head``, is not.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Sequence
from typing import Any

import tinygan
from tinygan.cli import (
    completion,
    diagnose,
    doctor,
    evaluate,
    experiments,
    export,
    gradcheck,
    learn,
    output,
    ranks,
    report,
    sample,
    step,
    sweep,
    trace,
    train,
)
from tinygan.cli.arguments import Parser, use_backend

_DESCRIPTION = 'Generative adversarial nets from scratch: the experiments of "Generative Adversarial Nets" (2014).'


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = Parser(prog="tinygan", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"tinygan {tinygan.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    looking = (diagnose, report, export, experiments, gradcheck, learn, doctor)
    for module in (train, sweep, step, trace, sample, evaluate, *looking):
        module.add_commands(commands)
    completion.add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after ``tinygan``; by default those of the process.

    Returns
    -------
    int
        The exit status.
    """
    output.occupy_closed_streams()
    ranks.silence_followers()
    os.environ["MPLBACKEND"] = "agg"  # pictures go into files; no window system is needed
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        warnings.simplefilter("always", UserWarning)
        return output.exit_status("tinygan", lambda: _run(argv), 1)


def _run(argv: Sequence[str] | None) -> int:
    arguments = build_parser().parse_args(argv)
    use_backend(arguments)
    status: int = ranks.run(arguments)
    return status


def _show_warning(message: Any, category: Any, filename: Any, lineno: Any, file: Any = None, line: Any = None) -> None:
    output.warn(str(message))
