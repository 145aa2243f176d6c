"""The fast kernels compared with the portable kernels, over shapes, dtypes and edge values."""

from __future__ import annotations

import sys
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan.backend.numpy as numpy_backend
from tinygan.backend import Backend, NumpyBackend, Shape, Stream, keep_freed_memory

FAST = NumpyBackend()
PORTABLE = Backend(np, "cpu")

DTYPES = st.sampled_from(["f4", "f8"])
_EDGES = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1000.0, -1000.0, 1e-30, 0.5]


def edgy(dtype: str, shape: Any) -> st.SearchStrategy[np.ndarray]:
    """Arrays in which ties, zeros, infinities and nans are common."""
    return hnp.arrays(dtype, shape, elements=st.sampled_from(_EDGES) | st.floats(-2, 2, width=16))


SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


def same(fast: Any, portable: Any) -> None:
    """Compare elements, shape and dtype; a scalar counts as a 0-d array."""
    fast, portable = np.asarray(fast), np.asarray(portable)
    assert fast.dtype == portable.dtype
    np.testing.assert_array_equal(fast, portable)


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with np.errstate(all="ignore"):
        yield


# ---------------------------------------------------------------------- sums


@given(DTYPES, st.tuples(st.integers(0, 70), st.integers(0, 70)), st.booleans(), st.integers(0, 99))
def test_a_column_times_a_row_has_the_bits_of_blas(dtype: str, sizes: Shape, transposed: bool, seed: int) -> None:
    """Also those of a zero with a sign and of subnormal numbers."""
    rng = np.random.default_rng(seed)
    a, b = ((rng.normal(size=size) * 10.0 ** rng.integers(-25, 15, size)).astype(dtype) for size in sizes)
    a[rng.random(a.shape) < 0.2], b[rng.random(b.shape) < 0.2] = 0.0, -0.0
    column, row = a[:, None], b[:, None].T if transposed else b[None]
    fast, portable = FAST.product(column, row), PORTABLE.product(column, row)
    assert fast.dtype == portable.dtype
    assert fast.tobytes() == portable.tobytes()


@given(DTYPES, st.sampled_from([(1,), (4, 1), (7,)]), st.booleans(), st.sampled_from([0.0, 0.5]), st.data())
def test_add_scores(dtype: str, shape: Shape, probability: bool, threshold: float, data: st.DataObject) -> None:
    fast, portable = FAST.new_sums(5), PORTABLE.new_sums(5)
    for _ in range(3):
        logits = [data.draw(edgy(dtype, shape)) for _ in range(2)]
        losses = [data.draw(edgy(dtype, ())) for _ in range(2)]
        for backend, sums in ((FAST, fast), (PORTABLE, portable)):
            backend.add_scores(sums, *losses, *logits, threshold, probability)
    np.testing.assert_allclose(fast, portable, rtol=1e-6)  # each has its own sigmoid


@given(DTYPES, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4), st.booleans(), st.data())
def test_sum_of_products(dtype: str, shape: Shape, strided: bool, data: st.DataObject) -> None:
    axes = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1))))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    a, b = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    if strided:
        a, b, axes = a.T, b.T, tuple(len(shape) - 1 - axis for axis in axes)
    fast, portable = (backend.sum_of_products(a, b, axes) for backend in (FAST, PORTABLE))
    assert fast.dtype == portable.dtype
    assert fast.shape == portable.shape
    np.testing.assert_allclose(fast, portable, rtol=1e-4 if dtype == "f4" else 1e-12, atol=1e-6)


# ---------------------------------------------------------------------- activations


@given(DTYPES, SHAPES, st.data())
def test_relu_backward(dtype: str, shape: Shape, data: st.DataObject) -> None:
    gy, y = data.draw(edgy(dtype, shape)), data.draw(edgy(dtype, shape))
    same(FAST.relu_backward(gy, y), PORTABLE.relu_backward(gy, y))


@given(DTYPES, SHAPES, st.data())
def test_relu_backward_of_strided_arrays(dtype: str, shape: Shape, data: st.DataObject) -> None:
    gy, y = data.draw(edgy(dtype, shape)).T, data.draw(edgy(dtype, shape)).T
    same(FAST.relu_backward(gy, y), PORTABLE.relu_backward(gy, y))
    lone = np.broadcast_to(gy.dtype.type(2), y.shape)
    result = FAST.relu_backward(lone, y)
    same(result, PORTABLE.relu_backward(lone, y))


SLOPES = [0.2, 0.01, 0.0, 1.0, -0.5, 3.7, np.inf, np.nan, 0, 2, "per element"]


@given(DTYPES, SHAPES, st.sampled_from(SLOPES), st.data())
def test_leaky_backward(dtype: str, shape: Shape, slope: Any, data: st.DataObject) -> None:
    x, gy = (data.draw(edgy(dtype, shape)).T for _ in range(2))
    slope = data.draw(edgy(dtype, x.shape)) if slope == "per element" else slope
    for array in (x, gy):
        fast, portable = (backend.leaky_backward(array, x > 0, slope) for backend in (FAST, PORTABLE))
        same(fast, portable)
        assert np.array_equal(np.signbit(fast)[fast == 0], np.signbit(portable)[fast == 0])


def test_leaky_keeps_the_order_of_memory() -> None:
    x = np.ones((2, 3, 4, 5), "f4").transpose(3, 0, 1, 2)
    assert FAST.leaky_backward(x, x > 0, 0.2).strides == x.strides


@given(DTYPES, SHAPES, st.data())
def test_sigmoid_backward(dtype: str, shape: Shape, data: st.DataObject) -> None:
    gy = data.draw(edgy(dtype, shape))
    chances = st.sampled_from([0.0, 1.0, 0.5, np.nan]) | st.floats(0, 1, width=16)
    y = data.draw(hnp.arrays(dtype, shape, elements=chances))
    before = gy.copy(), y.copy()
    fast, portable = np.asarray(FAST.sigmoid_backward(gy, y)), np.asarray(PORTABLE.sigmoid_backward(gy, y))
    assert fast.dtype == portable.dtype == dtype
    np.testing.assert_allclose(fast, portable, rtol=4 * float(np.finfo(dtype).eps), atol=1e-37)
    np.testing.assert_array_equal(gy, before[0])
    np.testing.assert_array_equal(y, before[1])


@pytest.mark.slow
@pytest.mark.parametrize("axis", [-1, -2, -3])
@given(DTYPES, st.integers(1, 6), hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4), st.data())
def test_maxout(axis: int, dtype: str, pieces: int, shape: Shape, data: st.DataObject) -> None:
    position = len(shape) + 1 + axis
    x = data.draw(edgy(dtype, (*shape[:position], pieces, *shape[position:])))
    before = x.copy()
    y, won = FAST.maxout(x, axis)
    y_portable, won_portable = PORTABLE.maxout(x, axis)
    same(y, y_portable)
    np.testing.assert_array_equal(won, won_portable)  # at a tie the first wins, and the first nan
    np.testing.assert_array_equal(x, before)
    assert not np.shares_memory(y, x)
    gy = data.draw(edgy(dtype, shape))
    same(FAST.maxout_backward(gy, won, axis), PORTABLE.maxout_backward(gy, won, axis))


def test_maxout_of_a_strided_array_of_integers_and_of_one_axis() -> None:
    x = np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1) % 7
    for axis in (-1, -2, -3):
        for fast, portable in zip(FAST.maxout(x, axis), PORTABLE.maxout(x, axis), strict=True):
            np.testing.assert_array_equal(fast, portable)
    y, won = FAST.maxout(np.array([1.0, 5.0, 2.0]), -1)
    assert (float(y), won.tolist()) == (5.0, [False, True, False])


def test_a_nan_and_a_tie_do_not_hide_each_other() -> None:
    """A unit without a winner and a unit with two winners: as many winners as units."""
    x = np.array([[np.nan, 1.0], [2.0, 2.0]])
    _, won = FAST.maxout(x, -1)
    np.testing.assert_array_equal(won, [[True, False], [True, False]])


@given(DTYPES, SHAPES, st.data())
def test_inherited_activations_keep_shape_and_dtype(dtype: str, shape: Shape, data: st.DataObject) -> None:
    x = data.draw(edgy(dtype, shape))
    for name in ("relu", "sigmoid", "softplus"):
        fast = getattr(FAST, name)(x)
        same(fast, getattr(PORTABLE, name)(x))
        assert np.asarray(fast).dtype == dtype
        assert np.shape(fast) == shape


# ---------------------------------------------------------------------- sums of gradients


def _indices(shape: Shape) -> st.SearchStrategy[Any]:
    return (
        hnp.basic_indices(shape, allow_newaxis=True)
        | hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4))
        | hnp.integer_array_indices(shape[:1], result_shape=hnp.array_shapes(max_dims=2, max_side=6))
        | hnp.arrays(bool, shape)
        | hnp.arrays(bool, shape[:1])
        | st.lists(st.integers(0, shape[0] - 1), max_size=5)
        | st.integers(-shape[0], shape[0] - 1).map(np.int64)
        | st.booleans()
    )


@pytest.mark.slow
@given(DTYPES, hnp.array_shapes(max_dims=3, max_side=4), st.data())
def test_scatter(dtype: str, shape: Shape, data: st.DataObject) -> None:
    index = data.draw(_indices(shape))
    x = data.draw(hnp.arrays(dtype, shape, elements=st.integers(-5, 5)))
    taken = np.asarray(x[index])
    gradient = data.draw(hnp.arrays(dtype, taken.shape, elements=st.integers(-5, 5)))
    scattered = FAST.scatter(gradient, index, shape)
    same(scattered, PORTABLE.scatter(gradient, index, shape))
    assert scattered.shape == shape
    assert (scattered * x).sum() == (gradient * taken).sum()  # so it is the adjoint of x[index]


def test_scatter_adds_what_an_index_names_twice() -> None:
    gradient = np.array([1.0, 2.0, 4.0])
    for backend in (FAST, PORTABLE):
        np.testing.assert_array_equal(backend.scatter(gradient, np.array([1, 1, 0]), (3,)), [4, 3, 0])
        np.testing.assert_array_equal(backend.scatter(gradient, [2, 2, 2], (3,)), [0, 0, 7])
        np.testing.assert_array_equal(backend.scatter(gradient, (slice(None), 0), (3, 1)), gradient[:, None])


# ---------------------------------------------------------------------- products


@given(
    st.sampled_from(["f4", "f8", "i8"]),
    st.sampled_from(["f4", "f8"]),
    st.sampled_from([None, "f4", "f8"]),
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)),
    st.data(),
)
def test_linear(x_type: str, weight_type: str, bias_type: str | None, sizes: Shape, data: st.DataObject) -> None:
    m, n, units = sizes
    numbers = st.integers(-4, 4)
    x = data.draw(hnp.arrays(x_type, (m, n), elements=numbers))
    weight = data.draw(hnp.arrays(weight_type, (n, units), elements=numbers))
    bias = None if bias_type is None else data.draw(hnp.arrays(bias_type, (units,), elements=numbers))
    before = None if bias is None else bias.copy()
    same(FAST.linear(x, weight, bias), PORTABLE.linear(x, weight, bias))
    np.testing.assert_array_equal(bias, before)


# ---------------------------------------------------------------------- update rules


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 1, 7, 64, 1000, 100_003])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_step_is_the_portable_one_up_to_rounding(size: int, dtype: str, momentum: float) -> None:
    rng = np.random.default_rng(size)
    weight, gradient, velocity = rng.normal(size=(3, size)).astype(dtype)
    copies = weight.copy(), gradient.copy(), velocity.copy()
    for _ in range(2):
        FAST.sgd_step(weight, gradient, velocity, 0.1, momentum)
        PORTABLE.sgd_step(*copies, 0.1, momentum)
    rounding = 16 * np.finfo(dtype).eps
    for ours, theirs in zip((weight, gradient, velocity), copies, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=float(rounding))


@pytest.mark.slow
@given(DTYPES, st.floats(0, 1), st.data())
def test_sgd_step_keeps_nan_and_infinity(dtype: str, momentum: float, data: st.DataObject) -> None:
    arrays = [data.draw(edgy(dtype, (9,))) for _ in range(3)]
    copies = [array.copy() for array in arrays]
    FAST.sgd_step(*arrays, 0.5, momentum)
    PORTABLE.sgd_step(*copies, 0.5, momentum)
    for ours, theirs in zip(arrays, copies, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_sgd_step_without_a_fused_routine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_backend, "axpby", lambda dtype: None)
    arrays = np.random.default_rng(0).normal(size=(3, 50)).astype("f4")
    copies = arrays.copy()
    FAST.sgd_step(*arrays, 0.1, 0.9)
    PORTABLE.sgd_step(*copies, 0.1, 0.9)
    same(arrays, copies)


@pytest.mark.parametrize("mixed", [0, 1, 2])
def test_sgd_step_of_mixed_dtypes_is_the_portable_one(mixed: int) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=20).astype("f8" if position == mixed else "f4") for position in range(3)]
    arrays[1] = arrays[1].astype("f4")  # a gradient wider than the velocity is refused by both
    copies = [array.copy() for array in arrays]
    FAST.sgd_step(*arrays, 0.1, 0.9)
    PORTABLE.sgd_step(*copies, 0.1, 0.9)
    for ours, theirs in zip(arrays, copies, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 1, 7, 1000, numpy_backend._BLOCK, numpy_backend._BLOCK + 1])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g"])
@pytest.mark.parametrize("betas", [(0.0, 0.9), (0.5, 0.9)])
def test_adam_step_is_the_portable_one_up_to_rounding(size: int, dtype: str, betas: tuple[float, float]) -> None:
    rng = np.random.default_rng(size)
    weight, gradient, mean, square = arrays = rng.normal(size=(4, size)).astype(dtype)
    np.square(square, out=square)
    copies = arrays.copy()
    for step in (3, 4):
        FAST.adam_step(weight, gradient, mean, square, 0.1, betas, 0.01, step)
        PORTABLE.adam_step(*copies, 0.1, betas, 0.01, step)
    np.testing.assert_allclose(arrays, copies, rtol=0, atol=float(64 * np.finfo(dtype).eps))


@pytest.mark.slow
@given(DTYPES, st.sampled_from([(0.0, 0.0), (0.0, 0.9), (0.5, 0.0), (0.5, 0.9)]), st.data())
def test_adam_step_keeps_nan_and_infinity(dtype: str, betas: tuple[float, float], data: st.DataObject) -> None:
    weight, gradient, mean, square = (data.draw(edgy(dtype, (9,))) for _ in range(4))
    arrays = [weight, gradient, mean, np.abs(square)]
    copies = [array.copy() for array in arrays]
    with np.errstate(all="ignore"):
        FAST.adam_step(*arrays, 0.5, betas, 0.25, 3)
        PORTABLE.adam_step(*copies, 0.5, betas, 0.25, 3)
    for ours, theirs in zip(arrays, copies, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-2 if dtype == "f2" else 1e-5, atol=1e-4)


@pytest.mark.parametrize("strided", range(4))
def test_adam_step_changes_strided_arrays_in_place(strided: int) -> None:
    arrays = [np.abs(np.random.default_rng(n).normal(size=(4, 5))).astype("f4") for n in range(4)]
    arrays[strided] = np.asfortranarray(arrays[strided])[::-1]
    copies = [array.copy() for array in arrays]
    FAST.adam_step(*arrays, 0.1, (0.5, 0.9), 1e-8, 1)
    PORTABLE.adam_step(*copies, 0.1, (0.5, 0.9), 1e-8, 1)
    same(arrays, copies)


@pytest.mark.parametrize("size", [numpy_backend._BLOCK - 1, 2 * numpy_backend._BLOCK + 5])
def test_lerp_reaches_every_block(size: int) -> None:
    start, end = np.random.default_rng(0).normal(size=(2, size)).astype("f4")
    expected = start.copy()
    FAST.lerp(start, end, 0.25)
    PORTABLE.lerp(expected, end, 0.25)
    np.testing.assert_allclose(start, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", [FAST, PORTABLE], ids=["fast", "portable"])
@pytest.mark.parametrize("strided", ["none", "weight", "gradient", "velocity", "all"])
@pytest.mark.parametrize("shape", [(), (3,), (4, 5)])
def test_sgd_step_is_its_formula_in_place(backend: Backend, strided: str, shape: Shape) -> None:
    rng = np.random.default_rng(0)
    given = {}
    for name in ("weight", "gradient", "velocity"):
        array = np.asarray(rng.normal(size=(*shape, 2))[..., 0])
        given[name] = np.asfortranarray(array)[..., ::-1] if strided in (name, "all") and shape else array.copy()
    before = {name: array.copy() for name, array in given.items()}
    assert backend.sgd_step(**given, lr=0.25, momentum=0.5) is None  # type: ignore[func-returns-value]
    velocity = 0.5 * before["velocity"] - 0.25 * before["gradient"]
    np.testing.assert_allclose(given["velocity"], velocity, rtol=1e-15)
    np.testing.assert_allclose(given["weight"], before["weight"] + velocity, rtol=1e-14)
    np.testing.assert_array_equal(given["gradient"], before["gradient"])


@pytest.mark.parametrize("backend", [FAST, PORTABLE], ids=["fast", "portable"])
def test_sgd_step_without_velocity(backend: Backend) -> None:
    weight, gradient = np.array([1.0, 2.0], np.float32), np.array([10.0, -10.0], np.float32)
    backend.sgd_step(weight, gradient, None, 0.1, 0.0)
    np.testing.assert_allclose(weight, [0.0, 3.0], atol=1e-7)
    assert weight.dtype == np.float32


@pytest.mark.slow
@pytest.mark.parametrize("backend", [FAST, PORTABLE], ids=["fast", "portable"])
@given(data=st.data(), dtype=DTYPES, weight=st.floats(1e-9, 1), strided=st.booleans())
def test_lerp_moves_in_place(backend: Backend, data: st.DataObject, dtype: str, weight: float, strided: bool) -> None:
    start, end = (data.draw(edgy(dtype, (4, 6))) for _ in range(2))
    if strided:
        start, end = start.T, end[::-1].T
    expected, kept = start.copy(), end.copy()
    with np.errstate(all="ignore"):
        expected += weight * (expected.dtype.type(1) * (end - expected))
        assert backend.lerp(start, end, weight) is None  # type: ignore[func-returns-value]
    np.testing.assert_allclose(start, expected, rtol=1e-2 if dtype == "f2" else 1e-5, atol=1e-4)
    np.testing.assert_array_equal(end, kept)


# ---------------------------------------------------------------------- the rest of the interface


def test_arrays_are_made_moved_and_owned() -> None:
    source = np.arange(6.0).reshape(2, 3).T
    for backend in (FAST, PORTABLE):
        assert backend.is_array(source)
        assert not backend.is_array([1.0])
        assert not backend.is_array(1.0)
        copy = backend.array(source)
        assert copy.flags.c_contiguous
        assert not np.shares_memory(copy, source)
        assert backend.asarray(source) is source
        assert backend.asarray(np.float32(2)).shape == ()
        assert backend.to_numpy(source) is source
        assert backend.from_numpy(source) is source
    assert repr(FAST) == "NumpyBackend(device='cpu')"


def test_the_same_stream_gives_the_same_mask() -> None:
    for keep in (0.0, 0.5, 1.0):
        ours = FAST.dropout_mask(Stream(1, "dropout"), (3, 4), keep, np.float32)
        same(ours, PORTABLE.dropout_mask(Stream(1, "dropout"), (3, 4), keep, np.float32))


def test_keeping_freed_memory_is_asked_of_glibc_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    class Library:
        def __init__(self, name: None) -> None: ...

        def mallopt(self, option: int, value: int) -> int:
            asked.append((option, value))
            return 1

    monkeypatch.setattr(numpy_backend.ctypes, "CDLL", Library)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
    assert asked == []
    monkeypatch.setattr(sys, "platform", "linux")
    assert keep_freed_memory() is True
    assert [option for option, _ in asked] == [-3, -1]
    monkeypatch.setattr(numpy_backend.ctypes, "CDLL", lambda name: object())
    assert keep_freed_memory() is False
