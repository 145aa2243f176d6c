"""The equations of section 4 on random distributions: the worst error of each.

Usage: python examples/section_4.py [--pairs N] [--seed S]

Draws N pairs of distributions over up to 30 points. Some are nearly uniform, some have nearly all mass on one point.
Computes each statement in two ways, and prints a table of the largest differences.
"""

from __future__ import annotations

import argparse
import math
from fractions import Fraction

import numpy as np

from tinygan import theory

LOG_4 = math.log(4)


def worst_errors(pairs: int, seed: int) -> dict[str, float]:
    """Return the largest deviation from each statement; for an inequality, the largest amount by which it fails."""
    rng = np.random.default_rng(seed)
    worst: dict[str, float] = {}
    for _ in range(pairs):
        p, q = rng.dirichlet(np.full(rng.integers(1, 30), rng.choice([0.03, 0.3, 3.0])), 2)
        p, q = p / p.sum(), q / q.sum()
        m = (p + q) / 2
        best, c = theory.optimal_discriminator(p, q), theory.criterion(p, q)
        masses = [(Fraction(a), Fraction(b)) for a, b in zip(p, q, strict=True)]
        exact = [float(a / (a + b)) if a + b else math.nan for a, b in masses]
        found = {
            "equation 2: D* = p_data / (p_data + p_g)": np.nanmax(abs(best - exact)),
            "Proposition 1: no D has a higher value than D*": theory.value(p, q, rng.uniform(size=len(p))) - c,
            "equation 4: C(G) = V(D*, G)": abs(c - theory.value(p, q, best)),
            "equation 5: two divergences from the average": abs(
                c + LOG_4 - theory.kl_divergence(p, m) - theory.kl_divergence(q, m)
            ),
            "equation 6: C(G) = -log 4 + 2 JSD": abs(c + LOG_4 - 2 * theory.js_divergence(p, q)),
            "Theorem 1: C = -log 4 where p_g = p_data": abs(theory.criterion(p, p) + LOG_4),
            "Theorem 1: C is nowhere lower": -LOG_4 - c,
        }
        worst = {name: max(worst.get(name, 0.0), float(error)) for name, error in found.items()}
    return worst


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The worst error of each equation of section 4.")
    parser.add_argument("--pairs", type=int, default=3000, metavar="N", help="pairs of distributions (default 3000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="0 or more (default 0)")
    options = parser.parse_args(arguments)
    for name, least in (("pairs", 1), ("seed", 0)):
        if getattr(options, name) < least:
            parser.error(f"argument --{name}: must be at least {least}, got {getattr(options, name)}")
    for name, error in worst_errors(options.pairs, options.seed).items():
        print(f"{name:48} {error:.1e}")


if __name__ == "__main__":
    main()
