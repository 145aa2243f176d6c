"""``python -m benchmarks``: parse, measure, print, write."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.contestants import PEERS, default_peers
from benchmarks.results import write_result
from benchmarks.step import measure_step, step_table
from benchmarks.task import SCHEDULES, Task, make_task
from tinygan.backend import get_backend
from tinygan.errors import TinyganError

DEFAULT_OUT = Path("runs/benchmarks")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast tinygan is.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    step = commands.add_parser("step", help="one iteration, beside its own products and beside other frameworks")
    _add_task_options(step)
    step.add_argument("--seconds", type=_positive, default=6.0, help="how long each contestant runs (6)")
    step.add_argument(
        "--peers",
        nargs="*",
        choices=list(PEERS),
        metavar="NAME",
        help=f"also {', '.join(PEERS)}; without names, all there are on the device",
    )
    step.set_defaults(run=_step)
    return parser


def _add_task_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--experiment", default="mnist", help="a shipped name or the path of a TOML file (mnist)")
    parser.add_argument(
        "--schedule",
        choices=list(SCHEDULES),
        default="alternating",
        help="Algorithm 1 as printed, or the released code's (alternating)",
    )
    _add_machine_options(parser)
    _add_output_options(parser)


def _add_machine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=_count, help="of each contestant (what the experiment says, else all)")


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else, on stdout")
    parser.add_argument("--out", type=Path, help=f"folder for JSON and pictures ({DEFAULT_OUT}; with --json, none)")


def _task(arguments: argparse.Namespace) -> Task:
    get_backend(arguments.device)  # says what is missing before anything is started
    return make_task(arguments.experiment, arguments.schedule, arguments.device, arguments.threads)


def _step(arguments: argparse.Namespace) -> None:
    peers = arguments.peers
    if peers is not None:
        peers = peers or default_peers(arguments.device)
    measured = measure_step(_task(arguments), arguments.seconds, peers or [])
    _show(arguments, measured, step_table(measured))


def _show(arguments: argparse.Namespace, measured: dict[str, Any], table: str) -> None:
    """Print the result as asked for, and write it."""
    print(json.dumps(measured, allow_nan=False) if arguments.json else table)
    out = arguments.out or (None if arguments.json else DEFAULT_OUT)
    if out is not None:
        path = out / f"{measured['benchmark']}.json"
        write_result(path, measured)
        print(f"written: {path}", file=sys.stderr)


def _positive(text: str) -> float:
    value = _number(float, text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {text}")
    return value


def _count(text: str) -> int:
    value = _number(int, text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text}")
    return int(value)


def _number(kind: type[int] | type[float], text: str) -> float:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    arguments = build_parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except TinyganError as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
