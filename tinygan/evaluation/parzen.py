"""The measure of Table 1: the log-likelihood of data under a Gaussian Parzen window on samples of the generator.

G defines no density that can be computed, so the paper puts a Gaussian on every sample and uses the density of this
mixture (section 5; the procedure is that of Breuleux et al., 2011)::

    log p(x) = log 1/m sum_j exp(-|x - s_j|^2 / (2 sigma^2)) - d log(sigma sqrt(2 pi))

with sigma chosen on validation data. The measure has a high variance and rewards blur in high dimensions, and a
generator that copies its training set gets a good value. The paper says so; quote numbers with this caution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygan.errors import ArgumentError, DataError, ShapeError
from tinygan.evaluation.blocks import block, block_sizes, centre, squared_distances, strips
from tinygan.evaluation.rows import Array, as_width, check_values, same_columns, slices

HARMLESS = 1e-8  # accepted error of a squared distance, relative to sigma^2; the error in nats is half of it
SIGMAS: tuple[float, ...] = tuple(float(sigma) for sigma in np.logspace(-1, 0, 10))  # the released code's grid


def parzen_log_likelihood(
    samples: Any,
    data: Any,
    sigma: float,
    *,
    progress: Callable[[int], object] | None = None,
) -> Array:
    """Return the log-likelihood of each row of `data` under Gaussians of width `sigma` on `samples`.

    Parameters
    ----------
    samples : array of shape (m, d)
        Samples of G; the paper's protocol takes 10,000.
    data : array of shape (n, d)
        In the units of the samples: for Table 1, pixels in [0, 1].
    sigma : float
        Standard deviation of each Gaussian, in the units of the data, from 1e-100 to 1e100; choose it with
        `select_sigma`.
    progress : callable, optional
        Called after each block with the number of rows of `data` in it.

    Returns
    -------
    float64 array of shape (n,)
        In nats; -inf if it is below the range of float64. Table 1 has the mean with its `standard_error`.

    Raises
    ------
    ShapeError
        The arguments are not rows of one length, or have no row.
    DataError
        A value is nan or infinite, or too large or too small for its square.
    ArgumentError
        `sigma` is not a positive number of such a size.

    Examples
    --------
    >>> one_gaussian = parzen_log_likelihood([[0.0]], [[0.0], [2.0]], sigma=1.0)
    >>> one_gaussian.round(4)  # -log sqrt(2 pi), and 2 less
    array([-0.9189, -2.9189])
    """
    return parzen_log_likelihoods(samples, data, (sigma,), progress=progress)[0]


def select_sigma(
    samples: Any,
    validation: Any,
    sigmas: Any = SIGMAS,
    *,
    progress: Callable[[int], object] | None = None,
) -> float:
    """Return the sigma for which `validation` has the highest mean log-likelihood.

    The distances are the largest cost; they are computed once for all sigmas.

    Parameters
    ----------
    samples : array of shape (m, d)
    validation : array of shape (n, d)
        Never test data: a sigma fitted to test data overstates the result. The protocol takes 1,000 rows.
    sigmas : sequence of float
        By default `SIGMAS`, ten values from 0.1 to 1 in equal ratios. If the best is the first or the last, the optimum
        may lie outside.
    progress
        As in `parzen_log_likelihood`.

    Returns
    -------
    float
        One of `sigmas`; the first of several that are equally good.

    Raises
    ------
    ShapeError, DataError, ArgumentError
        As in `parzen_log_likelihood`; or the mean is -inf for every sigma.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> select_sigma(rng.normal(size=(500, 1)), rng.normal(size=(200, 1)), [0.01, 0.3, 3.0])
    0.3
    """
    table = parzen_log_likelihoods(samples, validation, sigmas, progress=progress)
    with np.errstate(over="ignore"):
        means = table.mean(axis=1)
    best = int(means.argmax())
    if means[best] == -math.inf:
        raise ArgumentError(
            f"select_sigma: the log-likelihood is -inf for every sigma, give larger ones; got {sigmas!r}"
        )
    return float(np.asarray(sigmas, float)[best])


def parzen_log_likelihoods(
    samples: Any,
    data: Any,
    sigmas: Any,
    *,
    progress: Callable[[int], object] | None = None,
) -> Array:
    """Return `parzen_log_likelihood` for several sigmas; the distances are computed once.

    Parameters
    ----------
    samples, data, progress
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
    >>> parzen_log_likelihoods([[0.0]], [[0.0]], [1.0, 2.0]).round(4)  # twice the width, half the height
    array([[-0.9189],
           [-1.6121]])
    """
    name = "parzen_log_likelihood"
    widths = _widths(name, sigmas)
    samples, data = same_columns(name, samples=samples, data=data)
    m, d = samples.shape
    rows, columns = block_sizes(len(data), m, d, extra=2 * len(widths))
    check_values(name, columns, samples=samples, data=data)
    precision = -0.5 / widths**2
    tolerance = HARMLESS * float(widths.min()) ** 2
    middle = centre(samples, columns)
    result = np.empty((len(widths), len(data)))
    for here in slices(len(data), rows):
        x = block(data, here, middle)
        # For every sigma, the largest term of the sum belongs to the nearest sample. Its exponent is subtracted from
        # every exponent: the sum is then at least 1, and cannot overflow.
        nearest = np.full(len(x.rows), np.inf)
        sums = np.zeros((len(widths), len(x.rows)))
        for there in slices(m, columns):
            distance = squared_distances(x, block(samples, there, middle), tolerance)
            nearer = np.minimum(nearest, distance.min(axis=1))
            with np.errstate(over="ignore", under="ignore"):  # exp(-inf) = 0 is intended
                sums *= np.exp(np.outer(precision, nearest - nearer))
                for strip in strips(distance):
                    part = distance[strip]
                    part -= nearer[strip, None]
                    for total, factor in zip(sums, precision, strict=True):
                        terms = part * factor
                        np.exp(terms, out=terms)
                        total[strip] += terms.sum(axis=1)
            nearest = nearer
        with np.errstate(over="ignore"):
            result[:, here] = np.log(sums) + np.outer(precision, nearest)
        if progress is not None:
            progress(len(x.rows))
    normalisation = math.log(m) + d * np.log(widths * math.sqrt(2 * math.pi))
    return result - normalisation[:, None]


def standard_error(values: Any) -> float:
    """Return std / sqrt(n), the standard error of a mean: the number after ± in Table 1's first column.

    Raises
    ------
    ShapeError
        The values are not real numbers of shape (n,), or there are no values.
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
        raise DataError(f"standard_error: value {position} is {values[position]}; expected finite values")
    exponent = int(np.frexp(np.abs(values).max())[1])  # a scale at which squares do not overflow; it loses no digit
    return float(np.ldexp(np.ldexp(values, -exponent).std() / math.sqrt(values.size), exponent))


def _widths(operation: str, sigmas: Any) -> Array:
    widths = np.asarray(sigmas)
    if widths.ndim != 1 or not widths.size:
        raise ArgumentError(f"{operation}: sigma must be a positive number, or several; got {sigmas!r}")
    return np.array([as_width(operation, "sigma", width) for width in widths.tolist()])
