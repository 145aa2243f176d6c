import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import special

import tinygan as tg
import tinygan.functional as F
from tinygan import gradcheck
from tinygan.errors import ShapeError
from tinygan.testing import Call, Calls, arrays, operation_test, shapes, single_axes

INF, NAN = float("inf"), float("nan")


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


@st.composite
def along_an_axis(draw):
    x = draw(arrays(shapes(min_dims=1, min_side=1), low=-20, high=20))
    return Call((x,), {"axis": draw(single_axes(x.ndim))})


CALLS = Calls(along_an_axis(), (Call((np.array([[0.0, 1.0, 2.0], [3.0, 3.0, 3.0]]),)),))
TestSoftmax = operation_test(F.softmax, lambda x, axis=-1: special.softmax(x, axis), CALLS)
TestLogSoftmax = operation_test(F.log_softmax, lambda x, axis=-1: special.log_softmax(x, axis), CALLS)


def test_large_logits_do_not_overflow():
    x = leaf([[1000.0, 0.0], [-1000.0, 0.0]])
    assert F.softmax(x).data.tolist() == [[1, 0], [0, 1]]
    assert F.log_softmax(x).data.tolist() == [[0, -1000], [-1000, 0]]


def test_infinities_and_nan_as_in_scipy():
    for row in ([-INF, 0.0], [-INF, -INF], [INF, 0.0], [NAN, 0.0]):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(F.softmax(leaf(row)).data, special.softmax(row))


def test_numbers_and_empty_arrays():
    for function, expected in ((F.softmax, 1), (F.log_softmax, 0)):
        for axis in (0, -1):
            x = leaf(3.0)
            y = function(x, axis)
            y.backward()
            assert (y.item(), x.grad.item()) == (expected, 0)
            assert gradcheck(lambda x, f=function: f(x) * x, leaf(3.0), order=2)
        for shape in ((0, 3), (3, 0)):
            x = leaf(np.zeros(shape))
            y = function(x)
            y.sum().backward()
            assert y.shape == x.grad.shape == shape


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_dtypes(function):
    x = leaf(np.zeros((1, 70_000)), "float16")  # more than half precision counts
    y = function(x)
    y[0, 0].backward()
    assert (y.dtype, x.grad.dtype) == (np.float16, np.float16)
    assert float(y.data[0, 0]) == pytest.approx(1 / 70_000 if function is F.softmax else -np.log(70_000), rel=0.02)
    assert function(tg.tensor([1, 2])).dtype == np.float32


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
@pytest.mark.parametrize("axis", [2, -3, 0.5, None, (0, 1)])
def test_axes_that_do_not_exist(function, axis):
    with pytest.raises(ShapeError, match=rf"^{function.__name__}: axis"):
        function(leaf([[1.0, 2.0]]), axis)


def test_third_order():
    for function in (F.softmax, F.log_softmax):
        assert gradcheck(function, leaf([0.3, -1.0, 2.0]), order=3)
