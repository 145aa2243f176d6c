"""The commands: parse, call, print.

Results go to stdout, progress and errors to stderr. The exit status is 0 for success, 1 for a refusal (with a message
that says what to do), 2 for a command line that does not parse, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import tinygan
from tinygan.cli import doctor, evaluate, experiments, export, gradcheck, sample, train
from tinygan.errors import TinyganError

_DESCRIPTION = 'Generative adversarial nets from scratch: the experiments of "Generative Adversarial Nets" (2014).'


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="tinygan", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"tinygan {tinygan.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (train, sample, evaluate, export, experiments, gradcheck, doctor):
        module.add_commands(commands)
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
    try:
        try:
            return _run(build_parser().parse_args(argv))
        finally:
            sys.stdout.flush()  # now, while it can be noticed that nobody reads on
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # at its end, Python will try to write what is left in them
            os.dup2(nowhere, stream.fileno())
        return 0


def _run(arguments: argparse.Namespace) -> int:
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        warnings.simplefilter("always", UserWarning)
        try:
            return arguments.run(arguments)
        except TinyganError as error:
            print(f"tinygan: error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("tinygan: stopped", file=sys.stderr)
            return 130


def _show_warning(message: Any, category: Any, filename: Any, lineno: Any, file: Any = None, line: Any = None) -> None:
    print(f"tinygan: warning: {message}", file=sys.stderr)
