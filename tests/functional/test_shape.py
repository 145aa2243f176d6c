import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import gradcheck
from tinygan.errors import DeviceError, ShapeError
from tinygan.functional.shape import Transfer
from tinygan.testing import Call, Calls, arrays, operation_test, shapes, single_axes

X = np.arange(6.0).reshape(2, 3)


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


# ---------------------------------------------------------------------- reshape, transpose, broadcast_to


@st.composite
def reshapes(draw):
    sides = list(draw(shapes(max_side=3)))
    x = draw(arrays(tuple(draw(st.permutations(sides)))))
    if sides and 0 not in sides and draw(st.booleans()):
        sides[draw(st.integers(0, len(sides) - 1))] = -1
    return Call((x,), {"shape": tuple(sides)})


@st.composite
def transposes(draw):
    x = draw(arrays())
    axes = [axis - x.ndim * draw(st.booleans()) for axis in draw(st.permutations(range(x.ndim)))]
    return Call((x,), {"axes": draw(st.sampled_from([None, tuple(axes)]))})


@st.composite
def broadcasts(draw):
    shape = draw(shapes())
    kept = [size if draw(st.booleans()) else 1 for size in shape]
    return Call((draw(arrays(tuple(kept[draw(st.integers(0, len(kept))) :]))),), {"shape": shape})


def named(operation, name):
    operation.__name__ = name
    return operation


TestReshape = operation_test(
    named(lambda x, shape: F.reshape(x, shape), "reshape"),
    lambda x, shape: np.reshape(x, shape),  # the keyword `shape` came with NumPy 2.1
    Calls(reshapes()),
    view=True,
    rtol=0,
)
TestTranspose = operation_test(
    named(lambda x, axes: F.transpose(x, axes), "transpose"),
    np.transpose,
    Calls(
        transposes(),
        (
            Call((X,), {"axes": (-1, 0)}),
            Call((X.reshape(1, 2, 3),), {"axes": (2, -3, 1)}),
            Call((X.reshape(1, 2, 3),), {"axes": (1, -1, -3)}),
            Call((X.reshape(1, 2, 3),), {"axes": None}),
        ),
    ),
    view=True,
    rtol=0,
)
TestBroadcastTo = operation_test(F.broadcast_to, np.broadcast_to, Calls(broadcasts()), view=True, rtol=0)


def test_sizes_as_arguments_or_as_a_tuple():
    x = leaf(X)
    for y in (x.reshape(3, 2), x.reshape((3, 2)), x.reshape([3, 2]), x.reshape(-1, 2), x.reshape((3, -1))):
        assert np.array_equal(y.data, X.reshape(3, 2))
    assert x.reshape(6).shape == x.reshape(-1).shape == x.reshape((6,)).shape == (6,)
    two, three = np.int64(2), np.uint8(3)
    for y in (x.reshape(three, two), x.reshape((three, two)), x.reshape(np.array([3, 2])), x.reshape(three, -1)):
        assert np.array_equal(y.data, X.reshape(3, 2))
    assert x.reshape(np.int64(6)).shape == x.reshape(np.array(6)).shape == (6,)
    assert F.broadcast_to(x[0, 0], np.int64(3)).shape == F.broadcast_to(x[0, 0], [three]).shape == (3,)
    assert x[0, 0].reshape(()).shape == ()
    for axes in ((), (1, 0), ((1, 0),), (-1, 0), (None,), (np.array([1, 0]),), (np.int64(1), 0)):
        assert np.array_equal(x.transpose(*axes).data, X.T)
    assert np.array_equal(x.T.data, X.T)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.reshape(4), r"reshape: cannot reshape array of size 6 into shape \(4,?\) \(inputs: float64"),
        (lambda x: x.reshape(-1, -1), r"reshape: can only specify one unknown dimension"),
        (lambda x: x.reshape(-2, 3), r"reshape: sizes are non-negative, or -1 .*; got \(-2, 3\)"),
        (lambda x: x.reshape(2.0, 3), r"reshape: a size must be an integer, got 2\.0"),
        (lambda x: x.reshape(6.0), r"reshape: a size must be an integer, got 6\.0"),
        (lambda x: x.reshape("ab"), r"reshape: a size must be an integer, got 'ab'"),
        (lambda x: x.reshape(None), r"reshape: a size must be an integer, got None"),
        (lambda x: x.reshape((2, 3), 1), r"reshape: a size must be an integer, got a tuple"),
        (lambda x: x.transpose(0, 1.0), r"transpose: an axis must be an integer, got 1\.0"),
        (lambda x: x.transpose("ab"), r"transpose: an axis must be an integer, got 'ab'"),
        (lambda x: x.transpose(None, None), r"transpose: an axis must be an integer, got None"),
        (lambda x: F.broadcast_to(x, (2.0, 3)), r"broadcast_to: a size must be an integer, got 2\.0"),
        (lambda x: x.transpose(0, 0), r"transpose: repeated axis in transpose"),
        (lambda x: x.transpose(0), r"transpose: axes don't match array"),
        (lambda x: F.broadcast_to(x, (2, 2)), r"broadcast_to: operands could not be broadcast"),
        (lambda x: F.broadcast_to(x, (3,)), r"broadcast_to: input operand has more dimensions"),
    ],
)
def test_shapes_that_do_not_fit(function, message):
    with pytest.raises(ShapeError, match=message):
        function(leaf(X))


# ---------------------------------------------------------------------- dtypes and devices


@pytest.mark.slow
@given(x=arrays())
def test_the_gradient_of_a_cast_is_cast_back(x):
    tensor = leaf(x)
    y = tensor.astype("float32")
    assert y.dtype == np.float32
    assert np.array_equal(y.data, x.astype(np.float32))
    y.backward(np.ones(x.shape, np.float32))
    assert tensor.grad.dtype == np.float64
    assert gradcheck(lambda x: x.astype("float32").astype("float64") * x, tensor, order=2)


def test_casts_to_integers_and_to_the_same_dtype():
    x = leaf(X)
    assert x.astype("float64") is x
    assert not x.astype("int64").requires_grad
    assert x.astype(bool).dtype == bool


def test_the_gradient_of_a_transfer_is_sent_back():
    x = leaf(X)
    assert gradcheck(lambda x: Transfer("cpu")(x) * x, x, order=2)  # from one device to the same one


def test_devices():
    x = leaf(X)
    assert x.to("cpu") is x
    with pytest.raises(DeviceError, match="unknown device 'tpu': expected 'cpu' or 'cuda'"):
        x.to("tpu")


# ---------------------------------------------------------------------- flatten, squeeze, swapaxes, moveaxis


@st.composite
def on_axes(draw, count, names):
    """An array, and options that name some of its axes."""
    x = draw(arrays(shapes(min_dims=1)))
    return Call((x,), {name: draw(single_axes(x.ndim)) for name in names[:count]})


TestSwapAxes = operation_test(F.swapaxes, np.swapaxes, Calls(on_axes(2, ["axis1", "axis2"])), view=True, rtol=0)
TestMoveAxis = operation_test(F.moveaxis, np.moveaxis, Calls(on_axes(2, ["source", "destination"])), view=True, rtol=0)


@given(shape=shapes(min_dims=1), data=st.data())
def test_flatten_joins_the_axes_of_a_range(shape, data):
    first = data.draw(st.integers(0, len(shape) - 1))
    last = data.draw(st.integers(first, len(shape) - 1))
    y = F.flatten(leaf(np.zeros(shape)), first, last - len(shape))
    assert y.shape == (*shape[:first], int(np.prod(shape[first : last + 1])), *shape[last + 1 :])


@given(shape=shapes(), data=st.data())
def test_squeeze_undoes_expand_dims(shape, data):
    count = data.draw(st.integers(1, 2))
    axes = data.draw(st.lists(st.integers(0, len(shape) + count - 1), min_size=count, max_size=count, unique=True))
    values = np.arange(float(np.prod(shape))).reshape(shape)
    y = F.expand_dims(leaf(values), tuple(axes))
    assert y.shape == np.expand_dims(values, tuple(axes)).shape
    assert np.array_equal(F.squeeze(y, tuple(axes)).data, values)
    assert F.squeeze(y).shape == np.squeeze(values).shape
    assert gradcheck(lambda x: F.squeeze(F.expand_dims(x, axes) * 2, axes), leaf(values), order=2)


def test_several_axes_are_moved():
    x = leaf(np.zeros((2, 3, 4, 5)))
    assert x.moveaxis((0, 1), (-1, -2)).shape == np.moveaxis(x.data, (0, 1), (-1, -2)).shape == (4, 5, 3, 2)
    assert x.moveaxis([2, -1], [0, 1]).shape == (4, 5, 2, 3)


def test_a_number_has_no_axes_but_is_flattened():
    x = leaf(3.0)
    assert x.flatten().shape == x.expand_dims(0).shape == (1,)
    assert x.squeeze().shape == ()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.flatten(2), r"flatten: axis 2 does not exist in an input of shape \(2, 3\)"),
        (lambda x: x.flatten(1, 0), r"flatten: the first axis, 1, comes after the last, 0"),
        (lambda x: x.squeeze(0), r"squeeze: axis=0 has a size other than 1 in an input of shape \(2, 3\)"),
        (lambda x: x.squeeze(5), r"squeeze: axis 5 does not exist in an input of shape \(2, 3\)"),
        (lambda x: x.expand_dims(4), r"expand_dims: axis 4 does not exist in a result of 3 axes"),
        (lambda x: x.expand_dims((0, 0)), r"expand_dims: axis=\(0, 0\) names an axis of the result twice"),
        (lambda x: x.expand_dims(0.5), r"expand_dims: an axis must be an integer, got 0\.5"),
        (lambda x: x.swapaxes(0, 2), r"swapaxes: axis 2 does not exist"),
        (lambda x: x.moveaxis(0, 2), r"moveaxis: axis 2 does not exist"),
        (lambda x: x.moveaxis((0, 1), 0), r"moveaxis: got the axes \(0, 1\) and the positions 0"),
    ],
)
def test_axes_that_do_not_fit(function, message):
    with pytest.raises(ShapeError, match=message):
        function(leaf(X))
