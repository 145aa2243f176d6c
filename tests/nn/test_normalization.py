"""Layers that normalize activations or weights."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygan as tg
from tests.doubles.installed import strict_cupy
from tinygan import nn
from tinygan.backend import Stream
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, DtypeError, ShapeError

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 5)
LAYERS = {
    "batch": lambda n, rng: nn.BatchNorm(n),
    "layer": lambda n, rng: nn.LayerNorm(n),
    "spectral": lambda n, rng: nn.SpectralNorm(nn.Linear(n, 3, rng=rng), rng=rng),
    "weight": lambda n, rng: nn.WeightNorm(nn.Linear(n, 3, rng=rng)),
    "maxout": lambda n, rng: nn.SpectralNorm(nn.Maxout(n, 3, 2, rng=rng), rng=rng),
}


def made(kind, size=4, seed=0):
    return LAYERS[kind](size, Stream(seed, "weights"))


# --- all of them -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", LAYERS)
@given(rows=st.integers(2, 4), size=st.integers(2, 5), seed=seeds)
@settings(max_examples=20)
def test_gradients_are_those_of_the_numbers(assert_gradients, kind, rows, size, seed):
    layer = made(kind, size, seed)
    if kind in ("spectral", "maxout"):  # in training each pass has other singular vectors
        layer.eval()
    if kind != "spectral" and kind != "maxout":
        assert_gradients(layer, np.random.default_rng(seed).normal(size=(rows, size)), np.random.default_rng(seed))
        return
    x = tg.tensor(np.random.default_rng(seed).normal(size=(rows, size)), requires_grad=True)
    weight = Tensor(layer.layer.weight.data.astype("float64"), requires_grad=True)
    tg.gradcheck(lambda x, w: nn.functional_call(layer, {"layer.weight": w}, x), [x, weight])


@pytest.mark.parametrize("kind", LAYERS)
def test_float32_stays_float32(kind):
    layer, x = made(kind), Tensor(np.random.default_rng(0).normal(size=(6, 4)).astype("f4"), requires_grad=True)
    y = layer(x)
    (y * y).sum().backward()
    assert y.dtype == x.grad.dtype == np.float32
    assert all(parameter.grad.dtype == np.float32 for parameter in layer.parameters())


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_is_the_same_layer_apart(kind, copied):
    layer, x = made(kind), Tensor(np.random.default_rng(0).normal(size=(6, 4)).astype("f4"))
    layer(x)
    twin = copied(layer)
    assert np.array_equal(twin(x).data, layer(x).data)
    states = twin.state_dict(), layer.state_dict()
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[1])
    layer(x + 1)
    for name, array in twin.state_dict().items():
        assert np.array_equal(array, states[0][name])


@pytest.mark.parametrize("kind", LAYERS)
def test_a_loaded_state_computes_the_same(kind):
    layer, other = made(kind, seed=1), made(kind, seed=2)
    x = Tensor(np.random.default_rng(0).normal(size=(6, 4)).astype("f4"))
    for _ in range(3):
        layer(x)
    other.load_state_dict(layer.state_dict())
    assert np.array_equal(other.eval()(x).data, layer.eval()(x).data)


@pytest.mark.parametrize("kind", LAYERS)
def test_on_a_gpu_it_waits_for_nothing(kind):
    layer, x = made(kind), np.random.default_rng(0).normal(size=(6, 4)).astype("f4")
    here = copy.deepcopy(layer)
    expected = here(Tensor(x))
    with strict_cupy() as cupy:
        layer.to("cuda")
        inputs = tg.tensor(x, device="cuda", requires_grad=True)
        with cupy.gpu.step():
            y = layer(inputs)
            y.sum().backward()
        assert np.allclose(y.numpy(), expected.data, rtol=1e-4, atol=1e-5)
        for name, array in layer.state_dict().items():
            assert np.allclose(array, here.state_dict()[name], rtol=1e-4, atol=1e-5), name


# --- batch normalization ---------------------------------------------------------------------------------


@given(shape=st.tuples(st.integers(2, 5), sizes) | st.tuples(sizes, sizes, st.integers(2, 3), sizes), seed=seeds)
def test_each_channel_of_a_batch_has_mean_0_and_variance_1(shape, seed):
    x = 5 + 3 * np.random.default_rng(seed).normal(size=shape)
    y = nn.BatchNorm(shape[1], eps=0.0)(Tensor(x)).data
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    assert np.allclose(y.mean(axes), 0, atol=1e-9)
    assert np.allclose(y.var(axes), 1, rtol=1e-9)


def test_in_evaluation_no_example_depends_on_another():
    layer, x = nn.BatchNorm(3), np.random.default_rng(0).normal(size=(8, 3)).astype("f4")
    for _ in range(5):
        layer(Tensor(x))
    before = layer.state_dict()
    y = layer.eval()(Tensor(x)).data
    assert np.array_equal(layer(Tensor(x[:1])).data, y[:1])
    assert all(np.array_equal(array, before[name]) for name, array in layer.state_dict().items())
    expected = (x - before["running_mean"]) / np.sqrt(before["running_var"] + 1e-5)
    assert np.allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_the_state_has_the_names_of_pytorch():
    layer = nn.BatchNorm(3)
    layer(Tensor(np.random.default_rng(0).normal(size=(8, 3)).astype("f4")))
    state = layer.state_dict()
    assert list(state) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert state["num_batches_tracked"] == 1
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert list(nn.BatchNorm(3, affine=False).state_dict()) == list(state)[2:]
    assert list(nn.BatchNorm(3, track_running_stats=False).state_dict()) == ["weight", "bias"]


def test_without_running_statistics_evaluation_uses_the_batch():
    layer, x = nn.BatchNorm(3, track_running_stats=False), Tensor(np.random.default_rng(0).normal(size=(8, 3)))
    assert np.array_equal(layer.eval()(x).data, nn.BatchNorm(3)(x).data)


@pytest.mark.parametrize("shape", [(8, 3), (4, 3, 2, 2)])
def test_batch_norm_trains_as_that_of_pytorch(shape):
    torch = pytest.importorskip("torch")
    kind = torch.nn.BatchNorm1d if len(shape) == 2 else torch.nn.BatchNorm2d
    ours, theirs = nn.BatchNorm(3, 1e-3, 0.2), kind(3, 1e-3, 0.2)
    rng = np.random.default_rng(1)
    for _ in range(4):
        x = rng.normal(size=shape).astype("f4")
        a, b = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = ours(a), theirs(b)
        (y * y * y).sum().backward()
        (z * z * z).sum().backward()
        assert np.allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-4, atol=1e-5)
        assert np.allclose(a.grad.data, b.grad.numpy(), rtol=1e-3, atol=1e-4)
    state = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    for name, array in ours.state_dict().items():
        assert np.allclose(array, state[name], rtol=1e-5, atol=1e-6), name
    ours.load_state_dict(state)
    x = rng.normal(size=shape).astype("f4")
    y, z = ours.eval()(Tensor(x)), theirs.eval()(torch.tensor(x))
    assert np.allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_a_batch_of_one_is_refused_with_what_to_do():
    layer = nn.BatchNorm(3)
    with pytest.raises(ShapeError, match=r"2 values or more.*net\.eval\(\)"):
        layer(Tensor(np.ones((1, 3), "f4")))
    assert layer.num_batches_tracked.item() == 0
    assert not layer.running_mean.data.any()


# --- spectral normalization ------------------------------------------------------------------------------


@given(rows=sizes, columns=sizes, seed=seeds)
def test_the_largest_singular_value_becomes_1(rows, columns, seed):
    rng = np.random.default_rng(seed)
    layer = nn.SpectralNorm(nn.Linear(rows, columns, bias=False, rng=Stream(seed, "weights")), n_power_iterations=50)
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0] for n in (rows, columns))
    values = np.zeros((rows, columns))
    np.fill_diagonal(values, 7 * 0.5 ** np.arange(min(rows, columns)))  # apart, so that 50 iterations are enough
    layer.layer.weight.data[...] = left @ values @ right
    layer(Tensor(np.eye(rows, dtype="f4")))
    normalized = layer(Tensor(np.eye(rows, dtype="f4"))).data
    assert np.linalg.svd(normalized, compute_uv=False)[0] == pytest.approx(1, rel=1e-4)
    assert np.allclose(normalized, layer.layer.weight.data / 7, rtol=1e-3, atol=1e-4)


def test_vectors_change_in_training_only_and_are_no_parameters():
    layer, x = made("spectral"), Tensor(np.ones((2, 4), "f4"))
    layer.layer.weight.data += np.random.default_rng(0).normal(size=(4, 3)).astype("f4")
    states = [layer.state_dict()]
    for mode in (True, False):
        layer.train(mode)(x)
        states.append(layer.state_dict())
    assert list(states[0]) == ["u", "v", "layer.weight", "layer.bias"]
    assert [name for name, _ in layer.named_parameters()] == ["layer.weight", "layer.bias"]
    assert not np.array_equal(states[0]["u"], states[1]["u"])
    assert np.array_equal(states[1]["u"], states[2]["u"])
    assert (states[0]["u"].shape, states[0]["v"].shape) == ((3,), (4,))


def test_two_passes_before_one_backward():
    """D sees real and fake examples, each with its own vectors, and then one gradient is computed."""
    layer, x = made("spectral"), Tensor(np.random.default_rng(0).normal(size=(2, 4)).astype("f4"))
    separate = copy.deepcopy(layer)
    (layer(x).sum() + (layer(x) * 2).sum()).backward()
    for factor in (1, 2):
        (separate(x) * factor).sum().backward()
    assert np.allclose(layer.layer.weight.grad.data, separate.layer.weight.grad.data, rtol=1e-4, atol=1e-6)


def test_spectral_norm_is_that_of_pytorch_to_second_order():
    torch = pytest.importorskip("torch")
    layer = made("spectral")
    layer.layer.weight.data = layer.layer.weight.data.astype("f8")
    layer.u.data, layer.v.data = layer.u.data.astype("f8"), layer.v.data.astype("f8")
    theirs = torch.nn.utils.spectral_norm(torch.nn.Linear(4, 3).double(), eps=1e-12)
    with torch.no_grad():
        theirs.weight_orig[...] = torch.tensor(layer.layer.weight.data.T)
        theirs.bias[...] = torch.tensor(layer.layer.bias.data)
        theirs.weight_u[...], theirs.weight_v[...] = torch.tensor(layer.u.data), torch.tensor(layer.v.data)
    x = np.random.default_rng(0).normal(size=(5, 4))
    for _ in range(3):
        a, b = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y, z = layer(a), theirs(b)
        assert np.allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-7, atol=1e-9)
        ours = tg.grad((y * y * y).sum(), [a, layer.layer.weight], create_graph=True)
        other = torch.autograd.grad((z * z * z).sum(), [b, theirs.weight_orig], create_graph=True)
        for order in range(2):
            for slope, expected in zip(ours, (other[0], other[1].T), strict=True):
                expected = expected.detach().numpy()
                assert np.allclose(slope.detach().numpy(), expected, rtol=1e-6, atol=1e-8), order
            ours = tg.grad(sum((slope * slope).sum() for slope in ours), [a, layer.layer.weight], allow_unused=True) \
                if order == 0 else ours
            other = torch.autograd.grad(sum((slope * slope).sum() for slope in other), [b, theirs.weight_orig]) \
                if order == 0 else other


# --- weight normalization --------------------------------------------------------------------------------


@given(size=sizes, units=sizes, seed=seeds)
def test_length_and_direction_of_the_weights_are_apart(size, units, seed):
    inner = nn.Linear(size, units, rng=Stream(seed, "weights"))
    x = Tensor(np.random.default_rng(seed).normal(size=(3, size)).astype("f4"))
    before = inner(x).data
    layer = nn.WeightNorm(inner)
    assert np.allclose(layer(x).data, before, rtol=1e-4, atol=1e-5)  # at first nothing has changed
    inner.weight.data *= 5  # only the direction counts
    assert np.allclose(layer(x).data, before, rtol=1e-4, atol=1e-5)
    layer.g.data *= 2
    assert np.allclose(layer(x).data, 2 * before, rtol=1e-4, atol=1e-5)
    layer(x).sum().backward()
    across = (inner.weight.grad.data * inner.weight.data).sum(axis=0)
    assert np.allclose(across, 0, atol=1e-4)  # the gradient of a direction has no part along it


def test_weight_norm_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    layer = made("weight")
    with pytest.warns(FutureWarning):
        theirs = torch.nn.utils.weight_norm(torch.nn.Linear(4, 3))
    with torch.no_grad():
        theirs.weight_v[...] = torch.tensor(layer.layer.weight.data.T)
        theirs.weight_g[...] = torch.tensor(layer.g.data.T)
        theirs.bias[...] = torch.tensor(layer.layer.bias.data)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("f4")
    y, z = layer(Tensor(x)), theirs(torch.tensor(x))
    (y * y).sum().backward()
    (z * z).sum().backward()
    assert np.allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert np.allclose(layer.g.grad.data.T, theirs.weight_g.grad.numpy(), rtol=1e-4, atol=1e-5)
    assert np.allclose(layer.layer.weight.grad.data.T, theirs.weight_v.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_every_unit_needs_a_direction():
    inner = nn.Linear(3, 2)
    inner.weight.data[:, 1] = 0
    with pytest.raises(ArgumentError, match="are all 0, and have no direction"):
        nn.WeightNorm(inner)
    assert nn.WeightNorm(nn.Linear(3, 2), axis=0).g.shape == (3, 1)


# --- nesting, and refusals -------------------------------------------------------------------------------


def test_wrappers_wrap_each_other():
    net = nn.SpectralNorm(nn.Linear(4, 3))
    x = Tensor(np.random.default_rng(0).normal(size=(2, 4)).astype("f4"))
    weight = Tensor(2 * net.layer.weight.data, requires_grad=True)
    expected = net.eval()(x).data
    y = nn.functional_call(net, {"layer.weight": weight}, x)
    assert np.allclose(y.data, expected, rtol=1e-5)  # twice the weights, and twice their norm
    y.sum().backward()
    assert weight.grad is not None
    assert net.layer.weight.grad is None


@pytest.mark.parametrize("wrap", [nn.SpectralNorm, nn.WeightNorm])
@pytest.mark.parametrize(
    ("kind", "message", "arguments"),
    [
        (DtypeError, r"expected a layer, such as nn\.Linear.*got int", (3,)),
        (ArgumentError, r"ReLU has no parameter 'weight' with two axes or more; it has none", (nn.ReLU(),)),
        (ArgumentError, r"no parameter 'bias' with two axes.*it has weight, bias", (nn.Linear(2, 2), "bias")),
    ],
)
def test_what_has_no_weight_cannot_be_normalized(wrap, kind, message, arguments):
    with pytest.raises(kind, match=message):
        wrap(*arguments)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.BatchNorm(0),
        lambda: nn.BatchNorm(3, eps=-1),
        lambda: nn.BatchNorm(3, eps=math.inf),
        lambda: nn.BatchNorm(3, momentum=1.5),
        lambda: nn.LayerNorm(()),
        lambda: nn.LayerNorm((3, 0)),
        lambda: nn.LayerNorm(3, eps=math.nan),
        lambda: nn.SpectralNorm(nn.Linear(2, 2), n_power_iterations=0),
        lambda: nn.WeightNorm(nn.Linear(2, 2), axis=2),
    ],
)
def test_numbers_out_of_range_are_refused(make):
    with pytest.raises(ArgumentError):
        make()
    with pytest.raises(DtypeError):
        nn.BatchNorm(3, momentum=None)
