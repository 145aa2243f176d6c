"""Gradients of gradients: the tests of each operation check the second order, these the third and compositions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import gradcheck
from tinygan.backend import NumpyBackend, Stream, get_backend
from tinygan.functional.differentiable import DifferentiableBackend, differentiable

RNG = np.random.default_rng(3)


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def tensors(*shapes):
    return [leaf(RNG.standard_normal(shape)) for shape in shapes]


THIRD_ORDER = {
    "add": (lambda a, b: (a + b) ** 3, (2, 1), (2,)),
    "subtract": (lambda a, b: (a - b) ** 3, (2, 1), (2,)),
    "multiply": (lambda a, b: a * b * a, (2, 1), (2,)),
    "divide": (lambda a, b: a / (b * b + 1), (2,), (2,)),
    "matmul": (lambda a, b: F.tanh(a @ b), (1, 2), (2, 1)),
    "sum": (lambda x: x.sum(axis=0) ** 3, (2, 2)),
    "mean": (lambda x: x.mean(axis=1, keepdims=True) ** 3, (2, 2)),
    "max": (lambda x: x.max(axis=1) ** 3, (2, 2)),
    "prod": (lambda x: F.prod(x, axis=1) ** 2, (1, 4)),
    "cumsum": (lambda x: F.cumsum(x) ** 3, (3,)),
    "logaddexp": (lambda a, b: F.logaddexp(a, b) ** 2, (2, 1), (2,)),
    "sin": (lambda x: F.sin(x) * F.cos(x), (3,)),
    "expm1": (lambda x: F.expm1(x) * F.log1p(x * x), (3,)),
    "elu": (lambda x: F.elu(x, 0.5) ** 3, (3,)),
    "gelu": (lambda x: F.gelu(x) * F.silu(x), (3,)),
    "einsum": (lambda a, b: F.einsum("ij,jk->k", a, b) ** 2, (2, 2), (2, 1)),
    "remainder": (lambda a, b: (a % (3 + b * b)) ** 3, (2,), (2,)),
    "embedding": (lambda w: F.embedding([1, 0, 1], w) ** 3, (2, 1)),
    "repeat": (lambda x: F.repeat(x, [1, 2], axis=0) ** 3, (2, 1)),
    "pad, reflected": (lambda x: F.pad(x, [(2, 1)], mode="reflect") ** 3, (3,)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2, 1) ** 3, (1, 1, 2, 3)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2, 1, 1) ** 3, (1, 1, 2, 2)),
    "upsample": (lambda x: F.upsample(x, 2) ** 3, (1, 1, 2, 1)),
    "reshape": (lambda x: x.reshape(4) ** 3, (2, 2)),
    "transpose": (lambda x: x.T @ x @ x.T, (2, 1)),
    "getitem": (lambda x: x[np.array([0, 1, 1])] ** 3, (2,)),
    "concatenate": (lambda a, b: F.concatenate([a, b]) ** 3, (1,), (2,)),
    "pad": (lambda x: F.pad(x, [(1, 0)]) ** 3, (2,)),
    "where": (lambda a, b: F.where(np.array([True, False]), a, b) ** 3, (2,), (2,)),
    "maximum": (lambda a, b: F.maximum(a, b) ** 3, (2,), (2,)),
    "clip": (lambda x: F.clip(x, -0.5, 0.5) ** 3, (3,)),
    "clip by tensors": (lambda x, low, width: F.clip(x, low, low + abs(width)) ** 3, (3,), (3,), (1,)),
    "abs": (lambda x: abs(x) ** 3, (3,)),
    "relu": (lambda x: F.relu(x) ** 3, (3,)),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.1) ** 3, (3,)),
    "leaky_relu with a slope": (lambda x, s: F.leaky_relu(x, s) ** 3, (3,), (1,)),
    "maxout": (lambda x: F.maxout(x, 2) ** 3, (4,)),
    "maxout, piece major": (lambda x: F.maxout(x, 2, axis=0, piece_major=True) ** 3, (4, 1)),
    "dropout": (lambda x: F.dropout(x, 0.5, rng=Stream(0, "dropout")) ** 3, (3,)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", THIRD_ORDER)
def test_third_order(name):
    function, *shapes = THIRD_ORDER[name]
    assert gradcheck(function, tensors(*shapes), order=3, full_limit=256, directions=1)


def test_derivatives_of_every_order_of_the_exponential():
    x = leaf(0.7)
    y = F.exp(x)
    for _ in range(6):
        y = tg.grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(np.exp(0.7))


def test_derivatives_of_every_order_of_a_power():
    x = leaf(2.0)
    y = x**5
    for expected in (80, 160, 240, 240, 120, 0):
        y = tg.grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(expected)


@given(order=st.permutations(["a", "b"]))
def test_mixed_derivatives_do_not_depend_on_the_order(order):
    a, b = 0.3, 1.7
    leaves = {"a": leaf(a), "b": leaf(b)}
    y = F.sigmoid(leaves["a"] * leaves["b"]) * F.log(leaves["b"])
    for name in order:
        y = tg.grad(y, leaves[name], create_graph=True)
    s = 1 / (1 + np.exp(-a * b))
    slope = s * (1 - s)
    assert y.item() == pytest.approx(slope * (np.log(b) + 1) + a * b * slope * (1 - 2 * s) * np.log(b))


def test_a_hessian_is_symmetric():
    x = leaf(RNG.standard_normal(4))
    w = RNG.standard_normal((4, 4))
    slope = tg.grad(F.softplus(F.tanh(x @ w).sum() * x).sum(), x, create_graph=True)
    hessian = np.array([tg.grad(slope[i], x, retain_graph=True).data for i in range(4)])
    assert np.allclose(hessian, hessian.T, rtol=1e-12)
    assert np.abs(hessian).max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_penalty_through_a_maxout_discriminator(dtype):
    """Gulrajani et al. (2017): (|grad D(x)| - 1)^2, differentiated with respect to the weights."""
    rng = np.random.default_rng(0)
    w1, b1, w2 = (leaf(rng.standard_normal(shape) / 2, dtype) for shape in ((3, 8), (8,), (4, 1)))
    x = leaf(rng.standard_normal((5, 3)), dtype)

    def penalty(x, w1, b1, w2):
        hidden = F.dropout(F.maxout(F.linear(x, w1, b1), 2), 0.25, rng=Stream(1, "dropout"))
        (slope,) = tg.grad(F.linear(hidden, w2).sum(), [x], create_graph=True)
        return ((F.sqrt((slope * slope).sum(axis=1) + 1e-12) - 1) ** 2).mean()

    loss = penalty(x, w1, b1, w2)
    loss.backward()
    assert loss.dtype == dtype
    assert {w.grad.dtype for w in (w1, w2)} == {np.dtype(dtype)}
    assert gradcheck(penalty, [x, w1, b1, w2])


def test_losses_and_their_gradient_penalty():
    x, w = tensors((4, 3), (3, 1))

    def regularised(x, w):
        logits = F.linear(x, w)
        loss = F.binary_cross_entropy_with_logits(logits, 1)
        (slope,) = tg.grad(loss, [x], create_graph=True)
        return loss + (slope * slope).sum()

    assert gradcheck(regularised, [x, w], order=2)


def test_a_graph_of_a_gradient_is_made_only_when_asked_for():
    x = leaf([1.0, 2.0])
    (plain,) = tg.grad((x**3).sum(), [x])
    (recorded,) = tg.grad((x**3).sum(), [x], create_graph=True)
    assert not plain.requires_grad
    assert recorded.requires_grad
    assert np.array_equal(plain.data, recorded.data)


# ---------------------------------------------------------------------- the backend of tensors


def test_there_is_one_backend_of_tensors_for_each_of_arrays():
    backend = get_backend("cpu")
    assert isinstance(backend, NumpyBackend)
    assert isinstance(differentiable(backend), DifferentiableBackend)
    assert differentiable(backend) is differentiable(backend)
    assert differentiable(backend).device == "cpu"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("relu_backward", ((2, 3), (2, 3))),
        ("sigmoid_backward", ((2, 3), (2, 3))),
        ("sigmoid", ((2, 3),)),
        ("softplus", ((2, 3),)),
        ("linear", ((2, 3), (3, 4), (4,))),
    ],
)
def test_kernels_on_tensors_and_on_arrays_agree(name, arguments):
    operands = [RNG.standard_normal(shape) for shape in arguments]
    backend = get_backend("cpu")
    on_tensors = getattr(differentiable(backend), name)(*map(tg.tensor, operands))
    assert isinstance(on_tensors, tg.Tensor)
    assert np.allclose(on_tensors.data, getattr(backend, name)(*operands), rtol=1e-14)


@given(shape=st.sampled_from([(2, 3), (1, 3), (2, 1), (1, 1), (3,), (1,), ()]))
def test_unbroadcasting_on_tensors_and_on_arrays_agree(shape):
    gradient = RNG.standard_normal((2, 3))
    backend = get_backend("cpu")
    summed = differentiable(backend).unbroadcast(tg.tensor(gradient), shape)
    assert summed.shape == shape
    assert np.allclose(summed.data, backend.unbroadcast(gradient, shape), rtol=1e-14)


@pytest.mark.parametrize("index", [0, slice(1, None), (0, 1), np.array([1, 1]), (slice(None), np.array([0, 2]))])
def test_scattering_on_tensors_and_on_arrays_agree(index):
    backend, shape = get_backend("cpu"), (2, 3)
    part = RNG.standard_normal(np.zeros(shape)[index].shape)
    scattered = differentiable(backend).scatter(tg.tensor(part), index, shape)
    assert np.array_equal(scattered.data, backend.scatter(part, index, shape))
    assert gradcheck(lambda x: differentiable(backend).scatter(x * x, index, shape), leaf(part), order=2)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_expand_dims_of_tensors(axis):
    x = RNG.standard_normal((2, 3))
    expanded = differentiable(get_backend("cpu")).xp.expand_dims(tg.tensor(x), axis)
    assert np.array_equal(expanded.data, np.expand_dims(x, axis))


@pytest.mark.parametrize("axes", [(0, 1), (-1, -2), (0, 2), (1, 1)])
def test_swapaxes_of_tensors(axes):
    x = RNG.standard_normal((2, 3, 4))
    swapped = differentiable(get_backend("cpu")).xp.swapaxes(tg.tensor(x), *axes)
    assert np.array_equal(swapped.data, np.swapaxes(x, *axes))
