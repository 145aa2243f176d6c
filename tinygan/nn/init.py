"""Initialisers: the values of weights and biases before training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygan.backend import Array, Shape, Stream, current_streams
from tinygan.checks import number, shown
from tinygan.errors import ArgumentError, DataError, DtypeError

Initializer = Callable[[Shape, Stream], Array]


def drawn(initializer: Any, default: Initializer, shape: Shape, rng: Any) -> Array:
    """Return the first values of a parameter, from an initialiser (or the default, for None) and a stream.

    Raises
    ------
    DtypeError
        One of them is of another type.
    """
    if not callable(initializer or default):
        example = "such as nn.init.normal(0, 0.02)"
        raise DtypeError(f"weight_init= and bias_init= are initialisers, {example}; got {shown(initializer)}")
    if not isinstance(rng, (Stream, type(None))):
        raise DtypeError(f"rng= is a tinygan.backend.Stream, such as Stream(0, 'weights'); got {shown(rng)}")
    return (initializer or default)(shape, rng or current_streams()["weights"])


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


def normal(mean: float = 0.0, std: float = 1.0) -> Initializer:
    """Draw from N(mean, std^2).

    Examples
    --------
    >>> from tinygan.backend import Stream
    >>> normal(std=0.02)((100, 100), Stream(0, "weights")).std().round(3)
    np.float32(0.02)
    """
    mean, std = _finite("normal: mean", mean), _finite("normal: std", std, at_least_0=True)

    def draw(shape: Shape, stream: Stream) -> Array:
        return (stream.normal(shape) * std + mean).astype(np.float32)

    return draw


def xavier_uniform(gain: float = 1.0) -> Initializer:
    """Draw from U(-r, r) with r = gain sqrt(6 / (inputs + units)), so with the variance 2 / (inputs + units).

    A variance of 1 / inputs would keep the size of the signal in a forward pass, and 1 / units that of the gradient in
    a backward pass. This lies between the two. It is meant for units that are nearly linear around 0, such as tanh.

    Parameters
    ----------
    gain : float
        A factor for other activations: 5 / 3 for tanh in PyTorch.

    References
    ----------
    Glorot and Bengio, "Understanding the Difficulty of Training Deep Feedforward Neural Networks", 2010, section 4.2.1.

    Examples
    --------
    >>> from tinygan.backend import Stream
    >>> bool(abs(xavier_uniform()((50, 100), Stream(0, "weights"))).max() <= 0.2)
    True
    """
    gain = _finite("xavier_uniform: gain", gain, at_least_0=True)
    return lambda shape, stream: uniform(gain * math.sqrt(6 / sum(_fans(shape))))(shape, stream)


def xavier_normal(gain: float = 1.0) -> Initializer:
    """Draw from N(0, s^2) with s = gain sqrt(2 / (inputs + units)): see `xavier_uniform`."""
    gain = _finite("xavier_normal: gain", gain, at_least_0=True)
    return lambda shape, stream: normal(0.0, gain * math.sqrt(2 / sum(_fans(shape))))(shape, stream)


def kaiming_uniform(a: float = 0.0) -> Initializer:
    """Draw from U(-r, r) with r = sqrt(6 / ((1 + a^2) inputs)), so with the variance 2 / inputs for ReLU.

    The mean of relu(x)^2 is half of that of x^2. With the factor 2 the size of the signal stays the same from layer to
    layer.

    Parameters
    ----------
    a : float
        The negative slope of the leaky ReLU that follows; 0 for ReLU.

    References
    ----------
    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", 2015, section 2.2.

    Examples
    --------
    >>> from tinygan.backend import Stream
    >>> bool(abs(kaiming_uniform()((24, 100), Stream(0, "weights"))).max() <= 0.5)
    True
    """
    a = _finite("kaiming_uniform: a", a)
    return lambda shape, stream: uniform(math.sqrt(6 / ((1 + a * a) * _fans(shape)[0])))(shape, stream)


def kaiming_normal(a: float = 0.0) -> Initializer:
    """Draw from N(0, s^2) with s = sqrt(2 / ((1 + a^2) inputs)): see `kaiming_uniform`."""
    a = _finite("kaiming_normal: a", a)
    return lambda shape, stream: normal(0.0, math.sqrt(2 / ((1 + a * a) * _fans(shape)[0])))(shape, stream)


def orthogonal(gain: float = 1.0) -> Initializer:
    """Draw a random matrix with orthonormal columns, or rows if it has fewer of them, times `gain`.

    It keeps the length of every vector, or of every gradient. The first axis has the rows; all others are joined.

    References
    ----------
    Saxe, McClelland and Ganguli, "Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear Neural
    Networks", 2013.

    Examples
    --------
    >>> from tinygan.backend import Stream
    >>> w = orthogonal()((5, 3), Stream(0, "weights"))
    >>> bool(np.allclose(w.T @ w, np.eye(3), atol=1e-6))
    True
    """
    gain = _finite("orthogonal: gain", gain)

    def draw(shape: Shape, stream: Stream) -> Array:
        _fans(shape)
        rows, columns = shape[0], math.prod(shape[1:])
        tall = stream.normal((max(rows, columns), min(rows, columns)), np.float64)
        q, r = np.linalg.qr(tall)
        q *= np.where(np.diag(r) < 0, -1, 1)  # else the signs depend on the algorithm, and q is not uniform
        return (gain * (q if rows >= columns else q.T)).reshape(shape).astype(np.float32)

    return draw


def fan_in() -> Initializer:
    """Draw from U(-1/sqrt(n), 1/sqrt(n)) for n inputs per unit: the default here and in PyTorch.

    For a weight of `nn.Conv2d`, n counts the elements of a kernel in all channels.
    """

    def draw(shape: Shape, stream: Stream) -> Array:
        inputs = _fans(shape)[0] if len(shape) > 2 else max(shape[0], 1)
        return uniform(1 / math.sqrt(inputs))(shape, stream)

    return draw


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
        `count` is below 1, or, once the shape is known, above the number of inputs; or the shape has not two axes.

    Examples
    --------
    >>> from tinygan.backend import Stream
    >>> (sparse(3)((50, 4), Stream(0, "weights")) != 0).sum(axis=0)
    array([3, 3, 3, 3])
    """
    if count < 1:
        raise ArgumentError(f"sparse: each unit needs at least 1 weight, got {count}")

    def draw(shape: Shape, stream: Stream) -> Array:
        if len(shape) != 2:
            raise ArgumentError(f"sparse: a weight needs two axes, (inputs, units); got the shape {shape}")
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


def _fans(shape: Shape) -> tuple[int, int]:
    """Return how many inputs a unit has and an input units, of a shape (inputs, units) or (units, channels, ...)."""
    if len(shape) < 2 or 0 in shape:
        raise ArgumentError(f"a weight needs inputs and units, so two axes or more, none empty; got the shape {shape}")
    if len(shape) == 2:
        return shape[0], shape[1]
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def _finite(what: str, value: Any, at_least_0: bool = False) -> float:
    value = number(value, what)
    if not math.isfinite(value) or (at_least_0 and value < 0):
        raise ArgumentError(f"{what} must be finite{' and at least 0' if at_least_0 else ''}, got {value}")
    return value


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
