"""The latent space of a generator: a walk through z space, and arithmetic with vectors z, as for DCGAN.

Usage: python examples/dcgan_latent_space.py [RUN] [--out DIR] [--json] [--seed S] [--data DIR]
       python examples/dcgan_latent_space.py [--experiment NAME] [--epochs N | --steps N] [--set KEY=VALUE ...] ...

RUN is a run folder of any experiment on images. Without it, this trains a small DCGAN on the digits that come with
tinygan, for half a minute.

The walk visits 7 fair draws of z: each row of the picture goes along a straight line to the next.

The arithmetic is that of Radford, Metz and Chintala (2016, "Unsupervised representation learning with deep
convolutional generative adversarial networks"): the mean z of three samples stands for a concept, and

    mean z of three 7s - mean z of three 1s + mean z of three other 1s

should be a 7 again. A concept here is a class, and a sample has the class of its nearest training image. Each trial
draws two different classes, and nine vectors z from a pool of 2,000. Printed are the shares of 200 trials that are
named as expected; how many would be without the difference, from the other 1s alone; and how many means of three z are
named as the three: if these are few, a mean stands for nothing.

Draws DIR/dcgan_walk.png and DIR/dcgan_arithmetic.png; DIR is runs/examples by default. With --json the numbers are one
object, with those of figure_2.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tinygan import evaluation, gan
from tinygan.backend import Stream
from tinygan.cli.arguments import Parser
from tinygan.cli.figures import add_options, load_subjects, run_program
from tinygan.cli.output import result
from tinygan.experiments.trained import Trained, share
from tinygan.pictures.plates import arrange, save_plate

POINTS, STEPS = 7, 10  # of the walk
POOL, TRIALS, EACH, SHOWN = 2000, 200, 3, 6  # vectors z; trials; vectors of a mean; trials in the picture


def walk(subject: Trained, seed: int) -> Any:
    """Return a row of images for each straight line of the walk."""
    points = subject.noise.draw(POINTS, Stream(seed, "walk"))
    images = subject.along(np.stack([points[:-1], points[1:]], axis=1), STEPS)
    tiles = subject.colours(images.reshape(-1, images.shape[-1]))
    return arrange(tiles.reshape(POINTS - 1, STEPS + 1, *tiles.shape[1:]), framed=(0, STEPS))


def named(subject: Trained, images: Any) -> Any:
    """Return the class of the nearest training image of each image."""
    train = subject.dataset.train
    return train.labels[evaluation.nearest(images, train.images)[0]]


@dataclass(frozen=True)
class Arithmetic:
    """The trials: A - B + other B.

    Attributes
    ----------
    wanted, other : integer array of shape (TRIALS,)
        The classes A and B.
    images : array of shape (TRIALS, 13, d)
        Three samples and the image of their mean z, for A, B and other B; then the image of the result.
    names : integer array of shape (TRIALS, 4)
        The classes of the images of the three means and of the result.
    """

    wanted: Any
    other: Any
    images: Any
    names: Any

    def numbers(self) -> dict[str, Any]:
        """Return each share with its error."""
        meant = np.stack([self.wanted, self.other, self.other], axis=1)
        shares = {
            "as_expected": share(self.names[:, 3] == self.wanted),
            "without_the_difference": share(self.names[:, 2] == self.wanted),
            "means": share((self.names[:, :3] == meant).ravel()),
        }
        errors = {f"{name}_error": error for name, (_, error) in shares.items()}
        return {name: found for name, (found, _) in shares.items()} | errors | {"trials": len(self.wanted)}

    def __str__(self) -> str:
        found = self.numbers()
        told = {
            name: f"{100 * found[name]:.1f} ± {100 * found[f'{name}_error']:.1f} %"
            for name in ("as_expected", "without_the_difference", "means")
        }
        return (
            f"Mean z of A - mean z of B + mean z of other B: of {found['trials']} results, {told['as_expected']} are "
            f"named A, as expected. Without the difference, {told['without_the_difference']} are. Of the means, "
            f"{told['means']} are named as their three samples."
        )


def calculate(subject: Trained, seed: int) -> Arithmetic | None:
    """Do the trials; return None if G does not draw two classes often enough."""
    stream = Stream(seed, "arithmetic")
    z = subject.noise.draw(POOL, stream)
    names = named(subject, gan.push(subject.generator, z))
    members = {label: np.flatnonzero(names == label) for label in np.unique(names)}
    classes = [label for label, rows in members.items() if len(rows) >= 2 * EACH]
    if len(classes) < 2:
        return None
    pairs = np.array([[classes[i] for i in stream.permutation(len(classes))[:2]] for _ in range(TRIALS)])
    vectors = []
    for wanted, other in pairs:
        a, b = (z[members[label][stream.permutation(len(members[label]))]] for label in (wanted, other))
        groups = [a[:EACH], b[:EACH], b[EACH : 2 * EACH]]
        means = [group.mean(axis=0, keepdims=True) for group in groups]
        each = [row for group, mean in zip(groups, means, strict=True) for row in (group, mean)]
        vectors.append(np.concatenate([*each, means[0] - means[1] + means[2]]))
    columns = len(vectors[0])
    images = gan.push(subject.generator, np.concatenate(vectors)).reshape(TRIALS, columns, -1)
    judged = images[:, [EACH, 2 * EACH + 1, 3 * EACH + 2, columns - 1]]
    return Arithmetic(*pairs.T, images, named(subject, judged.reshape(4 * TRIALS, -1)).reshape(TRIALS, 4))


def plate(subject: Trained, found: Arithmetic) -> tuple[str, Any]:
    """Return the first trials as a picture, and its caption."""
    columns = found.images.shape[1]
    tiles = subject.colours(found.images[:SHOWN].reshape(SHOWN * columns, -1))
    rows = ", ".join(f"{a} - {b} + {b}" for a, b in zip(found.wanted[:SHOWN], found.other[:SHOWN], strict=True))
    caption = (
        f"{subject.title}. Rows: {rows}. In frames: G of the mean z of the three samples "
        "on the left; in the last column, G of the first mean - the second + the third."
    )
    framed = (EACH, 2 * EACH + 1, 3 * EACH + 2, columns - 1)
    return caption, arrange(tiles.reshape(SHOWN, columns, *tiles.shape[1:]), framed)


def draw(options: argparse.Namespace) -> None:
    """Draw both pictures, and print the numbers."""
    [subject] = load_subjects(options)
    measured = subject.measured
    found = calculate(subject, options.seed) if measured.classes is not None else None
    caption = f"{subject.title}: a walk in z space, row by row"
    paths = [options.out / "dcgan_walk.png"]
    save_plate(paths[0], [(caption, walk(subject, options.seed))])
    if found is not None:
        paths.append(options.out / "dcgan_arithmetic.png")
        save_plate(paths[1], [plate(subject, found)])
    if options.json:
        result(json.dumps(asdict(measured) | {"arithmetic": found and found.numbers()}))
        return
    none = f"No arithmetic: it needs two classes of data, and {2 * EACH} of {POOL:,} samples named as each."
    result(f"{caption}\n{measured}\n{found or none}\n\nDrawn in {' and '.join(map(str, paths))}")


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="dcgan_latent_space", description="Walks and vector arithmetic in z space.")
    add_options(parser, "?", "dcgan-digits")
    return run_program(draw, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
