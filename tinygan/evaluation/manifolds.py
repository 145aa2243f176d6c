"""Precision and recall, density and coverage: samples in the region of the data, and data in that of samples.

Each point of a set is the centre of a ball; its radius is the distance to the k-th nearest other point of the set. The
union of the balls estimates the support of the set's distribution. Kynkäänniemi, Karras, Laine, Lehtinen and Aila
(2019, "Improved precision and recall metric for assessing generative models") define::

    precision = the share of samples in the region of the data:     low if G makes samples unlike the data
    recall    = the share of data in the region of the samples:     low if G misses a part of the data

One sample far from all others has a large ball, which may overstate recall; one such datum may overstate precision.
Therefore Naeem, Oh, Uh, Choi and Yoo (2020, "Reliable fidelity and diversity metrics for generative models") count the
balls that contain a sample, and use the balls of the data only::

    density  = the mean number of balls of the data that contain a sample, divided by k
    coverage = the share of data whose ball contains a sample

Both papers measure distances between features of a trained network; between pixels the balls are larger and the
measures coarser. The functions accept any rows, also features. A point on the surface of a ball is inside, as in the
first paper; in the code of the second paper it is outside. The two differ for equal distances: equal data have balls
of radius 0, which contain these data only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.checks import integer
from tinygan.errors import ShapeError
from tinygan.evaluation.blocks import block, block_sizes, centre, compare_distances, nearest_blocks, row_squares
from tinygan.evaluation.rows import Array, check_values, same_columns, slices

NEIGHBOURS = 3  # the k of Kynkäänniemi et al.
DENSITY_NEIGHBOURS = 5  # the k of Naeem et al.


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision and recall of samples.

    Attributes
    ----------
    precision : float
        The share of samples in the region of the data, in [0, 1].
    recall : float
        The share of data in the region of the samples, in [0, 1].
    """

    precision: float
    recall: float

    def __str__(self) -> str:
        return f"precision {self.precision:.1%}, recall {self.recall:.1%}"


@dataclass(frozen=True)
class DensityCoverage:
    """Density and coverage of samples.

    Attributes
    ----------
    density : float
        The mean number of balls of the data that contain a sample, divided by k. At least 0; near 1 if samples are as
        dense as data, above 1 if they concentrate where the data are dense.
    coverage : float
        The share of data whose ball contains a sample, in [0, 1].
    """

    density: float
    coverage: float

    def __str__(self) -> str:
        return f"density {self.density:.3f}, coverage {self.coverage:.1%}"


def precision_recall(samples: Any, data: Any, k: int = NEIGHBOURS) -> PrecisionRecall:
    """Return the share of samples in the region of the data, and the share of data in the region of the samples.

    Parameters
    ----------
    samples : array of shape (m, d)
        More than k. Balls shrink as the number of points grows, so take as many samples as data.
    data : array of shape (n, d)
        More than k.
    k : int
        A ball reaches to the k-th nearest other point.

    Returns
    -------
    PrecisionRecall

    Raises
    ------
    ShapeError
        The arguments are not rows of one length, or have at most k rows.
    DataError
        A value is nan or infinite, or too large or too small for its square.
    ArgumentError
        k is not an integer of at least 1.

    Examples
    --------
    >>> data = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]
    >>> half = [[0.5], [1.0], [1.5], [0.8], [1.2], [5.0]]  # no sample in the right group, and one at 5
    >>> print(precision_recall(half, data, k=1))
    precision 83.3%, recall 33.3%
    """
    samples, data, k, sizes = _checked("precision_recall", samples, data, k)
    return PrecisionRecall(
        precision=float(_balls(samples, data, k, sizes)[0].mean()),
        recall=float(_balls(data, samples, k, sizes)[0].mean()),
    )


def density_coverage(samples: Any, data: Any, k: int = DENSITY_NEIGHBOURS) -> DensityCoverage:
    """Return how dense the samples are in the region of the data, and the share of data near a sample.

    Parameters
    ----------
    samples : array of shape (m, d)
        At least one. Coverage grows with their number, so take as many samples as data.
    data : array of shape (n, d)
        More than k.
    k : int
        A ball reaches to the k-th nearest other point.

    Returns
    -------
    DensityCoverage

    Raises
    ------
    ShapeError, DataError, ArgumentError
        As in `precision_recall`; but one sample is enough.

    Examples
    --------
    The balls of these data, k = 1, are the intervals [-1, 1], [0, 2], [9, 11] and [10, 12]. Two of them contain the
    first sample, one contains the second, and no ball contains the last. Three of the four balls contain a sample.

    >>> print(density_coverage([[0.5], [9.5], [5.0]], data=[[0.0], [1.0], [10.0], [11.0]], k=1))
    density 1.000, coverage 75.0%
    """
    samples, data, k, sizes = _checked("density_coverage", samples, data, k, of_samples=False)
    _, holds, pairs = _balls(samples, data, k, sizes)
    return DensityCoverage(density=pairs / (k * len(samples)), coverage=float(holds.mean()))


def _checked(
    name: str, samples: Any, data: Any, k: Any, of_samples: bool = True
) -> tuple[Array, Array, int, tuple[int, int]]:
    samples, data = same_columns(name, samples=samples, data=data)
    k = integer(k, f"{name}: k", at_least=1)
    for argument, rows in (("samples", samples), ("data", data))[not of_samples :]:
        if len(rows) <= k:
            raise ShapeError(
                f"{name}: {argument} must have more than k = {k} rows, got {len(rows)}: give more, or a smaller k"
            )
    most = max(len(samples), len(data))
    sizes = block_sizes(most, most, samples.shape[1], pairs=3, extra=6 * k)
    check_values(name, sizes[1], samples=samples, data=data)
    return samples, data, k, sizes


def _balls(queries: Array, points: Array, k: int, sizes: tuple[int, int]) -> tuple[Array, Array, int]:
    """Return which queries lie in a ball, which points have a query in their ball, and the number of such pairs."""
    middle = centre(points, sizes[1])
    radius = np.empty(len(points))  # squared, like all distances here
    for here, index, squared in nearest_blocks(points, points, k, sizes, middle, exclude_self=True):
        farthest = np.take_along_axis(index, squared.argmax(axis=1, keepdims=True), axis=1)[:, 0]
        radius[here] = row_squares(points[here], points[farthest])
    lies, holds, pairs = np.zeros(len(queries), bool), np.zeros(len(points), bool), 0
    for here in slices(len(queries), sizes[0]):
        x = block(queries, here, middle)
        for there in slices(len(points), sizes[1]):
            inside = np.logical_or(*compare_distances(x, block(points, there, middle), radius[there]))
            lies[here] |= inside.any(axis=1)
            holds[there] |= inside.any(axis=0)
            pairs += int(np.count_nonzero(inside))
    return lies, holds, pairs
