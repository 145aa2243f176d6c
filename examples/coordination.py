"""Section 7, item 5: better methods for coordinating G and D, or better distributions to sample z from.

Usage: python examples/coordination.py [--rows ROW ...] [--iterations N] [--published] [--seeds N] [--json] ...

The game is PacGAN's (Lin et al., 2018), on a grid of 25 Gaussians: both players move at once, by Adam, on minibatches
of 100; G has four layers of 400 units with batch normalization, D three of 200 maxout units. A row changes one thing:

- k-5: D has 5 updates for each of G, as in Algorithm 1.
- rates: D's learning rate is twice, and G's half, that of the others (Heusel et al., 2017, use two rates).
- unrolled-S: G's loss is that of D after S virtual updates, and its gradient flows through them (Metz et al., 2017):
  m = b1 m + (1 - b1) dL_D/dw, w = w - r m. The first is the update that Adam makes; its rates r, with the mean square
  of the gradient, are held fixed in all of them. D itself moves as in the plain game.
- packed-M: D judges M samples at once (PacGAN). As there, a minibatch has 100 packs: M times as many samples.
- uniform, z-16: z is uniform instead of Gaussian, or has 16 numbers instead of 2.

Every row has the same number of updates of G; what they cost is in the table. --published takes the paper's 400,000
iterations at a rate of 1e-4, and hours; the default is shorter, with a larger rate that falls.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import tinygan as tg
from tinygan import evaluation, gan, nn, optim
from tinygan.backend import Stream, Streams
from tinygan.cli.arguments import Parser, positive
from tinygan.cli.figures import run_program
from tinygan.cli.output import say
from tinygan.cli.seeds import add_options, measure, show
from tinygan.data import toys

TOY, BATCH, UNITS, WIDTH, BETAS, EVERY = toys.grid(), 100, 400, 200, (0.8, 0.999), 2000
ITERATIONS, RATE, FALL = 3000, 3e-3, 30  # of the short game
PUBLISHED = "Published, after 400,000 iterations (ten runs): plain 17.3 ± .8 of 25 modes, packed-4 24.8 ± .2."
ROWS: dict[str, dict[str, Any]] = {"plain": {}, "k-5": {"k": 5}, "rates": {"faster": 2}}
ROWS |= {f"unrolled-{steps}": {"unrolled": steps} for steps in (1, 3)} | {f"packed-{m}": {"m": m} for m in (2, 4)}
ROWS |= {"uniform": {"noise": gan.Noise("uniform", 2)}, "z-16": {"noise": gan.Noise("gaussian", 16)}}


def start(seed: int, lr: Any, k: int = 1, faster: float = 1, m: int = 1, noise: Any = None) -> gan.Algorithm1:
    """Build the game; `lr` is a function of the number of G's updates."""
    noise, streams = noise or gan.Noise("gaussian", 2), Streams(seed)
    with streams.active():
        hidden = [(nn.Linear(n, UNITS, bias=False), nn.BatchNorm(UNITS), nn.ReLU()) for n in (noise.size, *[UNITS] * 3)]
        g = nn.Sequential(*sum(hidden, ()), nn.Linear(UNITS, 2))
        maxout = [nn.Maxout(inputs, WIDTH, 5) for inputs in (2 * m, WIDTH, WIDTH)]
        d = gan.Packed(nn.Sequential(*maxout, nn.Linear(WIDTH, 1)), m)
    for parameter in (p for p in (*g.parameters(), *d.parameters()) if p.ndim == 2):
        parameter.data = np.float32(0.02) * streams["weights"].normal(parameter.shape)
    g_adam = optim.Adam(g.parameters(), lambda t: lr(t) / faster, BETAS)
    d_adam = optim.Adam(d.parameters(), lambda t: lr(t // k) * faster, BETAS)
    fixed: Any = {"schedule": "simultaneous", "shared_noise": True, "noise": noise, "streams": streams}
    return gan.Algorithm1(g, d, k=k, generator_optimizer=g_adam, discriminator_optimizer=d_adam, **fixed)


def unrolled(d: nn.Module, real: Any, fake: Any, means: list[Any], rates: Any, steps: int) -> tuple[tg.Tensor, Any]:
    """Return G's loss after virtual updates of D, and the gradient of D's loss before them, from which rates follow."""
    now, first = dict(d.named_parameters()), list[Any]()
    for _ in range(max(1, steps)):
        judge = partial(nn.functional_call, d, now)
        loss = gan.discriminator_loss(judge(real), judge(fake))
        slopes = tg.grad(loss, list(now.values()), create_graph=steps > 0, retain_graph=True)
        first = first or [slope.detach() for slope in slopes]
        if steps:
            means = [BETAS[0] * m + (1 - BETAS[0]) * slope for m, slope in zip(means, slopes, strict=True)]
            now = {name: w - r * m for (name, w), r, m in zip(now.items(), rates(first), means, strict=True)}
    return gan.generator_loss(nn.functional_call(d, now, fake)), first


def step(game: gan.Algorithm1, batch: Any, steps: int) -> None:
    """Make one iteration, like `game.step`, with D unrolled for G."""
    (g, d), adam = (game.generator, game.discriminator), game.discriminator_optimizer
    state, weights = adam.state_dict()["arrays"], [*g.parameters(), *d.parameters()]
    means, squares = ([state.get(f"{slot}.{i}", 0 * p.data) for i, p in enumerate(adam.params)] for slot in adam.slots)
    scale, longer = adam.lr / (1 - BETAS[0] ** (adam.updates + 1)), 1 - BETAS[1] ** (adam.updates + 1)

    def rates(slopes: list[Any]) -> list[Any]:
        now = [BETAS[1] * v + (1 - BETAS[1]) * slope.data**2 for v, slope in zip(squares, slopes, strict=True)]
        return [tg.tensor(scale / (np.sqrt(v / longer) + 1e-8)) for v in now]

    fake = g(tg.tensor(game.noise.draw(len(batch), game.streams["noise"])))
    loss, slopes = unrolled(d, tg.tensor(batch), fake, list(map(tg.tensor, means)), rates, steps)
    for parameter, slope in zip(weights, [*tg.grad(loss, g.parameters()), *slopes], strict=True):
        parameter.grad = slope
    adam.step()
    game.generator_optimizer.step()


def samples_file(options: argparse.Namespace, row: str) -> Any:
    return options.out / f"coordination-{row}-{options.iterations}{'-published' if options.published else ''}.npy"


def play(options: argparse.Namespace, row: str, seed: int) -> dict[str, float]:
    """Play one game; keep the samples of seed 0 for the picture."""
    changes, begin = dict(ROWS[row]), time.process_time()
    steps = changes.pop("unrolled", None)
    lr = (lambda t: 1e-4) if options.published else optim.ExponentialDecay(RATE, FALL ** (1 / options.iterations))
    game = start(seed, lr, **changes)
    for i in range(1, options.iterations + 1):
        batch = TOY.sample(BATCH * changes.get("m", 1) * game.k, game.streams["data"])
        game.step(batch) if steps is None else step(game, batch, steps)
        if i % EVERY == 0 or i == options.iterations:
            samples = gan.sample(game.generator, evaluation.PACGAN_SAMPLES, game.noise, Stream(seed, "measure"))
            found = evaluation.count_modes(samples, TOY.modes, TOY.std)
            if not options.quiet:
                say(f"{row}, seed {seed}, {i:,} iterations: {found}")
    ms = 1000 * (time.process_time() - begin) / options.iterations
    if seed == 0:
        np.save(samples_file(options, row), samples)
    fresh = TOY.sample(len(samples), Stream(seed, "fresh"))
    mmd = evaluation.maximum_mean_discrepancy(samples, fresh, bandwidth=0.5).squared  # it tells the modes apart
    return {"modes": found.recovered, "high_quality": found.high_quality, "mmd2": mmd, "ms": ms}


def run(options: argparse.Namespace) -> None:
    """Play the games; print the table; draw the samples of seed 0 that are kept in the folder."""
    rows = list(dict.fromkeys(vars(options).pop("rows")))
    options.iterations = options.iterations or (400_000 if options.published else ITERATIONS)
    columns = {"modes": ".1f", "high_quality": ".1%", "mmd2": ".4f", "ms": ".1f", "seconds": ".0f"}
    show(options, measure(options, partial(play, options), rows), columns, PUBLISHED)
    figure = Figure(figsize=(10, 2.2 * -(-len(rows) // 5)), layout="constrained")
    for position, row in enumerate(rows):
        axes = figure.add_subplot(-(-len(rows) // 5), 5, position + 1, aspect="equal", xlim=(-5, 5), ylim=(-5, 5))
        axes.plot(*TOY.modes.T, "o", ms=8, mfc="none", color="tab:red", lw=0.8)
        file = samples_file(options, row)
        samples = np.load(file) if file.exists() else TOY.modes[:0]  # kept by a game in another folder
        axes.plot(*samples.T, ".", ms=1, color="tab:blue")
        axes.set(title=row if len(samples) else f"{row}: not here", xticks=[], yticks=[])
    figure.savefig(options.out / "coordination.png", dpi=80, metadata={"Software": None})


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="coordination", description="Section 7, item 5: coordinating G and D, and priors of z.")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--iterations", type=positive, metavar="N", help="updates of G")
    parser.add_argument("--published", action="store_true", help="the paper's rate and number of iterations")
    add_options(parser, seeds=3)
    return run_program(run, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
