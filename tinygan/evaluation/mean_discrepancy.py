"""The maximum mean discrepancy of Gretton, Borgwardt, Rasch, Schölkopf and Smola (2012, "A kernel two-sample test").

With the kernel k(x, y) = exp(-|x - y|^2 / (2 sigma^2)), the squared discrepancy of two distributions::

    MMD^2(p, q) = E k(x, x') - 2 E k(x, y) + E k(y, y'),    x, x' from p, and y, y' from q, all independent

is 0 if p = q and positive otherwise. Unlike a likelihood, it needs no density. Unlike the likelihood of a Parzen
window, its estimate has no bias: the mean over pairs of different points has the right expectation for any number of
samples.

With k(x, y) = (x.y / d + 1)^3, where d is the length of a row, and rows that are features of an Inception network, it
is the kernel inception distance (KID) of Bińkowski, Sutherland, Arbel and Gretton (2018, "Demystifying MMD GANs"). This
kernel has no bandwidth. It depends only on the first three moments of the distributions, and on the origin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.backend import Stream
from tinygan.checks import integer
from tinygan.errors import ArgumentError, DataError, ShapeError
from tinygan.evaluation.blocks import Block, block, block_sizes, centre, squared_distances
from tinygan.evaluation.rows import Array, as_width, canonical, check_values, same_columns, slices

MEDIAN_ROWS = 250  # rows of each set that the median distance is computed from
KERNELS = ("gaussian", "polynomial")
HARMLESS = 1e-12  # accepted error of a squared distance, relative to bandwidth^2; the kernel's error is half of it


@dataclass(frozen=True)
class MeanDiscrepancy:
    """An estimate of the squared discrepancy.

    Attributes
    ----------
    squared : float
        The unbiased estimate of MMD^2, Gretton's equation 3. If the distributions are equal, its mean is 0, and it is
        often negative. At most 2 with the Gaussian kernel.
    bandwidth : float or None
        sigma, in the units of the data; None for the polynomial kernel. Estimates with different bandwidths or kernels
        cannot be compared.
    p_value : float, optional
        The share of permutations, including the observed one, whose discrepancy is at least as large.
    """

    squared: float
    bandwidth: float | None
    p_value: float | None = None

    def __str__(self) -> str:
        chance = "" if self.p_value is None else f", p = {self.p_value:.3g}"
        kernel = "with the polynomial kernel" if self.bandwidth is None else f"at bandwidth {self.bandwidth:.3g}"
        return f"MMD^2 = {self.squared:.3g} {kernel}{chance}"


def maximum_mean_discrepancy(
    samples: Any,
    data: Any,
    bandwidth: float | None = None,
    *,
    kernel: str = "gaussian",
    permutations: int = 0,
    stream: Stream | None = None,
) -> MeanDiscrepancy:
    """Estimate the squared maximum mean discrepancy between samples and data, with a Gaussian kernel or that of KID.

    Parameters
    ----------
    samples : array of shape (m, d)
        At least two.
    data : array of shape (n, d)
        At least two. Use data that G was not trained on, so that a generator that copies its training data does not
        get a good value.
    bandwidth : float, optional
        sigma, in the units of the data, from 1e-100 to 1e100. By default the median distance between two different
        rows among (at most) `MEDIAN_ROWS` samples and as many data, taken at even steps in the order of their bytes.
    kernel : {"gaussian", "polynomial"}
        exp(-|x - y|^2 / (2 sigma^2)), or (x.y / d + 1)^3, which takes no bandwidth.
    permutations : int
        Number of random divisions of all rows into two sets of the same sizes: 0 for no p-value, 199 for a p-value of
        at least 0.005. Each costs about as much as two more columns of the data.
    stream : Stream, optional
        The source of the permutations; by default ``Stream(0, "permutations")``.

    Returns
    -------
    MeanDiscrepancy

    Raises
    ------
    ShapeError
        The arguments are not rows of one length, or have fewer than two rows.
    DataError
        A value is nan or infinite, or too large or too small for its square, or for the polynomial; or no bandwidth
        was given, and half the distances are 0.
    ArgumentError
        The bandwidth is not a positive number, there is no such kernel, or `permutations` is not an integer of at
        least 0.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> data, same, shifted = rng.normal(size=(3, 500, 2)) + [[[0]], [[0]], [[0.5]]]
    >>> print(maximum_mean_discrepancy(same, data, permutations=99))
    MMD^2 = 0.00112 at bandwidth 1.65, p = 0.19
    >>> print(maximum_mean_discrepancy(shifted, data, permutations=99))
    MMD^2 = 0.0567 at bandwidth 1.68, p = 0.01

    With KID's kernel, in one dimension: k(1, 1) = 8 for samples, k(0, 2) = 1 for data, and the mean of k(1, 0) = 1 and
    k(1, 2) = 27 is 14. The estimate is 8 + 1 - 2 * 14.

    >>> print(maximum_mean_discrepancy([[1.0], [1.0]], [[0.0], [2.0]], kernel="polynomial"))
    MMD^2 = -19 with the polynomial kernel
    """
    name = "maximum_mean_discrepancy"
    samples, data = same_columns(name, samples=samples, data=data)
    for argument, rows in (("samples", samples), ("data", data)):
        if len(rows) < 2:
            raise ShapeError(f"{name}: {argument} must have two rows or more, got one: a mean over pairs needs a pair")
    permutations = integer(permutations, f"{name}: permutations", at_least=0)
    if kernel not in KERNELS:
        raise ArgumentError(f"{name}: kernel must be one of {', '.join(KERNELS)}; got {kernel!r}")
    if kernel == "polynomial" and bandwidth is not None:
        raise ArgumentError(f"{name}: the polynomial kernel takes no bandwidth, got {bandwidth!r}; leave it out")
    m, total = len(samples), len(samples) + len(data)
    columns = permutations + 1
    # Both sets form one list of rows. No block contains rows of both.
    sizes = block_sizes(total, total, samples.shape[1], extra=3 * columns)
    step = min(sizes)
    check_values(name, step, samples=samples, data=data)
    if bandwidth is not None:
        bandwidth = as_width(name, "bandwidth", bandwidth)
    elif kernel == "gaussian":
        bandwidth = _median_distance(name, samples, data)
    chosen = np.zeros((total, columns), bool)  # which rows are samples: as observed, then in each permutation
    chosen[:m, 0] = True
    stream = stream or Stream(0, "permutations")
    for column in range(1, columns):
        chosen[stream.permutation(total)[:m], column] = True

    d = samples.shape[1]
    middle = np.zeros(d) if bandwidth is None else centre(samples, step)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        within, row_sums = _sums(samples, data, _kernel(bandwidth, d), middle, chosen, step)
        from_samples = np.array([row_sums[column].sum() for column in chosen.T])
        across = from_samples - within
        rest = row_sums.sum() - within - 2 * across
        n = total - m
        values = within / (m * (m - 1)) - 2 * across / (m * n) + rest / (n * (n - 1))
    if not np.isfinite(values).all():
        raise DataError(f"{name}: (x.y / d + 1)^3 overflows for these rows; divide all by one number")
    # An equal division may give a slightly smaller value by rounding, so values are compared up to rounding.
    size = max(1.0, float(np.abs(row_sums).max()) / total)  # approximate size of the kernel
    as_large = np.count_nonzero(values >= values[0] - 1e-12 * size)
    return MeanDiscrepancy(float(values[0]), bandwidth, as_large / columns if permutations else None)


def _kernel(bandwidth: float | None, d: int) -> Callable[[Block, Block], Array]:
    """Return the kernel, as a function of two blocks: Gaussian, or polynomial without a bandwidth."""

    def gaussian(x: Block, y: Block) -> Array:
        assert bandwidth is not None
        values = squared_distances(x, y, HARMLESS * bandwidth**2)
        values *= -0.5 / bandwidth**2
        return np.exp(values, out=values)

    def polynomial(x: Block, y: Block) -> Array:
        values = x.centred @ y.centred.T
        values /= d
        values += 1
        cubes = values * values
        cubes *= values
        return cubes

    return polynomial if bandwidth is None else gaussian


def _sums(
    samples: Array, data: Array, kernel: Callable[[Block, Block], Array], middle: Array, chosen: Array, step: int
) -> tuple[Array, Array]:
    """Return sums of the kernel over ordered pairs of different rows: within each choice of rows, and for each row."""
    blocks = [(0, samples, here) for here in slices(len(samples), step)]
    blocks += [(len(samples), data, here) for here in slices(len(data), step)]
    within, row_sums = np.zeros(chosen.shape[1]), np.zeros(len(chosen))
    for position, (offset, x, here) in enumerate(blocks):
        rows, i = block(x, here, middle), slice(offset + here.start, offset + here.stop)
        for offset_there, y, there in blocks[position:]:  # the kernel is symmetric: half of the blocks suffice
            j = slice(offset_there + there.start, offset_there + there.stop)
            values = kernel(rows, block(y, there, middle))
            if i == j:
                np.fill_diagonal(values, 0)  # exclude pairs of a point with itself
            else:
                row_sums[j] += values.sum(axis=0)
            row_sums[i] += values.sum(axis=1)
            pairs = np.einsum("ip,ip->p", values @ chosen[j].astype(float), chosen[i])
            within += pairs if i == j else 2 * pairs
    return within, row_sums


def _median_distance(operation: str, samples: Array, data: Array) -> float:
    """Return the median distance between different rows of a subset of both sets."""
    from scipy.spatial.distance import pdist  # takes longer to import than all of tinygan

    few = [
        canonical(rows)[np.linspace(0, len(rows) - 1, min(len(rows), MEDIAN_ROWS)).astype(int)]
        for rows in (samples, data)
    ]
    median = float(np.median(pdist(np.concatenate(few, dtype=np.float64))))
    if median == 0:
        raise DataError(
            f"{operation}: half the distances are 0: almost all rows are the same; give a bandwidth"
        )
    return median
