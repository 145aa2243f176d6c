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
DIVERGING = 1.2  # growth of a slope as the step is halved; if more, it has no limit (that of a root is 1.41, a jump 2)


@dataclass
class Slopes:
    """The derivative of each element of g at 0.

    Attributes
    ----------
    value : array
        The derivative.
    left, right : array
        The one-sided slopes at a kink; elsewhere `value`.
    noise : array
        The error that rounding can have made.
    doubt : array
        The error, truncation included, that the estimate suspects itself of.
    kink : array of bool
    undefined : array of bool
        g is not finite in any neighbourhood that was tried, or its slope has no limit; compare nothing here.
    """

    value: Array
    left: Array
    right: Array
    noise: Array
    doubt: Array
    kink: Array
    undefined: Array

    @classmethod
    def empty(cls, shape: int | tuple[int, ...]) -> Slopes:
        """Slopes of which nothing is known yet."""
        value, left, right = (np.full(shape, np.nan) for _ in range(3))
        noise, doubt = (np.full(shape, np.inf) for _ in range(2))
        return cls(value, left, right, noise, doubt, np.zeros(shape, bool), np.ones(shape, bool))

    def take(self, other: Slopes, where: Array) -> None:
        """Copy the elements of `other` for which `where` is true."""
        for name, mine in vars(self).items():
            np.copyto(mine, getattr(other, name), where=where)

    def put_column(self, j: int, column: Slopes, scale: float) -> None:
        """Write `column`, taken along `scale` times the j-th unit vector, as column j of a Jacobian."""
        for name in ("value", "left", "right", "noise", "doubt"):
            getattr(self, name)[:, j] = getattr(column, name) / scale
        self.kink[:, j], self.undefined[:, j] = column.kink, column.undefined

    def block(self, rows: slice, columns: slice) -> Slopes:
        """Return a part of a Jacobian."""
        return Slopes(*(array[rows, columns] for array in vars(self).values()))


def complex_step(g: Line, g0: Array) -> Slopes:
    """Return the derivative by a complex step; where it is not finite, it is undefined."""
    value = np.imag(g(1j * COMPLEX_STEP)) / COMPLEX_STEP
    noise = ROUNDING * np.finfo(np.float64).eps * (np.abs(g0) + np.abs(value))
    undefined = ~(np.isfinite(value) & np.isfinite(g0))
    return Slopes(value, value, value, noise, noise, np.zeros(value.shape, bool), undefined)


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
        Says of which elements the slopes are what was expected. Others are estimated again with every smaller step,
        and the estimate that doubts itself least is kept; the expected value never enters the estimate.
    first_step : float, optional
        By default the fifth root of `precision`, which balances h^4 against rounding over h.
    """
    h = precision**0.2 if first_step is None else first_step
    smallest = min(4 * precision**0.5, h)
    best = Slopes.empty(g0.shape)
    settled = np.zeros(g0.shape, bool)
    first_slope = None
    while True:
        smooth, guess, rough, slope = _stencil(g, g0, h, precision)
        first_slope = np.nan_to_num(slope) if first_slope is None else first_slope
        best.take(guess, where=~settled & ~guess.undefined & (guess.doubt < best.doubt))
        settled |= smooth & (True if agrees is None else agrees(guess))
        h /= 8
        if settled.all() or h < smallest:
            break
    # a slope that diverges has grown since the first step, and a kink is not just the rest of a curve that flattens out
    rough.undefined &= slope > 2 * first_slope
    rough.kink &= ~rough.undefined & (slope > KINK * first_slope)
    best.take(rough, where=~settled & (rough.kink | rough.undefined))
    return best


def _stencil(g: Line, g0: Array, h: float, precision: float) -> tuple[Array, Slopes, Slopes, Array]:
    """Estimate slopes from g(-h), g(-h/2), g(0), g(h/2), g(h).

    Returns where g looks smooth; its slopes if it is; what they are if it is not; and the steeper one-sided slope.
    """
    ahead, near_ahead, near_behind, behind = g(h), g(h / 2), g(-h / 2), g(-h)
    finite = np.isfinite(g0 + ahead + near_ahead + near_behind + behind)
    outer, inner = (ahead - behind) / (2 * h), (near_ahead - near_behind) / h
    value = (4 * inner - outer) / 3
    noise = ROUNDING * precision * np.maximum(np.abs(g0), np.maximum(np.abs(ahead), np.abs(behind))) / h

    right, near_right = (ahead - g0) / h, (near_ahead - g0) / (h / 2)
    left, near_left = (g0 - behind) / h, (g0 - near_behind) / (h / 2)
    bend = np.abs(inner - outer)
    jump = np.abs(2 * (near_right - near_left) - (right - left))  # of the slope at 0, less the share of the curvature
    smooth = finite & (bend <= SMOOTH * np.abs(value) + noise) & (jump <= SMOOTH * np.abs(value) + noise)
    no = np.zeros(g0.shape, bool)
    guess = Slopes(value, value, value, noise, noise + bend / 3 + jump, no, ~finite)

    steepest = np.maximum(np.abs(near_left), np.abs(near_right))
    broken = finite & (np.maximum(jump, bend) > KINK * steepest + noise)
    # values that cancel to nearly 0 are noisier than their size says, and their slopes grow like 1/h without meaning it
    cancelled = noise + ROUNDING * precision / h
    diverging = broken & (
        (np.abs(near_right) > DIVERGING * np.abs(right) + cancelled)
        | (np.abs(near_left) > DIVERGING * np.abs(left) + cancelled)
    )
    kink = finite & (jump > KINK * steepest + noise)
    rough = Slopes(value, 2 * near_left - left, 2 * near_right - right, noise, noise, kink, diverging)
    return smooth, guess, rough, steepest
