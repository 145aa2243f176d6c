"""The backend whose arrays are tensors: how the gradient of a gradient is made.

In a backward pass with ``create_graph=True`` the rules are handed this backend and tensors. Its kernels are the
portable formulas of `Backend`, inherited; running them on tensors records a graph, since the operators and the
functions of `xp` below are the differentiable operations of this package.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

from tinygan.backend import Backend, Shape
from tinygan.engine import Tensor
from tinygan.functional import activations, arithmetic, elementwise, shape


class DifferentiableBackend(Backend):
    """`Backend` on tensors instead of arrays.

    Parameters
    ----------
    arrays : Backend
        The backend that the tensors' arrays belong to.
    """

    def __init__(self, arrays: Backend) -> None:
        super().__init__(_array_module(arrays), arrays.device)
        self._arrays = arrays

    def asarray(self, data: Any) -> Tensor:
        """A tensor as it is; a number or an array as a constant."""
        return data if isinstance(data, Tensor) else Tensor(self._arrays.asarray(data))

    def add_into(self, total: Tensor, term: Tensor) -> Tensor:
        """A new tensor: a sum that is recorded may be needed as it is."""
        return total + term

    def scatter(self, gradient: Tensor, index: Any, shape_: Shape) -> Tensor:
        """Zeros with `gradient` added at `index`."""
        return shape.Scatter(index, shape_)(gradient)

    def sigmoid(self, x: Tensor) -> Tensor:
        """The operation, whose own rule is shorter than that of the formula."""
        return activations.sigmoid(x)

    def softplus(self, x: Tensor) -> Tensor:
        """The operation, whose own rule is shorter than that of the formula."""
        return activations.softplus(x)


def _array_module(arrays: Backend) -> SimpleNamespace:
    """What rules use of an array module, by NumPy's names; functions without a gradient act on the values."""
    xp = arrays.xp

    def expand_dims(x: Tensor, axis: int) -> Tensor:
        axis %= x.ndim + 1
        return x.reshape((*x.shape[:axis], 1, *x.shape[axis:]))

    def swapaxes(x: Tensor, i: int, j: int) -> Tensor:
        axes = list(range(x.ndim))
        axes[i], axes[j] = axes[j], axes[i]
        return x.transpose(axes)

    return SimpleNamespace(
        arange=xp.arange,
        zeros_like=lambda x: Tensor(xp.zeros_like(x.data)),
        expand_dims=expand_dims,
        swapaxes=swapaxes,
        broadcast_to=shape.broadcast_to,
        where=elementwise.where,
        exp=elementwise.exp,
        log=elementwise.log,
        sqrt=elementwise.sqrt,
        maximum=elementwise.maximum,
        minimum=elementwise.minimum,
        multiply=arithmetic.multiply,
    )


@cache
def differentiable(arrays: Backend) -> DifferentiableBackend:
    """Return the backend of tensors over a backend of arrays."""
    return DifferentiableBackend(arrays)
