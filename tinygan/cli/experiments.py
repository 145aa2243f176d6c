"""``tinygan experiments``."""

from __future__ import annotations

import argparse
from typing import Any

from tinygan.cli import output
from tinygan.config.experiment import shipped_experiments


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "experiments", help="list the shipped experiments", description="List the shipped experiments."
    )
    parser.set_defaults(run=experiments)


def experiments(arguments: argparse.Namespace) -> int:
    """Run ``tinygan experiments``."""
    shipped = shipped_experiments()
    width = max(len(config.name) for config in shipped)
    for config in shipped:
        output.result(f"{config.name:{width}}  {config.description}")
    return 0
