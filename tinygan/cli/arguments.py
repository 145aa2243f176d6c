"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path


def positive(text: str) -> int:
    """Parse an integer of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return value


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the folder of the data sets, with mnist/*.gz in it (default: $TINYGAN_DATA, else a download)",
    )


def add_no_average_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-average``."""
    parser.add_argument(
        "--no-average",
        action="store_true",
        help="draw with G's weights as they are, even where the experiment takes their running mean (average_decay)",
    )


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where to compute (default: cpu)")
