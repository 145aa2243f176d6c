"""Rows of real numbers: checks of the arguments of every measure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygan.errors import ArgumentError, DataError, ShapeError

Array = np.ndarray[Any, np.dtype[Any]]

LARGEST, SMALLEST = 1e100, 1e-100  # between them, squares and quotients of squares neither overflow nor underflow
WHOLE = 2.0**53  # from here on, float64 cannot represent every integer
REAL = 8  # bytes of a float64


def as_rows(operation: str, argument: str, value: Any) -> Array:
    """Return rows of real numbers in their own dtype: a float64 copy of all rows would need too much memory.

    Raises
    ------
    ShapeError
        `value` is not rows of real numbers, or has no row.
    DataError
        `value` is a masked array: missing values are not supported.

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
    with np.errstate(over="ignore"):  # a long double may overflow: `check_values` finds it
        return rows.astype(np.float64) if rows.dtype.itemsize > REAL else rows


def as_width(operation: str, argument: str, value: Any) -> float:
    """Return a width: a positive number whose square neither overflows nor underflows.

    Raises
    ------
    ArgumentError
        `value` is not a number from `SMALLEST` to `LARGEST`.

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
    """Check every row, `step` rows at a time.

    Raises
    ------
    DataError
        A value is nan, infinite, or so large that squares overflow; the message names its row. Or all values are so
        small that squares underflow.

    Examples
    --------
    >>> check_values("demo", 100, samples=np.zeros((3, 2)))
    """
    for argument, rows in arguments.items():
        limit = LARGEST if rows.dtype.kind == "f" else WHOLE
        largest = 0.0
        for here in slices(len(rows), step):
            with np.errstate(invalid="ignore"):
                size = _largest(rows[here])
            if not size < limit:  # nan included
                with np.errstate(invalid="ignore"):
                    sizes = _largest(rows[here], axis=1)
                row = here.start + int(np.argmin(sizes < limit))
                if not np.isfinite(rows[row]).all():
                    raise DataError(
                        f"{operation}: row {row} of {argument} holds nan or infinity; did training diverge?"
                    )
                raise DataError(
                    f"{operation}: row {row} of {argument} holds a value of size {sizes[row - here.start]:g}, and "
                    f"distances need values below {limit:g}; divide all rows by one number"
                )
            largest = max(largest, float(size))
        if 0 < largest < SMALLEST:
            raise DataError(
                f"{operation}: no value of {argument} is larger than {largest:g}, and distances need values of "
                f"{SMALLEST:g} or more; multiply all rows by one number"
            )


def _largest(rows: Array, axis: int | None = None) -> Any:
    """Return the largest size of a value; nan if there is one."""
    high, low = (np.asarray(f(rows, axis=axis), np.float64) for f in (np.max, np.min))
    return np.maximum(high, -low)


def slices(size: int, step: int) -> Iterator[slice]:
    """Cut `size` rows into slices of at most `step`.

    Examples
    --------
    >>> list(slices(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, size, step):
        yield slice(start, min(start + step, size))


def canonical(rows: Array) -> Array:
    """Return the rows sorted by their bytes, so that the order of the input does not matter.

    Examples
    --------
    >>> canonical(np.array([[3, 1], [0, 2], [0, 1]], np.uint8)).tolist()
    [[0, 1], [0, 2], [3, 1]]
    """
    rows = np.ascontiguousarray(rows)
    return rows[np.argsort(rows.view(f"V{rows.itemsize * rows.shape[1]}")[:, 0], kind="stable")]
