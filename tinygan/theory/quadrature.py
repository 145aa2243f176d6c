"""Integrals over the real line, by SciPy's adaptive quadrature.

An adaptive rule sees a function at a few points and refines where these disagree, so it overlooks what lies between
them. Hence the integral is cut where its function is known to change, and each tail is measured in the width of the
part before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

_ASKED = 1e-11  # absolute and relative error asked of each piece
_ACCEPTED = 1e-7  # of the whole; the estimates of the rule are cautious


class UnsettledError(ArithmeticError):
    """An integral did not settle."""


def integrate(function: Callable[[float], Any], low: float, high: float, cuts: Iterable[float]) -> float:
    """Integrate a function of one number and one sign from `low` to `high`, either of which may be infinite.

    Raises
    ------
    UnsettledError
        The estimate of the error stayed large: the integral may be infinite, or a jump or peak was not among `cuts`.

    Examples
    --------
    >>> round(integrate(lambda x: math.exp(-x * x / 2), -math.inf, math.inf, [0.0]), 6)  # the root of 2 pi
    2.506628
    """
    from scipy.integrate import quad  # takes longer to import than all of tinygan

    ends = [x for x in (low, high) if math.isfinite(x)]
    inner = sorted({x for x in cuts if low <= x <= high}.union(ends)) or [0.0]
    width = inner[-1] - inner[0] or 1.0
    pieces: list[tuple[Callable[[float], Any], float, float]] = [(function, a, b) for a, b in pairwise(inner)]
    if math.isinf(low):
        pieces.append((lambda u: width * function(inner[0] - width * u), 0.0, math.inf))
    if math.isinf(high):
        pieces.append((lambda u: width * function(inner[-1] + width * u), 0.0, math.inf))
    total = error = 0.0
    for f, a, b in pieces:
        # full_output: what was found is judged here, instead of a warning for each piece
        found, doubt, details, *_ = quad(f, a, b, epsabs=_ASKED, epsrel=_ASKED, limit=200, full_output=1)
        # Extrapolation also "sums" an integral that grows geometrically without end, as 1 + 2 + 4 + ... = -1.
        plain_sum = details["rlist"][: details["last"]].sum()
        total += found
        error += doubt if found * plain_sum >= 0 else abs(found)
    if not error <= _ACCEPTED * max(1.0, abs(total)):
        raise UnsettledError(f"the integral from {low:g} to {high:g} did not settle")
    return total
