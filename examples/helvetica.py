"""The Helvetica scenario, on purpose: G is trained against a D that is not updated, until it maps many z to one x.

Usage: python examples/helvetica.py [--seed S] [--before N] [--steps N] [--out DIR]

Section 6 of the paper warns of this: if G is trained too much without updating D, it maps too many values of z to the
same x to have the diversity of the data. Here Algorithm 1 first learns a ring of eight Gaussians. Then two runs
continue from the same state. The first updates D before each step of G, as Algorithm 1 does. The second never updates D
again.

Prints the readings of the monitors and a conclusion, and draws DIR/helvetica.png; DIR is runs/examples by default. The
upper row shows how each sample has moved, the lower row the monitors. The share of high quality judges each sample
alone, and so does the loss of G: neither can detect a collapse. On one machine the seeds 0 to 4 ended with 7, 1, 1, 1
and 1 of 8 modes where D was frozen, and with all 8 where D was updated; rounding changes these numbers.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.special import expit

import tinygan as tg
from tinygan import evaluation, gan, nn, optim
from tinygan.backend import Streams, blas_threads
from tinygan.cli.output import mention
from tinygan.data import toys

OUT = Path("runs/examples")
TOY = toys.ring(std=0.06)
NOISE = gan.Noise("gaussian", 4)
BATCH, UNITS = 128, 128
GENERATOR_RATE, DISCRIMINATOR_RATE = 0.005, 0.002
READINGS = 40  # of the monitors, over the run
ALARM = 0.5  # of the ratio: that of data is 1, and samples that lie too close together have less
FOLLOWED = 400  # z whose x is drawn at the start and at the end
CELLS, DPI = 200, 80  # along each side of the map of D; of the picture
COLOURS = {"D frozen": "#c1272d", "D updated": "#138a36"}


def learn_the_ring(seed: int, steps: int) -> gan.Algorithm1:
    streams = Streams(seed)
    with streams.active():
        generator = nn.Sequential(
            nn.Linear(NOISE.size, UNITS), nn.ReLU(), nn.Linear(UNITS, UNITS), nn.ReLU(), nn.Linear(UNITS, 2)
        )
        discriminator = nn.Sequential(
            nn.Linear(2, UNITS), nn.LeakyReLU(0.2), nn.Linear(UNITS, UNITS), nn.LeakyReLU(0.2), nn.Linear(UNITS, 1)
        )
    adam = partial(optim.Adam, betas=(0.0, 0.999))
    game = gan.Algorithm1(
        generator,
        discriminator,
        noise=NOISE,
        generator_optimizer=adam(generator.parameters(), GENERATOR_RATE),
        discriminator_optimizer=adam(discriminator.parameters(), DISCRIMINATOR_RATE),
        streams=streams,
    )
    for _ in range(steps):
        update_both(game)
    return game


def update_both(game: gan.Algorithm1) -> None:
    game.step(TOY.sample(BATCH, game.streams["data"]))


def update_generator_only(game: gan.Algorithm1) -> None:
    """Update G alone, as in the second half of a step of Algorithm 1."""
    z = tg.tensor(NOISE.draw(BATCH, game.streams["noise"]))
    loss = gan.generator_loss(game.discriminator(game.generator(z)))
    players = game.generator_optimizer.params
    for parameter, gradient in zip(players, tg.grad(loss, players), strict=True):
        parameter.grad = gradient
    game.generator_optimizer.step()


# ---------------------------------------------------------------------- the monitors


@dataclass(frozen=True)
class Reading:
    """The readings of the monitors after a step."""

    step: int
    modes: int  # recovered
    quality: float  # share of samples of high quality
    ratio: float  # of nearest neighbours
    loss: float  # the generator's, nats


def read_monitors(game: gan.Algorithm1, step: int, seed: int) -> Reading:
    streams = Streams(seed)  # the same noise and the same data at every reading
    samples = gan.sample(game.generator, evaluation.PACGAN_SAMPLES, NOISE, streams["measure"])
    data = TOY.sample(len(samples), streams["measure data"])
    found = evaluation.count_modes(samples, TOY.modes, TOY.std)
    ratio = evaluation.nearest_neighbour_ratio(samples, data)
    loss = gan.generator_loss(tg.tensor(gan.push(game.discriminator, samples)))
    return Reading(step, found.recovered, found.high_quality, ratio, loss.item())


@dataclass
class Run:
    """One of the two runs."""

    readings: list[Reading]
    before: Any  # x of the followed z, (FOLLOWED, 2)
    after: Any
    surface: Any  # D at the end, (CELLS, CELLS)

    @property
    def alarm(self) -> int | None:
        """The first step after which the ratio stays below the alarm, or None."""
        quiet = [reading.step for reading in self.readings if reading.ratio >= ALARM]
        return next((r.step for r in self.readings if r.step > max(quiet, default=-1)), None)


def run(update: Any, seed: int, before: int, steps: int) -> Run:
    game = learn_the_ring(seed, before)
    z = NOISE.draw(FOLLOWED, Streams(seed)["followed"])
    starts = gan.push(game.generator, z)
    readings = [read_monitors(game, 0, seed)]
    moments = {round(steps * i / READINGS) for i in range(1, READINGS + 1)}
    for step in range(1, steps + 1):
        update(game)
        if step in moments:
            readings.append(read_monitors(game, step, seed))
    surface = expit(gan.push(game.discriminator, map_points())).reshape(CELLS, CELLS)
    return Run(readings, starts, gan.push(game.generator, z), surface)


def verdict(name: str, of: Run) -> str:
    first, last = of.readings[0], of.readings[-1]
    numbers = (
        f"{name}: modes hit {first.modes} -> {last.modes} of {len(TOY.modes)}, nearest-neighbour ratio "
        f"{first.ratio:.2f} -> {last.ratio:.3f}, high quality {first.quality:.0%} -> {last.quality:.0%}, loss of G "
        f"{first.loss:.3f} -> {last.loss:.3f}\n  "
    )
    if of.alarm is None and last.modes >= first.modes:
        return numbers + "Healthy: the samples keep their distances, and no mode was lost."
    if of.alarm is None:
        return numbers + "Doubtful: modes were lost, but the samples keep their distances."
    if last.modes >= first.modes:
        return numbers + f"Crowding: under {ALARM} from step {of.alarm} on, but no mode is lost yet."
    return numbers + (
        f"Helvetica: from step {of.alarm} on the ratio is under {ALARM}, and {first.modes - last.modes} modes are "
        "lost: G maps many z to the same x.\n  Its loss cannot see that, nor can the quality of single samples."
    )


# ---------------------------------------------------------------------- the picture


def map_points() -> Any:
    middles = np.linspace(-TOY.half_width, TOY.half_width, 2 * CELLS + 1, dtype=np.float32)[1::2]
    return np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)


def draw(runs: dict[str, Run], before: int, steps: int) -> Figure:
    figure = Figure(figsize=(16, 9.4), layout="constrained")
    axes = figure.subplots(2, 3, height_ratios=[2, 1])
    frozen, updated = runs["D frozen"], runs["D updated"]
    planes = (
        (f"before: Algorithm 1, {before:,} steps", frozen.surface, frozen.before, frozen.readings[0]),
        (f"D frozen, {steps:,} steps of G", frozen.surface, frozen.after, frozen.readings[-1]),
        (f"D updated, {steps:,} steps", updated.surface, updated.after, updated.readings[-1]),
    )
    for axis, (title, surface, after, reading) in zip(axes[0], planes, strict=True):
        colours = draw_plane(axis, surface, frozen.before, after)
        axis.set_title(title, fontsize="x-large")
        axis.set_xlabel(f"{reading.modes} of {len(TOY.modes)} modes, ratio {reading.ratio:.2f}", fontsize="large")
    figure.colorbar(colours, ax=axes[0], ticks=[0, 0.5, 1], shrink=0.7).set_label("D(x)", fontsize="large")
    curves = {"modes": "modes hit", "ratio": "nearest-neighbour ratio", "quality": "share of high quality"}
    for axis, (field, title) in zip(axes[1], curves.items(), strict=True):
        for name, of in runs.items():
            steps_read = [reading.step for reading in of.readings]
            axis.plot(steps_read, [getattr(r, field) for r in of.readings], color=COLOURS[name], lw=2.5)
        axis.set_title(title, fontsize="x-large")
        axis.set(xlim=(0, steps), ylim=(0, None), xlabel="steps of G since the runs parted")
        axis.grid(alpha=0.3)
    axes[1, 1].axhline(ALARM, color="black", lw=1, ls="--")
    legend = [
        Line2D([], [], color="black", ls="dotted", lw=2, label=r"$p_{data}$"),
        Line2D([], [], color="#138a36", ls="none", marker="o", mec="white", ms=8, label="G(z)"),
        Line2D([], [], color="black", lw=1, alpha=0.5, label="from where it was before"),
        *(Line2D([], [], color=COLOURS[name], lw=2.5, label=name) for name in runs),
        Line2D([], [], color="black", lw=1, ls="--", label="alarm"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=6, fontsize="large", frameon=False)
    return figure


def draw_plane(axis: Any, surface: Any, before: Any, after: Any) -> Any:
    h = TOY.half_width
    colours = axis.imshow(surface, "PuOr", vmin=0, vmax=1, alpha=0.75, extent=(-h, h, -h, h), origin="lower")
    middles = np.linspace(-h, h, 2 * CELLS + 1)[1::2]
    truth = TOY.density(map_points()).reshape(CELLS, CELLS)
    axis.contour(middles, middles, truth, np.array([0.03, 0.3, 0.7]) * truth.max(), colors="black", linestyles="dotted")
    axis.plot(*np.stack([before, after]).transpose(2, 0, 1), color="black", lw=0.6, alpha=0.25)
    axis.plot(*after.T, "o", color="#138a36", ms=5, mec="white", mew=0.7)
    axis.set(xlim=(-h, h), ylim=(-h, h), xticks=[], yticks=[])
    return colours


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train G against a D that is no longer updated.")
    parser.add_argument("--seed", type=int, default=2, metavar="S", help="0 or more (default 2)")
    parser.add_argument("--before", type=int, default=1000, metavar="N", help="steps of Algorithm 1 (default 1000)")
    parser.add_argument("--steps", type=int, default=2000, metavar="N", help="steps of G after that (default 2000)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where to write (default %(default)s)")
    options = parser.parse_args(arguments)
    for name, least in (("seed", 0), ("before", 1), ("steps", 1)):
        if getattr(options, name) < least:
            parser.error(f"argument --{name}: must be at least {least}, got {getattr(options, name)}")
    began = time.perf_counter()
    updates = {"D frozen": update_generator_only, "D updated": update_both}
    with blas_threads(1):  # on products this small, more threads are slower
        runs = {name: run(update, options.seed, options.before, options.steps) for name, update in updates.items()}
    print("\n".join(verdict(name, of) for name, of in runs.items()))
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "helvetica.png"
    draw(runs, options.before, options.steps).savefig(picture, dpi=DPI, metadata={"Software": None})
    mention(f"\nDrawn in {picture}\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
