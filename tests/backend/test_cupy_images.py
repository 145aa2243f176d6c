"""The kernels of images compared with the portable methods; `test_cupy_kernels.py` says how."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tests.backend.test_cupy_kernels import B, cupy, launched, pytestmark, same, values  # noqa: F401
from tests.doubles.cublas import Cublas
from tests.doubles.strict_cupy import StrictCupy
from tinygan import nn
from tinygan.backend import Backend
from tinygan.backend.convolutions import places
from tinygan.backend.cupy import CupyBackend
from tinygan.backend.pooling import Windows
from tinygan.errors import ShapeError
from tinygan.functional.pooling import _windows

PORTABLE = Backend(np, "cpu")
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
dtypes = st.sampled_from([np.float32, np.float32, np.float64])


@st.composite
def pooled(draw: st.DrawFn) -> tuple[tuple[int, ...], Windows]:
    """Draw the shape of images, and windows that fit."""
    shape = *draw(st.tuples(st.integers(0, 2), st.integers(1, 2))), *draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    size, stride = draw(pairs), draw(pairs)
    padding = tuple(draw(st.integers(0, k // 2)) for k in size)
    try:
        return shape, _windows("test", np.zeros(shape), size, stride, padding, draw(st.booleans()))
    except ShapeError:
        assume(False)
        raise


@given(data=st.data(), case=pooled(), dtype=dtypes, transposed=st.booleans())
def test_pooling(B: CupyBackend, data: st.DataObject, case: Any, dtype: Any, transposed: bool) -> None:  # noqa: F811
    shape, windows = case
    x = data.draw(values(shape[::-1] if transposed else shape, dtype))
    x, there = (x.T, B.from_numpy(x).T) if transposed else (x, B.from_numpy(x))
    y, place = PORTABLE.max_pool(x, windows)
    y_there, place_there = B.max_pool(there, windows)
    same(y_there, y)
    gy = data.draw(hnp.arrays(dtype, y.shape, elements=st.integers(-9, 9)))
    g_there = B.from_numpy(gy)
    same(B.max_pool_backward(g_there, place_there, windows), PORTABLE.max_pool_backward(gy, place, windows))
    same(B.winners(there, place_there, windows), PORTABLE.winners(x, place, windows))
    with np.errstate(all="ignore"):
        same(B.sum_pool(there, windows), PORTABLE.sum_pool(x, windows))
    same(B.sum_pool_backward(g_there, windows), PORTABLE.sum_pool_backward(gy, windows))


@given(
    data=st.data(),
    sizes=st.tuples(*[st.integers(0, 3)] * 3),
    image=pairs,
    kernel=pairs,
    stride=pairs,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dtype=dtypes,
)
def test_convolution(
    B: CupyBackend,  # noqa: F811
    data: st.DataObject,
    sizes: Any,
    image: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    dtype: Any,
) -> None:
    n, channels, units = sizes
    size = places(image, kernel, stride, padding)
    assume(min(size) > 0)
    small = st.integers(-9, 9)  # so that sums in any order have the same bits
    shapes = (n, channels, *image), (units, channels, *kernel), (n, units, *size)
    x, w, g = (data.draw(hnp.arrays(dtype, shape, elements=small)) for shape in shapes)
    x_there, w_there, g_there = (B.from_numpy(array) for array in (x, w, g))
    same(B.conv(x_there, w_there, stride, padding), PORTABLE.conv(x, w, stride, padding))
    back = PORTABLE.conv_transpose(g, w, image, stride, padding)
    same(B.conv_transpose(g_there, w_there, image, stride, padding), back)
    weight = PORTABLE.conv_weight(g, x, kernel, stride, padding)
    same(B.conv_weight(g_there, x_there, kernel, stride, padding), weight)


def test_few_kernels_each(B: CupyBackend, cupy: StrictCupy) -> None:  # noqa: F811
    """With the arrays of a training step; otherwise the tests above might compare the portable methods."""
    x, w = B.from_numpy(np.ones((2, 3, 6, 6), "f4")), B.from_numpy(np.ones((4, 3, 4, 4), "f4"))
    g, windows = B.from_numpy(np.ones((2, 4, 3, 3), "f4")), _windows("test", x, 2, 2, 0, False)
    steps = (2, 2), (1, 1)
    product = {"matmul": 1, "copy": 1}  # the copy exchanges the axes of images and channels
    assert launched(cupy, lambda: B.conv(x, w, *steps))[1] == {"im2col": 1, **product}
    assert launched(cupy, lambda: B.conv_transpose(g, w, (6, 6), *steps))[1] == {"col2im": 1, **product}
    assert launched(cupy, lambda: B.conv_weight(g, x, (4, 4), *steps))[1] == {"im2col": 1, **product}
    y, place = B.max_pool(x, windows)
    for name, arguments in {
        "max_pool": (x, windows),
        "max_pool_backward": (y, place, windows),
        "winners": (x, place, windows),
        "sum_pool": (x, windows),
        "sum_pool_backward": (y, windows),
    }.items():
        _, launches = launched(cupy, lambda name=name, arguments=arguments: getattr(B, name)(*arguments))
        assert launches == {name: 1}
    assert launched(cupy, lambda: B.max_pool(x.transpose(1, 0, 2, 3), windows))[1] == {"copy": 1, "max_pool": 1}
