"""Figure 3 of the paper: digits along straight lines between points of z space, as a picture and as an animation.

Usage: python examples/figure_3.py [RUN] [--out DIR] [--json] [--seed S] [--data DIR]
       python examples/figure_3.py [--experiment NAME] [--epochs N | --steps N] [--set KEY=VALUE ...] ...

RUN is a run folder of any experiment on images; its newest checkpoint is drawn. Without it, this trains the digits that
come with tinygan, for a minute.

The picture has 6 lines. Both ends of each, in a frame, are fair draws of z from the prior: the first 12 of the seed,
none left out. Between them G is evaluated at 9 points with equal distances. In the animation, 20 images move at once,
each along a triangle of straight lines. Draws DIR/figure_3.png and DIR/figure_3.gif; DIR is runs/examples by default.

Prints the numbers of figure_2.py, and `largest_step_ratio`. On a line, it is the largest distance between two
neighbouring images of 11, divided by the distance between its two ends: 0.1 if the images move evenly and straight to
the other end, 1 if one step makes the whole way, as when G has memorised two images. The number is the median over 200
other lines, with the share of lines where it is above 1/2.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from tinygan.backend import Stream
from tinygan.cli.arguments import Parser
from tinygan.cli.figures import add_options, load_subjects, run_program
from tinygan.cli.output import result
from tinygan.errors import DataError
from tinygan.experiments.trained import Trained, share
from tinygan.pictures.plates import arrange, save_animation, save_plate

LINES, STEPS = 6, 10
MEASURED, JUMP = 200, 0.5  # lines; a ratio above this is called a jump
MOVING, CORNERS, FRAMES = (4, 5), 3, 16  # rows and columns of the animation; ends of a triangle; frames of a side
MILLISECONDS = 80  # of a frame


def draws(subject: Trained, count: int, stream: Stream) -> Any:
    """Return pairs of fair draws of z, shape (count, 2, size)."""
    return subject.noise.draw(2 * count, stream).reshape(count, 2, -1)


def step_ratios(images: Any) -> Any:
    """Return, for each line of images (n, steps + 1, d), its largest step divided by the distance of its ends.

    Lines whose ends are the same image are left out.
    """
    images = images.astype(np.float64)
    steps = np.linalg.norm(np.diff(images, axis=1), axis=2).max(axis=1)
    whole = np.linalg.norm(images[:, -1] - images[:, 0], axis=1)
    if not whole.any() or not np.isfinite(steps).all():
        raise DataError("G draws one image for every z, or numbers that are not finite: no line leads anywhere")
    return steps[whole > 0] / whole[whole > 0]


def picture(subject: Trained, seed: int) -> Any:
    """Return the lines as rows of images, with a frame around their ends."""
    images = subject.along(draws(subject, LINES, Stream(seed, "figure 3")), STEPS)
    tiles = subject.colours(images.reshape(LINES * (STEPS + 1), -1))
    return arrange(tiles.reshape(LINES, STEPS + 1, *tiles.shape[1:]), framed=(0, STEPS))


def animation(subject: Trained, seed: int) -> list[Any]:
    """Return the frames: each image goes around a triangle in z space."""
    rows, columns = MOVING
    corners = subject.noise.draw(rows * columns * CORNERS, Stream(seed, "figure 3 moving"))
    corners = corners.reshape(rows * columns, CORNERS, -1)
    sides = [subject.along(corners[:, [i, (i + 1) % CORNERS]], FRAMES)[:, :-1] for i in range(CORNERS)]
    moments = np.concatenate(sides, axis=1).swapaxes(0, 1)  # the last frame precedes the first
    tiles = [subject.colours(images) for images in moments]
    return [arrange(each.reshape(rows, columns, *each.shape[1:])) for each in tiles]


def draw(options: argparse.Namespace) -> None:
    """Draw the figure, and print the numbers."""
    [subject] = load_subjects(options)
    ends = draws(subject, MEASURED, Stream(options.seed, "figure 3 measured"))
    ratios = step_ratios(subject.along(ends, STEPS))
    jumps, error = share(ratios > JUMP)
    numbers = {"largest_step_ratio": float(np.median(ratios)), "line_steps": STEPS, "lines": len(ratios)}
    numbers |= {"jumps": jumps, "jumps_error": error}
    measured = subject.measured
    caption = f"{subject.title}: straight lines in z space"
    paths = options.out / "figure_3.png", options.out / "figure_3.gif"
    save_plate(paths[0], [(caption, picture(subject, options.seed))])
    save_animation(paths[1], animation(subject, options.seed), MILLISECONDS)
    if options.json:
        result(json.dumps(asdict(measured) | numbers))
        return
    result(
        f"{caption}\n{measured}\n"
        f"The largest of {STEPS} steps is {numbers['largest_step_ratio']:.2f} times the distance between the ends of a "
        f"line (median of {len(ratios)} lines; even steps: {1 / STEPS:.2f}, one jump: 1.00). It is above {JUMP} on "
        f"{100 * jumps:.1f} ± {100 * error:.1f} % of the lines.\n"
        f"\nDrawn in {paths[0]}\nMoves in {paths[1]}"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="figure_3", description="Figure 3 of the paper: images along straight lines in z space.")
    add_options(parser, "?")
    return run_program(draw, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
