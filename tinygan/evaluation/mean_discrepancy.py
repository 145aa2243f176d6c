"""The maximum mean discrepancy of Gretton, Borgwardt, Rasch, Schölkopf and Smola (2012, "A kernel two-sample test").

With the kernel k(x, y) = exp(-|x - y|^2 / (2 sigma^2)), the squared discrepancy of two distributions::

    MMD^2(p, q) = E k(x, x') - 2 E k(x, y) + E k(y, y'),    x, x' from p, and y, y' from q, all independent

is 0 if p = q and positive otherwise. Unlike a likelihood it needs no density, and unlike that of a Parzen window its
estimate has no bias: the mean over pairs, none of them of a point with itself, is right on average for any number of
samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.backend import Stream
from tinygan.errors import DataError, ShapeError
from tinygan.evaluation.blocks import (
    BUDGET,
    Array,
    block_sizes,
    mean,
    refuse_non_finite,
    same_columns,
    slices,
    squared_distances,
)

MEDIAN_ROWS = 250  # of each set, whose pairs give the median distance


@dataclass(frozen=True)
class MeanDiscrepancy:
    """What was estimated.

    Attributes
    ----------
    squared : float
        The unbiased estimate of MMD^2, Gretton's equation 3. Around 0, and so as often as not below it, if the two
        distributions are the same; at most 2.
    bandwidth : float
        sigma, in the units of the data. Estimates with different bandwidths cannot be compared.
    p_value : float, optional
        The share of permutations, the one observed among them, whose discrepancy is at least as large.
    """

    squared: float
    bandwidth: float
    p_value: float | None = None

    def __str__(self) -> str:
        chance = "" if self.p_value is None else f", p = {self.p_value:.3g}"
        return f"MMD^2 = {self.squared:.3g} at bandwidth {self.bandwidth:.3g}{chance}"


def maximum_mean_discrepancy(
    samples: Any,
    data: Any,
    bandwidth: float | None = None,
    *,
    permutations: int = 0,
    stream: Stream | None = None,
    budget: int = BUDGET,
) -> MeanDiscrepancy:
    """Estimate the squared maximum mean discrepancy between samples and data, under a Gaussian kernel.

    Parameters
    ----------
    samples : array of shape (m, d)
        At least two.
    data : array of shape (n, d)
        At least two. Data that G was not trained on: a generator that copies what it was shown is not to win.
    bandwidth : float, optional
        sigma, in the units of the data. By default the median distance between two different rows among (at most)
        `MEDIAN_ROWS` samples and as many data, taken at even steps.
    permutations : int
        How often to deal the rows out anew, into sets of the same sizes, to see what chance does: 0 for no p-value,
        199 for one that can be as small as 0.005. Each costs about as much as two more columns of the data.
    stream : Stream, optional
        Of the permutations; by default ``Stream(0, "permutations")``.
    budget : int
        Bytes of working memory, beside the arguments and one byte for each row and permutation.

    Returns
    -------
    MeanDiscrepancy

    Raises
    ------
    ShapeError
        The arguments are not rows, have fewer than two, or differ in length.
    DataError
        A value is nan or infinite; or no bandwidth was given, and half the distances are 0.
    ValueError
        The bandwidth is not a positive number, `permutations` is negative, or not even one row fits the budget.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> data, same, shifted = rng.normal(size=(3, 500, 2)) + [[[0]], [[0]], [[0.5]]]
    >>> print(maximum_mean_discrepancy(same, data, permutations=99))
    MMD^2 = 0.00113 at bandwidth 1.64, p = 0.19
    >>> print(maximum_mean_discrepancy(shifted, data, permutations=99))
    MMD^2 = 0.0569 at bandwidth 1.66, p = 0.01
    """
    name = "maximum_mean_discrepancy"
    samples, data = same_columns(name, samples=samples, data=data)
    for argument, rows in (("samples", samples), ("data", data)):
        if len(rows) < 2:
            raise ShapeError(f"{name}: {argument} must have two rows or more, got one: a mean over pairs needs a pair")
    if permutations < 0:
        raise ValueError(f"{name}: permutations must be 0 or more, got {permutations}")
    m, total = len(samples), len(samples) + len(data)
    columns = permutations + 1
    # Both sets are one list of rows, cut into blocks where one ends and the other begins.
    sizes = block_sizes(name, budget, total, total, samples.shape[1], extra=3 * columns)
    step = min(sizes)
    refuse_non_finite(name, step, samples=samples, data=data)
    if bandwidth is None:
        bandwidth = _median_distance(name, samples, data)
    elif not (math.isfinite(bandwidth) and bandwidth > 0):
        raise ValueError(f"{name}: bandwidth must be a positive number, got {bandwidth}")
    chosen = np.zeros((total, columns), bool)  # who is a sample: as observed, then as dealt
    chosen[:m, 0] = True
    stream = stream or Stream(0, "permutations")
    for column in range(1, columns):
        chosen[stream.permutation(total)[:m], column] = True

    within, row_sums = _sums(samples, data, bandwidth, chosen, step)
    from_samples = np.array([row_sums[column].sum() for column in chosen.T])
    across = from_samples - within
    rest = row_sums.sum() - within - 2 * across
    n = total - m
    values = within / (m * (m - 1)) - 2 * across / (m * n) + rest / (n * (n - 1))
    # The same deal again may come out smaller in its last digits: as large is as large up to rounding.
    as_large = np.count_nonzero(values >= values[0] - 1e-12)
    return MeanDiscrepancy(float(values[0]), float(bandwidth), as_large / columns if permutations else None)


def _sums(samples: Array, data: Array, bandwidth: float, chosen: Array, step: int) -> tuple[Array, Array]:
    """Sum the kernel over all ordered pairs of two different rows: within each choice of rows, and over each row."""
    centre = mean(samples, step)
    factor = -0.5 / bandwidth**2
    blocks = [(0, samples, here) for here in slices(len(samples), step)]
    blocks += [(len(samples), data, here) for here in slices(len(data), step)]
    within, row_sums = np.zeros(chosen.shape[1]), np.zeros(len(chosen))
    for position, (offset, x, here) in enumerate(blocks):
        rows, i = x[here] - centre, slice(offset + here.start, offset + here.stop)
        for offset_there, y, there in blocks[position:]:  # the kernel is symmetric: half of all blocks will do
            j = slice(offset_there + there.start, offset_there + there.stop)
            kernel = squared_distances(rows, y[there] - centre)
            kernel *= factor
            np.exp(kernel, out=kernel)
            if i == j:
                np.fill_diagonal(kernel, 0)  # no point is paired with itself
            else:
                row_sums[j] += kernel.sum(axis=0)
            row_sums[i] += kernel.sum(axis=1)
            pairs = np.einsum("ip,ip->p", kernel @ chosen[j].astype(float), chosen[i])
            within += pairs if i == j else 2 * pairs
    return within, row_sums


def _median_distance(operation: str, samples: Array, data: Array) -> float:
    """Return the median distance between two different rows of a part of both sets."""
    from scipy.spatial.distance import pdist  # takes longer to import than all of tinygan

    few = [rows[np.linspace(0, len(rows) - 1, min(len(rows), MEDIAN_ROWS)).astype(int)] for rows in (samples, data)]
    median = float(np.median(pdist(np.concatenate(few, dtype=np.float64))))
    if median == 0:
        raise DataError(
            f"{operation}: half the distances are 0: almost all rows are the same; give a bandwidth to compare at"
        )
    return median
