"""Tensors: construction, properties, and conversion to values outside of the tape."""

from __future__ import annotations

import copy
import gc
import math
import operator
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tinygan import nn
from tinygan.errors import DeviceError, DtypeError, GradientError, NoAxisError, ShapeError


@pytest.fixture
def vector() -> tg.Tensor:
    return tg.tensor([1.0, 2.0, 3.0], requires_grad=True)


# ---------------------------------------------------------------------- creation


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        ([1.0, 2.0], "float32"),
        ([[1, 2.5]], "float32"),
        ([], "float32"),
        (3, "int64"),
        ([[1, 2], [3, 4]], "int64"),
        (True, "bool"),
        ([True, False], "bool"),
        (np.float64(2.0), "float64"),
        (np.zeros(2), "float64"),
        (np.zeros(2, np.float16), "float16"),
        (np.zeros(2, np.uint8), "uint8"),
        (np.array(1.0), "float64"),
        (tg.tensor(np.zeros(2)), "float64"),
        (range(3), "int64"),
    ],
)
def test_dtype_of_a_new_tensor(data: Any, dtype: str) -> None:
    assert tg.tensor(data).dtype == dtype


@given(hnp.arrays(st.sampled_from(["f2", "f4", "f8", "i4", "i8", "u1", "?"]), hnp.array_shapes(min_dims=0, min_side=0)))
def test_an_array_is_copied_with_its_dtype_and_shape(array: np.ndarray) -> None:
    t = tg.tensor(array)
    assert (t.dtype, t.shape, t.ndim, t.size) == (array.dtype, array.shape, array.ndim, array.size)
    np.testing.assert_array_equal(t.numpy(), array)
    assert not np.shares_memory(t.data, array)
    assert t.data.flags.c_contiguous
    assert t.device == "cpu"


def test_a_dtype_asked_for_is_given() -> None:
    assert tg.tensor([1, 2], dtype="float64").dtype == "float64"
    assert tg.tensor(np.zeros(2), dtype=np.float32).dtype == "float32"
    assert tg.tensor(tg.tensor([1.5]), dtype="int32").data.tolist() == [1]


def test_a_non_contiguous_array_is_copied_in_c_order() -> None:
    array = np.arange(12.0).reshape(3, 4).T[::2]
    t = tg.tensor(array)
    assert t.data.flags.c_contiguous
    np.testing.assert_array_equal(t.data, array)


def test_a_list_of_tensors_becomes_one_tensor() -> None:
    assert tg.tensor([tg.tensor(1.0), tg.tensor(2.0)]).data.tolist() == [1.0, 2.0]


def test_a_list_of_tensors_with_gradients_would_lose_them(vector: tg.Tensor) -> None:
    with pytest.raises(GradientError, match="silently leave the tape"):
        tg.tensor([vector, vector])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("abc", "tensor: expected numbers, got an array of dtype <U3"),
        (None, "tensor: expected numbers, got an array of dtype object"),
        ({"a": 1}, "tensor: expected numbers, got an array of dtype object"),
        (2**64, "tensor: expected numbers, got an array of dtype object"),
        (np.array(["2020-01-01"], "datetime64[D]"), "tensor: expected numbers, got an array of dtype datetime64"),
        ([[1.0], [1.0, 2.0]], "tensor: cannot make an array of list: .*inhomogeneous"),
    ],
)
def test_what_is_no_number_is_refused(data: Any, message: str) -> None:
    with pytest.raises(DtypeError, match=message):
        tg.tensor(data)


def test_an_unknown_dtype_or_device_is_refused() -> None:
    with pytest.raises(DtypeError, match="data type 'nonsense' not understood"):
        tg.tensor([1.0], dtype="nonsense")
    with pytest.raises(DeviceError, match="unknown device 'tpu': expected 'cpu' or 'cuda'"):
        tg.tensor([1.0], device="tpu")


def test_the_constructor_wraps_an_array_and_nothing_else() -> None:
    array = np.zeros(2)
    assert tg.Tensor(array).data is array
    with pytest.raises(DtypeError, match=r"Tensor: expected an array, got list; use tg.tensor\(data\)"):
        tg.Tensor([1.0])
    with pytest.raises(DtypeError, match="expected numbers, got an array of dtype object"):
        tg.Tensor(np.array([object()]))


@pytest.mark.parametrize("data", [[1, 2], [True], np.zeros(2, np.uint8)])
def test_integers_have_no_gradient(data: Any) -> None:
    with pytest.raises(DtypeError, match=r"has no gradient, since it cannot be changed .*dtype='float32'"):
        tg.tensor(data, requires_grad=True)
    t = tg.tensor(data)
    with pytest.raises(DtypeError, match="has no gradient"):
        t.requires_grad = True
    assert not t.requires_grad


def test_requires_grad_can_be_switched_on_leaves_only(vector: tg.Tensor) -> None:
    vector.requires_grad = False
    assert not (vector * 2).requires_grad
    vector.requires_grad = True
    y = vector * 2
    with pytest.raises(GradientError, match=r"leaf tensors only, and this is the result of 'multiply'; call \.det"):
        y.requires_grad = False


def test_a_result_knows_its_operation_and_a_leaf_has_none(vector: tg.Tensor) -> None:
    y = vector * 2
    assert vector.is_leaf
    assert vector.operation is None
    assert not y.is_leaf
    assert y.operation is not None
    assert y.operation.name == "multiply"
    assert tg.tensor(1.0).edge is None
    assert vector.edge is vector
    assert y.edge is y.operation


# ---------------------------------------------------------------------- out of the tape


def test_item_float_int_bool() -> None:
    t = tg.tensor([[2.75]], requires_grad=True)
    assert t.item() == 2.75
    assert type(t.item()) is float
    for number in (t.detach(), t > 2.5):
        assert float(number) == number.item()
        assert int(number) == int(number.item())
    with tg.no_grad():
        assert float(t) == 2.75
        assert int(t) == 2
    assert bool(t)
    assert not tg.tensor(0)
    assert type(tg.tensor(3).item()) is int


@pytest.mark.parametrize("shape", [(3,), (0,), (2, 2)])
def test_many_values_are_no_number(shape: tuple[int, ...]) -> None:
    t = tg.tensor(np.zeros(shape))
    for convert in (float, int, tg.Tensor.item):
        with pytest.raises(ShapeError, match="item: expected a tensor of one element, got shape"):
            convert(t)
    with pytest.raises(ShapeError, match=r"truth value of a tensor of shape .* ambiguous.*F\.where"):
        bool(t)


def test_len_and_iteration(vector: tg.Tensor) -> None:
    assert len(vector) == 3
    assert [row.item() for row in vector] == [1.0, 2.0, 3.0]
    sum(vector * vector, tg.tensor(0.0)).backward()
    assert vector.grad is not None
    assert vector.grad.data.tolist() == [2.0, 4.0, 6.0]
    assert list(tg.tensor(np.zeros((0, 3)))) == []
    for use in (len, iter):
        with pytest.raises(NoAxisError, match="a 0-d tensor is one number and has no"):
            use(vector.sum())
    assert issubclass(NoAxisError, TypeError)
    assert issubclass(NoAxisError, ShapeError)


LEAVING = {
    "math.exp": math.exp,
    "float": float,
    "int": int,
    "complex": complex,
    "an element of an array": lambda x: np.zeros(3).__setitem__(0, x),
    "rows of an array": lambda x: np.zeros(3).__setitem__(slice(None), x),
    "np.array": lambda x: np.array([x, x]),
    "np.full": lambda x: np.full(3, x),
    "np.float32": np.float32,
    "masked array": lambda x: np.ma.array([1.0, 2.0], mask=[False, True]) * x,
    "random numbers": lambda x: np.random.default_rng(0).normal(x),
}


@pytest.mark.parametrize("way", LEAVING)
def test_a_tensor_does_not_leave_the_tape_silently(way: str) -> None:
    with pytest.raises((GradientError, DtypeError, ValueError)) as caught:  # NumPy wraps some of them
        LEAVING[way](tg.tensor(0.5, requires_grad=True))
    assert any("tape" in str(error) or "mask" in str(error) for error in (caught.value, caught.value.__cause__))


# ---------------------------------------------------------------------- the gradient


@pytest.mark.parametrize(
    ("gradient", "error", "what"),
    [
        (tg.tensor(np.ones((3, 2))), ShapeError, r"\(3, 2\).*\(2, 3\)"),
        (tg.tensor(np.ones(6)), ShapeError, r"\(6,\)"),
        (tg.tensor(1.0), ShapeError, r"\(\)"),
        (tg.tensor(np.ones((2, 3))), DtypeError, "float64.*float32.*astype"),
        (np.ones((2, 3), np.float32), DtypeError, "ndarray.*tg.tensor"),
        ([[1.0] * 3] * 2, DtypeError, "list"),
        (1.0, DtypeError, "float"),
    ],
)
def test_a_gradient_that_does_not_fit_is_refused(gradient: Any, error: type, what: str) -> None:
    w = tg.tensor(np.zeros((2, 3), np.float32), requires_grad=True)
    with pytest.raises(error, match=f"^grad.* {what}"):
        w.grad = gradient
    assert w.grad is None
    w.grad = fitting = tg.tensor(np.ones((2, 3), np.float32))
    assert w.grad is fitting


def test_in_asks_for_a_value(vector: tg.Tensor) -> None:
    assert 2.0 in vector  # type: ignore[operator]
    assert 5.0 not in vector  # type: ignore[operator]


def test_a_tensor_is_a_key_by_identity(vector: tg.Tensor) -> None:
    twin = tg.tensor(vector)
    table = {vector: "a", twin: "b"}
    assert table[vector] == "a"
    assert table[twin] == "b"
    assert len({vector, twin, vector}) == 2


def test_detach_shares_memory_and_no_history(vector: tg.Tensor) -> None:
    y = vector * 2
    d = y.detach()
    assert np.shares_memory(d.data, y.data)
    assert d.is_leaf
    assert not d.requires_grad
    d.data[0] = 7
    assert y.data[0] == 7


def test_array_conversion(vector: tg.Tensor) -> None:
    with pytest.raises(GradientError, match=r"silently leave the tape .* \.detach\(\)\.numpy\(\)"):
        np.asarray(vector)
    plain = vector.detach()
    assert np.shares_memory(np.asarray(plain), vector.data)
    assert np.asarray(plain, dtype="float64").dtype == "float64"
    assert not np.shares_memory(np.array(plain), vector.data)
    np.testing.assert_allclose(plain, [1, 2, 3])
    assert np.shares_memory(vector.numpy(), vector.data)


def test_assignment_into_a_tensor_teaches(vector: tg.Tensor) -> None:
    for t in (vector, vector * 2, tg.tensor([1.0])):
        with pytest.raises(GradientError, match=r"cannot be assigned into: the tape .*F\.where, F\.concatenate"):
            t[0] = 5.0


def test_augmented_assignment_makes_a_new_tensor(vector: tg.Tensor) -> None:
    x = before = vector * 1
    x += 1
    x *= 2
    assert before.data.tolist() == [1, 2, 3]
    assert x.data.tolist() == [4, 6, 8]
    tg.grad(x.sum(), before)


CHANGES = {
    "iadd": (operator.iadd, [3.0, 4.0, 5.0]),
    "isub": (operator.isub, [-1.0, 0.0, 1.0]),
    "imul": (operator.imul, [2.0, 4.0, 6.0]),
    "itruediv": (operator.itruediv, [0.5, 1.0, 1.5]),
    "ipow": (operator.ipow, [1.0, 4.0, 9.0]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_leaf_changes_in_place_under_no_grad_only(vector: tg.Tensor, change: str) -> None:
    function, expected = CHANGES[change]
    x, array, other = vector, vector.data, vector * vector
    with pytest.raises(GradientError, match=r"requires a gradient.*no_grad"):
        function(x, 2.0)
    assert x.data.tolist() == [1, 2, 3]
    with tg.no_grad():
        assert function(x, tg.tensor(2.0)) is x
    assert x.data is array
    assert x.data.tolist() == expected
    with pytest.raises(GradientError, match="changed in place"):
        other.sum().backward()


def test_gradient_descent_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data[...] = 3.0
    for _ in range(50):
        layer.zero_grad()
        (layer(tg.tensor([[1.0]])) ** 2).sum().backward()
        with tg.no_grad():
            layer.weight -= 0.1 * layer.weight.grad
            for p in layer.parameters():
                p -= 0.1 * p.grad
    assert len(layer.parameters()) == 1
    assert abs(layer.weight.item()) < 1e-6


def test_what_does_not_fit_is_not_added_in_place(vector: tg.Tensor) -> None:
    with tg.no_grad():
        with pytest.raises(ShapeError, match="iadd"):
            vector += np.ones((2, 3))
        with pytest.raises(DtypeError, match="iadd"):
            vector += 1j
    assert vector.data.tolist() == [1, 2, 3]


def test_an_array_is_not_updated_by_a_tensor_in_place(vector: tg.Tensor) -> None:
    array = np.zeros(3)
    with pytest.raises(DtypeError, match=r"np\.add with out= cannot be recorded .*\.detach\(\)\.numpy"):
        array += vector
    assert array.tolist() == [0, 0, 0]


# ---------------------------------------------------------------------- text


def test_repr() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    assert repr(x) == "tensor([1., 2.], dtype=float32, name='x', requires_grad=True)"
    assert repr(x * 2) == "tensor([2., 4.], dtype=float32, operation=multiply)"
    assert repr(tg.tensor([[1], [2]])) == "tensor([[1],\n        [2]])"
    assert repr(tg.tensor(np.zeros((0, 3)))) == "tensor([], shape=(0, 3), dtype=float64)"


def test_format_is_that_of_a_number() -> None:
    loss = tg.tensor([3.0, 4.0], requires_grad=True).sum()
    assert f"{loss:.3f}" == "7.000"
    assert f"{loss}" == repr(loss)
    with pytest.raises(ShapeError, match="item: expected a tensor of one element"):
        f"{tg.tensor([1.0, 2.0]):.3f}"


# ---------------------------------------------------------------------- copies

_COPIERS = [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]


@pytest.mark.parametrize("copier", _COPIERS)
def test_a_leaf_can_be_copied(vector: tg.Tensor, copier: Callable[[Any], Any]) -> None:
    vector.name = "w"
    (vector * vector).sum().backward()
    twin = copier(vector)
    assert (twin.name, twin.requires_grad, twin.is_leaf) == ("w", True, True)
    np.testing.assert_array_equal(twin.grad.data, [2, 4, 6])
    assert np.shares_memory(twin.data, vector.data) == (copier is copy.copy)
    (twin * 2).sum().backward()
    assert vector.grad is not None
    assert vector.grad.data.tolist() == [2, 4, 6]


@pytest.mark.parametrize("copier", _COPIERS)
def test_the_result_of_an_operation_cannot(vector: tg.Tensor, copier: Callable[[Any], Any]) -> None:
    with pytest.raises(GradientError, match=r"a copy of the result of 'multiply' would take the whole graph .*detach"):
        copier(vector * 2)


def test_a_tensor_dies_by_reference_count() -> None:
    gc.disable()
    try:
        t = tg.tensor([1.0], requires_grad=True)
        dead = weakref.ref(t)
        (t * t).sum().backward()
        del t
        assert dead() is None
    finally:
        gc.enable()
