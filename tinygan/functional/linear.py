"""The affine map, in which a network spends most of its time."""

from __future__ import annotations

import math
from typing import Any

from tinygan.backend import Array, Backend
from tinygan.engine import Operation, Tensor
from tinygan.errors import ShapeError
from tinygan.functional.arguments import with_shape

__all__ = ["linear"]

_IMAGES = {64: "8x8", 784: "28x28", 2304: "48x48", 3072: "32x32x3"}  # sizes of well-known images


class Linear(Operation):
    """Y = X W + b;  gX = gY W',  gW = X' gY,  gb = the sum of gY over the rows."""

    fresh = True

    def check(self, x: Array, weight: Array, bias: Array | None) -> None:
        if weight.ndim != 2:
            raise ShapeError(f"linear: weight must have 2 axes (input columns, units), but has shape {weight.shape}")
        columns, rows = x.shape[1], weight.shape[0]
        if columns != rows:
            image = f" ({_IMAGES[columns]})" if columns in _IMAGES else ""
            raise ShapeError(f"linear: weight has {rows} rows but the input has {columns} columns{image}")
        if bias is not None and bias.shape != weight.shape[1:]:
            raise ShapeError(
                f"linear: bias must have one number for each of the {weight.shape[1]} columns of the weight, "
                f"but has shape {bias.shape}"
            )

    def forward(self, B: Backend, x: Array, weight: Array, bias: Array | None) -> Array:
        self.save(x if self.needs[1] else None, weight if self.needs[0] else None)
        return B.linear(x, weight, bias)

    def backward(self, B: Backend, gy: Any, x: Any, weight: Any) -> Any:
        needs_x, needs_weight, needs_bias = self.needs
        return (
            B.product(gy, weight.T) if needs_x else None,
            B.product(x.T, gy) if needs_weight else None,
            B.sum(gy, axis=0) if needs_bias else None,
        )


def linear(x: Any, weight: Any, bias: Any = None) -> Tensor:
    """Return ``x @ weight + bias``.

    Parameters
    ----------
    x : Tensor, shape (..., n)
    weight : Tensor, shape (n, units)
        One column a unit (PyTorch keeps the transpose).
    bias : Tensor, shape (units,), optional

    Returns
    -------
    Tensor, shape (..., units)

    Raises
    ------
    ShapeError
        The sizes do not fit; the message names the argument.

    Examples
    --------
    >>> import tinygan as tg
    >>> x, w, b = tg.tensor([[1.0, 2.0]]), tg.tensor([[1.0], [10.0]]), tg.tensor([0.5])
    >>> tg.functional.linear(x, w, b)
    tensor([[21.5]], dtype=float32)
    """
    ndim = getattr(x, "ndim", 0)
    if ndim == 2:
        return Linear()(x, weight, bias)
    with_shape((x, weight), "linear")
    if ndim == 0:
        raise ShapeError("linear: the input is a single number; expected an array whose last axis has the features")
    leading = x.shape[:-1]
    return Linear()(x.reshape((math.prod(leading), x.shape[-1])), weight, bias).reshape((*leading, weight.shape[-1]))
