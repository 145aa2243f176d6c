"""Comparing a whole Jacobian: every output element by every input element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygan.engine.checking import report as kinds
from tinygan.engine.checking.differences import Slopes
from tinygan.engine.checking.judging import conclude, judge
from tinygan.engine.checking.numerical import Differentiator, Settings, random_weights
from tinygan.engine.checking.subject import Array, Subject


def compare_jacobian(differentiator: Differentiator, settings: Settings, rng: np.random.Generator) -> None:
    """Compare d output_i / d input_j for every i and j, and note the result in the report."""
    subject = differentiator.subject
    analytical = _analytical(subject)
    _check_linearity(subject, analytical, settings, rng)
    slopes = Slopes.empty(analytical.shape)
    columns = slice(0, 0)
    for index, variable in enumerate(subject.inputs):
        columns = slice(columns.stop, columns.stop + variable.point.size)
        differentiator.used.clear()
        if subject.size:
            _differentiate(differentiator, settings, index, columns, analytical, slopes)
        # where one output has an infinite slope, 0 times infinity makes the rule say nan for the others
        infinite = slopes.undefined[:, columns].any(axis=0)
        slopes.undefined[:, columns] |= infinite & ~np.isfinite(analytical[:, columns])
        rows = slice(0, 0)
        for output in subject.outputs:
            rows = slice(rows.stop, rows.stop + output.point.size)
            judgement = judge(slopes.block(rows, columns), analytical[rows, columns], settings.rtol, settings.atol)
            conclude(subject, judgement, output, variable, differentiator.method())
    _check_ties(differentiator, settings, slopes, analytical)


def _analytical(subject: Subject) -> Array:
    """Pull back one output element at a time."""
    width = sum(variable.point.size for variable in subject.inputs)
    jacobian = np.zeros((subject.size, width))
    for row, unit in enumerate(np.eye(subject.size)):
        jacobian[row] = _pulled(subject, [part if part.any() else None for part in subject.split(unit)])
    return jacobian


def _pulled(subject: Subject, upstream: Sequence[Array | None]) -> Array:
    return np.concatenate([gradient.ravel() for gradient in subject.pull(upstream)])


def _check_linearity(subject: Subject, analytical: Array, settings: Settings, rng: np.random.Generator) -> None:
    """For an upstream gradient u of both signs, no two elements equal, the gradient is u'J.

    Unit vectors alone would not notice a rule that takes the absolute value of u, or only the first of its elements.
    """
    if not analytical.size:
        return
    u = random_weights(rng, (subject.size,))
    got, expected = _pulled(subject, subject.split(u)), u @ analytical
    # the second term is for gradients that cancel to 0 up to rounding, as that of x / x
    slack = settings.rtol * (np.abs(u) @ np.abs(analytical) + 0.01 * np.abs(u).max())
    wrong = np.isfinite(expected) & ~(np.abs(got - expected) <= slack)
    if wrong.any():
        worst = int(np.argmax(np.where(wrong, np.abs(got - expected), 0)))
        subject.fail(
            kinds.NOT_LINEAR,
            f"{subject.name}: the gradient for a random upstream gradient u is not u'J, the sum of those for single "
            f"elements of u: input element {worst} gets {got[worst]:.6g} instead of {expected[worst]:.6g}",
        )


def _differentiate(
    differentiator: Differentiator, settings: Settings, index: int, columns: slice, analytical: Array, slopes: Slopes
) -> None:
    """Fill in the columns of one input, moving one element of it at a time."""
    for element, scale in enumerate(differentiator.scales(index).ravel()):
        direction = differentiator.zeros()
        direction[index].reshape(-1)[element] = scale
        column = columns.start + element
        expected = analytical[:, column] * scale

        def agrees(found: Slopes, expected: Array = expected) -> Array:
            return np.abs(found.value - expected) <= settings.rtol * np.abs(expected) + found.noise

        slopes.put_column(column, differentiator.along(direction, agrees), scale)


def _check_ties(differentiator: Differentiator, settings: Settings, slopes: Slopes, analytical: Array) -> None:
    """At a kink, also move all inputs together.

    Where a maximum is shared, a gradient of 1 for each of those that tie lies between the slopes, 0 and 1; but when
    all of them rise by t the maximum rises by t, so the shares must add up to 1. Every subgradient of a convex
    function lies between the slopes along every direction (that of a concave one too); for other functions it need
    not, so the test is made only where nothing speaks against it.
    """
    rows = slopes.kink.any(axis=1) & ~slopes.undefined.any(axis=1)
    if not rows.any():
        return
    subject = differentiator.subject
    together = differentiator.along([np.ones(point.shape) for point in differentiator.points])
    bend = np.where(slopes.kink, slopes.right - slopes.left, 0)
    rises, falls = slopes.right.sum(axis=1), slopes.left.sum(axis=1)
    slack = settings.rtol * (1 + np.abs(rises) + np.abs(falls)) + together.noise
    convex = (bend >= 0).all(axis=1) & (together.right <= rises + slack) & (together.left >= falls - slack)
    concave = (bend <= 0).all(axis=1) & (together.right >= rises - slack) & (together.left <= falls + slack)
    total = judge(together, analytical.sum(axis=1), settings.rtol, settings.atol)
    wrong = total.error > total.tolerance + slack
    for row in np.flatnonzero(rows & ~together.undefined & (convex | concave) & wrong):
        subject.fail(
            kinds.WRONG_SHARES,
            f"{subject.name}: at a tie, the shares of output element {row} add up to {total.analytical[row]:.6g}, but "
            f"when all inputs rise by t it rises by {total.numerical[row]:.6g} t; the shares must add up to the "
            "incoming gradient",
        )
