"""Schedules of the learning rate and of the momentum.

A schedule of the learning rate is a function of the number of updates made so far. A schedule of the momentum is a
function of the epoch, counted from 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tinygan.errors import ArgumentError

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class ExponentialDecay:
    """The released code's learning rate after t updates: ``max(minimum, initial / factor ** t)``.

    Examples
    --------
    >>> lr = ExponentialDecay(initial=0.1, factor=1.000004, minimum=1e-6)
    >>> lr(0), round(lr(25_000), 4)  # at the start, and after 50 epochs of 500 updates
    (0.1, 0.0905)
    """

    initial: float
    factor: float = 1.000004
    minimum: float = 0.0

    def __post_init__(self) -> None:
        # infinity and nan fail too
        if not (0 < self.initial < math.inf and 1 <= self.factor < math.inf and 0 <= self.minimum < math.inf):
            raise ArgumentError(f"{self}: expected initial > 0, factor >= 1 and minimum >= 0, all finite")

    def __call__(self, updates: int) -> float:
        return max(self.minimum, self.initial * self.factor**-updates)


@dataclass(frozen=True)
class StepDecay:
    """Another schedule, multiplied by `gamma` from update `milestone` on.

    This is PyTorch's ``MultiStepLR`` with one milestone, applied to any other schedule.

    Parameters
    ----------
    before : float or callable
        The learning rate, or a schedule of it.
    milestone : int
        The number of updates before the change.
    gamma : float
        In (0, 1].

    Examples
    --------
    >>> lr = StepDecay(0.1, milestone=1000, gamma=0.1)
    >>> lr(999), round(lr(1000), 4)
    (0.1, 0.01)
    """

    before: float | Schedule
    milestone: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if not self.milestone >= 1 or not 0 < self.gamma <= 1:
            raise ArgumentError(f"{self}: expected milestone >= 1 and gamma in (0, 1]")

    def __call__(self, updates: int) -> float:
        rate = self.before(updates) if callable(self.before) else self.before
        return rate * self.gamma if updates >= self.milestone else rate


@dataclass(frozen=True)
class LinearMomentum:
    """The released code's momentum in epoch e = 1, 2, ...: linear from `initial` to `final` in epoch `epochs`.

    Examples
    --------
    >>> momentum = LinearMomentum(0.5, 0.7, epochs=250)
    >>> momentum(1), round(momentum(250), 6), round(momentum(1000), 6)
    (0.5, 0.7, 0.7)
    """

    initial: float = 0.5
    final: float = 0.7
    epochs: int = 250

    def __post_init__(self) -> None:
        if not self.epochs >= 2 or not 0 <= self.initial < 1 or not 0 <= self.final < 1:
            raise ArgumentError(f"{self}: expected epochs >= 2 and momenta in [0, 1)")

    def __call__(self, epoch: int) -> float:
        progress = min(1.0, max(0, epoch - 1) / (self.epochs - 1))
        return self.initial + (self.final - self.initial) * progress
