"""Mode counts: how many modes of the data the samples cover, and how many samples are near a mode.

The protocol of PacGAN (Lin, Khetan, Fanti and Oh, 2018, section 4), for mixtures of Gaussians with known centres:

1. Draw 2,500 samples from the trained generator.
2. Assign each sample to the nearest centre. A sample is of high quality if it lies within three standard deviations of
   one coordinate from that centre. (In the plane, a share of 1 - exp(-9/2) = 98.9 % of the data does.)
3. A mode is recovered if at least one sample of high quality belongs to it.

The result is the number of recovered modes and the share of samples of high quality. One sample recovers a mode, so the
number does not show whether each mode has its share of samples; `ModeCount.counts` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.evaluation.blocks import block_sizes, centre, nearest_shares
from tinygan.evaluation.neighbours import search
from tinygan.evaluation.rows import as_width, same_columns

PACGAN_SAMPLES = 2500
PACGAN_DEVIATIONS = 3.0


@dataclass(frozen=True, eq=False)
class ModeCount:
    """The number of samples at each mode.

    Attributes
    ----------
    counts : float64 array of shape (K,)
        Samples of high quality at each mode. A sample that is equally near to several modes belongs to them in equal
        shares.
    samples : int
        The number of all samples.
    """

    counts: np.ndarray[Any, Any]
    samples: int

    @property
    def modes(self) -> int:
        """The number of modes."""
        return len(self.counts)

    @property
    def recovered(self) -> int:
        """The number of modes that have at least one sample of high quality, or a share of one."""
        return int(np.count_nonzero(self.counts))

    @property
    def high_quality(self) -> float:
        """The share of samples of high quality, in [0, 1]."""
        return round(float(self.counts.sum())) / self.samples

    def __str__(self) -> str:
        return f"{self.recovered} of {self.modes} modes, {self.high_quality:.1%} of high quality"


def count_modes(samples: Any, modes: Any, std: float, deviations: float = PACGAN_DEVIATIONS) -> ModeCount:
    """Count the modes that have samples, and the samples near a mode.

    Parameters
    ----------
    samples : array of shape (n, d)
        The protocol uses n = 2500 (`PACGAN_SAMPLES`).
    modes : array of shape (K, d)
        The centres of the data's Gaussians.
    std : float
        The standard deviation of each Gaussian in each coordinate.
    deviations : float
        The number of standard deviations that counts as near.

    Returns
    -------
    ModeCount

    Raises
    ------
    ShapeError
        Samples and modes are not rows of one length, or there are no rows.
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
    near = search(name, samples=samples, modes=modes)[1] <= limit
    counts = np.zeros(len(modes))
    if near.any():
        sizes = block_sizes(len(samples), len(modes), modes.shape[1], pairs=3, extra=12 + 5 * len(modes))
        for shares in nearest_shares(samples[near], modes, np.arange(len(modes)), sizes, centre(modes, sizes[1])):
            counts += shares.sum(axis=0)
    return ModeCount(counts, len(samples))
