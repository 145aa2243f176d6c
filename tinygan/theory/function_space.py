"""Proposition 2 as an algorithm: the game played on p_g itself instead of on the weights of a network.

Statement: if D reaches its optimum given G at each step, and p_g is updated to improve
U(p_g) = max over D of V(p_g, D) = C(G), then p_g converges to p_data.

Proof: for each D, V = E_data log D + E_g log(1 - D) is linear in p_g, and a supremum of linear functions is convex. The
derivative of the function that attains the supremum is a subgradient of the supremum (Danskin's theorem). So the
derivative of V at D*, which is log(1 - D*), is a subgradient of U. U has a single minimum, p_data, by Theorem 1. Small
steps along the negative subgradients of a convex function converge to its minimum.

The permitted size of a step depends on how it is measured. p_g is a point of the simplex: not negative, with sum 1. The
slope log(1 - D*) has no lower bound where p_g vanishes. So the step is taken in the logarithm, by exponentiated
gradient (mirror descent)::

    p_g(x) <- p_g(x) exp(-s log(1 - D*(x))) / Z,    that is   p_g^(1 - s) (p_data + p_g)^s / Z

It minimises s <slope, p> + KL(p || p_g). The second derivative of U, p_data / (p_g (p_data + p_g)) at each x, is at
most 1 / p_g, the second derivative of sum p_g log p_g. So for s <= 1 no step can raise U, and after k steps U is within
KL(p_data || start) / (s k) of its minimum. This bound is finite only if the start has mass wherever p_data has mass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygan.errors import ArgumentError
from tinygan.theory.distributions import Floats, read_masses
from tinygan.theory.game import criterion_term, optimal_discriminator
from tinygan.theory.pairs import MassPair, check_lengths

LARGEST_SAFE_STEP = 1.0  # up to this step size the criterion cannot rise

_ROUNDING = 1e-12  # the criterion is a sum of rounded terms: a smaller rise is not counted


@dataclass(frozen=True)
class Descent:
    """The course of a game in function space.

    Attributes
    ----------
    criterion : numpy.ndarray of float64, shape (steps + 1,)
        C(G) in nats, of the start and after each step.
    p_g : numpy.ndarray of float64, shape (n,)
        p_g at the end.
    discriminator : numpy.ndarray of float64, shape (n,)
        D at the end; nan where neither distribution has mass.
    path : numpy.ndarray of float64, shape (steps + 1, n), or None
        p_g at the start and after each step, with ``keep_path=True``.
    converged : bool
        Whether the last excess is below the tolerance and p_g has mass wherever p_data has mass. Without that mass p_g
        cannot reach p_data.
    verdict : str
        A sentence: it converged and how, or why it did not.
    """

    criterion: Floats
    p_g: Floats
    discriminator: Floats
    path: Floats | None
    converged: bool
    verdict: str

    @property
    def steps(self) -> int:
        """The number of steps taken."""
        return len(self.criterion) - 1

    @property
    def excess(self) -> Floats:
        """C(G) + log 4, how far each criterion is above the minimum of Theorem 1."""
        return self.criterion + math.log(4)


def descend(
    p_data: Any,
    start: Any,
    *,
    step_size: float = 0.1,
    max_steps: int = 2000,
    tolerance: float = 1e-6,
    freeze_discriminator: bool = False,
    keep_path: bool = False,
) -> Descent:
    """Play the game in function space: D at its optimum, small steps of p_g down the criterion (Proposition 2).

    If D is at its optimum and the steps are at most 1, p_g converges from every start that has mass wherever p_data has
    mass, and the criterion never rises. Each condition can be dropped; the verdict then states the result. A start
    without mass at such a point never converges, even if p_data has little mass there: no step can add mass to a point
    without mass.

    Parameters
    ----------
    p_data, start : array_like of shape (n,) or Tensor
        Masses of n points: the data, and p_g before the first step.
    step_size : float
        Above 0; s in the formula of this module's description.
    max_steps : int
        Stop after this number of steps.
    tolerance : float
        Stop when C(G) + log 4 is below this, in nats.
    freeze_discriminator : bool
        Keep the D that is optimal for the start.
    keep_path : bool
        Also return p_g after each step.

    Returns
    -------
    Descent

    Raises
    ------
    DistributionError
        p_data or start is not a distribution, or they differ in length.
    ArgumentError
        step_size, max_steps or tolerance is out of range.

    Examples
    --------
    >>> game = descend([0.7, 0.2, 0.1], [0.1, 0.1, 0.8])
    >>> game.p_g.round(2), game.discriminator.round(2)
    (array([0.7, 0.2, 0.1]), array([0.5, 0.5, 0.5]))
    >>> game.verdict.split(":")[0]
    'converged in 134 steps, C(G) falling all the way'
    >>> descend([0.7, 0.2, 0.1], [0.0, 0.2, 0.8]).verdict.split(", and")[0]
    'no convergence in 2000 steps, C + log 4 = 0.684: the start has no mass on 1 point where p_data has 0.7'
    """
    p = read_masses("descend: p_data", p_data).p
    first = p_g = read_masses("descend: start", start).p
    check_lengths("descend", ("p_data", p), ("start", p_g))
    _check_numbers(step_size, max_steps, tolerance)

    slope = _slope(p, p_g)
    course, path = [_criterion(p, p_g)], [p_g]
    while course[-1] + math.log(4) >= tolerance and len(course) <= max_steps:
        p_g = _step(p_g, slope, step_size)
        if not freeze_discriminator:
            slope = _slope(p, p_g)
        course.append(_criterion(p, p_g))
        if keep_path:
            path.append(p_g)

    converged = course[-1] + math.log(4) < tolerance and not ((p_g == 0) & (p > 0)).any()
    rises = int((np.diff(course) > _ROUNDING).sum())
    d = optimal_discriminator(p, first if freeze_discriminator else p_g)
    reasons = [] if converged else _reasons(p, first, p_g, d if freeze_discriminator else None, step_size, rises)
    return Descent(
        criterion=np.array(course),
        p_g=p_g,
        discriminator=d,
        path=np.array(path) if keep_path else None,
        converged=converged,
        verdict=_verdict(course, converged, rises, reasons),
    )


def _slope(p_data: Floats, p_g: Floats) -> Floats:
    """Return log(1 - D*) = log p_g - log(p_data + p_g), the derivative of V with respect to p_g; 0 where p_g is 0.

    If D* is close to 1, the difference 1 - D* would lose digits.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p_g > 0, np.log(p_g / (p_data + p_g)), 0.0)


def _step(p_g: Floats, slope: Floats, step_size: float) -> Floats:
    """Make one step of exponentiated gradient: multiply each mass by exp(-s slope), then divide by the sum."""
    with np.errstate(divide="ignore"):  # log 0 = -inf: a mass of 0 stays 0
        exponent = np.log(p_g) - step_size * slope
    weights = np.exp(exponent - exponent.max())
    return weights / weights.sum()


def _criterion(p_data: Floats, p_g: Floats) -> float:
    return MassPair(p_data, p_g).total(criterion_term)


def _check_numbers(step_size: float, max_steps: int, tolerance: float) -> None:
    def number(given: Any) -> bool:
        return isinstance(given, Real) and not isinstance(given, bool)

    if not (number(step_size) and 0 < step_size <= 1e6):
        raise ArgumentError(f"descend: step_size is {step_size!r}; expected a number above 0, such as 0.1, up to 1e6")
    if not (number(max_steps) and isinstance(max_steps, Integral) and max_steps >= 1):
        raise ArgumentError(f"descend: max_steps is {max_steps!r}; expected a whole number of at least 1")
    if not (number(tolerance) and 0 < tolerance < math.inf):
        raise ArgumentError(f"descend: tolerance is {tolerance!r}; expected a number of nats above 0, such as 1e-6")


# ---------------------------------------------------------------------- the verdict


def _verdict(course: list[float], converged: bool, rises: int, reasons: list[str]) -> str:
    steps, excess = len(course) - 1, f"C + log 4 = {course[-1] + math.log(4):.3g}"
    if converged:
        manner = f"though C(G) rose in {rises} of them" if rises else "C(G) falling all the way"
        return f"converged in {steps} steps, {manner}: {excess}"
    return f"no convergence in {steps} steps, {excess}: {'; '.join(reasons)}"


def _reasons(p: Floats, start: Floats, p_g: Floats, frozen: Floats | None, step_size: float, rises: int) -> list[str]:
    """Return which conditions of the proposition did not hold, each with its consequence."""
    reasons = []
    if frozen is not None:
        corner = int(np.argmax(p_g))
        reasons.append(
            f"D is frozen, so V is linear in p_g and moves all mass to where D is highest: point {corner} holds "
            f"{p_g[corner]:.3g} of it, D there is {frozen[corner]:.3g}"
        )
    missing = (start == 0) & (p > 0)
    if missing.any():
        reasons.append(
            f"the start has no mass on {_points(missing)} where p_data has {p[missing].sum():.3g}, and a step "
            "multiplies masses, so 0 stays 0: p_g comes no closer than p_data restricted to the other points"
        )
    if step_size > LARGEST_SAFE_STEP:
        lost = (start > 0) & (p_g == 0) & (p > 0)
        overshot = f", {_points(lost)} with data lost all mass" if lost.any() else ""
        reasons.append(
            f"steps of {step_size:g} are too large and pass the minimum: C(G) rose in {rises} of "
            f"them{overshot}; up to {LARGEST_SAFE_STEP:g} it cannot rise"
        )
    return reasons or ["C(G) was still falling; allow more steps (max_steps) or larger ones (step_size)"]


def _points(where: NDArray[np.bool_]) -> str:
    count = int(where.sum())
    return "1 point" if count == 1 else f"{count} points"
