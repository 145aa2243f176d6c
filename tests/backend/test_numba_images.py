"""The loops for images compared with the portable methods: shapes, strides, padding, orders in memory, gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

import tinygan as tg
import tinygan.functional as F
from tests.backend.test_convolutions import assert_same, case
from tests.backend.test_numpy_layers import laid_out, normal, same
from tests.backend.test_numpy_pooling import ELEMENTS, windows
from tinygan.backend import Backend, NumpyBackend, image_loops, numba_images, select_backend
from tinygan.backend.numba import NumbaBackend
from tinygan.backend.pooling import Windows

FAST, NUMPY, PORTABLE = NumbaBackend(), NumpyBackend(), Backend(np, "cpu")
ORDERS = st.sampled_from(["batch first", "channels first", "channels last", "columns", "gaps"])
DTYPES = st.sampled_from(["f4", "f8"])


@pytest.fixture
def numba() -> Iterator[None]:
    select_backend("numba")
    yield
    select_backend("numpy")


@st.composite
def dcgan_cases(draw: st.DrawFn) -> Any:
    """Draw a convolution with kernel 4 and stride 2."""
    padding = draw(st.tuples(*[st.integers(0, 4)] * 2))
    size = tuple(draw(st.integers(max(4 - 2 * p, 1), 13)) for p in padding)
    n, c, k = draw(st.tuples(*[st.integers(1, 3)] * 3))
    return case(n, c, k, size, (4, 4), (2, 2), padding, draw(DTYPES), draw(st.integers(0, 99)))


@given(dcgan_cases(), ORDERS, st.integers(1, 9))
def test_winograd_agrees_with_the_definition(one: Any, order: str, length: int) -> None:
    expected = one.products(PORTABLE)
    one = one._replace(x=laid_out(one.x, order), g=laid_out(one.g, order), w=laid_out(one.w, order))
    with (
        mock.patch.multiple(numba_images, _CHANNELS=1, _LENGTH=length),
        mock.patch.object(image_loops, "conv_kernels", wraps=image_loops.conv_kernels) as used,
    ):
        assert_same(one.products(FAST), expected, 1e-5 if one.x.dtype == np.float32 else 1e-12)
    assert used.call_count == 2


@pytest.mark.parametrize("shape", [(0, 16, 16), (2, 0, 16), (2, 16, 0)])
def test_empty_images(shape: tuple[int, int, int]) -> None:
    one = case(*shape, (8, 8), (4, 4), (2, 2), (1, 1))
    assert_same(one.products(FAST), one.products(PORTABLE))


def test_an_image_smaller_than_the_kernel() -> None:
    x, w = np.ones((2, 16, 2, 3)), np.ones((16, 16, 4, 4))
    assert FAST.conv(x, w, (2, 2), (0, 0)).shape == PORTABLE.conv(x, w, (2, 2), (0, 0)).shape == (2, 16, 0, 0)


@pytest.mark.parametrize(
    ("kernel", "stride", "dtype"), [((4, 4), (1, 2), "f8"), ((3, 4), (2, 2), "f8"), ((4, 4), (2, 2), "g")]
)
def test_other_convolutions_are_those_of_numpy(kernel: Any, stride: Any, dtype: str) -> None:
    one = case(2, 16, 17, (8, 9), kernel, stride, (1, 1), dtype)
    with mock.patch.object(image_loops, "conv_kernels", side_effect=AssertionError):
        assert_same(one.products(FAST), one.products(PORTABLE))


def test_pixels_that_no_kernel_meets_are_zero() -> None:
    g, w = np.ones((1, 1, 1, 1)), np.ones((1, 1, 4, 4))
    x = FAST.conv_transpose(g, w, (9, 9), (2, 2), (0, 0))
    assert x.sum() == 16
    assert x[0, 0, :4, :4].all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_layer_of_dcgan_is_as_accurate_as_numpy(dtype: str) -> None:
    one = case(8, 64, 128, (16, 16), (4, 4), (2, 2), (1, 1), dtype)
    exact = case(8, 64, 128, (16, 16), (4, 4), (2, 2), (1, 1), "f8")
    exact = exact._replace(x=one.x.astype("f8"), w=one.w.astype("f8"), g=one.g.astype("f8"))
    for found, right in zip(one.products(FAST), exact.products(PORTABLE), strict=True):
        error = np.sqrt(np.mean((found - right) ** 2)) / np.sqrt(np.mean(right**2))
        assert error < (2e-6 if dtype == "f4" else 1e-14)


@pytest.mark.usefixtures("numba")
@pytest.mark.parametrize("transposed", [False, True])
def test_gradients_of_convolutions(transposed: bool) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 2, 3, 4) if transposed else (2, 2, 5, 6)), rng.normal(size=(2, 2, 4, 4))
    function = F.conv_transpose2d if transposed else F.conv2d
    inputs = [tg.tensor(array, dtype="float64", requires_grad=True) for array in (x, w)]
    with mock.patch.object(numba_images, "_CHANNELS", 1):
        assert tg.gradcheck(lambda x, w: function(x, w, None, 2, 1), inputs, order=2)


# ---------------------------------------------------------------------- batch normalization, activations


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 4)) | st.tuples(*[st.integers(1, 9)] * 4), dtype=DTYPES,
    order=ORDERS, seed=st.integers(0, 99), affine=st.booleans(), eps=st.sampled_from([1e-5, 0.1]),
)  # fmt: skip
def test_batch_norm(shape: tuple[int, ...], dtype: str, order: str, seed: int, affine: bool, eps: float) -> None:
    x, gy = (laid_out(a, order) for a in normal(shape, dtype, seed, 2))
    gain, bias = normal((shape[1],), dtype, seed + 1, 2) if affine else (None, None)
    with mock.patch.object(numba_images, "_SHORT", 1):
        expected = PORTABLE.batch_norm(x, gain, bias, eps)
        same(FAST.batch_norm(x, gain, bias, eps), expected, dtype, order, x)
        arguments = gy, x, gain, *expected[1:], eps
        same(FAST.batch_norm_backward(*arguments), PORTABLE.batch_norm_backward(*arguments), dtype, order, x)


@pytest.mark.usefixtures("numba")
def test_gradients_of_batch_norm() -> None:
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(2, 2, 4, 4)), rng.normal(size=2), rng.normal(size=2)
    inputs = [tg.tensor(array, dtype="float64", requires_grad=True) for array in arrays]
    assert tg.gradcheck(F.batch_norm, inputs, order=2)


@settings(max_examples=30)
@given(shape=st.tuples(*[st.integers(0, 3)] * 4), dtype=st.sampled_from(["f2", "f4", "f8"]), order=ORDERS)
def test_activations_in_any_order_of_memory(shape: tuple[int, ...], dtype: str, order: str) -> None:
    rng = np.random.default_rng(0)
    x, gy = (rng.choice([0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan], shape).astype(dtype) for _ in range(2))
    x = laid_out(x, order)
    for method in (lambda B: (B.relu(x), B.relu_backward(gy, x)), lambda B: B.leaky(x, 0.2),
                   lambda B: (B.leaky_backward(gy, x > 0, 0.2),)):  # fmt: skip
        for found, expected in zip(method(FAST), method(PORTABLE), strict=True):
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


@given(
    data=st.data(), windows=windows, n=st.integers(0, 3), c=st.integers(0, 3), order=ORDERS,
    dtype=st.sampled_from(["f2", "f4", "f8"]),
)  # fmt: skip
def test_max_pool(data: st.DataObject, windows: Windows, n: int, c: int, dtype: str, order: str) -> None:
    x = laid_out(data.draw(hnp.arrays(dtype, (n, c, *windows.image), elements=st.sampled_from(ELEMENTS))), order)
    y, place = FAST.max_pool(x, windows)
    expected, _ = PORTABLE.max_pool(x, windows)
    assert (y.dtype, place.dtype) == (x.dtype, np.uint8)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(PORTABLE.winners(x, place, windows), y)
    gy = np.arange(y.size, dtype=dtype).reshape(y.shape)
    _, there = NUMPY.max_pool(x, windows)
    np.testing.assert_array_equal(place, there)
    np.testing.assert_array_equal(
        FAST.max_pool_backward(gy, place, windows), NUMPY.max_pool_backward(gy, there, windows)
    )
