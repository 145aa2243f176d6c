"""``tinygan gradcheck``."""

from __future__ import annotations

import argparse
from typing import Any

from tinygan.checking.operations import check_operations, operation_names
from tinygan.cli import output
from tinygan.errors import ArgumentError, did_you_mean


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "gradcheck",
        help="check the gradient of every operation against numerical derivatives",
        description="Check the first and second derivatives of operations, also at kinks and ties. The table shows the "
        "order, how many derivatives were compared (and how many of them at kinks), the largest error "
        "|analytical - numerical| / max(1, |numerical|), the time, and the numerical method.",
    )
    parser.add_argument("operations", nargs="*", metavar="OPERATION", help="names of tinygan.functional (default: all)")
    parser.set_defaults(run=gradcheck)


def gradcheck(arguments: argparse.Namespace) -> int:
    """Run ``tinygan gradcheck``; if the reader of stdout stops early, not all is checked, and the status is 1."""
    try:
        return _check(arguments)
    except output.ReaderGoneError:
        return 1


def _check(arguments: argparse.Namespace) -> int:
    known = operation_names()
    for name in arguments.operations:
        if name not in known:
            hint = did_you_mean(name, known) or "."
            raise ArgumentError(f"unknown operation {name!r}{hint} There are: {', '.join(known)}")
    width = max(map(len, arguments.operations or known))
    output.result(f"{'operation':{width}}  order  compared  kinks  worst error  seconds  method")
    checked, failed = 0, 0
    remarks: list[str] = []
    for row in check_operations(arguments.operations):
        output.result(
            f"{row.name:{width}}  {row.order:5}  {row.compared:8}  {row.kinks:5}  {row.worst:11.1e}  "
            f"{row.seconds:7.2f}  {row.method}"
        )
        checked += 1
        failed += bool(row.failures)
        remarks += [f"not compared  {row.name}: {note}" for note in row.notes]
        remarks += [f"WRONG  {row.name}: {failure}" for failure in row.failures]
    for remark in remarks:
        output.result(remark)
    count = f"{checked} operation{'s' * (checked != 1)}"
    output.result(f"{count}, {failed} with a wrong gradient" if failed else f"{count}, all gradients agree")
    return 1 if failed else 0
