"""Integrals over the real line: several functions at once, on one set of pieces.

An adaptive rule evaluates a function at a few points and refines where two rules disagree, so it can overlook a peak
between the points. The integral of a density must be 1. So the densities are integrated together with the terms
computed from them, on the same pieces: if the densities integrate to 1, none of their peaks was overlooked.

Each piece is a range of t in x = anchor + e^t or x = anchor - e^t. So one rule works at all scales around an anchor:
for a narrow peak, for a density that is infinite there, and for a heavy tail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# It maps anchors and signed distances from them, both of shape (k,), to the values of m functions, shape (m, k).
Rows = Callable[[Floats, Floats], Floats]

# Two rules on a piece, with an even and an odd number of points. The second (Lobatto) includes the ends and the middle,
# so that a jump anywhere inside makes the two rules differ.
_GAUSS = np.polynomial.legendre.leggauss(12)
_LAST = np.polynomial.Legendre.basis(10)
_INNER = _LAST.deriv().roots()
_ENDS = np.concatenate([[-1.0], _INNER.real, [1.0]])
_LOBATTO = _ENDS, 2 / (11 * 10 * _LAST(_ENDS) ** 2)
_BELOW = np.array([0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 40])  # t, down from halfway to the next cut
_BEYOND = np.array([0.5, 1, 1.5, 2, 2.5, 3, 4, 5])  # t, up from the scale of the cuts into an infinite tail
_LONGEST = 8.0  # length of a piece that is added where a function has not decayed yet
_T = 700.0  # e^t and e^-t are normal numbers up to here
_TOO_CLOSE = 2.0**-40  # least distance of two cuts, relative to their size

_ENOUGH = 1e-14  # error of one piece, relative to the total, at which it is not halved further
_ASKED = 1e-13  # ... of all pieces together
_THINNEST = 1e-13  # least length of a piece in t: a jump between two adjacent numbers of float64
_GONE = 1e-16  # a function per unit of t, relative to its integral, that needs no further piece
_MOST = 100_000  # limit of evaluated points; the errors then tell how precise the integrals are


def pieces(low: float, high: float, cuts: Iterable[float]) -> Floats:
    """Return the pieces of (low, high), shape (k, 5): anchor, side (1 or -1), two t, and which end is open (-1, 0, 1).

    Each cut between `low` and `high`, and each finite end, is an anchor. The interval between two anchors is halved.
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
    """Return the two halves of each piece."""
    lower, upper = panels.copy(), panels.copy()
    lower[:, 3] = upper[:, 2] = panels[:, 2:4].mean(axis=1)
    lower[lower[:, 4] > 0, 4] = upper[upper[:, 4] < 0, 4] = 0
    return np.concatenate([lower, upper])


def points(panels: Floats, rule: tuple[Floats, Floats] = _GAUSS) -> tuple[Floats, Floats, Floats]:
    """Return the nodes of a rule: anchors, signed distances and weights, each of shape (k, n)."""
    anchor, side, a, b, _ = panels.T[:, :, None]
    nodes, shares = rule
    t = a + (b - a) * (nodes + 1) / 2
    distance = np.exp(t)
    return anchor + 0 * t, side * distance, distance * (b - a) * shares / 2


def integrate(function: Rows, panels: Floats) -> tuple[Floats, Floats, Floats]:
    """Integrate several functions of x over the same pieces; halve a piece until two rules agree on every function.

    Pieces are added at an open end until the functions have decayed.

    Parameters
    ----------
    function : callable
        See `Rows`.
    panels
        From `pieces`, or returned by an earlier call.

    Returns
    -------
    totals, errors : numpy.ndarray of float64, shape (m,)
        The integrals and their estimated errors: large, or nan, for an integral that diverges.
    panels
        The final pieces.

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
            errors = errors + 100 * rate[:, alive & (abs(edge) >= _T)].sum(axis=1)  # the tail may continue like this
            alive &= abs(edge) < _T
            for row, t in zip(panels[alive], edge[alive], strict=True):
                added.append(_steps(row[0], row[1], np.sort([t, t + end * _LONGEST]), end))
            panels[alive, 4] = 0
        done.append(panels[settled])
        panels = np.concatenate([halved(panels[~settled]), *added])
    return totals, errors, np.concatenate(done)
