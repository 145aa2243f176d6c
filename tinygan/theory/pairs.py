"""Two distributions over the same points: what every function of this package takes.

The formulas of section 4 are all of one form, a sum or an integral over x of a term that depends on p(x) and q(x). So
they are written once, as that term, and `total` sums it over masses and integrates it over densities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.errors import DistributionError
from tinygan.theory.distributions import Density, Floats, Masses, read_distribution
from tinygan.theory.quadrature import UnsettledError, integrate

# From p(x), log p(x), q(x), log q(x), and the other functions of x that were handed to `total`, to the term at x.
Term = Callable[..., Any]

_NEGLIGIBLE = 1e-10  # mass on which a term may be infinite: densities are rounded to 0 far out in their tails

LINE = (-math.inf, math.inf)


@dataclass(frozen=True)
class MassPair:
    """Two distributions on the same n points."""

    p: Floats
    q: Floats

    def total(self, term: Term, *others: Floats) -> float:
        """Sum a term over the points; `others` are arrays of shape (n,)."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # log 0 = -inf, on purpose
            return float(term(self.p, np.log(self.p), self.q, np.log(self.q), *others).sum())


@dataclass(frozen=True)
class DensityPair:
    """Two densities on the real line."""

    operation: str
    p: Density
    q: Density

    def total(self, term: Term, *others: Callable[[float], Any]) -> float:
        """Integrate a term over the union of the supports; `others` are functions of x.

        The total is infinite where the term is so on a set of some mass; a single point has none.
        """
        infinite: set[float] = set()

        def finite_part(x: float) -> float:
            here = self._at(term, others, x)
            if math.isinf(here):
                infinite.add(here)
                return 0.0
            return here

        def mass_of_the_rest(x: float) -> float:
            return math.exp(self.p.log(x)) + math.exp(self.q.log(x)) if math.isinf(self._at(term, others, x)) else 0.0

        total = self._integrate(finite_part)
        if infinite and self._integrate(mass_of_the_rest) > _NEGLIGIBLE:
            return sum(infinite)
        return total

    def _at(self, term: Term, others: tuple[Callable[[float], Any], ...], x: float) -> float:
        log_p, log_q = self.p.log(x), self.q.log(x)
        p, q = np.exp(log_p), np.exp(log_q)
        if p == q == 0:
            return 0.0
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return float(term(p, log_p, q, log_q, *(other(x) for other in others)))

    def _integrate(self, function: Callable[[float], float]) -> float:
        low = min(self.p.support[0], self.q.support[0])
        high = max(self.p.support[1], self.q.support[1])
        try:
            return integrate(function, low, high, self.p.cuts + self.q.cuts)
        except UnsettledError as error:
            raise DistributionError(
                f"{self.operation}: {error}: it may be infinite; if not, give points=[...] where a density jumps or "
                "peaks"
            ) from error


def read_pair(
    operation: str,
    first: tuple[str, Any],
    second: tuple[str, Any],
    support: tuple[float, float],
    points: Sequence[float],
) -> MassPair | DensityPair:
    """Turn two arguments, each with its name, into two distributions over the same points.

    Raises
    ------
    DistributionError
        One is no distribution, or the two do not go together.
    """
    p, q = (read_distribution(f"{operation}: {name}", given, support, points) for name, given in (first, second))
    if isinstance(p, Density) and isinstance(q, Density):
        return DensityPair(operation, p, q)
    if isinstance(p, Masses) and isinstance(q, Masses):
        check_lengths(operation, (first[0], p.p), (second[0], q.p))
        return MassPair(p.p, q.p)
    masses, density = (first[0], second[0]) if isinstance(p, Masses) else (second[0], first[0])
    raise DistributionError(
        f"{operation}: {masses} is a list of masses and {density} a density; expected two of one kind; integrate the "
        "density over the cells of a grid to make masses of it"
    )


def check_lengths(operation: str, first: tuple[str, Floats], second: tuple[str, Floats]) -> None:
    """Refuse two lists of masses over different numbers of points."""
    if len(first[1]) != len(second[1]):
        raise DistributionError(
            f"{operation}: {first[0]} has {len(first[1])} masses and {second[0]} has {len(second[1])}; expected masses "
            "of the same points in the same order; give a point that one of them lacks the mass 0"
        )
