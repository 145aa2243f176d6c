"""Logarithms of densities for which scipy.stats has no formula.

For these SciPy computes the logarithm of the density, which is rounded to 0 far out (for the Laplace distribution, at
750 deviations). The formulas here are for common distributions; they follow the definitions in the documentation of
scipy.stats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

_LOG_ROOT = math.log(2 * math.pi) / 2


def _two(a: Any, y: Any) -> Any:
    """A Gaussian around `a` plus its mirror image."""
    return np.logaddexp(-((y - a) ** 2) / 2, -((y + a) ** 2) / 2) - _LOG_ROOT


def _levy(y: Any) -> Any:
    return -1 / (2 * y) - 1.5 * np.log(y) - _LOG_ROOT


def _johnson(a: float, b: float, z: Any) -> Any:
    return math.log(b) - (a + b * z) ** 2 / 2 - _LOG_ROOT


def _rice(b: float, y: Any) -> Any:
    from scipy.special import i0e

    return np.log(y) - (y - b) ** 2 / 2 + np.log(i0e(y * b))


def _norminvgauss(a: float, b: float, y: Any) -> Any:
    from scipy.special import k1e

    h = np.hypot(1, y)
    return math.log(a / math.pi) + np.log(k1e(a * h) / h) - a * h + b * y + math.sqrt((a - b) * (a + b))


# Each is a function of the shape parameters and y = (x - loc) / scale, inside the support.
FORMULAS: dict[str, Callable[..., Any]] = {
    "foldnorm": _two,
    "hypsecant": lambda y: math.log(2 / math.pi) - abs(y) - np.log1p(np.exp(-2 * abs(y))),
    "invweibull": lambda c, y: math.log(c) - (c + 1) * np.log(y) - y**-c,
    "johnsonsb": lambda a, b, y: _johnson(a, b, np.log(y) - np.log1p(-y)) - np.log(y) - np.log1p(-y),
    "johnsonsu": lambda a, b, y: _johnson(a, b, np.arcsinh(y)) - np.log(np.hypot(1, y)),
    "laplace": lambda y: -abs(y) - math.log(2),
    "levy": _levy,
    "levy_l": lambda y: _levy(-y),
    "loglaplace": lambda c, y: math.log(c / 2) - np.log(y) - c * abs(np.log(y)),
    "moyal": lambda y: -(y + np.exp(-y)) / 2 - _LOG_ROOT,
    "norminvgauss": _norminvgauss,
    "pareto": lambda b, y: math.log(b) - (b + 1) * np.log(y),
    "rice": _rice,
}


def support_of(frozen: Any) -> tuple[float, float]:
    """Return the support of a distribution of scipy.stats, corrected for Pearson's type III (stated as the line).

    Examples
    --------
    >>> from scipy import stats
    >>> support_of(stats.pearson3(-2.0)), support_of(stats.uniform(1, 2))
    ((-inf, 1.0), (1.0, 3.0))
    """
    low, high = (float(end) for end in frozen.support())
    kind: Any = getattr(frozen, "dist", None)
    if getattr(kind, "name", "") == "pearson3":
        (skew,), loc, scale = kind._parse_args(*frozen.args, **frozen.kwds)
        if skew > 0:
            low = float(loc - 2 * scale / skew)
        elif skew < 0:
            high = float(loc - 2 * scale / skew)
    return low, high


def log_density(frozen: Any) -> Callable[[Any], Any] | None:
    """Return the function log p of a frozen distribution of scipy.stats, or None if there is no formula here.

    Examples
    --------
    >>> from scipy import stats
    >>> far = stats.laplace(0, 0.01)
    >>> float(far.pdf(100)), float(log_density(far)(100).round(3))
    (0.0, -9996.088)
    """
    kind: Any = getattr(frozen, "dist", None)
    formula = FORMULAS.get(getattr(kind, "name", ""))
    if formula is None or not type(kind).__module__.startswith("scipy."):
        return None
    shapes, loc, scale = kind._parse_args(*frozen.args, **frozen.kwds)
    low, high = support_of(frozen)

    def log(x: Any) -> Any:
        x = np.asarray(x, np.float64)
        with np.errstate(all="ignore"):
            inside = formula(*shapes, (x - loc) / scale) - np.log(scale)
            return np.where((x > low) & (x < high), inside, frozen.logpdf(x))

    return log
