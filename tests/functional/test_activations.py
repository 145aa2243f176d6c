import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

import tinygan as tg
import tinygan.functional as F
from tinygan import gradcheck
from tinygan.backend import Stream
from tinygan.errors import ArgumentError, DtypeError, GradientError, ShapeError
from tinygan.testing import EDGE_VALUES, Call, Calls, arrays, elementwise, operation_test, shapes

INF, NAN = float("inf"), float("nan")
X = [0.0, -0.0, 1000.0, -1000.0, INF, -INF]


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def gradient(function, values):
    """Return the gradient for upstream gradients of 1."""
    x = leaf(values)
    with np.errstate(all="ignore"):
        function(x).sum().backward()
    return x.grad.data.tolist()


def softplus(x):
    return np.logaddexp(0, x)


def leaky(x):
    return F.leaky_relu(x, 0.2)


TestReLU = operation_test(F.relu, lambda x: np.maximum(x, 0), elementwise(1, low=-3, high=3))
TestLeakyReLU = operation_test(leaky, lambda x: np.where(x > 0, x, 0.2 * x), elementwise(1, low=-3, high=3))
# beyond 15 rounding leaves few digits of 1 - y in the slope y (1 - y): it is accurate to 1e-16, but not relatively
TestLeakyReLUWithATensorAsSlope = operation_test(
    F.leaky_relu, lambda x, s: np.where(x > 0, x, s * x), elementwise(2, low=-3, high=3)
)
TestSigmoid = operation_test(F.sigmoid, special.expit, elementwise(1, low=-15, high=15))
TestTanh = operation_test(F.tanh, np.tanh, elementwise(1, low=-15, high=15))
TestSiLU = operation_test(F.silu, lambda x: x * special.expit(x), elementwise(1, low=-15, high=15))
TestGELU = operation_test(F.gelu, lambda x: x * special.ndtr(x), elementwise(1, low=-5, high=5))
TestELU = operation_test(
    F.elu, lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))), elementwise(1, -3, 3, alpha=0.7)
)
TestSoftplusWithBeta = operation_test(
    F.softplus, lambda x, beta: np.logaddexp(0, beta * x) / beta, elementwise(1, low=-3, high=3, beta=2.5)
)
TestSoftplus = operation_test(F.softplus, softplus, elementwise(1, low=-30, high=30))
TestLogSigmoid = operation_test(F.log_sigmoid, special.log_expit, elementwise(1, low=-30, high=30))


def test_gelu_is_exact_in_its_tail():
    x = leaf([-10.0, -30.0])
    np.testing.assert_allclose(F.gelu(x).data, [-7.619853024160527e-23, -1.472014e-196], rtol=1e-6)


@pytest.mark.parametrize("beta", [0, -1.0, INF, float("nan")])
def test_a_bend_that_is_not_sharp_is_refused(beta):
    with pytest.raises(ArgumentError, match=r"^softplus: beta must be a positive number, got"):
        F.softplus(leaf([1.0]), beta)


@pytest.mark.parametrize("function", [F.silu, F.gelu, F.elu, lambda x: F.softplus(x, 2)])
def test_activations_keep_single_and_half_precision(function):
    for dtype in ("float16", "float32"):
        x = leaf([-1.0, 0.5], dtype)
        y = function(x)
        y.sum().backward()
        assert (y.dtype, x.grad.dtype) == (dtype, dtype)
    for dtype in ("int64", "uint8", "bool"):
        y = function(tg.tensor(np.array([0, 1], dtype)))
        assert y.dtype == np.float32
        np.testing.assert_allclose(y.data, function(tg.tensor([0.0, 1.0])).data)


# ---------------------------------------------------------------------- edges


def test_gradients_at_the_edges():
    assert gradient(F.relu, X) == [0, 0, 1, 0, 1, 0]
    assert gradient(leaky, X) == [0.2, 0.2, 1, 0.2, 1, 0.2]
    assert gradient(F.sigmoid, X) == [0.25, 0.25, 0, 0, 0, 0]
    assert gradient(F.tanh, X) == [1, 1, 0, 0, 0, 0]
    assert gradient(F.silu, X[:4]) == [0.5, 0.5, 1, 0]
    assert gradient(F.gelu, X[:4]) == [0.5, 0.5, 1, 0]
    assert gradient(F.elu, X) == [1, 1, 1, 0, 1, 0]
    assert gradient(lambda x: F.elu(x, 0.5), X) == [0.5, 0.5, 1, 0, 1, 0]
    assert gradient(F.softplus, X) == [0.5, 0.5, 1, 0, 1, 0]
    assert gradient(F.log_sigmoid, X) == [0.5, 0.5, 0, 1, 0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("function", [F.silu, F.gelu, F.elu])
def test_slopes_are_constant_far_from_0(function):
    x = leaf([1000.0, -1000.0])
    (slope,) = tg.grad(function(x).sum(), [x], create_graph=True)
    (second,) = tg.grad(slope.sum(), [x])
    assert slope.data.tolist() == [1, 0]
    assert second.data.tolist() == [0, 0]  # e^1000 is infinite, but has no part in it


@pytest.mark.parametrize("function", [F.relu, leaky, F.sigmoid, F.tanh, F.softplus, F.log_sigmoid])
def test_edges(function):
    with np.errstate(all="ignore"):
        assert np.isnan(function(leaf([NAN])).item())
    assert gradcheck(function, tg.tensor(np.array(EDGE_VALUES)))


def test_relu_keeps_the_upstream_gradient_out_where_it_is_off():
    x = leaf([-1.0, 0.0, 2.0])
    F.relu(x).backward(np.array([INF, NAN, 3.0]))
    assert x.grad.data.tolist() == [0, 0, 3]


def test_relu_of_negative_zero_and_infinity():
    assert F.relu(leaf([-INF])).item() == 0
    assert F.relu(leaf([-0.0])).item() == 0


@given(x=arrays((5,), low=-700, high=700))
def test_log_sigmoid_is_exact_in_both_tails(x):
    assert np.allclose(F.log_sigmoid(leaf(x)).data, -softplus(-x), rtol=1e-13)
    assert np.allclose(F.softplus(leaf(x)).data, softplus(x), rtol=1e-13)
    assert np.allclose(F.sigmoid(leaf(x)).data, special.expit(x), rtol=1e-13)


def test_leaky_relu_by_default():
    assert F.leaky_relu(tg.tensor([-1.0, 1.0])).data.tolist() == pytest.approx([-0.01, 1])


@pytest.mark.parametrize("slope", [np.float64(0.2), 0.2, 0])
def test_leaky_relu_does_not_promote(slope):
    x = leaf([-1.0, 1.0], "float32")
    y = F.leaky_relu(x, slope)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == np.float32


def test_a_slope_that_learns():
    x, slope = leaf([-2.0, 3.0, -4.0]), leaf(0.5)
    F.leaky_relu(x, slope).sum().backward()
    assert x.grad.data.tolist() == [0.5, 1, 0.5]
    assert slope.grad.item() == -6
    each = leaf([0.1, 0.2, 0.3])
    F.leaky_relu(x, each).sum().backward()
    assert each.grad.data.tolist() == [-2, 0, -4]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_gets_its_gradient(dtype):
    for function in (F.relu, leaky):
        x = leaf([NAN, -1.0, 0.0, 2.0], dtype)
        function(x).backward(np.array([3.0, 3.0, 3.0, 3.0]))
        assert x.grad.data[0] == pytest.approx(3.0 if function is F.relu else 0.6)
        assert x.grad.data[3] == 3


@pytest.mark.parametrize("function", [F.sigmoid, F.tanh, F.softplus, F.log_sigmoid])
def test_third_order(function):
    assert gradcheck(function, leaf([-1.0, 0.5]), order=3)


# ---------------------------------------------------------------------- maxout


def grouped_maximum(x, pieces, axis=-1, piece_major=False):
    """Follow the definition, unit by unit."""
    x = np.moveaxis(x, axis, 0)
    units = len(x) // pieces
    groups = [x[u::units] if piece_major else x[u * pieces : (u + 1) * pieces] for u in range(units)]
    y = np.array([group.max(axis=0) for group in groups]).reshape(units, *x.shape[1:])
    return np.moveaxis(y, 0, axis)


@st.composite
def maxouts(draw):
    shape = list(draw(shapes(min_dims=1, max_side=2)))
    axis, pieces = draw(st.integers(-len(shape), len(shape) - 1)), draw(st.integers(1, 3))
    shape[axis] *= pieces
    options = {"pieces": pieces, "axis": axis, "piece_major": draw(st.booleans())}
    return Call((draw(arrays(tuple(shape), low=-2, high=2)),), options)


TestMaxout = operation_test(
    F.maxout,
    grouped_maximum,
    Calls(
        maxouts(),
        (
            Call((np.arange(6.0),), {"pieces": 3}),
            Call((np.array([[1.0, 5.0, 5.0, 2.0]]),), {"pieces": 2, "piece_major": True}),
            Call((np.zeros((4, 2)),), {"pieces": 4, "axis": 0}),
            Call((np.zeros((2, 0)),), {"pieces": 2}),
            Call((np.zeros((0, 4)),), {"pieces": 2}),
        ),
    ),
)


def test_consecutive_elements_compete():
    x = leaf([1.0, 5.0, 3.0, 2.0, 0.0, -1.0])
    assert F.maxout(x, pieces=2).data.tolist() == [5, 3, 0]
    assert F.maxout(x, pieces=2, piece_major=True).data.tolist() == [2, 5, 3]


@pytest.mark.parametrize("piece_major", [False, True])
def test_at_a_tie_the_first_piece_wins_alone(piece_major):
    assert gradient(lambda x: F.maxout(x, 3, piece_major=piece_major), [4.0, 4.0, 4.0]) == [1, 0, 0]
    assert gradient(lambda x: F.maxout(x, 3, piece_major=piece_major), [0.0, 7.0, 7.0]) == [0, 1, 0]
    assert gradcheck(lambda x: F.maxout(x, 3, piece_major=piece_major), leaf([4.0, 4.0, 4.0]))


def test_nan_and_infinity_in_maxout():
    x = [1.0, NAN, INF, -INF, NAN, NAN, -INF, -INF]
    y = F.maxout(leaf(x), 2).data
    assert np.isnan(y[[0, 2]]).all()
    assert y[[1, 3]].tolist() == [INF, -INF]
    assert np.sum(gradient(lambda x: F.maxout(x, 2), x)) == 4  # one piece of every unit gets the gradient


def test_more_pieces_than_a_byte_counts():
    x = np.zeros(600)
    x[[299, 300]] = 1.0
    assert gradient(lambda x: F.maxout(x, 300), x) == x.tolist()


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 5), {"pieces": 2}, "maxout: axis -1 has 5 elements, which 2 pieces do not divide"),
        ((2, 5), {"pieces": 0}, "maxout: axis -1 has 5 elements, which 0 pieces do not divide"),
        ((2, 5), {"pieces": 1, "axis": 2}, "maxout: axis 2 does not exist in an input of shape (2, 5)"),
        ((), {"pieces": 1}, "maxout: axis -1 does not exist in an input of shape ()"),
        ((2,), {"pieces": 2.0}, "maxout: pieces must be an integer, got 2.0"),
        ((2,), {"pieces": 2, "axis": None}, "maxout: axis must be an integer, got None"),
    ],
)
def test_pieces_that_do_not_fit(shape, options, message):
    with pytest.raises(ShapeError) as caught:
        F.maxout(tg.tensor(np.ones(shape)), **options)
    assert str(caught.value) == message


# ---------------------------------------------------------------------- dropout


def kept(x, p):
    """Dropout with its own stream."""
    return F.dropout(x, p, rng=Stream(1, "dropout"))


@given(x=arrays(low=0.5), p=st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_dropout_zeroes_or_scales(x, p):
    tensor = leaf(x)
    y = kept(tensor, p)
    assert y.shape == x.shape
    assert y.dtype == np.float64
    dropped = y.data == 0
    p = 1 - Stream.rounded(1 - p)
    assert np.allclose(y.data[~dropped], x[~dropped] / (1 - p) if p < 1 else 0)
    upstream = np.cos(np.arange(x.size)).reshape(x.shape)
    y.backward(upstream)
    assert np.allclose(tensor.grad.data, np.where(dropped, 0, upstream / (1 - p) if p < 1 else 0))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_dropout_to_second_order(p, shape):
    assert gradcheck(lambda x: kept(x, p), leaf(np.ones(shape)), order=2)


def test_dropout_keeps_the_mean():
    y = kept(tg.tensor(np.ones(100_000)), 0.2)
    assert float(y.mean()) == pytest.approx(1, abs=0.01)
    assert np.mean(y.data == 0) == pytest.approx(0.2, abs=0.01)


def test_dropout_of_nothing_is_the_tensor_itself():
    x = leaf([1.0, 2.0])
    assert F.dropout(x, 0.0) is x
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(np.ones(2), 0.5, training=False).data.tolist() == [1, 1]


def test_dropout_of_everything_is_zero():
    assert F.dropout(leaf(np.full(100, 3.0)), 1.0).data.tolist() == [0] * 100


def test_dropout_stays_float32():
    x = leaf(np.ones(10), "float32")
    y = F.dropout(x, np.float64(0.5))
    y.sum().backward()
    assert y.dtype == x.grad.dtype == np.float32


def test_dropout_draws_from_the_stream_of_its_name():
    x = tg.tensor(np.ones(64))
    masks = []
    for _ in range(2):
        streams = tg.manual_seed(5)
        masks.append(F.dropout(x, 0.5).data)
        masks.append(F.dropout(x, 0.5).data)
    assert np.array_equal(masks[0], masks[2])
    assert np.array_equal(masks[1], masks[3])
    assert not np.array_equal(masks[0], masks[1])
    assert np.array_equal(F.dropout(x, 0.5, rng=tg.manual_seed(5)["dropout"]).data, masks[0])
    assert sorted(streams.state_dict()["streams"]) == ["dropout"]


# Near 1, a mask drawn with a rounded probability but divided by the exact one would be wrong by up to a half.
PROBABILITIES = [0.1, 0.2, 0.3, 0.999, 1 - 2**-12 / 3, 1 - 2**-14 / 1.4, 1 - 2**-15]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("p", PROBABILITIES)
def test_kept_elements_are_divided_by_how_often_they_are_kept(p, dtype):
    drawn = Stream(0, "dropout").rounded(1 - p)
    y = F.dropout(tg.tensor(np.ones(1 << 17), dtype=dtype), p, rng=Stream(1, "dropout")).data
    assert set(np.unique(y)) == {0, np.dtype(dtype).type(1 / drawn)}
    count = np.count_nonzero(y)
    assert abs(count - drawn * y.size) <= 5 * np.sqrt(y.size * drawn * (1 - drawn))
    assert y.astype(np.float64).mean() == pytest.approx(1, abs=5 * np.sqrt((1 - drawn) / drawn / y.size) + 1e-3)


def test_a_probability_too_small_for_the_masks_drops_nothing():
    assert F.dropout(tg.tensor(np.ones(1 << 16)), 1e-7).data.tolist() == [1] * (1 << 16)


@pytest.mark.parametrize("p", [1 - 2**-16, 1 - 1e-7, np.nextafter(1, 0)])
def test_a_probability_too_close_to_1_is_refused(p):
    with pytest.raises(ArgumentError, match=r"dropout: with p=0\.99.* kept too rarely .* or 1 to drop everything"):
        F.dropout(leaf([1.0]), p)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64"])
def test_dropout_of_integers_is_float32(dtype):
    y = F.dropout(tg.tensor(np.ones(64), dtype=dtype), 0.75)
    assert y.dtype == np.float32
    assert set(np.unique(y.data)) == {0, 4}


def test_a_probability_that_requires_a_gradient_is_refused():
    x, p = leaf([1.0]), leaf(0.5)
    with pytest.raises(GradientError, match=r"dropout: no gradient flows to p"):
        F.dropout(x, p)
    for number in (p.detach(), np.array(0.5), np.float32(0.5)):
        assert F.dropout(x, number).item() in (0, 2)
    with tg.no_grad():
        assert F.dropout(x, p).item() in (0, 2)


@pytest.mark.parametrize("p", ["0.5", None, [0.5], np.array([0.5, 0.5])])
def test_what_is_no_number_is_no_probability(p):
    with pytest.raises(DtypeError, match="dropout: p must be a number, got "):
        F.dropout(leaf([1.0]), p)


@pytest.mark.parametrize("p", [-0.1, 1.1, NAN])
def test_a_probability_that_is_none(p):
    with pytest.raises(ArgumentError, match=r"dropout: p is the probability of dropping an element, in \[0, 1\]; got"):
        F.dropout(leaf([1.0]), p)
