"""Precision and recall, density and coverage: do the samples lie where the data live, and the data where samples do?

Around each point of a set lies a ball that reaches to its k-th nearest fellow; the union of the balls stands for the
region that the set's distribution lives on. Then, for Kynkäänniemi, Karras, Laine, Lehtinen and Aila (2019, "Improved
precision and recall metric for assessing generative models")::

    precision = the share of samples in the region of the data:     low if G makes what is no datum
    recall    = the share of data in the region of the samples:     low if G has left out a part of the data

The two tell apart what one number mixes up. One sample far from all others has a large ball, and may let recall look
better than it is; one such datum does the same for precision. Naeem, Oh, Uh, Choi and Yoo (2020, "Reliable fidelity and
diversity metrics for generative models") therefore count the balls that a sample lies in, and trust the balls of the
data only::

    density  = the mean number of balls of the data that a sample lies in, divided by k
    coverage = the share of data whose ball holds a sample

The authors of both measure distances between features of a trained network; between pixels balls are larger, and the
measures are coarser. They compare whatever rows they are given, so features will do. Here a point on the surface of a
ball is inside, as the first paper has it; in the code that came with the second it is not. The two differ where
distances are equal: data that are twins have balls without extent, which hold nothing but these twins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.errors import ShapeError
from tinygan.evaluation.blocks import (
    BUDGET,
    Array,
    as_count,
    block,
    block_sizes,
    centre,
    check_values,
    compare_distances,
    nearest_blocks,
    row_squares,
    same_columns,
    slices,
)

NEIGHBOURS = 3  # the k of Kynkäänniemi et al.
DENSITY_NEIGHBOURS = 5  # that of Naeem et al.


@dataclass(frozen=True)
class PrecisionRecall:
    """What was measured.

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
    """What was measured.

    Attributes
    ----------
    density : float
        The mean number of balls of the data that a sample lies in, divided by k: near 1 if samples are as dense as
        data, above 1 where they crowd in the midst of them. At least 0.
    coverage : float
        The share of data whose ball holds a sample, in [0, 1].
    """

    density: float
    coverage: float

    def __str__(self) -> str:
        return f"density {self.density:.3f}, coverage {self.coverage:.1%}"


def precision_recall(samples: Any, data: Any, k: int = NEIGHBOURS, *, budget: int = BUDGET) -> PrecisionRecall:
    """Measure how many samples lie where the data live, and how many data where the samples live.

    Parameters
    ----------
    samples : array of shape (m, d)
        More than k. Balls shrink as points grow in number, so take as many samples as data.
    data : array of shape (n, d)
        More than k.
    k : int
        Which fellow a ball reaches to.
    budget : int
        Bytes of working memory, beside the arguments and three numbers a row.

    Returns
    -------
    PrecisionRecall

    Raises
    ------
    ShapeError
        The arguments are not rows, differ in length, or are not more than k.
    DataError
        A value is nan or infinite, or too large or too small for its square.
    ArgumentError
        k is not a whole number of at least 1, or not even one row fits the budget.

    Examples
    --------
    >>> data = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]
    >>> half = [[0.5], [1.0], [1.5], [0.8], [1.2], [5.0]]  # misses the right group, and makes a 5
    >>> print(precision_recall(half, data, k=1))
    precision 83.3%, recall 33.3%
    """
    samples, data, k, sizes = _checked("precision_recall", samples, data, k, budget)
    return PrecisionRecall(
        precision=float(_balls(samples, data, k, sizes)[0].mean()),
        recall=float(_balls(data, samples, k, sizes)[0].mean()),
    )


def density_coverage(samples: Any, data: Any, k: int = DENSITY_NEIGHBOURS, *, budget: int = BUDGET) -> DensityCoverage:
    """Measure how deep in the region of the data the samples lie, and how many data have a sample nearby.

    Parameters
    ----------
    samples : array of shape (m, d)
        At least one. Coverage grows with their number, so take as many samples as data.
    data : array of shape (n, d)
        More than k.
    k : int
        Which fellow a ball reaches to.
    budget : int
        Bytes of working memory, beside the arguments and three numbers a row.

    Returns
    -------
    DensityCoverage

    Raises
    ------
    ShapeError, DataError, ArgumentError
        As in `precision_recall`; but of samples, one will do.

    Examples
    --------
    The balls of these data, k = 1, are the intervals [-1, 1], [0, 2] and [9, 11], [10, 12]. The first sample lies in
    two of them, the second in one, the last in none; and three of the four hold a sample.

    >>> print(density_coverage([[0.5], [9.5], [5.0]], data=[[0.0], [1.0], [10.0], [11.0]], k=1))
    density 1.000, coverage 75.0%
    """
    samples, data, k, sizes = _checked("density_coverage", samples, data, k, budget, of_samples=False)
    _, holds, pairs = _balls(samples, data, k, sizes)
    return DensityCoverage(density=pairs / (k * len(samples)), coverage=float(holds.mean()))


def _checked(
    name: str, samples: Any, data: Any, k: Any, budget: int, of_samples: bool = True
) -> tuple[Array, Array, int, tuple[int, int]]:
    samples, data = same_columns(name, samples=samples, data=data)
    k = as_count(name, "k", k)
    for argument, rows in (("samples", samples), ("data", data))[not of_samples :]:
        if len(rows) <= k:
            raise ShapeError(
                f"{name}: {argument} must have more than k = {k} rows, got {len(rows)}: give more, or a smaller k"
            )
    most = max(len(samples), len(data))
    sizes = block_sizes(name, budget, most, most, samples.shape[1], pairs=3, extra=6 * k)
    check_values(name, sizes[1], samples=samples, data=data)
    return samples, data, k, sizes


def _balls(queries: Array, points: Array, k: int, sizes: tuple[int, int]) -> tuple[Array, Array, int]:
    """Return which queries lie in a ball, which points have a query in theirs, and how many such pairs there are."""
    middle = centre(points, sizes[1])
    radius = np.empty(len(points))  # squared, as all distances here
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
