"""The classifier two-sample test of Lopez-Paz and Oquab (2017, "Revisiting classifier two-sample tests").

If samples and data follow one distribution, no classifier can tell them apart: on rows that it has not seen it is right
half the time. The test trains a classifier on half of both, and asks how unlikely its accuracy on the other half would
be if it were guessing. The classifier is the paper's C2ST-KNN, a vote of the k = floor(sqrt(rows to train on)) nearest
rows: it has nothing to tune, and anything that a discriminator has learnt is no help to it.

Where rows tie for the last places among the k nearest, the result would depend on chance, or on the order of the rows.
Of all ways to fill these places with some of them, the share is counted in which the vote is right; a vote that is
even is right by half. So rows that are all the same are told apart with accuracy 1/2.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.backend import Stream
from tinygan.errors import ArgumentError, ShapeError
from tinygan.evaluation.blocks import (
    BUDGET,
    Array,
    as_count,
    block_sizes,
    canonical,
    centre,
    check_values,
    class_votes,
    same_columns,
)


@dataclass(frozen=True)
class TwoSampleTest:
    """What came out.

    Attributes
    ----------
    correct : float
        Rows of the held-out half that the classifier put where they belong; of a row whose vote hangs on a tie, the
        probability that it did.
    held_out : int
        Rows of the held-out half.
    """

    correct: float
    held_out: int

    @property
    def accuracy(self) -> float:
        """The share that was put where it belongs: 1/2 is chance, 1 is told apart without fail."""
        return self.correct / self.held_out

    @property
    def p_value(self) -> float:
        """The probability of so many or more by guessing: that of a binomial distribution with p = 1/2."""
        from scipy.stats import binom  # takes longer to import than all of tinygan

        return float(binom.sf(math.ceil(self.correct - 1e-6) - 1, self.held_out, 0.5))

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
        How many neighbours vote; by default the paper's floor(sqrt(2 floor(n / 2))). A row is held to be what more
        than half of them are.
    stream : Stream, optional
        Deals both sets out, half to train on and half to be held out; by default ``Stream(0, "split")``. An odd row is
        held out. The deal depends on the rows, not on the order they come in, nor on which set is called samples.
    budget : int
        Bytes of working memory, beside the arguments and two copies of them.

    Returns
    -------
    TwoSampleTest

    Raises
    ------
    ShapeError
        The two differ in shape, are not rows, or have fewer than two.
    DataError
        A value is nan or infinite, or too large or too small for its square.
    ArgumentError
        k is not between 1 and the number of rows to train on, or not even one row fits the budget.

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
            "numbers, so that guessing is right half the time"
        )
    half = len(data) // 2
    k = math.isqrt(2 * half) if k is None else as_count(name, "k", k)
    if k > 2 * half:
        raise ArgumentError(f"{name}: k must be from 1 to the {2 * half} rows to train on, got {k}")
    extra = 6 * (k + 1) + 10
    sizes = block_sizes(name, budget, len(data) - half, 2 * half, data.shape[1], pairs=3, extra=extra)
    check_values(name, sizes[1], samples=samples, data=data)
    stream = stream or Stream(0, "split")
    sets = [canonical(rows) for rows in (samples, data)]
    deal: dict[int, Array] = {}
    for which in sorted((0, 1), key=lambda which: hashlib.sha256(sets[which].data).digest()):
        deal[which] = stream.permutation(len(data))
    train = np.concatenate([rows[deal[which][:half]] for which, rows in enumerate(sets)])
    middle, classes = centre(train, sizes[1]), np.arange(2 * half) // half
    correct = 0.0
    for which, rows in enumerate(sets):
        for _, closer, tied in class_votes(rows[deal[which][half:]], train, classes, k, sizes, middle):
            correct += _probability(closer, tied, k, which).sum()
    return TwoSampleTest(float(correct), 2 * (len(data) - half))


def _probability(closer: Array, tied: Array, k: int, which: int) -> Array:
    """Return the probability of more than k / 2 votes for a class, half that of k / 2 added."""
    votes, places = closer[:, which], k - closer.sum(axis=1)
    right = np.where(2 * votes == k, 0.5, 2 * votes > k)
    doubtful = np.flatnonzero(places)
    if doubtful.size:
        from scipy.stats import hypergeom  # takes longer to import than all of tinygan

        chance = hypergeom(tied.sum(axis=1)[doubtful], tied[doubtful, which], places[doubtful])
        wanted = k // 2 - votes[doubtful]  # more than so many of the places
        right[doubtful] = chance.sf(wanted) + (chance.pmf(wanted) / 2 if k % 2 == 0 else 0)
    return right
