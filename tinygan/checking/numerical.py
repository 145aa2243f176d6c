"""The numerical derivative of a subject along any direction, by the best method that it allows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinygan.checking.differences import Line, Slopes, central_difference, complex_step
from tinygan.checking.subject import Array, Stopped, Subject

COMPLEX, CENTRAL = "complex step", "central differences"


@dataclass(frozen=True)
class Settings:
    """What the user asked for: see `tinygan.gradcheck`."""

    rtol: float
    atol: float | None
    unit: float  # the distance between 1 and the next number of the dtype of the analytical gradients
    eps: float | None
    complex_step: bool
    full_limit: int
    directions: int
    seed: int


class Differentiator:
    """Differentiates a subject numerically.

    Attributes
    ----------
    analytic : bool
        Whether the complex step may be used.
    used : set of str
        The methods that have been used since it was last cleared.
    """

    def __init__(self, subject: Subject, settings: Settings, rng: np.random.Generator) -> None:
        self.subject = subject
        self.eps = settings.eps
        self.points = [variable.point for variable in subject.inputs]
        self.f0 = subject.values(self.points)
        self.analytic = settings.complex_step and self._complex_works(rng)
        self.used: set[str] = set()

    def line(self, direction: Sequence[Array]) -> Line:
        """Return the function of t that gives the values at point + t direction."""

        def g(t: complex) -> Array:
            return self.subject.values([x + t * d for x, d in zip(self.points, direction, strict=True)])

        return g

    def along(
        self, direction: Sequence[Array], agrees: Callable[[Slopes], Array] | None = None, size: float = 1.0
    ) -> Slopes:
        """Return the slopes of every output element; an element that does not agree is looked at more closely.

        `size` is that of the input elements that move, in units of the direction.
        """
        line = self.line(direction)
        exact = None
        if self.analytic:
            self.used.add(COMPLEX)
            exact = complex_step(line, self.f0, size, self.subject.scale)
            if not exact.undefined.any() and (agrees is None or agrees(exact).all()):
                return exact
        self.used.add(CENTRAL)
        slopes = central_difference(
            line, self.f0, self.subject.precision, agrees, self.eps, size, self.subject.scale
        )
        if exact is not None:  # it knows more digits of what the differences confirm
            exact.usual = slopes.usual
            confirmed = np.abs(exact.value - slopes.value) <= slopes.doubt
            plain = ~(slopes.kink | slopes.undefined | exact.undefined)
            slopes.take(exact, where=plain & confirmed & (exact.doubt < slopes.doubt))
        return slopes

    def zeros(self) -> list[Array]:
        """Return the direction that leads nowhere, to be filled in."""
        return [np.zeros(point.shape) for point in self.points]

    def sizes(self, index: int, least: float = 0.0) -> Array:
        """Return by how much the elements of an input can be expected to vary: their own size, or `least`."""
        size = np.maximum(np.abs(self.points[index]), least)
        return np.where(np.isfinite(size) & (size > 0), size, 1.0)

    def method(self) -> str:
        """Return the names of the methods used since `used` was cleared."""
        return " and ".join(sorted(self.used, reverse=True))

    def _complex_works(self, rng: np.random.Generator) -> bool:
        """Return whether complex steps along two random directions agree with central differences.

        A function may refuse complex numbers, or drop the imaginary part somewhere as |x| does, in which case the
        complex step is wrong without a word.
        """
        if not self.f0.size or any(variable.size == 0 for variable in self.points):
            return False
        noted = len(self.subject.report.failures)
        for _ in range(2):
            direction = [self.sizes(k) * random_weights(rng, x.shape) for k, x in enumerate(self.points)]
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", np.exceptions.ComplexWarning)
                    trial = complex_step(self.line(direction), self.f0)
            except Stopped:
                del self.subject.report.failures[noted:]
                return False
            except Exception:  # whatever the function has against complex numbers
                return False
            true = central_difference(self.line(direction), self.f0, self.subject.precision, None, self.eps)
            close = np.abs(trial.value - true.value) <= 1e-5 * np.abs(true.value) + true.noise
            clear = true.noise <= 1e-3 * np.abs(true.value)  # else any value is close
            clear |= (true.value == 0) & (trial.value == 0)
            if not np.all(close & clear & ~true.kink & ~true.undefined):
                return False
        return True


def random_weights(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return numbers of both signs, none of them near 0 and none equal."""
    return rng.uniform(0.5, 1, shape) * rng.choice([-1.0, 1.0], shape)

