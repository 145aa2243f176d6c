"""``tinygan export``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinygan.experiments.evaluate import BEST, LAST, choose_checkpoint
from tinygan.experiments.training import AVERAGE, arrays_under
from tinygan.experiments.weights import save_weights
from tinygan.runs.run_folder import RunFolder

NETWORKS = ("generator", "discriminator")


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "export",
        help="write the weights of a run for other programs",
        description="Write the weights of a run, under the names of their layers, for other programs. Of a generator "
        "whose weights are averaged (average_decay), the averages are written: what its samples are drawn with.",
    )
    parser.add_argument("folder", type=Path, metavar="RUN", help="the run folder")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="FILE.safetensors, or FILE.npz for NumPy"
    )
    parser.add_argument(
        "--network",
        choices=(*NETWORKS, "both"),
        default="generator",
        help="which; of both, each name begins with its network (default: generator)",
    )
    parser.add_argument(
        "--checkpoint",
        choices=(BEST, LAST),
        help="the best on validation, or the last (default: the best, if the run has one)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run ``tinygan export``."""
    _, checkpoint = choose_checkpoint(RunFolder.open(arguments.folder), arguments.checkpoint)
    weights = {
        f"{network}.{name}" if arguments.network == "both" else name: array
        for network in NETWORKS
        if arguments.network in (network, "both")
        for name, array in _arrays_of(network, checkpoint.arrays).items()
    }
    save_weights(arguments.out, weights)
    print(arguments.out)
    return 0


def _arrays_of(network: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights of a network by name; of a generator, those that samples are drawn with."""
    averages = arrays_under(AVERAGE, arrays) if network == "generator" else {}
    return averages or arrays_under(f"{network}.", arrays)
