"""What is said about a list of times: the median and its spread, never the mean, which one interruption would spoil."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.errors import BenchmarkError


def summarise(samples_ms: Sequence[float]) -> dict[str, Any]:
    """Summarise times in milliseconds.

    Parameters
    ----------
    samples_ms : sequence of float
        At least one.

    Returns
    -------
    dict
        ``median_ms``, ``p10_ms`` and ``p90_ms`` (between them lie 80 %), ``iqr_ms`` (the width of the middle half),
        ``count``, and ``samples_ms``, the samples in the order of measurement.

    Examples
    --------
    >>> summary = summarise([3.0, 1.0, 2.0])
    >>> summary["median_ms"], summary["count"], summary["samples_ms"]
    (2.0, 3, [3.0, 1.0, 2.0])
    """
    if not len(samples_ms):
        raise BenchmarkError("there is nothing to summarise: not one iteration was timed")
    p10, p25, median, p75, p90 = (float(q) for q in np.percentile(samples_ms, (10, 25, 50, 75, 90)))
    return {
        "median_ms": median,
        "p10_ms": p10,
        "p90_ms": p90,
        "iqr_ms": p75 - p25,
        "count": len(samples_ms),
        "samples_ms": [round(float(sample), 5) for sample in samples_ms],
    }


def ratios(numerator: Sequence[Sequence[float]], denominator: Sequence[Sequence[float]]) -> dict[str, float]:
    """Compare two things that were measured in turn, slice by slice.

    Each slice of one is divided by the slice of the other that ran beside it, so whatever slows the machine down for
    longer than a slice slows both and leaves the ratio alone.

    Parameters
    ----------
    numerator, denominator : sequence of sequences of float
        One list of times a slice, equally many slices.

    Returns
    -------
    dict
        ``ratio``: the median over the slices of the ratio of their medians; ``ratio_p10``, ``ratio_p90``: its spread.

    Examples
    --------
    >>> ratios([[2.0, 2.0], [20.0]], [[1.0], [10.0, 10.0]])["ratio"]  # the machine was ten times slower for a while
    2.0
    """
    if len(numerator) != len(denominator):
        raise BenchmarkError(f"expected as many slices of both, got {len(numerator)} and {len(denominator)}")
    pairs = [float(np.median(a) / np.median(b)) for a, b in zip(numerator, denominator, strict=True)]
    low, middle, high = (float(q) for q in np.percentile(pairs, (10, 50, 90)))
    return {"ratio": middle, "ratio_p10": low, "ratio_p90": high}


WIDE = 1.5  # p90 / p10 of a ratio that was disturbed


def doubts(compared: dict[str, float]) -> str:
    """Return why the ratio of an iteration to its own products cannot be relied on, or "".

    Parameters
    ----------
    compared : dict
        What `ratios` returns.

    Examples
    --------
    >>> doubts({"ratio": 1.2, "ratio_p10": 1.1, "ratio_p90": 1.3})
    ''
    >>> doubts({"ratio": 0.8, "ratio_p10": 0.7, "ratio_p90": 1.9})
    'faster than its own products, and the ratio goes from 0.70 to 1.90: disturbed, measure it again'
    """
    low, high = compared["ratio_p10"], compared["ratio_p90"]
    found = ["faster than its own products"] if compared["ratio"] < 1 else []
    found += [f"the ratio goes from {low:.2f} to {high:.2f}"] if high > WIDE * low else []
    return f"{', and '.join(found)}: disturbed, measure it again" if found else ""
