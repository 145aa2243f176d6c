"""Integrals over the real line: several functions at once, on one set of pieces.

An adaptive rule sees a function at a few points and refines where these disagree, so it overlooks what lies between
them. Of a density we know what its integral must be. So the densities are integrated beside whatever is made of them,
on the same pieces: where they come to 1 nothing of them was overlooked, and the answer rests on that.

Each piece is a range of t in x = anchor + e^t or x = anchor - e^t. One rule then serves all scales around an anchor: a
narrow peak at it, a density that is infinite there, and a heavy tail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# From anchors and signed distances to them, both of shape (k,), to the values of m functions there, shape (m, k).
Rows = Callable[[Floats, Floats], Floats]

# Two rules on a piece, with an even and an odd number of points. The second, after Lobatto, has its ends and its middle
# among them, so that no place of a jump inside is the same to both.
_GAUSS = np.polynomial.legendre.leggauss(12)
_LAST = np.polynomial.Legendre.basis(10)
_INNER = _LAST.deriv().roots()
_ENDS = np.concatenate([[-1.0], _INNER.real, [1.0]])
_LOBATTO = _ENDS, 2 / (11 * 10 * _LAST(_ENDS) ** 2)
_BELOW = np.array([0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 40])  # t, down from half way to the next cut
_BEYOND = np.array([0.5, 1, 1.5, 2, 2.5, 3, 4, 5])  # t, up from the scale of the cuts into an infinite tail
_LONGEST = 8.0  # of a piece that is added where a function has not died out yet
_T = 700.0  # e^t is a normal number up to here, either way
_TOO_CLOSE = 2.0**-40  # two cuts, relative to their size

_ENOUGH = 1e-14  # doubt about one piece, relative to the whole, at which it is left as it is
_ASKED = 1e-13  # ... about all pieces together
_THINNEST = 1e-13  # a piece, in t: with a jump inside, between two numbers of float64
_GONE = 1e-16  # a function per unit of t, relative to its integral, that needs no further piece
_MOST = 100_000  # points at which functions are evaluated; then what they are worth is judged by the doubt


def pieces(low: float, high: float, cuts: Iterable[float]) -> Floats:
    """Return the pieces of (low, high), shape (k, 5): anchor, side (1 or -1), two t, and which end is open (-1, 0, 1).

    Each cut between `low` and `high`, and each finite end, is an anchor, and what lies between two of them is halved.
    """
    ends = [x for x in (low, high) if math.isfinite(x)]
    anchors: list[float] = []
    for x in sorted({x for x in cuts if low < x < high}.union(ends)) or [0.0]:
        if not anchors or x - anchors[-1] > _TOO_CLOSE * max(abs(x), abs(anchors[-1])):
            anchors.append(x)
    found = []
    for a, b in pairwise(anchors):
        top = math.log(b / 2 - a / 2)
        found += [_ladder(a, 1.0, top), _ladder(b, -1.0, top)]
    top = math.log(anchors[-1] / 2 - anchors[0] / 2) if len(anchors) > 1 else 0.0
    for tail, anchor, side in ((low, anchors[0], -1.0), (high, anchors[-1], 1.0)):
        if math.isinf(tail):
            found += [_ladder(anchor, side, top), _steps(anchor, side, top + np.append(0, _BEYOND), 1)]
    return np.concatenate(found)


def _ladder(anchor: float, side: float, top: float) -> Floats:
    return _steps(anchor, side, (top - _BELOW)[::-1], -1)


def _steps(anchor: float, side: float, t: Floats, end: int) -> Floats:
    found = np.array([[anchor, side, a, b, 0.0] for a, b in pairwise(np.clip(t, -_T, _T)) if a < b])
    found[0 if end < 0 else -1, 4] = end
    return found


def halved(panels: Floats) -> Floats:
    """Return both halves of each piece."""
    lower, upper = panels.copy(), panels.copy()
    lower[:, 3] = upper[:, 2] = panels[:, 2:4].mean(axis=1)
    lower[lower[:, 4] > 0, 4] = upper[upper[:, 4] < 0, 4] = 0
    return np.concatenate([lower, upper])


def points(panels: Floats, rule: tuple[Floats, Floats] = _GAUSS) -> tuple[Floats, Floats, Floats]:
    """Return where a rule looks: anchors, signed distances and weights, each of shape (k, n)."""
    anchor, side, a, b, _ = panels.T[:, :, None]
    nodes, shares = rule
    t = a + (b - a) * (nodes + 1) / 2
    distance = np.exp(t)
    return anchor + 0 * t, side * distance, distance * (b - a) * shares / 2


def integrate(function: Rows, panels: Floats) -> tuple[Floats, Floats, Floats]:
    """Integrate several functions of x over the same pieces, halved until two rules agree on each about every function.

    Where a function has not died out towards an open end, pieces are added.

    Parameters
    ----------
    function : callable
        See `Rows`.
    panels
        Of `pieces`, or what an earlier call returned.

    Returns
    -------
    totals, errors : numpy.ndarray of float64, shape (m,)
        The integrals, and how far off they may be: large, or nan, where one diverges.
    panels
        The pieces in the end.

    Examples
    --------
    >>> gaussian_and_square = lambda anchor, distance: np.exp(-((anchor + distance) ** 2) * np.array([[0.5], [1.0]]))
    >>> totals, errors, _ = integrate(gaussian_and_square, pieces(-math.inf, math.inf, [0.0]))
    >>> totals**2 / math.pi, bool(errors.max() < 1e-11)
    (array([2., 1.]), True)
    """
    totals: Any = 0.0
    errors: Any = 0.0
    done, spent = [], 0
    while len(panels):
        panels = panels.copy()
        both = [points(panels, rule) for rule in (_GAUSS, _LOBATTO)]
        anchor, distance, weight = (np.concatenate(parts, axis=1) for parts in zip(*both, strict=True))
        values = function(anchor.ravel(), distance.ravel()).reshape(-1, *anchor.shape)
        spent += anchor.size
        n = len(_GAUSS[0])
        sums = (values * weight)[..., :n].sum(axis=2)
        doubt = abs(sums - (values * weight)[..., n:].sum(axis=2))
        scale = np.maximum(1, abs(totals + sums.sum(axis=1)))[:, None]
        settled = (doubt <= _ENOUGH * scale).all(axis=0)
        settled |= panels[:, 3] - panels[:, 2] < _THINNEST * (1 + abs(panels[:, 2]))
        left = doubt[:, ~settled].sum(axis=1)[:, None]
        if (left <= _ASKED * scale).all() or spent > _MOST or np.isnan(left).any():
            settled[:] = True
        totals = totals + sums[:, settled].sum(axis=1)
        errors = errors + doubt[:, settled].sum(axis=1)
        added = []
        for end, place, edge in ((-1, n, panels[:, 2]), (1, -1, panels[:, 3])):
            rate = abs(values[..., place] * distance[:, place])  # per unit of t
            alive = (rate > _GONE * scale).any(axis=0) & settled & (panels[:, 4] == end)
            errors = errors + 100 * rate[:, alive & (abs(edge) >= _T)].sum(axis=1)  # it may go on like this
            alive &= abs(edge) < _T
            for row, t in zip(panels[alive], edge[alive], strict=True):
                added.append(_steps(row[0], row[1], np.sort([t, t + end * _LONGEST]), end))
            panels[alive, 4] = 0
        done.append(panels[settled])
        panels = np.concatenate([halved(panels[~settled]), *added])
    return totals, errors, np.concatenate(done)
