"""Precision and recall of Kynkäänniemi, Karras, Laine, Lehtinen and Aila (2019).

The paper is "Improved precision and recall metric for assessing generative models". Around each point of a set lies a
ball that reaches to its k-th nearest fellow; the union of the balls stands for the region that the set's distribution
lives on. Then::

    precision = the share of samples in the region of the data:     low if G makes what is no datum
    recall    = the share of data in the region of the samples:     low if G has left out a part of the data

The two tell apart what one number mixes up. The authors measure distances between features of a trained network;
between pixels balls are larger, and the measure is coarser. It compares whatever rows it is given, so features will do.
One sample far from all others has a large ball, and may let recall look better than it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.errors import ShapeError
from tinygan.evaluation.blocks import (
    BUDGET,
    Array,
    block_sizes,
    mean,
    nearest_blocks,
    refuse_non_finite,
    rounding,
    same_columns,
    slices,
    squared_distances,
)

NEIGHBOURS = 3  # the paper's k


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
        A value is nan or infinite.
    ValueError
        k is not at least 1, or not even one row fits the budget.

    Examples
    --------
    >>> data = [[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]
    >>> half = [[0.5], [1.0], [1.5], [0.8], [1.2], [5.0]]  # misses the right group, and makes a 5
    >>> print(precision_recall(half, data, k=1))
    precision 83.3%, recall 33.3%
    """
    name = "precision_recall"
    samples, data = same_columns(name, samples=samples, data=data)
    if k < 1:
        raise ValueError(f"{name}: k must be at least 1, got {k}")
    for argument, rows in (("samples", samples), ("data", data)):
        if len(rows) <= k:
            raise ShapeError(
                f"{name}: {argument} must have more than k = {k} rows, got {len(rows)}: give more, or a smaller k"
            )
    most = max(len(samples), len(data))
    sizes = block_sizes(name, budget, most, most, samples.shape[1], pairs=3, extra=6 * k)
    refuse_non_finite(name, sizes[1], samples=samples, data=data)
    centre = mean(data, sizes[1])
    return PrecisionRecall(
        precision=_share_inside(samples, data, k, sizes, centre), recall=_share_inside(data, samples, k, sizes, centre)
    )


def _share_inside(queries: Array, points: Array, k: int, sizes: tuple[int, int], centre: Array) -> float:
    """Return the share of queries that lie in the ball of some point."""
    radius = np.empty(len(points))  # squared, as all distances here
    for here, _, squared in nearest_blocks(points, points, k, sizes, centre, exclude_self=True):
        radius[here] = squared.max(axis=1)
    inside = np.zeros(len(queries), bool)
    for here in slices(len(queries), sizes[0]):
        x = queries[here] - centre
        for there in slices(len(points), sizes[1]):
            s = points[there] - centre
            # A point on the surface is inside, also where rounding has moved it, or where a ball is a single point.
            inside[here] |= (squared_distances(x, s) <= radius[there] + rounding(x, s)).any(axis=1)
    return float(inside.mean())
