"""The portable versions of normalizations, of the softmax, and of activations with a slope at each place."""

from __future__ import annotations

import math
from typing import Any


class LayerKernels:
    """The part of `Backend` for layers whose backward pass needs more than one line.

    All arrays are single or double precision. An activation with a curve returns f(x) and f'(x).
    """

    xp: Any
    sum: Any
    sum_of_products: Any
    sigmoid: Any
    normal_cdf: Any

    # ------------------------------------------------------------------ activations

    def leaky(self, x: Any, slope: Any) -> tuple[Any, Any]:
        """Return x where x > 0, else slope x; and a mask: true where x > 0."""
        positive = x > 0
        return self.leaky_backward(x, positive, slope), positive

    def leaky_backward(self, gy: Any, positive: Any, slope: Any) -> Any:
        """Return gy where `positive`, else slope gy."""
        return self.xp.where(positive, gy, slope * gy)

    def tanh_backward(self, gy: Any, y: Any) -> Any:
        """Return gy (1 - y^2)."""
        return gy * (1 - y * y)

    def elu(self, x: Any, alpha: float) -> tuple[Any, Any]:
        """Return x where x > 0, else alpha (e^x - 1); and 1 where x > 0, else alpha e^x."""
        xp = self.xp
        below = xp.minimum(x, 0)
        return xp.where(x > 0, x, alpha * xp.expm1(below)), xp.where(x > 0, 1, alpha * xp.exp(below))

    def silu(self, x: Any) -> tuple[Any, Any]:
        """Return y = x s and s + y (1 - s), with s = sigmoid(x)."""
        s = self.sigmoid(x)
        y = x * s
        return y, s + y * (1 - s)

    def gelu(self, x: Any) -> tuple[Any, Any]:
        """Return x Phi(x) and Phi(x) + x e^(-x^2 / 2) / (2 pi)^(1/2); Phi is `normal_cdf`."""
        below = self.normal_cdf(x)
        return x * below, below + x * self.xp.exp(x * x / -2) / math.sqrt(2 * math.pi)

    # ------------------------------------------------------------------ softmax

    def softmax(self, x: Any, axis: int | None) -> Any:
        """Return e^x / sum e^x; the maximum is subtracted first, so that nothing overflows."""
        powers = self.xp.exp(x - x.max(axis=axis, keepdims=True))
        return powers / self.sum(powers, axis, keepdims=True)

    def softmax_backward(self, gy: Any, y: Any, axis: int | None) -> Any:
        """Return y (gy - sum gy y)."""
        return y * (gy - self.sum(gy * y, axis, keepdims=True))

    def log_softmax(self, x: Any, axis: int | None) -> Any:
        """Return x - log sum e^x; the maximum is subtracted first."""
        x = x - x.max(axis=axis, keepdims=True)
        return x - self.xp.log(self.sum(self.xp.exp(x), axis, keepdims=True))

    def log_softmax_backward(self, gy: Any, y: Any, axis: int | None) -> Any:
        """Return gy - e^y sum gy."""
        return gy - self.xp.exp(y) * self.sum(gy, axis, keepdims=True)

    # ------------------------------------------------------------------ normalization

    def channel_moments(self, x: Any) -> tuple[Any, Any]:
        """Return the mean and the variance of each channel of x (N, C, ...): two arrays (C,)."""
        axes = _all_but_1(x)
        n = x.size // x.shape[1]
        mean = self.sum(x, axes) / n
        centred = x - _across(mean, x)
        return mean, self.sum_of_products(centred, centred, axes).reshape(-1) / n

    def batch_norm(self, x: Any, gain: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
        """Return y = gain (x - m) / (v + eps)^(1/2) + bias, and m and v of each channel."""
        mean, variance = self.channel_moments(x)
        rate = 1 / self.xp.sqrt(variance + eps)
        y = (x - _across(mean, x)) * _across(rate if gain is None else rate * gain, x)
        return y if bias is None else y + _across(bias, x), mean, variance

    def batch_norm_backward(
        self, gy: Any, x: Any, gain: Any, mean: Any, variance: Any, eps: float
    ) -> tuple[Any, Any, Any]:
        """Return the gradients with respect to x, gain and bias; the first flows through m and v, too."""
        axes = _all_but_1(x)
        n = x.size // x.shape[1]
        rate = 1 / self.xp.sqrt(variance + eps)
        centred = x - _across(mean, x)
        gb = self.sum(gy, axes)
        gg = self.sum_of_products(gy, centred, axes).reshape(-1) * rate
        gx = gy - _across(gb / n, x) - centred * _across(gg * rate / n, x)
        return gx * _across(rate if gain is None else rate * gain, x), gg, gb

    def follow_moments(self, running: tuple[Any, Any], now: tuple[Any, Any], n: int, momentum: float) -> None:
        """Set r = (1 - momentum) r + momentum m in place, for the mean m and the unbiased variance n v / (n - 1)."""
        mean, variance = now
        for array, new in zip(running, (mean, variance * (n / (n - 1))), strict=True):
            array *= 1 - momentum
            array += momentum * new

    def channel_affine(self, x: Any, scale: Any, shift: Any) -> Any:
        """Return scale x + shift, with one number for each channel of x (N, C, ...)."""
        return x * _across(scale, x) + _across(shift, x)

    def channel_affine_backward(self, gy: Any, x: Any, scale: Any) -> tuple[Any, Any, Any]:
        """Return gy scale, and the sums of gy x and of gy over each channel."""
        axes = _all_but_1(x)
        return gy * _across(scale, x), self.sum_of_products(gy, x, axes).reshape(-1), self.sum(gy, axes)

    def layer_norm(self, x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
        """Return y = weight (x - m) / (v + eps)^(1/2) + bias, and m and v (rows, 1) of each row of x (rows, n)."""
        mean, variance = self.row_moments(x)
        y = (x - mean) / self.xp.sqrt(variance + eps)
        y = y if weight is None else y * weight
        return y if bias is None else y + bias, mean, variance

    def row_moments(self, x: Any) -> tuple[Any, Any]:
        """Return the mean and the variance of each row of x (rows, n): two arrays (rows, 1)."""
        mean = self.sum(x, 1, keepdims=True) / x.shape[1]
        centred = x - mean
        return mean, self.sum(centred * centred, 1, keepdims=True) / x.shape[1]

    def layer_norm_backward(
        self, gy: Any, x: Any, weight: Any, mean: Any, variance: Any, eps: float
    ) -> tuple[Any, Any, Any]:
        """Return the gradients with respect to x, weight and bias; the first flows through m and v, too."""
        n = x.shape[1]
        rate = 1 / self.xp.sqrt(variance + eps)
        h = (x - mean) * rate
        k = gy if weight is None else gy * weight
        gx = k - self.sum(k, 1, keepdims=True) / n - h * (self.sum(k * h, 1, keepdims=True) / n)
        return gx * rate, self.sum(gy * h, 0), self.sum(gy, 0)


def _all_but_1(x: Any) -> tuple[int, ...]:
    return 0, *range(2, x.ndim)


def _across(numbers: Any, x: Any) -> Any:
    """Return one number for each channel in a shape that broadcasts to x."""
    return numbers.reshape((-1, *(1,) * (x.ndim - 2)))
