"""Numerical derivatives of a function along a direction.

For a function f and a direction d, g(t) = f(x + t d) is a function of one number with a vector of values. Its slope at
0 is computed by three methods, from the most accurate to the most general:

- The **complex step** (Squire and Trapp, 1998): f(x + ih d) = f(x) + ih f'(x) d + O(h^2), so the imaginary part over h
  is the derivative. Nothing is subtracted, so h may be 1e-20 and every digit is right. It needs an f that is analytic
  and computes with complex numbers. |x| is not analytic, so the caller verifies the result.
- **Central differences**, D(h) = (g(h) - g(-h)) / 2h, have an error of order h^2. **Richardson extrapolation** removes
  it: the error of (4 D(h/2) - D(h)) / 3 is of order h^4.
- At a **kink** there is no derivative, but a left and a right slope; their difference is the limit of
  (g(h) - 2 g(0) + g(-h)) / h as h goes to 0.

Every step is a power of 2, so that x + h is exact if possible. The first step is a thousandth of x. If an estimate is
not smooth, or not as expected, the element is also estimated with all other steps: from a tenth of x to the last digits
of x, and for a small x also from a tenth of 1. The estimate with the smallest estimated error is kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinygan.checking.subject import Array, Stopped, Subject

Line = Callable[[complex], Array]

COMPLEX_STEP = 1e-20  # relative to x
ROUNDING = 8.0  # rounding error of a value of f, in units in the last place
SMOOTH = 1e-4  # relative difference of the estimates of one stencil above which a smaller step is tried
CLEAR = 1e-2  # relative error below which an estimate need not be smooth
FAIR = 0.3  # relative error below which an estimate can contradict another estimate
KINK = 1e-4  # relative difference of the slopes above which a point counts as a kink
STEADY = 0.1  # largest change of the slopes of a kink as the step shrinks, relative to their difference
DIVERGING = 1.2  # a slope that grows by more than this as the step is halved has no limit (a root: 1.41, a jump: 2)
SMALLEST = float(np.finfo(np.float64).tiny)  # smaller values lose digits
COMPLEX, CENTRAL = "complex step", "central differences"  # names of the methods in a report


@dataclass(frozen=True)
class Settings:
    """The user's options: see `tinygan.gradcheck`."""

    rtol: float
    atol: float | None
    unit: float  # the distance between 1 and the next number of the dtype of the analytical gradients
    eps: float | None
    complex_step: bool
    full_limit: int
    directions: int
    seed: int


class Differentiator:
    """Differentiates a subject numerically.

    Attributes
    ----------
    analytic : bool
        Whether the complex step may be used.
    used : set of str
        The methods used since this set was last cleared.
    """

    def __init__(self, subject: Subject, settings: Settings, rng: np.random.Generator) -> None:
        self.subject = subject
        self.eps = settings.eps
        self.points = [variable.point for variable in subject.inputs]
        self.f0 = subject.values(self.points)
        self.analytic = settings.complex_step and self._complex_works(rng)
        self.used: set[str] = set()

    def line(self, direction: Sequence[Array]) -> Line:
        """Return the function of t that gives the values at point + t direction."""

        def g(t: complex) -> Array:
            return self.subject.values([x + t * d for x, d in zip(self.points, direction, strict=True)])

        return g

    def along(
        self, direction: Sequence[Array], agrees: Callable[[Slopes], Array] | None = None, size: float = 1.0
    ) -> Slopes:
        """Return the slopes of every output element; an element that does not agree is estimated with more steps.

        `size` is the size of the input elements that move, in units of the direction.
        """
        line = self.line(direction)
        exact = None
        if self.analytic:
            self.used.add(COMPLEX)
            exact = complex_step(line, self.f0, size, self.subject.scale)
            if not exact.undefined.any() and (agrees is None or agrees(exact).all()):
                return exact
        self.used.add(CENTRAL)
        slopes = central_difference(
            line, self.f0, self.subject.precision, agrees, self.eps, size, self.subject.scale
        )
        if exact is not None:  # where the differences confirm the complex step, it has more digits
            exact.usual = slopes.usual
            confirmed = np.abs(exact.value - slopes.value) <= slopes.doubt
            plain = ~(slopes.kink | slopes.undefined | exact.undefined)
            slopes.take(exact, where=plain & confirmed & (exact.doubt < slopes.doubt))
        return slopes

    def zeros(self) -> list[Array]:
        """Return a direction of zeros."""
        return [np.zeros(point.shape) for point in self.points]

    def sizes(self, index: int, least: float = 0.0) -> Array:
        """Return the scale on which the elements of an input vary: their own size, at least `least`."""
        size = np.maximum(np.abs(self.points[index]), least)
        return np.where(np.isfinite(size) & (size > 0), size, 1.0)

    def method(self) -> str:
        """Return the names of the methods used since `used` was cleared."""
        return " and ".join(sorted(self.used, reverse=True))

    def _complex_works(self, rng: np.random.Generator) -> bool:
        """Return whether complex steps along two random directions agree with central differences.

        A function may refuse complex numbers, or drop the imaginary part like |x|; then the complex step is silently
        wrong.
        """
        if not self.f0.size or any(variable.size == 0 for variable in self.points):
            return False
        noted = len(self.subject.report.failures)
        for _ in range(2):
            direction = [self.sizes(k) * random_weights(rng, x.shape) for k, x in enumerate(self.points)]
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", np.exceptions.ComplexWarning)
                    trial = complex_step(self.line(direction), self.f0)
            except Stopped:
                del self.subject.report.failures[noted:]
                return False
            except Exception:  # the function does not accept complex numbers
                return False
            true = central_difference(self.line(direction), self.f0, self.subject.precision, None, self.eps)
            close = np.abs(trial.value - true.value) <= 1e-5 * np.abs(true.value) + true.noise
            clear = true.noise <= 1e-3 * np.abs(true.value)  # otherwise any value would be close
            clear |= (true.value == 0) & (trial.value == 0)
            if not np.all(close & clear & ~true.kink & ~true.undefined):
                return False
        return True


def random_weights(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return different numbers of both signs, away from 0."""
    return rng.uniform(0.5, 1, shape) * rng.choice([-1.0, 1.0], shape)


# ---------------------------------------------------------------------- derivatives along a line


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
        The possible rounding error.
    doubt : array
        The estimated error, including truncation.
    usual : array
        A typical slope of such a function, f / max(|x|, 1) or the first estimate: a much smaller slope is 0 up to
        rounding.
    kink : array of bool
    undefined : array of bool
        g is not finite in any neighbourhood that was tried, or its slope has no limit: the element is not compared.
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
        """Return slopes without any estimate yet."""
        value, left, right = (np.full(shape, np.nan) for _ in range(3))
        noise, doubt = (np.full(shape, np.inf) for _ in range(2))
        return cls(value, left, right, noise, doubt, np.zeros(shape), np.zeros(shape, bool), np.ones(shape, bool))

    def take(self, other: Slopes, where: Array) -> None:
        """Copy the elements of `other` for which `where` is true."""
        for name, mine in vars(self).items():
            np.copyto(mine, getattr(other, name), where=where)

    def put_column(self, j: int, column: Slopes) -> None:
        """Write `column`, the slopes along the j-th unit vector, as column j of a Jacobian."""
        for name, mine in vars(self).items():
            mine[:, j] = getattr(column, name)

    def block(self, rows: slice, columns: slice | None) -> Slopes:
        """Return a part of a Jacobian; with None, a whole column as a Jacobian."""
        return Slopes(*(array[rows, columns] for array in vars(self).values()))


def complex_step(g: Line, g0: Array, size: float = 1.0, scale: float = 0.0) -> Slopes:
    """Return the derivative by a complex step; it is undefined where it is not finite.

    `size` is the size of the x that g moves, and `scale` that of sums within g, as in `central_difference`.
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
        A function of t.
    g0 : array
        g(0).
    precision : float
        The distance between 1 and the next number in the dtype in which g is computed.
    agrees : callable, optional
        Returns whether the slope of each element is as expected. The others are estimated again with every other step,
        and the estimate with the smallest estimated error is kept. The expected value never enters the estimate.
    first_step : float, optional
        Relative to `size`; by default about the fifth root of `precision`, which balances h^4 and rounding over h.
    size : float
        The size of the x to which g(t) adds t; 0 if x is 0.
    scale : float
        The size of sums within g, if known: values below their rounding have no meaning.
    """
    usual: dict[bool, Array] = {}
    best, rough = Slopes.empty(g0.shape), Slopes.empty(g0.shape)
    rough.undefined[...] = False
    settled = np.zeros(g0.shape, bool)
    steepest, first = np.zeros(g0.shape), np.full(g0.shape, np.inf)
    least, flat = np.full(g0.shape, np.inf), np.zeros(g0.shape)  # smallest change of g, largest step without a change
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
        # Two steps contradict each other: rounding within g is larger than its values show, as in (1e8 + x) - 1e8.
        contradicted = open_ & ~alike & np.where(h < step, _within(FAIR, best), _within(FAIR, guess))
        clash = np.where(contradicted, np.fmax(clash, apart), clash)
        # With large steps, the slopes of a bounded function vanish, and so do their estimated errors.
        better = np.where(alike, guess.doubt < best.doubt, ~_within(CLEAR, best) & (_within(CLEAR, guess) | (h < step)))
        done = open_ & smooth & (better | alike)
        if agrees is not None:
            done = (done | (open_ & _within(CLEAR, guess))) & agrees(guess)
        if len(starts) > len(usual):
            done &= guess.value != 0  # with 0, the change may be too small for the values
        best.take(guess, where=open_ & (better | done))
        step = np.where(open_ & (better | done), h, step)
        settled |= done
        if settled.all():
            break
        least = np.fmin(least, np.where(slope > 0, slope * h / 2, np.inf))
        flat = np.where((slope == 0) & ~guess.undefined, np.fmax(flat, h / 2), flat)
        # If a point is not smooth, the smallest step without much rounding shows best what it is.
        first = np.where(np.isinf(first) & np.isfinite(slope), slope, first)
        clear = ~guess.undefined & (guess.noise <= 8 * precision**0.5 * slope) & (h < finest)
        moved = np.abs(broken.left - rough.left) + np.abs(broken.right - rough.right)
        broken.kink &= moved <= STEADY * np.abs(broken.right - broken.left)
        rough.take(broken, where=clear)
        finest, steepest = np.where(clear, h, finest), np.where(clear, slope, steepest)
    # A diverging slope has grown since the first step. A flattening curve is not a kink. Nor is there a kink or a jump
    # at a point where smaller steps found a slope.
    spread = np.where(rough.undefined, steepest, np.abs(rough.right - rough.left))
    smooth = (step < finest) & (best.doubt <= 0.1 * spread)
    rough.undefined &= (steepest > 2 * first) & ~smooth
    kink = rough.kink & ~rough.undefined & (steepest > KINK * first)
    rough.kink = kink & ~smooth
    best.noise = np.fmax(best.noise, clash)
    # Where small steps change nothing, rounding may hide any slope whose change is smaller than that of larger steps.
    hidden = ~settled & (best.value == 0) & (step <= 2 * flat) & np.isfinite(least)
    best.doubt = np.fmax(best.doubt, np.fmax(clash, np.where(hidden, least / np.fmax(flat, SMALLEST), 0)))
    # Near a kink, the steps that do not cross it are small and inexact, but they show which of the two slopes is right.
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
    """Return the steps in the order of their use, and the first steps: relative to x (False) and to 1 (True)."""
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

    Returns where g looks smooth; its slopes if it is smooth; its slopes if it is not; and the steeper one-sided slope.
    """
    ahead, near_ahead, near_behind, behind = g(h), g(h / 2), g(-h / 2), g(-h)
    finite = np.isfinite(g0 + ahead + near_ahead + near_behind + behind)
    outer, inner = (ahead - behind) / (2 * h), (near_ahead - near_behind) / h
    value = (4 * inner - outer) / 3
    # Rounding of the values, of x + h and, if values are tiny, of subnormal numbers.
    largest = np.maximum(np.abs(g0), np.maximum(np.abs(ahead), np.abs(behind)))
    meaningless = np.where(largest <= ROUNDING * precision * scale, largest, 0)
    noise = (ROUNDING * precision * (largest + size * np.abs(value)) + meaningless + SMALLEST) / h

    right, near_right = (ahead - g0) / h, (near_ahead - g0) / (h / 2)
    left, near_left = (g0 - behind) / h, (g0 - near_behind) / (h / 2)
    bend = np.abs(inner - outer)
    jump = np.abs(2 * (near_right - near_left) - (right - left))  # of the slope at 0, without the part of the curvature
    smooth = finite & (bend <= SMOOTH * np.abs(value) + noise) & (jump <= SMOOTH * np.abs(value) + noise)
    no = np.zeros(g0.shape, bool)
    doubt = noise + bend + jump
    guess = Slopes(value, value, value, noise, doubt, doubt, no, ~finite)

    steepest = np.maximum(np.abs(near_left), np.abs(near_right))
    broken = finite & (np.maximum(jump, bend) > KINK * steepest + noise)
    # Values that cancel to nearly 0 are noisier than their size suggests, and their slopes grow like 1/h by rounding.
    cancelled = noise + ROUNDING * precision / h
    diverging = broken & (
        (np.abs(near_right) > DIVERGING * np.abs(right) + cancelled)
        | (np.abs(near_left) > DIVERGING * np.abs(left) + cancelled)
    )
    kink = finite & (jump > KINK * steepest + noise)
    rough = Slopes(value, 2 * near_left - left, 2 * near_right - right, noise, 4 * noise, noise, kink, diverging)
    return smooth, guess, rough, steepest
