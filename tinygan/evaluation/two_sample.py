"""The classifier two-sample test of Lopez-Paz and Oquab (2017, "Revisiting classifier two-sample tests").

If samples and data have the same distribution, no classifier can separate them: on new rows its accuracy is 1/2. The
test trains a classifier on half of both sets. Its p-value is the probability that guessing reaches the accuracy of the
classifier on the other half. The classifier is the paper's C2ST-KNN, a vote of the k = floor(sqrt(training rows))
nearest rows: it needs no tuning and does not depend on the discriminator.

If rows tie for the last places among the k nearest, the result would depend on the order of the rows. So the vote is
averaged over all choices of these rows; an even vote counts as half right. Thus equal rows are classified with accuracy
1/2.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.backend import Stream
from tinygan.checks import integer
from tinygan.errors import ArgumentError, ShapeError
from tinygan.evaluation.blocks import block_sizes, centre, class_votes
from tinygan.evaluation.rows import Array, canonical, check_values, same_columns


@dataclass(frozen=True)
class TwoSampleTest:
    """The result of a test.

    Attributes
    ----------
    correct : float
        The number of held-out rows that were classified correctly; a row whose vote depends on a tie counts with its
        probability.
    held_out : int
        The number of held-out rows.
    """

    correct: float
    held_out: int

    @property
    def accuracy(self) -> float:
        """The share of held-out rows that were classified correctly: 1/2 is chance, 1 is perfect separation."""
        return self.correct / self.held_out

    @property
    def p_value(self) -> float:
        """The probability of at least `correct` rows by guessing, from a binomial distribution with p = 1/2."""
        from scipy.stats import binom  # takes longer to import than all of tinygan

        return float(binom.sf(math.ceil(self.correct - 1e-6) - 1, self.held_out, 0.5))

    def __str__(self) -> str:
        return f"told apart with accuracy {self.accuracy:.1%} ({self.held_out} rows), p = {self.p_value:.3g}"


def two_sample_test(
    samples: Any, data: Any, k: int | None = None, *, stream: Stream | None = None
) -> TwoSampleTest:
    """Test whether a vote of nearest neighbours can separate samples from data.

    Parameters
    ----------
    samples, data : array of shape (n, d)
        Equally many, at least two, so that guessing has accuracy 1/2. Use data that G was not trained on.
    k : int, optional
        The number of neighbours that vote; by default the paper's floor(sqrt(2 floor(n / 2))). The majority decides.
    stream : Stream, optional
        Divides both sets into a training half and a held-out half; by default ``Stream(0, "split")``. An odd row is
        held out. The division depends on the rows, not on their order, nor on which set is called samples.

    Returns
    -------
    TwoSampleTest

    Raises
    ------
    ShapeError
        The two differ in shape, are not rows, or have fewer than two rows.
    DataError
        A value is nan or infinite, or too large or too small for its square.
    ArgumentError
        k is not between 1 and the number of training rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> data, same, shifted = rng.normal(size=(3, 500, 2)) + [[[0]], [[0]], [[0.5]]]
    >>> print(two_sample_test(same, data))
    told apart with accuracy 50.3% (500 rows), p = 0.447
    >>> print(two_sample_test(shifted, data))
    told apart with accuracy 61.9% (500 rows), p = 4.48e-08
    """
    name = "two_sample_test"
    samples, data = same_columns(name, samples=samples, data=data)
    if len(samples) != len(data) or len(data) < 2:
        raise ShapeError(
            f"{name}: expected as many samples as data, at least two, got {len(samples)} and {len(data)}; give equal "
            "numbers, so that guessing has accuracy 1/2"
        )
    half = len(data) // 2
    k = math.isqrt(2 * half) if k is None else integer(k, f"{name}: k", at_least=1)
    if k > 2 * half:
        raise ArgumentError(f"{name}: k must be from 1 to the number of training rows, {2 * half}; got {k}")
    extra = 6 * (k + 1) + 10
    sizes = block_sizes(len(data) - half, 2 * half, data.shape[1], pairs=3, extra=extra)
    check_values(name, sizes[1], samples=samples, data=data)
    stream = stream or Stream(0, "split")
    sets = [canonical(rows) for rows in (samples, data)]
    order: dict[int, Array] = {}
    for which in sorted((0, 1), key=lambda which: hashlib.sha256(sets[which].data).digest()):
        order[which] = stream.permutation(len(data))
    train = np.concatenate([rows[order[which][:half]] for which, rows in enumerate(sets)])
    middle, classes = centre(train, sizes[1]), np.arange(2 * half) // half
    correct = 0.0
    for which, rows in enumerate(sets):
        for _, closer, tied in class_votes(rows[order[which][half:]], train, classes, k, sizes, middle):
            correct += _probability(closer, tied, k, which).sum()
    return TwoSampleTest(float(correct), 2 * (len(data) - half))


def _probability(closer: Array, tied: Array, k: int, which: int) -> Array:
    """Return the probability of more than k / 2 votes for a class, plus half the probability of exactly k / 2."""
    votes, places = closer[:, which], k - closer.sum(axis=1)
    right = np.where(2 * votes == k, 0.5, 2 * votes > k)
    doubtful = np.flatnonzero(places)
    if doubtful.size:
        from scipy.stats import hypergeom  # takes longer to import than all of tinygan

        chance = hypergeom(tied.sum(axis=1)[doubtful], tied[doubtful, which], places[doubtful])
        wanted = k // 2 - votes[doubtful]  # the vote is right with more than this many of the places
        right[doubtful] = chance.sf(wanted) + (chance.pmf(wanted) / 2 if k % 2 == 0 else 0)
    return right
