"""Comparing analytical with numerical derivatives: what counts as equal, and the likely cause of a difference."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tinygan.checking.numerical import Settings, Slopes
from tinygan.checking.report import WRONG_GRADIENT, Comparison, Index, element
from tinygan.checking.subject import Array, Subject, Variable

CLEAR = 2e-4  # largest relative error of a numerical derivative that can judge: an error of 0.05 % must be found
COARSE = 1e5  # the same in units in the last place, for dtypes of fewer digits
SMALLEST = 1e-150  # smaller numbers count as 0
ROUNDING = 16.0  # error of backpropagation, in units in the last place of the terms that it adds


@dataclass
class Judgement:
    """For each element, the difference of the analytical and the numerical value, and its tolerance."""

    numerical: Array  # at a kink, the value between the slopes that is nearest to the analytical value
    analytical: Array
    error: Array
    tolerance: Array
    undefined: Array  # there is no slope
    noisy: Array  # the difference is too inexact to judge
    coarse: Array  # the value is small, and rounding hides some or all of its digits: only the others were compared
    kink: Array

    @property
    def compared(self) -> Array:
        """Whether each element was compared."""
        return ~self.undefined & ~self.noisy

    @property
    def wrong(self) -> Array:
        """Whether each element differs by more than its tolerance."""
        return self.compared & ~(self.error <= self.tolerance)

    def worst(self) -> tuple[int, ...] | None:
        """Return the index of the element with the largest error relative to its tolerance; None without elements."""
        if not self.compared.any():
            return None
        with np.errstate(all="ignore"):
            strain = np.where(self.error > 0, self.error / self.tolerance, 0)
        strain = np.where(self.compared, np.where(self.coarse, 0, np.nan_to_num(strain, nan=np.inf)), -1)
        alike = strain >= 0.9 * strain.max()  # with a wrong factor, all strains are alike: take the largest error
        worst = np.argmax(np.where(alike, self.error, -1))
        return tuple(int(i) for i in np.unravel_index(worst, strain.shape))

    def block(self, rows: slice, columns: slice) -> Judgement:
        """Return a part of a Jacobian."""
        return Judgement(*(array[rows, columns] for array in vars(self).values()))


def judge(slopes: Slopes, analytical: Array, sizes: Array, settings: Settings, precision: float) -> Judgement:
    """Compare analytical derivatives with numerical ones: a row for each output element, a column for each input.

    At a kink every value between the slopes is right. A value that agrees to `rtol` passes. A value with a larger error
    than the numerical derivative can have is wrong. Otherwise the value passes if the numerical derivative is exact
    enough, relative to their size or, for small values, to the usual size; if it is not, nothing was compared.

    Parameters
    ----------
    sizes : array of shape (inputs,)
        Sizes of the input elements, which determine the derivatives of one output that are small.
    precision : float
        The distance between 1 and the next number in the dtype of the function.
    """
    low, high = np.fmin(slopes.left, slopes.right), np.fmax(slopes.left, slopes.right)
    nearest = np.clip(analytical, low, high)
    finite = np.isfinite(analytical)
    error = np.where(finite, np.abs(analytical - nearest), np.inf)
    magnitude = np.maximum(np.abs(nearest), np.where(finite, np.abs(analytical), 0))
    atol = rounding(analytical, sizes, settings.unit) if settings.atol is None else settings.atol
    tolerance = settings.rtol * magnitude + atol
    doubt = slopes.doubt + ROUNDING * settings.unit * slopes.usual
    coarsest = max(precision, settings.unit)
    clear = doubt <= max(CLEAR, settings.rtol, min(COARSE * coarsest, 0.05)) * magnitude
    seen = doubt <= nothing(coarsest, slopes.usual)
    # Values that rounding made equal would agree with any rule that returns 0, so their noise must be small.
    by_value = (error <= (settings.rtol * magnitude if settings.atol is None else tolerance)) & (magnitude > 0)
    as_zero = (magnitude == 0) & (slopes.noise <= 1e-3 * slopes.usual + SMALLEST)
    agrees = by_value | as_zero
    unsure = ~slopes.undefined & ~agrees & ((error <= tolerance + doubt) | ~finite)
    noisy = unsure & ~(clear | seen)
    coarse = (unsure & ~clear & seen & finite) | (as_zero & ~seen)
    return Judgement(nearest, analytical, error, tolerance + doubt, slopes.undefined, noisy, coarse, slopes.kink)


def nothing(precision: float, usual: Array) -> Array:
    """Return the slope that counts as 0 relative to a usual slope: a hundred times the error of the first step."""
    return 1000 * precision**0.8 * usual + SMALLEST


def rounding(gradients: Array, sizes: Array, unit: float) -> Array:
    """Return the rounding error of the gradients of several inputs (along the last axis), which are sums.

    The terms have the size of the largest gradient, or of the largest effect of an input that changes by its own size.
    """
    known = np.where(np.isfinite(gradients), np.abs(gradients), 0)
    largest = known.max(axis=-1, keepdims=True, initial=0)
    effects = (known * sizes).max(axis=-1, keepdims=True, initial=0)
    return ROUNDING * unit * np.minimum(largest, effects / sizes)


def conclude(
    subject: Subject,
    judgement: Judgement,
    output: Variable,
    variable: Variable,
    method: str,
    where: tuple[Index | None, Index | None] | None = None,
) -> None:
    """Add the result for one output and one input to the report.

    `judgement` has a row for each output element and a column for each input element, unless `where` gives the elements
    that were compared.
    """
    comparison = _compared(judgement, output, variable, subject.order, method, where)
    subject.report.comparisons.append(comparison)
    if not comparison.ok:
        message = f"{subject.name}: {_describe(comparison, judgement)}"
        subject.report.fail(WRONG_GRADIENT, message, subject.order, comparison)


def note_uncompared(subject: Subject, variable: Variable, never: Array, noisy: bool) -> None:
    """Add to the report which elements of an input were `never` compared (a flat array of bool), and why."""
    elements = [_index(int(k), variable.shape) for k in np.flatnonzero(never)]
    if not elements:
        return
    subject.report.uncompared[subject.order, variable.name] = elements
    listed = ", ".join([element(variable.name, one) for one in elements[:4]] + ["..."] * (len(elements) > 4))
    at_order = f" at order {subject.order}" if subject.order > 1 else ""
    why = "has values there that are too inexact for differences" if noisy else "has no finite slope there"
    subject.report.notes.append(
        f"{len(elements)} of {never.size} elements of {variable}{at_order} ({listed}): the function {why}"
    )


def _compared(
    judgement: Judgement,
    output: Variable,
    variable: Variable,
    order: int,
    method: str,
    where: tuple[Index | None, Index | None] | None,
) -> Comparison:
    compared = judgement.compared
    comparison = Comparison(
        order=order,
        output=output.name,
        input=variable.name,
        output_position=output.position,
        input_position=variable.position,
        output_shape=output.shape,
        input_shape=variable.shape,
        method=method,
        compared=int(compared.sum()),
        kinks=int((judgement.kink & compared).sum()),
        undefined=int(judgement.undefined.sum()),
        noisy=int(judgement.noisy.sum()),
        coarse=int(judgement.coarse.sum()),
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
    """Return a description of the worst error."""
    what = "gradient" if c.order == 1 else f"gradient of order {c.order}"
    at_kink = " at a kink, where any value between the left and the right slope is right" if c.kinks else ""
    return (
        f"the {what} of {c.where()} (input {c.input_position}) is {c.numerical:.9g} numerically{at_kink}, but "
        f"{c.analytical:.9g} analytically (absolute error {c.absolute_error:.2g}, relative error "
        f"{c.relative_error:.2g}, tolerance {c.tolerance:.2g}; {int(judgement.wrong.sum())} of {c.compared} are wrong)"
        f"{_suspicion(judgement, c)}"
    )


def _suspicion(judgement: Judgement, comparison: Comparison) -> str:
    """Return the likely cause of an error, for a few common mistakes."""
    numerical, analytical = judgement.numerical, judgement.analytical
    odd = ~judgement.compared | judgement.kink | ~np.isfinite(analytical)
    if odd.any():
        return ""
    if not analytical.any():
        return ". The analytical gradient is 0 everywhere: does the function leave the tape?"
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
