import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special

import tinygan as tg
import tinygan.functional as F
from tinygan import gradcheck
from tinygan.errors import ShapeError
from tinygan.functional.elementwise import Where
from tinygan.testing import EDGE_VALUES, Call, Calls, arrays, broadcastable_shapes, elementwise, operation_test

INF, NAN = float("inf"), float("nan")


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def gradients(function, *values):
    """Return the gradients with respect to each operand, for upstream gradients of 1."""
    leaves = [leaf(value) for value in values]
    with np.errstate(all="ignore"):
        function(*leaves).sum().backward()
    return [x.grad.data.tolist() for x in leaves]


def clipped(x):
    return F.clip(x, -1.0, 1.5)


TestExp = operation_test(F.exp, np.exp, elementwise(1, low=-20, high=20))
TestLog = operation_test(F.log, np.log, elementwise(1, low=0.01, high=100))
TestSqrt = operation_test(F.sqrt, np.sqrt, elementwise(1, low=0.01, high=100))
TestExpm1 = operation_test(F.expm1, np.expm1, elementwise(1, low=-20, high=20))
TestLog1p = operation_test(F.log1p, np.log1p, elementwise(1, low=-0.5, high=100))
TestLogAddExp = operation_test(F.logaddexp, np.logaddexp, elementwise(2, low=-20, high=20))
TestSin = operation_test(F.sin, np.sin, elementwise(1))
TestCos = operation_test(F.cos, np.cos, elementwise(1))
TestSquare = operation_test(F.square, np.square, elementwise(1))
TestAbs = operation_test(F.abs, np.abs, elementwise(1))
TestMaximum = operation_test(F.maximum, np.maximum, elementwise(2, low=-2, high=2))
TestMinimum = operation_test(F.minimum, np.minimum, elementwise(2, low=-2, high=2))
TestClipByTensors = operation_test(
    F.clip, lambda x, low, high: np.minimum(np.maximum(x, low), high), elementwise(3, low=-3, high=3)
)
TestClip = operation_test(clipped, lambda x: np.clip(x, -1.0, 1.5), elementwise(1, low=-3, high=3))


# ---------------------------------------------------------------------- where


def chosen(a, b, condition):
    return F.where(condition, a, b)


@st.composite
def choices(draw):
    c, a, b = draw(broadcastable_shapes(3))
    return Call((draw(arrays(a)), draw(arrays(b))), {"condition": draw(hnp.arrays(bool, c))})


def choice(condition, *shapes):
    return Call(tuple(np.arange(1.0, 1 + np.prod(s)).reshape(s) for s in shapes), {"condition": np.array(condition)})


TestWhere = operation_test(
    chosen,
    lambda a, b, condition: np.where(condition, a, b),
    Calls(choices(), (choice(True, (), ()), choice([[True], [False]], (3,), (1, 3)), choice([True], (0, 1), (1,)))),
)


@pytest.mark.parametrize("condition", [tg.tensor([True, False]), np.array([1, 0]), tg.tensor([1, 0])])
def test_where_takes_conditions_of_every_kind(condition):
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = F.where(condition, a, b)
    y.backward(np.array([10.0, 20.0]))
    assert y.data.tolist() == [1, 4]
    assert (a.grad.data.tolist(), b.grad.data.tolist()) == ([10, 0], [0, 20])


def test_the_condition_keeps_its_dtype():
    condition = np.array([0, 2**60 + 1], np.int64)
    choice = Where()
    choice(condition, leaf([1.0, 2.0], "float16"), 3.0)
    assert choice.saved[0].dtype == np.int64


def test_where_between_numbers_is_float32():
    mask = tg.tensor([True, False])
    assert F.where(mask, 1.0, 0.0).dtype == np.float32
    assert F.where(mask, 1, 0).dtype == np.int64
    assert F.where(mask, tg.tensor([1.0, 2.0]), 0.0).dtype == np.float32
    assert F.where(mask, np.float64(1.0), tg.tensor([1.0, 2.0])).dtype == np.float32


def test_where_hides_what_is_not_chosen():
    a, b = gradients(lambda a, b: F.where(a > 0, a, b), [-1.0, 2.0], [INF, NAN])
    assert (a, b) == ([0, 1], [1, 0])


# ---------------------------------------------------------------------- subgradients, edges, ties


def test_gradients_at_the_edges():
    x = [0.0, -0.0, INF, -INF, 1000.0, -1000.0]
    assert gradients(F.abs, x) == [[0, 0, 1, -1, 1, -1]]
    assert gradients(F.exp, x) == [[1, 1, INF, 0, INF, 0]]
    assert gradients(F.expm1, x) == [[1, 1, INF, 0, INF, 0]]
    assert gradients(F.log1p, [0.0, INF, -1.0]) == [[1, 0, INF]]
    assert gradients(F.square, x) == [[0, 0, INF, -INF, 2000, -2000]]
    assert gradients(F.log, [0.0, INF, 1000.0]) == [[INF, 0, 1 / 1000]]
    assert gradients(F.sqrt, [0.0, INF]) == [[INF, 0]]
    assert gradients(lambda x: F.clip(x, -1, 1), [*x, -1.0, 1.0]) == [[1, 1, 0, 0, 0, 0, 1, 1]]


@pytest.mark.parametrize("function", [F.exp, F.log, F.sqrt, F.abs])
def test_nan_has_a_gradient_of_nan(function):
    assert np.isnan(gradients(function, [NAN])[0][0])


@pytest.mark.parametrize("operation", [F.maximum, F.minimum])
def test_ties_are_shared_equally(operation):
    a, b = gradients(operation, [1.0, 0.0, INF, 2.0], [1.0, -0.0, INF, 3.0])
    assert a[:3] == b[:3] == [0.5, 0.5, 0.5]
    assert {a[3], b[3]} == {0, 1}
    assert gradients(lambda x: operation(x, x), [3.0]) == [[1]]


VALUES = st.sampled_from(EDGE_VALUES) | st.floats(-2, 2)
TRIPLES = hnp.arrays(np.float64, (3, 5), elements=VALUES)


@given(x=TRIPLES)
def test_shares_are_not_negative_and_add_up(x):
    """For all values, also nan, the shares of the operands sum to the gradient."""
    two, three = x[:2], x
    below = lambda x, high: F.clip(x, None, high)  # noqa: E731
    for operation, inputs in ((F.maximum, two), (F.minimum, two), (F.clip, two), (below, two), (F.clip, three)):
        shares = np.array(gradients(operation, *inputs))
        assert (shares >= 0).all()
        assert shares.sum(axis=0).tolist() == [1] * 5


@given(x=TRIPLES)
def test_the_gradient_goes_to_the_value_that_is_the_result(x):
    for operation in (F.maximum, F.minimum, F.clip):
        inputs = x if operation is F.clip else x[:2]
        shares = np.array(gradients(operation, *inputs))
        with np.errstate(all="ignore"):
            result = operation(*map(leaf, inputs)).data
        np.testing.assert_array_equal(np.where(shares > 0, inputs, result), np.broadcast_to(result, shares.shape))


@pytest.mark.parametrize(("operation", "share"), [(F.maximum, [0, 1]), (F.minimum, [1, 0])])
def test_who_won_is_decided_in_the_forward_pass(operation, share):
    """The gradient does not depend on the values, so they may change afterwards."""
    x, w = leaf([1.0, 3.0]), leaf([2.0, 2.0])
    y = operation(x, w)
    with tg.no_grad():
        w *= 100
    y.sum().backward()
    assert x.grad.data.tolist() == share


@pytest.mark.parametrize("operation", [F.maximum, F.minimum])
def test_a_single_nan_gets_the_gradient(operation):
    a, b = gradients(operation, [1.0, NAN, NAN], [NAN, 1.0, NAN])
    assert (a, b) == ([0, 1, 0.5], [1, 0, 0.5])


@pytest.mark.parametrize(
    ("low", "high"), [(None, 1.0), (-1.0, None), (None, None), (-INF, INF), (np.float64(-1), np.float64(1))]
)
def test_clip_with_open_ends(low, high):
    x = leaf([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])
    y = F.clip(x, low, high)
    # np.clip without limits is new in NumPy 2.1
    assert y.data.tolist() == np.clip(x.data, -INF if low is None else low, INF if high is None else high).tolist()
    assert gradcheck(lambda x: F.clip(x, low, high), x)
    assert F.clip(x.astype("float32"), low, high).dtype == np.float32


def test_clip_by_tensors_at_ties_and_between_limits_that_cross():
    x, low, high = [0.0, 1.0, 2.0, 3.0, 0.0, 5.0, 3.0], [1.0, 1.0, 1.0, 1.0, 2.0, 4.0, 4.0], [2.0] * 7
    assert F.clip(leaf(x), leaf(low), leaf(high)).data.tolist() == [1, 1, 2, 2, 2, 2, 2]
    assert gradients(F.clip, x, low, high) == [
        [0, 1, 1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 1, 1, 1],
    ]
    assert gradients(lambda x: F.clip(x, 1.0, 1.0), [0.0, 1.0, 2.0]) == [[0, 0, 0]]


@pytest.mark.parametrize("limit", [np.array([1.0, 2.0, 3.0], np.float32), tg.tensor([1.0, 2.0, 3.0]), np.float64(2)])
def test_clip_by_arrays(limit):
    x = leaf([0.0, 2.0, 4.0], "float32")
    plain = limit.data if isinstance(limit, tg.Tensor) else limit
    assert F.clip(x, limit).dtype == F.clip(x, None, limit).dtype == np.float32
    assert F.clip(x, limit).data.tolist() == np.maximum(x.data, plain).tolist()
    assert F.clip(x, None, limit).data.tolist() == np.minimum(x.data, plain).tolist()
    h = leaf(2.5, "float32")
    F.clip(x, 0.0, h).sum().backward()
    assert (x.grad.data.tolist(), h.grad.item()) == ([1, 1, 0], 1)
    F.clip(3.0, leaf([1.0, 4.0]), 3.5)  # a number as x


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "uint64"])
def test_clip_of_integers_by_what_their_dtype_does_not_hold(dtype):
    x = tg.tensor([0, 5, 100], dtype=dtype)
    y = F.clip(x, -(10**30), 10**30)
    assert (y.dtype, y.data.tolist()) == (dtype, [0, 5, 100])
    assert F.clip(x, -1, 50).data.tolist() == [0, 5, 50]


def test_clip_of_integers_stays_integer():
    assert F.clip(tg.tensor([-3, 0, 5]), 0, 3).data.tolist() == [0, 0, 3]
    assert F.clip(tg.tensor([-3, 0, 5]), np.int64(0), 3).dtype == np.int64


@pytest.mark.parametrize("operation", [F.maximum, F.minimum, lambda a, b: F.where(a > b, a, b)])
def test_integers_among_the_operands(operation):
    x, k = leaf([-1.0, 2.0, 3.5]), tg.tensor([0, 1, 5])
    assert gradcheck(operation, [x, k.astype("uint8")])
    assert gradcheck(lambda x, k: operation(k, x), [x, k], order=2)


def test_clip_keeps_nan():
    y = F.clip(leaf([NAN]), -1, 1)
    assert np.isnan(y.item())
    assert gradients(lambda x: F.clip(x, -1, 1), [NAN]) == [[1]]


# ---------------------------------------------------------------------- integers

INTEGERS = {"bool": [0, 1], "uint8": [0, 5, 200, 255], "int8": [-128, -1, 0, 127], "int64": [-(2**40), 0, 3, 2**40]}
INTEGERS["uint64"] = [0, 1, 2**40]
REAL = {  # functions of integers whose values are real numbers
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "expm1": np.expm1,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "silu": lambda x: x * special.expit(x),
    "gelu": lambda x: x * special.ndtr(x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "softmax": special.softmax,
    "log_softmax": special.log_softmax,
    "var": np.var,
    "std": np.std,
    "norm": np.linalg.norm,
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "softplus": lambda x: np.logaddexp(0, x),
    "log_sigmoid": special.log_expit,
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "logsumexp": special.logsumexp,
    "mean": np.mean,
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_real_functions_of_integers_are_float32(name, dtype):
    x = np.array(INTEGERS[dtype], dtype)
    with np.errstate(all="ignore"):
        y = getattr(F, name)(tg.tensor(x))
        expected = REAL[name](x.astype(np.float64)).astype(np.float32)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.data, expected, rtol=1e-6, atol=1e-44)


@pytest.mark.parametrize("name", ["abs", "relu", "max", "min", "clip", "floor", "flip"])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_functions_of_integers_are_exact(name, dtype):
    x = np.array(INTEGERS[dtype][dtype == "int8" :], dtype)  # |-128| is no int8
    wide = x.astype(np.int64)
    function, expected = {
        "abs": (F.abs, abs(wide)),
        "relu": (F.relu, np.maximum(wide, 0)),
        "max": (F.max, wide.max()),
        "min": (F.min, wide.min()),
        "floor": (F.floor, wide),
        "flip": (F.flip, wide[::-1]),
        "clip": (lambda x: F.clip(x, 0, 1), np.clip(wide, 0, 1)),
    }[name]
    assert function(tg.tensor(x)).data.tolist() == expected.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("function", [F.exp, F.abs, clipped])
def test_gradients_are_right_wherever_they_are_finite(function):
    assert gradcheck(function, tg.tensor(np.array(EDGE_VALUES)))


def test_log_and_sqrt_beyond_their_domain():
    with np.errstate(all="ignore"):
        assert F.log(leaf([0.0])).item() == -INF
        assert np.isnan(F.log(leaf([-1.0])).item())
        assert np.isnan(F.sqrt(leaf([-1.0])).item())


def test_third_order():
    for function in (F.exp, F.log, F.sqrt):
        assert gradcheck(function, leaf([0.5, 2.0]), order=3)


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize("operation", [F.maximum, F.minimum, lambda a, b: F.where(True, a, b)])
def test_shapes_that_do_not_broadcast(operation):
    with pytest.raises(ShapeError, match=r"shapes .*\(2,\) and \(3,\) do not broadcast: axis -1 has sizes 2 and 3"):
        operation(tg.tensor([1.0, 2.0]), tg.tensor([1.0, 2.0, 3.0]))


def test_logaddexp_of_infinities():
    assert gradients(F.logaddexp, [INF, -INF, 0.0, INF, 0.0], [INF, -INF, -INF, 0.0, 0.0]) == [
        [0.5, 0.5, 1, 1, 0.5],
        [0.5, 0.5, 0, 0, 0.5],
    ]
    a = leaf([1000.0, 1000.0])
    assert F.logaddexp(a, 0.0).data.tolist() == [1000, 1000]
    assert gradcheck(F.logaddexp, [leaf([0.5, 0.5]), leaf([0.5, -3.0])], order=3)  # also where the two are equal
