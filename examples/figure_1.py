"""Figure 1 of the paper, all four panels from one run, and the whole run as an animation.

Usage: python examples/figure_1.py [--seed S] [--epochs N] [--out DIR] [--gif]

G turns one number z, drawn uniformly, into one number x = G(z). The data are N(0, 1). The run is the experiment
`gaussian`, from its first step to its last:

(a) Near convergence: p_g is similar to p_data, and D is a partially accurate classifier.
(b) The inner loop of Algorithm 1 starts from (a). It trains D while G does not change, until D is close to
    D* = p_data / (p_data + p_g).
(c) A few updates of G against that D: the gradient of D has moved G(z) to where x is more likely to be data.
(d) The end of the run: p_g is close to p_data, and D(x) is close to 1/2.

After (b) and (c) the state of (a) is restored, and the run continues with one step of D for each step of G. So (d) is
the end of `tinygan train gaussian`, bit for bit.

Draws DIR/figure_1.png and writes DIR/figure_1.html, a page that plays the run and needs no other file. With --gif it
also writes DIR/figure_1.gif, the same animation for pages that run no script. DIR is runs/examples by default. Prints
the distance of D from 1/2 and of p_g from p_data at the end, and fails if one of them is too large.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import norm

import tinygan as tg
from tinygan import gan, optim, theory
from tinygan.backend import Streams, blas_threads
from tinygan.cli.output import mention
from tinygan.config.experiment import ExperimentConfig, load_experiment
from tinygan.data import load
from tinygan.data.gaussian import MEAN, STD
from tinygan.experiments.training import Training
from tinygan.gan.learned import answers, worst_error
from tinygan.theory.pushforward import pushforward

TEMPLATE = Path(__file__).parent / "figure_1.template.html"
OUT = Path("runs/examples")

# The end of the run must be below these.
MOST_DOUBT, MOST_JSD = 0.05, 0.02  # |D - 1/2| where p_data is above 1 % of its peak; nats

NEAR = 0.08  # nats: below this JSD p_g counts as similar to p_data, panel (a)
INNER_STEPS, INNER_BATCH = 3000, 1024  # of the inner loop, panel (b)
GENERATOR_STEPS = 4  # between (b) and (c)

Z_END = 3**0.5
Z = np.linspace(-Z_END, Z_END, 20_001, dtype=np.float32)[:, None]  # for p_g
ARROWS = np.linspace(-Z_END, Z_END, 25, dtype=np.float32)[:, None]
EDGES = MEAN + STD * np.linspace(-5, 5, 401)
MIDDLES = (EDGES[1:] + EDGES[:-1]) / 2
ALL_EDGES = np.concatenate([[-np.inf], EDGES, [np.inf]])
DATA_MASSES = np.diff(norm.cdf(ALL_EDGES, MEAN, STD))
DATA_DENSITY = norm.pdf(MIDDLES, MEAN, STD)
SHOWN = slice(40, 360)  # x between -4 and 4 standard deviations is drawn
MOST_FRAMES = 60  # of Algorithm 1, in the animation
GIF_DPI, COLOURS = 90, 48

# ---------------------------------------------------------------------- the run


@dataclass(frozen=True)
class Frame:
    """The game at one moment."""

    panel: str  # "a", "b", "c", "d", or "" for a frame between the panels
    phase: str  # a description in words
    p_g: Any  # density at MIDDLES
    d: Any  # D at MIDDLES
    x: Any  # G at ARROWS
    jsd: float  # of p_data and p_g, nats

    @property
    def d_star(self) -> Any:
        """D* at MIDDLES, from the two densities there."""
        return DATA_DENSITY / (DATA_DENSITY + self.p_g)

    @property
    def doubt(self) -> float:
        """The largest |D - 1/2| where p_data is above 1 % of its peak."""
        return worst_error(self.d, DATA_DENSITY, DATA_DENSITY)

    @property
    def distance(self) -> float:
        """The mean of |D - D*|, over data and samples in equal parts."""
        return float((abs(self.d - self.d_star) * (DATA_DENSITY + self.p_g)).sum() / (DATA_DENSITY + self.p_g).sum())


def look(game: gan.Algorithm1, phase: str, panel: str = "") -> Frame:
    masses = np.maximum(pushforward(gan.push(game.generator, Z)[:, 0], ALL_EDGES), 0)  # below 0 by rounding only
    return Frame(
        panel,
        phase,
        masses[1:-1] / np.diff(EDGES),
        answers(game.discriminator, MIDDLES[:, None]),
        gan.push(game.generator, ARROWS)[:, 0].astype(float),
        theory.js_divergence(DATA_MASSES, masses),
    )


def play(config: ExperimentConfig, inner_steps: int = INNER_STEPS) -> list[Frame]:
    """Play one game, and return frames of it."""
    training = Training(config, load("gaussian"))
    last = config.training.epochs * training.steps_per_epoch
    moments = set(np.unique(np.geomspace(1, last, MOST_FRAMES).round().astype(int)))
    frames = [look(training.game, "before the first step")]
    near = False
    while training.steps < last:
        if training.epoch_is_over:
            training.next_epoch()
        training.step()
        phase = f"Algorithm 1, step {training.steps:,}"
        if not near:
            frame = look(training.game, phase)
            near = frame.jsd < NEAR or training.steps > last // 2
            if near:
                frames.append(look(training.game, phase, "a"))
                frames += step_aside(training, inner_steps)
                continue
        if training.steps in moments:
            frames.append(look(training.game, phase, "d" if training.steps == last else ""))
    return frames


def step_aside(training: Training, inner_steps: int) -> list[Frame]:
    """Play (b) and (c), then restore the state of the training."""
    arrays, plain = copy.deepcopy(training.state())
    frames = train_discriminator_alone(training.game, training.config.seed, inner_steps)
    frames += update_generator(training.game)
    training.load_state(arrays, plain)
    return frames


def train_discriminator_alone(game: gan.Algorithm1, seed: int, steps: int) -> list[Frame]:
    """Train D for many steps while G does not change: Algorithm 1 with a large k."""
    stream = Streams(seed)["inner loop"]
    adam = optim.Adam(game.discriminator.parameters(), optim.ExponentialDecay(0.01, 100 ** (1 / steps)))
    moments = set(np.unique(np.geomspace(1, steps, 25).round().astype(int)))
    frames = []
    for step in range(1, steps + 1):
        real = (MEAN + STD * stream.normal((INNER_BATCH, 1))).astype(np.float32)
        fake = gan.push(game.generator, game.noise.draw(INNER_BATCH, stream))
        logits = game.discriminator(tg.tensor(np.concatenate([real, fake])))
        loss = gan.discriminator_loss(logits[:INNER_BATCH], logits[INNER_BATCH:])
        for parameter, gradient in zip(adam.params, tg.grad(loss, adam.params), strict=True):
            parameter.grad = gradient
        adam.step()
        if step in moments:
            phase = f"aside: the inner loop, update {step:,} of D, while G does not change"
            frames.append(look(game, phase, "b" if step == steps else ""))
    return frames


def update_generator(game: gan.Algorithm1) -> list[Frame]:
    """Update G alone, as in the second half of a step of Algorithm 1."""
    frames = []
    for step in range(1, GENERATOR_STEPS + 1):
        z = tg.tensor(game.noise.draw(1000, game.streams["noise"]))
        loss = gan.generator_loss(game.discriminator(game.generator(z)), game.objective)
        weights = game.generator_optimizer.params
        for parameter, gradient in zip(weights, tg.grad(loss, weights), strict=True):
            parameter.grad = gradient
        game.generator_optimizer.step()
        phase = f"aside: update {step} of G against that D"
        frames.append(look(game, phase, "c" if step == GENERATOR_STEPS else ""))
    return frames


# ---------------------------------------------------------------------- the picture

TITLES = {
    "a": "(a) near convergence:\n$p_g$ is similar to $p_{data}$",
    "b": "(b) the inner loop at its end:\nD meets D*",
    "c": f"(c) {GENERATOR_STEPS} updates of G:\nD's gradient has moved G(z)",
    "d": "(d) the end of the run:\n$p_g = p_{data}$ and D = 1/2",
}


def panels(frames: list[Frame]) -> dict[str, Frame]:
    return {frame.panel: frame for frame in frames if frame.panel}


def draw(frames: list[Frame]) -> Figure:
    """Draw a column for each panel: above, the densities and D over x; below, an arrow from each z to G(z)."""
    figure = Figure(figsize=(15, 5.8), layout="constrained")
    axes = figure.subplots(2, 4, height_ratios=[3, 1], sharex=True, sharey="row")
    shown = panels(frames)
    for (panel, frame), above, below in zip(shown.items(), axes[0], axes[1], strict=True):
        moved_from = shown["b"] if panel == "c" else None
        above.set_title(TITLES[panel])
        right = draw_densities(above, frame, moved_from)
        right.tick_params(axis="y", colors="tab:blue", labelright=panel == "d")
        draw_arrows(below, frame, moved_from)
        below.set_xlabel(f"JSD = {frame.jsd:.3f} nats, mean |D − D*| = {frame.distance:.3f}")
    axes[0, 0].set_ylabel("density")
    right.set_ylabel("D(x)", color="tab:blue")
    handles = axes[0, 2].get_legend_handles_labels()[0] + right.get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    return figure


def draw_densities(axes: Any, frame: Frame, moved_from: Frame | None) -> Any:
    x = MIDDLES[SHOWN]
    axes.plot(x, DATA_DENSITY[SHOWN], color="black", ls=":", lw=2.5, label="$p_{data}$")
    axes.plot(x, frame.p_g[SHOWN], color="tab:green", lw=1.8, label="$p_g$")
    if moved_from is not None:
        axes.plot(x, moved_from.p_g[SHOWN], color="tab:green", lw=1, alpha=0.4, label="$p_g$ in (b)")
    axes.set(ylim=(0, 0.85), xlim=(x[0], x[-1]))
    right = axes.twinx()
    right.plot(x, frame.d_star[SHOWN], color="0.55", lw=1.2, label="D* = $p_{data} / (p_{data} + p_g)$")
    right.plot(x, frame.d[SHOWN], color="tab:blue", ls="--", lw=2, label="D")
    right.set(ylim=(0, 1.05), yticks=[0, 0.5, 1])
    return right


def draw_arrows(axes: Any, frame: Frame, moved_from: Frame | None) -> None:
    """Draw the line of z below and the line of x above, as in the paper; z is stretched to the same width."""
    left, right = MIDDLES[SHOWN][[0, -1]]
    z = np.linspace(left, right, len(ARROWS))
    for line, name in ((0, "z"), (1, "x")):
        axes.axhline(line, color="black", lw=1.2)
        axes.annotate(name, (1.01, line), xycoords=("axes fraction", "data"), va="center", fontsize="large")
    if moved_from is not None:
        axes.plot([z, moved_from.x], [np.zeros(len(z)), np.ones(len(z))], color="tab:green", lw=0.8, alpha=0.4)
    for start, end in zip(z, frame.x, strict=True):
        axes.annotate("", (end, 1), (start, 0), arrowprops={"arrowstyle": "->", "lw": 0.9, "shrinkA": 0, "shrinkB": 0})
    axes.set(ylim=(-0.1, 1.1), yticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", length=0)


# ---------------------------------------------------------------------- the animation as a picture


def moving(frames: list[Frame]) -> list[Image.Image]:
    """Draw every frame for a GIF: all have the same few colours, so that only what changes takes bytes."""
    drawn = [snapshot(frame) for frame in frames]
    palette = drawn[-1].quantize(COLOURS)
    return [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in drawn]


def snapshot(frame: Frame) -> Image.Image:
    figure = Figure(figsize=(6.4, 4.4), dpi=GIF_DPI, layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    panel = f"({frame.panel}) " if frame.panel else ""
    above.set_title(f"{panel}{frame.phase}", fontsize="medium")
    right = draw_densities(above, frame, None)
    right.tick_params(axis="y", colors="tab:blue")
    above.set_ylabel("density")
    right.set_ylabel("D(x)", color="tab:blue")
    draw_arrows(below, frame, None)
    below.set_xlabel(f"JSD = {frame.jsd:.3f} nats, mean |D − D*| = {frame.distance:.3f}")
    handles = above.get_legend_handles_labels()[0] + right.get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def write_gif(frames: list[Frame], path: Path) -> None:
    first, *others = moving(frames)
    durations = [2500 if frame.panel else 160 for frame in frames]  # milliseconds, as in the page
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0, optimize=False)


# ---------------------------------------------------------------------- the page


def page(frames: list[Frame], seed: int) -> str:
    """Return the animation as one HTML page that holds the numbers of all frames and the script that draws them."""
    x = MIDDLES[SHOWN][::2]
    run = {
        "seed": seed,
        "x": rounded(x),
        "z": rounded(ARROWS[:, 0]),
        "p_data": rounded(DATA_DENSITY[SHOWN][::2]),
        "frames": [
            {
                "panel": frame.panel,
                "phase": frame.phase,
                "p_g": rounded((frame.p_g[SHOWN][::2] + frame.p_g[SHOWN][1::2]) / 2),
                "d": rounded(frame.d[SHOWN][::2]),
                "d_star": rounded(frame.d_star[SHOWN][::2]),
                "g": rounded(frame.x),
                "jsd": round(frame.jsd, 4),
                "doubt": round(frame.doubt, 4),
                "distance": round(frame.distance, 4),
            }
            for frame in frames
        ],
    }
    text = json.dumps(run, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return TEMPLATE.read_text(encoding="utf-8").replace("/*RUN*/", text)


def rounded(values: Any) -> list[float]:
    return [round(float(value), 3) for value in values]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Figure 1 of the paper, as a picture and as an animation.")
    parser.add_argument("--seed", type=int, metavar="S", help="0 or more (default: that of the experiment)")
    parser.add_argument("--epochs", type=int, metavar="N", help="1 or more (default: those of the experiment)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where to write (default %(default)s)")
    parser.add_argument("--gif", action="store_true", help="also write the animation as figure_1.gif")
    options = parser.parse_args(arguments)
    overrides = []
    for name, least, key in (("seed", 0, "seed"), ("epochs", 1, "training.epochs")):
        value = getattr(options, name)
        if value is not None and value < least:
            parser.error(f"argument --{name}: must be at least {least}, got {value}")
        overrides += [] if value is None else [f"{key}={value}"]
    config = load_experiment("gaussian", overrides)
    began = time.perf_counter()
    with blas_threads(1):  # on products this small, more threads are slower
        frames = play(config)
    for panel, frame in panels(frames).items():
        print(
            f"({panel}) {frame.phase}: JSD {frame.jsd:.4f} nats, mean |D - D*| {frame.distance:.4f}, "
            f"max |D - 1/2| {frame.doubt:.4f}"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    picture, animation = options.out / "figure_1.png", options.out / "figure_1.html"
    draw(frames).savefig(picture, dpi=80, metadata={"Software": None})
    animation.write_text(page(frames, config.seed), encoding="utf-8")
    if options.gif:
        write_gif(frames, options.out / "figure_1.gif")
    mention(f"\nDrawn in {picture}\nPlayed in {animation}\n{time.perf_counter() - began:.0f} s")
    end = frames[-1]
    if not (end.doubt < MOST_DOUBT and end.jsd < MOST_JSD):
        sys.exit(
            f"The end is no equilibrium yet: max |D - 1/2| = {end.doubt:.4f}, expected below {MOST_DOUBT}; JSD = "
            f"{end.jsd:.4f} nats, expected below {MOST_JSD}; train longer (--epochs), or try another seed"
        )


if __name__ == "__main__":
    main()
