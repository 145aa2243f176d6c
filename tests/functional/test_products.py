import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import gradcheck
from tinygan.errors import ArgumentError, DtypeError, ShapeError
from tinygan.testing import Call, Calls, arrays, operation_test

SIZES = {"a": 2, "b": 3, "c": 1, "d": 2}


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


@st.composite
def contractions(draw):
    """One to three operands; axes may occur twice in an operand, in several, and in the result or not."""
    names = [draw(st.text("abcd", max_size=3)) for _ in range(draw(st.integers(1, 3)))]
    known = sorted(set("".join(names)))
    output = "".join(draw(st.lists(st.sampled_from(known), unique=True))) if known else ""
    operands = [draw(arrays(tuple(SIZES[axis] for axis in name), low=-2, high=2)) for name in names]
    return Call(tuple(operands), {"subscripts": f"{','.join(names)}->{output}"})


def einsum(*operands, subscripts):
    return F.einsum(subscripts, *operands)


TestEinsum = operation_test(
    einsum, lambda *operands, subscripts: np.einsum(subscripts, *operands), Calls(contractions()), rtol=1e-10, view=True
)
TestOuter = operation_test(
    F.outer, np.outer, Calls(st.tuples(arrays((2, 3)), arrays((2,))).map(lambda both: Call(both)))
)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk", [(2, 3), (3, 4)]),
        ("ba", [(2, 3)]),
        ("ii", [(3, 3)]),
        ("...ij,...jk->...ik", [(5, 2, 3), (3, 4)]),
        ("...i,i...->...", [(2, 3), (3, 2)]),
        ("i...,...", [(2, 3), (4, 3)]),
        ("...", [(2, 3)]),
        ("i...i->i...", [(2, 3, 2)]),
        ("bi, bj -> bij", [(2, 3), (2, 4)]),
        ("ij,ij->i", [(3, 1), (3, 4)]),
        ("iij,jj->", [(2, 2, 3), (3, 3)]),
        ("i,j,k->kji", [(2,), (3,), (4,)]),
        (",i->i", [(), (3,)]),
        ("i->", [(0,)]),
    ],
)
def test_notations_are_those_of_numpy(subscripts, shapes):
    values = [np.cos(1 + np.arange(float(np.prod(shape)))).reshape(shape) for shape in shapes]
    operands = [leaf(value) for value in values]
    for function in (F.einsum, np.einsum):
        np.testing.assert_allclose(function(subscripts, *operands).data, np.einsum(subscripts, *values), rtol=1e-12)
    assert gradcheck(lambda *x: F.einsum(subscripts, *x), operands, order=2)


@given(dtype=st.sampled_from(["float16", "float32", "int64", "bool"]))
def test_dtypes(dtype):
    values = np.array([[1, 0], [1, 1]], dtype)
    y = F.einsum("ij,jk->ik", tg.tensor(values), values)
    assert y.dtype == np.dtype(dtype)
    assert F.outer(tg.tensor(values), 2).dtype == (np.dtype(dtype) if dtype != "bool" else np.int64)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("ij,jk", np.ones((2, 2))), ShapeError, "'ij,jk' names 2 operands, but 1 were given"),
        (("ij", np.ones(2)), ShapeError, "'ij' names 2 axes of an operand of shape \\(2,\\)"),
        (("i", np.ones((2, 2))), ShapeError, "'i' names 1 axes of an operand of shape"),
        (("ij,jk", np.ones((2, 3)), np.ones((2, 3))), ShapeError, ""),
        (("ii", np.ones((1, 3))), ShapeError, "'i' names axes of different sizes"),
        (("i->j", np.ones(2)), ShapeError, ""),
        (("i->ii", np.ones(2)), ShapeError, ""),
        (("i1", np.ones((2, 2))), ShapeError, ""),
        ((np.ones(2), [0]), ArgumentError, "expected subscripts such as 'ij,jk->ik' first"),
        (("i", [1.0]), DtypeError, "expected a sequence of tensors or arrays"),
        (("i",), ShapeError, "expected at least one tensor"),
    ],
)
def test_subscripts_that_do_not_fit(arguments, error, message):
    with pytest.raises(error, match=rf"^einsum: .*{message}"):
        F.einsum(*arguments)


def test_outer_flattens_like_numpy():
    x, y = leaf(np.arange(4.0).reshape(2, 2)), leaf(3.0)
    assert np.array_equal(F.outer(x, y).data, np.outer(x.data, 3.0))
    assert np.array_equal(np.outer(x, x).data, np.outer(x.data, x.data))
    assert x.outer(y).requires_grad
