"""Losses, computed on logits: nothing is clipped, and no logarithm is taken of a number rounded to 0."""

from __future__ import annotations

import math
from typing import Any

from tinygan.backend import Array, Backend, plain_array, wide
from tinygan.engine import Operation, Tensor, tensor
from tinygan.errors import ArgumentError, DeviceError, DtypeError, ShapeError
from tinygan.functional.arguments import real

__all__ = ["binary_cross_entropy_with_logits", "softmax_cross_entropy"]


class BinaryCrossEntropyWithLogits(Operation):
    """L = mean of t softplus(-a) + (1 - t) softplus(a);  ga = gL (sigmoid(a) - t) / n,  gt = -gL a / n.

    With D = sigmoid(a), softplus(-a) = -log D and softplus(a) = -log(1 - D).
    """

    fresh = True

    def check(self, a: Array, t: Array) -> None:
        shape = getattr(t, "shape", ())
        if shape not in ((), a.shape):
            raise ShapeError(
                f"{self.name}: expected targets of the shape of the logits, {a.shape}, or one number; got {shape}. "
                "The loss would compare each logit with each target; reshape one of the two"
            )
        if shape == ():
            lowest = highest = t
        elif math.prod(shape):
            lowest, highest = t.min(), t.max()
        else:
            return
        if not (lowest >= 0 and highest <= 1):
            raise ArgumentError(
                f"{self.name}: targets are probabilities, in [0, 1]; got {float(lowest):g} ... {float(highest):g}"
            )

    def forward(self, B: Backend, a: Array, t: Array) -> Array:
        self.save(a, t)
        xp = B.xp
        if _is_certain(t):
            return B.cross_entropy(a, int(t))
        # 0 times infinity is 0 here: the loss of a certain and correct answer is 0
        losses = xp.where(t == 0, 0, t * B.softplus(xp.where(t == 0, 0, -a)))
        losses = losses + xp.where(t == 1, 0, (1 - t) * B.softplus(xp.where(t == 1, 0, a)))
        return losses.mean()

    def backward(self, B: Backend, gy: Any, a: Any, t: Any) -> Any:
        if _is_certain(t):
            return B.cross_entropy_backward(gy, a, int(t)), None
        share = wide(gy) / max(math.prod(a.shape), 1)
        return share * (B.sigmoid(a) - t), -share * a if self.needs[1] else None


def _is_certain(target: Any) -> bool:
    """Return whether every target is the number 0, or every target is the number 1, as in the losses of GANs."""
    return isinstance(target, (int, float)) and target in (0, 1)


class SoftmaxCrossEntropy(Operation):
    """L = -mean of log softmax(A)[label];  gA = gL (softmax(A) - onehot) / m."""

    fresh = True

    def __init__(self, labels: Array) -> None:
        self.labels = labels

    def check(self, logits: Array) -> None:
        labels = self.labels
        if logits.ndim != 2 or labels.shape != logits.shape[:1]:
            raise ShapeError(
                "softmax_cross_entropy: expected logits of shape (m, classes) and m labels, "
                f"got shapes {logits.shape} and {labels.shape}"
            )
        if labels.dtype.kind not in "iu":
            raise DtypeError(f"softmax_cross_entropy: labels must be integers, not {labels.dtype}")
        if labels.size and (int(labels.min()) < 0 or int(labels.max()) >= logits.shape[1]):
            raise ShapeError(
                f"softmax_cross_entropy: labels must be in 0 ... {logits.shape[1] - 1}, the columns of the logits; "
                f"got {int(labels.min())} ... {int(labels.max())}"
            )

    def forward(self, B: Backend, logits: Array) -> Array:
        self.save(logits)
        if self.needs[0]:
            self.labels = self.labels.copy()  # the user may write into them before the backward pass
        xp = B.xp
        shifted = logits - logits.max(axis=1, keepdims=True)
        chosen = shifted[xp.arange(len(logits)), self.labels]
        return (xp.log(B.sum(xp.exp(shifted), axis=1)) - chosen).mean()

    def backward(self, B: Backend, gy: Any, logits: Any) -> Any:
        xp = B.xp
        powers = xp.exp(logits - logits.max(axis=1, keepdims=True))
        softmax = powers / B.sum(powers, axis=1, keepdims=True)
        onehot = xp.arange(logits.shape[1]) == self.labels[:, None]
        return wide(gy) / max(len(self.labels), 1) * xp.where(onehot, softmax - 1, softmax)


def _real_tensor(logits: Any) -> Tensor:
    """Return the logits as a tensor of floating-point numbers."""
    if not isinstance(logits, Tensor):
        logits = tensor(logits)
    return logits if logits.dtype.kind == "f" else Tensor(real(logits.data))


def binary_cross_entropy_with_logits(logits: Any, targets: Any) -> Tensor:
    """Return the mean of -t log D - (1 - t) log(1 - D) over all elements, with D = sigmoid(logits).

    Parameters
    ----------
    logits : Tensor
    targets : Tensor, array or number
        Probabilities in [0, 1], of the shape of the logits, or one number for all. Arrays are cast to the dtype of the
        logits, so that integer labels do not make the loss float64. The check of their values waits for a GPU; the
        check of a Python number does not.

    Returns
    -------
    Tensor, shape ()
        In nats. Infinite where a certain answer is wrong, 0 where it is right.

    Raises
    ------
    ShapeError
        The shapes differ: (m, 1) and (m,) are refused too, since they would broadcast to m x m pairs.
    ArgumentError
        A target is nan, or outside of [0, 1].

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.binary_cross_entropy_with_logits(tg.tensor([0.0, 0.0]), 1)  # log 2
    tensor(0.6931472, dtype=float32)
    """
    logits = _real_tensor(logits)
    if getattr(targets, "ndim", 0) and not (isinstance(targets, Tensor) and targets.dtype.kind == "f"):
        targets = targets.astype(logits.dtype)
    return BinaryCrossEntropyWithLogits()(logits, targets)


def softmax_cross_entropy(logits: Any, labels: Any) -> Tensor:
    """Return the mean of -log softmax(logits)[label].

    Parameters
    ----------
    logits : Tensor, shape (m, classes)
    labels : integer array or Tensor, shape (m,)
        In {0, ..., classes - 1}. The check of the values waits for a GPU.

    Returns
    -------
    Tensor, shape ()
        In nats.

    Raises
    ------
    ShapeError, DtypeError
        The logits are not a matrix, or the labels are not one integer per row. Reshape logits that have more axes.
    DeviceError
        The labels are on another device.

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> logits = tg.tensor([[0.0, 0.0]])
    >>> tg.functional.softmax_cross_entropy(logits, np.array([1]))  # log 2
    tensor(0.6931472, dtype=float32)
    """
    logits = _real_tensor(logits)
    if isinstance(labels, Tensor):
        labels = labels.data
    elif not hasattr(labels, "dtype"):
        labels = logits.backend.array(labels)
    if not logits.backend.is_array(labels):  # CuPy would copy them, and wait
        raise DeviceError(
            f"softmax_cross_entropy: the labels are on another device than the logits, which are on {logits.device!r}; "
            f"move them with tg.tensor(labels, device={logits.device!r})"
        )
    return SoftmaxCrossEntropy(plain_array(labels, "softmax_cross_entropy"))(logits)
