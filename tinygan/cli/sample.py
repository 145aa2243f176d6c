"""``tinygan sample``."""

from __future__ import annotations

import argparse
import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from tinygan import data, gan
from tinygan.backend import Stream
from tinygan.cli import output
from tinygan.cli.arguments import add_no_average_option, open_run, path, positive
from tinygan.config.experiment import ExperimentConfig
from tinygan.data.own import MOST_CLASSES
from tinygan.errors import ArgumentError
from tinygan.experiments.labels import columns_for, in_turn
from tinygan.experiments.protocol import BEST, LAST, load_generator
from tinygan.pictures.line import axis_of, save_line_sheet
from tinygan.pictures.sheets import save_sheet
from tinygan.runs.atomic import atomic_write
from tinygan.runs.plain_files import refused

LARGEST_SHEET = 10_000  # samples in one picture of images; a histogram has no limit


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "sample",
        help="draw samples from the generator of a run",
        description="Draw samples from a checkpoint of a run; its data are not needed.",
    )
    parser.add_argument("folder", type=path, metavar="RUN", help="the run folder")
    parser.add_argument("--count", type=positive, default=100, metavar="N", help="how many (default: 100)")
    parser.add_argument(
        "--out", type=path, required=True, metavar="FILE", help="FILE.png for a picture, FILE.npy for the numbers"
    )
    parser.add_argument(
        "--checkpoint",
        type=_checkpoint,
        default=LAST,
        metavar="last|best|N",
        help="the last (default), the best on validation, or the one after N steps",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the seed of the noise (default: 0)")
    parser.add_argument(
        "--labels",
        type=_labels,
        metavar="3|0,1,2|0-9",
        help="the classes that a conditional generator draws, in turn (default: all)",
    )
    add_no_average_option(parser)
    parser.set_defaults(run=sample)


def sample(arguments: argparse.Namespace) -> int:
    """Run ``tinygan sample``."""
    out: Path = arguments.out
    if out.suffix not in (".png", ".npy"):
        raise ArgumentError(f"--out {out}: expected a name that ends in .png (a picture) or .npy (the numbers)")
    if not out.parent.is_dir():
        raise ArgumentError(f"--out {out}: there is no folder {out.parent}; make it first")
    if arguments.seed < 0:
        raise ArgumentError(f"--seed {arguments.seed}: expected 0 or more")
    generator, config, image_shape = load_generator(
        open_run(arguments.folder), averaged=not arguments.no_average, which=arguments.checkpoint
    )
    if out.suffix == ".png" and image_shape != (1,) and arguments.count > LARGEST_SHEET:
        raise ArgumentError(f"--count {arguments.count}: a picture holds at most {LARGEST_SHEET}; use --out FILE.npy")
    labels = _labels_of(config, arguments.labels)
    y = in_turn(labels, arguments.count) if labels else None
    noise = gan.Noise(config.noise.kind, config.noise.size)
    images = gan.sample(generator, arguments.count, noise, Stream(arguments.seed, "samples"), y)
    if out.suffix == ".png" and image_shape == (1,):
        density = data.load(config.data.set).density  # known for drawn numbers only
        x = axis_of(images)
        save_line_sheet(out, images, x, None if density is None else density(x[:, None]))
    elif out.suffix == ".png":
        columns = columns_for(len(labels), len(images)) if labels else None
        save_sheet(out, images, image_shape, config.data.shown(image_shape), columns)
    else:
        _save_numbers(out, images.reshape(len(images), *image_shape))
    output.mention(output.escaped(str(out)))
    return 0


def _checkpoint(text: str) -> str | int:
    if text in (LAST, BEST):
        return text
    if text.isascii() and text.isdigit() and len(text) < 20:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected last, best, or a number of steps, got {text!r}")


def _labels(text: str) -> list[int]:
    """Parse labels: numbers and ranges, with commas between them."""
    found: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", part.strip(), re.ASCII)
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (1, 0)
        if not 0 <= last - first < MOST_CLASSES:
            raise argparse.ArgumentTypeError(f"expected labels such as 3, 0,1,2 or 0-9, got {text!r}")
        found += range(first, last + 1)
    return found


def _labels_of(config: ExperimentConfig, given: list[int] | None) -> list[int]:
    """Return the labels to draw in turn; none for a run without labels."""
    classes = config.training.classes
    if classes is None:
        if given is not None:
            raise ArgumentError(
                f"--labels: {config.name} was trained without labels, so nothing chooses the class of a sample: leave "
                "this out, or train with --set training.classes=N"
            )
        return []
    wrong = [label for label in given or () if label >= classes]
    if wrong:
        raise ArgumentError(f"--labels: {wrong[0]} is no class of this run; expected labels from 0 to {classes - 1}")
    return list(range(classes)) if given is None else given


def _save_numbers(out: Path, images: Any) -> None:
    content = io.BytesIO()
    np.save(content, images, allow_pickle=False)
    advice = "free space, correct the permissions, or choose another name"
    with refused(ArgumentError, f"--out {out}: cannot be written", advice):
        atomic_write(out, [content.getbuffer()])
