"""The portable kernels compared with their formulas, in higher precision or written out."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

from tinygan.backend import Backend, NumpyBackend, Shape, Stream

BACKENDS = [pytest.param(Backend(np, "cpu"), id="portable"), pytest.param(NumpyBackend(), id="fast")]
each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_dtype = pytest.mark.parametrize("dtype", ["f4", "f8"])


def _grid(dtype: str) -> np.ndarray:
    """-1000 to 1000, dense about 0 and where the tails underflow."""
    rng = np.random.default_rng(0)
    parts = [np.linspace(-1000, 1000, 4001), rng.normal(0, 3, 500), rng.normal(0, 40, 500), 10.0 ** -np.arange(45)]
    return np.concatenate(parts).astype(dtype)


# ---------------------------------------------------------------------- activations


@each_backend
@each_dtype
def test_sigmoid_is_exact_in_both_tails(backend: Backend, dtype: str) -> None:
    x = _grid(dtype)
    y = backend.sigmoid(x)
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    np.testing.assert_allclose(y, scipy.special.expit(x.astype("f8")), rtol=4 * eps, atol=tiny)
    assert y.dtype == dtype
    assert (np.diff(backend.sigmoid(np.sort(x))) >= 0).all()
    np.testing.assert_allclose(y + backend.sigmoid(-x), 1, rtol=4 * eps)


@each_backend
@each_dtype
def test_softplus_is_exact_in_both_tails(backend: Backend, dtype: str) -> None:
    x = _grid(dtype)
    y = backend.softplus(x)
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    np.testing.assert_allclose(y, np.logaddexp(0, x.astype("f8")), rtol=4 * eps, atol=tiny)
    assert y.dtype == dtype
    assert (y >= 0).all()
    np.testing.assert_allclose(y - backend.softplus(-x), x, rtol=4 * eps, atol=4 * eps)


@each_backend
def test_edge_values_of_activations(backend: Backend) -> None:
    x = np.array([-np.inf, -1.0, -0.0, 0.0, 1.0, np.inf, np.nan])
    np.testing.assert_array_equal(backend.relu(x), [0, 0, 0, 0, 1, np.inf, np.nan])
    np.testing.assert_array_equal(backend.sigmoid(x)[[0, 2, 3, 5, 6]], [0, 0.5, 0.5, 1, np.nan])
    np.testing.assert_array_equal(backend.softplus(x)[[0, 5, 6]], [0, np.inf, np.nan])
    gy = np.full(7, 3.0)
    np.testing.assert_array_equal(backend.relu_backward(gy, backend.relu(x)), [0, 0, 0, 0, 3, 3, 3])
    np.testing.assert_array_equal(backend.sigmoid_backward(gy, np.array([0, 1, 0.5] * 2 + [np.nan]))[:3], [0, 0, 0.75])


@each_backend
def test_nothing_warns_for_numbers_in_range(backend: Backend) -> None:
    x = np.array([-1000.0, 0.0, 1000.0], np.float32)
    for function in (backend.relu, backend.sigmoid, backend.softplus):
        function(x)


@each_backend
@pytest.mark.parametrize("axis", [-1, -2])
def test_maxout_by_its_definition(backend: Backend, axis: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(-3, 3, (4, 5, 6)).astype(float)
    y, won = backend.maxout(x, axis)
    winner = x.argmax(axis=axis)
    np.testing.assert_array_equal(y, x.max(axis=axis))
    np.testing.assert_array_equal(won.argmax(axis=axis), winner)
    np.testing.assert_array_equal(won.sum(axis=axis), 1)
    gy = rng.normal(size=y.shape)
    gx = backend.maxout_backward(gy, won, axis)
    assert gx.shape == x.shape
    np.testing.assert_array_equal(gx.sum(axis=axis), gy)
    np.testing.assert_array_equal(np.take_along_axis(gx, np.expand_dims(winner, axis), axis).squeeze(axis), gy)
    assert (gx != 0).sum() == gy.size


# ---------------------------------------------------------------------- sums of gradients


@pytest.mark.slow
@each_backend
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_dims=4), data=st.data())
def test_unbroadcast_is_the_adjoint_of_broadcasting(backend: Backend, shapes: Any, data: st.DataObject) -> None:
    """The inner product of g with broadcast(x) is that of unbroadcast(g) with x, for every x."""
    shape: Shape = shapes.input_shapes[0]
    gradient = data.draw(hnp.arrays("f8", shapes.result_shape, elements=st.integers(-9, 9)))
    x = data.draw(hnp.arrays("f8", shape, elements=st.integers(-9, 9)))
    before = gradient.copy()
    result = backend.unbroadcast(gradient, shape)
    assert isinstance(result, np.ndarray)
    assert (result.shape, result.dtype) == (shape, gradient.dtype)
    assert (gradient * x).sum() == (result * x).sum()
    np.testing.assert_array_equal(gradient, before)


@each_backend
def test_half_precision_is_added_up_in_single(backend: Backend) -> None:
    ones = np.ones((3000, 2), np.float16)  # NumPy's own sum over the rows stops at 2048
    for total in (backend.sum(ones, 0), backend.unbroadcast(ones, (2,)), backend.scatter(ones[:, 0], [0] * 3000, (1,))):
        assert total.dtype == np.float16
        assert set(total.tolist()) == {3000}
    assert backend.sum(np.ones((2, 3)), (0, 1), keepdims=True).tolist() == [[6]]


@each_backend
def test_add_into_writes_into_the_total(backend: Backend) -> None:
    total, term = np.array([1.0, 2.0]), np.array([10.0, 20.0])
    assert backend.add_into(total, term) is total
    assert total.tolist() == [11, 22]
    assert term.tolist() == [10, 20]
    scalar = np.array(1.0)
    assert backend.add_into(scalar, np.array(2.0)) is scalar


@each_backend
@given(shape=hnp.array_shapes(min_dims=0, min_side=0, max_side=4), data=st.data())
def test_first_non_finite(backend: Backend, shape: Shape, data: st.DataObject) -> None:
    array = data.draw(hnp.arrays("f4", shape, elements=st.sampled_from([0, 3e38, np.inf, np.nan])))
    expected = next((index for index in np.ndindex(array.shape) if not np.isfinite(array[index])), None)
    assert backend.first_non_finite(array) == expected
    assert backend.first_non_finite(np.zeros(array.shape, int)) is None


# ---------------------------------------------------------------------- dropout


@each_backend
@each_dtype
@pytest.mark.parametrize("keep", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_dropout_mask(backend: Backend, dtype: str, keep: float) -> None:
    mask = backend.dropout_mask(Stream(5, "dropout"), (100, 300), keep, np.dtype(dtype))
    assert mask.dtype == dtype
    assert mask.shape == (100, 300)
    kept = mask != 0
    keep = Stream.rounded(keep)
    if keep:
        assert set(np.unique(mask[kept])) == {np.dtype(dtype).type(1 / keep)}
    deviation = math.sqrt(keep * (1 - keep) / mask.size)
    assert abs(kept.mean() - keep) <= 5 * deviation


# ---------------------------------------------------------------------- update rules


def _textbook_adam(
    w: Any, gradients: list[Any], lr: float, betas: tuple[float, float], eps: float
) -> tuple[Any, Any, Any]:
    """Kingma and Ba (2014), algorithm 1, line by line."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        w = w - lr * m_hat / (np.sqrt(v_hat) + eps)
    return w, m, v


@pytest.mark.slow
@each_backend
@each_dtype
@given(
    shape=st.sampled_from([(), (3,), (4, 5), (0,)]),
    lr=st.sampled_from([1e-3, 0.1]),
    betas=st.sampled_from([(0.9, 0.999), (0.5, 0.9), (0.0, 0.5)]),
    eps=st.sampled_from([1e-8, 1e-2, 1.0]),
    scale=st.sampled_from([1e-4, 1.0, 1e3]),
    seed=st.integers(0, 99),
)
def test_adam_is_the_textbooks(
    backend: Backend,
    dtype: str,
    shape: Shape,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    scale: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    weight = np.asarray(rng.normal(size=shape)).astype(dtype)
    gradients = [np.asarray(scale * rng.normal(size=shape)).astype(dtype) for _ in range(7)]
    expected = _textbook_adam(weight.astype("f8"), [g.astype("f8") for g in gradients], lr, betas, eps)
    mean, square = np.zeros_like(weight), np.zeros_like(weight)
    for step, gradient in enumerate(gradients, start=1):
        before = gradient.copy()
        backend.adam_step(weight, gradient, mean, square, lr, betas, eps, step)
        np.testing.assert_array_equal(gradient, before)
    tolerance = 1e-5 if dtype == "f4" else 1e-12
    for ours, theirs, size in zip((weight, mean, square), expected, (1.0, scale, scale**2), strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * size)


@each_backend
def test_adam_stands_still_without_a_gradient(backend: Backend) -> None:
    weight = np.array([1.0, 2.0])
    gradient, mean, square = np.zeros((3, 2))
    backend.adam_step(weight, gradient, mean, square, 0.1, (0.9, 0.999), 1e-8, 1)
    assert weight.tolist() == [1.0, 2.0]


@pytest.mark.slow
@each_backend
@each_dtype
@given(
    shape=hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6),
    limit=st.sampled_from([0.5, 1.0, 1.9365, 100.0]),
    seed=st.integers(0, 99),
)
def test_limit_column_norm(backend: Backend, dtype: str, shape: Shape, limit: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=shape).astype(dtype) * 10.0 ** rng.integers(-3, 3, shape[1])
    weight = weight.astype(dtype)
    before = weight.copy()
    assert backend.limit_column_norm(weight, limit) is None  # type: ignore[func-returns-value]
    norms = np.linalg.norm(before.astype("f8"), axis=0)
    eps = float(np.finfo(dtype).eps)
    inside = norms < limit * (1 - 10 * eps)
    np.testing.assert_array_equal(weight[:, inside], before[:, inside])
    expected = before * np.minimum(1, limit / np.maximum(norms, 1e-30))
    np.testing.assert_allclose(weight, expected, rtol=20 * eps)
    assert (np.linalg.norm(weight.astype("f8"), axis=0) <= limit * (1 + 10 * eps)).all()


@each_backend
def test_limit_column_norm_keeps_zeros_and_subnormal_numbers(backend: Backend) -> None:
    weight = np.array([[0.0, 1e-30, 3.0], [0.0, -1e-44, 4.0]], np.float32)
    before = weight.copy()
    backend.limit_column_norm(weight, 1.0)
    np.testing.assert_array_equal(weight[:, :2], before[:, :2])
    np.testing.assert_allclose(weight[:, 2], [0.6, 0.8], rtol=1e-6)


@each_backend
def test_limit_column_norm_in_place_on_a_view(backend: Backend) -> None:
    whole = np.full((2, 4), 10.0)
    backend.limit_column_norm(whole[:, ::2], 1.0)
    np.testing.assert_allclose(whole, [[0.5**0.5, 10] * 2] * 2)
