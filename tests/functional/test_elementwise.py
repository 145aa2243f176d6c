import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygan as tg
import tinygan.functional as F
from tinygan import gradcheck
from tinygan.errors import ShapeError
from tinygan.testing import EDGE_VALUES, Call, Calls, arrays, broadcastable_shapes, elementwise, operation_test

INF, NAN = float("inf"), float("nan")


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def gradients(function, *values):
    """Return the gradients by each operand, for upstream gradients of 1."""
    leaves = [leaf(value) for value in values]
    with np.errstate(all="ignore"):
        function(*leaves).sum().backward()
    return [x.grad.data.tolist() for x in leaves]


def clipped(x):
    return F.clip(x, -1.0, 1.5)


TestExp = operation_test(F.exp, np.exp, elementwise(1, low=-20, high=20))
TestLog = operation_test(F.log, np.log, elementwise(1, low=0.01, high=100))
TestSqrt = operation_test(F.sqrt, np.sqrt, elementwise(1, low=0.01, high=100))
TestAbs = operation_test(F.abs, np.abs, elementwise(1))
TestMaximum = operation_test(F.maximum, np.maximum, elementwise(2, low=-2, high=2))
TestMinimum = operation_test(F.minimum, np.minimum, elementwise(2, low=-2, high=2))
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


@given(a=arrays((3, 1), low=-2, high=2), b=arrays((3,), low=-2, high=2))
def test_shares_add_up(a, b):
    for operation in (F.maximum, F.minimum):
        ga, gb = gradients(operation, a, b)
        assert np.sum(ga) + np.sum(gb) == 9


@pytest.mark.parametrize(
    ("low", "high"), [(None, 1.0), (-1.0, None), (None, None), (-INF, INF), (np.float64(-1), np.float64(1))]
)
def test_clip_with_open_ends(low, high):
    x = leaf([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])
    y = F.clip(x, low, high)
    assert y.data.tolist() == np.clip(x.data, low, high).tolist()
    assert gradcheck(lambda x: F.clip(x, low, high), x)
    assert F.clip(x.astype("float32"), low, high).dtype == np.float32


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
