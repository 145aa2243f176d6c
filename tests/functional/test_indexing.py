import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tests.doubles.installed import strict_cupy
from tinygan.backend import Backend, get_backend
from tinygan.errors import DeviceError, DtypeError, ShapeError
from tinygan.testing import Call, Calls, arrays, axes, indices, operation_test, shapes, single_axes

X = np.arange(6.0).reshape(2, 3)


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


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


# ---------------------------------------------------------------------- embedding


@st.composite
def embeddings(draw):
    classes = draw(st.integers(1, 4))
    weight = draw(arrays((classes, *draw(shapes(max_dims=2)))))
    chosen = draw(arrays(shapes(max_dims=2), low=0, high=classes - 0.5))
    return Call((weight,), {"indices": np.floor(chosen).astype(draw(st.sampled_from(["int64", "uint8"])))})


TestEmbedding = operation_test(
    lambda weight, indices: F.embedding(indices, weight),
    lambda weight, indices: weight[indices],
    Calls(embeddings(), (Call((X.T,), {"indices": np.array([[2, 0], [2, 2]])}),)),
    rtol=0,
)


@given(x=embeddings(), dtype=st.sampled_from(["float16", "float32", "float64"]), negative=st.booleans())
def test_rows_are_added_as_the_portable_method_does(x, dtype, negative):
    shape, index = x.arrays[0].shape, x.options["indices"]
    index = index.astype("int64") - shape[0] if negative else index
    gradient = np.cos(np.arange(index.size * int(np.prod(shape[1:])))).reshape(index.shape + shape[1:]).astype(dtype)
    fast = get_backend("cpu").scatter(gradient, index, shape)
    assert fast.dtype == dtype
    np.testing.assert_array_equal(fast, Backend(np, "cpu").scatter(gradient, index, shape))


def test_rows_of_many_duplicates_have_the_bits_of_the_portable_method():
    rng = np.random.default_rng(0)
    index, gradient = rng.integers(0, 7, 3000), rng.normal(size=(3000, 5)).astype(np.float32)
    expected = Backend(np, "cpu").scatter(gradient, index, (9, 5))
    np.testing.assert_array_equal(get_backend("cpu").scatter(gradient, index, (9, 5)), expected)
    assert not expected[7:].any()


def test_labels_that_change_after_the_forward_pass():
    labels, weight = np.array([0, 1]), leaf(X)
    y = F.embedding(labels, weight)
    labels[:] = 1
    y.sum().backward()
    assert weight.grad.data.tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ([0, 2], ShapeError, r"^embedding: labels must be in 0 ... 1, the rows of weight; got 0 ... 2"),
        ([-1], ShapeError, r"^embedding: labels must be in 0 ... 1, .* got -1 ... -1"),
        ([0.0], DtypeError, "^embedding: labels must be integers, not float32"),
        (np.array([True]), DtypeError, "^embedding: labels must be integers, not bool"),
    ],
)
def test_labels_that_have_no_row(wrong, error, message):
    with pytest.raises(error, match=message):
        F.embedding(wrong, leaf(X))
    with pytest.raises(error, match=message.replace("embedding", "one_hot").replace("rows of weight", "classes")):
        F.one_hot(wrong, 2)


def test_embedding_on_the_double():
    with strict_cupy():
        weight = tg.tensor(X, dtype="float32", device="cuda", requires_grad=True)
        labels = tg.tensor([1, 0, 1], device="cuda")
        F.embedding(labels, weight).sum().backward()
        assert weight.grad.numpy().tolist() == [[1, 1, 1], [2, 2, 2]]
        with pytest.raises(DeviceError, match="embedding: the labels are on another device than 'cuda'"):
            F.embedding(np.array([0]), weight)
        weight.backend.capture = object()  # a step is being captured: no value is read, which would wait
        before = len(weight.backend.xp.gpu.waits)
        F.embedding(labels, weight)
        assert len(weight.backend.xp.gpu.waits) == before


# ---------------------------------------------------------------------- take_along_axis, flip, repeat


@st.composite
def picks(draw):
    x = draw(arrays(shapes(min_dims=1, min_side=1)))
    axis = draw(single_axes(x.ndim))
    shape = list(x.shape)
    shape[axis] = draw(st.integers(0, 3))
    places = draw(arrays(tuple(shape), low=-x.shape[axis], high=x.shape[axis] - 0.5))
    return Call((x,), {"indices": np.floor(places).astype(int), "axis": axis})


@st.composite
def repetitions(draw):
    x = draw(arrays(shapes(min_dims=1)))
    axis = draw(st.none() | single_axes(x.ndim))
    count = x.size if axis is None else x.shape[axis]
    repeats = draw(st.integers(0, 3) | st.lists(st.integers(0, 2), min_size=count, max_size=count))
    return Call((x,), {"repeats": repeats, "axis": axis})


@st.composite
def flips(draw):
    x = draw(arrays())
    return Call((x,), {"axis": draw(axes(x.ndim))})


TestTakeAlongAxis = operation_test(F.take_along_axis, np.take_along_axis, Calls(picks()), rtol=0)
TestRepeat = operation_test(F.repeat, lambda x, repeats, axis: np.repeat(x, np.array(repeats, int), axis),
                            Calls(repetitions()), rtol=0, view=True)  # fmt: skip
TestFlip = operation_test(F.flip, np.flip, Calls(flips()), view=True, rtol=0)


@given(x=arrays(shapes(min_dims=1, min_side=1)), data=st.data())
def test_the_places_of_a_sort_sort(x, data):
    axis = data.draw(single_axes(x.ndim))
    tensor = leaf(x)
    assert np.array_equal(F.take_along_axis(tensor, tensor.argsort(axis), axis).data, np.sort(x, axis))
    largest = F.take_along_axis(tensor, tensor.argmax(axis, keepdims=True), axis)
    assert np.array_equal(largest.data, x.max(axis, keepdims=True))
    assert np.array_equal(F.take_along_axis(tensor, tensor.reshape(-1).argsort(), None).data, np.sort(x, None))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: F.take_along_axis(x, np.array([0]), 1), r"take_along_axis: expected integers with 2 axes"),
        (lambda x: F.take_along_axis(x, np.zeros((2, 3)), 1), r"take_along_axis: expected integers .* got float64"),
        (lambda x: F.take_along_axis(x, np.zeros((2, 3), int), 2), r"take_along_axis: axis 2 does not exist"),
        (lambda x: F.take_along_axis(x, np.zeros((3, 1), int), 1), r"take_along_axis, .*: shapes .* do not broadcast"),
        (lambda x: F.repeat(x, -1), r"repeat: repeats must be an integer of at least 0, got -1"),
        (lambda x: F.repeat(x, 1.5), r"repeat: repeats must be an integer of at least 0, got 1\.5"),
        (lambda x: F.repeat(x, [1, 2], axis=1), r"repeat: expected 3 repeats, one for each element .* got 2"),
        (lambda x: F.repeat(x, 2, axis=2), r"repeat: axis 2 does not exist"),
        (lambda x: F.flip(x, 2), r"flip: axis 2 does not exist"),
        (lambda x: F.flip(x, (0, 0)), r"flip: axis=\(0, 0\) names an axis .* twice"),
    ],
)
def test_places_that_do_not_fit(function, message):
    with pytest.raises(ShapeError, match=message):
        function(leaf(X))


@pytest.mark.parametrize("repeats", [2, np.int64(2), np.array(2), tg.tensor(2), [2, 2], np.array([2, 2]), ONES + 1])
def test_repeats_of_every_kind(repeats):
    assert np.array_equal(F.repeat(leaf(X), repeats, axis=0).data, np.repeat(X, 2, axis=0))
