"""A table of losses and penalties: the same networks, optimisers and number of updates for each, on one data set.

Usage: python examples/losses.py [--dataset ring|grid|digits] [--seeds N] [--steps N] [--results FILE] [--json] ...

Each row is one game of `gan.Algorithm1`. The measures look at 2,500 samples (of the digits at 200): the squared maximum
mean discrepancy from new data, precision (the share of samples that lie among the data), recall (the share of data that
lie among the samples), and on a toy the modes found, by the protocol of PacGAN. "ms a step" is processor time. Draws
samples of seed 0 in runs/examples/losses_DATASET.png.

Each game makes 2 N updates: N of each player, or with k = 3 half as many of G and 1.5 times as many of D. The settings
suit no loss in particular, but rows with k = 3 have what their papers ask for: no momentum and a lower rate (Arjovsky
et al., 2017; Gulrajani et al., 2017). The mean of weights covers about 100 updates; the usual decay is .999.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.spatial.distance import pdist

from tinygan import data, evaluation, gan, nn, optim
from tinygan.backend import Stream, Streams
from tinygan.cli.arguments import Parser, positive
from tinygan.cli.figures import run_program
from tinygan.cli.seeds import add_options, measure, show
from tinygan.data import toys

TOYS = {"ring": toys.ring(radius=1, std=0.01), "grid": toys.grid(spacing=0.5, std=0.0125)}
STEPS = {"ring": 2500, "grid": 4000, "digits": 800}
DIGITS = data.load("digits")
FILE = "losses/{dataset}_{steps}_{}.npy"  # of the samples of a row
COLUMNS = {"mmd_squared": ".4f", "precision": ".2f", "recall": ".2f", "modes": ".1f", "ms_a_step": ".1f"}
CRITIC = {"objective": "wasserstein", "k": 3, "rate": 0.5, "beta1": 0.0}
ROWS: dict[str, dict[str, Any]] = {
    "minimax": {"objective": "minimax"},
    "non-saturating": {},
    "lsgan": {"objective": "lsgan"},
    "hinge": {"objective": "hinge"},
    "wasserstein, clipping .05": {"objective": "wasserstein", "penalty": gan.WeightClipping(0.05)},
    "wasserstein, clipping .05, k = 3": {**CRITIC, "penalty": gan.WeightClipping(0.05)},
    "wasserstein, gradient penalty 10": {"objective": "wasserstein", "penalty": gan.GradientPenalty(10)},
    "wasserstein, gradient penalty 10, k = 3": {**CRITIC, "penalty": gan.GradientPenalty(10)},
    "wasserstein, spectral norm": {"objective": "wasserstein", "spectral": True},
    "hinge, spectral norm": {"objective": "hinge", "spectral": True},
    "hinge, R1 of 1": {"objective": "hinge", "penalty": gan.R1(1)},
    "non-saturating, R1 of 1": {"penalty": gan.R1(1)},
    "non-saturating, R2 of 1": {"penalty": gan.R2(1)},
    "non-saturating, DRAGAN 10": {"penalty": gan.DRAGAN(10)},
    "non-saturating, smoothing .1": {"label_smoothing": 0.1},
    "non-saturating, noise .3 to 0": {"instance_noise": 0.3},
    "non-saturating, mean of weights": {"decay": 0.99},
    "non-saturating, 4 packed": {"packing": 4},
}


def start(options: dict[str, Any], toy: Any, steps: int, seed: int) -> gan.Algorithm1:
    streams = Streams(seed)
    m, rate, spectral = options.pop("packing", 1), options.pop("rate", 1.0), options.pop("spectral", False)
    beta1 = options.pop("beta1", 0.0 if toy else 0.5)
    if "instance_noise" in options:
        options["instance_noise"] = gan.InstanceNoise(options["instance_noise"], steps)
    noise, units, size = (2, 128, 2) if toy else (32, 256, 64)
    with streams.active():
        layers: list[nn.Module] = [nn.Linear(noise, units), nn.Linear(units, units), nn.Linear(units, size)]
        g = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2], *([] if toy else [nn.Sigmoid()]))
        layers = [nn.Linear(m * size, units), nn.Linear(units, units), nn.Linear(units, 1)]
        a, b, c = map(nn.SpectralNorm, layers) if spectral else layers
        d = nn.Sequential(a, nn.LeakyReLU(0.2), b, nn.LeakyReLU(0.2), c)
    lr: Any = optim.ExponentialDecay(0.002 * rate, 10 ** (1 / steps)) if toy else 0.001 * rate
    adams = [optim.Adam(net.parameters(), lr, betas=(beta1, 0.999)) for net in (g, d)]
    optimizers = dict(zip(("generator_optimizer", "discriminator_optimizer"), adams, strict=True))
    judge = d if m == 1 else gan.Packed(d, m)
    return gan.Algorithm1(g, judge, noise=gan.Noise("gaussian", noise), streams=streams, **optimizers, **options)


def real_rows(toy: Any, count: int, stream: Stream) -> Any:
    images = DIGITS.train.images
    return toy.sample(count, stream) if toy else images[stream.integers(0, len(images), (count,))]


def play(given: argparse.Namespace, row: str, seed: int) -> dict[str, float]:
    """Play one game; return its measures."""
    toy, steps, options = TOYS.get(given.dataset), given.steps, dict(ROWS[row])
    decay, seconds = options.pop("decay", None), 0.0
    game = start(options, toy, steps, seed)
    average = optim.ExponentialMovingAverage(game.generator.parameters(), decay) if decay else None
    for _ in range(max(1, 2 * steps // (game.k + 1))):
        real = real_rows(toy, game.k * (128 if toy else 64), game.streams["data"])
        before = time.process_time()
        game.step(real)
        if average:
            average.update()
        seconds += time.process_time() - before
    fresh = toy.sample(evaluation.PACGAN_SAMPLES, Stream(seed, "fresh")) if toy else DIGITS.test.images
    with average.applied() if average else contextlib.nullcontext():
        samples = gan.sample(game.generator, len(fresh), game.noise, Stream(seed, "measure"))
    if seed == 0:  # for the figure: as the file of --results keeps the numbers
        (given.out / "losses").mkdir(exist_ok=True)
        np.save(given.out / FILE.format(list(ROWS).index(row), **vars(given)), samples)
    found = evaluation.precision_recall(samples, fresh)
    width = float(np.median(pdist(fresh[:500])))  # of the data: one bandwidth for all games
    mmd = evaluation.maximum_mean_discrepancy(samples, fresh, width).squared
    modes = {"modes": evaluation.count_modes(samples, toy.modes, toy.std).recovered} if toy else {}
    ms = 1000 * seconds / steps
    return {"mmd_squared": mmd, "precision": found.precision, "recall": found.recall, **modes, "ms_a_step": ms}


def draw(given: argparse.Namespace) -> Figure:
    toy, figure = TOYS.get(given.dataset), Figure(figsize=(10, 9), layout="constrained")
    bare = {"frame_on": False, "xticks": [], "yticks": []}
    panels = {"data": real_rows(toy, 1000, Stream(0, "figure"))}
    for i, row in enumerate(ROWS):
        file = given.out / FILE.format(i, **vars(given))
        panels |= {row: np.load(file)} if file.exists() else {}
    for axes, (row, rows) in zip(figure.subplots(4, 5, subplot_kw=bare).flat, panels.items(), strict=False):
        axes.set_title(row.replace(", ", "\n", 1), fontsize=9)
        if toy:
            axes.plot(*rows[:1000].T, ".", ms=1.5, color="tab:green" if row == "data" else "tab:blue")
            axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal")
        else:
            tiles = np.pad(rows[:36].reshape(6, 6, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.4)
            picture = tiles.transpose(0, 2, 1, 3).reshape(60, 60)
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    return figure


def run(options: argparse.Namespace) -> None:
    options.steps = options.steps or STEPS[options.dataset]
    found = measure(options, partial(play, options), list(ROWS))
    draw(options).savefig(options.out / f"losses_{options.dataset}.png", dpi=80, metadata={"Software": None})
    show(options, found, {key: form for key, form in COLUMNS.items() if key in found["minimax"][0]})


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="losses", description="A table of losses and penalties.", allow_abbrev=False)
    parser.add_argument("--dataset", choices=list(STEPS), default="ring", help="default: %(default)s")
    parser.add_argument("--steps", type=positive, metavar="N", help=f"updates of each player (default: {STEPS})")
    add_options(parser)
    return run_program(run, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
