"""Mode counts: how many of the data's modes the generator has found, and how many of its samples belong to one.

The protocol of PacGAN (Lin, Khetan, Fanti and Oh, 2018, section 4), for mixtures of Gaussians with known centres:

1. Draw 2,500 samples from the trained generator.
2. Give each to the nearest centre. It is of high quality if it lies within three standard deviations of that centre,
   the standard deviation being that of one coordinate. (Of the data itself, in the plane, a share of
   1 - exp(-9/2) = 98.9 % does.)
3. A mode is recovered if at least one sample of high quality belongs to it.

Reported are the number of recovered modes and the share of samples of high quality. One sample is enough for a mode,
so the count says that a mode is not lost; it does not say that it has its fair share. `ModeCount.counts` says that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.evaluation.blocks import BUDGET, as_width, block_sizes, centre, nearest_shares, same_columns
from tinygan.evaluation.neighbours import search

PACGAN_SAMPLES = 2500
PACGAN_DEVIATIONS = 3.0


@dataclass(frozen=True, eq=False)
class ModeCount:
    """What was counted.

    Attributes
    ----------
    counts : float64 array of shape (K,)
        Samples of high quality at each mode. One that is as near to several modes belongs to all of them, in equal
        shares.
    samples : int
        Samples in all.
    """

    counts: np.ndarray[Any, Any]
    samples: int

    @property
    def modes(self) -> int:
        """How many modes there are."""
        return len(self.counts)

    @property
    def recovered(self) -> int:
        """How many modes have at least one sample of high quality, or a share of one."""
        return int(np.count_nonzero(self.counts))

    @property
    def high_quality(self) -> float:
        """The share of samples that are of high quality, in [0, 1]."""
        return round(float(self.counts.sum())) / self.samples

    def __str__(self) -> str:
        return f"{self.recovered} of {self.modes} modes, {self.high_quality:.1%} of high quality"


def count_modes(samples: Any, modes: Any, std: float, deviations: float = PACGAN_DEVIATIONS) -> ModeCount:
    """Count the modes that samples have found, and the samples that are near one.

    Parameters
    ----------
    samples : array of shape (n, d)
        The protocol has n = 2500 (`PACGAN_SAMPLES`).
    modes : array of shape (K, d)
        The centres of the data's Gaussians.
    std : float
        Their standard deviation in each coordinate.
    deviations : float
        How many of them count as near.

    Returns
    -------
    ModeCount

    Raises
    ------
    ShapeError
        The samples are not rows as long as the modes, or there are none.
    DataError
        A sample or a mode is nan or infinite, or too large or too small for its square.
    ArgumentError
        std or deviations is not a positive number from 1e-100 to 1e100.

    Examples
    --------
    >>> samples = [[0.0, 0.1], [0.0, 0.4], [5.0, 5.0]]
    >>> found = count_modes(samples, modes=[[0, 0], [5, 5], [9, 9]], std=0.1)
    >>> print(found)
    2 of 3 modes, 66.7% of high quality
    >>> found.counts
    array([1., 1., 0.])
    """
    name = "count_modes"
    limit = as_width(name, "deviations", deviations) * as_width(name, "std", std)
    samples, modes = same_columns(name, samples=samples, modes=modes)
    near = search(name, BUDGET, samples=samples, modes=modes)[1] <= limit
    counts = np.zeros(len(modes))
    if near.any():
        sizes = block_sizes(name, BUDGET, len(samples), len(modes), modes.shape[1], pairs=3, extra=12 + 5 * len(modes))
        for shares in nearest_shares(samples[near], modes, np.arange(len(modes)), sizes, centre(modes, sizes[1])):
            counts += shares.sum(axis=0)
    return ModeCount(counts, len(samples))
