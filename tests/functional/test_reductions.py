import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

import tinygan as tg
import tinygan.functional as F
from tinygan import gradcheck
from tinygan.errors import ShapeError
from tinygan.testing import Call, Calls, arrays, operation_test, reductions, shapes, single_axes

INF, NAN = float("inf"), float("nan")


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def gradient(function, values):
    """Return the gradient for upstream gradients of 1."""
    x = values if isinstance(values, tg.Tensor) else leaf(values)
    x.grad = None
    with np.errstate(all="ignore"):
        function(x).sum().backward()
    return x.grad.data.tolist()


def logsumexp(x, axis=None, keepdims=False):
    return np.logaddexp.reduce(x, axis=axis, keepdims=keepdims)


TestSum = operation_test(F.sum, np.sum, reductions())
TestMean = operation_test(F.mean, np.mean, reductions(empty=False))
TestMax = operation_test(F.max, np.max, reductions(low=-3, high=3, empty=False))
TestMin = operation_test(F.min, np.min, reductions(low=-3, high=3, empty=False))
TestMaxWithoutTies = operation_test(F.max, np.max, reductions(empty=False, distinct=0.5))
TestProd = operation_test(F.prod, np.prod, reductions(low=-2, high=2))
TestLogSumExp = operation_test(F.logsumexp, logsumexp, reductions(empty=False))


# ---------------------------------------------------------------------- ties


def test_ties_share_equally():
    assert gradient(F.max, [1.0, 3.0, 3.0, 2.0]) == [0, 0.5, 0.5, 0]
    assert gradient(F.min, [1.0, 3.0, 1.0, 1.0]) == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])
    assert gradient(F.max, [0.0, -0.0]) == [0.5, 0.5]
    assert gradient(F.max, [INF, 0.0, INF]) == [0.5, 0, 0.5]
    assert gradient(F.max, [-INF, -INF]) == [0.5, 0.5]


@given(x=arrays(shapes(min_dims=2, max_dims=2, min_side=1), low=-1, high=1))
def test_shares_are_not_negative_and_add_up(x):
    for function in (F.max, F.min):
        for axis, winners in ((None, 1), (0, x.shape[1]), (-1, x.shape[0])):
            shares = np.array(gradient(lambda x, f=function, axis=axis: f(x, axis=axis), x))
            assert (shares >= 0).all()
            assert shares.sum() == pytest.approx(winners)


def test_an_infinite_gradient_goes_to_the_winner_only():
    x = leaf([1.0, 3.0, 2.0])
    for function, winner in ((F.max, 1), (F.min, 0)):
        x.grad = None
        function(x).backward(np.array(INF))
        assert x.grad.data.tolist() == [INF if k == winner else 0 for k in range(3)]


@given(x=arrays(shapes(min_side=1), low=-3, high=3))
def test_the_minimum_is_the_negative_maximum(x):
    assert np.array_equal(F.min(leaf(x)).data, -F.max(leaf(-x)).data)
    assert gradient(F.min, x) == gradient(F.max, -x)


def test_nan_is_the_maximum_and_gets_the_gradient():
    assert np.isnan(F.max(leaf([1.0, NAN, INF])).item())
    assert np.isnan(F.min(leaf([1.0, NAN, -INF])).item())
    assert gradient(F.max, [1.0, NAN, 2.0]) == [0, 1, 0]
    assert gradient(F.max, [NAN, NAN, 2.0]) == [0.5, 0.5, 0]


# ---------------------------------------------------------------------- logsumexp at its edges


def test_logsumexp_does_not_overflow():
    assert F.logsumexp(leaf([1000.0, 1000.0])).item() == pytest.approx(1000 + np.log(2))
    assert F.logsumexp(leaf([-1000.0, -1000.0])).item() == pytest.approx(-1000 + np.log(2))
    assert gradient(F.logsumexp, [1000.0, 1000.0]) == pytest.approx([0.5, 0.5])
    assert F.logsumexp(leaf([1000.0, 0.0], "float32")).item() == 1000


def test_logsumexp_of_infinities():
    with np.errstate(all="ignore"):
        assert F.logsumexp(leaf([INF, 0.0])).item() == INF
        assert F.logsumexp(leaf([-INF, 0.0])).item() == 0
        assert F.logsumexp(leaf([-INF, -INF])).item() == -INF
        assert np.isnan(F.logsumexp(leaf([NAN, 0.0])).item())
    assert gradient(F.logsumexp, [-INF, 0.0]) == [0, 1]


def test_its_gradient_is_the_softmax():
    x = np.random.default_rng(0).standard_normal((3, 4))
    assert np.allclose(gradient(lambda x: F.logsumexp(x, axis=1), x), special.softmax(x, axis=1))
    assert gradcheck(lambda x: F.logsumexp(x, axis=1), leaf(x), order=3)


# ---------------------------------------------------------------------- nothing to reduce


@pytest.mark.parametrize(("shape", "axis"), [((0,), None), ((2, 0), 1), ((0, 2), 1), ((0, 2), 0)])
def test_sums_of_nothing(shape, axis):
    x = leaf(np.zeros(shape))
    y = F.sum(x, axis=axis)
    assert np.array_equal(y.data, np.sum(x.data, axis=axis))
    y.backward(np.ones(y.shape))
    assert x.grad.shape == shape


@pytest.mark.parametrize("function", [F.max, F.min])
def test_maxima_of_nothing(function):
    with pytest.raises(ShapeError, match=r"m..: zero-size array .* no identity \(inputs: float64\[2, 0\]\)"):
        function(leaf(np.zeros((2, 0))), axis=1)
    assert function(leaf(np.zeros((2, 0))), axis=0).shape == (0,)
    assert gradcheck(lambda x: function(x, axis=0), leaf(np.zeros((2, 0))))


def test_logsumexp_of_nothing_is_the_logarithm_of_zero():
    with np.errstate(divide="ignore"):
        assert F.logsumexp(leaf(np.zeros((2, 0))), axis=1).data.tolist() == [-INF, -INF]
    assert F.logsumexp(leaf(np.zeros((0, 2))), axis=1).shape == (0,)


def test_mean_of_nothing_is_nan():
    x = leaf(np.zeros((2, 0)))
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        y = x.mean(axis=1)
    assert np.isnan(y.data).all()
    y.backward(np.ones(2))
    assert x.grad.shape == (2, 0)


# ---------------------------------------------------------------------- integers; methods; errors


def test_integers():
    k = tg.tensor([[1, 2], [3, 4]])
    assert F.sum(k).item() == 10
    assert F.max(k, axis=0).data.tolist() == [3, 4]
    assert F.min(k).item() == 1
    assert F.mean(k).item() == 2.5
    assert F.mean(k).dtype == np.float32
    assert not F.mean(k).requires_grad


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_methods_and_numpy_functions_are_the_same(name):
    x = leaf([[1.0, 5.0], [3.0, 2.0]])
    expected = getattr(F, name)(x, axis=1, keepdims=True)
    assert np.array_equal(getattr(x, name)(axis=1, keepdims=True).data, expected.data)
    assert np.array_equal(getattr(x, name)(1, True).data, expected.data)
    assert np.array_equal(getattr(np, name)(x, axis=1, keepdims=True).data, expected.data)


ALL = [F.sum, F.mean, F.max, F.min, F.logsumexp]


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize(
    ("shape", "axis", "message"),
    [
        ((2, 3), 2, "axis 2 does not exist in an input of shape (2, 3)"),
        ((2, 3), -3, "axis -3 does not exist in an input of shape (2, 3)"),
        ((2, 3), (0, 5), "axis 5 does not exist in an input of shape (2, 3)"),
        ((), 1, "axis 1 does not exist in an input of shape ()"),
        ((2, 3), (0, 0), "axis=(0, 0) names an axis of shape (2, 3) twice"),
        ((2, 3), (1, -1), "axis=(1, -1) names an axis of shape (2, 3) twice"),
        ((), (0, -1), "axis=(0, -1) names an axis of shape () twice"),
        ((2, 3), 1.0, "axis must be an integer, got 1.0"),
        ((2, 3), True, "axis must be an integer, got True"),
        ((2, 3), "0", "axis must be an integer, got '0'"),
        ((2, 3), (0, None), "axis must be an integer, got None"),
        ((2, 3), np.array([0, 1]), "axis must be an integer, got a ndarray of shape (2,)"),
    ],
)
def test_axes_that_do_not_exist(function, shape, axis, message):
    for x in (leaf(np.ones(shape)), tg.tensor(np.ones(shape, int))):
        with pytest.raises(ShapeError) as caught:
            function(x, axis=axis)
        assert str(caught.value) == f"{function.__name__}: {message}"


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("axis", [np.int64(1), np.array(1), [1], (np.int8(-1),), [-1]])
def test_axes_of_every_kind(function, axis):
    x = leaf([[1.0, 5.0], [3.0, 3.0]])
    for keep in (False, True):
        expected = function(x, axis=1, keepdims=keep)
        assert np.array_equal(function(x, axis=axis, keepdims=keep).data, expected.data)
    assert gradient(lambda x: function(x, axis=axis), x) == gradient(lambda x: function(x, axis=1), x)


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("axis", [None, (), 0, -1, (0,), [-1]])
@pytest.mark.parametrize("keepdims", [False, True])
def test_a_number_reduced_over_axis_0_is_itself(function, axis, keepdims):
    x = leaf(3.0)
    y = function(x, axis=axis, keepdims=keepdims)
    assert (y.shape, y.item()) == ((), 3)
    y.backward()
    assert x.grad.item() == 1


# ---------------------------------------------------------------------- half precision


@pytest.mark.parametrize("n", [3000, 70000])
@pytest.mark.parametrize("function", [F.mean, F.max, F.min, F.logsumexp])
def test_more_elements_than_half_precision_counts(function, n):
    for shape, axis in (((n,), None), ((n, 2), 0)):
        x = tg.tensor(np.ones(shape), dtype="float16", requires_grad=True)
        y = function(x, axis=axis)
        assert y.dtype == np.float16
        assert y.data == pytest.approx(1 + np.log(n) * (function is F.logsumexp), rel=1e-3)
        y.sum().backward()
        np.testing.assert_allclose(x.grad.data.astype(float), 1 / n, rtol=0.01)


def test_sums_of_half_precision_are_rounded_once():
    x = tg.tensor(np.full((5000, 3), 3.0), dtype="float16")
    assert F.sum(x, axis=0).data.tolist() == [15000] * 3
    assert F.sum(F.concatenate([x * 10, -x * 9]), axis=0).data.tolist() == [15000] * 3  # 150000 is not


# ---------------------------------------------------------------------- products and running sums


@st.composite
def running_sums(draw):
    x = draw(arrays(shapes(min_dims=1)))
    return Call((x,), {"axis": draw(st.none() | single_axes(x.ndim))})


TestCumSum = operation_test(F.cumsum, np.cumsum, Calls(running_sums(), (Call((np.array(2.0),)),)))


@pytest.mark.slow
@given(x=arrays(shapes(min_dims=1, max_dims=2, max_side=5), low=-2, high=2), zeros=st.integers(0, 3), data=st.data())
def test_the_gradient_of_a_product_needs_no_division(x, zeros, data):
    for _ in range(zeros if x.size else 0):
        x[data.draw(st.tuples(*(st.integers(0, size - 1) for size in x.shape)))] = 0
    tensor = leaf(x)
    F.prod(tensor, axis=-1).sum().backward()
    eye = np.eye(x.shape[-1], dtype=bool)
    np.testing.assert_allclose(tensor.grad.data, np.where(eye, 1, x[..., None, :]).prod(axis=-1), rtol=1e-12)
    assert gradcheck(lambda x: F.prod(x, axis=-1), leaf(x), order=2)


def test_products_and_running_sums_of_other_dtypes():
    assert F.prod(tg.tensor([2, 3], dtype="int8")).dtype == F.cumsum(tg.tensor([2, 3], dtype="int8")).dtype == np.int64
    assert F.cumsum(tg.tensor([True, True])).data.tolist() == [1, 2]
    x = tg.tensor(np.full(5000, 0.1), dtype="float16", requires_grad=True)
    y = F.cumsum(x)
    assert y.dtype == np.float16
    assert y.data[-1] == np.float16(5000 * float(np.float16(0.1)))
    y.backward(np.ones(5000, np.float16))
    assert x.grad.data[0] == 5000


def test_axes_of_running_sums():
    for axis in (1, -2, 0.0):
        with pytest.raises(ShapeError, match=r"^cumsum: axis"):
            F.cumsum(leaf([1.0]), axis)
