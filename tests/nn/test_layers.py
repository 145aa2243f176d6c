"""The layers compute the formulas of their docstrings, with their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tinygan import nn
from tinygan.backend import Stream
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, DtypeError, ShapeError

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 5)
leading = st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple)


# --- gradients -------------------------------------------------------------------------------------------


def layer_of(kind, size, units):
    return {
        "linear": lambda: nn.Linear(size, units),
        "unbiased": lambda: nn.Linear(size, units, bias=False),
        "maxout": lambda: nn.Maxout(size, units, pieces=3),
        "relu": nn.ReLU,
        "leaky": lambda: nn.LeakyReLU(0.2),
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "softplus": lambda: nn.Softplus(2.0),
        "identity": nn.Identity,
        "reshape": lambda: nn.Reshape(1, size),
        "flatten": nn.Flatten,
    }[kind]()


KINDS = ["linear", "unbiased", "maxout", "relu", "leaky", "sigmoid", "tanh", "softplus", "identity"]
SHAPES = ["reshape", "flatten"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS + SHAPES)
@given(rows=sizes, size=sizes, units=sizes, seed=seeds)
def test_every_layer_has_the_gradient_of_its_numbers(assert_gradients, kind, rows, size, units, seed):
    rng = np.random.default_rng(seed)
    tg.manual_seed(seed)
    assert_gradients(layer_of(kind, size, units), rng.normal(size=(rows, size)), rng)


@given(kinds=st.lists(st.sampled_from(KINDS), min_size=2, max_size=5), width=sizes, seed=seeds)
def test_so_has_every_stack_of_layers(assert_gradients, kinds, width, seed):
    rng = np.random.default_rng(seed)
    tg.manual_seed(seed)
    assert_gradients(
        nn.Sequential(*(layer_of(kind, width, width) for kind in kinds)), rng.normal(size=(3, width)), rng
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linear", "unbiased", "maxout", "relu", "sigmoid", "tanh"])
@given(seed=seeds, times=st.integers(2, 3))
def test_a_layer_applied_twice_sums_its_gradients(assert_gradients, kind, seed, times):
    rng = np.random.default_rng(seed)
    tg.manual_seed(seed)
    layer = layer_of(kind, 4, 4)

    def again(x):  # in a chain, and also on other data
        first = layer(x * 0.5)
        for _ in range(times):
            x = layer(x)
        return x + first

    assert_gradients(layer, rng.normal(size=(2, 4)), rng, apply=again)


# --- Linear and Maxout -----------------------------------------------------------------------------------


@pytest.mark.slow
@given(leading, sizes, sizes, seeds, st.booleans())
def test_linear_is_x_times_weight_plus_bias(rows, size, units, seed, bias):
    rng = np.random.default_rng(seed)
    layer = nn.Linear(size, units, bias, bias_init=nn.init.uniform(1.0), rng=Stream(seed, "weights"))
    x = rng.normal(size=(*rows, size)).astype(np.float32)
    y = layer(Tensor(x))
    expected = np.einsum("...i,iu->...u", x, layer.weight.data) + (layer.bias.data if bias else 0)
    assert y.shape == (*rows, units)
    assert y.dtype == np.float32
    assert np.allclose(y.data, expected, rtol=1e-5, atol=1e-5)
    assert len(layer.parameters()) == 1 + bias
    if bias:
        assert abs(layer.bias.data).max() > 0


@given(leading, sizes, sizes, st.integers(1, 6), seeds)
def test_maxout_is_the_largest_of_its_pieces(rows, size, units, pieces, seed):
    rng = np.random.default_rng(seed)
    layer = nn.Maxout(size, units, pieces, bias_init=nn.init.uniform(1.0), rng=Stream(seed, "weights"))
    x = rng.normal(size=(*rows, size)).astype(np.float32)
    columns = [slice(p * units, (p + 1) * units) for p in range(pieces)]
    expected = np.max([x @ layer.weight.data[:, c] + layer.bias.data[c] for c in columns], axis=0)
    y = layer(Tensor(x))
    assert y.shape == (*rows, units)
    assert y.dtype == np.float32
    assert np.allclose(y.data, expected, rtol=1e-5, atol=1e-5)


def test_biases_start_at_zero():
    assert not nn.Linear(3, 4).bias.data.any()
    assert not nn.Maxout(3, 4, 2).bias.data.any()


@given(st.integers(1, 400), seeds)
def test_weights_start_within_one_over_the_root_of_the_inputs(size, seed):
    tg.manual_seed(seed)
    for weight in (nn.Linear(size, 50).weight.data, nn.Maxout(size, 10, 5).weight.data):
        assert weight.shape == (size, 50)
        assert weight.dtype == np.float32
        limit = 1 / math.sqrt(size)
        assert 0.7 * limit < abs(weight).max() <= limit * (1 + 1e-6)  # of 50 draws, all below 0.7: 2 in 100 million
        assert weight.min() < 0 < weight.max()


def test_an_input_of_the_wrong_width_is_described_in_words():
    with pytest.raises(ShapeError) as error:
        nn.Linear(784, 10)(Tensor(np.zeros((2, 3072), np.float32)))
    assert str(error.value) == "linear: weight has 784 rows but the input has 3072 columns (32x32x3)"
    with pytest.raises(ShapeError, match=r"^linear: weight has 4 rows but the input has 5 columns$"):
        nn.Maxout(4, 2, 2)(Tensor(np.zeros((2, 5), np.float32)))


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "3", None])
def test_sizes_are_positive_integers(size):
    with pytest.raises(ValueError, match=f"Linear: in_features must be an integer of at least 1, got {size!r}"):
        nn.Linear(size, 1)
    with pytest.raises(ValueError, match=f"Linear: out_features must be an integer of at least 1, got {size!r}"):
        nn.Linear(1, size)
    for place, name in enumerate(("in_features", "units", "pieces")):
        sizes: list = [2, 2, 2]
        sizes[place] = size
        with pytest.raises(ValueError, match=f"Maxout: {name} must be an integer of at least 1, got {size!r}"):
            nn.Maxout(*sizes)


# --- seeds -----------------------------------------------------------------------------------------------


@given(seeds)
def test_one_seed_one_network_and_one_set_of_masks(seed):
    def build_and_run(seed):
        tg.manual_seed(seed)
        net = nn.Sequential(nn.Dropout(0.5), nn.Maxout(8, 8, 2), nn.Dropout(0.5), nn.Linear(8, 40))
        return net.state_dict(), net(Tensor(np.ones((4, 8), np.float32))).data

    state, output = build_and_run(seed)
    np.random.seed(0)  # noqa: NPY002 - nothing is drawn from the global generator
    again, same = build_and_run(seed)
    other, different = build_and_run(seed + 1)
    assert all(np.array_equal(state[name], again[name]) for name in state)
    assert np.array_equal(output, same)
    assert not np.array_equal(state["1.weight"], other["1.weight"])
    assert not np.array_equal(output, different)


def test_a_layer_draws_only_from_the_stream_it_is_given():
    untouched = tg.manual_seed(1).state_dict()
    for layer in (nn.Linear, lambda *sizes, rng: nn.Maxout(*sizes, 1, rng=rng)):
        first, second = (layer(3, 4, rng=Stream(8, "mine")).weight.data for _ in range(2))
        assert np.array_equal(first, second)
    x = Tensor(np.ones((9, 9), np.float32))
    first, second = (nn.Dropout(0.5, rng=Stream(8, "mine"))(x).data for _ in range(2))
    assert np.array_equal(first, second)
    assert tg.backend.current_streams().state_dict() == untouched


def test_two_layers_of_one_seed_differ():
    tg.manual_seed(3)
    assert not np.array_equal(nn.Linear(5, 5).weight.data, nn.Linear(5, 5).weight.data)


def test_masks_do_not_depend_on_how_many_weights_were_drawn():
    def masks(width):
        tg.manual_seed(5)
        nn.Linear(width, width)
        return nn.Dropout(0.5)(Tensor(np.ones((8, 8), np.float32))).data

    assert np.array_equal(masks(1), masks(100))


# --- Dropout ---------------------------------------------------------------------------------------------


@given(st.floats(0.01, 0.99), seeds, st.sampled_from([np.float32, np.float64]))
def test_dropout_zeroes_a_share_p_and_keeps_the_mean(p, seed, dtype):
    n = 40_000
    x = Tensor(np.ones((200, n // 200), dtype), requires_grad=True)
    y = nn.Dropout(p, rng=Stream(seed, "dropout"))(x)
    assert y.dtype == dtype
    p = 1 - Stream.rounded(1 - p)
    assert set(np.unique(y.data)) <= {dtype(0), dtype(1 / (1 - p))}
    assert y.data.max() == dtype(1 / (1 - p))
    # six standard deviations
    assert abs((y.data == 0).mean() - p) < 6 * math.sqrt(p * (1 - p) / n) + 1e-9
    assert abs(y.data.mean() - 1) < 6 * math.sqrt(p / (1 - p) / n) + 1e-6
    y.sum().backward()
    assert np.array_equal(x.grad.data, y.data)  # of x = 1, the mask is both the result and the gradient


@given(st.floats(0, 1 - 2**-15), seeds)
def test_in_evaluation_dropout_is_the_identity(p, seed):
    x = Tensor(np.random.default_rng(seed).normal(size=(3, 4)), requires_grad=True)
    y = nn.Dropout(p).eval()(x)
    assert np.array_equal(y.data, x.data)
    y.sum().backward()
    assert np.array_equal(x.grad.data, np.ones((3, 4)))


def test_dropout_of_none_and_of_all():
    x = Tensor(np.array([[1.0, -2.0, np.inf]]), requires_grad=True)
    assert np.array_equal(nn.Dropout(0.0)(x).data, x.data)
    x = Tensor(np.full((30, 30), 2.0), requires_grad=True)
    y = nn.Dropout(1.0)(x)
    assert not y.data.any()
    y.sum().backward()
    assert not x.grad.data.any()


def test_each_call_of_dropout_keeps_its_own_mask_for_backward():
    x = Tensor(np.random.default_rng(0).normal(size=(20, 30)), requires_grad=True)
    layer = nn.Dropout(0.3, rng=Stream(0, "dropout"))
    first, second = layer(x), layer(x)
    masks = [y.data / x.data for y in (first, second)]
    assert not np.array_equal(*masks)
    assert len({row.tobytes() for row in masks[0]}) == 20  # and each example its own
    (first * 2 + second * 3).sum().backward()
    assert np.allclose(x.grad.data, 2 * masks[0] + 3 * masks[1], rtol=1e-12)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_a_probability_lies_between_0_and_1(p):
    with pytest.raises(ValueError, match=rf"Dropout: p is the probability of dropping .* in \[0, 1\]; got {p}"):
        nn.Dropout(p)


# --- GaussianNoise ---------------------------------------------------------------------------------------


@given(std=st.floats(0.01, 10), seed=seeds, dtype=st.sampled_from([np.float32, np.float64]))
def test_gaussian_noise_has_its_deviation_and_the_gradient_of_a_sum(std, seed, dtype):
    x = Tensor(np.full((100, 100), 3, dtype), requires_grad=True)
    y = nn.GaussianNoise(std, rng=Stream(seed, "gaussian_noise"))(x)
    assert y.dtype == dtype
    noise = (y.data - 3).astype(float) / std
    assert abs(noise.mean()) < 6 / 100
    assert abs(noise.std() - 1) < 6 / math.sqrt(2 * 10_000)
    y.sum().backward()
    assert (x.grad.data == 1).all()


def test_noise_is_drawn_in_training_only_unless_asked():
    x = Tensor(np.ones((2, 3), np.float32))
    tg.manual_seed(4)
    layer, always = nn.GaussianNoise(0.5), nn.GaussianNoise(0.5, always=True)
    first, second = layer(x).data, layer(x).data
    assert not np.array_equal(first, second)
    tg.manual_seed(4)
    assert np.array_equal(layer(x).data, first)  # from a named stream
    assert layer.eval()(x) is x
    assert not np.array_equal(always.eval()(x).data, x.data)
    assert nn.GaussianNoise(0)(x) is x
    assert repr(always) == "GaussianNoise(0.5, always=True)"


def test_noise_of_half_precision_and_of_integers():
    assert nn.GaussianNoise(0.5)(Tensor(np.ones(3, np.float16))).dtype == np.float16
    assert nn.GaussianNoise(0.5)(Tensor(np.ones(3, np.int64))).dtype == np.float32


@pytest.mark.parametrize("std", [-0.1, math.nan, math.inf])
def test_a_deviation_is_not_negative(std):
    with pytest.raises(ArgumentError, match=f"finite and at least 0; got {std}"):
        nn.GaussianNoise(std)


# --- Embedding -------------------------------------------------------------------------------------------


@given(classes=sizes, units=sizes, seed=seeds, shape=st.lists(st.integers(0, 3), max_size=2).map(tuple))
def test_embedding_chooses_rows_and_adds_their_gradients(classes, units, seed, shape):
    rng = np.random.default_rng(seed)
    layer, labels = nn.Embedding(classes, units), rng.integers(0, classes, size=shape)
    y = layer(tg.tensor(labels))
    assert np.array_equal(y.data, layer.weight.data[labels])
    y.sum().backward()
    counts = np.bincount(labels.ravel(), minlength=classes)
    assert np.array_equal(layer.weight.grad.data, np.repeat(counts[:, None], units, axis=1))


def test_an_embedding_starts_from_n_0_1():
    weights = nn.Embedding(100, 100, rng=Stream(0, "weights")).weight.data
    assert abs(weights.mean()) < 0.06
    assert abs(weights.std() - 1) < 0.05
    assert not nn.Embedding(3, 2, weight_init=nn.init.constant(0)).weight.data.any()


@pytest.mark.parametrize("labels", [[3], [-1], [0.0]])
def test_a_label_outside_of_the_table_is_refused(labels):
    with pytest.raises((ShapeError, DtypeError)):
        nn.Embedding(3, 2)(tg.tensor(labels))


# --- Softplus and Identity -------------------------------------------------------------------------------


@given(beta=st.floats(0.1, 10), seed=seeds)
def test_softplus_with_beta(beta, seed):
    x = np.random.default_rng(seed).normal(size=(3, 4))
    assert np.allclose(nn.Softplus(beta)(Tensor(x)).data, np.logaddexp(0, beta * x) / beta, rtol=1e-12)


@pytest.mark.parametrize("beta", [0, -1.0, math.nan, math.inf])
def test_beta_is_positive(beta):
    with pytest.raises(ArgumentError, match="beta must be above 0 and finite"):
        nn.Softplus(beta)


def test_identity_is_the_input():
    x = Tensor(np.ones(3))
    assert nn.Identity()(x) is x


# --- shapes ----------------------------------------------------------------------------------------------


@given(st.integers(0, 3), sizes, sizes, sizes)
def test_flatten_undoes_reshape(rows, a, b, c):
    x = Tensor(np.arange(float(rows * a * b * c)).reshape(rows, a * b * c))
    folded = nn.Reshape(a, b, c)(x)
    assert folded.shape == (rows, a, b, c)
    assert np.array_equal(folded.data, x.data.reshape(rows, a, b, c))
    assert np.array_equal(nn.Flatten()(folded).data, x.data)


def test_activations_at_their_edges():
    x = Tensor(np.array([-np.inf, -1.0, 0.0, 2.0, np.inf]))
    assert nn.ReLU()(x).data.tolist() == [0, 0, 0, 2, np.inf]
    assert nn.LeakyReLU(0.25)(x).data.tolist() == [-np.inf, -0.25, 0, 2, np.inf]
    assert np.allclose(nn.Sigmoid()(x).data, [0, 1 / (1 + math.e), 0.5, 1 / (1 + math.exp(-2)), 1], rtol=1e-14)
    assert np.allclose(nn.Tanh()(x).data, [-1, math.tanh(-1), 0, math.tanh(2), 1], rtol=1e-14)
