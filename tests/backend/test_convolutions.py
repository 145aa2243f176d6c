"""The three products of a convolution: the portable definitions against loops, and NumPy's algorithms against them."""

from __future__ import annotations

from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles.installed import strict_cupy
from tinygan.backend import Backend, NumpyBackend, get_backend, numpy_convolution, numpy_fourier
from tinygan.backend.convolutions import places

PORTABLE = Backend(np, "cpu")
FAST = NumpyBackend()
PRODUCTS = ("conv", "conv_transpose", "conv_weight")


class Case(NamedTuple):
    """One convolution: x (N, C, H, W), w (K, C, h, w), g of the shape of the result, stride and padding."""

    x: Any
    w: Any
    g: Any
    stride: tuple[int, int]
    padding: tuple[int, int]

    def products(self, backend: Any) -> list[Any]:
        """Return conv(x, w), conv_transpose(g, w) and conv_weight(g, x)."""
        steps = self.stride, self.padding
        return [
            backend.conv(self.x, self.w, *steps),
            backend.conv_transpose(self.g, self.w, self.x.shape[2:], *steps),
            backend.conv_weight(self.g, self.x, self.w.shape[2:], *steps),
        ]


def case(n, c, k, size, kernel, stride=(1, 1), padding=(0, 0), dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    result = places(size, kernel, stride, padding)
    shapes = (n, c, *size), (k, c, *kernel), (n, k, *result)
    return Case(*(rng.normal(size=shape).astype(dtype) for shape in shapes), stride, padding)


@st.composite
def cases(draw, least=0, stride_1=False, dtypes=("float64",)):
    kernel = draw(st.tuples(*[st.integers(1, 5)] * 2))
    stride = (1, 1) if stride_1 else draw(st.tuples(*[st.integers(1, 4)] * 2))
    padding = draw(st.tuples(*[st.integers(0, 6)] * 2))
    size = tuple(draw(st.integers(max(k - 2 * p, least), 9)) for k, p in zip(kernel, padding, strict=True))
    numbers = draw(st.tuples(*[st.integers(least, 3)] * 3))
    return case(*numbers, size, kernel, stride, padding, draw(st.sampled_from(dtypes)), draw(st.integers(0, 99)))


def in_a_loop(one):
    """Compute the three products from the definition, one product of numbers at a time."""
    (s, t), (p, q) = one.stride, one.padding
    y, x, w = np.zeros_like(one.g), np.zeros_like(one.x), np.zeros_like(one.w)
    for n, k, i, j in np.ndindex(one.g.shape):
        for c, a, b in np.ndindex(one.w.shape[1:]):
            row, column = a + s * i - p, b + t * j - q
            if 0 <= row < one.x.shape[2] and 0 <= column < one.x.shape[3]:
                y[n, k, i, j] += one.x[n, c, row, column] * one.w[k, c, a, b]
                x[n, c, row, column] += one.g[n, k, i, j] * one.w[k, c, a, b]
                w[k, c, a, b] += one.g[n, k, i, j] * one.x[n, c, row, column]
    return [y, x, w]


def assert_same(found, expected, tolerance=1e-12):
    for name, a, b in zip(PRODUCTS, found, expected, strict=True):
        assert a.shape == b.shape, name
        assert a.dtype == b.dtype, name
        assert np.abs(a - b).max(initial=0) <= tolerance * max(1, np.abs(b).max(initial=0)), name


# ---------------------------------------------------------------------- the definition


SMALL = [
    case(2, 3, 2, (4, 5), (3, 2)),
    case(2, 2, 3, (5, 4), (3, 3), (2, 1), (1, 2)),
    case(1, 1, 1, (1, 1), (1, 1)),
    case(1, 2, 2, (5, 5), (1, 1), (3, 3)),  # a stride larger than the kernel
    case(2, 1, 2, (6, 3), (2, 3), (3, 2), (0, 1)),  # rows at the edge that no kernel meets
    case(1, 1, 2, (1, 2), (3, 3), (1, 2), (3, 4)),  # kernels that meet only padding
    case(1, 2, 1, (4, 4), (4, 4)),  # one place
]


@pytest.mark.parametrize("one", SMALL)
@pytest.mark.parametrize("backend", [PORTABLE, FAST], ids=["portable", "numpy"])
def test_products_are_those_of_a_loop(backend, one):
    assert_same(one.products(backend), in_a_loop(one))


@given(cases())
def test_the_three_products_are_adjoint(one):
    y, x, w = one.products(PORTABLE)
    total = (y * one.g).sum()
    assert np.isclose(total, (x * one.x).sum(), rtol=1e-11, atol=1e-11)
    assert np.isclose(total, (w * one.w).sum(), rtol=1e-11, atol=1e-11)


def test_places_are_rounded_down():
    assert places((5, 6), (3, 3), (2, 2), (0, 0)) == (2, 2)
    assert places((28, 28), (5, 5), (2, 2), (2, 2)) == (14, 14)


# ---------------------------------------------------------------------- NumPy's algorithms


@given(cases(), st.sampled_from([0, 99]))
def test_rows_agree_with_the_definition(one, narrow):
    with mock.patch.object(numpy_convolution, "_NARROW", narrow):  # both ways to the gradient of the weight
        assert_same(one.products(FAST), one.products(PORTABLE))


def test_many_channels_agree_with_the_definition():
    for one in (case(3, 20, 2, (7, 6), (4, 4), (2, 2), (1, 1)), case(2, 30, 3, (5, 9), (3, 5), (1, 3), (2, 0))):
        assert_same(one.products(FAST), one.products(PORTABLE))


@given(cases(dtypes=("float32",)))
def test_single_precision_agrees_with_double(one):
    wide = one._replace(x=one.x.astype(float), w=one.w.astype(float), g=one.g.astype(float))
    expected = [product.astype(np.float32) for product in wide.products(PORTABLE)]
    assert_same(one.products(FAST), expected, 3e-6)


class Fourier(NumpyBackend):
    """NumPy's backend with transforms for each convolution of stride 1 that is not empty."""

    def conv(self, x, w, stride, padding):
        return numpy_convolution.as_images(numpy_fourier.conv(numpy_convolution.as_planes(x), w, padding))

    def conv_transpose(self, g, w, size, stride, padding):
        planes = numpy_convolution.as_planes(g)
        return numpy_convolution.as_images(numpy_fourier.conv_transpose(planes, w, tuple(size), padding))

    def conv_weight(self, g, x, kernel, stride, padding):
        planes = map(numpy_convolution.as_planes, (g, x))
        return numpy_fourier.conv_weight(*planes, tuple(kernel), padding)


@given(cases(least=1, stride_1=True, dtypes=("float32",)))
def test_transforms_agree_with_the_definition(one):
    assert_same(one.products(Fourier()), one.products(PORTABLE), 3e-6)


def test_transforms_are_chosen_for_large_kernels_only(monkeypatch):
    def fails(*operands):
        raise AssertionError("chosen")

    large = case(16, 16, 16, (12, 12), (5, 5), padding=(2, 2), dtype="float32")
    expected = large.products(PORTABLE)
    assert_same(large.products(FAST), expected, 3e-6)
    for name in PRODUCTS:
        monkeypatch.setattr(numpy_fourier, name, fails)
    calls = [
        lambda: FAST.conv(large.x, large.w, large.stride, large.padding),
        lambda: FAST.conv_transpose(large.g, large.w, (12, 12), large.stride, large.padding),
        lambda: FAST.conv_weight(large.g, large.x, (5, 5), large.stride, large.padding),
    ]
    for call in calls:
        with pytest.raises(AssertionError, match="chosen"):
            call()
    for other in (
        case(16, 16, 16, (12, 12), (5, 5), padding=(2, 2)),  # double precision stays exact
        case(16, 16, 16, (12, 12), (5, 5), (2, 2), (2, 2), "float32"),
        case(1, 16, 16, (12, 12), (1, 1), dtype="float32"),
        case(0, 16, 16, (12, 12), (5, 5), dtype="float32"),
    ):
        assert_same(other.products(FAST), other.products(PORTABLE), 3e-6)


@pytest.mark.parametrize("backend", [FAST, Fourier()], ids=["rows", "transforms"])
def test_zero_images_give_exactly_zero(backend):
    one = case(4, 3, 5, (6, 6), (3, 3), padding=(1, 1), dtype="float32")
    for product in one._replace(x=one.x * 0, g=one.g * 0).products(backend):
        assert not product.any()


@pytest.mark.parametrize("backend", [FAST, Fourier()], ids=["rows", "transforms"])
def test_a_nan_stays_in_its_image(backend):
    one = case(4, 3, 5, (6, 6), (3, 3), padding=(1, 1), dtype="float32")
    clean, _, _ = one.products(backend)
    one.x[1, 2, 3, 3] = np.nan
    y, _, w = one.products(backend)
    assert np.isnan(y[1]).any()
    assert np.isnan(w).any()
    assert np.array_equal(y[[0, 2, 3]], clean[[0, 2, 3]])


# ---------------------------------------------------------------------- memory


def in_orders(array):
    """Yield the same numbers in several memory orders."""
    yield array
    yield array.copy(order="F")
    yield np.ascontiguousarray(array.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    larger = np.full([2 * size for size in array.shape], np.nan, array.dtype)
    larger[::2, ::2, ::2, ::2] = array
    yield larger[::2, ::2, ::2, ::2]
    yield array[::-1, :, ::-1].copy()[::-1, :, ::-1]


@pytest.mark.parametrize("backend", [PORTABLE, FAST, Fourier()], ids=["portable", "rows", "transforms"])
def test_memory_order_does_not_matter_and_nothing_is_changed(backend):
    one = case(3, 2, 4, (5, 6), (3, 2), padding=(1, 0), dtype="float32")
    expected = in_a_loop(one)
    for x, w, g in zip(*map(in_orders, one[:3]), strict=True):
        other = Case(x, w, g, one.stride, one.padding)
        found = other.products(backend)
        assert_same(found, expected, 3e-6)
        for before, after in zip(one[:3], (x, w, g), strict=True):
            assert np.array_equal(before, after)
            assert not any(np.shares_memory(after, product) for product in found)


def test_results_lie_with_the_batch_last_and_weights_in_c_order():
    for one in (case(8, 2, 4, (6, 6), (3, 3), dtype=dtype) for dtype in ("float32", "float64")):
        y, x, w = one.products(FAST)
        assert y.transpose(1, 2, 3, 0).flags.c_contiguous
        assert x.transpose(1, 2, 3, 0).flags.c_contiguous
        assert w.flags.c_contiguous
        assert np.shares_memory(y.reshape(8, -1), y)  # a linear layer after it needs no copy


# ---------------------------------------------------------------------- the double of CuPy


def test_the_portable_products_run_on_the_double_of_cupy():
    with strict_cupy() as cupy:
        gpu, one = get_backend("cuda"), SMALL[1]
        one = one._replace(x=one.x.astype("f4"), w=one.w.astype("f4"), g=one.g.astype("f4"))
        moved = Case(*(cupy.asarray(array) for array in one[:3]), one.stride, one.padding)
        with cupy.gpu.step():
            found = moved.products(gpu)
        assert_same([gpu.to_numpy(product) for product in found], in_a_loop(one), 3e-6)
