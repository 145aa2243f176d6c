"""NumPy's pooling and maxout compared with the portable methods, for images in any order in memory."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.backend import Backend, NumpyBackend, numpy_pooling
from tinygan.backend.pooling import Windows
from tinygan.testing import shapes

PORTABLE, FAST = Backend(np, "cpu"), NumpyBackend()
ELEMENTS = [0.0, -0.0, 1.0, 1.0, 2.0, -3.0, np.inf, -np.inf, np.nan]
dtypes = st.sampled_from(["f2", "f4", "f8"])


@pytest.fixture(autouse=True, params=[2, 1 << 17], ids=["small blocks", "one block"])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_pooling, "_BLOCK", request.param)


@st.composite
def axis_of_windows(draw: st.DrawFn) -> tuple[int, ...]:
    """Draw size, stride, padding, pixels and a number of windows of which the last begins inside."""
    size, stride, pixels = (draw(st.integers(1, n)) for n in (4, 4, 7))
    padding = draw(st.integers(0, size // 2))
    return size, stride, padding, pixels, draw(st.integers(1, (pixels - 1 + padding) // stride + 1))


windows = st.tuples(axis_of_windows(), axis_of_windows()).map(lambda axes: Windows(*zip(*axes, strict=True)))


def in_order(data: st.DataObject, array: np.ndarray) -> np.ndarray:
    """Return the array with its axes in any order in memory."""
    order = data.draw(st.permutations(range(array.ndim)))
    return np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))


def same(got: Any, expected: Any) -> None:
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(got, expected)


@given(data=st.data(), windows=windows, n=st.integers(0, 3), c=st.integers(0, 3), dtype=dtypes)
def test_pooling(data: st.DataObject, windows: Windows, n: int, c: int, dtype: str) -> None:
    x = in_order(data, data.draw(hnp.arrays(dtype, (n, c, *windows.image), elements=st.sampled_from(ELEMENTS))))
    y, place = PORTABLE.max_pool(x, windows)
    fast, fast_place = FAST.max_pool(x, windows)
    same(fast, y)
    gy = in_order(data, data.draw(hnp.arrays(dtype, y.shape, elements=st.integers(-9, 9))))
    back = PORTABLE.max_pool_backward(gy, place, windows)
    same(FAST.max_pool_backward(gy, fast_place, windows), back)
    same(PORTABLE.max_pool_backward(gy, fast_place, windows), back)  # each can go on with the places of the other
    same(FAST.winners(x, fast_place, windows), y)
    same(PORTABLE.winners(x, place, windows), y)
    finite = np.nan_to_num(x, posinf=5, neginf=7)
    same(FAST.sum_pool(finite, windows), PORTABLE.sum_pool(finite, windows))
    same(FAST.sum_pool_backward(gy, windows), PORTABLE.sum_pool_backward(gy, windows))


@given(data=st.data(), shape=shapes(1, 4), dtype=dtypes)
def test_maxout(data: st.DataObject, shape: tuple[int, ...], dtype: str) -> None:
    """Of any axis, with ties and nan."""
    axis = data.draw(st.integers(-len(shape), -1))
    shape = (*shape[:axis], max(shape[axis], 1), *shape[len(shape) + axis + 1 :])
    x = in_order(data, data.draw(hnp.arrays(dtype, shape, elements=st.sampled_from(ELEMENTS))))
    for got, expected in zip(FAST.maxout(x, axis), PORTABLE.maxout(x, axis), strict=True):
        same(got, np.asarray(expected))


def test_the_last_window_may_begin_anywhere() -> None:
    """Windows of one pixel that are far apart, and windows as large as the image."""
    x = np.arange(24.0).reshape(1, 1, 4, 6)
    y, _ = FAST.max_pool(x, Windows((1, 1), (3, 5), (0, 0), (4, 6), (2, 2)))
    assert y.tolist() == [[[[0, 5], [18, 23]]]]
    y, _ = FAST.max_pool(x, Windows((4, 6), (1, 1), (2, 3), (4, 6), (1, 1)))
    assert y.tolist() == [[[[8]]]]
