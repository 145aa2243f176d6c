"""What every measure here is made of: rows that can be trusted, and distances between all of them, a block at a time.

Ten thousand samples and as many pictures have 10^8 distances, 800 MB of them. So distances are computed in blocks that
fit into a stated number of bytes, by matrix products, in float64, and each is used before the next is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygan.errors import DataError, ShapeError

Array = np.ndarray[Any, np.dtype[Any]]

BUDGET = 32 << 20  # bytes
_REAL = 8  # bytes of a float64


def as_rows(operation: str, argument: str, value: Any) -> Array:
    """Return rows of real numbers, in the dtype they come in: a float64 copy of everything would break the budget.

    Raises
    ------
    ShapeError
        There are none, or it is something else; in the name of `operation`.

    Examples
    --------
    >>> as_rows("demo", "samples", [[1, 2]])
    array([[1, 2]])
    """
    rows = np.asarray(value)
    if rows.ndim != 2 or 0 in rows.shape or rows.dtype.kind not in "fiub":
        raise ShapeError(
            f"{operation}: {argument} must be rows of real numbers, shape (n, d), n and d at least 1; "
            f"got {rows.dtype} of shape {rows.shape}"
        )
    return rows


def same_columns(operation: str, **arguments: Any) -> tuple[Array, Array]:
    """Return two arguments as rows of one length.

    Raises
    ------
    ShapeError
        As in `as_rows`, or the lengths differ.

    Examples
    --------
    >>> same_columns("demo", samples=[[1, 2]], data=[[3, 4]])
    (array([[1, 2]]), array([[3, 4]]))
    """
    (first, second), (a, b) = arguments, (as_rows(operation, name, value) for name, value in arguments.items())
    if a.shape[1] != b.shape[1]:
        raise ShapeError(
            f"{operation}: {first} have rows of {a.shape[1]} values, but {second} have rows of {b.shape[1]}"
        )
    return a, b


def refuse_non_finite(operation: str, step: int, **arguments: Array) -> None:
    """Look at every row, `step` at a time.

    Raises
    ------
    DataError
        A value is nan or infinite; the message names its row.

    Examples
    --------
    >>> refuse_non_finite("demo", 100, samples=np.zeros((3, 2)))
    """
    for argument, rows in arguments.items():
        for here in slices(len(rows), step):
            finite = np.isfinite(rows[here]).all(axis=1)
            if not finite.all():
                row = here.start + int(np.argmin(finite))
                raise DataError(f"{operation}: row {row} of {argument} holds nan or infinity; did training diverge?")


def block_sizes(
    operation: str, budget: int, n: int, m: int, d: int, *, pairs: int = 2, extra: int = 0
) -> tuple[int, int]:
    """Return how many of n rows and of m rows, all of d values, fit into the budget at a time.

    A block of a by b takes `pairs` a b numbers: the distances, and what is made of them. With it come 3 a d and 3 b d
    for the rows, what they were made from and a look at whether they are finite, `extra` numbers and some vectors for
    each row, and the centre.

    Raises
    ------
    ValueError
        Not even one row fits; the message names the least budget that does.

    Examples
    --------
    >>> block_sizes("demo", 32 << 20, n=10_000, m=10_000, d=784)
    (687, 688)
    """
    numbers = budget // _REAL - 2 * d
    row = 3 * d + extra + 8
    # pairs side^2 + 2 side row = numbers
    side = int((math.sqrt(max(0, row**2 + pairs * numbers)) - row) / pairs)
    if side < 1:
        least = _REAL * (2 * d + pairs + 2 * row)
        raise ValueError(
            f"{operation}: rows of {d} values do not fit into a budget of {budget} bytes; give at least {least}"
        )
    rows = min(side, n)
    columns = (numbers - rows * row) // (pairs * rows + row)  # what few rows leave free, more columns can use
    return rows, min(max(side, columns), m)


def slices(size: int, step: int) -> Iterator[slice]:
    """Cut `size` rows into slices of at most `step`.

    Examples
    --------
    >>> list(slices(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))


def mean(rows: Array, step: int) -> Array:
    """Return the mean row, in float64.

    Distances do not change when it is taken from both sides, and squares stay small.

    Examples
    --------
    >>> mean(np.array([[0.0, 1.0], [2.0, 5.0]]), step=1)
    array([1., 3.])
    """
    total = np.zeros(rows.shape[1])
    for here in slices(len(rows), step):
        total += rows[here].sum(axis=0, dtype=np.float64)
    return total / len(rows)


def squared_distances(x: Array, s: Array) -> Array:
    """Return |x - s|^2 = |x|^2 - 2 x.s + |s|^2 for all pairs, with the product in the place where the sum ends up.

    The sum loses its digits where x and s almost agree: see `rounding`.

    Parameters
    ----------
    x : float64 array of shape (a, d)
    s : float64 array of shape (b, d)

    Returns
    -------
    float64 array of shape (a, b)

    Examples
    --------
    >>> squared_distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[25.,  0.]])
    """
    distance = x @ s.T
    distance *= -2
    distance += np.einsum("ij,ij->i", s, s)
    distance += np.einsum("ij,ij->i", x, x)[:, None]
    return np.maximum(distance, 0, out=distance)  # rounding can make the distance to a twin negative


def rounding(x: Array, s: Array) -> Array:
    """Bound, for each row of s, by how much rounding can move its squared distance from any row of x.

    Examples
    --------
    >>> rounding(np.array([[1.0]]), np.array([[0.0], [1.0]])) < 1e-14
    array([ True,  True])
    """
    squares = np.einsum("ij,ij->i", s, s) + np.einsum("ij,ij->i", x, x).max()
    return 4 * x.shape[1] * np.finfo(float).eps * squares


def nearest_blocks(
    queries: Array, points: Array, k: int, sizes: tuple[int, int], centre: Array, *, exclude_self: bool = False
) -> Iterator[tuple[slice, Array, Array]]:
    """Find the k nearest of `points` to each of `queries`, block by block.

    Parameters
    ----------
    queries, points : arrays of shape (n, d) and (m, d)
        All finite.
    k : int
        At most m; with `exclude_self` at most m - 1.
    sizes : two ints
        Rows of each at a time: `block_sizes` with `pairs` of at least 3 and `extra` of at least 6 k.
    centre : array of shape (d,)
    exclude_self : bool
        Row i of `points` is no neighbour of row i of `queries`.

    Yields
    ------
    here : slice
        Of the queries.
    index : int64 array of shape (a, k)
        Rows of `points`, in no order.
    squared : float64 array of shape (a, k)
        Their squared distances, up to `rounding`.

    Examples
    --------
    >>> points = np.array([[0.0], [1.0], [5.0]])
    >>> for here, index, squared in nearest_blocks(points, points, 1, (2, 2), np.zeros(1), exclude_self=True):
    ...     print(here.start, index[:, 0], squared[:, 0])
    0 [1 0] [1. 1.]
    2 [1] [16.]
    """
    for here in slices(len(queries), sizes[0]):
        x = queries[here] - centre
        index = np.empty((len(x), 0), np.int64)
        squared = np.empty((len(x), 0))
        for there in slices(len(points), sizes[1]):
            distance = squared_distances(x, points[there] - centre)
            if exclude_self:
                same = np.arange(max(here.start, there.start), min(here.stop, there.stop))
                distance[same - here.start, same - there.start] = np.inf
            column = _smallest(distance, k)
            squared = np.concatenate([squared, np.take_along_axis(distance, column, axis=1)], axis=1)
            index = np.concatenate([index, column + there.start], axis=1)
            kept = _smallest(squared, k)  # of the best so far and the best of this block
            squared, index = np.take_along_axis(squared, kept, axis=1), np.take_along_axis(index, kept, axis=1)
        yield here, index, squared


def _smallest(values: Array, k: int) -> Array:
    """Return the columns of the k smallest values of each row, or of all if there are fewer."""
    if k == 1:
        return values.argmin(axis=1, keepdims=True)
    if k >= values.shape[1]:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, k - 1, axis=1)[:, :k]
