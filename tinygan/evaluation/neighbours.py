"""Nearest neighbours: exact, in blocks of bounded memory, by matrix products.

`nearest_neighbour_ratio` detects the Helvetica scenario of the paper's section 6, in which G maps too many values of z
to the same x: then the distance from each sample to its nearest neighbour goes to 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygan.errors import DataError, ShapeError
from tinygan.evaluation.blocks import block_sizes, centre, nearest_blocks, row_squares
from tinygan.evaluation.rows import Array, as_rows, check_values, same_columns


def nearest(queries: Any, points: Any) -> tuple[Array, Array]:
    """Find the nearest of `points` to each of `queries`, by Euclidean distance.

    Matrix products find the nearest point, by |q - p|^2 = |q|^2 - 2 q.p + |p|^2; then its distance is computed from
    the difference.

    Parameters
    ----------
    queries : array of shape (n, d)
    points : array of shape (m, d)

    Returns
    -------
    index : int64 array of shape (n,)
        Row of `points`; any of them if several are equally near, up to 1e-9 of the distance.
    distance : float64 array of shape (n,)
        In the units of the data. A distance below 1e-150 may be 0.

    Raises
    ------
    ShapeError
        An argument is not rows, has no rows, or the rows differ in length.
    DataError
        A value is nan or infinite, or too large or too small for its square.

    Examples
    --------
    >>> nearest([[0.0, 1.0], [9.0, 9.0]], [[0.0, 0.0], [10.0, 9.0]])
    (array([0, 1]), array([1., 1.]))
    """
    queries, points = same_columns("nearest", queries=queries, points=points)
    return search("nearest", queries=queries, points=points)


def nearest_neighbour_distances(points: Any) -> Array:
    """Return the distance from each point to the nearest other point; 0 if two coincide.

    Parameters
    ----------
    points : array of shape (n, d)
        At least two.

    Returns
    -------
    float64 array of shape (n,)

    Raises
    ------
    ShapeError, DataError
        As in `nearest`, or there is only one point.

    Examples
    --------
    >>> nearest_neighbour_distances([[0.0], [1.0], [3.0]])
    array([1., 1., 2.])
    """
    rows = as_rows("nearest_neighbour_distances", "points", points)
    if len(rows) < 2:
        raise ShapeError("nearest_neighbour_distances: a single point has no neighbour; give two or more")
    return search("nearest_neighbour_distances", points=rows)[1]


def nearest_neighbour_ratio(samples: Any, data: Any) -> float:
    """Return the mean nearest-neighbour distance among samples, divided by that among data.

    The ratio is near 1 if samples are spread like data, near 0 if G collapses, above 1 if samples are spread wider.
    It is the ratio R of Clark and Evans (1954, "Distance to nearest neighbor as a measure of spatial relationships in
    populations"), with the data instead of their uniform population. The mean distance shrinks as the number of points
    grows, so both sets must have the same size. The ratio measures only the spread: use it with a measure of the
    position of the samples, such as `count_modes`.

    Parameters
    ----------
    samples, data : array of shape (n, d)
        Equally many, at least two.

    Returns
    -------
    float

    Raises
    ------
    ShapeError
        The two differ in shape, or are not rows.
    DataError
        A value is nan or infinite, or every point of the data coincides with another, so that the mean distance is 0.

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
            "points are closer to each other, so give equally many of both"
        )
    if len(sample_rows) < 2:
        raise ShapeError(f"{name}: a single point has no neighbour; give two or more")
    reference = search(name, data=data_rows)[1].mean()
    if reference == 0:
        raise DataError(f"{name}: every point of the data coincides with another, so their mean distance is 0")
    return float(search(name, samples=sample_rows)[1].mean() / reference)


def search(operation: str, **arguments: Array) -> tuple[Array, Array]:
    """Return the nearest rows of the second argument to those of the first; of one argument, the nearest other rows."""
    queries, *others = arguments.values()
    points = others[0] if others else queries
    sizes = block_sizes(len(queries), len(points), points.shape[1], pairs=3, extra=6)
    check_values(operation, sizes[1], **arguments)
    middle = centre(points, sizes[1])
    index = np.empty(len(queries), np.int64)
    distance = np.empty(len(queries))
    for here, found, _ in nearest_blocks(queries, points, 1, sizes, middle, exclude_self=not others):
        index[here] = found[:, 0]
        distance[here] = np.sqrt(row_squares(queries[here], points[index[here]]))
    return index, distance
