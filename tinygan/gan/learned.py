"""Proposition 1 from samples: a discriminator trained against a fixed generator approaches D*.

`tinygan.theory` computes D* = p_data / (p_data + p_g) from the densities. Here a network learns D* from samples alone,
by the loss of Algorithm 1, and its error is measured. The proof assumes a D of unlimited capacity; this D has a finite
width and a finite number of samples.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygan import gan, nn, optim
from tinygan.backend import Streams
from tinygan.checks import integer
from tinygan.engine import Tensor, grad
from tinygan.errors import ArgumentError, DistributionError, ShapeError
from tinygan.gan.objectives import probabilities
from tinygan.gan.sampling import evaluating
from tinygan.theory.distributions import Floats, as_floats

FINAL_RATE = 0.003  # relative to the first learning rate: noise in the last steps is error in D


def learn_discriminator(
    data: Any, samples: Any, *, width: int = 64, steps: int = 3000, batch: int = 512, lr: float = 0.01, seed: int = 0
) -> nn.Sequential:
    """Train a discriminator against a fixed generator: the inner loop of Algorithm 1, until D converges.

    D has two hidden layers of ReLUs. Adam trains it on minibatches drawn with replacement from data and samples, at a
    learning rate that decays to 0.3 %.

    Parameters
    ----------
    data, samples : array of shape (n, d) and (m, d)
        Points drawn from p_data and from p_g, of any scale: training standardises them.
    width : int
        Units of each hidden layer.
    steps : int
        Updates of the discriminator.
    batch : int
        Points of each kind in a minibatch.
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
        `data` or `samples` has no point, or the points are not rows of one length.
    DistributionError
        A point is not a number, or not finite.
    ArgumentError
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
        integer(size, f"learn_discriminator: {name}", at_least=1)
    if not 0 < lr < math.inf:
        raise ArgumentError(f"learn_discriminator: lr is {lr!r}; expected a number above 0, such as 0.01")
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
    # These initial weights and biases spread the kinks of the ReLUs over the data.
    first = nn.Linear(both.shape[1], width, True, nn.init.uniform(1), nn.init.uniform(2), stream)
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

    # D takes points that are not standardised: (x - mean) / deviation becomes part of the first layer.
    assert first.bias is not None
    first.weight.data /= deviation[:, None]
    first.bias.data -= mean @ first.weight.data
    return discriminator


def answers(discriminator: nn.Module, x: Any) -> Floats:
    """Return D(x), the sigmoid of the logit, at each row of `x`, in evaluation mode (without dropout).

    Parameters
    ----------
    discriminator : nn.Module
        It maps points to one logit a row.
    x : array of shape (k, d)

    Returns
    -------
    numpy.ndarray of float64, shape (k,)

    Raises
    ------
    ShapeError
        The points are not rows, or the discriminator does not return one logit for each.

    Examples
    --------
    >>> undecided = nn.Linear(2, 1, True, nn.init.constant(0.0))
    >>> answers(undecided, np.zeros((3, 2)))
    array([0.5, 0.5, 0.5])
    """
    points = as_floats("answers: x", x).astype(np.float32)
    if points.ndim < 2:
        raise ShapeError(f"answers: x has shape {points.shape}; expected (k, d), one point a row")
    with evaluating(discriminator):
        logits = gan.push(discriminator, points)
    if logits.shape != (len(points), 1):
        raise ShapeError(
            f"answers: the discriminator gives shape {logits.shape} for {len(points)} points; expected "
            f"({len(points)}, 1), one logit a row"
        )
    return probabilities(Tensor(logits[:, 0]))


def worst_error(d: Any, p_data: Any, p_g: Any, share: float = 0.01) -> float:
    """Return sup |D - D*| over the points where p_data or p_g is above `share` of its own peak.

    Where both densities are lower, samples are rare and D is not learnt.

    Parameters
    ----------
    d, p_data, p_g : array_like of shape (n,)
        D(x) and both densities at the same points, which should be dense and include the peaks.
    share : float
        In [0, 1).

    Returns
    -------
    float
        In [0, 1]; ``nan`` if D is nan at one of these points.

    Raises
    ------
    DistributionError
        The shapes differ, a density is negative, infinite or 0 everywhere, or `d` is not a probability.
    ArgumentError
        share is out of range.

    Examples
    --------
    >>> round(worst_error([0.5, 0.5, 0.0], [0.6, 0.4, 0.0], [0.4, 0.6, 0.0]), 9)
    0.1
    """
    if not 0 <= share < 1:
        raise ArgumentError(f"worst_error: share is {share!r}; expected a number in [0, 1), such as 0.01")
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
    p, q = p[counted] / 2, q[counted] / 2  # so that the sum of two very large densities is finite
    return float(np.abs(d[counted] - p / (p + q)).max())
