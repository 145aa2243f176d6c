"""The norm of all gradients, clipping, and gradients as one flat array."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tests.doubles.installed import strict_cupy
from tests.optim.helpers import dtypes, give_gradients, leaves, seeds, shapes
from tinygan import optim
from tinygan.engine import Tensor
from tinygan.errors import AnomalyError, ArgumentError, DeviceError, DtypeError, ShapeError, TinyganError


def flat(params):
    return np.concatenate([parameter.grad.data.reshape(-1) for parameter in params]).astype(np.float64)


# --- clip_grad_norm --------------------------------------------------------------------------------------


@given(shapes, st.floats(0.01, 10), dtypes, seeds)
def test_clipping_scales_all_gradients_by_one_factor(shapes, norm, dtype, seed):
    params = leaves(shapes, np.random.default_rng(seed), dtype)
    give_gradients(params, np.random.default_rng(seed + 1))
    before, shared = flat(params), params[0].grad
    total = optim.clip_grad_norm(iter(params), norm)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    assert math.isclose(total, np.linalg.norm(before), rel_tol=tolerance)
    factor = min(1, norm / np.linalg.norm(before))
    np.testing.assert_allclose(flat(params), before * factor, rtol=10 * tolerance)
    assert all(parameter.grad.dtype == dtype and parameter.grad.shape == parameter.shape for parameter in params)
    if factor == 1:
        assert params[0].grad is shared


def test_a_gradient_that_two_parameters_share_is_clipped_once():
    a, b = leaves([(2,), (2,)], np.random.default_rng(0))
    a.grad = b.grad = Tensor(np.array([3.0, 4.0]))
    assert optim.clip_grad_norm([a, b], 1.0) == pytest.approx(math.sqrt(50))
    np.testing.assert_allclose(a.grad.data, [3 / math.sqrt(50), 4 / math.sqrt(50)])
    np.testing.assert_array_equal(a.grad.data, b.grad.data)


@pytest.mark.parametrize(
    ("dtype", "size"), [("f2", 3e4), ("f2", 1e-6), ("f4", 2e38), ("f4", 1e-42), ("f8", 1e308), ("f8", 1e-320)]
)
def test_norms_are_right_where_squares_leave_the_dtype(dtype, size):
    weight = Tensor(np.zeros(100, dtype), requires_grad=True)
    weight.grad = Tensor(np.full(100, size, dtype))
    expected = 10.0 * float(weight.grad.data[0])
    if math.isinf(expected):
        return
    limit = expected / 4
    assert optim.clip_grad_norm([weight], limit) == pytest.approx(expected, rel=1e-3)
    assert optim.clip_grad_norm([weight], math.inf) == pytest.approx(limit, rel=0.5 if size < 1e-5 else 1e-2)


def test_a_factor_that_the_dtype_cannot_hold():
    weight = Tensor(np.zeros(100, np.float32), requires_grad=True)
    weight.grad = Tensor(np.full(100, 3e38, np.float32))
    optim.clip_grad_norm([weight], 1e-6)  # the factor 3e-46 is 0 in float32
    np.testing.assert_allclose(weight.grad.data, 1e-7, rtol=1e-5)


def test_parameters_without_a_gradient_are_left_out():
    a, b = leaves([(2,), ()], np.random.default_rng(0))
    assert optim.clip_grad_norm([a, b], 1.0) == 0
    assert a.grad is b.grad is None
    b.grad = Tensor(np.array(-5.0))
    assert optim.clip_grad_norm([a, b], 1) == 5
    assert b.grad.item() == -1
    assert a.grad is None


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_gradients_that_are_not_finite_are_refused(broken):
    a, b = leaves([(2,), (3, 2)], np.random.default_rng(0))
    give_gradients([a, b], np.random.default_rng(0))
    before = a.grad.data.copy()
    b.grad.data[1, 1] = broken
    for name, text in ((None, "parameter 1, of shape"), ("hidden", r"parameter 1 'hidden', of shape \(3, 2\)")):
        b.name = name
        with pytest.raises(AnomalyError, match=f"clip_grad_norm: the gradient of {text}"):
            optim.clip_grad_norm([a, b], 1e-3)
    np.testing.assert_array_equal(a.grad.data, before)


@pytest.mark.parametrize("norm", [0, -1.0, math.nan, -math.inf, True, "1", None])
def test_impossible_limits_are_refused(norm):
    with pytest.raises(TinyganError, match="clip_grad_norm: norm must be"):
        optim.clip_grad_norm(leaves([(2,)], np.random.default_rng(0)), norm)


def test_clipping_refuses_what_holds_no_parameters():
    weight = leaves([(2,)], np.random.default_rng(0))[0]
    for params in ([], weight, [weight, weight], [np.ones(2)], tg.nn.Linear(1, 1)):
        with pytest.raises(ArgumentError, match="clip_grad_norm"):
            optim.clip_grad_norm(params, 1.0)


# --- one flat array --------------------------------------------------------------------------------------


@given(shapes, dtypes, seeds, st.sets(st.integers(0, 3)))
def test_what_is_set_is_what_was_read(shapes, dtype, seed, without):
    params = leaves(shapes, np.random.default_rng(seed), dtype)
    expected = give_gradients(params, np.random.default_rng(seed + 1))
    for position in without & set(range(len(params))):
        params[position].grad, expected[position] = None, np.zeros(shapes[position])
    read = optim.get_gradients(params)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, np.concatenate([np.ravel(gradient) for gradient in expected]))
    optim.set_gradients(params, 2 * read)
    for parameter, gradient in zip(params, expected, strict=True):
        assert parameter.grad.dtype == dtype
        np.testing.assert_array_equal(parameter.grad.data, 2 * gradient)
    read[...] = 7  # a copy
    np.testing.assert_array_equal(params[0].grad.data, 2 * expected[0])


def test_the_array_and_the_gradients_share_no_memory():
    params = leaves([(3,)], np.random.default_rng(0))
    array = np.arange(3.0)
    optim.set_gradients(params, Tensor(array))
    params[0].grad.data[0] = 9
    assert array[0] == 0
    optim.get_gradients(params)[1] = 9
    assert params[0].grad.data.tolist() == [9, 1, 2]


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros(5), ShapeError),
        (np.zeros(7), ShapeError),
        (np.zeros((2, 3)), ShapeError),
        (np.zeros(6, int), DtypeError),
        (np.zeros(6, complex), DtypeError),
        ([0.0] * 6, DtypeError),
        (None, DtypeError),
    ],
)
def test_arrays_that_do_not_fit_are_refused(array, error):
    params = leaves([(2,), (2, 2)], np.random.default_rng(0))
    with pytest.raises(error, match="set_gradients"):
        optim.set_gradients(params, array)
    assert params[0].grad is params[1].grad is None


def test_gradients_on_two_devices():
    with strict_cupy():
        here, there = (tg.tensor([3.0, 4.0], device=device, requires_grad=True) for device in ("cpu", "cuda"))
        for parameter in (here, there):
            parameter.grad = parameter.detach()
        assert optim.clip_grad_norm([here, there], 5.0) == pytest.approx(math.sqrt(50))
        read = optim.get_gradients([there])
        assert type(read) is type(there.data)
        optim.set_gradients([there], read)
        for call in (
            lambda: optim.get_gradients([here, there]),
            lambda: optim.set_gradients([there], np.zeros(2)),
            lambda: optim.set_gradients([here, there], np.zeros(4)),
        ):
            with pytest.raises(DeviceError, match=r"on cpu and cuda|on cuda and cpu"):
                call()
