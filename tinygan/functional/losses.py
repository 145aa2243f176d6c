"""Losses. Those of classifiers take logits: nothing is clipped, and no logarithm is taken of a number rounded to 0."""

from __future__ import annotations

import math
from typing import Any

from tinygan import checks
from tinygan.backend import Array, Backend, wide
from tinygan.backend.operands import new_array
from tinygan.engine import Operation, Tensor, tensor
from tinygan.errors import ArgumentError, ShapeError, did_you_mean
from tinygan.functional import elementwise, reductions
from tinygan.functional.arguments import class_indices, number, one_axis, real, with_shape
from tinygan.functional.arithmetic import divide, multiply, subtract
from tinygan.functional.shape import moveaxis, reshape

__all__ = ["binary_cross_entropy_with_logits", "l1_loss", "mse_loss", "softmax_cross_entropy"]


class BinaryCrossEntropyWithLogits(Operation):
    """L = mean of t softplus(-a) + (1 - t) softplus(a);  ga = gL (sigmoid(a) - t) / n,  gt = -gL a / n.

    With D = sigmoid(a), softplus(-a) = -log D and softplus(a) = -log(1 - D). Without `mean`, L is one loss for each
    element, and there is no division by n.
    """

    fresh = True

    def __init__(self, mean: bool) -> None:
        self.mean = mean

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
        if _is_certain(t):
            return B.cross_entropy(a, int(t)) if self.mean else B.softplus(-a if t else a)
        if isinstance(t, float):
            losses = t * B.softplus(-a) + (1 - t) * B.softplus(a)
        else:  # 0 times infinity is 0 here: the loss of a certain and correct answer is 0
            where = B.xp.where
            losses = where(t == 0, 0, t * B.softplus(where(t == 0, 0, -a)))
            losses = losses + where(t == 1, 0, (1 - t) * B.softplus(where(t == 1, 0, a)))
        return losses.mean() if self.mean else losses

    def backward(self, B: Backend, gy: Any, a: Any, t: Any) -> Any:
        if self.mean and _is_certain(t):
            return B.cross_entropy_backward(gy, a, int(t)), None
        share = wide(gy) / max(math.prod(a.shape), 1) if self.mean else gy
        return share * (B.sigmoid(a) - t), -share * a if self.needs[1] else None


def _is_certain(target: Any) -> bool:
    """Return whether every target is the number 0, or every target is the number 1, as in the losses of GANs."""
    return isinstance(target, (int, float)) and target in (0, 1)


class SoftmaxCrossEntropy(Operation):
    """L = -mean of sum t log softmax(A);  gA = gL (softmax(A) - t) / m, with t = (1 - e) onehot + e / classes.

    Without `mean`, L is one loss for each row, and there is no division by m.
    """

    fresh = True

    def __init__(self, labels: Array, smoothing: float, mean: bool) -> None:
        self.labels = labels
        self.smoothing = smoothing
        self.mean = mean

    def forward(self, B: Backend, logits: Array) -> Array:
        self.save(logits)
        if self.needs[0]:
            self.labels = self.labels.copy()  # the user may write into them before the backward pass
        xp = B.xp
        shifted = logits - logits.max(axis=1, keepdims=True)
        chosen = shifted[xp.arange(len(logits)), self.labels]
        if self.smoothing:
            chosen = (1 - self.smoothing) * chosen + self.smoothing * shifted.mean(axis=1)
        losses = xp.log(B.sum(xp.exp(shifted), axis=1)) - chosen
        return losses.mean() if self.mean else losses

    def backward(self, B: Backend, gy: Any, logits: Any) -> Any:
        xp, classes = B.xp, logits.shape[1]
        powers = xp.exp(logits - logits.max(axis=1, keepdims=True))
        softmax = powers / B.sum(powers, axis=1, keepdims=True)
        onehot = xp.arange(classes) == self.labels[:, None]
        if self.smoothing:
            softmax = softmax - self.smoothing / classes
        share = wide(gy) / max(len(self.labels), 1) if self.mean else gy.reshape((-1, 1))
        return share * xp.where(onehot, softmax - (1 - self.smoothing), softmax)


def _real_tensor(logits: Any) -> Tensor:
    """Return the logits as a tensor of floating-point numbers."""
    if not isinstance(logits, Tensor):
        logits = tensor(logits)
    return logits if logits.dtype.kind == "f" else Tensor(real(logits.data))


def _like(values: Any, other: Tensor, caller: str) -> Any:
    """Return targets or weights in the dtype of `other`, unless they are a number or a tensor of floats."""
    if type(values) in (int, float):  # nearly always
        return values
    if isinstance(values, (list, tuple)):
        values = new_array(values, None, other.backend)
    with_shape((values,), caller)
    if getattr(values, "ndim", 0) and not (isinstance(values, Tensor) and values.dtype.kind == "f"):
        return values.astype(other.dtype)
    return values


def _reduced(losses: Tensor, weight: Any, reduction: str, caller: str, by_weight: bool = True) -> Tensor:
    """Multiply losses by their weights, and reduce them; a weighted mean is divided by the sum of the weights."""
    if reduction not in _REDUCTIONS:
        hint = did_you_mean(str(reduction), _REDUCTIONS)
        raise ArgumentError(f"{caller}: reduction must be {_REDUCTIONS}, got {checks.shown(reduction)}{hint}")
    if weight is not None:
        weight = _like(weight, losses, caller)
        if getattr(weight, "shape", ()) != losses.shape:
            raise ShapeError(
                f"{caller}: expected one weight for each loss, of shape {losses.shape}; got {checks.shown(weight)}"
            )
        losses = multiply(losses, weight)
    if reduction == "none":
        return losses
    if reduction == "sum" or (weight is not None and by_weight):
        total = reductions.sum(losses)
        return total if reduction == "sum" else divide(total, reductions.sum(weight))
    return reductions.mean(losses)


_REDUCTIONS = ("mean", "sum", "none")


def _difference(x: Any, targets: Any, caller: str) -> Tensor:
    """Return x - targets, of the same shape."""
    x = _real_tensor(x)
    targets = _like(targets, x, caller)
    if getattr(targets, "shape", ()) not in ((), x.shape):
        raise ShapeError(
            f"{caller}: expected targets of the shape of the input, {x.shape}, or one number; got "
            f"{targets.shape}. The loss would compare each element with each target; reshape one of the two"
        )
    return subtract(x, targets)


def mse_loss(x: Any, targets: Any, reduction: str = "mean", weight: Any = None) -> Tensor:
    """Return the mean of (x - t)^2 over all elements.

    Parameters
    ----------
    x : Tensor
    targets : Tensor, array or number
        Of the shape of `x`, or one number for all.
    reduction : {"mean", "sum", "none"}
    weight : Tensor or array, optional
        One factor for each element. The weighted mean is the sum divided by the sum of the weights, as in PyTorch.

    Returns
    -------
    Tensor, shape (), or for the reduction "none" that of `x`

    Raises
    ------
    ShapeError
        The shapes differ: (m, 1) and (m,) are refused too, since they would broadcast to m x m pairs.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.mse_loss(tg.tensor([1.0, 4.0]), 1)
    tensor(4.5, dtype=float32)
    """
    return _reduced(elementwise.square(_difference(x, targets, "mse_loss")), weight, reduction, "mse_loss")


def l1_loss(x: Any, targets: Any, reduction: str = "mean", weight: Any = None) -> Tensor:
    """Return the mean of |x - t| over all elements, with the options of `mse_loss`; its gradient at 0 is 0.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.l1_loss(tg.tensor([1.0, 4.0]), [0.0, 2.0], reduction="sum")
    tensor(3., dtype=float32)
    """
    return _reduced(elementwise.abs(_difference(x, targets, "l1_loss")), weight, reduction, "l1_loss")


def binary_cross_entropy_with_logits(
    logits: Any, targets: Any, reduction: str = "mean", weight: Any = None
) -> Tensor:
    """Return the mean of -t log D - (1 - t) log(1 - D) over all elements, with D = sigmoid(logits).

    Parameters
    ----------
    logits : Tensor
    targets : Tensor, array or number
        Probabilities in [0, 1], of the shape of the logits, or one number for all. Arrays are cast to the dtype of the
        logits, so that integer labels do not make the loss float64. The check of their values waits for a GPU; the
        check of a Python number does not.
    reduction : {"mean", "sum", "none"}
    weight : Tensor or array, optional
        One factor for each element. The weighted mean is the sum divided by the number of elements, as in PyTorch.

    Returns
    -------
    Tensor, shape (), or for the reduction "none" that of the logits
        In nats. Infinite where a certain answer is wrong, 0 where it is right.

    Raises
    ------
    ShapeError
        The shapes differ: (m, 1) and (m,) are refused too, since they would broadcast to m x m pairs.
    ArgumentError
        A target is nan, or outside of [0, 1]; or there is no such reduction.

    Examples
    --------
    >>> import tinygan as tg
    >>> tg.functional.binary_cross_entropy_with_logits(tg.tensor([0.0, 0.0]), 1)  # log 2
    tensor(0.6931472, dtype=float32)
    """
    logits = _real_tensor(logits)
    targets = _like(targets, logits, "binary_cross_entropy_with_logits")
    if reduction == "mean" and weight is None:
        return BinaryCrossEntropyWithLogits(mean=True)(logits, targets)
    losses = BinaryCrossEntropyWithLogits(mean=False)(logits, targets)
    return _reduced(losses, weight, reduction, "binary_cross_entropy_with_logits", by_weight=False)


def softmax_cross_entropy(
    logits: Any,
    labels: Any,
    axis: int = 1,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    weight: Any = None,
) -> Tensor:
    """Return the mean of -log softmax(logits)[label].

    Parameters
    ----------
    logits : Tensor, shape (m, classes, ...)
    labels : integer array or Tensor, shape (m, ...)
        In {0, ..., classes - 1}: the shape of the logits without the axis of classes. The check of the values waits for
        a GPU; it is left out while a step is captured.
    axis : int
        The axis of classes, by default the second, as in PyTorch.
    label_smoothing : float
        e in [0, 1]: the target probability of each class is e / classes, and that of the label 1 - e more.
    reduction : {"mean", "sum", "none"}
    weight : Tensor or array, of the shape of the labels, optional
        One factor for each label. The weighted mean is the sum divided by the sum of the weights.

    Returns
    -------
    Tensor, shape (), or for the reduction "none" that of the labels
        In nats.

    Raises
    ------
    ShapeError, DtypeError
        The labels do not fit the logits, or are not integers.
    DeviceError
        The labels are on another device.

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> logits = tg.tensor([[0.0, 0.0]])
    >>> tg.functional.softmax_cross_entropy(logits, np.array([1]))  # log 2
    tensor(0.6931472, dtype=float32)
    """
    smoothing = number(label_smoothing, "softmax_cross_entropy", "label_smoothing")
    if not 0 <= smoothing <= 1:
        raise ArgumentError(f"softmax_cross_entropy: label_smoothing must be in [0, 1], got {smoothing}")
    logits, name = _real_tensor(logits), "softmax_cross_entropy"
    place = one_axis(axis, logits.ndim, name, f"logits of shape {logits.shape}")
    classes, expected = logits.shape[place], logits.shape[:place] + logits.shape[place + 1 :]
    labels = class_indices(labels, classes, logits.backend, name, f"the size of axis {axis} of the logits")
    if labels.shape != expected:
        raise ShapeError(
            f"{name}: expected labels of the shape of the logits without the axis of classes: {expected}, "
            f"got {labels.shape}; the logits have shape {logits.shape}, and their axis {axis} the classes"
        )
    if logits.ndim != 2 or place != 1:
        logits, labels = reshape(moveaxis(logits, place, -1), math.prod(expected), classes), labels.reshape(-1)
    if reduction == "mean" and weight is None:
        return SoftmaxCrossEntropy(labels, smoothing, mean=True)(logits)
    losses = SoftmaxCrossEntropy(labels, smoothing, mean=False)(logits)
    return _reduced(losses if losses.shape == expected else reshape(losses, expected), weight, reduction, name)
