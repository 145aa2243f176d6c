"""Batch normalization and layer normalization: each is one operation, with its backward pass by hand.

Both divide x into groups: the elements of one channel, or those of one example. A group of n elements has the mean m
and the variance v. With s = sqrt(v + eps), the result is y = g h + b, where h = (x - m) / s.

In the backward pass m and s are functions of x, too. Let k = g gy be the gradient with respect to h. Then, with means
over a group, gx = (k - mean k - h mean(k h)) / s. The second term comes through m, the third through s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tinygan.backend import Array, Backend, wide
from tinygan.engine import Operation, Tensor
from tinygan.errors import ArgumentError, DtypeError, ShapeError
from tinygan.functional.arguments import number, real, sizes, with_shape

__all__ = ["batch_norm", "layer_norm"]


class BatchNorm(Operation):
    """y = g h + b with h = (x - m) / s;  gx = g (gy - gb / n - h gg / n) / s,  gg = the sum of gy h,  gb = the sum of
    gy (Ioffe and Szegedy, 2015).

    The sums are over a channel, which is a group.
    """

    fresh = True

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def check(self, x: Array, gain: Array | None, bias: Array | None) -> None:
        _fits_channels(x, {"gain": gain, "bias": bias})
        self.n = self.count(x)
        if self.n < 2:
            raise ShapeError(
                f"batch_norm: in training each channel needs 2 values or more, or its variance is 0, but an input of "
                f"shape {x.shape} has {self.n}: give a larger batch, or use the running statistics, as in net.eval()"
            )

    def count(self, x: Array) -> int:
        """Return the elements of a channel."""
        return x.size // max(x.shape[1], 1)

    def forward(self, B: Backend, x: Array, gain: Array | None, bias: Array | None) -> Array:
        y, mean, variance = B.batch_norm(wide(real(x)), gain, bias, self.eps)
        self.moments = mean, variance
        self.save(x, gain, mean, variance)
        return y.astype(real(x).dtype, copy=False)

    def backward(self, B: Backend, gy: Any, x: Any, gain: Any, mean: Any, variance: Any) -> Any:
        x = wide(real(x))
        if isinstance(x, Tensor):  # the pass is recorded, and needs the moments as functions of x
            mean, variance = B.channel_moments(x)
        return B.batch_norm_backward(wide(gy), x, gain, mean, variance, self.eps)


class ChannelAffine(Operation):
    """y = x a + b;  gx = gy a,  ga = the sum of gy x,  gb = the sum of gy.

    The sums are over a channel.
    """

    fresh = True

    def forward(self, B: Backend, x: Array, scale: Array, shift: Array) -> Array:
        self.save(x, scale)
        return B.channel_affine(real(x), scale, shift)

    def backward(self, B: Backend, gy: Any, x: Any, scale: Any) -> Any:
        return B.channel_affine_backward(gy, x, scale)


class LayerNorm(Operation):
    """y = g h + b with h = (x - m) / s;  gx = (k - mean k - h mean(k h)) / s with k = g gy,  gg = the sum
    of gy h,  gb = the sum of gy (Ba et al., 2016).

    The sums are over the examples; each is a group.
    """

    fresh = True

    def __init__(self, shape: tuple[int, ...], eps: float) -> None:
        self.eps, self.last, self.n = eps, shape, math.prod(shape)

    def check(self, x: Array, weight: Array | None, bias: Array | None) -> None:
        if not self.n or x.shape[-len(self.last) :] != self.last:
            raise ShapeError(
                f"layer_norm: the last axes of the input must have the shape {self.last}, with one element or more; "
                f"got an input of shape {x.shape}"
            )
        for name, value in (("weight", weight), ("bias", bias)):
            if value is not None and value.shape != self.last:
                raise ShapeError(f"layer_norm: {name} must have the shape {self.last}, got {value.shape}")

    def rows(self, x: Any) -> Any:
        """Return the groups as rows, and half precision as single precision."""
        return None if x is None else wide(real(x)).reshape((-1, self.n))

    def forward(self, B: Backend, x: Array, weight: Array | None, bias: Array | None) -> Array:
        y, mean, variance = B.layer_norm(self.rows(x), self.rows(weight), self.rows(bias), self.eps)
        self.save(x, weight, mean, variance)
        return y.reshape(x.shape).astype(real(x).dtype, copy=False)

    def backward(self, B: Backend, gy: Any, x: Any, weight: Any, mean: Any, variance: Any) -> Any:
        rows = self.rows(x)
        if isinstance(x, Tensor):  # as in `BatchNorm`
            mean, variance = B.row_moments(rows)
        gx, gw, gb = B.layer_norm_backward(self.rows(gy), rows, self.rows(weight), mean, variance, self.eps)
        return gx.reshape(x.shape), gw.reshape(self.last), gb.reshape(self.last)


def _fits_channels(x: Any, vectors: dict[str, Any]) -> None:
    """Refuse an input without channels, and vectors that have not one number for each channel."""
    if x.ndim < 2:
        raise ShapeError(f"batch_norm: expected an input of shape (N, C) or (N, C, H, W), got shape {x.shape}")
    for name, value in vectors.items():
        if value is not None and value.shape != x.shape[1:2]:
            raise ShapeError(
                f"batch_norm: the input of shape {x.shape} has {x.shape[1]} channels, its axis 1, but {name} has shape "
                f"{value.shape}"
            )


def batch_norm(
    x: Any,
    gain: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
) -> Tensor:
    """Normalize each channel over the batch: ``gain * (x - mean) / sqrt(variance + eps) + bias``.

    Parameters
    ----------
    x : Tensor, shape (N, C) or (N, C, ...)
        Axis 1 has the channels. Mean and variance are over all other axes; the variance divides by n.
    gain, bias : Tensor, shape (C,), optional
        By default 1 and 0. (In PyTorch the second and the third argument are the running statistics.)
    eps : float
        Added to the variance.
    running_mean, running_var : Tensor, shape (C,), optional
        In training they follow the mean and the unbiased variance of the batches, in place:
        ``running = (1 - momentum) * running + momentum * of_this_batch``.
    training : bool
        False: use the running statistics instead of those of the batch.
    momentum : float
        The weight of the newest batch, in [0, 1].

    Returns
    -------
    Tensor, of the shape of `x`

    Raises
    ------
    ShapeError
        The shapes do not fit, or in training a channel has fewer than 2 values.
    ArgumentError
        A number is not in its range, or `training` is False and there are no running statistics.

    References
    ----------
    Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    2015, algorithm 1 and section 3.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.batch_norm(tg.tensor([[1.0, 10.0], [3.0, 30.0]])).numpy().round(3)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """
    with_shape((x,), "batch_norm")
    eps, momentum = _eps(eps, "batch_norm"), number(momentum, "batch_norm", "momentum")
    if not 0 <= momentum <= 1:
        raise ArgumentError(f"batch_norm: momentum is the weight of the newest batch, in [0, 1]; got {momentum}")
    running = {"running_mean": running_mean, "running_var": running_var}
    given = [value for value in running.values() if value is not None]
    if len(given) == 1 or not (training or given):
        raise ArgumentError(
            "batch_norm: give running_mean and running_var, both: without them there is only the batch, as with "
            "training=True"
        )
    if any(not isinstance(value, Tensor) for value in given):
        raise DtypeError("batch_norm: running_mean and running_var must be tensors, which training changes in place")
    if given:
        _fits_channels(x, running)
    if training:
        norm = BatchNorm(eps)
        y = norm(x, gain, bias)
        if given:
            mean, variance = given
            y.backend.follow_moments((mean.data, variance.data), norm.moments, norm.n, momentum)
            for tensor in given:
                tensor.mark_changed()
        del norm.moments
        return y
    _fits_channels(x, {"gain": gain, "bias": bias})
    mean, variance = given
    rate = 1 / (variance + eps) ** 0.5
    scale = rate if gain is None else rate * gain
    shift = -mean * scale
    return ChannelAffine()(x, scale, shift if bias is None else shift + bias)


def layer_norm(
    x: Any, normalized_shape: int | Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Normalize each example over its last axes: ``weight * (x - mean) / sqrt(variance + eps) + bias``.

    Parameters
    ----------
    x : Tensor, shape ``(..., *normalized_shape)``
    normalized_shape : int or sequence of int
        The last axes. Mean and variance are over them; the variance divides by n.
    weight, bias : Tensor, shape normalized_shape, optional
        By default 1 and 0.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor, of the shape of `x`

    Raises
    ------
    ShapeError
        The shapes do not fit.
    ArgumentError
        `eps` is negative or not finite.

    References
    ----------
    Ba, Kiros and Hinton, "Layer Normalization", 2016, section 3.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.layer_norm(tg.tensor([[1.0, 3.0], [10.0, 30.0]]), 2).numpy().round(3)
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """
    with_shape((x,), "layer_norm")
    shape = sizes((normalized_shape,), "layer_norm", "a size of normalized_shape")
    return LayerNorm(shape, _eps(eps, "layer_norm"))(x, weight, bias)


def _eps(eps: Any, caller: str) -> float:
    eps = number(eps, caller, "eps")
    if not 0 <= eps < math.inf:
        raise ArgumentError(f"{caller}: eps is added to the variance, and must be finite and at least 0; got {eps}")
    return eps
