"""Kullback-Leibler and Jensen-Shannon divergence, in nats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygan.theory.pairs import LINE, DensityPair, read_pair


def kl_divergence(p: Any, q: Any, *, support: tuple[float, float] = LINE, points: Sequence[float] = ()) -> float:
    """Return KL(p || q) = sum or integral of p log(p / q), in nats.

    KL is at least 0, and 0 only for p = q (Gibbs): log(q / p) <= q / p - 1, so -KL <= sum of q - p = 0. This function
    sums p log(p / q) - p + q, which has the same sum and, by that inequality, no negative term. 0 log 0 = 0. The
    divergence is infinite if p has mass where q has no mass.

    Parameters
    ----------
    p, q : array_like of shape (n,), Tensor, frozen scipy.stats distribution or callable
    support, points
        See `tinygan.theory.value`.

    Returns
    -------
    float
        At least 0, possibly ``inf``.

    Raises
    ------
    DistributionError
        An argument is not a distribution, the two are of different kinds or lengths, or the integral does not converge.

    Examples
    --------
    >>> round(kl_divergence([0.5, 0.5], [0.25, 0.75]), 9), kl_divergence([0.5, 0.5], [1.0, 0.0])
    (0.143841036, inf)
    >>> from scipy import stats
    >>> round(kl_divergence(stats.norm(0, 1), stats.norm(1, 1)), 9)  # half the squared distance
    0.5
    """
    pair = read_pair("kl_divergence", ("p", p), ("q", q), support, points)
    if isinstance(pair, DensityPair) and pair.p.stated and not pair.q.covers(pair.p):
        return math.inf
    return pair.total(_kl_term)


def js_divergence(p: Any, q: Any, *, support: tuple[float, float] = LINE, points: Sequence[float] = ()) -> float:
    """Return JSD(p || q) = KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2, in nats.

    JSD is symmetric, 0 only for p = q, and at most log 2 = 0.693, since m >= p / 2 gives KL(p || m) <= log 2. It is
    log 2 if the supports are disjoint.

    Parameters
    ----------
    p, q : array_like of shape (n,), Tensor, frozen scipy.stats distribution or callable
    support, points
        See `tinygan.theory.value`.

    Returns
    -------
    float
        In [0, log 2].

    Raises
    ------
    DistributionError
        An argument is not a distribution, the two are of different kinds or lengths, or the integral does not converge.

    Examples
    --------
    >>> js_divergence([0.5, 0.5], [0.5, 0.5]), round(js_divergence([1.0, 0.0], [0.0, 1.0]), 9)
    (0.0, 0.693147181)
    """
    pair = read_pair("js_divergence", ("p", p), ("q", q), support, points)
    return min(pair.total(_js_term), math.log(2))  # rounding may take the sum above log 2


def _kl_term(p: Any, log_p: Any, q: Any, log_q: Any) -> Any:
    """Return p log(p / q) - p + q; near p = q as q ((1 + t) log(1 + t) - t), t = p / q - 1, which is more precise."""
    near = abs(p - q) < q / 2
    t = np.where(near, (p - q) / q, 0.0)
    far = np.where(p > 0, p * (log_p - log_q), 0.0) - p + q
    return np.maximum(np.where(near, q * ((1 + t) * np.log1p(t) - t), far), 0.0)  # negative only by rounding


def _js_term(p: Any, log_p: Any, q: Any, log_q: Any) -> Any:
    m, log_m = (p + q) / 2, np.logaddexp(log_p, log_q) - math.log(2)
    return (_kl_term(p, log_p, m, log_m) + _kl_term(q, log_q, m, log_m)) / 2
