import numpy as np
import pytest
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import gradcheck
from tinygan.errors import DtypeError, ShapeError
from tinygan.testing import Call, Calls, arrays, operation_test, shapes

RNG = np.random.default_rng(2)


def tensors(*shapes):
    return [tg.tensor(RNG.standard_normal(shape), requires_grad=True) for shape in shapes]


def affine(x, weight, bias=0.0):
    return x @ weight + bias


@st.composite
def layers(draw):
    """Inputs with any number of leading axes (also 0) of any size, with and without a bias."""
    leading = draw(shapes(max_dims=2, max_side=2))
    n, units = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    operands = [draw(arrays((*leading, n))), draw(arrays((n, units)))]
    if draw(st.booleans()):
        operands.append(draw(arrays((units,))))
    return Call(tuple(operands))


def layer(*shapes):
    return Call(tuple(RNG.standard_normal(shape) for shape in shapes))


TestLinear = operation_test(
    F.linear,
    affine,
    Calls(
        layers(),
        (
            layer((2, 3), (3, 4), (4,)),
            layer((3,), (3, 2)),
            layer((0, 3), (3, 2), (2,)),
            layer((2, 1, 3), (3, 1)),
        ),
    ),
    rtol=1e-11,
)


def test_the_bias_is_summed_over_every_leading_axis():
    x, w, b = tensors((5, 2, 3), (3, 4), (4,))
    F.linear(x, w, b).sum().backward()
    assert b.grad.data.tolist() == [10] * 4


def test_third_order():
    assert gradcheck(lambda x, w, b: F.tanh(F.linear(x, w, b)), tensors((1, 2), (2, 1), (1,)), order=3)


def test_dtypes_are_those_of_each_operand():
    shapes_and_dtypes = (((2, 3), "f4"), ((3, 2), "f8"), ((2,), "f4"))
    leaves = [tg.tensor(np.ones(shape), dtype, requires_grad=True) for shape, dtype in shapes_and_dtypes]
    y = F.linear(*leaves)
    y.sum().backward()
    assert y.dtype == np.float64
    assert [leaf.grad.dtype for leaf in leaves] == [np.float32, np.float64, np.float32]


@pytest.mark.parametrize(
    ("operands", "message"),
    [
        (((2, 3072), (784, 5)), "linear: weight has 784 rows but the input has 3072 columns (32x32x3)"),
        (((2, 5), (4, 5)), "linear: weight has 4 rows but the input has 5 columns"),
        (((2, 3, 784), (3072, 5)), "linear: weight has 3072 rows but the input has 784 columns (28x28)"),
        (((2, 5), (5,)), "linear: weight must have 2 axes (input columns, units), but has shape (5,)"),
        (((2, 5), ()), "linear: weight must have 2 axes (input columns, units), but has shape ()"),
        (((), (3, 5)), "linear: the input is a single number; expected an array whose last axis has the features"),
        (
            ((2, 5), (5, 3), (2,)),
            "linear: bias must have one number for each of the 3 columns of the weight, but has shape (2,)",
        ),
        (
            ((2, 5), (5, 3), (1, 3)),
            "linear: bias must have one number for each of the 3 columns of the weight, but has shape (1, 3)",
        ),
    ],
)
def test_shapes_that_do_not_fit(operands, message):
    with pytest.raises(ShapeError) as caught:
        F.linear(*tensors(*operands))
    assert str(caught.value) == message


@pytest.mark.parametrize("x", [[1.0, 2.0], [[1.0, 2.0]], None, "ab"])
def test_an_input_without_a_shape(x):
    with pytest.raises(DtypeError, match=r"^linear: expected a tensor or an array, got .*; use tg\.tensor"):
        F.linear(x, tg.tensor([[1.0], [2.0]]))


def test_a_bias_of_half_precision_adds_up_its_rows_in_single():
    x, weight, bias = (tg.tensor(np.ones(s), dtype="float16", requires_grad=True) for s in ((5000, 1), (1, 3), (3,)))
    F.linear(x, weight, bias).sum().backward()
    assert bias.grad.data.tolist() == [5000] * 3
