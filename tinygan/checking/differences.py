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

Every step is a power of 2, so that x + h is exact wherever it can be. The first one is a thousandth of x. An element
whose estimate is not smooth, or not what was expected, is estimated with all the other steps too, from a tenth of x to
the last digits of x and, for a small x, also from a tenth of 1. The estimate that doubts itself least is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any
Line = Callable[[complex], Array]

COMPLEX_STEP = 1e-20  # relative to x
ROUNDING = 8.0  # units in the last place that a value of f may be off by
SMOOTH = 1e-4  # relative disagreement of the estimates within one stencil above which a smaller step is tried
CLEAR = 1e-2  # relative doubt below which an estimate need not be smooth
FAIR = 0.3  # relative doubt below which an estimate can contradict another one
KINK = 1e-4  # relative difference of the slopes above which a point counts as a kink
STEADY = 0.1  # part of its jump by which the slopes of a kink may move as the step shrinks
DIVERGING = 1.2  # growth of a slope as the step is halved; if more, it has no limit (that of a root is 1.41, a jump 2)
SMALLEST = float(np.finfo(np.float64).tiny)  # below it, values lose digits


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
    usual : array
        The slope of a function of such values in general, f / max(|x|, 1) or the first that was seen: what is far
        below it is 0 but for rounding.
    kink : array of bool
    undefined : array of bool
        g is not finite in any neighbourhood that was tried, or its slope has no limit; compare nothing here.
    """

    value: Array
    left: Array
    right: Array
    noise: Array
    doubt: Array
    usual: Array
    kink: Array
    undefined: Array

    @classmethod
    def empty(cls, shape: int | tuple[int, ...]) -> Slopes:
        """Slopes of which nothing is known yet."""
        value, left, right = (np.full(shape, np.nan) for _ in range(3))
        noise, doubt = (np.full(shape, np.inf) for _ in range(2))
        return cls(value, left, right, noise, doubt, np.zeros(shape), np.zeros(shape, bool), np.ones(shape, bool))

    def take(self, other: Slopes, where: Array) -> None:
        """Copy the elements of `other` for which `where` is true."""
        for name, mine in vars(self).items():
            np.copyto(mine, getattr(other, name), where=where)

    def put_column(self, j: int, column: Slopes) -> None:
        """Write `column`, taken along the j-th unit vector, as column j of a Jacobian."""
        for name, mine in vars(self).items():
            mine[:, j] = getattr(column, name)

    def block(self, rows: slice, columns: slice | None) -> Slopes:
        """Return a part of a Jacobian; with None, all of a column as a Jacobian."""
        return Slopes(*(array[rows, columns] for array in vars(self).values()))


def complex_step(g: Line, g0: Array, size: float = 1.0, scale: float = 0.0) -> Slopes:
    """Return the derivative by a complex step; where it is not finite, it is undefined.

    `size` is that of the x that g moves, and `scale` that of sums within g, as for `central_difference`.
    """
    size = size or 1.0
    h = max(COMPLEX_STEP * min(size, 1.0), min(SMALLEST / COMPLEX_STEP, 1e-8 * size))
    value = np.imag(g(1j * h)) / h
    usual = np.maximum(np.abs(g0), scale) / max(size, 1.0)
    noise = ROUNDING * np.finfo(np.float64).eps * (usual + np.abs(value)) + SMALLEST / h
    undefined = ~(np.isfinite(value) & np.isfinite(g0))
    return Slopes(value, value, value, noise, noise, usual, np.zeros(value.shape, bool), undefined)


def central_difference(
    g: Line,
    g0: Array,
    precision: float,
    agrees: Callable[[Slopes], Array] | None = None,
    first_step: float | None = None,
    size: float = 1.0,
    scale: float = 0.0,
) -> Slopes:
    """Return the derivative by central differences with Richardson extrapolation, or the slopes at a kink.

    Parameters
    ----------
    g : callable
        Of t.
    g0 : array
        g(0).
    precision : float
        The distance between 1 and the next number of the dtype that g is computed in.
    agrees : callable, optional
        Says of which elements the slopes are what was expected. Others are estimated again with every other step, and
        the estimate that doubts itself least is kept; the expected value never enters the estimate.
    first_step : float, optional
        Relative to `size`; by default about the fifth root of `precision`, which balances h^4 against rounding over h.
    size : float
        Of the x that g(t) adds t to, or 0 if it is 0.
    scale : float
        Of sums within g, if known: values that are no larger than its rounding mean nothing.
    """
    usual: dict[bool, Array] = {}
    best, rough = Slopes.empty(g0.shape), Slopes.empty(g0.shape)
    rough.undefined[...] = False
    settled = np.zeros(g0.shape, bool)
    steepest, first = np.zeros(g0.shape), np.full(g0.shape, np.inf)
    least, flat = np.full(g0.shape, np.inf), np.zeros(g0.shape)  # change of g that was seen, step without any
    step, finest, clash = np.full(g0.shape, np.inf), np.full(g0.shape, np.inf), np.zeros(g0.shape)
    steps, starts = _steps(precision, first_step, size)
    for h in steps:
        smooth, guess, broken, slope = _stencil(g, g0, h, precision, size, scale)
        if h in starts:
            sized = np.maximum(np.abs(g0), scale) / max(size, 1.0)
            usual[starts[h]] = np.fmax(sized, np.where(guess.undefined, 0, slope))
        guess.usual = broken.usual = usual.get(h > 64 * steps[0], usual[False])
        open_ = ~settled & ~guess.undefined
        apart = np.abs(guess.value - best.value)
        alike = apart <= guess.doubt + best.doubt
        # two steps that contradict each other: rounding within g is larger than its values tell, as in (1e8 + x) - 1e8
        contradicted = open_ & ~alike & np.where(h < step, _within(FAIR, best), _within(FAIR, guess))
        clash = np.where(contradicted, np.fmax(clash, apart), clash)
        # the slopes of a bounded function vanish with large steps, and with them what they are in doubt of
        better = np.where(alike, guess.doubt < best.doubt, ~_within(CLEAR, best) & (_within(CLEAR, guess) | (h < step)))
        done = open_ & smooth & (better | alike)
        if agrees is not None:
            done = (done | (open_ & _within(CLEAR, guess))) & agrees(guess)
        if len(starts) > len(usual):
            done &= guess.value != 0  # a change too small for the values to show
        best.take(guess, where=open_ & (better | done))
        step = np.where(open_ & (better | done), h, step)
        settled |= done
        if settled.all():
            break
        least = np.fmin(least, np.where(slope > 0, slope * h / 2, np.inf))
        flat = np.where((slope == 0) & ~guess.undefined, np.fmax(flat, h / 2), flat)
        # what a point is, if it is not smooth, is seen best with the smallest step that rounding does not spoil
        first = np.where(np.isinf(first) & np.isfinite(slope), slope, first)
        clear = ~guess.undefined & (guess.noise <= 8 * precision**0.5 * slope) & (h < finest)
        moved = np.abs(broken.left - rough.left) + np.abs(broken.right - rough.right)
        broken.kink &= moved <= STEADY * np.abs(broken.right - broken.left)
        rough.take(broken, where=clear)
        finest, steepest = np.where(clear, h, finest), np.where(clear, slope, steepest)
    # a slope that diverges has grown since the first step, and a kink is not just the rest of a curve that flattens
    # out; nor is there a kink or a jump at a point where smaller steps found a slope
    spread = np.where(rough.undefined, steepest, np.abs(rough.right - rough.left))
    smooth = (step < finest) & (best.doubt <= 0.1 * spread)
    rough.undefined &= (steepest > 2 * first) & ~smooth
    kink = rough.kink & ~rough.undefined & (steepest > KINK * first)
    rough.kink = kink & ~smooth
    best.noise = np.fmax(best.noise, clash)
    # where small steps change nothing, any slope may be rounded away that would change less than larger steps do
    hidden = ~settled & (best.value == 0) & (step <= 2 * flat) & np.isfinite(least)
    best.doubt = np.fmax(best.doubt, np.fmax(clash, np.where(hidden, least / np.fmax(flat, SMALLEST), 0)))
    # beside a kink, the step that misses it is small and inexact, but tells which of the two slopes is the one
    side = np.where(np.abs(best.value - rough.left) < np.abs(best.value - rough.right), rough.left, rough.right)
    beside = ~settled & smooth & kink & (np.abs(best.value - side) <= best.doubt) & (rough.doubt < best.doubt)
    for array in (best.value, best.left, best.right):
        np.copyto(array, side, where=beside)
    np.copyto(best.doubt, rough.doubt, where=beside)
    best.take(rough, where=~settled & (rough.kink | rough.undefined))
    return best


def _within(part: float, slopes: Slopes) -> Array:
    return slopes.doubt < part * np.abs(slopes.value)


def _steps(precision: float, first_step: float | None, size: float) -> tuple[list[float], dict[float, bool]]:
    """Return the steps to try, in this order, and the first ones: in proportion to x and, which is true, to 1."""
    digits = round(-np.log2(precision))
    first = 2.0 ** -(digits // 5) if first_step is None else first_step
    smaller = [first / 8**k for k in range(digits) if k == 0 or first / 8**k >= 2.0 ** (9 - digits)]
    relative = smaller if first_step is not None else [first, 8 * first, 64 * first, *smaller[1:]]
    unit = 2.0 ** np.floor(np.log2(size)) if size else 1.0
    steps = [h * unit for h in relative]
    larger = [h for h in relative if h > max(steps)]
    if first not in larger:
        return steps + larger, {steps[0]: False}
    return [steps[0], first, *steps[1:], *larger[1:]], {steps[0]: False, first: True}


def _stencil(
    g: Line, g0: Array, h: float, precision: float, size: float, scale: float
) -> tuple[Array, Slopes, Slopes, Array]:
    """Estimate slopes from g(-h), g(-h/2), g(0), g(h/2), g(h).

    Returns where g looks smooth; its slopes if it is; what they are if it is not; and the steeper one-sided slope.
    """
    ahead, near_ahead, near_behind, behind = g(h), g(h / 2), g(-h / 2), g(-h)
    finite = np.isfinite(g0 + ahead + near_ahead + near_behind + behind)
    outer, inner = (ahead - behind) / (2 * h), (near_ahead - near_behind) / h
    value = (4 * inner - outer) / 3
    # of the values, of x + h and, where values are tiny, of those that are too small to be normal
    largest = np.maximum(np.abs(g0), np.maximum(np.abs(ahead), np.abs(behind)))
    meaningless = np.where(largest <= ROUNDING * precision * scale, largest, 0)
    noise = (ROUNDING * precision * (largest + size * np.abs(value)) + meaningless + SMALLEST) / h

    right, near_right = (ahead - g0) / h, (near_ahead - g0) / (h / 2)
    left, near_left = (g0 - behind) / h, (g0 - near_behind) / (h / 2)
    bend = np.abs(inner - outer)
    jump = np.abs(2 * (near_right - near_left) - (right - left))  # of the slope at 0, less the share of the curvature
    smooth = finite & (bend <= SMOOTH * np.abs(value) + noise) & (jump <= SMOOTH * np.abs(value) + noise)
    no = np.zeros(g0.shape, bool)
    doubt = noise + bend + jump
    guess = Slopes(value, value, value, noise, doubt, doubt, no, ~finite)

    steepest = np.maximum(np.abs(near_left), np.abs(near_right))
    broken = finite & (np.maximum(jump, bend) > KINK * steepest + noise)
    # values that cancel to nearly 0 are noisier than their size says, and their slopes grow like 1/h without meaning it
    cancelled = noise + ROUNDING * precision / h
    diverging = broken & (
        (np.abs(near_right) > DIVERGING * np.abs(right) + cancelled)
        | (np.abs(near_left) > DIVERGING * np.abs(left) + cancelled)
    )
    kink = finite & (jump > KINK * steepest + noise)
    rough = Slopes(value, 2 * near_left - left, 2 * near_right - right, noise, 4 * noise, noise, kink, diverging)
    return smooth, guess, rough, steepest
