"""Table 2 of the paper, shown: an undirected model and adversarial nets are trained, sampled and evaluated.

Usage: python examples/table_2.py [--seeds N] [--epochs N] [--results FILE] [--out DIR] [--json] [--quiet]

The undirected model is a restricted Boltzmann machine: p(v) = p*(v) / Z, log p*(v) = b'v + sum log(1 + exp(v'W + c)).
Its units are binary, so each pixel of the 8x8 digits is rounded to 0 or 1, and each sample of G.
- Training: persistent Markov chains estimate the gradient of log Z, one step an update (Tieleman, 2008): `chain_share`
  of the time. G needs no chain, but a D that keeps pace.
- Sampling: seconds for 1,000 independent samples. A Gibbs chain of n steps is worth n / tau, tau = 1 + 2 (rho_1 + ...),
  the `autocorrelation_time` of the slowest of ten principal components, over 100 chains after their first 500 steps.
- Evaluating p(x): log p of the test images, with Z from annealed importance sampling (Neal, 2001; Salakhutdinov and
  Murray, 2008). G has no p(x); a Parzen window on 1,000 samples takes its place, and stands in all rows.
`mmd_squared` compares the samples with the test images. Draws DIR/table_2.png; DIR is runs/examples by default.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from time import process_time as now
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit, logsumexp

from tinygan import data, evaluation
from tinygan.backend import Stream
from tinygan.cli.arguments import Parser, positive
from tinygan.cli.figures import run_program
from tinygan.cli.seeds import add_options, measure, show
from tinygan.config.experiment import load_experiment
from tinygan.experiments.trained import train_in_memory

DIGITS = data.load("digits")
TRAIN, VALIDATION, TEST = (np.round(split.images) for split in (DIGITS.train, DIGITS.validation, DIGITS.test))
WIDTH = 4.0  # of the kernel of MMD: the median distance of two test images
HIDDEN, RATE, BATCH, CHAINS = 256, 0.1, 64, 100
START, LENGTH, SAMPLES = 500, 2000, 1000  # steps before a chain is used, steps that are used, samples of each model
LAYERS = "{type='linear', units=256}, {type='leaky_relu', slope=0.2}, " * 2 + "{type='linear', units=1}"
GAME = [f"discriminator.layers=[{LAYERS}]", "generator.optimizer.lr=0.001", "training.penalty={kind='r1', weight=1.0}"]
NETS, DATA, FILE = "adversarial nets", "training images", "table_2, {} of {}.npz"
COLUMNS = {"training_seconds": ".1f", "autocorrelation_time": ".0f", "sampling_seconds": ".4f", "ais_log_p": ".1f"}
COLUMNS |= {"ais_seconds": ".2f", "parzen": ".1f", "parzen_seconds": ".2f", "mmd_squared": ".4f"}


class RBM:
    """A restricted Boltzmann machine. beta goes from independent pixels, at 0, to the RBM, at 1."""

    def __init__(self, mean: Any, hidden: int, stream: Stream) -> None:
        self.b0, self.stream = np.log(mean / (1 - mean)), stream
        self.W, self.b, self.c = 0.01 * stream.normal((len(mean), hidden)), self.b0.copy(), np.zeros(hidden)

    def coin(self, p: Any) -> Any:
        return (self.stream.uniform(p.shape) < p).astype(np.float32)

    def gibbs(self, v: Any, beta: float = 1.0) -> Any:
        h = self.coin(expit(beta * (v @ self.W + self.c)))  # h given v, then v given h
        return self.coin(expit(beta * (h @ self.W.T + self.b) + (1 - beta) * self.b0))

    def log_p_star(self, v: Any, beta: float = 1.0) -> Any:
        return v @ (beta * self.b + (1 - beta) * self.b0) + np.logaddexp(0, beta * (v @ self.W + self.c)).sum(axis=1)

    def log_z(self, runs: int = 100, temperatures: int = 1000) -> float:
        """Return log Z, estimated: log Z at beta = 0, which is known, and the mean weight of runs from there to 1."""
        v, weights = self.coin(np.tile(expit(self.b0), (runs, 1))), np.zeros(runs)
        for k in range(temperatures):
            weights += self.log_p_star(v, (k + 1) / temperatures) - self.log_p_star(v, k / temperatures)
            v = self.gibbs(v, (k + 1) / temperatures)
        return float(len(self.c) * np.log(2) + np.logaddexp(0, self.b0).sum() + logsumexp(weights) - np.log(runs))

    def learn(self, images: Any, epochs: int) -> None:
        """Follow the gradient of the mean log p; persistent chains estimate that of log Z."""
        chains = self.coin(np.full((CHAINS, images.shape[1]), 0.5))
        for epoch in range(epochs):
            rate, order = RATE * (1 - epoch / epochs), self.stream.permutation(len(images))
            for v in images[order[: len(images) // BATCH * BATCH]].reshape(-1, BATCH, images.shape[1]):
                chains = self.gibbs(chains)
                h, h_chains = expit(v @ self.W + self.c), expit(chains @ self.W + self.c)
                self.W += rate * (v.T @ h / BATCH - chains.T @ h_chains / CHAINS)
                self.b += rate * (v.mean(axis=0) - chains.mean(axis=0))
                self.c += rate * (h.mean(axis=0) - h_chains.mean(axis=0))


def autocorrelation(x: Any) -> tuple[float, Any]:
    """Return tau of chains (steps, chains), summed over the lags below 5 tau (Sokal's rule), and rho at each lag."""
    power = (np.abs(np.fft.rfft(x - x.mean(), 2 * len(x), axis=0)) ** 2).mean(axis=1)
    rho = np.fft.irfft(power)[: len(x)] / np.arange(len(x), 0, -1)
    sums = 2 * np.cumsum(rho / rho[0]) - 1
    return float(sums[min(np.flatnonzero(np.arange(len(x)) >= 5 * sums), default=-1)]), rho / rho[0]


def play(given: argparse.Namespace, row: str, seed: int) -> dict[str, float]:
    begin, numbers, rho = now(), dict[str, float](), np.eye(1, 200)[0]  # rho of independent samples
    if row == NETS:
        config = load_experiment("digits", [*GAME, f"training.epochs={max(1, given.epochs // 3)}", f"seed={seed}"])
        trained = train_in_memory(config, DIGITS)
        numbers["training_seconds"], begin = now() - begin, now()
        shown = samples = np.round(trained.draw(SAMPLES, Stream(seed, "measure")))
        numbers["sampling_seconds"] = now() - begin
    elif row == DATA:
        shown = samples = TRAIN[Stream(seed, "data").permutation(len(TRAIN))[:SAMPLES]]
    else:
        epochs, rbm = int(row.split()[1]), RBM(TRAIN.mean(axis=0).clip(0.01, 0.99), HIDDEN, Stream(seed, "rbm"))
        rbm.learn(TRAIN, epochs)
        seconds, begin, v = now() - begin, now(), rbm.coin(np.full((CHAINS, 64), 0.5))
        states = np.array([v := rbm.gibbs(v) for _ in range(START + LENGTH)])[START:]
        a_step = (now() - begin) / (START + LENGTH)
        numbers |= {"training_seconds": seconds, "chain_share": a_step * epochs * (len(TRAIN) // BATCH) / seconds}
        components = np.linalg.svd(TRAIN - TRAIN.mean(axis=0), full_matrices=False)[2][:10]
        tau, rho = max((autocorrelation(states @ each) for each in components), key=lambda found: found[0])
        numbers |= {"autocorrelation_time": tau, "sampling_seconds": SAMPLES * tau * a_step / CHAINS}
        begin = now()
        numbers |= {"ais_log_p": float(rbm.log_p_star(TEST).mean()) - rbm.log_z(), "ais_seconds": now() - begin}
        samples, shown = states[:: LENGTH * CHAINS // SAMPLES].reshape(SAMPLES, 64), states[:, 0]
    if seed == 0:  # for the figure: as the file of --results keeps the numbers
        np.savez(given.out / FILE.format(row, given.epochs), shown=shown[:20].reshape(-1, 8, 8), rho=rho[:200])
    begin, sigma = now(), evaluation.select_sigma(samples, VALIDATION)
    numbers["parzen"] = float(evaluation.parzen_log_likelihood(samples, TEST, sigma).mean())
    mmd = evaluation.maximum_mean_discrepancy(samples, TEST, WIDTH).squared
    return numbers | {"parzen_seconds": now() - begin, "mmd_squared": mmd}


def run(options: argparse.Namespace) -> None:
    rows = [*(f"RBM, {n} epochs" for n in sorted({max(1, options.epochs // k) for k in (15, 3, 1)})), NETS, DATA]
    found = measure(options, partial(play, options), rows)
    shown = [row for row in rows[:-1] if (options.out / FILE.format(row, options.epochs)).exists()]
    figure = Figure(figsize=(10, 4 + len(shown)), layout="constrained")
    *places, curves = figure.subplots(len(shown) + 1, height_ratios=[1] * len(shown) + [4], squeeze=False)[:, 0]
    for place, row in zip(places, shown, strict=True):
        kept = np.load(options.out / FILE.format(row, options.epochs))
        place.imshow(np.hstack(np.pad(kept["shown"], ((0, 0), (1, 1), (1, 1)), constant_values=0.4)), cmap="gray")
        place.set(title=f"{row}: {'20 samples' if row == NETS else '20 steps of a chain'}", xticks=[], yticks=[])
        curves.plot(kept["rho"])
    curves.set(title="autocorrelation of the slowest component", xlabel="steps of the chain, or samples of G")
    curves.legend(shown)
    figure.savefig(options.out / "table_2.png", dpi=80, metadata={"Software": None})
    show(options, found, COLUMNS)


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="table_2", description="Table 2 of the paper, shown.")
    parser.add_argument("--epochs", type=positive, default=300, metavar="N", help="of the RBM (default: %(default)s)")
    add_options(parser)
    return run_program(run, parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
