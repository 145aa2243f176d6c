"""Comparing analytical with numerical derivatives: what counts as equal, and what a difference suggests."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tinygan.engine.checking.differences import Slopes
from tinygan.engine.checking.report import WRONG_GRADIENT, Comparison, Index
from tinygan.engine.checking.subject import Array, Subject, Variable


@dataclass
class Judgement:
    """Element by element: how far the analytical value is from the numerical one, and how far it may be."""

    numerical: Array  # at a kink, whatever between the slopes is nearest to the analytical value
    analytical: Array
    error: Array
    tolerance: Array
    slopes: Slopes

    @property
    def wrong(self) -> Array:
        """Which elements differ by more than they may."""
        return ~self.slopes.undefined & ~(self.error <= self.tolerance)

    def worst(self) -> tuple[int, ...] | None:
        """Return the index of the element that strains its tolerance most; None when nothing was compared."""
        if self.slopes.undefined.all():
            return None
        with np.errstate(all="ignore"):
            strain = np.where(self.error > 0, self.error / self.tolerance, 0)
        strain = np.where(self.slopes.undefined, -1, np.nan_to_num(strain, nan=np.inf))
        return tuple(int(i) for i in np.unravel_index(np.argmax(strain), strain.shape))


def judge(slopes: Slopes, analytical: Array, rtol: float, atol: float | None) -> Judgement:
    """Compare analytical derivatives with numerical ones, of one output by one input.

    At a kink everything between the slopes is right. By default the absolute tolerance is a hundredth of `rtol` times
    the largest derivative, so that small gradients are held to their own measure.
    """
    low, high = np.fmin(slopes.left, slopes.right), np.fmax(slopes.left, slopes.right)
    nearest = np.clip(analytical, low, high)
    with np.errstate(all="ignore"):
        error = np.abs(analytical - nearest)
    error = np.where(np.isfinite(analytical), error, np.inf)
    defined = np.abs(nearest[~slopes.undefined])
    largest = float(defined.max()) if defined.size else 0.0
    magnitude = np.maximum(np.abs(nearest), np.where(np.isfinite(analytical), np.abs(analytical), 0))
    tolerance = rtol * magnitude + (rtol / 100 * largest if atol is None else atol)
    tolerance = tolerance + slopes.noise + np.minimum(slopes.doubt, 1e-4 * largest)
    return Judgement(nearest, analytical, error, tolerance, slopes)


def conclude(
    subject: Subject,
    judgement: Judgement,
    output: Variable,
    variable: Variable,
    method: str,
    where: tuple[Index | None, Index | None] | None = None,
) -> None:
    """Sum up in the report what was found for one output and one input.

    `judgement` has a row for each output element and a column for each input element, unless `where` says what was
    compared.
    """
    comparison = _compared(judgement, output, variable, subject.order, method, where)
    subject.report.comparisons.append(comparison)
    if not comparison.ok:
        message = f"{subject.name}: {_describe(comparison, judgement)}"
        subject.report.fail(WRONG_GRADIENT, message, subject.order, comparison)


def _compared(
    judgement: Judgement,
    output: Variable,
    variable: Variable,
    order: int,
    method: str,
    where: tuple[Index | None, Index | None] | None,
) -> Comparison:
    undefined = judgement.slopes.undefined
    comparison = Comparison(
        order=order,
        output=output.name,
        input=variable.name,
        output_position=output.position,
        input_position=variable.position,
        output_shape=output.shape,
        input_shape=variable.shape,
        method=method,
        compared=int((~undefined).sum()),
        kinks=int((judgement.slopes.kink & ~undefined).sum()),
        undefined=int(undefined.sum()),
        ok=not judgement.wrong.any(),
    )
    worst = judgement.worst()
    if worst is None:
        return comparison
    if where is None:
        where = (_index(worst[0], output.shape), _index(worst[1], variable.shape))
    numerical, analytical = float(judgement.numerical[worst]), float(judgement.analytical[worst])
    error, larger = float(judgement.error[worst]), max(abs(numerical), abs(analytical))
    return replace(
        comparison,
        output_index=where[0],
        input_index=where[1],
        numerical=numerical,
        analytical=analytical,
        absolute_error=error,
        relative_error=error / larger if larger and np.isfinite(error) else error,
        tolerance=float(judgement.tolerance[worst]),
    )


def _describe(c: Comparison, judgement: Judgement) -> str:
    """Put the worst disagreement into words."""
    what = "gradient" if c.order == 1 else f"gradient of order {c.order}"
    at_kink = " at a kink, where anything between the slopes to the left and to the right is right" if c.kinks else ""
    return (
        f"the {what} of {c.where()} (input {c.input_position}) is {c.numerical:.9g} numerically{at_kink}, but "
        f"{c.analytical:.9g} analytically (absolute error {c.absolute_error:.2g}, relative error "
        f"{c.relative_error:.2g}, tolerance {c.tolerance:.2g}; {int(judgement.wrong.sum())} of {c.compared} are wrong)"
        f"{_suspicion(judgement, c)}"
    )


def _suspicion(judgement: Judgement, comparison: Comparison) -> str:
    """Recognise a few common mistakes by the pattern they leave."""
    numerical, analytical = judgement.numerical, judgement.analytical
    odd = judgement.slopes.undefined | judgement.slopes.kink | ~np.isfinite(analytical)
    if odd.any():
        return ""
    if not analytical.any():
        return ". The analytical gradient is 0 everywhere: does the function leave the tape on the way?"
    largest = np.abs(analytical).max()
    ratio = float((analytical * numerical).sum() / max((numerical * numerical).sum(), np.finfo(float).tiny))
    if numerical.size > 1 and np.allclose(analytical, ratio * numerical, rtol=1e-5, atol=1e-5 * largest):
        return f". The analytical gradient is {ratio:.6g} times the numerical one everywhere: is a factor wrong?"
    shape = comparison.input_shape
    if len(shape) == 2 and shape[0] == shape[1] and analytical.shape[1] == shape[0] ** 2:
        swapped = analytical.reshape(-1, *shape).swapaxes(1, 2).reshape(analytical.shape)
        if np.allclose(swapped, numerical, rtol=1e-5, atol=1e-5 * largest):
            return ". The analytical gradient is the transpose of the numerical one"
    return ""


def _index(flat: int, shape: Index) -> Index:
    return tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()
