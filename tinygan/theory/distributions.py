"""Reading one distribution: a list of masses, or a density on the real line.

Whatever the caller has is turned into one of two things, `Masses` or `Density`, or refused in words. Both can say
the logarithm of p as well as p: far out in the tails of a Gaussian p itself is rounded to 0, and a ratio of two such
densities can then only be had from the logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygan.engine import Tensor
from tinygan.errors import DistributionError
from tinygan.theory.quadrature import UnsettledError, integrate

Floats = NDArray[np.float64]

SUM_TOLERANCE = 1e-6  # masses rounded to float32 still pass; a forgotten factor does not

# Where integrals over a density of scipy.stats are cut: its median, and down an infinite tail the quantiles of these
# levels. A finite end needs none, and cuts close to it would hinder quadrature if the density is infinite there.
_TAIL_LEVELS = np.array([1e-2, 1e-5, 1e-9, 1e-13])


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
    log : callable
        From an array of x to log p(x), -inf where p is 0.
    support : (float, float)
        Outside of it p is 0.
    cuts : tuple of float
        Where an integral over p should be cut in pieces, each easy by itself.
    """

    log: Callable[[Any], Any]
    support: tuple[float, float]
    cuts: tuple[float, ...]


def read_distribution(name: str, given: Any, support: tuple[float, float], points: Sequence[float]) -> Masses | Density:
    """Turn an argument into a distribution.

    Parameters
    ----------
    name : str
        Function and argument, for messages.
    given : array_like, Tensor, frozen scipy.stats distribution or callable
    support, points
        Of a callable; see `tinygan.theory.value`.

    Raises
    ------
    DistributionError
        It is no distribution, or none of one dimension.
    """
    if hasattr(given, "logpdf") and hasattr(given, "support"):
        return _from_scipy(name, given, points)
    if hasattr(given, "pmf"):
        raise DistributionError(
            f"{name} is a discrete distribution of scipy.stats; expected masses or a density; give its masses as an "
            "array, as in dist.pmf(range(n)), over points that hold all of them"
        )
    if callable(given):
        return _from_function(name, given, support, points)
    if hasattr(given, "pdf"):
        raise DistributionError(
            f"{name} is a {type(given).__name__}, which has no support(); expected a distribution of one variable"
        )
    return read_masses(name, given)


# ---------------------------------------------------------------------- masses


def read_masses(name: str, given: Any) -> Masses:
    """Turn an argument into masses, or say why it is none; see `read_distribution`."""
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
    """Return numbers as a new float64 array, or say why they are none."""
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


def _from_scipy(name: str, given: Any, points: Sequence[float]) -> Density:
    quantile = getattr(given, "ppf", None) or given.icdf  # scipy.stats calls it one or the other
    try:
        low, high = (float(end) for end in given.support())
        cuts = [float(quantile(0.5))]
    except TypeError as error:
        raise DistributionError(
            f"{name} is {given!r:.60}; expected one distribution with all its parameters as single numbers, as in "
            "scipy.stats.norm(0, 1)"
        ) from error
    if not low < high:
        raise DistributionError(
            f"{name} has the support ({low:g}, {high:g}); scipy.stats says so of parameters out of range: correct them"
        )
    if math.isinf(low):
        cuts += [float(x) for x in quantile(_TAIL_LEVELS)]
    if math.isinf(high):
        cuts += [float(x) for x in quantile(1 - _TAIL_LEVELS)]
    return _density(name, given.logpdf, (low, high), [*cuts, *_read_points(name, points)])


def _from_function(name: str, given: Any, support: tuple[float, float], points: Sequence[float]) -> Density:
    low, high = _read_support(name, support)

    def log(x: Any) -> Any:
        inside = (x >= low) & (x <= high)
        values = np.zeros(x.shape)
        if inside.any():
            values[inside] = apply(name, given, x[inside] if x.ndim else x)
        with np.errstate(divide="ignore", invalid="ignore"):  # log 0 = -inf; of a negative number it is nan
            return np.log(values)

    return _density(name, log, (low, high), _read_points(name, points))


def _density(name: str, log: Callable[[Any], Any], support: tuple[float, float], points: list[float]) -> Density:
    """Return a density that checks what it says, and is known to integrate to 1."""

    def checked(x: Any) -> Any:
        x = np.asarray(x, np.float64)
        values = log(x)
        wrong = np.isnan(values)
        if wrong.any():
            raise DistributionError(
                f"{name} is negative or nan at x = {np.atleast_1d(x)[np.atleast_1d(wrong)][0]:g}; expected a density, "
                "0 or more; where its formula does not hold, say so with support=(a, b)"
            )
        return values

    cuts = tuple(float(x) for x in (*points, *support) if math.isfinite(x))
    try:
        total = integrate(lambda x: math.exp(checked(x)), *support, cuts)
    except UnsettledError as error:
        raise DistributionError(f"{name}: {error}; give points=[...] where the density jumps or peaks") from error
    if not abs(total - 1) <= SUM_TOLERANCE:
        raise DistributionError(
            f"{name} integrates to {total:.9g} over ({support[0]:g}, {support[1]:g}); expected 1 within "
            f"{SUM_TOLERANCE:g}; divide it by its integral, or, where quadrature overlooked a narrow peak, give "
            "points=[...] at the peak and its flanks"
        )
    return Density(checked, support, cuts)


def apply(name: str, function: Callable[[Any], Any], x: Any) -> Floats:
    """Call a function of x elementwise: at once if it can take an array, else one number at a time."""
    x = np.asarray(x, np.float64)
    if x.ndim:
        try:
            values = as_floats(name, function(x.ravel()))
            return np.broadcast_to(values, x.size).reshape(x.shape)
        except (TypeError, ValueError):  # it compares, or is made for numbers: math.exp(x)
            return np.array([apply(name, function, number) for number in x.ravel()]).reshape(x.shape)
    values = as_floats(f"{name}({x:g})", function(float(x)))
    if values.size != 1:
        raise DistributionError(f"{name}({x:g}) has shape {values.shape}; expected one number for one x")
    return values.reshape(())


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
        return [float(x) for x in points]
    except (TypeError, ValueError) as error:
        raise DistributionError(f"{name}: points is {points!r}; expected a list of numbers, as in [0, 1]") from error
