"""A table of losses and penalties: the same networks, steps and optimisers for each, on one data set.

Usage: python examples/losses.py [--data ring|grid|digits] [--seeds N] [--steps N]

Each row is one game of `gan.Algorithm1`. The measures look at 2,500 samples (of the digits, at as many as there are
test images): the squared maximum mean discrepancy from new data, precision (the share of samples that lie among the
data), recall (the share of data that lie among the samples), and on a toy the modes found, by the protocol of PacGAN.
They are means over the seeds 0, ..., N - 1, with standard errors. The settings suit no loss in particular.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist

from tinygan import data, evaluation, gan, nn, optim
from tinygan.backend import Stream, Streams, blas_threads
from tinygan.data import toys

TOYS = {"ring": toys.ring(radius=1, std=0.01), "grid": toys.grid(spacing=0.5, std=0.0125)}
STEPS = {"ring": 4000, "grid": 6000, "digits": 800}
PACK = 4
PLACES = (4, 2, 2, 1, 2)  # of the numbers of a row, after the point
ROWS: dict[str, dict[str, Any]] = {
    "minimax": {"objective": "minimax"},
    "non-saturating": {},
    "lsgan": {"objective": "lsgan"},
    "hinge": {"objective": "hinge"},
    "wasserstein, clipping .05": {"objective": "wasserstein", "penalty": gan.WeightClipping(0.05)},
    "wasserstein, gradient penalty 10": {"objective": "wasserstein", "penalty": gan.GradientPenalty(10)},
    "non-saturating, R1 of 1": {"penalty": gan.R1(1)},
    "non-saturating, R2 of 1": {"penalty": gan.R2(1)},
    "non-saturating, DRAGAN 10": {"penalty": gan.DRAGAN(10)},
    "hinge, R1 of 1": {"objective": "hinge", "penalty": gan.R1(1)},
    "non-saturating, smoothing .1": {"label_smoothing": 0.1},
    "non-saturating, noise .3 to 0": {"instance_noise": 0.3},
    f"non-saturating, {PACK} packed": {"packing": PACK},
}


def play(name: str, what: str, seed: int, steps: int) -> tuple[float, ...]:
    """Play one game; return MMD^2, precision, recall, modes and milliseconds of processor time a step."""
    options, streams = dict(ROWS[what]), Streams(seed)
    m = options.pop("packing", 1)
    if "instance_noise" in options:
        options["instance_noise"] = gan.InstanceNoise(options["instance_noise"], steps)
    digits = data.load("digits") if name == "digits" else None
    toy = TOYS.get(name)
    units, noise, size, batch = (128, 2, 2, 128) if digits is None else (256, 32, 64, 64)
    with streams.active():
        last = [] if digits is None else [nn.Sigmoid()]
        generator = nn.Sequential(
            nn.Linear(noise, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU(), nn.Linear(units, size), *last
        )
        discriminator: nn.Module = nn.Sequential(
            nn.Linear(m * size, units), nn.LeakyReLU(0.2), nn.Linear(units, units), nn.LeakyReLU(0.2),
            nn.Linear(units, 1),
        )  # fmt: skip
    lr: Any = optim.ExponentialDecay(0.002, 10 ** (1 / steps)) if digits is None else 0.001
    adam = partial(optim.Adam, lr=lr, betas=(0.0 if digits is None else 0.5, 0.999))
    game = gan.Algorithm1(
        generator,
        discriminator if m == 1 else gan.Packed(discriminator, m),
        noise=gan.Noise("gaussian", noise),
        generator_optimizer=adam(generator.parameters()),
        discriminator_optimizer=adam(discriminator.parameters()),
        streams=streams,
        **options,
    )
    seconds = 0.0
    for _ in range(steps):
        real = _rows(digits, toy, batch, streams["data"])
        before = time.process_time()
        game.step(real)
        seconds += time.process_time() - before
    count = evaluation.PACGAN_SAMPLES if digits is None else len(digits.test)
    samples = gan.sample(generator, count, game.noise, Stream(seed, "measure"))
    fresh = digits.test.images if digits is not None else _rows(None, toy, count, Stream(seed, "fresh"))
    found = evaluation.precision_recall(samples, fresh)
    modes = evaluation.count_modes(samples, toy.modes, toy.std).recovered if toy is not None else np.nan
    width = float(np.median(pdist(fresh[:500])))  # of the data: one bandwidth for all games
    mmd = evaluation.maximum_mean_discrepancy(samples, fresh, width).squared
    return mmd, found.precision, found.recall, modes, 1000 * seconds / steps


def _mean_and_error(values: tuple[float, ...], places: int) -> str:
    """Return the mean over the seeds, and its standard error if there are two seeds or more."""
    if np.isnan(values).any():
        return ""
    error = f" ± {np.std(values, ddof=1) / len(values) ** 0.5:.{places}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{places}f}{error}"


def _rows(digits: Any, toy: Any, count: int, stream: Stream) -> Any:
    if digits is None:
        return toy.sample(count, stream)
    return digits.train.images[stream.integers(0, len(digits.train), (count,))]


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="A table of losses and penalties.")
    parser.add_argument("--data", choices=sorted(STEPS), default="ring")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int)
    options = parser.parse_args(arguments)
    steps = options.steps or STEPS[options.data]
    print(f"{options.data}, {steps:,} steps")
    print(f"{'loss':34} {'MMD^2':>15} {'precision':>11} {'recall':>11} {'modes':>11} {'ms':>11}")
    with blas_threads(1):
        for what in ROWS:
            results = [play(options.data, what, seed, steps) for seed in range(max(1, options.seeds))]
            columns = zip(*results, strict=True)
            mmd, precision, recall, modes, ms = map(_mean_and_error, columns, PLACES)
            print(f"{what:34} {mmd:>15} {precision:>11} {recall:>11} {modes:>11} {ms:>11}", flush=True)


if __name__ == "__main__":
    main()
