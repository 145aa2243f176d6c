"""``tinygan report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tinygan.cli import output
from tinygan.cli.arguments import open_run, path
from tinygan.errors import ArgumentError
from tinygan.report.comparison import write_comparison
from tinygan.report.report import write_report
from tinygan.runs.run_folder import RunFolder


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "report",
        help="write the report of a run again, or compare two runs",
        description="Write report.html of a run again, or with two runs a page that compares them.",
    )
    parser.add_argument("folder", type=path, metavar="RUN", help="the run folder")
    parser.add_argument("other", type=path, nargs="?", metavar="RUN2", help="the run folder to compare it with")
    parser.add_argument(
        "--out", type=path, metavar="FILE.html", help="the page to write (default: RUN/report.html); needed with RUN2"
    )
    parser.set_defaults(run=report)


def report(arguments: argparse.Namespace) -> int:
    """Run ``tinygan report``."""
    out: Path | None = arguments.out
    if out is not None and out.suffix != ".html":
        raise ArgumentError(f"--out {out}: expected a name that ends in .html")
    if out is not None and not out.parent.is_dir():
        raise ArgumentError(f"--out {out}: there is no folder {out.parent}; make it first")
    first = open_run(arguments.folder)
    if arguments.other is not None:
        if out is None:
            raise ArgumentError("--out is missing; two runs are compared on a page of their own: --out FILE.html")
        written = write_comparison(first, open_run(arguments.other), out)
    elif out is not None:
        written = write_report(first, out)
    else:
        written = _rewritten(first)
    output.mention(output.escaped(str(written)))
    return 0


def _rewritten(run: RunFolder) -> Path:
    with run.lock():  # a process that trains writes this file itself, at each checkpoint
        return write_report(run)
