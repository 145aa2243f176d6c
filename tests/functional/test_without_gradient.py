import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tests.doubles.installed import strict_cupy
from tinygan.errors import DtypeError, ShapeError
from tinygan.testing import EDGE_VALUES, arrays, broadcastable_arrays, shapes, single_axes

X = np.array([[1.5, -0.5, 2.5], [np.nan, np.inf, -0.0]])
ELEMENTWISE = {
    F.floor: np.floor, F.round: np.round, F.sign: np.sign, F.isnan: np.isnan, F.isinf: np.isinf, F.isfinite: np.isfinite
}  # fmt: skip


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("ours", ELEMENTWISE)
def test_elementwise_functions_are_those_of_numpy(ours):
    theirs = ELEMENTWISE[ours]
    for values in (X, np.array(1.5), np.zeros((0, 3)), np.array(EDGE_VALUES), X.astype("float32"), X.astype("float16")):
        for y in (ours(leaf(values, values.dtype)), theirs(leaf(values, values.dtype)), ours(values)):
            expected = theirs(values)
            assert isinstance(y, tg.Tensor)
            assert not y.requires_grad
            assert y.dtype == expected.dtype
            np.testing.assert_array_equal(y.data, expected)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_whole_numbers_stay_what_they_are(dtype):
    x = tg.tensor(np.array([0, 1, 1], dtype))
    assert F.floor(x).dtype == dtype
    assert F.floor(x).data.tolist() == x.data.tolist()
    assert F.isfinite(x).data.all()
    assert not F.isnan(x).data.any()


@given(x=arrays(shapes(min_dims=1, min_side=1), low=-2, high=2), data=st.data())
def test_places_are_those_of_numpy(x, data):
    axis = data.draw(st.none() | single_axes(x.ndim))
    for tensor in (leaf(x), tg.tensor(np.floor(x).astype(int))):
        values = tensor.data
        assert np.array_equal(F.argmax(tensor, axis).data, values.argmax(axis))
        assert F.argmax(tensor, axis, keepdims=True).shape == values.argmax(axis, keepdims=True).shape
        assert np.array_equal(F.argsort(tensor, axis).data, values.argsort(axis, kind="stable"))
        assert np.array_equal(np.argmax(tensor, axis=axis).data, values.argmax(axis))
        assert np.array_equal(tensor.argsort(axis).data, np.argsort(tensor, axis).data)


def test_places_in_a_number():
    for axis in (None, 0, -1):
        assert F.argmax(leaf(3.0), axis).item() == 0
        assert F.argsort(leaf(3.0), axis).data.size == 1


def test_places_that_do_not_exist():
    with pytest.raises(ShapeError, match="argmax: attempt to get argmax of an empty sequence"):
        F.argmax(leaf(np.zeros(0)))
    for function in (F.argmax, F.argsort):
        with pytest.raises(ShapeError, match=f"^{function.__name__}: axis 1 does not exist in an input of shape"):
            function(leaf([1.0]), 1)
    with pytest.raises(ShapeError, match=r"round: decimals must be an integer, got 0\.5"):
        F.round(leaf([1.0]), 0.5)


@pytest.mark.parametrize("function", [F.isnan, F.isinf, F.isfinite, F.sign, F.floor])
def test_nothing_is_written_into_a_second_operand(function):
    x = leaf([1.0, 2.0])
    with pytest.raises((TypeError, ShapeError)):
        function(x, x)
    assert x.data.tolist() == [1, 2]


# ---------------------------------------------------------------------- // and % and ~


@given(pair=broadcastable_arrays(2, low=-10, high=10))
def test_quotients_and_remainders(pair):
    a, b = pair[0], np.where(pair[1] == 0, 1, pair[1])
    for left, right in ((leaf(a), leaf(b)), (leaf(a), b), (a, leaf(b))):
        np.testing.assert_array_equal((left // right).data, a // b)
        np.testing.assert_array_equal((left % right).data, a % b)
        assert not (left // right).requires_grad


def test_numbers_do_not_promote_quotients():
    x = leaf([5.5, -5.5], "float32")
    for two in (2, 2.0, np.float64(2), np.array(2.0)):
        assert (x // two).dtype == (x % two).dtype == (two // x).dtype == (two % x).dtype == np.float32
        assert (x // two).data.tolist() == [2, -3]
        assert (x % two).data.tolist() == [1.5, 0.5]
    whole = tg.tensor([7, -7])
    assert (whole // 2).data.tolist() == [3, -4]
    assert (whole % 4).data.tolist() == [3, 1]
    assert (whole // 2).dtype == (whole % 4).dtype == np.int64
    assert np.floor_divide(x, 2).data.tolist() == [2, -3]
    assert np.mod(x, 2).requires_grad


def test_a_mask_is_inverted():
    mask = tg.tensor([1.0, -1.0]) > 0
    assert (~mask).data.tolist() == np.invert(mask).data.tolist() == [False, True]
    assert (~tg.tensor([0, 5])).data.tolist() == [-1, -6]
    with pytest.raises(DtypeError, match=r"^invert: .*float32\[2\]"):
        _ = ~tg.tensor([1.0, 2.0])
    with pytest.raises(DtypeError, match=r"^and: "):
        _ = tg.tensor([1.0]) & mask


def test_shapes_that_do_not_broadcast():
    for operation in (lambda a, b: a // b, lambda a, b: a % b):
        with pytest.raises(ShapeError, match="broadcast"):
            operation(leaf([1.0, 2.0]), leaf([1.0, 2.0, 3.0]))


# ---------------------------------------------------------------------- one_hot


@pytest.mark.parametrize("labels", [[2, 0], np.array([2, 0], np.uint8), tg.tensor([2, 0])])
def test_one_hot(labels):
    y = F.one_hot(labels, 3)
    assert y.dtype == np.float32
    assert y.data.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert F.one_hot(labels, 3, "int64").dtype == np.int64


def test_one_hot_of_other_shapes():
    assert F.one_hot(1, 2).data.tolist() == [0, 1]
    assert F.one_hot(np.zeros((2, 3), int), 4).shape == (2, 3, 4)
    assert F.one_hot(np.zeros(0, int), 4).shape == (0, 4)
    for classes in (0, -1, 2.0, None):
        with pytest.raises(ShapeError, match="one_hot: classes must be an integer of at least 1, got"):
            F.one_hot([0], classes)


def test_all_of_them_on_the_double():
    with strict_cupy():
        x = tg.tensor(X, dtype="float32", device="cuda")
        for ours, theirs in ELEMENTWISE.items():
            np.testing.assert_array_equal(ours(x).numpy(), theirs(X.astype(np.float32)))
        assert F.argsort(x[0]).numpy().tolist() == [1, 0, 2]
        assert F.argmax(x[0]).numpy().tolist() == 2
        assert F.one_hot(tg.tensor([1], device="cuda"), 2).device == "cuda"
        assert (x[0] // 1).numpy().tolist() == [1, -1, 2]
        assert (~(x > 0)).numpy().tolist() == (~(X > 0)).tolist()
