"""Reading one distribution: a list of masses, or a density on the real line.

An argument is turned into `Masses` or `Density`, or refused. A density is represented by log p: in the tails of a
Gaussian p is rounded to 0, and the ratio of two such densities can then be computed only from their logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygan.engine import Tensor
from tinygan.errors import DistributionError
from tinygan.theory.logarithms import log_density, support_of

Floats = NDArray[np.float64]

SUM_TOLERANCE = 1e-6  # accepts masses rounded to float32, but not a forgotten factor

_ANCHORS = (0.05, 0.5, 0.95)  # the integral of a density of scipy.stats is cut at these quantiles

LOG_SMALLEST = math.log(np.finfo(float).tiny)  # a smaller number has lost digits, or is rounded to 0
FADED = -600.0  # if the logarithm is below this just before the density becomes 0, the 0 comes from rounding

# Distances relative to an anchor: below the first, x has too few digits for the distance; below the second, fewer than
# all.
_LEAST, _CLOSE = 2.0**-46, 2.0**-20


@dataclass(frozen=True)
class Masses:
    """A distribution on n points.

    Attributes
    ----------
    p : numpy.ndarray of float64, shape (n,)
        Not negative; they sum to 1.
    """

    p: Floats


@dataclass(frozen=True)
class Density:
    """A distribution on the real line.

    Attributes
    ----------
    name : str
        Function and argument, for messages.
    log : callable
        It maps an array of x to log p(x), which is -inf where p is 0 or rounded to 0.
    support : (float, float)
        Outside of it p is 0.
    cuts : tuple of float
        Points at which an integral over p should be cut into pieces.
    stated : bool
        Whether p comes from scipy.stats: then it has mass in its whole support, also where it is rounded to 0.
    """

    name: str
    log: Callable[[Any], Any]
    support: tuple[float, float]
    cuts: tuple[float, ...]
    stated: bool

    def near(self, anchor: Floats, distance: Floats) -> Floats:
        """Return log p(anchor + distance), also where that sum is rounded, even to the anchor itself.

        A density may grow to infinity as a power of the distance to an end. Then much of its mass may be so close to
        the end that x has few digits for the distance, or no digit. There log p is extrapolated as a linear function of
        the log of the distance.
        """
        size, side = abs(distance), np.sign(distance)
        least = _LEAST * abs(anchor)
        x = anchor + side * np.maximum(size, least)
        found = np.array(self.log(x))
        close = (size < _CLOSE * abs(anchor)) & np.isfinite(found)
        if close.any():
            seen = abs(x - anchor)[close]  # the distance without its rounding
            with np.errstate(invalid="ignore"):
                slope = (self.log(anchor[close] + 2 * side[close] * seen) - found[close]) / math.log(2)
            size, least = size[close], least[close]
            found[close] += np.where(
                (size < least) & np.isfinite(slope) | (slope > -1) & (slope < 0), slope, 0
            ) * np.log(size / seen)
        return found

    def has(self, x: Any) -> Any:
        """Return whether x is in the support."""
        return (x >= self.support[0]) & (x <= self.support[1])

    def covers(self, other: Density) -> bool:
        """Return whether the support contains another support, up to the rounding of loc + scale at its ends."""
        (a, b), (c, d) = self.support, other.support
        slack = 4 * np.finfo(float).eps
        return bool((c >= a or a - c <= slack * abs(a)) and (d <= b or d - b <= slack * abs(b)))


def fades(log: Callable[[float], float], zero: float, positive: float, scale: float, limit: float = FADED) -> bool:
    """Return whether a function of x becomes 0 between two x by rounding, and not by a jump or as a power.

    Parameters
    ----------
    log : callable
        The logarithm of the function.
    zero, positive : float
        Points at which the logarithm is -inf, and at which it is not.
    scale : float
        A millionth of this is a small step.
    limit : float
        If the logarithm is below this just before the 0, the 0 comes from rounding.
    """
    back = math.copysign(1e-6 * scale, positive - zero)
    for _ in range(60):
        middle = zero / 2 + positive / 2
        if log(middle) == -math.inf:
            zero = middle
        else:
            positive = middle
    return log(positive + back) < limit


def read_distribution(name: str, given: Any, support: tuple[float, float], points: Sequence[float]) -> Masses | Density:
    """Turn an argument into a distribution.

    Parameters
    ----------
    name : str
        Function and argument, for messages.
    given : array_like, Tensor, frozen scipy.stats distribution or callable
    support, points
        Used for a callable; see `tinygan.theory.value`.

    Raises
    ------
    DistributionError
        `given` is not a distribution of one variable.
    """
    if _is_discrete(given):
        raise DistributionError(
            f"{name} is a discrete distribution of scipy.stats; expected masses or a density; give its masses as an "
            "array, as in dist.pmf(range(n)), over all points that have mass"
        )
    if hasattr(given, "logpdf") and hasattr(given, "support"):
        return _from_scipy(name, given, points)
    if callable(given):
        return _from_function(name, given, support, points)
    if hasattr(given, "pdf"):
        raise DistributionError(
            f"{name} is a {type(given).__name__}, which has no support(); expected a distribution of one variable"
        )
    return read_masses(name, given)


# ---------------------------------------------------------------------- masses


def read_masses(name: str, given: Any) -> Masses:
    """Turn an argument into masses, or raise `DistributionError`; see `read_distribution`."""
    p = as_floats(name, given)
    if p.ndim != 1 or p.size == 0:
        raise DistributionError(
            f"{name} has shape {p.shape}; expected (n,), the masses of n >= 1 points; ravel a table of masses"
        )
    wrong = np.flatnonzero(~(np.isfinite(p) & (p >= 0)))
    if wrong.size:
        raise DistributionError(f"{name}[{wrong[0]}] is {p[wrong[0]]:g}; expected a mass: a finite number, 0 or more")
    with np.errstate(over="ignore"):
        total = float(p.sum())
    if not abs(total - 1) <= SUM_TOLERANCE:
        raise DistributionError(
            f"{name} sums to {total:.9g}; expected masses that sum to 1 within {SUM_TOLERANCE:g}; divide them by "
            "their sum"
        )
    return Masses(p / total)


def as_floats(name: str, given: Any) -> Floats:
    """Return numbers as a new float64 array; raise `DistributionError` if they are not real numbers."""
    if isinstance(given, Tensor):
        given = given.numpy()
    try:
        array = np.asarray(given)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        what = f"an array of {array.dtype}" if isinstance(given, np.ndarray) else f"{given!r:.60}"
        raise DistributionError(f"{name} is {what}; expected real numbers, as in [0.5, 0.5]")
    return array.astype(np.float64)


# ---------------------------------------------------------------------- densities


def _is_discrete(given: Any) -> bool:
    if not hasattr(given, "pmf"):
        return False
    if not hasattr(given, "logpdf"):
        return True
    return bool(np.any(given.pmf(given.icdf(0.5)) > 0))  # SciPy's newer distributions have both methods


def _from_scipy(name: str, given: Any, points: Sequence[float]) -> Density:
    quantile = getattr(given, "ppf", None) or given.icdf  # scipy.stats has two names for it
    try:
        low, high = support_of(given)
        cuts = [float(quantile(share)) for share in _ANCHORS]
    except TypeError as error:
        raise DistributionError(
            f"{name} is {given!r:.60}; expected one distribution with all its parameters as single numbers, as in "
            "scipy.stats.norm(0, 1)"
        ) from error
    if not low < high:
        raise DistributionError(
            f"{name} has the support ({low:g}, {high:g}): its parameters are out of range for scipy.stats; correct them"
        )
    log = log_density(given) or given.logpdf
    if not type(getattr(given, "dist", given)).__module__.startswith("scipy."):  # it may not be elementwise
        log = partial(apply, name, log)
    elif not _keeps_logarithms(log, (low, high), cuts):
        log = partial(_trusted, log)
    return _density(name, log, (low, high), [*cuts, *_read_points(name, points)], True)


def _keeps_logarithms(log: Callable[[Any], Any], support: tuple[float, float], cuts: list[float]) -> bool:
    """Return whether scipy.stats has a formula for the logarithm of a density: then it reaches very low values."""
    spread = cuts[2] - cuts[0]
    x = [cuts[0] - spread * np.geomspace(1e-3, 1e12, 200), cuts[2] + spread * np.geomspace(1e-3, 1e12, 200)]
    x += [end + sign * spread * np.geomspace(1e-290, 1, 99) for end, sign in zip(support, (1, -1), strict=True)]
    with np.errstate(all="ignore"):
        found = log(np.concatenate(x))
    return bool((np.isfinite(found) & (found < LOG_SMALLEST - 40)).any())


def _trusted(log: Callable[[Any], Any], x: Any) -> Any:
    """Return log p; -inf where p is so small that it has lost digits."""
    found = np.asarray(log(x))
    return np.where(found < LOG_SMALLEST, -np.inf, found)


def _from_function(name: str, given: Any, support: tuple[float, float], points: Sequence[float]) -> Density:
    low, high = _read_support(name, support)

    def number(x: float) -> Any:
        try:
            return given(x)
        except OverflowError:  # such as math.exp(800): the density is taken as 0, and its integral is checked
            return 0.0
        except ZeroDivisionError:  # the density is infinite at this point
            return math.inf

    def log(x: Any) -> Any:
        inside = (x >= low) & (x <= high)
        values = np.zeros(x.shape)
        values[inside] = apply(name, number, x[inside])
        return np.where(values < np.finfo(float).tiny, np.where(values >= 0, -np.inf, np.nan), np.log(values))

    return _density(name, log, (low, high), _read_points(name, points), False)


def _density(
    name: str, log: Callable[[Any], Any], support: tuple[float, float], points: list[float], stated: bool
) -> Density:
    """Return a density that checks its values."""

    def checked(x: Any) -> Any:
        x = np.asarray(x, np.float64)
        with np.errstate(all="ignore"):  # the log is -inf at 0 and nan below
            values = log(x)
        wrong = np.isnan(values)
        if wrong.any():
            raise DistributionError(
                f"{name} is negative or nan at x = {np.atleast_1d(x)[np.atleast_1d(wrong)][0]:g}; expected a density, "
                "0 or more; if its formula holds on an interval only, give support=(a, b)"
            )
        return values

    return Density(name, checked, support, tuple(x for x in (*points, *support) if math.isfinite(x)), stated)


def apply(name: str, function: Callable[[Any], Any], x: Any) -> Floats:
    """Call a function of x for each number alone: a function of an array might mix the elements."""
    x = np.asarray(x, np.float64)
    found = np.empty(x.size)
    for place, number in enumerate(x.ravel().tolist()):
        value = function(number)
        if not isinstance(value, float | int):
            value = as_floats(f"{name}({number:g})", value)
            if value.size != 1:
                raise DistributionError(f"{name}({number:g}) has shape {value.shape}; expected one number for one x")
            value = value.item()
        found[place] = value
    return found.reshape(x.shape)


def _read_support(name: str, support: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in support)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high:
        raise DistributionError(f"{name}: support is {support!r}; expected (a, b) with a < b, as in (0, math.inf)")
    return low, high


def _read_points(name: str, points: Any) -> list[float]:
    try:
        found = [float(x) for x in points]
    except (TypeError, ValueError):
        found = [math.nan]
    if np.isnan(found).any():
        raise DistributionError(f"{name}: points is {points!r}; expected a list of numbers, as in [0, 1]")
    return found
