import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tests.doubles.installed import strict_cupy
from tinygan.errors import ArgumentError, DtypeError, GradientError, ShapeError
from tinygan.testing import Call, Calls, arrays, operation_test, shapes, single_axes

X = np.arange(6.0).reshape(2, 3)


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


def named(operation, name):
    operation.__name__ = name
    return operation


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


@st.composite
def borders(draw):
    x = draw(arrays(shapes(min_side=1, max_dims=2)))
    widths = [(draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(x.ndim)]
    return Call((x,), {"widths": widths, "mode": draw(st.sampled_from(["reflect", "edge"]))})


TestPadOfCopies = operation_test(
    F.pad, lambda x, widths, mode: np.pad(x, widths, mode) if x.ndim else x, Calls(borders()), rtol=0, view=True
)


def test_modes_that_do_not_exist():
    for mode, hint in (("replicate", "'edge'"), ("reflekt", 'did you mean "reflect"'), (None, "got None")):
        with pytest.raises(ArgumentError, match=rf"^pad: mode must be 'constant', 'reflect' or 'edge', .*{hint}"):
            F.pad(leaf([1.0]), [(1, 1)], mode=mode)
    with pytest.raises(ShapeError, match=r"pad: mode='edge' copies elements, but axis 1 of shape \(2, 0\) has none"):
        F.pad(leaf(np.zeros((2, 0))), [(0, 0), (0, 1)], mode="edge")


def test_borders_on_the_double_need_no_copy_to_the_device():
    with strict_cupy() as cupy:
        x = tg.tensor(X, dtype="float32", device="cuda", requires_grad=True)
        before = len(cupy.gpu.transfers)
        F.pad(x, [(1, 0), (2, 2)], mode="reflect").sum().backward()
        assert len(cupy.gpu.transfers) == before
        expected = leaf(X, "float32")
        F.pad(expected, [(1, 0), (2, 2)], mode="reflect").sum().backward()
        assert x.grad.numpy().tolist() == expected.grad.data.tolist()


# ---------------------------------------------------------------------- split


@given(x=arrays(shapes(min_dims=1)), data=st.data())
def test_split_is_that_of_numpy_and_concatenate_undoes_it(x, data):
    axis = data.draw(single_axes(x.ndim))
    size = x.shape[axis]
    even = st.sampled_from([n for n in range(1, 4) if size % n == 0])
    sections = data.draw(even | st.lists(st.integers(-1, 4), max_size=3))
    pieces = F.split(leaf(x), sections, axis)
    expected = np.split(x, sections, axis)
    assert [piece.data.tolist() for piece in pieces] == [piece.tolist() for piece in expected]
    if isinstance(sections, int):
        assert np.array_equal(F.concatenate(pieces, axis).data, x)


def test_the_gradient_of_a_piece_is_zero_elsewhere():
    x = leaf(X)
    (F.split(x, [1], axis=1)[1] * 2).sum().backward()
    assert x.grad.data.tolist() == [[0, 2, 2], [0, 2, 2]]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: F.split(x, 2, axis=1), "split: 2 sections do not divide the 3 elements of axis 1"),
        (lambda x: F.split(x, 0), "split: sections must be an integer of at least 1, got 0"),
        (lambda x: F.split(x, 1.5), "split: sections must be an integer of at least 1, got 1.5"),
        (lambda x: F.split(x, [0.5]), "split: a place to cut must be an integer, got 0.5"),
        (lambda x: F.split(x, 1, axis=2), "split: axis 2 does not exist in an input of shape (2, 3)"),
    ],
)
def test_sections_that_do_not_fit(function, message):
    with pytest.raises(ShapeError) as caught:
        function(leaf(X))
    assert str(caught.value) == message
