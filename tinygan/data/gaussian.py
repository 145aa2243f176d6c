"""Numbers from one Gaussian: the smallest data set, that of Figure 1 of the paper.

Its density is known, so a trained generator can be compared with the truth: p_g with p_data, and D with
D* = p_data / (p_data + p_g).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygan.backend import Stream
from tinygan.data.dataset import Array, Dataset, Split

MEAN, STD = 0.0, 1.0
SIZES = {"train": 20_000, "validation": 2_000, "test": 2_000}
SEED = 2014  # of the draws: the data are the same in every run, with every seed of the run


def load_gaussian() -> Dataset:
    """20,000 numbers from N(0, 1) to train, 2,000 to validate, 2,000 to test; the same numbers each time.

    Returns
    -------
    Dataset
        Rows of shape (1,), all of one class; `Dataset.density` is the density of N(0, 1).

    Examples
    --------
    >>> data = load_gaussian()
    >>> data
    Dataset('gaussian', points of 1 number, train 20000, validation 2000, test 2000)
    >>> data.density([[0.0]]).round(4)
    array([0.3989])
    """
    train, validation, test = (
        Split(
            (MEAN + STD * Stream(SEED, f"gaussian {part}").normal((size, 1), np.float64)).astype(np.float32),
            np.zeros(size, np.uint8),
        )
        for part, size in SIZES.items()
    )
    return Dataset("gaussian", (1,), train, validation, test, density=gaussian_density)


def gaussian_density(x: Any) -> Array:
    """Return the density of N(0, 1) at each row of `x`.

    Parameters
    ----------
    x : array_like of shape (n, 1)

    Returns
    -------
    float64 array of shape (n,)

    Examples
    --------
    >>> gaussian_density([[0.0], [1.0]]).round(4)
    array([0.3989, 0.242 ])
    """
    z = (np.asarray(x, np.float64)[:, 0] - MEAN) / STD
    return np.exp(-(z**2) / 2) / (math.sqrt(2 * math.pi) * STD)
