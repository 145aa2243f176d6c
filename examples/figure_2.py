"""Figure 2 of the paper: fair samples, and beside each row the training image that is nearest to its last sample.

Usage: python examples/figure_2.py [RUN ...] [--out DIR] [--json] [--seed S] [--data DIR]
       python examples/figure_2.py [--experiment NAME] [--epochs N | --steps N] [--set KEY=VALUE ...] ...

Each RUN is a run folder of any experiment on images: (a) to (d) of the paper are runs of mnist, tfd, cifar10-fc and
cifar10-conv. Its newest checkpoint is drawn. Without a RUN it trains the digits that come with tinygan, for a minute.

The picture has 4 rows of 5 samples. They are fair draws: the first 20 of the seed, none left out. The last column, in a
frame, is the training image with the smallest squared distance, over all pixels, to the sample on its left. It shows
whether G has memorised the training set. Draws DIR/figure_2.png; DIR is runs/examples by default. Prints the numbers of
`Measured` in tinygan/experiments/trained.py; with --json as an object, or an object of such objects for several runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from string import ascii_lowercase
from typing import Any

import numpy as np

from tinygan import evaluation
from tinygan.backend import Stream
from tinygan.cli.arguments import Parser
from tinygan.cli.figures import add_options, load_subjects, run_program
from tinygan.cli.output import result
from tinygan.errors import ArgumentError
from tinygan.experiments.trained import Trained
from tinygan.pictures.plates import arrange, save_plate

ROWS, COLUMNS = 4, 5


def panel(subject: Trained, seed: int) -> Any:
    """Return the samples in rows, and in the last column the nearest training images."""
    samples = subject.draw(ROWS * COLUMNS, Stream(seed, "figure 2"))
    images = subject.dataset.train.images
    nearest, _ = evaluation.nearest(samples[COLUMNS - 1 :: COLUMNS], images)
    rows = np.concatenate([samples.reshape(ROWS, COLUMNS, -1), images[nearest][:, None]], axis=1)
    tiles = subject.colours(rows.reshape(ROWS * (COLUMNS + 1), -1))
    return arrange(tiles.reshape(ROWS, COLUMNS + 1, *tiles.shape[1:]), framed=[COLUMNS])


def draw(options: argparse.Namespace) -> None:
    """Draw the figure, and print the numbers."""
    if len(options.runs) > len(ascii_lowercase):
        raise ArgumentError(f"expected at most {len(ascii_lowercase)} runs, a letter for each; got {len(options.runs)}")
    subjects = load_subjects(options)
    names = [subject.name for subject in subjects]
    if len(set(names)) < len(names):  # runs of one name in different folders
        names = [str(run) for run in options.runs]
    panels = []
    for letter, name, subject in zip(ascii_lowercase, names, subjects, strict=False):
        caption = dataclasses.replace(subject, name=name).title
        panels.append((f"({letter}) {caption}" if names[1:] else caption, panel(subject, options.seed)))
    measured = [subject.measured for subject in subjects]
    picture = options.out / "figure_2.png"
    save_plate(picture, panels)
    if options.json:
        numbers = {name: dataclasses.asdict(found) for name, found in zip(names, measured, strict=True)}
        result(json.dumps(numbers if names[1:] else numbers[names[0]]))
    else:
        told = (f"{caption}\n{found}" for (caption, _), found in zip(panels, measured, strict=True))
        result("\n\n".join([*told, f"Drawn in {picture}"]))


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="figure_2", description="Figure 2 of the paper: samples and their nearest training images.")
    add_options(parser, "*")
    return run_program(draw, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
