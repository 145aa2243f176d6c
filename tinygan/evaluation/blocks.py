"""What every measure here is made of: rows that can be trusted, and distances between all of them, a block at a time.

Ten thousand samples and as many pictures have 10^8 distances, 800 MB of them. So distances are computed in blocks that
fit into a stated number of bytes, by matrix products, in float64, and each is used before the next is made.

A product loses the digits of a distance that is small beside its two rows. `squared_distances` bounds the rounding of
each pair, and computes anew, from differences, the few for which it is too much. So one sample far away costs the
others no digit, and rows that are equal have distance 0.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinygan.errors import ArgumentError, DataError, ShapeError

Array = np.ndarray[Any, np.dtype[Any]]

BUDGET = 32 << 20  # bytes
LARGEST, SMALLEST = 1e100, 1e-100  # between them, squares and quotients of squares neither overflow nor vanish
WHOLE = 2.0**53  # from here on, float64 leaves out integers
PRECISION = 1e-9  # relative, of every squared distance
_REAL = 8  # bytes of a float64
_CENTRE_ROWS = 31  # odd, so that a median is a value of the rows
_FEW = 16  # pairs of one row, for which a search for twins does not pay


def as_rows(operation: str, argument: str, value: Any) -> Array:
    """Return rows of real numbers, in the dtype they come in: a float64 copy of everything would break the budget.

    Raises
    ------
    ShapeError
        There are none, or it is something else; in the name of `operation`.
    DataError
        It is masked: an array of rows has no place for what is missing.

    Examples
    --------
    >>> as_rows("demo", "samples", [[1, 2]])
    array([[1, 2]])
    """
    if isinstance(value, np.ma.MaskedArray):
        raise DataError(f"{operation}: {argument} are masked; leave the masked rows out, or fill them")
    try:
        rows = np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise ShapeError(f"{operation}: {argument} must be rows of one length, shape (n, d); {error}") from error
    if rows.ndim != 2 or 0 in rows.shape or rows.dtype.kind not in "fiub":
        raise ShapeError(
            f"{operation}: {argument} must be rows of real numbers, shape (n, d), n and d at least 1; "
            f"got {rows.dtype} of shape {rows.shape}"
        )
    with np.errstate(over="ignore"):  # of a long double: `check_values` will see it
        return rows.astype(np.float64) if rows.dtype.itemsize > _REAL else rows


def as_width(operation: str, argument: str, value: Any) -> float:
    """Return a width: a positive number whose square neither overflows nor vanishes.

    Raises
    ------
    ArgumentError
        It is something else, or outside of `SMALLEST` to `LARGEST`.

    Examples
    --------
    >>> as_width("demo", "sigma", 1)
    1.0
    """
    number = np.asarray(value)
    if number.shape != () or number.dtype.kind not in "fiu" or not SMALLEST <= float(number) <= LARGEST:
        raise ArgumentError(
            f"{operation}: {argument} must be a positive number, got {value!r}; it may be from {SMALLEST:g} to "
            f"{LARGEST:g}"
        )
    return float(number)


def as_count(operation: str, argument: str, value: Any, least: int = 1) -> int:
    """Return a whole number that is not too small.

    Raises
    ------
    ArgumentError
        It is something else, or less than `least`.

    Examples
    --------
    >>> as_count("demo", "k", np.int64(3))
    3
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise ArgumentError(f"{operation}: {argument} must be a whole number of at least {least}, got {value!r}")
    return number


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


def check_values(operation: str, step: int, **arguments: Array) -> None:
    """Look at every row, `step` at a time.

    Raises
    ------
    DataError
        A value is nan, infinite, or so large that squares overflow; the message names its row. Or all values are so
        small that squares vanish.

    Examples
    --------
    >>> check_values("demo", 100, samples=np.zeros((3, 2)))
    """
    for argument, rows in arguments.items():
        limit = LARGEST if rows.dtype.kind == "f" else WHOLE
        largest = 0.0
        for here in slices(len(rows), step):
            with np.errstate(invalid="ignore"):
                high, low = (f(rows[here], axis=1).astype(np.float64) for f in (np.max, np.min))
                sizes = np.maximum(high, -low)
                fits = sizes < limit
            if not fits.all():
                row = here.start + int(np.argmin(fits))
                if not np.isfinite(rows[row]).all():
                    raise DataError(
                        f"{operation}: row {row} of {argument} holds nan or infinity; did training diverge?"
                    )
                raise DataError(
                    f"{operation}: row {row} of {argument} holds a value of size {sizes[row - here.start]:g}, and "
                    f"distances need values below {limit:g}; divide all rows by one number"
                )
            largest = max(largest, float(sizes.max()))
        if 0 < largest < SMALLEST:
            raise DataError(
                f"{operation}: no value of {argument} is larger than {largest:g}, and distances need values of "
                f"{SMALLEST:g} or more; multiply all rows by one number"
            )


def block_sizes(
    operation: str, budget: int, n: int, m: int, d: int, *, pairs: int = 2, extra: int = 0
) -> tuple[int, int]:
    """Return how many of n rows and of m rows, all of d values, fit into the budget at a time.

    A block of a by b takes `pairs` a b numbers: the distances, and what is made of them. With it come 3 a d and 3 b d
    for the rows, what they were made from and a look at whether they are finite, `extra` numbers and some vectors for
    each row, and the centre.

    Raises
    ------
    ArgumentError
        The budget is not a whole number, or not even one row fits; the message names the least budget that does.

    Examples
    --------
    >>> block_sizes("demo", 32 << 20, n=10_000, m=10_000, d=784)
    (687, 688)
    """
    budget = as_count(operation, "budget", budget, least=0)
    numbers = budget // _REAL - 2 * d
    row = 3 * d + extra + 8
    # pairs side^2 + 2 side row = numbers
    side = int((math.sqrt(max(0, row**2 + pairs * numbers)) - row) / pairs)
    if side < 1:
        least = _REAL * (2 * d + pairs + 2 * row)
        raise ArgumentError(
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


def centre(rows: Array, step: int) -> Array:
    """Return a point in the middle of the rows, in float64: the median, coordinate by coordinate, of a few.

    Distances do not change when it is taken from both sides, and squares stay small. A mean would go along with one
    row far away.

    Examples
    --------
    >>> centre(np.array([[0.0, 1.0], [2.0, 5.0], [1e20, 6.0]]), step=10)
    array([2., 5.])
    """
    count = min(len(rows), step, _CENTRE_ROWS)
    few = rows[np.linspace(0, len(rows) - 1, count - (count + 1) % 2).astype(int)]
    return np.sort(few, axis=0)[len(few) // 2].astype(np.float64)


def canonical(rows: Array) -> Array:
    """Return the rows in an order that does not depend on the one they come in: that of their bytes.

    Examples
    --------
    >>> canonical(np.array([[3, 1], [0, 2], [0, 1]], np.uint8)).tolist()
    [[0, 1], [0, 2], [3, 1]]
    """
    rows = np.ascontiguousarray(rows)
    return rows[np.argsort(rows.view(f"V{rows.itemsize * rows.shape[1]}")[:, 0], kind="stable")]


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows, ready for products.

    Attributes
    ----------
    rows : array of shape (a, d)
        As they came.
    centred : float64 array of shape (a, d)
    squares : float64 array of shape (a,)
        |row|^2, of the centred ones.
    """

    rows: Array
    centred: Array
    squares: Array

    @cached_property
    def twins(self) -> Array:
        """For each row, the first that has the same bytes."""
        first: dict[bytes, int] = {}
        return np.array([first.setdefault(row.tobytes(), i) for i, row in enumerate(self.rows)])


def block(rows: Array, here: Any, centre: Array) -> Block:
    """Take some rows, by a slice or by their indices.

    Examples
    --------
    >>> block(np.array([[1], [4]]), slice(0, 2), np.array([1.0])).squares
    array([0., 9.])
    """
    rows = rows[here]
    centred = rows - centre
    return Block(rows, centred, np.einsum("ij,ij->i", centred, centred))


def squared_distances(x: Block, s: Block, tolerance: float = 0.0, itself: tuple[Array, Array] | None = None) -> Array:
    """Return |x - s|^2 = |x|^2 - 2 x.s + |s|^2 for all pairs, with the product in the place where the sum ends up.

    The sum loses the digits of a distance that is small beside |x| and |s|. Where it may have lost too many, the
    distance is computed anew from the difference.

    Parameters
    ----------
    x, s : Block
        Of a and of b rows, with one centre.
    tolerance : float
        An error that does no harm, in squared units.
    itself : two integer arrays, optional
        Indices of pairs that are infinitely far apart: those of a row with itself.

    Returns
    -------
    float64 array of shape (a, b)
        Each right up to `tolerance`, or to `PRECISION` times itself.

    Examples
    --------
    >>> rows = np.array([[0.0, 0.0], [3.0, 4.0], [1e9, 1.0], [1e9, 2.0]])
    >>> all_of_them = block(rows, slice(0, 4), np.zeros(2))
    >>> squared_distances(all_of_them, all_of_them)[[0, 2, 2], [1, 2, 3]]
    array([25.,  0.,  1.])
    """
    distance = x.centred @ s.centred.T
    distance *= -2
    distance += s.squares
    distance += x.squares[:, None]
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


def _from_differences(x: Array, s: Block, columns: Array) -> Array:
    if len(columns) <= _FEW:
        return row_squares(s.rows[columns], x)
    columns, inverse = np.unique(s.twins[columns], return_inverse=True)  # G may have made one sample many times
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

    Products decide where they can, and differences where they cannot.

    Parameters
    ----------
    x, s : Block
        Of a and of b rows, with one centre.
    limit : float64 array of shape (b,) or (a, 1)
        From differences, as those of `row_squares`.

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
    """Bound the rounding of |x|^2 - 2 x.s + |s|^2, relative to |x|^2 + |s|^2: of d products and of the rest."""
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
        Row i of `points` is no neighbour of row i of `queries`.

    Yields
    ------
    here : slice
        Of the queries.
    index : int64 array of shape (a, k)
        Rows of `points`, in no order.
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
            kept = _smallest(squared, k)  # of the best so far and the best of this block
            squared, index = np.take_along_axis(squared, kept, axis=1), np.take_along_axis(index, kept, axis=1)
        yield here, index, squared


def class_votes(
    queries: Array, points: Array, classes: Array, k: int, sizes: tuple[int, int], centre: Array
) -> Iterator[tuple[slice, Array, Array]]:
    """Count the classes of the k nearest of `points` to each of `queries`, with those that tie for the last places.

    Where several points are as near as the k-th nearest, which of them are "the k nearest" is chance, or the order of
    the rows. So they are counted apart: k less those that are closer is the number of places that they share.

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
        Points of each class that are among the k nearest without doubt, and that tie. Where all that tie have a place,
        none of them is in doubt.

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
    """Give each query to the class of the nearest of `points`; those that tie have equal shares of it.

    Parameters
    ----------
    queries, points, classes, sizes, centre
        As in `class_votes`, with k = 1.

    Yields
    ------
    float64 array of shape (a, c)
        For as many queries at a time.

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
    """Return the columns of the k smallest values of each row, or of all if there are fewer."""
    if k == 1:
        return values.argmin(axis=1, keepdims=True)
    if k >= values.shape[1]:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, k - 1, axis=1)[:, :k]
