"""Hypothesis strategies: arguments for differentiable functions.

All numbers drawn are exact in float32, so tests in float32 and in float64 use the same point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygan as tg
from tinygan.backend import Shape

EDGE_VALUES = (0.0, -0.0, 1.0, -1.0, 1000.0, -1000.0, float("inf"), float("-inf"), float("nan"))
"""Values at which functions often fail."""


def shapes(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 3
) -> st.SearchStrategy[Shape]:
    """Draw shapes, also of 0-d and empty arrays.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(shapes(min_dims=2, min_side=1), lambda shape: True)
    (1, 1)
    """
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


def arrays(
    shape: Shape | st.SearchStrategy[Shape] | None = None,
    low: float | None = -10.0,
    high: float | None = 10.0,
    dtype: Any = np.float64,
    distinct: float = 0.0,
) -> st.SearchStrategy[np.ndarray]:
    """Draw arrays of finite floating-point numbers.

    Parameters
    ----------
    shape : shape or strategy of shapes, optional
        By default `shapes`.
    low, high : float or None
        Limits of the numbers; None stands for -1e30 or 1e30.
    dtype : dtype
    distinct : float
        If positive, the least distance of two elements, so that there are no ties. If there is not enough room,
        elements may then exceed `high`.

    Returns
    -------
    strategy of arrays

    Examples
    --------
    >>> from hypothesis import find
    >>> find(arrays(3, low=1.0), lambda x: x.sum() >= 7).shape
    (3,)
    """
    if shape is None:
        shape = shapes()
    if distinct > 0:
        start = -10.0 if low is None else low
        return _shape_strategy(shape).flatmap(lambda one: _distinct(one, start, distinct, dtype))
    low, high = -1e30 if low is None else low, 1e30 if high is None else high
    return hnp.arrays(np.float64, shape, elements=_numbers(low, high)).map(lambda array: array.astype(dtype))


def _numbers(low: float, high: float) -> st.SearchStrategy[float]:
    """Draw numbers that are exact in float32, with 0 and many round numbers, so that there are ties."""
    first, last = np.float32(low), np.float32(high)
    if float(first) < low:
        first = np.nextafter(first, np.float32(np.inf))
    if float(last) > high:
        last = np.nextafter(last, np.float32(-np.inf))
    return st.floats(float(first), float(last), width=32, allow_nan=False, allow_subnormal=False)


def _shape_strategy(shape: Shape | int | st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    if isinstance(shape, st.SearchStrategy):
        return shape
    return st.just((shape,) if isinstance(shape, int) else tuple(shape))


def _distinct(shape: Shape, start: float, gap: float, dtype: Any) -> st.SearchStrategy[np.ndarray]:
    """Place elements at distances of 1.5 `gap`, move each by up to half a `gap`, and shuffle them."""
    size = int(np.prod(shape))
    pushes = hnp.arrays(np.float64, size, elements=_numbers(0, gap / 2))

    def place(push: np.ndarray, order: list[int]) -> np.ndarray:
        ordered = start + 1.5 * gap * np.arange(size) + push
        return ordered[order].reshape(shape).astype(dtype)

    return st.builds(place, pushes, st.permutations(range(size)))


def edge_arrays(shape: Shape | st.SearchStrategy[Shape] | None = None, dtype: Any = np.float64) -> Any:
    """Draw arrays of `EDGE_VALUES`: 0 and -0, 1 and 1000 of both signs, infinities, nan.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(edge_arrays(1), lambda x: np.isnan(x).any())
    array([nan])
    """
    return hnp.arrays(dtype, shapes() if shape is None else shape, elements=st.sampled_from(EDGE_VALUES))


def tensors(*args: Any, requires_grad: bool = True, **options: Any) -> st.SearchStrategy[tg.Tensor]:
    """Draw tensors that hold the arrays of `arrays`.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(tensors(2, low=1.0), lambda x: True)
    tensor([1., 1.], requires_grad=True)
    """
    return arrays(*args, **options).map(lambda array: tg.Tensor(array.copy(), requires_grad))


def broadcastable_shapes(
    count: int, max_dims: int = 3, min_side: int = 0, max_side: int = 3
) -> st.SearchStrategy[tuple[Shape, ...]]:
    """Draw `count` shapes that broadcast against each other.

    Examples
    --------
    >>> from hypothesis import find
    >>> np.broadcast_shapes(*find(broadcastable_shapes(3), lambda drawn: len(set(drawn)) == 3)) != ()
    True
    """
    return hnp.mutually_broadcastable_shapes(
        num_shapes=count, max_dims=max_dims, min_side=min_side, max_side=max_side
    ).map(lambda drawn: tuple(drawn.input_shapes))


def broadcastable_arrays(
    count: int, max_dims: int = 3, min_side: int = 0, max_side: int = 3, **options: Any
) -> st.SearchStrategy[tuple[np.ndarray, ...]]:
    """Draw `count` arrays that broadcast against each other; `options` are those of `arrays`.

    Examples
    --------
    >>> from hypothesis import find
    >>> a, b = find(broadcastable_arrays(2), lambda pair: pair[0].ndim > pair[1].ndim)
    >>> (a + b).ndim == a.ndim
    True
    """
    return broadcastable_shapes(count, max_dims, min_side, max_side).flatmap(
        lambda drawn: st.tuples(*(arrays(shape, **options) for shape in drawn))
    )


def single_axes(ndim: int) -> st.SearchStrategy[int]:
    """Draw an axis of an array of `ndim` axes, counted from the front or from the back.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(single_axes(3), lambda axis: axis < 0)
    -1
    """
    return st.integers(-ndim, ndim - 1)


def axes(ndim: int) -> st.SearchStrategy[int | tuple[int, ...] | None]:
    """Draw an `axis` for a reduction: None, an axis, or a tuple of different axes, which may be empty.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(axes(3), lambda axis: isinstance(axis, tuple) and len(axis) == 2)
    (0, 1)
    """
    if ndim == 0:
        return st.sampled_from([None, ()])
    chosen = st.lists(single_axes(ndim), max_size=ndim, unique_by=lambda axis: axis % ndim).map(tuple)
    return st.none() | single_axes(ndim) | chosen


def indices(shape: Shape, advanced: bool = True) -> st.SearchStrategy[Any]:
    """Draw an index for an array of `shape`.

    An index has integers of both signs, slices with steps of both signs, ``...`` and None. With `advanced`, it may also
    be a boolean mask, or an integer array with repeated elements.

    Examples
    --------
    >>> from hypothesis import find
    >>> index = find(indices((3,)), lambda index: isinstance(index, np.ndarray))
    >>> np.zeros(3)[index].ndim
    1
    """
    basic = hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)
    if not advanced or not shape:
        return basic
    masks = hnp.arrays(np.bool_, shape) | hnp.arrays(np.bool_, shape[:1])
    if 0 in shape:
        return basic | masks
    integers = hnp.integer_array_indices(shape, result_shape=shapes(min_dims=1, max_dims=2, min_side=1))
    first = hnp.arrays(np.int64, shapes(min_dims=1, max_dims=2), elements=st.integers(-shape[0], shape[0] - 1))
    return basic | masks | integers | first
