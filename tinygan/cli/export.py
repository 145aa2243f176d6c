"""``tinygan export``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from typing import Any

from tinygan import nn
from tinygan.backend import Stream
from tinygan.cli import output
from tinygan.cli.arguments import open_run, path
from tinygan.config.experiment import load_experiment
from tinygan.experiments.build import build_discriminator, build_generator
from tinygan.experiments.protocol import BEST, LAST, choose_checkpoint
from tinygan.experiments.saved_state import weights_of
from tinygan.experiments.weights import LAYOUTS, PYTORCH, TINYGAN, save_weights
from tinygan.runs.checkpoint import Checkpoint
from tinygan.runs.run_folder import RunFolder

NETWORKS = ("generator", "discriminator")


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "export",
        help="write the weights of a run for other programs",
        description="Write the weights of a run, under the names of their layers, for other programs. If the "
        "experiment averages the generator's weights (average_decay), the averages are written, as for samples.",
    )
    parser.add_argument("folder", type=path, metavar="RUN", help="the run folder")
    parser.add_argument(
        "--out", type=path, required=True, metavar="FILE", help="FILE.safetensors, or FILE.npz for NumPy"
    )
    parser.add_argument(
        "--network",
        choices=(*NETWORKS, "both"),
        default="generator",
        help="the network to write; with both, each name begins with its network (default: generator)",
    )
    parser.add_argument(
        "--checkpoint",
        choices=(BEST, LAST),
        help="the best on validation, or the last (default: the best, if the run has one)",
    )
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        default=TINYGAN,
        help="write the weights of linear and maxout layers as (in, out), as in tinygan, or as (out, in), as in "
        f"PyTorch's nn.Linear; the file records which (default: {TINYGAN})",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run ``tinygan export``."""
    folder = open_run(arguments.folder)
    _, checkpoint = choose_checkpoint(folder, arguments.checkpoint)
    weights = {
        f"{network}.{name}" if arguments.network == "both" else name: array
        for network in NETWORKS
        if arguments.network in (network, "both")
        for name, array in _arrays_of(network, checkpoint.arrays).items()
    }
    network = _network(arguments.network, folder, checkpoint) if arguments.layout == PYTORCH else None
    save_weights(arguments.out, weights, arguments.layout, network)
    output.mention(output.escaped(str(arguments.out)))
    return 0


def _network(name: str, folder: RunFolder, checkpoint: Checkpoint) -> nn.Module:
    """Build a network of the run, or a module with both, which has the names of the exported arrays."""
    config, pixels = load_experiment(folder.config_path), math.prod(checkpoint.state["image_shape"])
    stream = Stream(config.seed, "weights")
    both = nn.Module()
    both.generator = build_generator(config, pixels, stream)
    both.discriminator = build_discriminator(config, pixels, stream)
    return both if name == "both" else getattr(both, name)


def _arrays_of(network: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights of a network by name; for the generator, the weights for samples."""
    averages = weights_of(network, arrays, averaged=True) if network == "generator" else {}
    return averages or weights_of(network, arrays)
