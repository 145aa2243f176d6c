"""The classifier two-sample test of Lopez-Paz and Oquab (2017, "Revisiting classifier two-sample tests").

If samples and data follow one distribution, no classifier can tell them apart: on rows that it has not seen it is right
half the time. The test trains a classifier on half of both, and asks how unlikely its accuracy on the other half would
be if it were guessing. The classifier is the paper's C2ST-KNN, a vote of the k = floor(sqrt(rows to train on)) nearest
rows: it has nothing to tune, and anything that a discriminator has learnt is no help to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.backend import Stream
from tinygan.errors import ShapeError
from tinygan.evaluation.blocks import BUDGET, block_sizes, mean, nearest_blocks, refuse_non_finite, same_columns


@dataclass(frozen=True)
class TwoSampleTest:
    """What came out.

    Attributes
    ----------
    correct : int
        Rows of the held-out half that the classifier put where they belong.
    held_out : int
        Rows of the held-out half.
    """

    correct: int
    held_out: int

    @property
    def accuracy(self) -> float:
        """The share that was put where it belongs: 1/2 is chance, 1 is told apart without fail."""
        return self.correct / self.held_out

    @property
    def p_value(self) -> float:
        """The probability of so many or more by guessing: that of a binomial distribution with p = 1/2."""
        from scipy.stats import binom  # takes longer to import than all of tinygan

        return float(binom.sf(self.correct - 1, self.held_out, 0.5))

    def __str__(self) -> str:
        return f"told apart with accuracy {self.accuracy:.1%} ({self.held_out} rows), p = {self.p_value:.3g}"


def two_sample_test(
    samples: Any, data: Any, k: int | None = None, *, stream: Stream | None = None, budget: int = BUDGET
) -> TwoSampleTest:
    """Test whether a vote of nearest neighbours can tell samples from data.

    Parameters
    ----------
    samples, data : array of shape (n, d)
        As many of the one as of the other, at least two: then guessing is right half the time. Data that G was not
        trained on.
    k : int, optional
        How many neighbours vote; by default the paper's floor(sqrt(2 floor(n / 2))). A row is held to be a sample if
        more than half of them are.
    stream : Stream, optional
        Deals both sets out, half to train on and half to be held out; by default ``Stream(0, "split")``. An odd row is
        held out.
    budget : int
        Bytes of working memory, beside the arguments and one copy of them.

    Returns
    -------
    TwoSampleTest

    Raises
    ------
    ShapeError
        The two differ in shape, are not rows, or have fewer than two.
    DataError
        A value is nan or infinite.
    ValueError
        k is not between 1 and the number of rows to train on, or not even one row fits the budget.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> data, same, shifted = rng.normal(size=(3, 500, 2)) + [[[0]], [[0]], [[0.5]]]
    >>> print(two_sample_test(same, data))
    told apart with accuracy 50.0% (500 rows), p = 0.518
    >>> print(two_sample_test(shifted, data))
    told apart with accuracy 63.2% (500 rows), p = 1.91e-09
    """
    name = "two_sample_test"
    samples, data = same_columns(name, samples=samples, data=data)
    if len(samples) != len(data) or len(data) < 2:
        raise ShapeError(
            f"{name}: expected as many samples as data, at least two, got {len(samples)} and {len(data)}; give equal "
            "numbers, so that guessing is right half the time"
        )
    half = len(data) // 2
    k = math.isqrt(2 * half) if k is None else k
    if not 1 <= k <= 2 * half:
        raise ValueError(f"{name}: k must be from 1 to the {2 * half} rows to train on, got {k}")
    sizes = block_sizes(name, budget, 2 * (len(data) - half), 2 * half, data.shape[1], pairs=3, extra=6 * k)
    refuse_non_finite(name, sizes[1], samples=samples, data=data)
    stream = stream or Stream(0, "split")
    dealt = [(rows, stream.permutation(len(rows))) for rows in (samples, data)]
    train = np.concatenate([rows[order[:half]] for rows, order in dealt])
    correct = 0
    centre = mean(train, sizes[1])
    for held_out, is_sample in zip([rows[order[half:]] for rows, order in dealt], (True, False), strict=True):
        for _, index, _ in nearest_blocks(held_out, train, k, sizes, centre):
            votes = (index < half).sum(axis=1)
            correct += int(np.count_nonzero((2 * votes > k) == is_sample))
    return TwoSampleTest(correct, 2 * (len(data) - half))
