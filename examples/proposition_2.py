"""Proposition 2 of the paper, with and without each of its conditions.

Usage: python examples/proposition_2.py [--out DIR] [--points N]

The game is played in function space: p_g is a list of masses on a grid, not a network. Four games have the same data:
the first fulfils the conditions, the second has D frozen, the third has steps that are too large, and in the fourth
p_g has no mass where some of the data lie. Prints a table and writes DIR/proposition_2.png; DIR is runs/examples by
default.
"""

from __future__ import annotations

import argparse
import textwrap
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tinygan import theory
from tinygan.cli.output import mention

OUT = Path("runs/examples")
MAX_STEPS = 1000
SHOWN = 6  # how many p_g are drawn between the start and the end


def bump(x: Any, centre: float, width: float) -> Any:
    masses = np.exp(-(((x - centre) / width) ** 2) / 2)
    return masses / masses.sum()


def play(points: int) -> tuple[Any, Any, dict[str, theory.Descent]]:
    """Return the grid, the data's masses on it, and the four games."""
    x = np.linspace(-4, 4, points)
    data = 0.6 * bump(x, 1.2, 0.6) + 0.4 * bump(x, -1.5, 0.4)
    start = bump(x, -0.3, 1.5)
    left_part = np.where(x < 0.8, start, 0)
    descend = partial(theory.descend, data, max_steps=MAX_STEPS, keep_path=True)
    games = {
        "Proposition 2": descend(start),
        "D frozen": descend(start, freeze_discriminator=True),
        "steps too large": descend(start, step_size=6),
        "support missing": descend(left_part / left_part.sum()),
    }
    return x, data, games


def table(games: dict[str, theory.Descent]) -> str:
    lines = [f"{'game':16} {'steps':>5}  {'C + log 4 at start':>18}  {'at the end':>10}  {'C rose':>6}"]
    for name, game in games.items():
        rises = int((np.diff(game.criterion) > 1e-12).sum())
        lines.append(f"{name:16} {game.steps:5}  {game.excess[0]:18.4f}  {game.excess[-1]:10.2e}  {rises:6}")
        lines += textwrap.wrap(game.verdict, 96, initial_indent=" " * 4, subsequent_indent=" " * 4)
    return "\n".join(lines)


def draw(x: Any, data: Any, games: dict[str, theory.Descent]) -> Figure:
    """Draw the distributions and D above, and the distance of the criterion from its minimum below."""
    figure = Figure(figsize=(14, 6.5), layout="constrained")
    axes = figure.subplots(2, len(games), height_ratios=[3, 2], sharey="row")
    for (name, game), above, below in zip(games.items(), axes[0], axes[1], strict=True):
        assert game.path is not None
        moments = np.unique(np.geomspace(1, game.steps, SHOWN).astype(int) - 1)
        for age, moment in enumerate(moments):
            label, strength = "$p_g$ before the end" if moment == moments[-1] else None, 0.15 + 0.4 * age / len(moments)
            above.plot(x, game.path[moment], color="tab:green", lw=1, alpha=strength, label=label)
        above.plot(x, game.p_g, color="tab:green", lw=2, label="$p_g$ at the end")
        above.plot(x, data, color="black", ls=":", lw=2, label="$p_{data}$")
        above.set(title=name, xlabel="x", ylim=(0, 1.6 * data.max()))
        answers = above.twinx()
        answers.plot(x, game.discriminator, color="tab:blue", ls="--", lw=1.5, label="D at the end")
        answers.set(ylim=(0, 1.05), yticks=[0, 0.5, 1])
        answers.tick_params(axis="y", colors="tab:blue", labelright=above is axes[0, -1])
        below.semilogy(np.maximum(game.excess, 1e-8), color="tab:red")
        below.axhline(1e-6, color="grey", lw=0.8, ls="--")
        below.set(xlabel="step")
    answers.set_ylabel("D(x)", color="tab:blue")
    handles = above.get_legend_handles_labels()[0] + answers.get_legend_handles_labels()[0]
    axes[0, 0].legend(handles=handles, loc="upper left", fontsize="small")
    axes[0, 0].set_ylabel("mass of a point")
    axes[1, 0].set_ylabel("C(G) + log 4 (nats)")
    return figure


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Proposition 2 of the paper, with and without its conditions.")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where to write (default %(default)s)")
    parser.add_argument("--points", type=int, default=81, metavar="N", help="points of the grid (default 81)")
    options = parser.parse_args(arguments)
    if options.points < 9:
        parser.error(f"argument --points: {options.points} is too coarse a grid for two bumps; give 9 or more")
    x, data, games = play(options.points)
    print(table(games))
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "proposition_2.png"
    draw(x, data, games).savefig(picture, dpi=80, metadata={"Software": None})
    mention(f"\nDrawn in {picture}")


if __name__ == "__main__":
    main()
