"""The density of x = G(z) for a generator of one variable, without sampling."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygan.errors import DistributionError
from tinygan.theory.distributions import Floats, as_floats


def pushforward(values: Any, edges: Any) -> Floats:
    """Return the masses that p_g gives to the bins between `edges`, for x = G(z) and z uniform on an interval.

    This is the change of variables, p_g(x) = sum over all z with G(z) = x of p_z(z) / |G'(z)|. G is interpolated
    linearly between adjacent z, so each piece distributes its share of the mass evenly over the x that it covers. p_g
    is high where G contracts and low where G expands; where G folds, the branches add up. If G is constant on a piece,
    its mass is all in one bin.

    Parameters
    ----------
    values : array_like of shape (n,), n >= 2
        G(z) at n equally spaced z, from one end of the interval to the other. The masses are exact if G is linear
        between them; if G is smooth, the error falls as 1 / n^2.
    edges : array_like of shape (b + 1,)
        Increasing. A bin contains its left edge but not its right edge.

    Returns
    -------
    numpy.ndarray of float64, shape (b,)
        They sum to 1 minus the mass outside the edges. Divide by the widths of the bins for their mean densities.

    Raises
    ------
    DistributionError
        The values are fewer than two or not finite, or the edges do not increase.

    Examples
    --------
    >>> pushforward([0.0, 2.0], [0.0, 0.5, 1.0, 2.0])  # a stretched interval: evenly spread
    array([0.25, 0.25, 0.5 ])
    >>> pushforward([0.0, 1.0, 0.0], [0.0, 0.25, 1.0])  # folded once: two branches
    array([0.25, 0.75])
    """
    values, edges = as_floats("pushforward: values", values), as_floats("pushforward: edges", edges)
    if values.ndim != 1 or values.size < 2 or not np.isfinite(values).all():
        raise DistributionError(
            f"pushforward: values has shape {values.shape}; expected G(z) at two or more z, all of them finite"
        )
    if edges.ndim != 1 or edges.size < 2 or not (np.diff(edges) > 0).all():
        raise DistributionError(f"pushforward: edges has shape {edges.shape}; expected two or more increasing numbers")
    largest = max(1.0, abs(values).max() / 1e300)
    values, edges = values / largest, edges / largest  # keeps the widths of the pieces finite
    low, high = np.minimum(values[:-1], values[1:]), np.maximum(values[:-1], values[1:])
    flat = low == high
    width = np.where(flat, 1.0, high - low)
    # P(x < edge), one edge at a time: an array of all pieces by all edges may be large.
    below = [np.where(flat, low < edge, np.clip((edge - low) / width, 0, 1)).mean() for edge in edges]
    return np.diff(below)
