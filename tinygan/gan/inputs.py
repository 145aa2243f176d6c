"""What `Algorithm1.step` is given: data and labels, checked before anything is trained."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

import tinygan.functional as F
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, DataError, DeviceError, DtypeError, ShapeError
from tinygan.gan.packing import Packed
from tinygan.gan.players import out_of_reach
from tinygan.nn import Module


def minibatches_of(batch: Any, k: int) -> list[Tensor]:
    """Return the k minibatches of an iteration as tensors of floats."""
    if isinstance(batch, Sequence):
        parts = list(batch)
        if len(parts) != k:
            raise ShapeError(f"Algorithm1.step: expected k = {k} minibatches, got {len(parts)}")
    else:
        shape = getattr(batch, "shape", ())
        rows = shape[0] if shape else 0
        if rows == 0 or rows % k:
            raise ShapeError(
                f"Algorithm1.step: {rows} rows do not divide into k = {k} minibatches; expected an array of "
                f"shape (k m, ...), got {type(batch).__name__}"
            )
        m = rows // k
        parts = [batch[i * m : (i + 1) * m] for i in range(k)] if k > 1 else [batch]
    minibatches = [part if isinstance(part, Tensor) else Tensor(part) for part in parts]
    for position, minibatch in enumerate(minibatches):
        if minibatch.size == 0:
            raise ShapeError(f"Algorithm1.step: minibatch {position} is empty, of shape {minibatch.shape}")
        if minibatch.dtype.kind != "f":
            raise DtypeError(
                f"Algorithm1.step: minibatch {position} holds {minibatch.dtype}; expected floats, on the scale of "
                "the samples: divide pixels by 255"
            )
    return minibatches


def labels_of(given: Any, rows: int, where: str, like: Tensor) -> Tensor:
    """Return labels, or any other condition, as a tensor with a row for each example.

    Parameters
    ----------
    given : array or Tensor, shape (rows,) or (rows, ...)
        Floats are converted to the dtype of `like`, and must be finite.
    rows : int
    where : str
        The name of the caller.
    like : Tensor
        A parameter of the generator.
    """
    shape = getattr(given, "shape", None)
    if shape is None or given.dtype.kind not in "fiub":
        raise DtypeError(
            f"{where}: labels: expected an array or a tensor of numbers, one row for each example, got "
            f"{type(given).__name__}; use tg.tensor(labels)"
        )
    if shape[:1] != (rows,):
        raise ShapeError(
            f"{where}: labels of shape {tuple(shape)} for {rows} examples; expected as many rows as examples: "
            f"({rows},) or ({rows}, ...)"
        )
    y = given if isinstance(given, Tensor) else Tensor(given)
    if y.device != like.device:
        raise DeviceError(
            f"{where}: labels are on {y.device!r}, and the generator is on {like.device!r}; expected one device: "
            f"labels.to({like.device!r})"
        )
    if y.dtype.kind == "f":
        y = y if y.dtype == like.dtype else y.astype(like.dtype)
        index = None if y.backend.runs_ahead else y.backend.first_non_finite(y.data)
        if index is not None:
            raise DataError(f"{where}: labels are {float(y.data[index])} at {index}; expected finite numbers")
    return y


def labels_moved(given: Any, rows: int, where: str, like: Tensor) -> Tensor:
    """As `labels_of`, but a NumPy array is copied to the device of `like`."""
    if isinstance(given, np.ndarray) and given.dtype.kind in "fiub":
        given = Tensor(like.backend.from_numpy(np.ascontiguousarray(given)))
    return labels_of(given, rows, where, like)


def refuse_other_arguments(where: str, player: str, module: Module, labels: bool) -> None:
    """Raise `ArgumentError` if a player takes no labels and gets them, or needs them and gets none."""
    if not _can_be_called(module, labels):
        signature = inspect.signature(_inner(module).forward)
        x = "z" if player == "generator" else "x"
        advice = (
            f"write it as forward(self, {x}, y), or leave the labels out"
            if labels
            else "give them: game.step(x, y) and gan.sample(..., labels=y)"
        )
        raise ArgumentError(
            f"{where}: the {player} is called with {'labels' if labels else 'no labels'}, but its forward takes "
            f"{signature}: {advice}"
        )


def needs_labels(module: Module) -> bool:
    """Return whether a player cannot be called without labels.

    Examples
    --------
    >>> from tinygan import gan, nn
    >>> needs_labels(nn.Linear(2, 3)), needs_labels(gan.Conditional(nn.Linear(12, 3), 10))
    (False, True)
    """
    return not _can_be_called(module, labels=False)


def _can_be_called(module: Module, labels: bool) -> bool:
    try:
        inspect.signature(_inner(module).forward).bind(*[None] * (1 + labels))
    except TypeError:
        return False
    return True


def _inner(module: Module) -> Module:
    return module.net if isinstance(module, Packed) else module


def span_of(minibatches: Sequence[Tensor]) -> tuple[float, float]:
    """Return the smallest and the largest number of the data; refuse nan and infinity."""
    low, high = math.inf, -math.inf
    for position, minibatch in enumerate(minibatches):
        lowest, highest = float(minibatch.data.min()), float(minibatch.data.max())
        if not -math.inf < lowest <= highest < math.inf:  # with a nan, both are nan
            index = minibatch.backend.first_non_finite(minibatch.data)
            found = float(minibatch.data[index])
            raise DataError(
                f"Algorithm1.step: minibatch {position} is {found} at {index}; expected finite numbers of "
                f"{minibatch.dtype}"
            )
        low, high = min(low, lowest), max(high, highest)
    return low, high


def refuse_out_of_reach(activation: str, low: float, high: float) -> None:
    """Raise `DataError` if a generator that ends in `activation` cannot reach the data."""
    wrong = out_of_reach(activation, low, high)
    if wrong:
        raise DataError(f"Algorithm1.step: {wrong}: scale the data, or change the generator's last layer")


def with_labels(minibatches: Sequence[Tensor], labels: Any, like: Tensor) -> list[tuple[Tensor, ...]]:
    """Return (x, y) for each minibatch, from the labels of all; see `labels_of`."""
    ends = list(accumulate(map(len, minibatches)))
    y = labels_of(labels, ends[-1], "Algorithm1.step", like)
    return [(x, y[end - len(x) : end]) for x, end in zip(minibatches, ends, strict=True)]


def twice(y: Tensor) -> Tensor:
    """Return the labels of a batch of data and samples."""
    return F.concatenate([y, y])
