"""Values as the page shows them: a map of colours, pictures, a histogram, the numbers themselves if they are few."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygan.trace.record import Leaf, Row, Value

if TYPE_CHECKING:
    from tinygan.trace.recorder import Recorder

BINS = 24
FEW = 36  # numbers that are listed
PICTURES = 12
SIDES = {64: 8, 784: 28, 1024: 32, 2304: 48}  # numbers of pixels that are pictures, if they are data
BROKEN, MIDDLE = 255, 127  # codes of what is not finite, and of 0


def described(value: Value, side: int, pictures: Any = None) -> dict[str, Any]:
    """Return the facts of a value for the page.

    Parameters
    ----------
    value : Value
    side : int
        Cells of a map in each direction; 0 for no map.
    pictures : array of shape (n, size), optional
        The part of the value whose rows are pictures.

    Examples
    --------
    >>> facts = described(Value(np.array([[1.0, -2.0]])), 8)
    >>> facts["shape"], facts["norm"], facts["cells"]
    ('(1, 2)', '2.236', [['1', '-2']])
    """
    array = _real(value.array)
    finite = array[np.isfinite(array)]
    facts: dict[str, Any] = {"shape": str(value.shape), "dtype": value.dtype, "text": str(value)}
    if array.size > 1:
        facts |= {"mean": f"{value.mean:.4g}", "spread": f"{value.spread:.4g}", "zeros": f"{value.zeros:.1%}"}
        facts |= {"norm": f"{value.norm:.4g}"}
    if finite.size < array.size:
        facts["broken"] = f"{np.isnan(array).sum()} nan, {np.isinf(array).sum()} infinite"
    if finite.size and array.size > 1:
        low, high = float(finite.min()), float(finite.max())
        facts |= {"min": f"{low:.4g}", "max": f"{high:.4g}"}
        if low < high and np.isfinite(high - low):
            facts["bins"] = np.histogram(finite, BINS, (low, high))[0].tolist()
    if 0 < array.size <= FEW and array.ndim <= 2:
        facts["cells"] = [[f"{cell:.5g}" for cell in row] for row in np.atleast_2d(array)]
    if side and array.size > 1:
        facts["map"] = heat_map(array, side)
        if pictures is not None and len(pictures):
            facts["pictures"] = _pictures(_real(pictures)) | {"maps": array.ndim == 4}
    return facts


def heat_map(array: Any, side: int) -> dict[str, Any]:
    """Return a matrix as codes from 0 to 254, with 0 at 127, and 255 for what is not finite.

    A matrix that is too large is cut into blocks, and each cell is the mean of its block. The first axis goes down,
    all others to the right; an array with one axis is one line.

    Examples
    --------
    >>> found = heat_map(np.array([[1.0, -1.0]]), 8)
    >>> list(base64.b64decode(found["data"])), found["scale"], found["blocks"]
    ([254, 0], '1', '')
    """
    matrix = array.reshape(array.shape[0] if array.ndim > 1 else 1, -1)
    height, width = matrix.shape
    if array.ndim < 2 and width > side:
        side = side * side  # it is one line, so it may be longer
    blocks = _block_means(matrix, min(side, height), min(side, width))
    down, across = -(-height // blocks.shape[0]), -(-width // blocks.shape[1])
    data, scale = _codes(blocks)
    note = f"each cell is the mean of about {down} × {across} numbers" if blocks.shape != matrix.shape else ""
    return {"w": blocks.shape[1], "h": blocks.shape[0], "data": data, "scale": scale, "blocks": note}


def _real(array: Any) -> Any:
    return np.abs(array) if array.dtype.kind == "c" else array.astype(np.float64)


def _block_means(matrix: Any, height: int, width: int) -> Any:
    for axis, count in enumerate((height, width)):
        size = matrix.shape[axis]
        if count < size:
            starts = np.arange(count) * size // count
            with np.errstate(all="ignore"):
                sums = np.add.reduceat(matrix, starts, axis)
            lengths = np.diff([*starts, size])
            matrix = sums / (lengths[:, None] if axis == 0 else lengths)
    return matrix


def _codes(array: Any) -> tuple[str, str]:
    finite = np.isfinite(array)
    scale = float(np.abs(array[finite]).max()) if finite.any() else 0.0
    with np.errstate(all="ignore"):
        codes = np.rint(MIDDLE + np.where(finite, array, 0) / (scale or 1.0) * MIDDLE)
    codes[~finite] = BROKEN
    return base64.b64encode(codes.astype(np.uint8).tobytes()).decode("ascii"), f"{scale:.3g}"


def _pictures(rows: Any) -> dict[str, Any]:
    side = math.isqrt(rows.shape[1])
    data, scale = _codes(rows[:PICTURES])
    return {"n": min(len(rows), PICTURES), "of": len(rows), "side": side, "data": data, "scale": scale}


class Pixels:
    """Which values of a trace are pictures: data of a known size, and what has one number for each of their pixels.

    Attributes
    ----------
    values : set of Row or Leaf
        One picture a row.
    columns, rows : set of Leaf
        Weights with one picture a column (their input is a picture), or a row (their output is).
    """

    def __init__(self, trace: Recorder) -> None:
        self.values: set[Row | Leaf] = {leaf for leaf in trace.leaves if _is_data(leaf)}
        self.columns: set[Leaf] = set()
        self.rows: set[Leaf] = set()
        size = -1
        while size != len(self.values) + len(self.columns):
            size = len(self.values) + len(self.columns)
            for row in trace.rows:
                self._spread(row)

    def _spread(self, row: Row) -> None:
        if row.result is None:
            return
        sources = [operand.source for operand in row.operands]
        if row.operation.name in ("linear", "matmul"):
            x, weight = sources[:2]
            if isinstance(weight, Leaf):
                if x in self.values and x is not weight:
                    self.columns.add(weight)
                elif weight in self.columns and isinstance(x, Row):
                    self.values.add(x)
                if row in self.values and row.result.shape[-1:] == weight.value.shape[-1:]:
                    self.rows.add(weight)
            return
        same = [
            operand.source for operand in row.operands if operand.source and _alike(operand.shape, row.result.shape)
        ]
        if row in self.values or any(source in self.values for source in same):
            if same:
                self.values.add(row)
            self.values.update(source for source in same if isinstance(source, Row))

    def of(self, what: Row | Leaf, array: Any) -> Any:
        """Return the rows of pictures in a value or a gradient; None if it has none. Maps and kernels are pictures."""
        if array.ndim == 4 and array.size and array.shape[2] == array.shape[3] > 1:
            return array.reshape(-1, array.shape[3] ** 2)
        if array.ndim != 2 or not array.size:
            return None
        if what in self.columns and array.shape[0] in SIDES:
            return array.T
        if (what in self.values or what in self.rows) and array.shape[1] in SIDES:
            return array
        return None


def _is_data(leaf: Leaf) -> bool:
    return not leaf.parameter and leaf.value.array.ndim == 2 and leaf.value.shape[1] in SIDES


def _alike(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return len(shape) == len(other) == 2 and shape[1] == other[1]
