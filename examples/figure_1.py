"""Figure 1 of the paper, all four panels from one run, and the whole run as an animation.

Usage: python examples/figure_1.py [--seed S] [--steps N] [--out DIR] [--gif] [--json]

G turns one number z, drawn uniformly, into one number x = G(z). The data are N(0, 1). G is smooth: a straight line and
a few softplus units beside it. While G increases, the density of x is p_g(x) = p_z(z) / G'(z), which is smooth too.

(a) Near convergence: p_g is similar to p_data, a little beside it, and D is a partially accurate classifier.
(b) The inner loop of Algorithm 1 starts from (a). It trains D while G does not change: D converges to
    D* = p_data / (p_data + p_g).
(c) A few updates of G against that D: the gradient of D has moved G(z) to where D is more likely to say "data".
(d) The end of the run: p_g is close to p_data, and D(x) is close to 1/2.

(b) and (c) are played with a copy of the game. The run goes on from (a), with one step of D for each step of G.

Prints the numbers of each panel, with --json as JSON. Draws DIR/figure_1.png and writes DIR/figure_1.html, a page that
plays the run and needs no other file; with --gif also DIR/figure_1.gif, for pages that run no script. DIR is
runs/examples by default. If a statement above is not true of the run, it draws nothing and says which.
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
import tinygan.functional as F
from tinygan import gan, nn, optim, theory
from tinygan.backend import Streams, blas_threads
from tinygan.cli.output import mention
from tinygan.gan.learned import answers
from tinygan.theory.pushforward import pushforward

TEMPLATE = Path(__file__).parent / "figure_1.template.html"
OUT = Path("runs/examples")

SEED, STEPS, BATCH = 5, 400, 512
NEAR = 0.05  # nats: below this JSD p_g counts as similar to p_data, panel (a)
INNER_STEPS, INNER_BATCH = 3000, 1024  # of the inner loop, panel (b)
GENERATOR_STEPS = 6  # between (b) and (c)

Z_END = 3**0.5
Z = np.linspace(-Z_END, Z_END, 4001, dtype=np.float32)[:, None]
ARROWS = slice(None, None, 160)  # the z that are drawn, 26 of them
EDGES = np.linspace(-5, 5, 401)
WIDTH = 10 / 400
MIDDLES = (EDGES[1:] + EDGES[:-1]) / 2
ALL_EDGES = np.concatenate([[-np.inf], EDGES, [np.inf]])
DATA_MASSES = np.diff(norm.cdf(ALL_EDGES))
DATA_DENSITY = norm.pdf(MIDDLES)
SHOWN = slice(40, 360)  # x between -4 and 4 is drawn
MOST_FRAMES = 60  # of Algorithm 1, in the animation
GIF_DPI, COLOURS = 90, 48

# ---------------------------------------------------------------------- the run


class Generator(nn.Module):
    """G(z) = a z + b + sum of w_i softplus(u_i z + c_i): a straight line, bent upwards or downwards at its ends."""

    def __init__(self) -> None:
        super().__init__()
        u = np.linspace(-5, 5, 6, dtype=np.float32)
        self.line = nn.Linear(1, 1, True, nn.init.constant(0.5), nn.init.constant(-2))  # p_g begins left of the data
        self.bends = nn.Linear(1, 6, True, lambda shape, stream: u.reshape(shape), nn.init.constant(-8))
        self.out = nn.Linear(6, 1, False, lambda shape, stream: 0.25 * u.reshape(shape))  # every bend makes G steeper

    def forward(self, z: tg.Tensor) -> tg.Tensor:
        return self.line(z) + self.out(F.softplus(self.bends(z)))


def new_game(seed: int) -> gan.Algorithm1:
    streams = Streams(seed)
    with streams.active():
        generator = Generator()
        discriminator = nn.Sequential(
            nn.Linear(1, 32, True, nn.init.uniform(2), nn.init.uniform(2)), nn.Tanh(), nn.Linear(32, 1)
        )
    return gan.Algorithm1(
        generator,
        discriminator,
        generator_optimizer=optim.SGD(generator.parameters(), optim.ExponentialDecay(0.1, 1.002)),
        discriminator_optimizer=optim.SGD(discriminator.parameters(), optim.ExponentialDecay(0.4, 1.002)),
        streams=streams,
    )


@dataclass(frozen=True)
class Frame:
    """The game at one moment."""

    panel: str  # "a", "b", "c", "d", or "" for a frame between the panels
    phase: str  # a description in words
    p_g: Any  # density at MIDDLES
    d: Any  # D at MIDDLES
    x: Any  # G at Z
    trust: float  # the mean of D(G(z))
    jsd: float  # of p_data and p_g, nats

    @property
    def d_star(self) -> Any:
        """D* at MIDDLES, from the two densities there."""
        return DATA_DENSITY / (DATA_DENSITY + self.p_g)

    def numbers(self) -> dict[str, float]:
        """What is printed of this frame; a maximum is over the middle 95 % of p_g."""
        below, both = np.cumsum(self.p_g) * WIDTH, DATA_DENSITY + self.p_g
        middle = (below > 0.025) & (below < 0.975)
        error, doubt = abs(self.d - self.d_star), abs(self.d - 0.5)
        right, best = (np.where(d > 0.5, DATA_DENSITY, self.p_g).sum() * WIDTH / 2 for d in (self.d, self.d_star))
        numbers = {
            "JSD in nats": self.jsd,
            "mean of p_g": self.x.mean(),
            "mean |D - D*|": (error * both).sum() / both.sum(),
            "max |D - D*|": error[middle].max(),
            "max |D - 1/2|": doubt[middle].max(),
            "D is right": right,  # the share of data and samples, in equal parts
            "D* is right": best,
            "mean D(G(z))": self.trust,
            "least slope of G": np.diff(self.x).min() / (Z[1, 0] - Z[0, 0]),
            "least G(z)": self.x.min(),
            "largest G(z)": self.x.max(),
        }
        return {name: float(number) for name, number in numbers.items()}


def look(game: gan.Algorithm1, phase: str, panel: str = "") -> Frame:
    x = gan.push(game.generator, Z)
    masses = np.maximum(pushforward(x[:, 0], ALL_EDGES), 0)  # below 0 by rounding only
    return Frame(
        panel,
        phase,
        masses[1:-1] / WIDTH,
        answers(game.discriminator, MIDDLES[:, None]),
        x[:, 0].astype(float),
        float(answers(game.discriminator, x).mean()),
        theory.js_divergence(DATA_MASSES, masses),
    )


def play(seed: int, steps: int, inner_steps: int = INNER_STEPS) -> list[Frame]:
    """Play one game, and return frames of it."""
    game = new_game(seed)
    moments = set(np.unique(np.geomspace(1, steps, MOST_FRAMES).round().astype(int)))
    frames = [look(game, "before the first step")]
    near = False
    for step in range(1, steps + 1):
        game.step(game.streams["data"].normal((BATCH, 1)))
        phase = f"Algorithm 1, step {step:,}"
        if not near and (look(game, phase).jsd < NEAR or step > steps // 2):
            near = True
            frames += [look(game, phase, "a"), *play_aside(copy.deepcopy(game), inner_steps)]
            moments.add(step)  # back in the run
        if step in moments:
            frames.append(look(game, phase, "d" if step == steps else ""))
    return frames


def play_aside(game: gan.Algorithm1, inner_steps: int) -> list[Frame]:
    """Play (b), Algorithm 1 with a large k, and (c), the second half of its step."""
    adam = optim.Adam(game.discriminator.parameters(), optim.ExponentialDecay(0.01, 100 ** (1 / inner_steps)))
    moments = set(np.unique(np.geomspace(1, inner_steps, 25).round().astype(int)))
    frames = []
    for step in range(1, inner_steps + 1):
        real = game.streams["data"].normal((INNER_BATCH, 1))
        fake = gan.push(game.generator, game.noise.draw(INNER_BATCH, game.streams["noise"]))
        logits = game.discriminator(tg.tensor(np.concatenate([real, fake])))
        update(adam, gan.discriminator_loss(logits[:INNER_BATCH], logits[INNER_BATCH:]))
        if step in moments:
            phase = f"aside: the inner loop, update {step:,} of D, while G does not change"
            frames.append(look(game, phase, "b" if step == inner_steps else ""))
    for step in range(1, GENERATOR_STEPS + 1):
        z = tg.tensor(game.noise.draw(INNER_BATCH, game.streams["noise"]))
        update(game.generator_optimizer, gan.generator_loss(game.discriminator(game.generator(z))))
        phase = f"aside: update {step} of G against that D"
        frames.append(look(game, phase, "c" if step == GENERATOR_STEPS else ""))
    return frames


def update(optimizer: optim.Optimizer, loss: tg.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# ---------------------------------------------------------------------- what must be true of it


def untrue(shown: dict[str, Frame]) -> list[str]:
    """Return the statements about the panels that are not true of this run."""
    a, b, c, d = (shown[panel].numbers() for panel in "abcd")
    statements = [
        ("G increases: least slope", min(n["least slope of G"] for n in (a, b, c, d)), 0, 10),
        ("(a) p_g is similar to p_data: JSD in nats", a["JSD in nats"], 0, NEAR),
        ("(a) p_g is a little beside p_data: |mean of p_g|", abs(a["mean of p_g"]), 0.2, 0.8),
        ("(a) D is a partially accurate classifier: it is right", a["D is right"], 0.51, 0.98),
        ("(b) D converges to D*: max |D - D*|", b["max |D - D*|"], 0, 0.1),
        ("(c) G(z) is where D is higher: mean D(G(z)), (c) / (b)", c["mean D(G(z))"] / b["mean D(G(z))"], 1.01, 10),
        ("(c) p_g is closer to p_data: JSD, (c) / (b)", c["JSD in nats"] / b["JSD in nats"], 0, 0.9),
        ("(d) p_g is close to p_data: JSD in nats", d["JSD in nats"], 0, 0.02),
        ("(d) D is close to 1/2: max |D - 1/2|", d["max |D - 1/2|"], 0, 0.07),
    ]
    return [f"{what} is {n:.4f}, expected {low} to {high}" for what, n, low, high in statements if not low <= n <= high]


# ---------------------------------------------------------------------- the picture

TITLES = {
    "a": "(a) near convergence:\n$p_g$ is similar to $p_{data}$",
    "b": "(b) the inner loop at its end:\nD is close to D*",
    "c": f"(c) {GENERATOR_STEPS} updates of G:\nD's gradient has moved G(z)",
    "d": "(d) the end of the run: $p_g$ is\nclose to $p_{data}$, and D to 1/2",
}


def panels(frames: list[Frame]) -> dict[str, Frame]:
    return {frame.panel: frame for frame in frames if frame.panel}


def draw(frames: list[Frame]) -> Figure:
    """Draw a column for each panel."""
    figure = Figure(figsize=(15, 5.8), layout="constrained")
    columns = figure.subplots(2, 4, height_ratios=[3, 1], sharex=True, sharey="row").T
    shown = panels(frames)
    rights = [
        draw_column(axes, TITLES[panel], frame, shown["b"] if panel == "c" else None)
        for axes, (panel, frame) in zip(columns, shown.items(), strict=True)
    ]
    for right in rights[:-1]:
        right.tick_params(labelright=False)
    label(figure, columns[0, 0], columns[2, 0], rights[-1])
    return figure


def draw_column(axes: Any, title: str, frame: Frame, moved_from: Frame | None = None) -> Any:
    """Draw densities and D over x, and below them an arrow from each z to G(z). Return the axes of D."""
    above, below = axes
    x = MIDDLES[SHOWN]
    above.set_title(title, fontsize="medium")
    above.plot(x, DATA_DENSITY[SHOWN], color="black", ls=":", lw=2.5, label="$p_{data}$")
    above.plot(x, frame.p_g[SHOWN], color="tab:green", lw=1.8, label="$p_g$")
    if moved_from is not None:
        above.plot(x, moved_from.p_g[SHOWN], color="tab:green", lw=1, alpha=0.4, label="$p_g$ in (b)")
    above.set(ylim=(0, 0.65), xlim=(x[0], x[-1]))
    right = above.twinx()
    right.plot(x, frame.d_star[SHOWN], color="0.55", lw=1.2, label="D* = $p_{data} / (p_{data} + p_g)$")
    right.plot(x, frame.d[SHOWN], color="tab:blue", ls="--", lw=2, label="D")
    right.set(ylim=(0, 1.05), yticks=[0, 0.5, 1])
    right.tick_params(axis="y", colors="tab:blue")

    z = np.linspace(x[0], x[-1], len(Z[ARROWS]))  # stretched to the same width, as in the paper
    for line, name in ((0, "z"), (1, "x")):
        below.axhline(line, color="black", lw=1.2)
        below.annotate(name, (1.01, line), xycoords=("axes fraction", "data"), va="center", fontsize="large")
    for start, end in zip(z, frame.x[ARROWS], strict=True):
        below.annotate("", (end, 1), (start, 0), arrowprops={"arrowstyle": "->", "lw": 0.9, "shrinkA": 0, "shrinkB": 0})
    below.set(ylim=(-0.1, 1.1), yticks=[], xlabel=f"JSD = {frame.jsd:.3f} nats, mean D(G(z)) = {frame.trust:.2f}")
    below.spines[:].set_visible(False)
    below.tick_params(axis="x", length=0)
    return right


def label(figure: Figure, left: Any, legend: Any, right: Any) -> None:
    left.set_ylabel("density")
    right.set_ylabel("D(x)", color="tab:blue")
    handles = legend.get_legend_handles_labels()[0] + right.get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)


def snapshot(frame: Frame) -> Image.Image:
    figure = Figure(figsize=(6.4, 4.4), dpi=GIF_DPI, layout="constrained")
    axes = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    right = draw_column(axes, (f"({frame.panel}) " if frame.panel else "") + frame.phase, frame)
    label(figure, axes[0], axes[0], right)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def write_gif(frames: list[Frame], path: Path) -> None:
    """Write the animation. All frames have the same few colours, so that only what changes takes bytes."""
    drawn = [snapshot(frame) for frame in frames]
    palette = drawn[-1].quantize(COLOURS)
    first, *others = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in drawn]
    durations = [2500 if frame.panel else 160 for frame in frames]  # milliseconds
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0, optimize=False)


# ---------------------------------------------------------------------- the page


def page(frames: list[Frame], seed: int) -> str:
    """Return the animation as one HTML page that holds the numbers of all frames and the script that draws them."""
    run = {
        "seed": seed,
        "x": rounded(MIDDLES[SHOWN]),
        "z": rounded(Z[ARROWS, 0]),
        "p_data": rounded(DATA_DENSITY[SHOWN]),
        "meanings": meanings(panels(frames)),
        "frames": [
            {
                "panel": frame.panel,
                "phase": frame.phase,
                "p_g": rounded(frame.p_g[SHOWN]),
                "d": rounded(frame.d[SHOWN]),
                "d_star": rounded(frame.d_star[SHOWN]),
                "g": rounded(frame.x[ARROWS]),
                "numbers": f"JSD(p_data, p_g) = {frame.jsd:.4f} nats; mean D(G(z)) = {frame.trust:.3f}; "
                f"mean |D − D*| = {frame.numbers()['mean |D - D*|']:.3f}",
            }
            for frame in frames
        ],
    }
    text = json.dumps(run, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return TEMPLATE.read_text(encoding="utf-8").replace("/*RUN*/", text)


def meanings(shown: dict[str, Frame]) -> dict[str, str]:
    """Return what each panel shows, in words, with the numbers of this run."""
    a, b, c, d = (shown[panel].numbers() for panel in "abcd")
    return {
        "a": "Near convergence: p_g is similar to p_data, a little beside it. D is a partially accurate classifier: "
        f"{a['D is right']:.1%} of its answers are right. The best D, called D*, would have {a['D* is right']:.1%}.",
        "b": "The inner loop at its end: G has not changed, and D has converged to D*. "
        f"Over the middle 95% of p_g, |D − D*| is at most {b['max |D - D*|']:.3f}.",
        "c": f"After {GENERATOR_STEPS} updates of G against the D of (b): the gradient of D has moved G(z) to where D "
        f"is higher. The mean of D(G(z)) was {b['mean D(G(z))']:.3f} and is {c['mean D(G(z))']:.3f}.",
        "d": "The end of the run: p_g is close to p_data, and D is close to 1/2. "
        f"Over the middle 95% of p_g, |D − 1/2| is at most {d['max |D - 1/2|']:.3f}.",
    }


def rounded(values: Any) -> list[float]:
    return [round(float(value), 3) for value in values]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Figure 1 of the paper, as a picture and as an animation.")
    parser.add_argument("--seed", type=int, default=SEED, metavar="S", help="0 or more (default %(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help="1 or more (default %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where to write (default %(default)s)")
    parser.add_argument("--gif", action="store_true", help="also write the animation as figure_1.gif")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    options = parser.parse_args(arguments)
    for name, least in (("seed", 0), ("steps", 1)):
        if getattr(options, name) < least:
            parser.error(f"argument --{name}: must be at least {least}, got {getattr(options, name)}")
    began = time.perf_counter()
    with blas_threads(1):  # on products this small, more threads are slower
        frames = play(options.seed, options.steps)
    shown = panels(frames)
    told = {panel: frame.numbers() for panel, frame in shown.items()}
    if options.json:
        mention(json.dumps(told, indent=1))
    else:
        mention("\n".join(f"({panel}) {frame.phase}" for panel, frame in shown.items()))
        mention(f"\n{'':22}(a)      (b)      (c)      (d)")
        for name in told["a"]:
            mention(f"{name:16}" + "".join(f"{numbers[name]:9.4f}" for numbers in told.values()))
    if wrong := untrue(shown):
        sys.exit("\n".join(["Nothing is drawn. Not true of this run:", *wrong, "Try more --steps, or another --seed."]))
    options.out.mkdir(parents=True, exist_ok=True)
    picture, animation = options.out / "figure_1.png", options.out / "figure_1.html"
    draw(frames).savefig(picture, dpi=80, metadata={"Software": None})
    animation.write_text(page(frames, options.seed), encoding="utf-8")
    if options.gif:
        write_gif(frames, options.out / "figure_1.gif")
    if not options.json:
        mention(f"\nDrawn in {picture}\nPlayed in {animation}\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
