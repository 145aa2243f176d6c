"""Comparing a large Jacobian J along random directions u and v: one number u'Jv at a time."""

from __future__ import annotations

import numpy as np

from tinygan.checking.judging import Judgement, conclude, judge, note_uncompared, rounding
from tinygan.checking.numerical import Differentiator, Settings, Slopes, random_weights
from tinygan.checking.report import Index
from tinygan.checking.subject import Array, Variable


def compare_directions(differentiator: Differentiator, settings: Settings, rng: np.random.Generator) -> bool:
    """Compare u'Jv for random u and v, with v in one input at a time; add the result to the report.

    Returns whether anything was compared.
    """
    subject = differentiator.subject
    outputs = subject.outputs
    output = outputs[0] if len(outputs) == 1 else Variable(0, "all outputs", (subject.size,), differentiator.f0)
    compared = False
    for index, variable in enumerate(subject.inputs):
        differentiator.used.clear()
        probe = _Probe(differentiator, settings, index)
        trials: list[Judgement] = []
        where: Index | None = None
        for _ in range(settings.directions if variable.point.size and subject.size else 0):
            signs, u = random_weights(rng, variable.shape), random_weights(rng, (subject.size,))
            v = differentiator.sizes(index, 1.0) * signs
            trial = probe.compare(u, v)
            if trial.noisy.any() or probe.without_slope.any():  # move small elements only by their own size
                v = differentiator.sizes(index) * signs
                trial = probe.compare(u, v)
            trials.append(trial)
            if trial.wrong.any():
                worst, where = probe.localise(u, v)
                trials = [worst]
                break
        joined = _joined(trials)
        conclude(subject, joined, output, variable, differentiator.method(), (None, where))
        compared |= bool(joined.compared.any())
        if trials:
            never = probe.left_out.ravel() | (not joined.compared.any())
            note_uncompared(subject, variable, never, bool(joined.noisy.any()))
    return compared


class _Probe:
    """Compares u'Jv for directions v of one input."""

    def __init__(self, differentiator: Differentiator, settings: Settings, index: int) -> None:
        self.differentiator = differentiator
        self.settings = settings
        self.index = index
        self.left_out: Array = np.array(False)  # input elements without a finite gradient
        self.without_slope: Array = np.array(False)  # output elements, in the last comparison

    def compare(self, u: Array, v: Array) -> Judgement:
        """Compare u'Jv; if the values differ, compare again with smaller steps."""
        slopes = self._along(v)
        gradient = self._pull(u, slopes)
        self.left_out = np.zeros(v.shape, bool)
        if slopes.undefined.any() and not np.isfinite(gradient).all():  # leave out elements without a finite slope
            self.left_out = ~np.isfinite(gradient)
            v = np.where(self.left_out, 0, v)
            slopes = self._along(v)
        self.without_slope = slopes.undefined
        judgement = self._judge(slopes, u, v, gradient)
        if not (judgement.error <= self.settings.rtol * np.abs(judgement.analytical)).all():
            judgement = self._judge(self._along(v, closely=True), u, v, gradient)
        return judgement

    def _judge(self, slopes: Slopes, u: Array, v: Array, gradient: Array) -> Judgement:
        shares = np.where(v == 0, 0, gradient * v)
        total = _weighted(slopes, u)
        total.doubt += rounding(shares.ravel(), np.ones(v.size), self.settings.unit).max(initial=0)
        precision = self.differentiator.subject.precision
        return judge(total, np.array([[shares.sum()]]), np.ones(1), self.settings, precision)

    def localise(self, u: Array, v: Array) -> tuple[Judgement, Index]:
        """Find a wrong element by bisection: halve v and keep the half with the larger error."""
        active = np.arange(v.size)
        while active.size > 1:
            halves = np.array_split(active, 2)
            errors = [np.nan_to_num(self.compare(u, _only(v, half)).error.item(), nan=np.inf) for half in halves]
            active = halves[int(np.argmax(errors))]
        unit = _only(np.ones(v.shape), active)
        return self.compare(u, unit), tuple(int(i) for i in np.unravel_index(int(active[0]), v.shape))

    def _along(self, v: Array, closely: bool = False) -> Slopes:
        direction = self.differentiator.zeros()
        direction[self.index] = v
        return self.differentiator.along(direction, _never if closely else None)

    def _pull(self, u: Array, slopes: Slopes) -> Array:
        subject = self.differentiator.subject
        return subject.pull(subject.split(np.where(slopes.undefined, 0, u)))[self.index]


def _never(found: Slopes) -> Array:
    return np.zeros(found.value.shape, bool)


def _only(v: Array, elements: Array) -> Array:
    kept = np.zeros(v.size)
    kept[elements] = v.reshape(-1)[elements]
    return kept.reshape(v.shape)


def _weighted(slopes: Slopes, u: Array) -> Slopes:
    """Return the slopes of u'g as a Jacobian of one element, without the outputs that have no slope."""
    u = np.where(slopes.undefined, 0, u)
    known = Slopes(*(np.where(slopes.undefined, 0, array) for array in vars(slopes).values()))
    low, high = np.minimum(u * known.left, u * known.right), np.maximum(u * known.left, u * known.right)
    errors = [np.abs(u) @ array for array in (known.noise, known.doubt, known.usual)]
    sums = [u @ known.value, low.sum(), high.sum(), *errors]
    flags = [known.kink.any(), slopes.undefined.all()]
    return Slopes(*(np.array([[x]]) for x in sums + flags))


def _joined(trials: list[Judgement]) -> Judgement:
    """Return comparisons along several directions as the columns of one."""
    columns = [Judgement(*np.zeros((4, 1, 0)), *np.zeros((4, 1, 0), bool)), *trials]
    return Judgement(*(np.hstack(parts) for parts in zip(*(vars(column).values() for column in columns), strict=True)))
