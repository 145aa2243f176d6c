"""Numerical derivatives along a line: what a gradient is compared with.

Everything here is about a function g of one number t, with a vector of values: g(t) = f(x + t d), the function under
test seen along a direction d. Three methods, from the most accurate to the most general:

- The **complex step** (Squire and Trapp, 1998): f(x + ih d) = f(x) + ih f'(x) d + O(h^2), so the imaginary part over h
  is the derivative. Nothing is subtracted, so h may be 1e-20 and every digit is right. It asks for an f that is
  analytic and computes with complex numbers; |x| is not, so the caller verifies the result.
- **Central differences**, D(h) = (g(h) - g(-h)) / 2h, with an error in h^2 which **Richardson extrapolation** removes:
  (4 D(h/2) - D(h)) / 3 has one in h^4.
- At a **kink** there is no derivative but a slope to the left and one to the right; their difference is what is left
  of (g(h) - 2 g(0) + g(-h)) / h as h goes to 0.

The step begins large, where rounding is harmless, and shrinks for those elements whose numbers say that something is
the matter: an edge of the domain, a kink nearby, a curve too sharp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any
Line = Callable[[complex], Array]

COMPLEX_STEP = 1e-20
ROUNDING = 8.0  # units in the last place that a value of f may be off by
SMOOTH = 1e-4  # relative disagreement of the estimates within one stencil above which a smaller step is tried
KINK = 1e-4  # relative difference of the slopes above which a point counts as a kink
DIVERGING = 1.2  # growth of a slope, as the step is halved, above which it has no finite limit (a root: 1.41, a jump: 2)


@dataclass
class Slopes:
    """The derivative of each element of g at 0.

    Attributes
    ----------
    value : array
        The derivative.
    left, right : array
        The one-sided slopes at a kink; elsewhere `value`.
    doubt : array
        By how much `value` may be wrong, by its own account.
    kink : array of bool
    undefined : array of bool
        g is not finite in any neighbourhood that was tried, or its slope has no limit; compare nothing here.
    """

    value: Array
    left: Array
    right: Array
    doubt: Array
    kink: Array
    undefined: Array

    @classmethod
    def empty(cls, size: int | tuple[int, ...]) -> Slopes:
        """Slopes of which nothing is known yet."""
        nan = np.full(size, np.nan)
        no = np.zeros(size, bool)
        return cls(nan, nan.copy(), nan.copy(), np.full(size, np.inf), no, ~no)

    def take(self, other: Slopes, where: Array) -> None:
        """Copy the elements of `other` for which `where` is true."""
        for name, mine in vars(self).items():
            np.copyto(mine, getattr(other, name), where=where)

    def put_column(self, j: int, column: Slopes) -> None:
        """Write `column` as column j of a Jacobian."""
        for name, mine in vars(self).items():
            mine[:, j] = getattr(column, name)


def complex_step(g: Line, g0: Array) -> Slopes:
    """Return the derivative by a complex step; not finite, it is undefined."""
    value = np.imag(g(1j * COMPLEX_STEP)) / COMPLEX_STEP
    doubt = ROUNDING * np.finfo(np.float64).eps * (np.abs(g0) + np.abs(value))
    return Slopes(value, value, value, doubt, np.zeros(value.shape, bool), ~(np.isfinite(value) & np.isfinite(g0)))


def central_difference(
    g: Line,
    g0: Array,
    precision: float,
    agrees: Callable[[Slopes], Array] | None = None,
    first_step: float | None = None,
) -> Slopes:
    """Return the derivative by central differences with Richardson extrapolation, or the slopes at a kink.

    Parameters
    ----------
    g : callable
        Of t, measured so that g changes by about its own size as t goes from 0 to 1.
    g0 : array
        g(0).
    precision : float
        The distance between 1 and the next number of the dtype that g is computed in.
    agrees : callable, optional
        Says of which elements the slopes are what was expected; others are refined by smaller steps until their own
        error estimates get no better. The expected value never enters the estimate.
    first_step : float, optional
        By default the fifth root of `precision`, which balances h^4 against rounding over h.
    """
    step = precision**0.2 if first_step is None else first_step
    smallest = min(4 * precision**0.5, step)
    best = Slopes.empty(g0.shape)
    settled = np.zeros(g0.shape, bool)
    while step >= smallest and not settled.all():
        level, smooth, outcome = _stencil(g, g0, step, precision)
        best.take(level, where=~settled & (level.doubt < best.doubt) & ~level.undefined)
        settled |= smooth & ~level.undefined & (True if agrees is None else agrees(level))
        step /= 8
        last = outcome
    if not settled.all():
        best.take(last, where=~settled & (last.kink | (last.undefined & np.isfinite(last.doubt))))
    return best


def _stencil(g: Line, g0: Array, h: float, precision: float) -> tuple[Slopes, Array, Slopes]:
    """Estimate from g(-h), g(-h/2), g(0), g(h/2), g(h).

    Returns the slopes as if g were smooth; where that is believed; and what to make of the rest.
    """
    ahead, near_ahead, near_behind, behind = g(h), g(h / 2), g(-h / 2), g(-h)
    finite = np.isfinite(g0) & np.isfinite(ahead) & np.isfinite(near_ahead) & np.isfinite(near_behind)
    finite &= np.isfinite(behind)
    outer, inner = (ahead - behind) / (2 * h), (near_ahead - near_behind) / h
    value = (4 * inner - outer) / 3
    size = np.maximum(np.abs(g0), np.maximum(np.abs(ahead), np.abs(behind)))
    noise = ROUNDING * precision * size / h

    right, near_right = (ahead - g0) / h, (near_ahead - g0) / (h / 2)
    left, near_left = (g0 - behind) / h, (g0 - near_behind) / (h / 2)
    jump = np.abs(2 * (near_right - near_left) - (right - left))  # of the slope at 0, less the curvature's share
    bend = np.abs(inner - outer)
    smooth = (bend <= SMOOTH * np.abs(value) + noise) & (jump <= SMOOTH * np.abs(value) + 4 * noise)
    guess = Slopes(value, value, value, noise + bend / 3 + jump, np.zeros(g0.shape, bool), ~finite)

    steepest = np.maximum(np.abs(near_left), np.abs(near_right))
    kink = finite & (jump > KINK * steepest + 8 * noise)
    diverging = kink & (
        (np.abs(near_right) > DIVERGING * np.abs(right) + 4 * noise)
        | (np.abs(near_left) > DIVERGING * np.abs(left) + 4 * noise)
    )
    slopes = Slopes(value, 2 * near_left - left, 2 * near_right - right, 4 * noise, kink & ~diverging, diverging)
    return guess, smooth, slopes
