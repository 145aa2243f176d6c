"""Nearest neighbours: exact, in blocks of bounded memory, by matrix products.

`nearest_neighbour_ratio` watches for the Helvetica scenario of the paper's section 6, in which G maps too many values
of z to the same x: then samples crowd, and the distance from each to its nearest fellow goes to 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygan.errors import DataError, ShapeError
from tinygan.evaluation.blocks import (
    BUDGET,
    Array,
    as_rows,
    block_sizes,
    centre,
    check_values,
    nearest_blocks,
    row_squares,
    same_columns,
)


def nearest(queries: Any, points: Any, *, budget: int = BUDGET) -> tuple[Array, Array]:
    """Find the nearest of `points` to each of `queries`, by Euclidean distance.

    |q - p|^2 = |q|^2 - 2 q.p + |p|^2 finds the nearest with matrix products; the distance to the one found is computed
    once more, from the difference.

    Parameters
    ----------
    queries : array of shape (n, d)
    points : array of shape (m, d)
    budget : int
        Bytes of working memory, beside the arguments and the result.

    Returns
    -------
    index : int64 array of shape (n,)
        Row of `points`; any of them where several are as near, up to 1e-9 of the distance.
    distance : float64 array of shape (n,)
        In the units of the data. What is less than 1e-150 may be 0.

    Raises
    ------
    ShapeError
        An argument is not rows, has no rows, or the rows differ in length.
    DataError
        A value is nan or infinite, or too large or too small for its square.
    ArgumentError
        Not even one row fits the budget.

    Examples
    --------
    >>> nearest([[0.0, 1.0], [9.0, 9.0]], [[0.0, 0.0], [10.0, 9.0]])
    (array([0, 1]), array([1., 1.]))
    """
    queries, points = same_columns("nearest", queries=queries, points=points)
    return search("nearest", budget, queries=queries, points=points)


def nearest_neighbour_distances(points: Any, *, budget: int = BUDGET) -> Array:
    """Return the distance from each point to the nearest other one; 0 where two coincide.

    Parameters
    ----------
    points : array of shape (n, d)
        At least two.
    budget
        As in `nearest`.

    Returns
    -------
    float64 array of shape (n,)

    Raises
    ------
    ShapeError, DataError, ArgumentError
        As in `nearest`, or there is one point only.

    Examples
    --------
    >>> nearest_neighbour_distances([[0.0], [1.0], [3.0]])
    array([1., 1., 2.])
    """
    rows = as_rows("nearest_neighbour_distances", "points", points)
    if len(rows) < 2:
        raise ShapeError("nearest_neighbour_distances: a single point has no neighbour; give two or more")
    return search("nearest_neighbour_distances", budget, points=rows)[1]


def nearest_neighbour_ratio(samples: Any, data: Any, *, budget: int = BUDGET) -> float:
    """Return the mean nearest-neighbour distance among samples, divided by the same among data.

    Near 1 when samples are spread like data, towards 0 when G collapses, above 1 when samples are scattered wider.
    It is the ratio R of Clark and Evans (1954, "Distance to nearest neighbor as a measure of spatial relationships in
    populations"), with the data in the place of their uniform population. The mean distance shrinks as the number of
    points grows, so both must have the same number. Spread is all that it sees: read it beside a measure of where the
    samples lie, such as `count_modes`.

    Parameters
    ----------
    samples, data : array of shape (n, d)
        As many of the one as of the other, at least two.
    budget
        As in `nearest`.

    Returns
    -------
    float

    Raises
    ------
    ShapeError
        The two differ in shape, or are not rows.
    DataError
        A value is nan or infinite, or every point of the data has a twin, so that there is no distance to compare with.

    Examples
    --------
    >>> data = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    >>> crowded = [[5.0, 5.0], [5.0, 5.25], [5.25, 5.0], [5.25, 5.25]]
    >>> nearest_neighbour_ratio(crowded, data)
    0.25
    """
    name = "nearest_neighbour_ratio"
    sample_rows, data_rows = as_rows(name, "samples", samples), as_rows(name, "data", data)
    if sample_rows.shape != data_rows.shape:
        raise ShapeError(
            f"{name}: samples and data must have the same shape, got {sample_rows.shape} and {data_rows.shape}; more "
            "points are closer to each other, so give as many of one as of the other"
        )
    if len(sample_rows) < 2:
        raise ShapeError(f"{name}: a single point has no neighbour; give two or more")
    reference = search(name, budget, data=data_rows)[1].mean()
    if reference == 0:
        raise DataError(f"{name}: every point of the data coincides with another; there is no distance to compare with")
    return float(search(name, budget, samples=sample_rows)[1].mean() / reference)


def search(operation: str, budget: int, **arguments: Array) -> tuple[Array, Array]:
    """Do the work of `nearest` on the first argument's rows and the second's, or on one argument's own others."""
    queries, *others = arguments.values()
    points = others[0] if others else queries
    sizes = block_sizes(operation, budget, len(queries), len(points), points.shape[1], pairs=3, extra=6)
    check_values(operation, sizes[1], **arguments)
    middle = centre(points, sizes[1])
    index = np.empty(len(queries), np.int64)
    distance = np.empty(len(queries))
    for here, found, _ in nearest_blocks(queries, points, 1, sizes, middle, exclude_self=not others):
        index[here] = found[:, 0]
        distance[here] = np.sqrt(row_squares(queries[here], points[index[here]]))
    return index, distance
