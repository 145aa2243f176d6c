"""Proposition 1 from samples: a discriminator trained against a fixed generator comes to D*.

The other files of this package compute D* = p_data / (p_data + p_g) from the densities. Here a network learns it, from
samples alone and by the loss of Algorithm 1, and is held against it: what the proof promises to a D of unlimited
capacity, seen in one of some width after so many samples.
"""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

import numpy as np

from tinygan import gan, nn, optim
from tinygan.backend import Streams
from tinygan.engine import Tensor, grad
from tinygan.errors import DistributionError, ShapeError
from tinygan.theory.distributions import Floats, as_floats

FINAL_RATE = 0.003  # of the first learning rate: noise in the last steps is error in D


def learn_discriminator(
    data: Any, samples: Any, *, width: int = 64, steps: int = 3000, batch: int = 512, lr: float = 0.01, seed: int = 0
) -> nn.Sequential:
    """Train a discriminator with the generator fixed: the inner loop of Algorithm 1, taken to its end.

    Two hidden layers of ReLUs, trained by Adam on minibatches drawn with replacement from each side, at a learning
    rate that falls to almost nothing.

    Parameters
    ----------
    data, samples : array of shape (n, d) and (m, d)
        Points drawn from p_data, and from p_g. Of any scale: they are brought to mean 0 and deviation 1 to learn.
    width : int
        Units of each hidden layer.
    steps : int
        Updates of the discriminator.
    batch : int
        Points from each side in a minibatch.
    lr : float
        The learning rate of the first update.
    seed : int
        Equal seeds give equal networks.

    Returns
    -------
    nn.Sequential
        From points (k, d) to logits (k, 1); see `answers`.

    Raises
    ------
    ShapeError
        The points are no rows of one length, or there are none.
    DistributionError
        A point is no number, or not finite.
    ValueError
        width, steps, batch or lr is out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> data, samples = rng.normal(1, 1, (2000, 1)), rng.normal(-1, 1, (2000, 1))
    >>> learned = learn_discriminator(data, samples, width=16, steps=300, lr=0.02)
    >>> truth = 1 / (1 + np.exp(-2 * np.linspace(-2, 2, 5)))
    >>> bool(abs(answers(learned, np.linspace(-2, 2, 5)[:, None]) - truth).max() < 0.1)
    True
    """
    for name, size in (("width", width), ("steps", steps), ("batch", batch)):
        if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
            raise ValueError(f"learn_discriminator: {name} is {size!r}; expected a whole number of at least 1")
    if not 0 < lr < math.inf:
        raise ValueError(f"learn_discriminator: lr is {lr!r}; expected a number above 0, such as 0.01")
    sides = [
        as_floats(f"learn_discriminator: {name}", points) for name, points in (("data", data), ("samples", samples))
    ]
    for name, points in zip(("data", "samples"), sides, strict=True):
        if points.ndim != 2 or 0 in points.shape or points.shape[1] != sides[0].shape[1]:
            raise ShapeError(
                f"learn_discriminator: {name} has shape {points.shape}, beside data of shape {sides[0].shape}; "
                "expected (n, d), one point a row, both with the same d of at least 1"
            )
        if not np.isfinite(points).all():
            raise DistributionError(f"learn_discriminator: {name} holds nan or an infinity; expected finite points")
    both = np.concatenate(sides)
    mean, deviation = both.mean(axis=0), both.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    sides = [((points - mean) / deviation).astype(np.float32) for points in sides]

    streams = Streams(seed)
    stream = streams["weights"]
    first = nn.Linear(both.shape[1], width, True, nn.init.uniform(1), nn.init.uniform(2), stream)  # kinks all over
    second = nn.Linear(width, width, True, nn.init.fan_in(), nn.init.uniform(0.2), stream)
    discriminator = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(width, 1, rng=stream))
    optimizer = optim.Adam(discriminator.parameters(), optim.ExponentialDecay(lr, FINAL_RATE ** (-1 / steps)))
    order = streams["order"]
    for _ in range(steps):
        drawn = [points[order.integers(0, len(points), (batch,))] for points in sides]
        logits = discriminator(Tensor(np.concatenate(drawn)))
        loss = gan.discriminator_loss(logits[:batch], logits[batch:])
        for parameter, gradient in zip(optimizer.params, grad(loss, optimizer.params), strict=True):
            parameter.grad = gradient
        optimizer.step()

    # D takes the points as they came: (x - mean) / deviation becomes part of the first layer
    assert first.bias is not None
    first.weight.data /= deviation[:, None]
    first.bias.data -= mean @ first.weight.data
    return discriminator


def answers(discriminator: nn.Module, x: Any) -> Floats:
    """Return D(x), the sigmoid of the logit, at each row of `x`; in evaluation mode, so without dropout.

    Parameters
    ----------
    discriminator : nn.Module
        From points to one logit a row, as all discriminators here.
    x : array of shape (k, d)

    Returns
    -------
    numpy.ndarray of float64, shape (k,)

    Raises
    ------
    ShapeError
        The points are no rows, or the discriminator does not give one logit for each.

    Examples
    --------
    >>> undecided = nn.Linear(2, 1, True, nn.init.constant(0.0))
    >>> answers(undecided, np.zeros((3, 2)))
    array([0.5, 0.5, 0.5])
    """
    points = as_floats("answers: x", x).astype(np.float32)
    if points.ndim < 2:
        raise ShapeError(f"answers: x has shape {points.shape}; expected (k, d), one point a row")
    modes = [(module, module.training) for module in discriminator.modules()]
    discriminator.eval()
    try:
        logits = gan.push(discriminator, points).astype(np.float64)
    finally:
        for module, training in modes:
            module.training = training
    if logits.shape != (len(points), 1):
        raise ShapeError(
            f"answers: the discriminator gives shape {logits.shape} for {len(points)} points; expected "
            f"({len(points)}, 1), one logit a row"
        )
    return np.exp(-np.logaddexp(0, -logits[:, 0]))


def worst_error(d: Any, p_data: Any, p_g: Any, share: float = 0.01) -> float:
    """Return sup |D - D*| over the points where p_data or p_g is above `share` of its own peak.

    Where both are lower D* is hardly more than hearsay: no sample of any size has much to say about it.

    Parameters
    ----------
    d, p_data, p_g : array_like of shape (n,)
        D(x) and both densities, at the same points; these should cover the region well, the peaks included.
    share : float
        In [0, 1).

    Returns
    -------
    float
        In [0, 1]; ``nan`` if D is so at one of these points.

    Raises
    ------
    DistributionError
        The three do not have one shape, a density is negative, infinite or 0 everywhere, or d is no probability.
    ValueError
        share is out of range.

    Examples
    --------
    >>> round(worst_error([0.5, 0.5, 0.0], [0.6, 0.4, 0.0], [0.4, 0.6, 0.0]), 9)
    0.1
    """
    if not 0 <= share < 1:
        raise ValueError(f"worst_error: share is {share!r}; expected a number in [0, 1), such as 0.01")
    d = as_floats("worst_error: d", d)
    if ((d < 0) | (d > 1)).any():
        raise DistributionError("worst_error: d is not in [0, 1]; expected probabilities: of a logit take the sigmoid")
    densities = [as_floats(f"worst_error: {name}", p) for name, p in (("p_data", p_data), ("p_g", p_g))]
    for name, p in zip(("p_data", "p_g"), densities, strict=True):
        if p.ndim != 1 or p.shape != d.shape:
            raise DistributionError(
                f"worst_error: {name} has shape {p.shape} and d {d.shape}; expected the same (n,), values at n points"
            )
        if not (np.isfinite(p) & (p >= 0)).all() or not p.any():
            raise DistributionError(
                f"worst_error: {name} is negative, not finite, or 0 everywhere; expected a density at points that hold "
                "its peak"
            )
    p, q = densities
    counted = (p > share * p.max()) | (q > share * q.max())
    p, q = p[counted] / 2, q[counted] / 2  # so that the sum of two of the largest is finite
    return float(np.abs(d[counted] - p / (p + q)).max())
