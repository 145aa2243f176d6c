"""Layers that normalize activations (batch and layer normalization) or weights (spectral and weight normalization)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import tinygan.functional as F
from tinygan.backend import Array, Backend, Shape, Stream, current_streams
from tinygan.checks import integer, number
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, DtypeError
from tinygan.nn.calls import call_with
from tinygan.nn.module import Buffer, Module, Parameter

__all__ = ["BatchNorm", "LayerNorm", "SpectralNorm", "WeightNorm"]


class BatchNorm(Module):
    """Normalize each channel over the batch (Ioffe and Szegedy, 2015).

    ``y = weight * (x - m) / sqrt(v + eps) + bias``. In training, m and v are the mean and the variance of the channel
    in this batch, and the gradient flows through both. The running statistics follow them. In evaluation the running
    statistics take their place: then the output of an example does not depend on the others.

    Parameters
    ----------
    num_features : int
        The number of channels, which is the size of axis 1.
    eps : float
        Added to the variance.
    momentum : float
        The weight of the newest batch in the running statistics, in [0, 1].
    affine : bool
        Whether `weight` and `bias` are trained; without them they are 1 and 0.
    track_running_stats : bool
        Without running statistics, evaluation uses those of the batch, too.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,), or None
        They start at 1 and 0.
    running_mean, running_var : Buffer, shape (num_features,), or None
        They start at 0 and 1. `running_var` is unbiased: it divides by n - 1.
    num_batches_tracked : Buffer, shape (), int64, or None

    Raises
    ------
    ShapeError
        In training, a batch has fewer than 2 values a channel.

    Notes
    -----
    In a game, every pass of D in training mode has its own statistics: real and fake examples in one batch share them.

    References
    ----------
    Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    2015.

    Examples
    --------
    >>> import tinygan as tg
    >>> layer = BatchNorm(2)
    >>> layer(tg.tensor([[1.0, 10.0], [3.0, 30.0]])).numpy().round(3)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    >>> layer.running_mean.numpy()
    array([0.2, 2. ], dtype=float32)
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = n = integer(num_features, "BatchNorm: num_features", at_least=1)
        self.eps, self.momentum = _eps(eps, "BatchNorm"), number(momentum, "BatchNorm: momentum")
        if not 0 <= self.momentum <= 1:
            raise ArgumentError(f"BatchNorm: momentum is the weight of the newest batch, in [0, 1]; got {momentum}")
        self.weight = Parameter(np.ones(n, np.float32), name="weight") if affine else None
        self.bias = Parameter(np.zeros(n, np.float32), name="bias") if affine else None
        self.register_buffer("running_mean", np.zeros(n, np.float32) if track_running_stats else None)
        self.register_buffer("running_var", np.ones(n, np.float32) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if track_running_stats else None)

    running_mean: Buffer | None
    running_var: Buffer | None
    num_batches_tracked: Buffer | None

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C) or (N, C, ...)."""
        count = self.num_batches_tracked
        training = self.training or self.running_mean is None
        y = F.batch_norm(
            x, self.weight, self.bias, self.eps, running_mean=self.running_mean, running_var=self.running_var,
            training=training, momentum=self.momentum,
        )  # fmt: skip
        if training and count is not None:
            count.data += 1
        return y

    def extra_repr(self) -> str:
        """Return the number of channels and what differs from the defaults."""
        return f"{self.num_features}, eps={self.eps:g}, momentum={self.momentum:g}" + (
            "" if self.weight is not None else ", affine=False"
        )


class LayerNorm(Module):
    """Normalize each example over its last axes (Ba et al., 2016).

    ``y = weight * (x - m) / sqrt(v + eps) + bias``, with the mean m and the variance v of one example. So no example
    depends on the others, and training and evaluation are alike.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The sizes of the last axes of the input.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Whether `weight` and `bias` are trained; without them they are 1 and 0.

    Attributes
    ----------
    weight, bias : Parameter, shape normalized_shape, or None
        They start at 1 and 0.

    References
    ----------
    Ba, Kiros and Hinton, "Layer Normalization", 2016.

    Examples
    --------
    >>> import tinygan as tg
    >>> LayerNorm(2)(tg.tensor([[1.0, 3.0], [10.0, 30.0]])).numpy().round(3)
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True
    ) -> None:
        super().__init__()
        given = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        self.normalized_shape = tuple([integer(size, "LayerNorm: normalized_shape", at_least=1) for size in given])
        if not self.normalized_shape:
            raise ArgumentError("LayerNorm: normalized_shape names no axis; expected one size or more")
        self.eps = _eps(eps, "LayerNorm")
        shape, affine = self.normalized_shape, elementwise_affine
        self.weight = Parameter(np.ones(shape, np.float32), name="weight") if affine else None
        self.bias = Parameter(np.zeros(shape, np.float32), name="bias") if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``(..., *normalized_shape)``."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Return the shape and what differs from the defaults."""
        affine = "" if self.weight is not None else ", elementwise_affine=False"
        return f"{', '.join(map(str, self.normalized_shape))}, eps={self.eps:g}{affine}"


class SpectralNorm(Module):
    """A layer whose weight W is divided by its largest singular value (Miyato et al., 2018).

    So the layer is an affine map that stretches no vector: W / sigma with ``sigma = v' W u``. In training each forward
    pass improves the singular vectors by power iteration: ``v = W u / |W u|``, ``u = W' v / |W' v|``. The gradient
    flows through sigma; u and v are constants.

    Parameters
    ----------
    layer : Module
        Such as `nn.Linear`.
    name : str
        The name of the parameter in `layer`. Of more than two axes, all but the first are joined.
    n_power_iterations : int
        Steps for each forward pass in training.
    eps : float
        The least norm by which a vector is divided.
    rng : Stream, optional
        The stream of the first u; by default ``weights`` of `tinygan.manual_seed`.

    Attributes
    ----------
    u, v : Buffer
        The singular vectors: a number for each column of W, and one for each row.

    References
    ----------
    Miyato, Kataoka, Koyama and Yoshida, "Spectral Normalization for Generative Adversarial Networks", 2018, appendix A.

    Examples
    --------
    >>> import numpy as np
    >>> import tinygan as tg
    >>> from tinygan import nn
    >>> layer = SpectralNorm(nn.Linear(2, 2, bias=False))
    >>> layer.layer.weight.data[...] = [[3.0, 0.0], [0.0, 1.0]]
    >>> for _ in range(20):
    ...     y = layer(tg.tensor([[1.0, 1.0]]))
    >>> y.numpy().round(3)
    array([[1.   , 0.333]], dtype=float32)
    """

    u: Buffer
    v: Buffer

    def __init__(
        self,
        layer: Module,
        name: str = "weight",
        n_power_iterations: int = 1,
        eps: float = 1e-12,
        rng: Stream | None = None,
    ) -> None:
        super().__init__()
        self.n_power_iterations = integer(n_power_iterations, "SpectralNorm: n_power_iterations", at_least=1)
        self.eps = _eps(eps, "SpectralNorm")
        self.layer, self.name = layer, name
        weight = _weight(self)
        rows, columns = _matrix_shape(weight.shape)
        B, u = weight.backend, (rng or current_streams()["weights"]).normal((columns,))
        self.register_buffer("u", B.from_numpy((u / np.linalg.norm(u)).astype(weight.dtype)))
        self.register_buffer("v", B.xp.zeros(rows, weight.dtype))
        self._iterate(B, weight.data.reshape(rows, columns), 15)

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Apply the layer with W / sigma."""
        weight = _weight(self)
        W, B = weight.reshape(_matrix_shape(weight.shape)), weight.backend
        u, v = self._iterate(B, W.data, self.n_power_iterations if self.training else 0)
        sigma = (F.linear(v, W) * u).sum()
        return call_with({id(weight): weight / sigma}, self.layer, *inputs, **named)

    def _iterate(self, B: Backend, W: Array, steps: int) -> tuple[Array, Array]:
        """Improve u and v; return copies as rows, which the tape keeps while the buffers change again."""
        u, v = (buffer.data.reshape(1, -1).copy() for buffer in (self.u, self.v))
        for _ in range(steps):
            v = self._unit(B, B.product(u, W.T))
            u = self._unit(B, B.product(v, W))
        for buffer, vector in ((self.u, u), (self.v, v)) if steps else ():
            buffer.data[...] = vector[0]
            buffer.mark_changed()
        return u, v

    def _unit(self, B: Backend, vector: Array) -> Array:
        return vector / B.xp.maximum(B.xp.sqrt((vector * vector).sum()), self.eps)

    def extra_repr(self) -> str:
        """Return the name of the weight."""
        return self.name


class WeightNorm(Module):
    """A layer whose weight has its length apart from its direction (Salimans and Kingma, 2016).

    ``w = g V / |V|`` for the weights of each unit, with the parameter `g` and the weight V of the layer. At first
    g = |V|, so that w = V.

    Parameters
    ----------
    layer : Module
        Such as `nn.Linear`.
    name : str
        The name of the parameter in `layer`.
    axis : int
        The axis of the units: the last in `nn.Linear`, which has one column for each unit.

    Attributes
    ----------
    g : Parameter
        The length for each unit, with the other axes of size 1.

    Raises
    ------
    ArgumentError
        The weights of a unit are all 0, and have no direction.

    References
    ----------
    Salimans and Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural
    Networks", 2016, section 2.

    Examples
    --------
    >>> from tinygan import nn
    >>> layer = WeightNorm(nn.Linear(3, 2))
    >>> [(name, parameter.shape) for name, parameter in layer.named_parameters()]
    [('g', (1, 2)), ('layer.weight', (3, 2)), ('layer.bias', (2,))]
    """

    def __init__(self, layer: Module, name: str = "weight", axis: int = -1) -> None:
        super().__init__()
        self.layer, self.name = layer, name
        weight = _weight(self)
        axis = integer(axis, "WeightNorm: axis")
        if not -weight.ndim <= axis < weight.ndim:
            raise ArgumentError(f"WeightNorm: axis {axis} does not exist in {name} of shape {weight.shape}")
        self.others = tuple([other for other in range(weight.ndim) if other != axis % weight.ndim])
        lengths = self._lengths(weight).detach()
        if not lengths.numpy().all():
            raise ArgumentError(f"WeightNorm: the weights of a unit of {name} are all 0, and have no direction")
        self.g = Parameter(lengths, name="g")

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Apply the layer with g V / |V|."""
        weight = _weight(self)
        return call_with({id(weight): weight * (self.g / self._lengths(weight))}, self.layer, *inputs, **named)

    def _lengths(self, weight: Tensor) -> Tensor:
        return F.sqrt((weight * weight).sum(axis=self.others, keepdims=True))

    def extra_repr(self) -> str:
        """Return the name of the weight."""
        return self.name


def _eps(eps: Any, caller: str) -> float:
    eps = number(eps, f"{caller}: eps")
    if not 0 <= eps < math.inf:
        raise ArgumentError(f"{caller}: eps must be finite and at least 0, got {eps}")
    return eps


def _weight(wrapper: SpectralNorm | WeightNorm) -> Tensor:
    """Return the weight of the layer inside; it may be another tensor inside `functional_call`."""
    layer, name, kind = wrapper.layer, wrapper.name, type(wrapper).__name__
    if not isinstance(layer, Module):
        raise DtypeError(f"{kind}: expected a layer, such as nn.Linear(784, 240), got {type(layer).__name__}")
    weight = getattr(layer, name, None)
    if not isinstance(weight, Tensor) or weight.ndim < 2 or not weight.size:
        raise ArgumentError(
            f"{kind}: {type(layer).__name__} has no parameter {name!r} with two axes or more; it has "
            f"{', '.join(own for own, _ in layer.named_parameters()) or 'none'}"
        )
    return weight


def _matrix_shape(shape: Shape) -> Shape:
    return shape[0], math.prod(shape[1:])
