"""The game in the plane: two densities, D as a surface, and the direction in which D's gradient moves each sample.

Usage: python examples/toys_2d.py [--toy ring|grid|moons|swiss-roll] [--seed S] [--steps N] [--out DIR]
       python examples/toys_2d.py --seeds N [--seed S] [--steps N] [--jobs N]

Trains G by Algorithm 1 with each of its two objectives, minimax (equation 1) and non-saturating (section 3), from the
same initial weights. Draws both games at three moments in DIR/toys_2d_TOY.png; DIR is runs/examples by default. The
first moment is not part of the game: D alone has been trained, against the untrained G, and rejects its samples with
confidence. There the minimax gradients are too short to be visible. For this reason section 3 recommends the other
objective.

With --seeds N it draws no picture. It prints the number of modes found on the ring and the grid of PacGAN, by the
protocol of that paper: mean and standard deviation over the seeds S, ..., S + N - 1. Five seeds are 20 games, which
take some minutes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.ndimage import gaussian_filter
from scipy.special import expit

import tinygan as tg
from tinygan import evaluation, gan, nn, optim
from tinygan.backend import Streams, blas_threads
from tinygan.cli.output import mention
from tinygan.data import toys

OUT = Path("runs/examples")


@dataclass(frozen=True)
class Setting:
    """A toy, the size of the noise, and the number of steps."""

    toy: toys.Toy
    noise: int  # dimensions of z
    steps: int


# All lie in a square of side 2 or 3 around 0, the scale of the output of an untrained network.
DRAWN = {  # the modes are wide enough to be visible
    "ring": Setting(toys.ring(std=0.06), 4, 4000),
    "grid": Setting(toys.grid(spacing=0.5, std=0.04), 4, 6000),
    "moons": Setting(toys.two_moons(), 4, 4000),
    "swiss-roll": Setting(toys.swiss_roll(), 4, 4000),
}
COUNTED = {  # PacGAN's own. Its grid has spacing 2 and std .05: the same in other units, and so are the counts
    "ring": Setting(toys.ring(radius=1, std=0.01), 2, 4000),
    "grid": Setting(toys.grid(spacing=0.5, std=0.0125), 2, 6000),
}
LOSSES = {
    "minimax": r"minimax: $\min\ \mathbb{E}\,\log(1 - D(G(z)))$",
    "non-saturating": r"non-saturating: $\max\ \mathbb{E}\,\log D(G(z))$",
}
BATCH, UNITS, LEARNING_RATE = 128, 128, 0.002
HEAD_START = 200  # updates of D alone, before the first moment is drawn
EARLY = 0.05  # the second moment, as a share of the steps

CELLS = 240  # along each side of the map of D
CROWD, SMOOTHING = 100_000, 0.02  # samples that make a density, and the width of the Gaussian that smooths it
CLOUD, ARROWS = 2000, 100  # samples drawn as dust, and as dots with an arrow
GREEN, DPI = "#138a36", 80

# ---------------------------------------------------------------------- the game


def start(setting: Setting, objective: str, seed: int, steps: int) -> gan.Algorithm1:
    """Build two networks with two hidden layers each, and Adam without momentum, whose rate falls to a tenth."""
    streams = Streams(seed)
    with streams.active():
        generator = nn.Sequential(
            nn.Linear(setting.noise, UNITS), nn.ReLU(), nn.Linear(UNITS, UNITS), nn.ReLU(), nn.Linear(UNITS, 2)
        )
        discriminator = nn.Sequential(
            nn.Linear(2, UNITS), nn.LeakyReLU(0.2), nn.Linear(UNITS, UNITS), nn.LeakyReLU(0.2), nn.Linear(UNITS, 1)
        )
    adam = partial(optim.Adam, lr=optim.ExponentialDecay(LEARNING_RATE, 10 ** (1 / steps)), betas=(0.0, 0.999))
    return gan.Algorithm1(
        generator,
        discriminator,
        noise=gan.Noise("gaussian", setting.noise),
        objective=objective,
        generator_optimizer=adam(generator.parameters()),
        discriminator_optimizer=adam(discriminator.parameters()),
        streams=streams,
    )


def play(game: gan.Algorithm1, toy: toys.Toy, steps: int) -> None:
    for _ in range(steps):
        game.step(toy.sample(BATCH, game.streams["data"]))


def give_head_start(game: gan.Algorithm1, toy: toys.Toy) -> None:
    """Train D alone; G does not change."""
    adam = optim.Adam(game.discriminator.parameters(), LEARNING_RATE, betas=(0.0, 0.999))
    for _ in range(HEAD_START):
        real = toy.sample(BATCH, game.streams["data"])
        fake = gan.sample(game.generator, BATCH, game.noise, game.streams["noise"])
        loss = gan.discriminator_loss(game.discriminator(tg.tensor(real)), game.discriminator(tg.tensor(fake)))
        adam.zero_grad()
        loss.backward()
        adam.step()


def measure(game: gan.Algorithm1, toy: toys.Toy, seed: int) -> tuple[evaluation.ModeCount | None, float]:
    """Return the modes found (None where the toy has no modes) and the nearest-neighbour ratio."""
    streams = Streams(seed)
    samples = gan.sample(game.generator, evaluation.PACGAN_SAMPLES, game.noise, streams["measure"])
    ratio = evaluation.nearest_neighbour_ratio(samples, toy.sample(len(samples), streams["measure data"]))
    if isinstance(toy, toys.GaussianMixture):
        return evaluation.count_modes(samples, toy.modes, toy.std), ratio
    return None, ratio


# ---------------------------------------------------------------------- the picture


@dataclass
class Moment:
    """The contents of one panel."""

    title: str
    surface: Any  # D on the map, (CELLS, CELLS)
    density: Any  # p_g on the map
    samples: Any  # (CLOUD, 2); the first ARROWS have an arrow
    pushes: Any  # (ARROWS, 2)
    modes: evaluation.ModeCount | None
    ratio: float

    def numbers(self) -> list[str]:
        return [str(self.modes)] * (self.modes is not None) + [f"nearest-neighbour ratio {self.ratio:.2f}"]


def watch(setting: Setting, objective: str, seed: int, steps: int) -> list[Moment]:
    """Play one game, and describe it at three moments."""
    toy = setting.toy
    game = start(setting, objective, seed, steps)
    give_head_start(game, toy)
    moments = [look(game, toy, f"D alone has made {HEAD_START} updates", seed)]
    game = start(setting, objective, seed, steps)
    early = max(1, round(EARLY * steps))
    play(game, toy, early)
    moments.append(look(game, toy, f"the game, after {early:,} steps", seed))
    play(game, toy, steps - early)
    moments.append(look(game, toy, f"the game, after {steps:,} steps", seed))
    return moments


def look(game: gan.Algorithm1, toy: toys.Toy, title: str, seed: int) -> Moment:
    edges = np.linspace(-toy.half_width, toy.half_width, CELLS + 1)
    surface = expit(gan.push(game.discriminator, cells(edges).astype(np.float32))).reshape(CELLS, CELLS)
    streams = Streams(seed)  # the same noise at every moment
    many = gan.sample(game.generator, CROWD, game.noise, streams["density"])
    counts = np.histogram2d(many[:, 1], many[:, 0], [edges, edges])[0]
    width = edges[1] - edges[0]
    density = gaussian_filter(counts / (len(many) * width**2), SMOOTHING / width)
    samples = gan.sample(game.generator, CLOUD, game.noise, streams["cloud"])
    return Moment(title, surface, density, samples, pushes(game, samples[:ARROWS]), *measure(game, toy, seed))


def cells(edges: Any) -> Any:
    """Return the centres of the cells of a square map, row by row from below."""
    middles = (edges[1:] + edges[:-1]) / 2
    return np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)


def pushes(game: gan.Algorithm1, samples: Any) -> Any:
    """Return minus the gradient of each sample's own loss with respect to the sample: the direction that fools D."""
    x = tg.tensor(samples, requires_grad=True)
    loss = gan.generator_loss(game.discriminator(x), game.objective) * len(samples)  # the loss is a mean
    return -tg.grad(loss, [x])[0].numpy()


def draw(toy: toys.Toy, games: dict[str, list[Moment]]) -> Figure:
    """Draw a row for each objective and a column for each moment."""
    figure = Figure(figsize=(16, 11.3), layout="constrained")
    axes = figure.subplots(len(games), 3, sharex=True, sharey=True)
    for column, axis in enumerate(axes[0]):
        axis.set_title(next(iter(games.values()))[column].title, fontsize="x-large")
        # a column has one unit, so that the lengths of the two objectives can be compared
        lengths = [np.linalg.norm(moments[column].pushes, axis=1) for moments in games.values()]
        for below, moments in zip(axes[:, column], games.values(), strict=True):
            surface = draw_moment(below, toy, moments[column], unit=np.percentile(lengths, 80))
    for objective, axis in zip(games, axes[:, 0], strict=True):
        axis.set_ylabel(LOSSES[objective], fontsize="x-large")
    legend = [
        Line2D([], [], color="black", ls="dotted", lw=2, label=r"$p_{data}$"),
        Line2D([], [], color=GREEN, lw=2, label="$p_g$ at the same heights"),
        Line2D([], [], color=GREEN, ls="none", marker="o", mec="white", ms=8, label="samples"),
        Line2D([], [], color="black", ls="none", marker=r"$\rightarrow$", ms=18,
               label="minus the gradient of a sample's loss: one scale a column, the longest cut"),
    ]  # fmt: skip
    figure.legend(handles=legend, loc="outside lower center", ncols=4, fontsize="large", frameon=False)
    bar = figure.colorbar(surface, ax=axes, shrink=0.6, ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.set_label("D(x), the probability that x is data", fontsize="large")
    return figure


def draw_moment(axis: Any, toy: toys.Toy, moment: Moment, unit: Any) -> Any:
    h = toy.half_width
    edges = np.linspace(-h, h, CELLS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    truth = toy.density(cells(edges)).reshape(CELLS, CELLS)
    heights = np.array([0.03, 0.3, 0.7]) * truth.max()
    surface = axis.imshow(moment.surface, "PuOr", vmin=0, vmax=1, alpha=0.75, extent=(-h, h, -h, h), origin="lower")
    axis.plot(*moment.samples.T, ".", color=GREEN, ms=2, alpha=0.5, mew=0)
    axis.contour(middles, middles, truth, heights, colors="black", linewidths=1.5, linestyles="dotted")
    axis.contour(middles, middles, moment.density, heights, colors=GREEN, linewidths=1.5)
    arrows = moment.pushes / np.maximum(np.linalg.norm(moment.pushes, axis=1, keepdims=True), unit)
    dots = moment.samples[:ARROWS]
    axis.quiver(*dots.T, *arrows.T, angles="xy", scale_units="xy", scale=4 / h, width=0.004, zorder=3)
    axis.plot(*dots.T, "o", color=GREEN, ms=5, mec="white", mew=0.7, zorder=4)
    axis.set(xlim=(-h, h), ylim=(-h, h), xticks=[], yticks=[])
    axis.set_xlabel("\n".join(moment.numbers()), fontsize="large")
    return surface


# ---------------------------------------------------------------------- the table


def count(case: tuple[str, str, int], steps: int | None) -> tuple[float, ...]:
    """Play a game; return the modes recovered, the share of high quality, the nearest-neighbour ratio and all modes."""
    name, objective, seed = case
    setting = COUNTED[name]
    steps = steps or setting.steps
    with blas_threads(1):
        game = start(setting, objective, seed, steps)
        play(game, setting.toy, steps)
        found, ratio = measure(game, setting.toy, seed)
    assert found is not None
    return found.recovered, found.high_quality, ratio, found.modes


@contextmanager
def mapping(jobs: int) -> Iterator[Any]:
    """Provide a `map` that works in `jobs` processes; its results do not depend on their number."""
    if jobs == 1:
        yield map
    else:
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            yield pool.map


def table(first: int, seeds: int, steps: int | None, jobs: int) -> str:
    cases = list(product(COUNTED, LOSSES, range(first, first + seeds)))
    with mapping(jobs) as apply:
        numbers = np.array(list(apply(partial(count, steps=steps), cases))).reshape(-1, seeds, 4)
    lines = [f"{'data':5} {'objective':15} {'modes recovered':>20} {'high quality':>18} {'neighbour ratio':>16}"]
    for (name, objective), results in zip(product(COUNTED, LOSSES), numbers, strict=True):
        (modes, quality, ratio, total), spread = results.mean(axis=0), results.std(axis=0, ddof=1 if seeds > 1 else 0)
        lines.append(
            f"{name:5} {objective:15} {modes:6.1f} ± {spread[0]:3.1f} of {total:2.0f}"
            f"     {quality:9.1%} ± {spread[1]:.1%} {ratio:9.2f} ± {spread[2]:.2f}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Both objectives of the generator on two-dimensional data.")
    parser.add_argument("--toy", choices=DRAWN, default="ring", help="which data (default ring)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="0 or more (default 0)")
    parser.add_argument("--steps", type=int, metavar="N", help="of Algorithm 1 (default 4000; 6000 on the grid)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where to write (default %(default)s)")
    parser.add_argument("--seeds", type=int, metavar="N", help="no picture: a table of mode counts over N seeds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="processes, for the table")
    options = parser.parse_args(arguments)
    for name, least in (("seed", 0), ("steps", 1), ("seeds", 1), ("jobs", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            parser.error(f"argument --{name}: must be at least {least}, got {value}")
    began = time.perf_counter()
    if options.seeds is not None:
        mention(table(options.seed, options.seeds, options.steps, options.jobs))
    else:
        setting = DRAWN[options.toy]
        steps = options.steps or setting.steps
        with blas_threads(1):  # on products this small, more threads are slower
            games = {objective: watch(setting, objective, options.seed, steps) for objective in LOSSES}
        print(f"{setting.toy}, seed {options.seed}, {steps:,} steps")
        for objective, moments in games.items():
            print(f"{objective:15} " + "; ".join(moments[-1].numbers()))
        options.out.mkdir(parents=True, exist_ok=True)
        picture = options.out / f"toys_2d_{options.toy}.png"
        draw(setting.toy, games).savefig(picture, dpi=DPI, metadata={"Software": None})
        mention(f"\nDrawn in {picture}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
