"""Two distributions over the same points: the arguments of every function of this package.

Each formula of section 4 is a sum or an integral over x of a term that depends on p(x) and q(x). So each is written as
that term, and `total` sums it over masses or integrates it over densities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygan.errors import DistributionError
from tinygan.theory.distributions import FADED, SUM_TOLERANCE, Density, Floats, Masses, fades, read_distribution
from tinygan.theory.quadrature import halved, integrate, pieces, points

# It maps p(x), log p(x), q(x), log q(x) and the other arguments of `total` to the term at x.
Term = Callable[..., Any]

_ACCEPTED = 1e-8  # accepted error of a total, relative to max(1, |total|)
_DROPPED = 1e3  # a logarithm hidden by rounding is assumed to be at most this, where there is little mass
_FADED_TO_1 = -34.0  # if log(1 - D) is below this just before D becomes 1, the 1 comes from rounding; see `fades`
_ROUNDED = 2.0**-53  # rounding error of a number just below 1
_LEAST = 2.0**-46  # D is evaluated no closer to an anchor than this share of its size
_CLOSER = 2  # number of times that pieces are halved because D may change there
_SOME = 1e-4  # ... if a piece has more mass than this
_MOST_PIECES = 500  # limit of the search for overlooked mass

LINE = (-math.inf, math.inf)


@dataclass(frozen=True)
class MassPair:
    """Two distributions on the same n points."""

    p: Floats
    q: Floats

    def total(self, term: Term, *others: Floats) -> float:
        """Sum a term over the points; `others` are arrays of shape (n,)."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # log 0 = -inf is intended
            return float(term(self.p, np.log(self.p), self.q, np.log(self.q), *others).sum())


@dataclass(frozen=True)
class Answers:
    """A discriminator over the real line.

    Attributes
    ----------
    logs : callable
        It maps x, a number or an array, to log D(x) and log(1 - D(x)).
    rounded : bool
        Whether both come from D(x), which has no digits for 1 - D close to 1, instead of from its logit.
    """

    logs: Callable[[Any], tuple[Any, Any]]
    rounded: bool


@dataclass(frozen=True)
class DensityPair:
    """Two densities on the real line, and the pieces on which both integrate to 1."""

    operation: str
    p: Density
    q: Density
    panels: Floats

    def total(self, term: Term, answers: Answers | None = None) -> float:
        """Integrate a term over the union of the supports.

        The total is infinite if the term is infinite on a set with any mass. Where a number was rounded to 0 (or D to
        1), its logarithm is not known: the term counts as 0 if it cannot matter, else it is refused.
        """
        panels = self.panels
        if answers is not None:  # D may change where the densities do not
            for _ in range(_CLOSER):
                mass = self._masses(panels) > _SOME
                panels = np.concatenate([panels[~mass], halved(panels[mass])])

        zeros = False

        def rows(anchor: Floats, distance: Floats) -> Floats:
            nonlocal zeros
            logs = self._logs(answers, anchor, distance)
            zeros = zeros or bool(np.isneginf(logs).any())
            p, q = np.exp(logs[0]), np.exp(logs[1])
            found = [p, q, _apply(term, logs)]
            if answers is not None and answers.rounded:
                found.append(q * np.minimum(_ROUNDED * np.exp(-logs[3]), 1))  # the rounding error of log(1 - D)
            return np.array([np.where(np.isfinite(row), row, 0.0) for row in found])

        with np.errstate(all="ignore"):  # log 0 = -inf is intended
            totals, errors, panels = integrate(rows, panels)
            _check_integrals((self.p, self.q), totals, errors)
            total = float(totals[2])
            infinite, hidden = self._judge(term, answers, panels) if zeros else (None, [])
        if infinite:
            return infinite
        accepted = _ACCEPTED * max(1.0, abs(total))
        hidden.append((float(totals[3:].sum()), 0.0, f"{self.operation}: D has no digits for 1 - D close to 1"))
        for lost, _, what in hidden:
            if not lost <= accepted:
                raise DistributionError(
                    f"{what}, where the other distribution has mass: the logarithm counts; give "
                    + (
                        "the logit of D, with logits=True"
                        if " D " in what
                        else "a distribution of scipy.stats that has a formula for it, such as norm, or, if the "
                        "density is really 0 there, its support"
                    )
                )
        low, high = _union(self.p, self.q)
        if not errors[2] + sum(change for _, change, _ in hidden) <= accepted:
            raise DistributionError(
                f"{self.operation}: the integral from {low:g} to {high:g} did not converge: it may be infinite; if "
                "not, give points=[...] where a density or D jumps or peaks"
            )
        return total

    def _masses(self, panels: Floats) -> Floats:
        anchor, distance, weight = points(panels)
        both: Floats = np.exp(self.p.near(anchor, distance)) + np.exp(self.q.near(anchor, distance))
        return (both * weight).sum(axis=1)

    def _logs(self, answers: Answers | None, anchor: Floats, distance: Floats) -> Floats:
        """Return log p, log q and, with `answers`, log D and log(1 - D), which are nan where there is no mass."""
        logs = [self.p.near(anchor, distance), self.q.near(anchor, distance)]
        if answers is not None:
            some = (np.exp(logs[0]) > 0) | (np.exp(logs[1]) > 0)
            x = anchor + np.sign(distance) * np.maximum(abs(distance), _LEAST * abs(anchor))
            answer = np.full((2, len(x)), np.nan)
            answer[:, some] = answers.logs(x[some])
            logs += [*answer]
        return np.array(logs)

    def _judge(
        self, term: Term, answers: Answers | None, panels: Floats
    ) -> tuple[float | None, list[tuple[float, float, str]]]:
        """Return the total if it is infinite, and two bounds on the part of the total hidden by each rounded 0.

        The first bound comes from the mass there. The second comes from the last term that is not rounded, continued.
        """
        anchor, distance, weight = (values.ravel() for values in points(panels))
        order = np.lexsort((distance, anchor + distance))
        anchor, distance, weight = anchor[order], distance[order], weight[order]
        x, logs = anchor + distance, self._logs(answers, anchor, distance)
        here = _apply(term, logs)
        mass = (np.exp(logs[0]) + np.exp(logs[1])) * weight
        infinite, unknown, hidden = np.isinf(here), np.zeros(len(x), bool), []

        watched: list[tuple[int, str, Floats, Callable[[Any], Any], float]] = [
            (row, f"{density.name} is rounded to 0", np.where(density.has(x), logs[row], np.nan), density.log, FADED)
            for row, density in enumerate((self.p, self.q))
        ]
        if answers is not None and answers.rounded:
            watched += [
                (2, f"{self.operation}: D is rounded to 0", logs[2], lambda at: answers.logs(at)[0], FADED),
                (3, f"{self.operation}: D is rounded to 1", logs[3], lambda at: answers.logs(at)[1], _FADED_TO_1),
            ]
        for row, what, seen, log, limit in watched:
            for first, last in _runs(np.isneginf(seen)):
                edge = [
                    outer
                    for inner, outer in ((first, first - 1), (last, last + 1))
                    if 0 <= outer < len(x)
                    and np.isfinite(seen[outer])
                    and fades(log, x[inner], x[outer], max(abs(x[inner] - x[outer]), abs(distance[outer]) / 10), limit)
                ]
                if edge:
                    zone = slice(first, last + 1)
                    unknown[zone] = True
                    without = logs[:, edge].copy()
                    without[row] = -np.inf
                    change = here[edge] - np.nan_to_num(_apply(term, without), posinf=0, neginf=0)
                    hidden.append(
                        (
                            _DROPPED * float(mass[zone][infinite[zone]].sum()),
                            100 * float(abs(np.nan_to_num(change, posinf=0, neginf=0) * distance[edge]).sum()),
                            f"{what} from x = {x[first]:g} to {x[last]:g}",
                        )
                    )
        truly = infinite & ~unknown
        return float(here[truly].sum()) if truly.any() else None, hidden


def _apply(term: Term, logs: Floats) -> Floats:
    """Return the term at some x: 0 where neither density has mass."""
    p, q = np.exp(logs[0]), np.exp(logs[1])
    return np.where((p > 0) | (q > 0), term(p, logs[0], q, logs[1], *logs[2:]), 0.0)


def _runs(where: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first and last place of each run of True."""
    changes = np.flatnonzero(np.diff(where, prepend=False, append=False))
    return [(int(first), int(after) - 1) for first, after in changes.reshape(-1, 2)]


def _union(p: Density, q: Density) -> tuple[float, float]:
    return min(p.support[0], q.support[0]), max(p.support[1], q.support[1])


def _settle(p: Density, q: Density) -> Floats:
    """Return pieces of the line on which both densities integrate to 1."""
    panels = pieces(*_union(p, q), p.cuts + q.cuts)
    while True:
        totals, errors, panels = integrate(
            lambda anchor, distance: np.array([np.exp(p.near(anchor, distance)), np.exp(q.near(anchor, distance))]),
            panels,
        )
        missing = any(
            not density.stated and total < 1 - SUM_TOLERANCE for density, total in zip((p, q), totals, strict=True)
        )
        if not missing or len(panels) > _MOST_PIECES:
            _check_integrals((p, q), totals, errors)
            return panels
        panels = halved(panels)  # a narrow peak may lie between the nodes


def _check_integrals(densities: tuple[Density, Density], totals: Floats, errors: Floats) -> None:
    for density, total, error in zip(densities, totals[:2], errors[:2], strict=True):
        name, (low, high) = density.name, density.support
        if not error <= SUM_TOLERANCE / 10 * max(1.0, total):
            raise DistributionError(
                f"{name}: the integral from {low:g} to {high:g} did not converge; give points=[...] where the density "
                "jumps or peaks"
            )
        if not abs(total - 1) <= SUM_TOLERANCE:
            raise DistributionError(
                f"{name} integrates to {total:.9g} over ({low:g}, {high:g}); expected 1 within {SUM_TOLERANCE:g}; "
                "divide it by its integral, or, where quadrature overlooked a narrow peak, give points=[...] at the "
                "peak and its flanks"
            )


def read_pair(
    operation: str,
    first: tuple[str, Any],
    second: tuple[str, Any],
    support: tuple[float, float],
    cuts: Sequence[float],
) -> MassPair | DensityPair:
    """Turn two arguments, each with its name, into two distributions over the same points.

    Raises
    ------
    DistributionError
        An argument is not a distribution, or the two are of different kinds or lengths.
    """
    p, q = (read_distribution(f"{operation}: {name}", given, support, cuts) for name, given in (first, second))
    if isinstance(p, Density) and isinstance(q, Density):
        with np.errstate(all="ignore"):
            return DensityPair(operation, p, q, _settle(p, q))
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
            "of the same points in the same order; where one of them lacks a point, give it the mass 0"
        )
