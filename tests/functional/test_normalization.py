"""Batch and layer normalization: one operation each, compared with loops, with PyTorch and on the strict double."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tests.doubles.installed import strict_cupy
from tinygan.backend import get_backend
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, DtypeError, ShapeError
from tinygan.testing import Call, Calls, operation_test

seeds = st.integers(0, 2**32 - 1)
few = st.integers(1, 3)
batches = st.tuples(st.integers(2, 5), st.integers(1, 4)) | st.tuples(st.integers(2, 3), few, few, few)
examples = st.tuples(st.integers(1, 4), st.integers(2, 4)) | st.tuples(few, st.integers(2, 3), few)


def in_a_loop(x, gain, bias, groups, eps):
    """Normalize each group of indices by the formulas of the textbook; `gain` and `bias` have the shape of `x`."""
    y = np.empty(x.shape)
    for group in groups:
        mean = sum(x[i] for i in group) / len(group)
        variance = sum((x[i] - mean) ** 2 for i in group) / len(group)
        for i in group:
            y[i] = gain[i] * (x[i] - mean) / math.sqrt(variance + eps) + bias[i]
    return y


def channels_in_a_loop(x, gain, bias, eps=1e-5):
    gain, bias = (np.broadcast_to(value.reshape(-1, *(1,) * (x.ndim - 2)), x.shape) for value in (gain, bias))
    groups = [[i for i in np.ndindex(x.shape) if i[1] == channel] for channel in range(x.shape[1])]
    return in_a_loop(x, gain, bias, groups, eps)


def rows_in_a_loop(x, weight, bias, eps=1e-5):
    groups = [[(row, *i) for i in np.ndindex(x.shape[1:])] for row in range(len(x))]
    return in_a_loop(x, np.broadcast_to(weight, x.shape), np.broadcast_to(bias, x.shape), groups, eps)


def layer_norm(x, weight, bias, eps=1e-5):
    return F.layer_norm(x, weight.shape, weight, bias, eps)


def arrays_of(shape, inner, seed):
    rng = np.random.default_rng(seed)
    arrays = 3 * rng.normal(size=shape) + rng.normal(), rng.normal(size=inner), rng.normal(size=inner)
    return tuple([array.astype(np.float32).astype(np.float64) for array in arrays])


def drawn(shapes, inner):
    return Calls(st.builds(lambda s, seed: Call(arrays_of(s, inner(s), seed), {"eps": 0.1}), shapes, seeds))


TestBatchNorm = operation_test(F.batch_norm, channels_in_a_loop, drawn(batches, lambda s: s[1:2]), rtol=1e-11)
TestLayerNorm = operation_test(layer_norm, rows_in_a_loop, drawn(examples, lambda s: s[1:]), rtol=1e-11)


# ---------------------------------------------------------------------- gain and bias are optional


@pytest.mark.parametrize("operation", [F.batch_norm, layer_norm])
def test_without_gain_and_bias_they_are_1_and_0(operation):
    x, ones, zeros = arrays_of((4, 3), (3,), 0)[0], np.ones(3), np.zeros(3)
    bare = F.batch_norm if operation is F.batch_norm else lambda x: F.layer_norm(x, 3)
    plain, full = Tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    y, expected = bare(plain), operation(full, ones, zeros)
    assert np.array_equal(y.data, expected.data)
    share = np.cos(np.arange(12.0)).reshape(4, 3)
    y.backward(share)
    expected.backward(share)
    assert np.allclose(plain.grad.data, full.grad.data, rtol=1e-13)
    tg.gradcheck(bare, [tg.tensor(x, requires_grad=True)], order=2)


@pytest.mark.parametrize("operation", [F.batch_norm, layer_norm])
@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (1, 2), (0, 2)])
def test_each_gradient_is_right_if_only_some_are_wanted(operation, wanted):
    arrays = arrays_of((4, 3), (3,), 1)
    inputs = [Tensor(array, requires_grad=k in wanted) for k, array in enumerate(arrays)]
    every = [Tensor(array, requires_grad=True) for array in arrays]
    share = np.sin(np.arange(12.0)).reshape(4, 3)
    operation(*inputs).backward(share)
    operation(*every).backward(share)
    for k, (some, full) in enumerate(zip(inputs, every, strict=True)):
        assert (some.grad is not None) == (k in wanted)
        assert k not in wanted or np.array_equal(some.grad.data, full.grad.data)


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 2, 2)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values_and_three_orders_are_those_of_pytorch(shape, dtype):
    torch = pytest.importorskip("torch")

    def composed(x, axes, gain, bias):  # PyTorch's own third order takes the statistics for constants
        mean = x.mean(axes, keepdim=True)
        return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(axes, keepdim=True) + 1e-5) * gain + bias

    def channels(x, gain, bias):
        sizes = (-1, *(1,) * (len(shape) - 2))
        axes = tuple(axis for axis in range(len(shape)) if axis != 1)
        return composed(x, axes, gain.reshape(sizes), bias.reshape(sizes))

    pairs = [
        (F.batch_norm, channels, shape[1:2]),
        (layer_norm, lambda x, w, b: composed(x, tuple(range(1, len(shape))), w, b), shape[1:]),
    ]
    tolerance = 1e-9 if dtype == "float64" else 2e-4
    for ours, theirs, inner in pairs:
        arrays = [array.astype(dtype) for array in arrays_of(shape, inner, 3)]
        a = [tg.tensor(array, requires_grad=True) for array in arrays]
        b = [torch.tensor(array, requires_grad=True) for array in arrays]
        y, z = ours(*a), theirs(*b)
        assert np.allclose(y.detach().numpy(), z.detach().numpy(), rtol=tolerance, atol=tolerance)
        y, z = (y * y * y).sum(), (z * z * z).sum()
        for _ in range(3):
            slopes, others = tg.grad(y, a, create_graph=True), torch.autograd.grad(z, b, create_graph=True)
            y, z = tg.tensor(0.0, dtype=dtype), torch.tensor(0.0, dtype=getattr(torch, dtype))
            for slope, other in zip(slopes, others, strict=True):
                expected = other.detach().numpy()
                largest = max(1.0, abs(expected).max())
                assert abs(slope.detach().numpy() - expected).max() <= tolerance * largest
                y, z = y + (slope * slope).sum() / largest**2, z + (other * other).sum() / largest**2


# ---------------------------------------------------------------------- precision and ranges


def test_a_large_mean_costs_no_precision():
    x = np.random.default_rng(0).normal(size=(50, 4))
    far = (x + 1e4).astype(np.float32)
    expected = channels_in_a_loop(far.astype(np.float64), np.ones(4), np.zeros(4))
    assert abs(F.batch_norm(far).data - expected).max() < 2e-3  # the mean is rounded to 1e-3 of the deviation


def test_half_precision_is_computed_in_single_precision():
    x = tg.tensor(np.full((40, 2), 200.0) + np.arange(80.0).reshape(40, 2), dtype="float16", requires_grad=True)
    for y in (F.batch_norm(x), F.layer_norm(x, 2)):
        assert y.dtype == np.float16
        assert np.isfinite(y.data).all()  # squares of 200 sum to more than 65504
        y.sum().backward()
        assert x.grad.dtype == np.float16


def test_integers_are_normalized_as_float32():
    assert F.batch_norm(np.array([[1, 2], [3, 4]])).dtype == np.float32
    assert F.layer_norm(np.array([[1, 2], [3, 4]]), 2).dtype == np.float32


def test_a_channel_of_equal_values_is_its_bias():
    y = F.batch_norm(np.full((4, 2), 7.0), np.ones(2), np.array([1.0, -1.0]))
    assert y.data.tolist() == [[1.0, -1.0]] * 4


# ---------------------------------------------------------------------- running statistics


@given(shape=batches, seed=seeds, momentum=st.floats(0, 1))
def test_running_statistics_follow_the_batches(shape, seed, momentum):
    rng = np.random.default_rng(seed)
    mean, var = (tg.tensor(rng.random(shape[1])) for _ in range(2))
    expected = mean.data.copy(), var.data.copy()
    for _ in range(2):
        x = rng.normal(size=shape)
        F.batch_norm(x, running_mean=mean, running_var=var, momentum=momentum)
        axes = tuple(axis for axis in range(len(shape)) if axis != 1)
        now = x.mean(axes), x.var(axes, ddof=1)
        expected = tuple(momentum * new + (1 - momentum) * old for new, old in zip(now, expected, strict=True))
    assert np.allclose(mean.data, expected[0], rtol=1e-12)
    assert np.allclose(var.data, expected[1], rtol=1e-12)
    before = mean.version
    x = rng.normal(size=shape)
    y = F.batch_norm(x, running_mean=mean, running_var=var, training=False)
    sizes = (-1, *(1,) * (len(shape) - 2))
    direct = (x - mean.data.reshape(sizes)) / np.sqrt(var.data.reshape(sizes) + 1e-5)
    assert np.allclose(y.data, direct, rtol=1e-9, atol=1e-9)
    assert mean.version == before


def test_in_evaluation_gradients_flow_as_through_an_affine_map():
    x, gain, bias = arrays_of((4, 3), (3,), 5)
    mean, var = tg.tensor(np.arange(3.0)), tg.tensor(np.arange(1.0, 4.0))

    def evaluate(x, gain, bias):
        return F.batch_norm(x, gain, bias, running_mean=mean, running_var=var, training=False)

    tg.gradcheck(evaluate, [tg.tensor(value, requires_grad=True) for value in (x, gain, bias)], order=2)
    one = evaluate(x[:1], gain, bias)  # a batch of one is welcome
    assert np.allclose(one.data, evaluate(x, gain, bias).data[:1], rtol=1e-13)


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("kind", "message", "call"),
    [
        (ShapeError, r"2 values or more.*shape \(1, 3\) has 1.*net\.eval\(\)", lambda: F.batch_norm(np.ones((1, 3)))),
        (ShapeError, r"2 values or more", lambda: F.batch_norm(np.ones((0, 3)))),
        (ShapeError, r"\(N, C\) or \(N, C, H, W\), got shape \(3,\)", lambda: F.batch_norm(np.ones(3))),
        (ShapeError, r"has 3 channels.*gain has shape \(2,\)", lambda: F.batch_norm(np.ones((2, 3)), np.ones(2))),
        (
            ShapeError,
            r"3 channels.*bias has shape \(3, 1\)",
            lambda: F.batch_norm(np.ones((2, 3)), bias=np.ones((3, 1))),
        ),
        (ArgumentError, r"eps.*at least 0; got -1", lambda: F.batch_norm(np.ones((2, 3)), eps=-1)),
        (ArgumentError, r"momentum.*in \[0, 1\]; got 2", lambda: F.batch_norm(np.ones((2, 3)), momentum=2)),
        (ArgumentError, r"running_mean and running_var", lambda: F.batch_norm(np.ones((2, 3)), training=False)),
        (
            ArgumentError,
            r"running_mean and running_var",
            lambda: F.batch_norm(np.ones((2, 3)), running_mean=tg.tensor([0.0] * 3)),
        ),
        (
            DtypeError,
            r"must be tensors",
            lambda: F.batch_norm(np.ones((2, 3)), running_mean=np.ones(3), running_var=np.ones(3)),
        ),
        (
            ShapeError,
            r"running_mean has shape \(2,\)",
            lambda: F.batch_norm(
                np.ones((2, 3)), running_mean=tg.tensor([0.0] * 2), running_var=tg.tensor([0.0] * 2), training=False
            ),
        ),
        (DtypeError, r"expected a tensor or an array", lambda: F.batch_norm([[1.0, 2.0], [3.0, 4.0]])),
        (ShapeError, r"last axes.*\(4,\).*\(2, 3\)", lambda: F.layer_norm(np.ones((2, 3)), 4)),
        (ShapeError, r"last axes.*\(\)", lambda: F.layer_norm(np.ones((2, 3)), ())),
        (ShapeError, r"one element or more", lambda: F.layer_norm(np.ones((2, 0)), 0)),
        (ShapeError, r"weight must have the shape \(3,\)", lambda: F.layer_norm(np.ones((2, 3)), 3, np.ones(2))),
        (ArgumentError, r"eps", lambda: F.layer_norm(np.ones((2, 3)), 3, eps=math.nan)),
    ],
)
def test_what_does_not_fit_is_refused(kind, message, call):
    with pytest.raises(kind, match=message):
        call()


# ---------------------------------------------------------------------- on a GPU


def test_on_a_gpu_nothing_is_copied_and_nothing_waits():
    arrays = [array.astype(np.float32) for array in arrays_of((4, 3, 2, 2), (3,), 8)]
    on_host = [Tensor(array, requires_grad=True) for array in arrays]
    F.batch_norm(*on_host).backward(np.cos(arrays[0]))
    with strict_cupy() as cupy:
        backend = get_backend("cuda")
        inputs = [Tensor(backend.from_numpy(array), requires_grad=True) for array in arrays]
        mean, var = (Tensor(backend.from_numpy(np.ones(3, np.float32))) for _ in range(2))
        share = Tensor(backend.from_numpy(np.cos(arrays[0])))
        with cupy.gpu.step():
            F.batch_norm(*inputs, running_mean=mean, running_var=var).backward(share)
            F.batch_norm(*inputs, running_mean=mean, running_var=var, training=False)
            rows = inputs[0].reshape(4, 12)
            F.layer_norm(rows, 12).sum().backward()
        inputs[0].grad = None
        F.batch_norm(*inputs).backward(share)
        for here, there in zip(on_host[:1], inputs[:1], strict=True):
            assert np.allclose(here.grad.data, there.grad.numpy(), rtol=1e-4, atol=1e-5)
        assert np.allclose(mean.numpy(), 0.9 + 0.1 * arrays[0].mean((0, 2, 3)), rtol=1e-5)


# ---------------------------------------------------------------------- order of memory


def channels_first(x):
    """Return the same images as they lie in memory after a convolution: channel, row, column, example."""
    return np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 3, 2, 2), (3, 2, 9, 9)])
def test_batch_norm_keeps_the_order_of_memory(training, shape):
    x, gain, bias = arrays_of(shape, shape[1:2], 9)
    running = {"running_mean": tg.tensor(gain), "running_var": tg.tensor(bias**2)}
    share, found = np.cos(x), []
    for order in (np.array, channels_first):
        inputs = [Tensor(order(x), requires_grad=True), *[tg.tensor(v, requires_grad=True) for v in (gain, bias)]]
        y = F.batch_norm(*inputs, **running, training=training, momentum=0.0)
        y.backward(share)
        found.append([y.data, *[tensor.grad.data for tensor in inputs]])
        assert y.data.strides == inputs[0].data.strides
        assert not training or inputs[0].grad.data.strides == inputs[0].data.strides
    for plain, moved in zip(*found, strict=True):
        np.testing.assert_allclose(moved, plain, rtol=1e-11, atol=1e-13)


@pytest.mark.slow
def test_both_orders_of_gradients_in_another_order_of_memory():
    x, gain, bias = arrays_of((3, 2, 2, 3), (2,), 10)
    leaves = [Tensor(channels_first(x), requires_grad=True), *[tg.tensor(v, requires_grad=True) for v in (gain, bias)]]
    tg.gradcheck(lambda *inputs: F.batch_norm(*inputs, 0.1) ** 2, leaves, order=2)
