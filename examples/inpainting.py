"""Section 7, idea 3: "approximately model all conditionals p(x_S | x_rest)" by one family of nets.

Usage: python examples/inpainting.py [--dataset digits|mnist] [--epochs N] [--seeds N] [--json] [--out DIR] ...

S is a set of pixels, the hole. The mask m is 1 on the other pixels. G fills the hole, and D judges the whole image::

    fill = m x + (1 - m) G(z, m x, m)        real: D(x, m), fake: D(fill, m)

Each image of each step has a new hole, so one training makes all conditionals, which share their parameters. A hole is
a rectangle at a random place with sides of at least half the image's, one of them shorter than the image's.

Errors are mean squares over the pixels in the hole, of test images with a hole each. If x_S has the variance s^2 given
x_rest, the best fill is the conditional mean, with error s^2. A fair sample is a second draw, independent of the truth
given x_rest: its error is s^2 + s^2, that of the mean of n s^2 + s^2 / n. So no fair sample is near the best.

The settings are ours. Without the penalty R1 (Mescheder et al., 2018), G first ignores z, and its fills are worse.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

import tinygan.functional as F
from tinygan import data, gan, nn, optim
from tinygan.backend import Stream, Streams
from tinygan.cli.arguments import Parser, positive
from tinygan.cli.figures import run_program
from tinygan.cli.seeds import add_options, measure, show
from tinygan.engine import Tensor
from tinygan.pictures.plates import arrange, save_plate
from tinygan.pictures.sheets import colours_of

SIZES = {"digits": (200, 64, 256), "mnist": (10, 100, 512)}  # epochs, images in a minibatch, hidden units
NOISE, FILLS, SHOWN = 32, 10, 8
ERRORS = ("mean_of_ten_mse", "one_sample_mse", "mean_fill_mse", "nearest_fill_mse", "ten_nearest_mse")
COLUMNS = dict.fromkeys(ERRORS, ".4f") | {"std_over_z": ".3f", "seconds": ".0f"}
CAPTION = (
    "From the left: a test image; what G is told, with the hole in red; ten fills, for ten z; the mean of the ten; in "
    "the frame, the hole filled from the training image that is nearest on the other pixels."
)


class Filler(nn.Module):  # G: it reads z and y = [m x, m], and draws the pixels of the hole
    def __init__(self, pixels: int, units: int) -> None:
        super().__init__()
        hidden = [nn.Linear(NOISE + 2 * pixels, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU()]
        self.net = nn.Sequential(*hidden, nn.Linear(units, pixels), nn.Sigmoid())

    def forward(self, z: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        known, mask = F.split(y, 2, axis=1)
        return known + (1 - mask) * self.net(F.concatenate([z, y], axis=1))


class Judge(nn.Module):  # D: it reads the image and m
    def __init__(self, pixels: int, units: int) -> None:
        super().__init__()
        hidden = [nn.Linear(2 * pixels, units), nn.LeakyReLU(0.2), nn.Linear(units, units), nn.LeakyReLU(0.2)]
        self.net = nn.Sequential(*hidden, nn.Linear(units, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return self.net(F.concatenate([x, y[:, x.shape[1] :]], axis=1))


def masks(count: int, side: int, stream: Stream) -> Any:
    """Return `count` masks as rows of pixels: 0 in a random rectangle, the hole, and 1 elsewhere."""
    long, short = stream.integers(side // 2, side + 1, (count,)), stream.integers(side // 2, side, (count,))
    upright = stream.integers(0, 2, (count,)) == 1
    inside = []
    for length in (np.where(upright, long, short), np.where(upright, short, long)):
        start = (stream.uniform((count,)) * (side - length + 1)).astype(int)[:, None]
        inside.append((start <= np.arange(side)) & (np.arange(side) < start + length[:, None]))
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return (~hole).reshape(count, -1).astype(np.float32)


def neighbours(x: Any, mask: Any, train: Any, count: int) -> Any:
    """Return the `count` training images that are nearest on the known pixels, (n, count, d), the nearest first."""
    distance = mask @ (train**2).T - 2 * (x * mask) @ train.T  # without |m x|^2, which is the same for all of them
    return train[np.argpartition(distance, range(count), axis=1)[:, :count]]


def play(options: argparse.Namespace, dataset: data.Dataset, seed: int) -> dict[str, float]:
    """Train the family; return the errors of its fills beside those of simple fills."""
    epochs, batch, units = SIZES[options.dataset]
    train, test = dataset.train.images, dataset.test.images[:1000]
    streams, side, pixels = Streams(seed), dataset.image_shape[0], train.shape[1]
    with streams.active():
        nets = Filler(pixels, units), Judge(pixels, units)
    adam = [optim.Adam(net.parameters(), 1e-3, betas=(0.0, 0.99)) for net in nets]
    game = gan.Algorithm1(
        *nets,
        noise=gan.Noise("gaussian", NOISE),
        penalty=gan.R1(1.0),
        generator_optimizer=adam[0],
        discriminator_optimizer=adam[1],
        streams=streams,
    )
    mean = optim.ExponentialMovingAverage(game.generator.parameters(), 0.998)
    for _ in range(options.epochs or epochs):
        for x, _ in data.batches(dataset.train, batch, streams["order"]):
            mask = masks(batch, side, streams["holes"])
            game.step(x, np.concatenate([x * mask, mask], axis=1))
            mean.update()
    mask, stream = masks(len(test), side, Stream(seed, "test holes")), Stream(seed, "fills")
    y, hole = np.concatenate([test * mask, mask], axis=1), mask == 0
    with mean.applied():
        fills = np.stack([gan.sample(game.generator, len(test), game.noise, stream, y) for _ in range(FILLS)])
    nearest = neighbours(test, mask, train, FILLS)
    if seed == 0:
        columns = [test, np.where(hole, np.nan, test), *fills, fills.mean(axis=0), np.where(hole, nearest[:, 0], test)]
        rows = np.stack(columns, axis=1)[:SHOWN]  # nan is drawn in red
        tiles = colours_of(rows.reshape(-1, pixels), dataset.image_shape)
        picture = arrange(tiles.reshape(*rows.shape[:2], *tiles.shape[1:]), framed=[len(columns) - 1])
        save_plate(options.out / "inpainting.png", [(CAPTION, picture)])

    def error(fill: Any) -> float:
        return float(((fill - test)[hole] ** 2).mean())

    return {
        "mean_of_ten_mse": error(fills.mean(axis=0)),
        "one_sample_mse": float(np.mean([error(fill) for fill in fills])),
        "mean_fill_mse": error(np.broadcast_to(train.mean(axis=0), test.shape)),
        "nearest_fill_mse": error(nearest[:, 0]),
        "ten_nearest_mse": error(nearest.mean(axis=1)),
        "std_over_z": float(np.sqrt(fills.var(axis=0, ddof=1)[hole].mean())),
        "hole_share": float(hole.mean()),
        "test_images": len(test),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="inpainting", description="All conditionals p(x_S | x_rest), by one family of nets.")
    parser.add_argument("--epochs", type=positive, metavar="N", help="passes over the images (digits: 200; mnist: 10)")
    add_options(parser, tuple(SIZES))

    def run(options: argparse.Namespace) -> None:
        dataset = data.load(options.dataset, options.data)
        show(options, measure(options, lambda _, seed: play(options, dataset, seed)), COLUMNS)

    return run_program(run, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
