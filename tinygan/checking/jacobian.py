"""Comparing a whole Jacobian: the derivative of every output element with respect to every input element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygan.checking import report as kinds
from tinygan.checking.judging import conclude, judge, note_uncompared, nothing
from tinygan.checking.numerical import Differentiator, Settings, Slopes, random_weights
from tinygan.checking.subject import Array, Subject


def compare_jacobian(differentiator: Differentiator, settings: Settings, rng: np.random.Generator) -> bool:
    """Compare d output_i / d input_j for every i and j; add the result to the report.

    Returns whether an input element was compared. Derivatives that are 0 are not enough, if others were not compared.
    """
    subject = differentiator.subject
    analytical = _analytical(subject)
    _check_linearity(differentiator, analytical, settings, rng)
    slopes = Slopes.empty(analytical.shape)
    columns = slice(0, 0)
    compared = False
    for index, variable in enumerate(subject.inputs):
        columns = slice(columns.stop, columns.stop + variable.point.size)
        differentiator.used.clear()
        if subject.size:
            _differentiate(differentiator, settings, index, columns, analytical, slopes)
        # If one output has an infinite slope, 0 times infinity makes the rule return nan for the others.
        infinite = slopes.undefined[:, columns].any(axis=0)
        slopes.undefined[:, columns] |= infinite & ~np.isfinite(analytical[:, columns])
        sizes = differentiator.sizes(index).ravel()
        judgement = judge(
            slopes.block(slice(None), columns), analytical[:, columns], sizes, settings, subject.precision
        )
        rows = slice(0, 0)
        for output in subject.outputs:
            rows = slice(rows.stop, rows.stop + output.point.size)
            conclude(subject, judgement.block(rows, slice(None)), output, variable, differentiator.method())
        never = (~judgement.compared).any(axis=0) & ~(judgement.compared & (judgement.numerical != 0)).any(axis=0)
        note_uncompared(subject, variable, never, bool(judgement.noisy[:, never].any()))
        compared |= not never.all()
    _check_ties(differentiator, settings, slopes, analytical)
    return compared


def _analytical(subject: Subject) -> Array:
    """Return the Jacobian by backpropagation, one output element at a time."""
    width = sum(variable.point.size for variable in subject.inputs)
    jacobian = np.zeros((subject.size, width))
    for row, unit in enumerate(np.eye(subject.size)):
        jacobian[row] = _pulled(subject, [part if part.any() else None for part in subject.split(unit)])
    return jacobian


def _pulled(subject: Subject, upstream: Sequence[Array | None]) -> Array:
    return np.concatenate([gradient.ravel() for gradient in subject.pull(upstream)])


def _check_linearity(
    differentiator: Differentiator, analytical: Array, settings: Settings, rng: np.random.Generator
) -> None:
    """Check that the gradient is u'J for a random upstream gradient u of both signs, without equal elements.

    Unit vectors alone would not detect a rule that uses the absolute value of u, or only its first element.
    """
    if not analytical.size:
        return
    subject = differentiator.subject
    u = random_weights(rng, (subject.size,))
    got, expected = _pulled(subject, subject.split(u)), u @ analytical
    # The second term is for gradients that cancel to 0 up to rounding, such as that of x / x.
    values = np.maximum(np.abs(np.nan_to_num(differentiator.f0, posinf=0, neginf=0)), subject.scale)
    slack = settings.rtol * (np.abs(u) @ np.abs(analytical)) + 64 * settings.unit * (np.abs(u) @ values)
    wrong = np.isfinite(expected) & ~(np.abs(got - expected) <= slack)
    if wrong.any():
        worst = int(np.argmax(np.where(wrong, np.abs(got - expected), 0)))
        subject.fail(
            kinds.NOT_LINEAR,
            f"{subject.name}: the gradient for a random upstream gradient u is not u'J, the sum of the gradients for "
            f"single elements of u: input element {worst} gets {got[worst]:.6g} instead of {expected[worst]:.6g}",
        )


def _differentiate(
    differentiator: Differentiator, settings: Settings, index: int, columns: slice, analytical: Array, slopes: Slopes
) -> None:
    """Compute the columns of one input, moving one element at a time."""
    precision = max(differentiator.subject.precision, settings.unit)
    for element, point in enumerate(differentiator.points[index].ravel()):
        direction = differentiator.zeros()
        direction[index].reshape(-1)[element] = 1.0
        column = columns.start + element
        size = abs(point) if np.isfinite(point) else 1.0

        def agrees(found: Slopes, expected: Array = analytical[:, column]) -> Array:
            close = np.abs(found.value - expected) <= settings.rtol * np.abs(expected)
            return close & ((expected != 0) | (found.doubt <= nothing(precision, found.usual)))

        slopes.put_column(column, differentiator.along(direction, agrees, size))


def _check_ties(differentiator: Differentiator, settings: Settings, slopes: Slopes, analytical: Array) -> None:
    """At a kink, also move all inputs together.

    At a tie of a maximum, a gradient of 1 for each tied element lies between the slopes, 0 and 1. But if all of them
    rise by t, the maximum rises by t, so the shares must add up to 1. Every subgradient of a convex or concave function
    lies between the slopes along every direction. For other functions this need not hold, so the test is made only
    where the slopes agree with a convex or a concave function.
    """
    rows = slopes.kink.any(axis=1) & ~slopes.undefined.any(axis=1)
    if not rows.any():
        return
    subject = differentiator.subject
    sizes = np.concatenate([differentiator.sizes(k).ravel() for k in range(len(subject.inputs))])
    together = differentiator.along([np.ones(point.shape) for point in differentiator.points], size=float(sizes.max()))
    bend = np.where(slopes.kink, slopes.right - slopes.left, 0)
    rises, falls = slopes.right.sum(axis=1), slopes.left.sum(axis=1)
    slack = settings.rtol * (np.abs(rises) + np.abs(falls)) + together.noise
    convex = (bend >= 0).all(axis=1) & (together.right <= rises + slack) & (together.left >= falls - slack)
    concave = (bend <= 0).all(axis=1) & (together.right >= rises - slack) & (together.left <= falls + slack)
    column = together.block(slice(None), None)
    total = judge(column, analytical.sum(axis=1, keepdims=True), np.ones(1), settings, subject.precision)
    wrong = (total.wrong & (total.error > total.tolerance + slack[:, None]))[:, 0]
    for row in np.flatnonzero(rows & ~together.undefined & (convex | concave) & wrong):
        subject.fail(
            kinds.WRONG_SHARES,
            f"{subject.name}: at a tie, the shares of output element {row} add up to {total.analytical[row, 0]:.6g}, "
            f"but when all inputs rise by t it rises by {total.numerical[row, 0]:.6g} t; the shares must add up to the "
            "upstream gradient",
        )
