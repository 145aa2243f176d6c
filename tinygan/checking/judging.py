"""Comparing analytical with numerical derivatives: what counts as equal, and what a difference suggests."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tinygan.checking.differences import Slopes
from tinygan.checking.numerical import Settings
from tinygan.checking.report import WRONG_GRADIENT, Comparison, Index, element
from tinygan.checking.subject import Array, Subject, Variable

CLEAR = 2e-4  # relative error up to which a numerical derivative can judge: a rule that is off by 0.05 % must not pass
COARSE = 1e5  # units in the last place that stand for that in dtypes of fewer digits
SMALLEST = 1e-150  # as good as 0 in any case
ROUNDING = 16.0  # units in the last place that backpropagation may be off by, at the size of what it adds up


@dataclass
class Judgement:
    """Element by element: how far the analytical value is from the numerical one, and how far it may be."""

    numerical: Array  # at a kink, whatever between the slopes is nearest to the analytical value
    analytical: Array
    error: Array
    tolerance: Array
    undefined: Array  # there is no slope
    noisy: Array  # the difference is too inexact to judge
    coarse: Array  # judged as far as can be seen: it is small, and rounding hides its last digits or all
    kink: Array

    @property
    def compared(self) -> Array:
        """Which elements could be judged."""
        return ~self.undefined & ~self.noisy

    @property
    def wrong(self) -> Array:
        """Which elements differ by more than they may."""
        return self.compared & ~(self.error <= self.tolerance)

    def worst(self) -> tuple[int, ...] | None:
        """Return the index of the element that strains its tolerance most; None when nothing was compared."""
        if not self.compared.any():
            return None
        with np.errstate(all="ignore"):
            strain = np.where(self.error > 0, self.error / self.tolerance, 0)
        strain = np.where(self.compared, np.where(self.coarse, 0, np.nan_to_num(strain, nan=np.inf)), -1)
        alike = strain >= 0.9 * strain.max()  # a factor is wrong everywhere: then the largest of them
        worst = np.argmax(np.where(alike, self.error, -1))
        return tuple(int(i) for i in np.unravel_index(worst, strain.shape))

    def block(self, rows: slice, columns: slice) -> Judgement:
        """Return a part of a Jacobian."""
        return Judgement(*(array[rows, columns] for array in vars(self).values()))


def judge(slopes: Slopes, analytical: Array, sizes: Array, settings: Settings, precision: float) -> Judgement:
    """Compare analytical derivatives with numerical ones: a row for each output element, a column for each input.

    At a kink everything between the slopes is right. What agrees to `rtol` has passed. What does not is wrong if it is
    further off than the numerical derivative can be; if it is not, the numerical derivative may be exact enough to say
    that they agree, in proportion to their own size or, if they are small, to the usual size; else nothing was learnt.

    Parameters
    ----------
    sizes : array of shape (inputs,)
        Of the input elements, to tell which derivatives of one output are small.
    precision : float
        Of the function: the distance between 1 and the next number.
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
    # not by chance: values that rounding made equal agree with any rule that returns 0
    by_value = (error <= (settings.rtol * magnitude if settings.atol is None else tolerance)) & (magnitude > 0)
    as_zero = (magnitude == 0) & (slopes.noise <= 1e-3 * slopes.usual + SMALLEST)
    agrees = by_value | as_zero
    unsure = ~slopes.undefined & ~agrees & ((error <= tolerance + doubt) | ~finite)
    noisy = unsure & ~(clear | seen)
    coarse = (unsure & ~clear & seen & finite) | (as_zero & ~seen)
    return Judgement(nearest, analytical, error, tolerance + doubt, slopes.undefined, noisy, coarse, slopes.kink)


def nothing(precision: float, usual: Array) -> Array:
    """Return what is as good as 0 beside a usual slope: a hundred times the error that the first step leaves."""
    return 1000 * precision**0.8 * usual + SMALLEST


def rounding(gradients: Array, sizes: Array, unit: float) -> Array:
    """Return how far off gradients of several inputs, along the last axis, may be because they are rounded sums.

    Those sums are of the size of the largest gradient, and of the largest effect of an input that changes by its size.
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
    """Sum up in the report what was found for one output and one input.

    `judgement` has a row for each output element and a column for each input element, unless `where` says what was
    compared.
    """
    comparison = _compared(judgement, output, variable, subject.order, method, where)
    subject.report.comparisons.append(comparison)
    if not comparison.ok:
        message = f"{subject.name}: {_describe(comparison, judgement)}"
        subject.report.fail(WRONG_GRADIENT, message, subject.order, comparison)


def note_uncompared(subject: Subject, variable: Variable, never: Array, noisy: bool) -> None:
    """Note in the report which elements of an input were `never` compared (a flat array of bool), and why."""
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
    odd = ~judgement.compared | judgement.kink | ~np.isfinite(analytical)
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
