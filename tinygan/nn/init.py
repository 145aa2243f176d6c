"""Initialisers: the values of weights and biases before training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygan.backend import Array, Shape, Stream
from tinygan.errors import ArgumentError, DataError

Initializer = Callable[[Shape, Stream], Array]


def uniform(half_range: float) -> Initializer:
    """Draw from U(-r, r), as every weight of the paper's experiments.

    Parameters
    ----------
    half_range : float
        r, at least 0.

    Returns
    -------
    callable
        Takes a shape and a `tinygan.backend.Stream`, returns a float32 array.

    Examples
    --------
    >>> from tinygan.backend import Stream
    >>> bool(abs(uniform(0.05)((100,), Stream(0, "weights"))).max() <= 0.05)
    True
    """
    if not half_range >= 0:
        raise ArgumentError(f"uniform: the range (-r, r) needs r of at least 0, got {half_range}")
    return lambda shape, stream: stream.uniform(shape, -half_range, half_range)


def fan_in() -> Initializer:
    """Draw from U(-1/sqrt(n), 1/sqrt(n)) for n inputs per unit: the default of `nn.Linear` here and in PyTorch."""
    return lambda shape, stream: uniform(1 / math.sqrt(max(shape[0], 1)))(shape, stream)


def sparse(count: int) -> Initializer:
    """Give each unit `count` weights from N(0, 1), at inputs drawn at random, and 0 for every other input.

    So the variance of the input of a unit does not depend on the number of inputs. The output layer of the TFD
    experiment starts in this way, with 100 weights per unit (released code, after Martens, "Deep learning via
    Hessian-free optimization", 2010).

    Parameters
    ----------
    count : int
        At least 1.

    Returns
    -------
    callable
        Takes a shape (inputs, units) and a `tinygan.backend.Stream`, returns a float32 array.

    Raises
    ------
    ArgumentError
        `count` is below 1, or, once the shape is known, above the number of inputs.

    Examples
    --------
    >>> from tinygan.backend import Stream
    >>> (sparse(3)((50, 4), Stream(0, "weights")) != 0).sum(axis=0)
    array([3, 3, 3, 3])
    """
    if count < 1:
        raise ArgumentError(f"sparse: each unit needs at least 1 weight, got {count}")

    def draw(shape: Shape, stream: Stream) -> Array:
        inputs, units = shape
        if count > inputs:
            raise ArgumentError(f"sparse: a unit cannot have {count} weights that are not 0, with {inputs} inputs")
        # the positions of the `count` smallest of random numbers, one per input: every set of positions is equally
        # likely
        chosen = stream.uniform(shape).argpartition(count - 1, axis=0)[:count]
        weights = np.zeros(shape, np.float32)
        np.put_along_axis(weights, chosen, stream.normal((count, units)), axis=0)
        return weights

    return draw


def constant(value: float) -> Initializer:
    """Fill with one value."""
    return lambda shape, stream: np.full(shape, value, np.float32)


def marginal_bias(images: Any) -> Array:
    """Return the bias with which a sigmoid output starts at the mean of the training data.

    The released code's "marginal bias": the logit of each pixel's mean, the mean clipped to [1e-7, 1 - 1e-7].

    Parameters
    ----------
    images : array, shape (N, d)
        Pixels in [0, 1].

    Returns
    -------
    array, shape (d,), float32

    Raises
    ------
    DataError
        A pixel is nan or infinite.

    Examples
    --------
    >>> marginal_bias(np.array([[0.0, 0.5], [0.0, 0.5]])).round(2)
    array([-16.12,   0.  ], dtype=float32)
    """
    mean = np.asarray(images).mean(axis=0, dtype=np.float64)
    if not np.isfinite(mean).all():
        broken = int(np.flatnonzero(~np.isfinite(mean))[0])
        raise DataError(f"marginal_bias: the mean of pixel {broken} is {mean[broken]}; images must be finite")
    mean = mean.clip(1e-7, 1 - 1e-7)
    return np.log(mean / (1 - mean)).astype(np.float32)
