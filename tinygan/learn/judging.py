"""Compare the arrays of an answer with the right ones: exact, approximate, where not, and which mistake it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from tinygan.learn.exercise import Exercise, Mistake

_TINY = 1e-100  # an exponent that is limited at -500 gives such numbers instead of 0
Arrays = Mapping[str, Any]  # by case; None stands for an array that was not computed


@dataclass
class Row:
    """The judgement of one array, over all cases.

    Attributes
    ----------
    name : str
    exact : bool
        Every number is the same.
    approximate : bool
        Every number is the same but for rounding.
    difference : float or None
        The largest difference; nan where a number is nan, None without an array or if the shapes differ.
    case : str
        The case with the largest difference, and for it:
    where : list of int or None
        The index of the largest difference.
    wrong, size : int
        How many numbers are wrong, and how many there are.
    shape, expected_shape : list of int or None
    yours, expected : float or None
        The numbers at this index.
    kind, hint : str
        The kind of the mistake, and the hint.
    """

    name: str
    exact: bool = True
    approximate: bool = True
    difference: float | None = 0.0
    case: str = ""
    where: list[int] | None = None
    wrong: int = 0
    size: int = 0
    shape: list[int] | None = None
    expected_shape: list[int] | None = None
    yours: float | None = None
    expected: float | None = None
    kind: str = ""
    hint: str = ""


@dataclass(frozen=True)
class _Measure:
    """What is rounding, in one array: a share of its largest number over all cases, or of each number itself."""

    tolerance: float
    scale: float | None

    def close(self, a: Any, b: Any, factor: float = 1) -> Any:
        """Return where `a` equals `b` but for rounding; nan equals nan."""
        with np.errstate(all="ignore"):
            limit = factor * self.tolerance * (np.abs(b) if self.scale is None else self.scale) + _TINY
            return (_differences(a, b) <= limit) | (np.isnan(a) & np.isnan(b))

    def same(self, a: Any, b: Any) -> bool:
        """Return whether the shapes are equal, and all numbers."""
        return a.shape == b.shape and bool(self.close(a, b).all())


def judge(exercise: Exercise, answered: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Judge every array.

    Parameters
    ----------
    exercise : Exercise
    answered : mapping
        The arrays of the reader by case and name; a shape, as a tuple, stands for an array that is too large.

    Returns
    -------
    list of Row
        In the order in which the arrays are computed.
    """
    rows = []
    for name in dict.fromkeys(name for arrays in exercise.expected.values() for name in arrays):
        found, expected = _by_case(answered, name), _by_case(exercise.expected, name)
        scale = max(float(np.abs(array).max(initial=0)) for array in expected.values())
        measure = _Measure(exercise.tolerance, None if name in exercise.relative else scale)
        row = _row(measure, name, found, expected)
        if not row.approximate and row.shape is not None:
            near = [(mistake, _by_case(variant, name)) for mistake, variant in exercise.variants]
            row.kind, row.hint = next(_known(measure, name, found, expected, near, exercise.batches), _UNKNOWN)
        rows.append(row)
    return rows


_UNKNOWN = (
    "not known",
    "No known mistake gives these numbers. Compute the number at this place by hand, on paper; a derivative is also "
    "(L(x + h) - L(x - h)) / 2h for a small h.",
)


def _by_case(found: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    return {case: arrays[name] for case, arrays in found.items() if name in arrays}


def _differences(a: Any, b: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.where(a == b, 0, np.abs(np.subtract(a, b, dtype=float)))


def _row(measure: _Measure, name: str, found: Arrays, expected: Arrays) -> Row:
    """Return the judgement of the worst case."""
    cases = [_case(measure, name, case, found.get(case), right) for case, right in expected.items()]
    row, _ = max(cases, key=lambda case: case[1])
    row.exact = all(case.exact for case, _ in cases)
    return row


def _case(measure: _Measure, name: str, case: str, array: Any, right: Any) -> tuple[Row, tuple[int, float]]:
    """Return the judgement of one case, and how bad it is."""
    shape = array if isinstance(array, tuple) else getattr(array, "shape", None)
    row = Row(name, False, False, None, case, expected_shape=list(right.shape))
    row.shape = None if shape is None else list(shape)
    if shape != right.shape:
        return row, (2, 0)
    far, differences = ~measure.close(array, right), _differences(array, right)
    rank = np.nan_to_num(differences, nan=np.inf)
    rank = np.where(far, rank, -1) if far.any() else rank  # the rounding of a large number hides no mistake
    at = np.unravel_index(int(rank.argmax()), right.shape)
    row.exact, row.approximate = bool(np.array_equal(array, right)), not far.any()
    row.difference, row.where = float(differences[at]), [int(i) for i in at]
    row.wrong, row.size = int(far.sum()), right.size
    row.yours, row.expected = float(array[at]), float(right[at])
    return row, (int(far.any()), float(rank[at]))


def _known(
    measure: _Measure,
    name: str,
    found: Arrays,
    expected: Arrays,
    variants: list[tuple[Mistake, dict[str, Any]]],
    batches: Mapping[str, int],
) -> Iterator[tuple[str, str]]:
    """Yield the mistakes that give these arrays: first those of the exercise, then those that every array can have."""
    same = measure.same
    cases = [case for case, array in found.items() if isinstance(array, np.ndarray) and case in expected]
    if not cases:
        yield "shape", "The array is much too large. Print the shapes of what you multiply or add."
        return
    arrays = [found[case] for case in cases]

    def everywhere(change: Callable[[Any, Any], bool]) -> bool:
        return all(change(found[case], expected[case]) for case in cases)

    for mistake, variant in variants:
        if all(case in variant and same(found[case], variant[case]) for case in cases):
            yield mistake.kind, mistake.hint
    if everywhere(lambda a, b: same(a.T, b)):
        yield "transposed", f"{name} is transposed: rows and columns are swapped."
    if everywhere(lambda a, b: same(a.squeeze(), b.squeeze())):
        yield "axis of length 1", "There is an axis of length 1 too much or too few, as from keepdims or an index."
    if everywhere(lambda a, b: a.ndim > b.ndim and same(a.sum(axis=tuple(range(a.ndim - b.ndim))), b)):
        yield (
            "sum over the batch missing",
            f"Sum over the batch, axis 0: {name} must have the shape of its array, which each example has used.",
        )
    if everywhere(lambda a, b: a.ndim < b.ndim and any(same(a, less) for less in _reduced(b))):
        yield "sum over too many axes", f"{name} has fewer axes than its array: the sum is over too many of them."
    yield from _factor(measure, {case: found[case] for case in cases}, expected, batches)
    if not all(np.isfinite(array).all() for array in arrays):
        yield (
            "nan or infinity",
            "This comes from a division by 0, a logarithm of 0, an e^x that is too large, or infinity - infinity.",
        )
    if everywhere(lambda a, b: a.dtype != b.dtype and a.shape == b.shape):
        rounded = all(array.dtype.kind in "iub" for array in arrays)
        if rounded or everywhere(lambda a, b: bool(measure.close(a, b, 1e-2 / measure.tolerance).all())):
            yield "dtype", f"The array is of {arrays[0].dtype}, and loses digits: keep the dtype of the input."
    bad = [case for case in cases if not same(found[case], expected[case])]
    if len(bad) < len(cases) == len(expected):
        yield "some cases", f"The other cases are right. What is special about {' and '.join(map(repr, bad))}?"
    if not everywhere(lambda a, b: a.shape == b.shape):
        yield "shape", "Print the shapes of what you multiply or add. A gradient has the shape of its array."


def _reduced(array: np.ndarray) -> Iterator[Any]:
    """Yield the sums and means over some axes."""
    for count in range(1, array.ndim + 1):
        for axes in combinations(range(array.ndim), count):
            yield array.sum(axis=axes)
            yield array.mean(axis=axes)


def _factor(
    measure: _Measure, found: Arrays, expected: Arrays, batches: Mapping[str, int]
) -> Iterator[tuple[str, str]]:
    """Yield what it means that each array is a multiple of the right one."""
    ratios: dict[str, float] = {}
    for case, array in found.items():
        right = expected[case]
        at = np.unravel_index(int(np.abs(right).argmax()), right.shape)
        if array.shape != right.shape or not np.isfinite(array).all():
            return
        ratio = float(array[at] / right[at]) if right[at] else 1.0
        if not measure.same(array, ratio * right):
            return
        if right[at]:
            ratios[case] = ratio
    factors = list(ratios.values())
    if all(ratio == 0 for ratio in factors):
        yield "zeros", "Every number is 0."
    for counts, of in ((batches, "examples"), ({case: expected[case].size for case in ratios}, "numbers")):
        number = [counts[case] for case in ratios]
        if len({*number}) > 1 or len(found) == 1:
            if np.allclose(np.multiply(factors, number), 1):
                yield "mean for a sum", f"Each number is divided by the number of {of} (1/m): sum, do not average."
            if np.allclose(factors, number):
                yield "sum for a mean", f"Each number is too large by the number of {of}: a factor 1/m is missing."
    if factors and np.allclose(factors, factors[0]):
        kind = {-1: "sign", 2: "factor 2", 0.5: "factor 2"}.get(round(factors[0], 6), "factor")
        yield kind, f"Every number is {factors[0]:.6g} times the right one."
