"""Table 1's measure: the log-likelihood of data under a Gaussian Parzen window on samples of the generator.

G has no density to ask, so the paper puts a Gaussian on every sample and asks that mixture (section 5; the procedure is
that of Breuleux et al., 2011)::

    log p(x) = log 1/m sum_j exp(-|x - s_j|^2 / (2 sigma^2)) - d log(sigma sqrt(2 pi))

with sigma chosen on validation data. The measure has a high variance, rewards blur in high dimensions, and a generator
that copies its training set does well by it: the paper says so, and so should everyone who quotes a number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygan.errors import ArgumentError, DataError, ShapeError
from tinygan.evaluation.blocks import (
    BUDGET,
    Array,
    as_width,
    block,
    block_sizes,
    centre,
    check_values,
    same_columns,
    slices,
    squared_distances,
)

HARMLESS = 1e-8  # an error of a squared distance, in units of sigma^2: half of it is the error in nats
SIGMAS: tuple[float, ...] = tuple(float(sigma) for sigma in np.logspace(-1, 0, 10))  # the released code's grid


def parzen_log_likelihood(
    samples: Any,
    data: Any,
    sigma: float,
    *,
    budget: int = BUDGET,
    progress: Callable[[int], object] | None = None,
) -> Array:
    """Return the log-likelihood of each row of `data` under Gaussians of width `sigma` on `samples`.

    Parameters
    ----------
    samples : array of shape (m, d)
        What G made; the paper's protocol takes 10,000.
    data : array of shape (n, d)
        In the units of the samples: for Table 1, pixels in [0, 1].
    sigma : float
        Standard deviation of each Gaussian, in the units of the data, from 1e-100 to 1e100; choose it with
        `select_sigma`.
    budget : int
        Bytes of working memory, beside the arguments and the result. All arithmetic is in float64.
    progress : callable, optional
        Called with a number of rows of `data` whenever so many more are done.

    Returns
    -------
    float64 array of shape (n,)
        In nats; -inf where float64 has no number so low. The table's number is the mean, its error the
        `standard_error`.

    Raises
    ------
    ShapeError
        The arguments are not rows, have none, or differ in length.
    DataError
        A value is nan or infinite, or too large or too small for its square.
    ArgumentError
        `sigma` is not a positive number of such a size, or not even one row fits the budget.

    Examples
    --------
    >>> one_gaussian = parzen_log_likelihood([[0.0]], [[0.0], [2.0]], sigma=1.0)
    >>> one_gaussian.round(4)  # -log sqrt(2 pi), and 2 less
    array([-0.9189, -2.9189])
    """
    return parzen_log_likelihoods(samples, data, (sigma,), budget=budget, progress=progress)[0]


def select_sigma(
    samples: Any,
    validation: Any,
    sigmas: Any = SIGMAS,
    *,
    budget: int = BUDGET,
    progress: Callable[[int], object] | None = None,
) -> float:
    """Return the sigma under which `validation` has the highest mean log-likelihood.

    The distances, which cost most, are computed once for all sigmas.

    Parameters
    ----------
    samples : array of shape (m, d)
    validation : array of shape (n, d)
        Never test data: a sigma fitted to them overstates the result. The protocol takes 1,000.
    sigmas : sequence of float
        By default `SIGMAS`, ten from 0.1 to 1 in equal ratios. If the best is the first or the last, the optimum may
        lie outside.
    budget, progress
        As in `parzen_log_likelihood`.

    Returns
    -------
    float
        One of `sigmas`; the first of several that are equally good.

    Raises
    ------
    ShapeError, DataError, ArgumentError
        As in `parzen_log_likelihood`; or the mean is -inf under every sigma, so that none is better.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> select_sigma(rng.normal(size=(500, 1)), rng.normal(size=(200, 1)), [0.01, 0.3, 3.0])
    0.3
    """
    table = parzen_log_likelihoods(samples, validation, sigmas, budget=budget, progress=progress)
    with np.errstate(over="ignore"):
        means = table.mean(axis=1)
    best = int(means.argmax())
    if means[best] == -math.inf:
        raise ArgumentError(
            f"select_sigma: the log-likelihood is -inf under every sigma, give larger ones; got {sigmas!r}"
        )
    return float(np.asarray(sigmas, float)[best])


def parzen_log_likelihoods(
    samples: Any,
    data: Any,
    sigmas: Any,
    *,
    budget: int = BUDGET,
    progress: Callable[[int], object] | None = None,
) -> Array:
    """Return `parzen_log_likelihood` for each of several sigmas, from one computation of the distances.

    Parameters
    ----------
    samples, data, budget, progress
        As in `parzen_log_likelihood`.
    sigmas : sequence of k floats

    Returns
    -------
    float64 array of shape (k, n)

    Raises
    ------
    ShapeError, DataError, ArgumentError
        As in `parzen_log_likelihood`.

    Examples
    --------
    >>> parzen_log_likelihoods([[0.0]], [[0.0]], [1.0, 2.0]).round(4)  # half the height when twice as wide
    array([[-0.9189],
           [-1.6121]])
    """
    name = "parzen_log_likelihood"
    widths = _widths(name, sigmas)
    samples, data = same_columns(name, samples=samples, data=data)
    m, d = samples.shape
    rows, columns = block_sizes(name, budget, len(data), m, d, extra=2 * len(widths))
    check_values(name, columns, samples=samples, data=data)
    precision = -0.5 / widths**2
    tolerance = HARMLESS * float(widths.min()) ** 2
    middle = centre(samples, columns)
    result = np.empty((len(widths), len(data)))
    for here in slices(len(data), rows):
        x = block(data, here, middle)
        # Whatever the sigma, the largest term of the sum belongs to the nearest sample. Its distance is taken out of
        # every exponent: the sum is then at least 1, and nothing can vanish or overflow.
        nearest = np.full(len(x.rows), np.inf)
        sums = np.zeros((len(widths), len(x.rows)))
        for there in slices(m, columns):
            distance = squared_distances(x, block(samples, there, middle), tolerance)
            nearer = np.minimum(nearest, distance.min(axis=1))
            distance -= nearer[:, None]
            with np.errstate(over="ignore", under="ignore"):  # exp(-inf) = 0 is what is meant
                sums *= np.exp(np.outer(precision, nearest - nearer))
                for total, factor in zip(sums, precision, strict=True):
                    terms = distance * factor
                    np.exp(terms, out=terms)
                    total += terms.sum(axis=1)
            nearest = nearer
        with np.errstate(over="ignore"):
            result[:, here] = np.log(sums) + np.outer(precision, nearest)
        if progress is not None:
            progress(len(x.rows))
    normalisation = math.log(m) + d * np.log(widths * math.sqrt(2 * math.pi))
    return result - normalisation[:, None]


def standard_error(values: Any) -> float:
    """Return std / sqrt(n), the error of a mean: what stands behind the ± of Table 1's first column.

    Raises
    ------
    ShapeError
        There are no values, or they have more than one axis, or they are not real numbers.
    DataError
        A value is nan or infinite.

    Examples
    --------
    >>> standard_error([1.0, 3.0])
    0.7071067811865475
    """
    values = np.asarray(values)
    if values.ndim != 1 or not values.size or values.dtype.kind not in "fiub":
        raise ShapeError(
            f"standard_error: expected values of shape (n,), n at least 1, real numbers; got {values.dtype} of shape "
            f"{values.shape}"
        )
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        position = int(np.argmin(np.isfinite(values)))
        raise DataError(f"standard_error: value {position} is {values[position]}, and so the mean has no error")
    exponent = int(np.frexp(np.abs(values).max())[1])  # so that squares do not overflow; no digit is lost by it
    return float(np.ldexp(np.ldexp(values, -exponent).std() / math.sqrt(values.size), exponent))


def _widths(operation: str, sigmas: Any) -> Array:
    widths = np.asarray(sigmas)
    if widths.ndim != 1 or not widths.size:
        raise ArgumentError(f"{operation}: sigma must be a positive number, or several; got {sigmas!r}")
    return np.array([as_width(operation, "sigma", width) for width in widths.tolist()])
