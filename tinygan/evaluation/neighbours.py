"""Nearest neighbours: exact, in blocks of bounded memory, by matrix products.

`nearest_neighbour_ratio` watches for the Helvetica scenario of the paper's section 6, in which G maps too many values
of z to the same x: then samples crowd, and the distance from each to its nearest fellow goes to 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygan.errors import DataError, ShapeError

Array = np.ndarray[Any, np.dtype[Any]]

BLOCK_ELEMENTS = 1 << 22  # of one matrix product, 32 MiB in float64


def nearest(queries: Any, points: Any) -> tuple[Array, Array]:
    """Find the nearest of `points` to each of `queries`, by Euclidean distance.

    |q - p|^2 = |q|^2 - 2 q.p + |p|^2 finds the nearest with matrix products. That sum loses its digits where q and p
    almost agree, so the distance to the one found is computed once more from the difference.

    Parameters
    ----------
    queries : array of shape (n, d)
    points : array of shape (m, d)

    Returns
    -------
    index : int64 array of shape (n,)
        Row of `points`; any of them where several are as near, to 1e-8 of the extent of the points.
    distance : float64 array of shape (n,)
        In the units of the data.

    Raises
    ------
    ShapeError
        An argument is not rows, has no rows, or the rows differ in length.
    DataError
        A value is nan or infinite.

    Examples
    --------
    >>> nearest([[0.0, 1.0], [9.0, 9.0]], [[0.0, 0.0], [10.0, 9.0]])
    (array([0, 1]), array([1., 1.]))
    """
    return search(*same_columns("nearest", queries=queries, points=points))


def nearest_neighbour_distances(points: Any) -> Array:
    """Return the distance from each point to the nearest other one; 0 where two coincide.

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
        As in `nearest`, or there is one point only.

    Examples
    --------
    >>> nearest_neighbour_distances([[0.0], [1.0], [3.0]])
    array([1., 1., 2.])
    """
    rows = as_rows("nearest_neighbour_distances", "points", points)
    if len(rows) < 2:
        raise ShapeError("nearest_neighbour_distances: a single point has no neighbour; give two or more")
    return search(rows, rows, exclude_self=True)[1]


def nearest_neighbour_ratio(samples: Any, data: Any) -> float:
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
    reference = nearest_neighbour_distances(data_rows).mean()
    if reference == 0:
        raise DataError(f"{name}: every point of the data coincides with another; there is no distance to compare with")
    return float(nearest_neighbour_distances(sample_rows).mean() / reference)


def search(queries: Array, points: Array, exclude_self: bool = False) -> tuple[Array, Array]:
    """Do the work of `nearest` on float64 rows; with `exclude_self` row i of `points` is no neighbour of row i."""
    centre = points.mean(axis=0)  # distances do not change, and squares stay small
    points, queries = points - centre, queries - centre
    squares = np.einsum("ij,ij->i", points, points)
    index = np.empty(len(queries), np.int64)
    block = max(1, BLOCK_ELEMENTS // len(points))
    for start in range(0, len(queries), block):
        rows = slice(start, min(start + block, len(queries)))
        score = squares - 2 * (queries[rows] @ points.T)  # |q|^2 is the same for every p
        if exclude_self:
            score[np.arange(rows.stop - start), np.arange(start, rows.stop)] = np.inf
        index[rows] = score.argmin(axis=1)
    return index, np.linalg.norm(queries - points[index], axis=1)


def as_rows(operation: str, argument: str, value: Any) -> Array:
    """Return `value` as float64 rows, all finite, at least one; or refuse it in the name of `operation`."""
    rows = np.asarray(value, np.float64)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ShapeError(
            f"{operation}: {argument} must be rows of numbers, shape (n, d), n and d at least 1; got shape {rows.shape}"
        )
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise DataError(f"{operation}: row {row} of {argument} holds nan or infinity; did training diverge?")
    return rows


def same_columns(operation: str, **arguments: Any) -> tuple[Array, Array]:
    """Return two arguments as rows of one length; or refuse them in the name of `operation`."""
    (first, second), (a, b) = arguments, (as_rows(operation, name, value) for name, value in arguments.items())
    if a.shape[1] != b.shape[1]:
        raise ShapeError(
            f"{operation}: {first} have rows of {a.shape[1]} values, but {second} have rows of {b.shape[1]}"
        )
    return a, b
