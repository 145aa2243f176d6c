import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tests.doubles.installed import strict_cupy
from tinygan import gradcheck
from tinygan.errors import DeviceError, DtypeError, GradientError, ShapeError
from tinygan.functional.shape import Transfer
from tinygan.testing import Call, Calls, arrays, indices, operation_test, shapes, single_axes

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


# ---------------------------------------------------------------------- indexing


@st.composite
def selections(draw):
    x = draw(arrays(shapes(min_dims=1)))
    return Call((x,), {"index": draw(indices(x.shape))})


def at(x, index):
    return x[index]


TestGetItem = operation_test(
    F.getitem,
    at,
    Calls(
        selections(),
        (
            Call((X,), {"index": np.array([1, 1, 0, -1])}),
            Call((X,), {"index": (slice(None), np.array([0, 0]))}),
            Call((X,), {"index": (np.array([1, 1]), np.array([-1, 2]))}),
            Call((X,), {"index": X > 2}),
            Call((X,), {"index": np.array([False, False])}),
            Call((X,), {"index": (Ellipsis, None, -1)}),
            Call((X,), {"index": (slice(None, None, -1), slice(5, 1))}),
            Call((np.array(3.0),), {"index": ()}),
            Call((np.array(3.0),), {"index": (None, Ellipsis)}),
        ),
    ),
    view=True,
    rtol=0,
)


def test_an_element_that_is_named_twice_receives_both_gradients():
    x = leaf([1.0, 2.0, 3.0])
    x[np.array([2, 0, 2, -1])].backward(np.array([1.0, 10.0, 100.0, 1000.0]))
    assert x.grad.data.tolist() == [10, 0, 1101]


ONES = tg.tensor([1, 1])


@pytest.mark.parametrize("index", [ONES, [1, 1], (ONES, slice(None)), np.array([1, 1], np.uint8)])
def test_indices_of_every_kind(index):
    x = leaf(X)
    y = x[index]
    y.sum().backward()
    assert np.array_equal(y.data, X[[1, 1]])
    assert x.grad.data.tolist() == [[0, 0, 0], [2, 2, 2]]


@pytest.mark.parametrize("mask", [tg.tensor(X) > 2, X > 2, (X > 2).tolist()])
def test_masks_of_every_kind(mask):
    x = leaf(X)
    (x[mask] * 2).sum().backward()
    assert x.grad.data.tolist() == [[0, 0, 0], [2, 2, 2]]


@pytest.mark.parametrize("index", [True, False, np.True_, (True, 0), (0, False)])
def test_a_single_boolean_is_a_mask(index):
    x = leaf(X)
    y = x[index]
    assert y.shape == X[index].shape
    y.sum().backward()
    assert np.array_equal(x.grad.data, np.where(np.broadcast_to(X.size and np.isin(X, X[index]), X.shape), 1, 0))


def test_iterating_gives_rows_that_stay_on_the_tape():
    x = leaf(X)
    first, second = x
    (first * second).sum().backward()
    assert np.array_equal(x.grad.data, X[::-1])


@pytest.mark.parametrize("index", [2, (0, 3), (0, 0, 0), np.array([5]), np.array([True, False, True]), 1.5])
def test_indices_that_do_not_exist(index):
    with pytest.raises(IndexError):
        leaf(X)[index]


# ---------------------------------------------------------------------- concatenate and stack


@st.composite
def joins(draw, new_axis):
    count = draw(st.integers(1, 3))
    shape = draw(shapes(min_dims=0 if new_axis else 1, max_dims=2))
    axis = draw(single_axes(len(shape) + new_axis))
    operands = []
    for _ in range(count):
        sides = list(shape)
        if not new_axis:
            sides[axis] = draw(st.integers(0, 2))
        operands.append(draw(arrays(tuple(sides))))
    return Call(tuple(operands), {"axis": axis})


TestConcatenate = operation_test(
    named(lambda *inputs, axis: F.concatenate(inputs, axis), "concatenate"),
    lambda *inputs, axis: np.concatenate(inputs, axis),
    Calls(joins(new_axis=False)),
    rtol=0,
)
TestStack = operation_test(
    named(lambda *inputs, axis: F.stack(inputs, axis), "stack"),
    lambda *inputs, axis: np.stack(inputs, axis),
    Calls(joins(new_axis=True)),
    rtol=0,
)


def test_joining_one_tensor_with_itself():
    x = leaf([1.0, 2.0])
    F.concatenate([x, x * 3, x]).backward(np.arange(6.0))
    assert x.grad.data.tolist() == [0 + 6 + 4, 1 + 9 + 5]


def test_joining_dtypes():
    x, y = leaf([1.0], "float32"), leaf([2.0])
    z = F.concatenate([x, y])
    z.sum().backward()
    assert z.dtype == np.float64
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    assert F.concatenate([x, np.ones(2, np.float32), tg.tensor([1.0])]).dtype == np.float32


@pytest.mark.parametrize("operation", [F.concatenate, F.stack])
def test_joining_nothing(operation):
    with pytest.raises(ShapeError) as caught:
        operation([])
    assert str(caught.value) == f"{operation.__name__}: expected at least one tensor, got none"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: F.stack([leaf(X), leaf(X.T)]), "stack: all tensors must have one shape, got (2, 3), (3, 2)"),
        (lambda: F.stack([leaf(X)], axis=3), "stack: axis 3 does not exist in a result of 3 axes"),
        (lambda: F.stack([leaf(X)], axis=-4), "stack: axis -4 does not exist in a result of 3 axes"),
        (lambda: F.stack([leaf(X)], axis=0.0), "stack: axis must be an integer, got 0.0"),
        (lambda: F.concatenate([leaf(X)], axis=None), "concatenate: axis must be an integer, got None"),
    ],
)
def test_stacks_that_do_not_fit(function, message):
    with pytest.raises(ShapeError) as caught:
        function()
    assert str(caught.value) == message


@pytest.mark.parametrize("operation", [F.concatenate, F.stack])
@pytest.mark.parametrize(
    ("wrong", "what"), [(2.0, "2.0"), (3, "3"), ([1.0, 2.0], "a list"), (None, "None")]
)
def test_joining_what_is_no_tensor(operation, wrong, what):
    x = leaf([1.0, 2.0])
    with pytest.raises(DtypeError) as caught:
        operation([x, wrong])
    assert str(caught.value) == (
        f"{operation.__name__}: expected a sequence of tensors or arrays, got {what} at position 1; use tg.tensor(...)"
    )
    with pytest.raises(DtypeError, match="expected a sequence of tensors or arrays"):
        operation(2.0)
    assert np.array_equal(operation(iter([x, x])).data, operation([x, x]).data)


@pytest.mark.parametrize(
    ("inputs", "axis"), [(([1.0], [[1.0]]), 0), (([[1.0]], [[1.0, 2.0]]), 0), (([1.0], [2.0]), 1), ((1.0, 2.0), 0)]
)
def test_concatenations_that_do_not_fit(inputs, axis):
    with pytest.raises(ShapeError, match=r"^concatenate: .*\(inputs: "):
        F.concatenate([leaf(values) for values in inputs], axis)


# ---------------------------------------------------------------------- pad


@st.composite
def paddings(draw):
    x = draw(arrays(shapes(max_dims=2)))
    widths = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(x.ndim)]
    return Call((x,), {"widths": widths, "value": draw(st.sampled_from([0.0, -1.5]))})


TestPad = operation_test(
    F.pad,
    lambda x, widths, value: np.pad(x, widths, constant_values=value) if x.ndim else x,
    Calls(paddings(), (Call((X,), {"widths": [(1, 0), (0, 2)], "value": 7.0}),)),
    rtol=0,
    view=False,
)


@pytest.mark.parametrize("widths", [np.array([[1, 0], [0, 2]]), ((np.int64(1), 0), (0, np.uint8(2)))])
@pytest.mark.parametrize("value", [7, 7.0, np.float32(7), np.array(7.0), tg.tensor(7.0)])
def test_widths_and_values_of_every_kind(widths, value):
    x = leaf(X, "float32")
    y = F.pad(x, widths, value)
    y.sum().backward()
    assert y.dtype == np.float32
    assert np.array_equal(y.data, np.pad(X, [(1, 0), (0, 2)], constant_values=7))
    assert x.grad.data.tolist() == np.ones((2, 3)).tolist()


def test_values_that_do_not_fit():
    with pytest.raises(GradientError, match=r"pad: no gradient flows to value"):
        F.pad(leaf([1.0]), [(1, 1)], leaf(2.0))
    with pytest.raises(DtypeError, match=r"pad: value must be a number, got a ndarray of shape \(2,\)"):
        F.pad(leaf([1.0]), [(1, 1)], np.array([1.0, 2.0]))
    for dtype, value in (("uint8", 1.5), ("uint8", -1), ("uint8", 256), ("int8", np.inf), ("int8", np.nan), ("?", 2)):
        dtype = np.dtype(dtype)
        with pytest.raises(DtypeError, match=rf"pad: no {dtype} is {value}; cast the tensor first"):
            F.pad(tg.tensor([1, 0], dtype=dtype), [(1, 1)], value)
    assert F.pad(tg.tensor([1], dtype="uint8"), [(1, 1)], 255.0).data.tolist() == [255, 1, 255]


@pytest.mark.parametrize(
    "widths", [[(1, 1)], [(1, 1), (-1, 0)], [(1, 1)] * 3, 1, (1, 1), [(1,), (2,)], [(1.0, 1), (0, 2)]]
)
def test_widths_that_do_not_fit(widths):
    with pytest.raises(ShapeError) as caught:
        F.pad(leaf(X), widths)
    assert str(caught.value) == (
        f"pad: expected a pair (before, after) of non-negative widths for each of 2 axes, got {widths}"
    )


# ---------------------------------------------------------------------- dtypes and devices


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


def test_an_index_on_another_device_is_refused():
    with strict_cupy() as cupy:
        x = tg.tensor([1.0, 2.0, 3.0], device="cuda", requires_grad=True)
        rows = np.array([2, 0, 2])
        for index in (rows, (rows,)):
            with pytest.raises(DeviceError) as caught:
                x[index]
            assert str(caught.value) == (
                "getitem: an index array of device 'cpu' met a tensor on 'cuda'; "
                "move it with tg.tensor(index, device='cuda')"
            )
        y = x[tg.tensor(rows, device="cuda")]
        assert y.numpy().tolist() == [3, 1, 3]
        y.sum().backward()
        assert x.grad.numpy().tolist() == [1, 0, 2]
        before = len(cupy.gpu.waits)
        assert x[1:].shape == (2,)
        assert len(cupy.gpu.waits) == before
