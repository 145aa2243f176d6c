"""A discriminator learnt from samples, compared with D* = p_data / (p_data + p_g).

Usage: python examples/learned_discriminator.py [--out DIR] [--steps N] [--seed S]

G is fixed: p_data and p_g are mixtures of Gaussians with known densities, in one dimension and in two. A network
learns D from samples of both, for several numbers of samples and several widths. Prints a table of sup |D - D*| over
the region where p_data or p_g is above 1 % of its peak, and writes DIR/learned_discriminator.png; DIR is runs/examples
by default.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tinygan.backend import Stream, blas_threads
from tinygan.cli.output import mention
from tinygan.gan.learned import answers, learn_discriminator, worst_error

OUT = Path("runs/examples")
SAMPLES, WIDTH = 1_000_000, 64  # the default setting
FEWER, NARROWER = (1_000, 30_000), (4, 16)


@dataclass(frozen=True)
class Mixture:
    """Round Gaussians: one row of centres (d,), one standard deviation and one weight each."""

    centres: tuple[tuple[float, ...], ...]
    deviations: tuple[float, ...]
    weights: tuple[float, ...]

    def density(self, x: Any) -> Any:
        parts = zip(self.centres, self.deviations, self.weights, strict=True)
        return sum(
            weight * np.exp(-((x - centre) ** 2).sum(axis=1) / (2 * s**2)) / (2 * np.pi * s**2) ** (x.shape[1] / 2)
            for centre, s, weight in parts
        )

    def sample(self, n: int, stream: Stream) -> Any:
        which = np.searchsorted(np.cumsum(self.weights)[:-1], stream.uniform((n,), dtype=np.float64))
        centres = np.array(self.centres)[which]
        return centres + np.array(self.deviations)[which, None] * stream.normal(centres.shape, np.float64)


# p_data and p_g are close to each other, as in the middle of a training
LINE = (
    Mixture(((-1.0,), (1.3,)), (0.6, 0.5), (0.5, 0.5)),
    Mixture(((-0.2,), (1.8,)), (0.7, 0.5), (0.7, 0.3)),
)
PLANE = (
    Mixture(((-1.0, 0.0), (1.0, 0.6)), (0.6, 0.6), (0.5, 0.5)),
    Mixture(((0.0, -0.6), (0.4, 1.0)), (0.7, 0.7), (0.6, 0.4)),
)


@dataclass(frozen=True)
class Setting:
    """The number of samples of p_data and of p_g, and the width of D, of one training."""

    samples: int
    width: int


SETTINGS = [
    *(Setting(samples, WIDTH) for samples in FEWER),
    *(Setting(SAMPLES, width) for width in NARROWER),
    Setting(SAMPLES, WIDTH),
]


class Problem:
    """Two known densities, and the points where D is compared with D*."""

    def __init__(self, p_data: Mixture, p_g: Mixture, points: int) -> None:
        self.p_data, self.p_g = p_data, p_g
        self.axis = np.linspace(-4.5, 4.5, points)
        dimensions = len(p_data.centres[0])
        mesh = np.meshgrid(*[self.axis] * dimensions, indexing="ij")
        self.x = np.stack([coordinate.ravel() for coordinate in mesh], axis=1)
        self.densities = p_data.density(self.x), p_g.density(self.x)

    @property
    def optimum(self) -> Any:
        """D* at the points."""
        p, q = self.densities
        return p / (p + q)

    def learn(self, setting: Setting, steps: int, seed: int) -> Any:
        """Return D at the points."""
        data = self.p_data.sample(setting.samples, Stream(seed, "data"))
        samples = self.p_g.sample(setting.samples, Stream(seed, "samples"))
        learned = learn_discriminator(data, samples, width=setting.width, steps=steps, seed=seed)
        return answers(learned, self.x)

    def error(self, d: Any) -> float:
        return worst_error(d, *self.densities)


def table(errors: dict[Setting, tuple[float, float]]) -> str:
    lines = [f"{'samples':>9}  {'width':>5}  {'sup |D - D*|: 1-D':>17}  {'2-D':>6}"]
    for setting, (line, plane) in errors.items():
        lines.append(f"{setting.samples:9,}  {setting.width:5}  {line:17.4f}  {plane:6.4f}")
    return "\n".join(lines)


def draw(line: Problem, plane: Problem, learned: dict[Setting, tuple[Any, Any]]) -> Figure:
    """Draw D of the fewest samples, of the narrowest network and of the default: on the line and in the plane."""
    shown = [SETTINGS[0], SETTINGS[len(FEWER)], SETTINGS[-1]]
    figure = Figure(figsize=(14, 8), layout="constrained")
    above, below = figure.subplots(2, 4)
    below[0].set_title("D* in the plane")
    _surface(below[0], plane, plane.optimum)
    _densities(above[0], line)
    for setting, on_line, in_plane in zip(shown, above[1:], below[1:], strict=True):
        d_line, d_plane = learned[setting]
        error = f"sup |D − D*| = {line.error(d_line):.3f}"
        on_line.set_title(f"{setting.samples:,} samples, width {setting.width}\n{error}")
        _answers(on_line, line, d_line)
        in_plane.set_title(f"sup |D − D*| = {plane.error(d_plane):.3f}")
        surface = _surface(in_plane, plane, d_plane)
    above[-1].legend(loc="lower left", fontsize="small")
    figure.colorbar(surface, ax=below[-1], label="D(x)")
    return figure


def _densities(axes: Any, problem: Problem) -> None:
    axes.plot(problem.axis, problem.densities[0], color="black", ls=":", lw=2, label="$p_{data}$")
    axes.plot(problem.axis, problem.densities[1], color="tab:green", lw=2, label="$p_g$")
    axes.set(title="The densities on the line", xlabel="x", ylabel="density")
    axes.legend(fontsize="small")


def _answers(axes: Any, problem: Problem, d: Any) -> None:
    p, q = problem.densities
    counted = (p > 0.01 * p.max()) | (q > 0.01 * q.max())
    low, high = problem.axis[counted][[0, -1]]
    axes.axvspan(low, high, color="black", alpha=0.06, lw=0, label="where it is compared")
    axes.plot(problem.axis, problem.optimum, color="black", lw=1, label="D*")
    axes.plot(problem.axis, d, color="tab:blue", ls="--", lw=2, label="D, learnt")
    axes.set(xlabel="x", ylim=(-0.03, 1.03))


def _surface(axes: Any, problem: Problem, d: Any) -> Any:
    """Draw D as a colour, and contours of p_data (dotted) and p_g at 1 %, 10 % and 50 % of their peaks."""
    side = len(problem.axis)
    surface = axes.pcolormesh(
        problem.axis, problem.axis, d.reshape(side, side).T, cmap="RdBu_r", vmin=0, vmax=1, rasterized=True
    )
    for p, colour, style in zip(problem.densities, ("black", "tab:green"), (":", "-"), strict=True):
        levels = p.max() * np.array([0.01, 0.1, 0.5])
        axes.contour(problem.axis, problem.axis, p.reshape(side, side).T, levels, colors=colour, linestyles=style)
    axes.set(aspect="equal")
    return surface


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Compare a learnt discriminator with the optimal one.")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where to write (default %(default)s)")
    parser.add_argument("--steps", type=int, default=3000, metavar="N", help="updates of each D (default 3000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the seed of every random number (default 0)")
    options = parser.parse_args(arguments)
    if options.steps < 1 or options.seed < 0:
        parser.error("--steps takes 1 or more, --seed 0 or more")
    line, plane = Problem(*LINE, points=901), Problem(*PLANE, points=181)
    with blas_threads(1):
        learned = {
            setting: tuple(problem.learn(setting, options.steps, options.seed) for problem in (line, plane))
            for setting in SETTINGS
        }
    errors = {setting: (line.error(a), plane.error(b)) for setting, (a, b) in learned.items()}
    print(table(errors))
    print("\nThe worst error of D, a probability, where p_data or p_g is above 1 % of its peak; the last row is the")
    print(f"default setting. Each D: two hidden layers of ReLUs, {options.steps} steps, minibatches of 512 + 512.")
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "learned_discriminator.png"
    draw(line, plane, learned).savefig(picture, dpi=80, metadata={"Software": None})
    mention(f"\nDrawn in {picture}")


if __name__ == "__main__":
    main()
