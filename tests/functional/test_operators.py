"""Operators and methods of tensors, and NumPy's functions applied to them."""

import inspect
import operator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

import tinygan as tg
import tinygan.functional as F
from tinygan.errors import DtypeError, ShapeError
from tinygan.functional.operators import TABLE
from tinygan.testing import EDGE_VALUES, arrays

A, B = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, 2.0])
BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.matmul]
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


# ---------------------------------------------------------------------- arithmetic, from either side


@pytest.mark.parametrize("function", BINARY)
def test_arrays_on_either_side_stay_on_the_tape(function):
    for left, right in ((leaf(A), leaf(B)), (A, leaf(B)), (leaf(A), B)):
        y = function(left, right)
        assert isinstance(y, tg.Tensor)
        assert y.requires_grad
        assert np.array_equal(y.data, function(A, B))


@pytest.mark.parametrize("function", BINARY[:5])
@pytest.mark.parametrize("number", [2, 2.0, np.float64(2), np.float32(2), np.int64(2), np.array(2.0), True])
def test_numbers_on_either_side_do_not_promote(function, number):
    x = leaf(B, "float32")
    plain = float(number)
    for y, expected in ((function(x, number), function(B, plain)), (function(number, x), function(plain, B))):
        assert y.dtype == np.float32
        assert np.allclose(y.data, expected)
        y.sum().backward()
    assert x.grad.dtype == np.float32


def test_signs():
    x = leaf([-1.0, 2.0])
    assert (-x).data.tolist() == [1, -2]
    assert +x is x
    assert abs(x).data.tolist() == [1, 2]
    abs(x).sum().backward()
    assert x.grad.data.tolist() == [-1, 1]


@pytest.mark.parametrize("function", BINARY[:5])
def test_text_is_refused(function):
    with pytest.raises(DtypeError, match="expected a tensor, an array or a number, got str"):
        function(leaf(B), "2")


# ---------------------------------------------------------------------- comparisons


@pytest.mark.slow
@pytest.mark.parametrize("compare", COMPARISONS)
@given(a=arrays((2, 1), low=-1, high=1), b=arrays((2,), low=-1, high=1))
def test_comparisons_are_those_of_numpy(compare, a, b):
    expected = compare(a, b)
    for result in (compare(leaf(a), leaf(b)), compare(leaf(a), b), compare(a, leaf(b))):
        assert isinstance(result, tg.Tensor)
        assert not result.requires_grad
        assert result.dtype == bool
        assert np.array_equal(result.data, expected)


@pytest.mark.parametrize("compare", COMPARISONS)
def test_comparisons_at_the_edges_and_with_numbers(compare):
    values = np.array(EDGE_VALUES)
    assert np.array_equal(compare(leaf(values), 1).data, compare(values, 1))
    assert np.array_equal(compare(np.float64(1), leaf(values)).data, compare(1, values))


def test_comparing_shapes_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"^lt: operands could not be broadcast .*: float64\[2\], float64\[3\]\)"):
        _ = leaf([1.0, 2.0]) < leaf([1.0, 2.0, 3.0])


def test_masks_combine():
    x = leaf([-1.0, 0.5, 2.0])
    assert ((x > 0) & (x < 1)).data.tolist() == [False, True, False]
    assert ((x < 0) | (x > 1)).data.tolist() == [True, False, True]
    assert ((x > 0) & np.array([True, True, False])).data.tolist() == [False, True, False]


# ---------------------------------------------------------------------- NumPy's functions

UNARY_UFUNCS = [
    np.negative, np.absolute, np.exp, np.log, np.sqrt, np.tanh, np.square, np.sin, np.cos, np.expm1, np.log1p
]  # fmt: skip
BINARY_UFUNCS = [
    np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, np.minimum, np.logaddexp, np.remainder
]  # fmt: skip


@pytest.mark.parametrize("ufunc", UNARY_UFUNCS)
def test_unary_ufuncs_stay_on_the_tape(ufunc):
    x = leaf(A)
    y = ufunc(x)
    assert y.requires_grad
    assert np.array_equal(y.data, ufunc(A))
    assert tg.gradcheck(lambda x: ufunc(x), x)


@pytest.mark.parametrize("ufunc", [*BINARY_UFUNCS, np.matmul])
def test_binary_ufuncs_stay_on_the_tape(ufunc):
    for left, right in ((leaf(A), leaf(B)), (A, leaf(B)), (leaf(A), B)):
        y = ufunc(left, right)
        assert y.requires_grad
        assert np.array_equal(y.data, ufunc(A, B))
    if ufunc is not np.remainder:  # it jumps there
        assert tg.gradcheck(lambda a, b: ufunc(a, b), [leaf(A), leaf(B)])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sum", {"axis": 1}),
        ("mean", {"axis": 0}),
        ("max", {}),
        ("amax", {"axis": 0}),
        ("min", {}),
        ("amin", {"axis": -1}),
        ("reshape", {"shape": (4,)}),
        ("transpose", {}),
        ("transpose", {"axes": (1, 0)}),
        ("broadcast_to", {"shape": (3, 2, 2)}),
        ("clip", {"a_min": 1.5, "a_max": 3.0}),
        ("var", {"axis": 0}),
        ("std", {"axis": 1}),
        ("prod", {"axis": 1}),
        ("cumsum", {"axis": 0}),
        ("squeeze", {}),
        ("expand_dims", {"axis": 1}),
        ("swapaxes", {"axis1": 0, "axis2": 1}),
        ("moveaxis", {"source": 0, "destination": 1}),
        ("flip", {"axis": 0}),
        ("repeat", {"repeats": 2, "axis": 1}),
        ("take_along_axis", {"indices": np.array([[0], [1]]), "axis": 1}),
        ("outer", {"b": B}),
        ("pad", {"pad_width": [(1, 0), (0, 1)], "mode": "edge"}),
    ],
)
def test_functions_of_one_tensor(name, arguments):
    function = getattr(np, name)
    x = leaf(A)
    results = [function(x, *arguments.values())]
    if set(arguments) <= set(inspect.signature(function).parameters):  # `shape` came with NumPy 2.1
        results.append(function(x, **arguments))
    for y in results:
        assert y.requires_grad
        assert np.array_equal(y.data, function(A, *arguments.values()))


def test_the_norm_and_einsum_of_numpy():
    x = leaf(A)
    for y, expected in (
        (np.linalg.norm(x, axis=1, keepdims=True), np.linalg.norm(A, axis=1, keepdims=True)),
        (np.linalg.norm(x), np.linalg.norm(A)),
        (np.einsum("ij,j->i", x, B), np.einsum("ij,j->i", A, B)),
        (np.einsum("ij,jk", x, x), A @ A),
        (np.split(x, 2)[1], A[1:]),
        (np.split(x, [1], axis=1)[0], A[:, :1]),
        (np.pad(x, [(1, 1), (0, 0)], constant_values=2.0), np.pad(A, [(1, 1), (0, 0)], constant_values=2.0)),
    ):
        assert y.requires_grad
        np.testing.assert_allclose(y.data, expected, rtol=1e-14)


def test_positional_options_have_the_places_of_numpy():
    x = leaf(A)
    assert np.array_equal(np.sum(x, 1, None, None, True).data, A.sum(1, keepdims=True))
    assert np.array_equal(np.var(x, 0, None, None, 1).data, A.var(0, ddof=1))
    for wrong in (lambda: np.sum(x, 1, np.float32), lambda: np.linalg.norm(x, 1), lambda: np.argsort(x, 0, "stable")):
        with pytest.raises(DtypeError, match=r"of a tensor: there is no option '(dtype|ord|kind)'"):
            wrong()
    for incomplete in (lambda: np.where(x > 2), lambda: np.einsum("ij->i", x, optimize=True)):
        with pytest.raises(DtypeError, match=r"^np\.(where|einsum) of a tensor: (missing|got)"):
            incomplete()


def test_rows_of_the_table_name_what_exists():
    public = {inspect.unwrap(getattr(F, name)) for name in F.__all__}
    for row in TABLE:
        assert row.operator or row.numpy in ("logical_not", "signbit") or row.function in public, row
        for name in row.methods.split():
            assert inspect.unwrap(getattr(tg.Tensor, name)) is row.function
        for name in row.numpy.split():
            assert callable(operator.attrgetter(name)(np)), name
    functions = [row.function for row in TABLE]
    assert len(set(functions)) == len(functions)


def test_methods_of_tensors_are_functions_of_the_same_name():
    x = leaf(A)
    for row in TABLE:
        for name in row.methods.split():
            assert inspect.unwrap(getattr(F, name)) is row.function
    assert np.array_equal(x.softmax(axis=0).argmax(axis=0).data, [1, 1])
    assert not hasattr(x, "repeat")
    assert not hasattr(x, "split")


def test_options_that_are_missing():
    with pytest.raises(DtypeError) as caught:
        np.sum(leaf(A), dtype=np.float32)
    assert str(caught.value) == (
        "np.sum of a tensor: there is no option 'dtype'; it takes only the options of the function of the same name in "
        "tinygan.functional"
    )


def test_functions_of_several_tensors():
    x, y = leaf(A), leaf(A + 1)
    for result, expected in (
        (np.concatenate([x, y], axis=1), np.concatenate([A, A + 1], axis=1)),
        (np.stack([x, y]), np.stack([A, A + 1])),
        (np.where(x > 2, x, y), np.where(A > 2, A, A + 1)),
    ):
        assert result.requires_grad
        assert np.array_equal(result.data, expected)


def test_what_cannot_be_recorded_says_what_to_do():
    x = leaf(A)
    for function, name in (
        (lambda: np.arctan(x), "np.arctan"),
        (lambda: np.add.reduce(x), "np.add.reduce"),
        (lambda: np.exp(x, out=np.zeros((2, 2))), "np.exp with out="),
        (lambda: np.add(x, x, where=A > 1), "np.add with where="),
        (lambda: np.median(x), "np.median"),
        (lambda: np.linalg.det(x), "np.det"),
    ):
        with pytest.raises(DtypeError) as caught:
            function()
        assert str(caught.value) == (
            f"{name} cannot be recorded on the tape; use an operation of tinygan.functional, "
            "or leave the tape with tensor.detach().numpy()"
        )


def test_without_a_gradient_other_functions_compute():
    x = tg.tensor(A)
    assert np.median(x) == np.median(A)
    assert np.array_equal(np.vstack([x, x]), np.vstack([A, A]))
    assert np.allclose(x, A)
    assert np.array_equal(np.sort(a=x, axis=0), np.sort(A, axis=0))


def test_every_public_function_is_a_tensor_function():
    for name in F.__all__:
        assert callable(getattr(F, name)), name


@pytest.mark.parametrize(
    "question",
    [
        np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.argmax, np.argsort, np.nonzero, np.count_nonzero,
        np.any, np.all, np.isnan, np.isinf, np.isfinite, np.signbit, np.logical_not, np.result_type,
        lambda x: np.array_equal(x, x), lambda x: np.allclose(x, 1.0), lambda x: np.isclose(x, 1.0),
        lambda x: np.full_like(x, 2.0), lambda x: np.searchsorted(x, 0.5), lambda x: np.less(x, 1.0),
    ],
)  # fmt: skip
def test_questions_without_a_derivative_are_answered(question):
    values = np.array([1.0, np.nan, -np.inf, 0.0])
    answer = question(tg.tensor(values, requires_grad=True))
    np.testing.assert_array_equal(answer.data if isinstance(answer, tg.Tensor) else answer, question(values))


def test_the_page_names_every_operation():
    page = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    assert [name for name in F.__all__ if f"`{name}`" not in page] == []
