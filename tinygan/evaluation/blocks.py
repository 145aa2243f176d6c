"""Distances between all rows of two sets, computed in blocks.

Ten thousand samples and ten thousand pictures have 10^8 distances, which take 800 MB. So distances are computed in
blocks of at most `BUDGET` bytes, by matrix products, in float64. Each block is used before the next is computed.

A matrix product loses the digits of a distance that is small relative to its two rows. `squared_distances` bounds the
rounding of each pair, and recomputes the few pairs with too much rounding from differences. So a sample far away does
not change the precision of the others, and equal rows have distance 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinygan.evaluation.rows import REAL, Array, slices

BUDGET = 32 << 20  # bytes of working memory, besides the arguments and a few numbers for each row
PRECISION = 1e-9  # relative error of every squared distance
STRIP = 1 << 16  # distances, half a megabyte
_CENTRE_ROWS = 31  # odd, so that a median is a value of the rows
_FEW = 16  # up to this many pairs of one row, a search for equal rows costs more than it saves


def block_sizes(
    n: int, m: int, d: int, *, pairs: int = 2, extra: int = 0
) -> tuple[int, int]:
    """Return how many of n rows and of m rows, all of d values, fit into `BUDGET` at a time: at least one of each.

    A block of a by b takes `pairs` a b numbers: the distances and numbers computed from them. The rows, their sources
    and the check of their values take 3 a d and 3 b d numbers. Each row takes `extra` numbers and some vectors.

    Examples
    --------
    >>> block_sizes(n=10_000, m=10_000, d=784)
    (687, 688)
    """
    numbers = BUDGET // REAL - 2 * d
    row = 3 * d + extra + 8
    # pairs side^2 + 2 side row = numbers
    side = max(1, int((math.sqrt(max(0, row**2 + pairs * numbers)) - row) / pairs))
    rows = min(side, n)
    columns = (numbers - rows * row) // (pairs * rows + row)  # with fewer rows, more columns fit
    return rows, min(max(side, columns), m)


def centre(rows: Array, step: int) -> Array:
    """Return a centre of the rows, in float64: the median of each coordinate over a few rows.

    Subtracting it from all rows changes no distance and keeps squares small. One row far away would move a mean.

    Examples
    --------
    >>> centre(np.array([[0.0, 1.0], [2.0, 5.0], [1e20, 6.0]]), step=10)
    array([2., 5.])
    """
    count = min(len(rows), step, _CENTRE_ROWS)
    few = rows[np.linspace(0, len(rows) - 1, count - (count + 1) % 2).astype(int)]
    return np.sort(few, axis=0)[len(few) // 2].astype(np.float64)


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows, prepared for matrix products.

    Attributes
    ----------
    rows : array of shape (a, d)
        The rows in their own dtype.
    centred : float64 array of shape (a, d)
    squares : float64 array of shape (a,)
        |row|^2 of the centred rows.
    """

    rows: Array
    centred: Array
    squares: Array

    @cached_property
    def first_equal(self) -> Array:
        """For each row, the index of the first row with the same bytes."""
        first: dict[bytes, int] = {}
        return np.array([first.setdefault(row.tobytes(), i) for i, row in enumerate(self.rows)])


def block(rows: Array, here: Any, centre: Array) -> Block:
    """Return the block of some rows, given by a slice or by their indices.

    Examples
    --------
    >>> block(np.array([[1], [4]]), slice(0, 2), np.array([1.0])).squares
    array([0., 9.])
    """
    rows = rows[here]
    centred = rows - centre
    return Block(rows, centred, np.einsum("ij,ij->i", centred, centred))


def squared_distances(x: Block, s: Block, tolerance: float = 0.0, itself: tuple[Array, Array] | None = None) -> Array:
    """Return |x - s|^2 = |x|^2 - 2 x.s + |s|^2 for all pairs; the sum is computed in the memory of the product.

    The sum loses the digits of a distance that is small relative to |x| and |s|. If it may have lost too many, the
    distance is recomputed from the difference.

    Parameters
    ----------
    x, s : Block
        Of a and of b rows, with the same centre.
    tolerance : float
        An acceptable error, in squared units.
    itself : two integer arrays, optional
        Indices of the pairs of a row with itself, whose distance is set to infinity.

    Returns
    -------
    float64 array of shape (a, b)
        The error of each is at most `tolerance`, or `PRECISION` times the distance.

    Examples
    --------
    >>> rows = np.array([[0.0, 0.0], [3.0, 4.0], [1e9, 1.0], [1e9, 2.0]])
    >>> all_of_them = block(rows, slice(0, 4), np.zeros(2))
    >>> squared_distances(all_of_them, all_of_them)[[0, 2, 2], [1, 2, 3]]
    array([25.,  0.,  1.])
    """
    distance = x.centred @ s.centred.T
    for strip in strips(distance):
        part = distance[strip]
        part *= -2
        part += s.squares
        part += x.squares[strip, None]
    if itself is not None:
        distance[itself] = np.inf
    least = distance.min(axis=1)
    rounding = _rounding(x)
    largest = x.squares + s.squares.max()
    for i in np.flatnonzero((PRECISION * least < rounding * largest) & (rounding * largest > tolerance)):
        pairs = np.flatnonzero(PRECISION * distance[i] < rounding * (x.squares[i] + s.squares))
        if pairs.size:
            distance[i, pairs] = _from_differences(x.rows[i], s, pairs)
    if tolerance and (least < 0).any():
        np.maximum(distance, 0, out=distance)
    return distance


def strips(distance: Array) -> Iterator[slice]:
    """Yield slices of rows that are small enough to stay in a processor's cache during several passes.

    Examples
    --------
    >>> [(strip.start, strip.stop) for strip in strips(np.empty((5, 30_000)))]
    [(0, 2), (2, 4), (4, 5)]
    """
    return slices(len(distance), max(1, STRIP // distance.shape[1]))


def _from_differences(x: Array, s: Block, columns: Array) -> Array:
    if len(columns) <= _FEW:
        return row_squares(s.rows[columns], x)
    columns, inverse = np.unique(s.first_equal[columns], return_inverse=True)  # G may have made equal samples
    return row_squares(s.rows[columns], x)[inverse]


def row_squares(x: Array, s: Array) -> Array:
    """Return |x - s|^2 row by row, in float64, from differences.

    Examples
    --------
    >>> row_squares(np.array([[1, 2], [4, 6]], np.uint8), np.array([1, 2], np.uint8))
    array([ 0., 25.])
    """
    difference = np.subtract(x, s, dtype=np.float64)
    return np.einsum("ij,ij->i", difference, difference)


def compare_distances(x: Block, s: Block, limit: Array) -> tuple[Array, Array]:
    """Return which squared distances are less than a limit, and which are equal to it up to rounding.

    Matrix products decide if they are precise enough, differences otherwise.

    Parameters
    ----------
    x, s : Block
        Of a and of b rows, with the same centre.
    limit : float64 array of shape (b,) or (a, 1)
        Squared distances computed from differences, as by `row_squares`.

    Returns
    -------
    less, equal : bool arrays of shape (a, b)

    Examples
    --------
    >>> row = block(np.array([[0.2], [0.0], [0.3], [0.4]]), slice(0, 4), np.zeros(1))
    >>> less, equal = compare_distances(row, row, np.full((4, 1), 0.2**2))
    >>> less[0], equal[0]  # 0.4 - 0.2 is 0.2, up to rounding
    (array([ True, False,  True, False]), array([False,  True, False,  True]))
    """
    distance = squared_distances(x, s)
    less = distance < limit * (1 - 2 * PRECISION)
    equal = distance <= limit * (1 + 2 * PRECISION)
    equal ^= less
    limit = np.broadcast_to(limit, distance.shape)
    for i in np.flatnonzero(equal.any(axis=1)):
        pairs = np.flatnonzero(equal[i])
        exact, bound = _from_differences(x.rows[i], s, pairs), limit[i, pairs]
        slack = _rounding(x) * bound
        less[i, pairs] = exact < bound - slack
        equal[i, pairs] = np.abs(exact - bound) <= slack
    return less, equal


def _rounding(x: Block) -> float:
    """Return a bound on the rounding of |x|^2 - 2 x.s + |s|^2, relative to |x|^2 + |s|^2."""
    return float((x.rows.shape[1] + 8) * np.finfo(float).eps)


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
        Row i of `points` does not count as a neighbour of row i of `queries`.

    Yields
    ------
    here : slice
        Of the queries.
    index : int64 array of shape (a, k)
        Rows of `points`, unordered.
    squared : float64 array of shape (a, k)
        Their squared distances.

    Examples
    --------
    >>> points = np.array([[0.0], [1.0], [5.0]])
    >>> for here, index, squared in nearest_blocks(points, points, 1, (2, 2), np.zeros(1), exclude_self=True):
    ...     print(here.start, index[:, 0], squared[:, 0])
    0 [1 0] [1. 1.]
    2 [1] [16.]
    """
    for here in slices(len(queries), sizes[0]):
        x = block(queries, here, centre)
        index = np.empty((len(x.rows), 0), np.int64)
        squared = np.empty((len(x.rows), 0))
        for there in slices(len(points), sizes[1]):
            same = np.arange(max(here.start, there.start), min(here.stop, there.stop) if exclude_self else 0)
            itself = (same - here.start, same - there.start) if same.size else None
            distance = squared_distances(x, block(points, there, centre), itself=itself)
            column = _smallest(distance, k)
            squared = np.concatenate([squared, np.take_along_axis(distance, column, axis=1)], axis=1)
            index = np.concatenate([index, column + there.start], axis=1)
            kept = _smallest(squared, k)  # the best of all blocks so far
            squared, index = np.take_along_axis(squared, kept, axis=1), np.take_along_axis(index, kept, axis=1)
        yield here, index, squared


def class_votes(
    queries: Array, points: Array, classes: Array, k: int, sizes: tuple[int, int], centre: Array
) -> Iterator[tuple[slice, Array, Array]]:
    """Count the classes of the k nearest of `points` to each of `queries`; count ties for the last places separately.

    If several points are as near as the k-th nearest, the choice of "the k nearest" among them is arbitrary. So they
    are counted separately. The number of places that they share is k minus the number of closer points.

    Parameters
    ----------
    queries, points, k, sizes, centre
        As in `nearest_blocks`, with `extra` of at least 6 (k + 1) + 5 c.
    classes : integer array of shape (m,)
        The class of each point, from 0 to c - 1.

    Yields
    ------
    here : slice
        Of the queries.
    closer, tied : int64 arrays of shape (a, c)
        Points of each class that are certainly among the k nearest, and points that tie. If there are places for all
        points that tie, they count as closer.

    Examples
    --------
    >>> points, classes = np.array([[0.0], [1.0], [3.0]]), np.array([0, 1, 1])
    >>> for here, closer, tied in class_votes(np.array([[1.0], [2.0]]), points, classes, 1, (2, 3), np.zeros(1)):
    ...     print(closer.tolist(), tied.tolist())
    [[0, 1], [0, 0]] [[0, 0], [0, 2]]
    """
    count = int(classes.max()) + 1
    for here, index, squared in nearest_blocks(queries, points, min(k + 1, len(points)), sizes, centre):
        rows, column = np.arange(len(index)), np.argpartition(squared, k - 1, axis=1)[:, k - 1]
        last = row_squares(queries[here], points[index[rows, column]])[:, None]
        inside = squared <= last * (1 + 2 * PRECISION)
        cells = np.nonzero(inside)[0] * count + classes[index[inside]]
        closer = np.bincount(cells, minlength=len(index) * count).reshape(-1, count)
        tied = np.zeros_like(closer)
        doubtful = np.flatnonzero(inside.sum(axis=1) > k)
        closer[doubtful] = 0
        for there in slices(len(points), sizes[1]) if doubtful.size else ():
            x, s = block(queries[here], doubtful, centre), block(points, there, centre)
            members = (classes[there][:, None] == np.arange(count)).astype(float)
            for total, which in zip((closer, tied), compare_distances(x, s, last[doubtful]), strict=True):
                total[doubtful] += (which @ members).astype(np.int64)
        yield here, closer, tied


def nearest_shares(
    queries: Array, points: Array, classes: Array, sizes: tuple[int, int], centre: Array
) -> Iterator[Array]:
    """Assign each query to the class of the nearest of `points`; points that tie have equal shares of the query.

    Parameters
    ----------
    queries, points, classes, sizes, centre
        As in `class_votes`, with k = 1.

    Yields
    ------
    float64 array of shape (a, c)
        The shares of a block of queries.

    Examples
    --------
    >>> points, classes = np.array([[0.0], [1.0], [3.0]]), np.array([0, 1, 1])
    >>> next(nearest_shares(np.array([[0.5], [2.9]]), points, classes, (2, 3), np.zeros(1)))
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    for _, closer, tied in class_votes(queries, points, classes, 1, sizes, centre):
        yield closer + tied / np.maximum(tied.sum(axis=1, keepdims=True), 1)


def _smallest(values: Array, k: int) -> Array:
    """Return the columns of the k smallest values of each row; all columns if there are at most k."""
    if k == 1:
        return values.argmin(axis=1, keepdims=True)
    if k >= values.shape[1]:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, k - 1, axis=1)[:, :k]
