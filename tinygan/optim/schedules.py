"""Schedules of the learning rate and of the momentum.

Every schedule is a function of one clock: the number of updates that the optimiser has made so far, from 0. A
discriminator that is updated k times in a step counts k updates. A schedule that takes another one, such as `WarmUp`,
gives it the same count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from tinygan import checks
from tinygan.errors import ArgumentError
from tinygan.optim.checks import at_least_0

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
        for value in (self.initial, self.factor, self.minimum):
            checks.number(value, "ExponentialDecay: initial, factor, minimum: each")
        # infinity and nan fail too
        if not (0 < self.initial < math.inf and 1 <= self.factor < math.inf and 0 <= self.minimum < math.inf):
            raise ArgumentError(f"{self}: expected initial > 0, factor >= 1 and minimum >= 0, all finite")

    def __call__(self, updates: int) -> float:
        return max(self.minimum, self.initial * self.factor**-updates)


@dataclass(frozen=True)
class LinearDecay:
    """A straight line from `initial` to `final` in `updates` updates: PyTorch's ``LinearLR``, to 0 by default.

    After t updates the learning rate is ``initial + (final - initial) min(1, t / updates)``.

    Examples
    --------
    >>> lr = LinearDecay(0.1, updates=1000)
    >>> lr(0), lr(500), lr(1000), lr(2000)
    (0.1, 0.05, 0.0, 0.0)
    """

    initial: float
    updates: int
    final: float = 0.0

    def __post_init__(self) -> None:
        _check(self, self.updates, self.initial, self.final)

    def __call__(self, updates: int) -> float:
        share = min(1.0, updates / self.updates)
        return (1 - share) * self.initial + share * self.final


@dataclass(frozen=True)
class CosineDecay:
    """Half a period of a cosine, from `initial` to `final` in `updates` updates (Loshchilov and Hutter, 2017, eq. 5).

    After t <= updates updates the learning rate is ``final + (initial - final) (1 + cos(pi t / updates)) / 2``; then it
    stays at `final`. PyTorch's ``CosineAnnealingLR`` rises again.

    Examples
    --------
    >>> lr = CosineDecay(0.1, updates=1000)
    >>> lr(0), round(lr(500), 6), lr(1000), lr(2000)
    (0.1, 0.05, 0.0, 0.0)
    """

    initial: float
    updates: int
    final: float = 0.0

    def __post_init__(self) -> None:
        _check(self, self.updates, self.initial, self.final)

    def __call__(self, updates: int) -> float:
        share = (1 - math.cos(math.pi * min(1.0, updates / self.updates))) / 2
        return (1 - share) * self.initial + share * self.final


@dataclass(frozen=True)
class StepDecay:
    """Another schedule, multiplied by `gamma` from update `milestone` on, or at every multiple of it.

    This is PyTorch's ``MultiStepLR`` with one milestone, applied to any other schedule; with ``repeated=True``, its
    ``StepLR`` with the step size `milestone`.

    Parameters
    ----------
    before : float or callable
        The learning rate, or a schedule of it.
    milestone : int
        The number of updates before the change.
    gamma : float
        In (0, 1].
    repeated : bool
        Multiply again after each `milestone` updates.

    Examples
    --------
    >>> lr = StepDecay(0.1, milestone=1000, gamma=0.1)
    >>> lr(999), round(lr(1000), 4), round(lr(2000), 4)
    (0.1, 0.01, 0.01)
    >>> round(StepDecay(0.1, milestone=1000, gamma=0.1, repeated=True)(2000), 4)
    0.001
    """

    before: float | Schedule
    milestone: int
    gamma: float = 0.1
    repeated: bool = False

    def __post_init__(self) -> None:
        if not self.milestone >= 1 or not 0 < self.gamma <= 1:
            raise ArgumentError(f"{self}: expected milestone >= 1 and gamma in (0, 1]")
        _check(self, self.milestone, self.before)

    def __call__(self, updates: int) -> float:
        changes = updates // self.milestone
        return _rate(self.before, updates) * self.gamma ** (changes if self.repeated else min(changes, 1))


@dataclass(frozen=True)
class WarmUp:
    """Another schedule that begins small: in the first `updates` updates it is multiplied by (t + 1) / updates.

    t is the number of updates made so far, so the first update already has a learning rate above 0, and update number
    `updates` has the whole one (Goyal et al., 2017, section 2.2). `after` counts the updates of the warm-up, too.

    Parameters
    ----------
    after : float or callable
        The learning rate, or a schedule of it.
    updates : int

    Examples
    --------
    >>> lr = WarmUp(CosineDecay(0.1, updates=1000), updates=4)
    >>> [round(lr(t), 3) for t in (0, 1, 3, 4, 1000)]
    [0.025, 0.05, 0.1, 0.1, 0.0]
    """

    after: float | Schedule
    updates: int

    def __post_init__(self) -> None:
        _check(self, self.updates, self.after)

    def __call__(self, updates: int) -> float:
        return _rate(self.after, updates) * min(1.0, (updates + 1) / self.updates)


@dataclass(frozen=True)
class LinearMomentum:
    """The released code's momentum in epoch e = 1, 2, ...: linear from `initial` to `final` in epoch `epochs`.

    It changes between epochs only. After t updates, e is ``1 + t // updates_per_epoch``.

    Examples
    --------
    >>> momentum = LinearMomentum(0.5, 0.7, epochs=250, updates_per_epoch=500)
    >>> momentum(499), round(momentum(249 * 500), 6), round(momentum(1000 * 500), 6)
    (0.5, 0.7, 0.7)
    """

    initial: float = 0.5
    final: float = 0.7
    epochs: int = 250
    _: KW_ONLY
    updates_per_epoch: int

    def __post_init__(self) -> None:
        if not self.epochs >= 2 or not 0 <= self.initial < 1 or not 0 <= self.final < 1:
            raise ArgumentError(f"{self}: expected epochs >= 2 and momenta in [0, 1)")
        _check(self, self.updates_per_epoch)

    def __call__(self, updates: int) -> float:
        progress = min(1.0, (updates // self.updates_per_epoch) / (self.epochs - 1))
        return self.initial + (self.final - self.initial) * progress


def _check(schedule: Any, updates: Any, *rates: Any) -> None:
    """Refuse a number of updates or a learning rate that makes no sense; a rate may be a schedule."""
    who = type(schedule).__name__
    checks.integer(updates, f"{who}: the number of updates", at_least=1)
    for rate in rates:
        if not callable(rate):
            at_least_0(f"{who}: a learning rate", rate)


def _rate(rate: float | Schedule, updates: int) -> float:
    return rate(updates) if callable(rate) else rate
