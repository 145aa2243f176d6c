"""Noise on everything that the discriminator sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinygan.backend import Array, Stream
from tinygan.checks import integer, number
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError


@dataclass(frozen=True)
class InstanceNoise:
    """A standard deviation that falls linearly to 0: a schedule for ``instance_noise`` of `Algorithm1`.

    Parameters
    ----------
    std : float
        In the first iteration.
    until : int
        The number of iterations after which it is 0.

    Examples
    --------
    >>> schedule = InstanceNoise(0.3, until=100)
    >>> schedule(0), schedule(50), schedule(200)
    (0.3, 0.15, 0.0)
    """

    std: float
    until: int

    def __post_init__(self) -> None:
        if not 0 < number(self.std, "InstanceNoise: std") < math.inf:
            raise ArgumentError(f"InstanceNoise: std must be a finite number above 0, got {self.std!r}")
        integer(self.until, "InstanceNoise: until", at_least=1)

    def __call__(self, iterations: int) -> float:
        """Return the standard deviation after so many iterations."""
        return self.std * max(0.0, 1 - iterations / self.until)


class Blur:
    """Adds gaussian noise to D's inputs (Sonderby et al., 2017); its size is on the device, for a CUDA graph.

    Parameters
    ----------
    std : float or callable
        The standard deviation, or a function from the number of iterations made to it.
    like : Tensor
        A parameter of D: the noise has its dtype and device.
    """

    def __init__(self, std: float | Callable[[int], float], like: Tensor) -> None:
        self.std: Any = std
        self.level: Array = like.backend.xp.zeros((1,), like.dtype)
        self._now = 0.0
        self.set(0)

    def set(self, iterations: int) -> None:
        """Set the size for the next iteration; where it stays the same, the device has nothing to do."""
        std = number(self.std(iterations) if callable(self.std) else self.std, "Algorithm1: instance_noise")
        if not 0 <= std < math.inf:
            raise ArgumentError(
                f"Algorithm1: instance_noise is {std} after {iterations} iterations; expected a finite standard "
                "deviation of at least 0"
            )
        if std != self._now:
            self.level.fill(std)
            self._now = std

    def __call__(self, x: Tensor, stream: Stream) -> Tensor:
        """Return x plus noise; the gradient passes unchanged."""
        return x + Tensor(self.level * x.backend.normal(stream, x.shape, x.dtype))
