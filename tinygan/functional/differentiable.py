"""The backend whose arrays are tensors: it computes the gradient of a gradient.

In a backward pass with ``create_graph=True`` the rules get this backend and tensors. Its kernels are the portable
formulas, inherited from `Backend`. Run on tensors, they record a graph, because the operators and the functions of `xp`
below are the differentiable operations of this package.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

from tinygan.backend import Backend, Shape
from tinygan.backend.convolutions import Pair
from tinygan.backend.pooling import Windows
from tinygan.engine import Tensor
from tinygan.functional import (
    activations,
    arithmetic,
    convolution,
    elementwise,
    indexing,
    joining,
    pooling,
    products,
    reductions,
    shape,
)


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
        """Return a tensor as it is, and a number or an array as a constant."""
        return data if isinstance(data, Tensor) else Tensor(self._arrays.asarray(data))

    def add_into(self, total: Tensor, term: Tensor) -> Tensor:
        """Return a new tensor, because the graph may need the values of `total`."""
        return total + term

    def scatter(self, gradient: Tensor, index: Any, shape_: Shape) -> Tensor:
        """Return zeros with `gradient` added at `index`."""
        return indexing.Scatter(index, shape_)(gradient)

    def einsum(self, subscripts: str, *operands: Tensor) -> Tensor:
        """Apply the operation."""
        return products.einsum(subscripts, *operands)

    def conv(self, x: Tensor, w: Tensor, stride: Pair, padding: Pair) -> Tensor:
        """Apply the operation."""
        return convolution.Conv2d(stride, padding)(x, w, None)

    def conv_transpose(self, g: Tensor, w: Tensor, size: Pair, stride: Pair, padding: Pair) -> Tensor:
        """Apply the operation."""
        return convolution.ConvTranspose2d(size, stride, padding)(g, w, None)

    def conv_weight(self, g: Tensor, x: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
        """Apply the operation."""
        return convolution.ConvWeight(kernel, stride, padding)(g, x)

    def max_pool_backward(self, gy: Tensor, place: Tensor, windows: Windows) -> Tensor:
        """Apply the operation."""
        return pooling.MaxUnpool2d(windows)(gy, place)

    def winners(self, x: Tensor, place: Tensor, windows: Windows) -> Tensor:
        """Apply the operation."""
        return pooling.Winners(windows)(x, place)

    def sum_pool(self, x: Tensor, windows: Windows) -> Tensor:
        """Apply the operation."""
        return pooling.SumPool2d(windows)(x)

    def sum_pool_backward(self, gy: Tensor, windows: Windows) -> Tensor:
        """Apply the operation."""
        return pooling.Upsample(windows)(gy)

    def sigmoid(self, x: Tensor) -> Tensor:
        """Apply the operation, whose rule is shorter than that of the formula."""
        return activations.sigmoid(x)

    def softplus(self, x: Tensor) -> Tensor:
        """Apply the operation, whose rule is shorter than that of the formula."""
        return activations.softplus(x)

    def normal_cdf(self, x: Tensor) -> Tensor:
        """Apply the operation."""
        return activations.NormalCDF()(x)


def _array_module(arrays: Backend) -> SimpleNamespace:
    """Return the functions of an array module that rules use, by NumPy's names."""
    xp = arrays.xp

    return SimpleNamespace(
        arange=xp.arange,
        zeros_like=lambda x: Tensor(xp.zeros_like(x.data)),
        expand_dims=shape.expand_dims,
        swapaxes=shape.swapaxes,
        broadcast_to=shape.broadcast_to,
        where=elementwise.where,
        exp=elementwise.exp,
        expm1=elementwise.expm1,
        log=elementwise.log,
        sqrt=elementwise.sqrt,
        maximum=elementwise.maximum,
        minimum=elementwise.minimum,
        multiply=arithmetic.multiply,
        sin=elementwise.sin,
        cos=elementwise.cos,
        cumsum=reductions.cumsum,
        concatenate=joining.concatenate,
    )


@cache
def differentiable(arrays: Backend) -> DifferentiableBackend:
    """Return the backend of tensors whose arrays belong to the backend `arrays`."""
    return DifferentiableBackend(arrays)
