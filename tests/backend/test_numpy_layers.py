"""The fast kernels of layers compared with the portable ones: orders of memory, sizes of pieces, edge values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from tinygan.backend import Backend, NumpyBackend, Shape, numpy_layers

FAST, PORTABLE = NumpyBackend(), Backend(np, "cpu")
ORDERS = st.sampled_from(["batch first", "channels first", "channels last", "columns", "gaps"])
DTYPES = st.sampled_from(["f4", "f8"])
EDGES = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1000.0, -1000.0, 1e-30, 15.5, -15.5, 1e20, -1e20])
seeds = st.integers(0, 2**32 - 1)
few = st.integers(1, 5)
images = st.tuples(st.integers(2, 5), few) | st.tuples(few, few, st.integers(2, 5), few)


def laid_out(x: Any, order: str) -> Any:
    """Return the same elements in another order of memory."""
    if order == "columns":
        return np.asfortranarray(x)
    if order == "gaps":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    others = range(2, x.ndim)
    axes = {"channels first": (1, *others, 0), "channels last": (0, *others, 1)}.get(order, tuple(range(x.ndim)))
    return np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes))


@contextmanager
def pieces(numbers: int, long: int = 64) -> Iterator[None]:
    """Work in pieces of so many numbers, so that small arrays have several."""
    with mock.patch.multiple(numpy_layers, _PIECE=numbers, _LONG=long), np.errstate(all="ignore"):
        yield


def same(fast: Any, portable: Any, dtype: str, order: str | None = None, like: Any = None) -> None:
    for a, b in zip(fast, portable, strict=True):
        assert a.dtype == b.dtype == dtype
        assert a.shape == b.shape
        finite = b[np.isfinite(b)]
        scale = max(1.0, abs(finite).max(initial=0))
        rtol, atol = (2e-5, 2e-6) if dtype == "f4" else (1e-11, 1e-14)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol * scale)
    if like is not None and like.size and order != "gaps":
        kept = [stride for stride, size in zip(fast[0].strides, like.shape, strict=True) if size > 1]
        assert kept == [stride for stride, size in zip(like.strides, like.shape, strict=True) if size > 1]


def normal(shape: Shape, dtype: str, seed: int, count: int = 1) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [(2 * rng.normal(size=shape) + rng.normal()).astype(dtype) for _ in range(count)]


# ---------------------------------------------------------------------- activations

CURVES = {
    "elu": lambda B, x: B.elu(x, 1.0),
    "elu with another slope": lambda B, x: B.elu(x, 0.7),
    "elu with a slope of 2": lambda B, x: B.elu(x, 2.0),
    "elu below 0": lambda B, x: B.elu(x, -0.5),
    "silu": lambda B, x: B.silu(x),
    "gelu": lambda B, x: B.gelu(x),
}


@pytest.mark.parametrize("name", CURVES)
@given(shape=images | st.just(()) | st.just((0, 3)), dtype=DTYPES, order=ORDERS, seed=seeds, piece=st.integers(1, 9))
def test_activations_are_the_portable_ones(
    name: str, shape: Shape, dtype: str, order: str, seed: int, piece: int
) -> None:
    x = normal(shape, dtype, seed)[0]
    x = np.where(np.random.default_rng(seed).random(shape) < 0.2, np.resize(EDGES, shape).astype(dtype), x)
    x = laid_out(x, order) if x.ndim > 1 else x
    before = x.copy()
    with pieces(piece):
        same(CURVES[name](FAST, x), [np.asarray(a) for a in CURVES[name](PORTABLE, x)], dtype, order, x)
    np.testing.assert_array_equal(x, before)


def test_gelu_in_single_precision_is_right_in_its_tail() -> None:
    x = np.linspace(-13, 13, 100_001, dtype="f4")
    exact = x.astype("f8")
    y, slope = FAST.gelu(x)
    density = np.exp(-exact * exact / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(y, exact * special.ndtr(exact), rtol=1e-5, atol=1e-37)
    np.testing.assert_allclose(slope, special.ndtr(exact) + exact * density, atol=5e-7)
    assert float(FAST.gelu(np.array([-10.0], "f4"))[0][0]) == pytest.approx(-7.619853024160527e-23, rel=1e-5)


def test_silu_and_its_slope_in_both_tails() -> None:
    x = np.array([-100.0, -90.0, -20.0, 20.0, 90.0, 1e4], "f4")
    exact = x.astype("f8")
    y, slope = FAST.silu(x)
    np.testing.assert_allclose(y, exact * special.expit(exact), rtol=1e-6, atol=1e-42)
    s = special.expit(exact)
    np.testing.assert_allclose(slope, s + exact * s * (1 - s), rtol=1e-5, atol=1e-42)


# ---------------------------------------------------------------------- softmax


@given(shape=images | st.just((4,)), dtype=DTYPES, order=ORDERS, seed=seeds, piece=st.integers(1, 9), data=st.data())
def test_softmax_and_its_backward(
    shape: Shape, dtype: str, order: str, seed: int, piece: int, data: st.DataObject
) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    x, gy = normal(shape, dtype, seed, 2)
    if data.draw(st.booleans()):
        x.flat[0] = data.draw(st.sampled_from([np.inf, -np.inf, np.nan, 1e4]))
    x = laid_out(x, order) if x.ndim > 1 else x
    with pieces(piece):
        for name in ("softmax", "log_softmax"):
            y = getattr(PORTABLE, name)(x, axis)
            same([getattr(FAST, name)(x, axis)], [y], dtype)
            backward = name + "_backward"
            same([getattr(FAST, backward)(gy, y, axis)], [getattr(PORTABLE, backward)(gy, y, axis)], dtype)


# ---------------------------------------------------------------------- normalization


@given(
    shape=images, dtype=DTYPES, order=ORDERS, other=ORDERS, seed=seeds, piece=st.sampled_from([1, 7, 30, 10_000]),
    long=st.sampled_from([2, 64]), affine=st.booleans(), broken=st.sampled_from([None, np.nan, np.inf]),
)  # fmt: skip
def test_batch_norm_and_its_backward(
    shape: Shape, dtype: str, order: str, other: str, seed: int, piece: int, long: int, affine: bool, broken: Any
) -> None:
    x, gy = normal(shape, dtype, seed, 2)
    gain, bias = normal(shape[1:2], dtype, seed + 1, 2)
    if broken is not None:
        x[0, 0] = broken
    numbers = (gain, bias) if affine else (None, None)
    x, gy = laid_out(x, order), laid_out(gy, other)
    before = x.copy(), gy.copy()
    with pieces(piece, long):
        y = PORTABLE.batch_norm(x, *numbers, 0.1)
        same(FAST.batch_norm(x, *numbers, 0.1), y, dtype, order, x)
        given_ = gy, x, numbers[0], *y[1:], 0.1
        same(FAST.batch_norm_backward(*given_), PORTABLE.batch_norm_backward(*given_), dtype, order, x)
        same([FAST.channel_affine(x, gain, bias)], [PORTABLE.channel_affine(x, gain, bias)], dtype, order, x)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(gy, before[1])


@pytest.mark.parametrize("order", ["batch first", "channels first"])
@pytest.mark.parametrize("shape", [(8, 3, 70, 70), (33, 40, 4, 4), (3, 2, 9, 11)])
def test_batch_norm_of_images_in_single_precision(order: str, shape: Shape) -> None:
    x, gy = normal(shape, "f4", 5, 2)
    x += 30
    exact, share = x.astype("f8"), gy.astype("f8")
    y, mean, variance = FAST.batch_norm(laid_out(x, order), None, None, 1e-5)
    wanted = PORTABLE.batch_norm(exact, None, None, 1e-5)
    for a, b in zip((y, mean, variance), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
    gx, gg, gb = FAST.batch_norm_backward(gy, laid_out(x, order), None, mean, variance, 1e-5)
    for a, b in zip((gx, gg, gb), PORTABLE.batch_norm_backward(share, exact, None, *wanted[1:], 1e-5), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * abs(b).max())


@given(
    rows=st.integers(0, 6), n=st.integers(1, 6), dtype=DTYPES, order=ORDERS, seed=seeds, affine=st.booleans(),
    piece=st.integers(1, 20), broken=st.sampled_from([None, np.nan, np.inf]),
)  # fmt: skip
def test_layer_norm_and_its_backward(
    rows: int, n: int, dtype: str, order: str, seed: int, affine: bool, piece: int, broken: Any
) -> None:
    x, gy = normal((rows, n), dtype, seed, 2)
    weight, bias = normal((n,), dtype, seed + 1, 2)
    if broken is not None and rows:
        x[0, 0] = broken
    numbers = (weight, bias) if affine else (None, None)
    x = laid_out(x, order)
    with pieces(piece):
        y = PORTABLE.layer_norm(x, *numbers, 0.1)
        same(FAST.layer_norm(x, *numbers, 0.1), y, dtype)
        given_ = gy, x, numbers[0], *y[1:], 0.1
        same(FAST.layer_norm_backward(*given_), PORTABLE.layer_norm_backward(*given_), dtype)
