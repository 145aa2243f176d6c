import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import gradcheck
from tinygan.errors import DtypeError, ShapeError
from tinygan.testing import EDGE_VALUES, Call, Calls, arrays, broadcastable_shapes, call, elementwise, operation_test

RNG = np.random.default_rng(0)


def leaf(values, dtype="float64"):
    return tg.tensor(values, dtype=dtype, requires_grad=True)


TestAdd = operation_test(F.add, np.add, elementwise(2))
TestSubtract = operation_test(F.subtract, np.subtract, elementwise(2))
TestMultiply = operation_test(F.multiply, np.multiply, elementwise(2))
TestDivide = operation_test(F.divide, np.divide, elementwise(2, low=0.25, high=8))
TestNegative = operation_test(F.negative, np.negative, elementwise(1))
TestPower = operation_test(F.power, np.power, elementwise(2, low=0.25, high=4))
TestRemainder = operation_test(  # between two jumps
    F.remainder, np.remainder, call(arrays(3, 2.1, 2.9), arrays((2, 1), 1, 1.04))
)
TestWideMultiply = operation_test(F.multiply, np.multiply, call(arrays(3, -1e15, 1e15), arrays((2, 1), -1e15, 1e15)))


def test_remainders_at_the_edges():
    values = np.array(EDGE_VALUES)
    a, b = (grid.ravel() for grid in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(F.remainder(leaf(a), leaf(b)).data, np.remainder(a, b))
    x, y = leaf([7.0, -7.0, 7.0]), leaf([2.0, 2.0, -2.0])
    F.remainder(x, y).sum().backward()
    assert x.grad.data.tolist() == [1, 1, 1]
    assert y.grad.data.tolist() == [-3, 4, 4]


# ---------------------------------------------------------------------- powers


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, -1, -2, 0.0, 2.0])
def test_whole_powers_of_negative_numbers(exponent):
    x = leaf([-3.0, -0.5, 0.25, 2.0])
    result = gradcheck(lambda x: x**exponent, x, order=3)
    assert result.ok
    assert np.array_equal((x**exponent).data, x.data**exponent)


@pytest.mark.parametrize("exponent", [0.5, 1.5, -0.5, 3])
def test_numbers_as_exponents(exponent):
    assert gradcheck(lambda x: x**exponent, leaf([0.3, 1.0, 5.0]), order=2)


@pytest.mark.parametrize("base", [0.5, 2, 2.0, np.float64(3)])
def test_numbers_as_bases(base):
    assert gradcheck(lambda x: base**x, leaf([-1.0, 0.0, 2.5]), order=2)


def test_powers_of_zero():
    base, exponent = leaf([0.0] * 5), leaf([0.0, 1.0, 2.0, 0.5, -1.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        (base**exponent).sum().backward()
    assert base.grad.data.tolist() == [0, 1, 0, np.inf, -np.inf]
    assert exponent.grad.data.tolist() == [0, 0, 0, 0, -np.inf]  # 0 is the limit of 0^b log 0 for b > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("exponent", [0, 0.0, [0.0], [-0.0], np.zeros(1, np.uint8)])
def test_the_power_0_has_a_gradient_of_0_everywhere(exponent, dtype):
    tiny, huge = float(np.finfo(dtype).smallest_subnormal), float(np.finfo(dtype).max)
    base = leaf([np.inf, -np.inf, 0.0, -0.0, np.nan, tiny, -tiny, huge, 3.0], dtype)
    power = base ** (leaf(exponent, dtype) if isinstance(exponent, list) else exponent)
    with np.errstate(all="ignore"):
        power.backward(np.full(9, 1e30))
    assert base.grad.data.tolist() == [0] * 9


def test_the_power_0_multiplies_no_infinite_gradient_by_0():
    x = leaf([1.0, 2.0, 3.0])
    (x**0).backward(np.array([np.inf, np.nan, 1.0]))
    np.testing.assert_array_equal(x.grad.data, [0, np.nan, 0])


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_mixed_derivative_of_a_power_at_0(order):
    """The mixed derivative of y = a^b is a^(b-1) (1 + b log a), which is 1 / a at b = 0."""
    leaves = {"a": leaf([0.5, 2.0, 1e-305]), "b": leaf([0.0, -0.0, 0.0])}
    slope = tg.grad(leaves["a"] ** leaves["b"], leaves[order[0]], grad_output=np.ones(3), create_graph=True)
    mixed = tg.grad(slope, leaves[order[1]], grad_output=np.ones(3))
    assert mixed.data.tolist() == pytest.approx([2, 0.5, 1e305])


@given(a=arrays((3,), low=0.25, high=4), b=st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0, 0.5]))
def test_second_derivatives_of_a_power(a, b):
    x, y = leaf(a), leaf(np.full(3, b))
    ga, gb = tg.grad(x**y, [x, y], grad_output=np.ones(3), create_graph=True)
    mixed = a ** (b - 1) * (1 + b * np.log(a))
    for slope, by_a, by_b in ((ga, b * (b - 1) * a ** (b - 2), mixed), (gb, mixed, a**b * np.log(a) ** 2)):
        found = tg.grad(slope, [x, y], grad_output=np.ones(3), retain_graph=True)
        assert np.allclose(found[0].data, by_a, rtol=1e-12)
        assert np.allclose(found[1].data, by_b, rtol=1e-12)


@pytest.mark.parametrize("exponent", [10, 10.0, [10.0]])
def test_a_large_gradient_times_a_slope_of_0(exponent):
    base = leaf([0.0, 1e-30], "float32")
    exponent = leaf(exponent, "float32") if isinstance(exponent, list) else exponent
    (base**exponent).backward(np.full(2, 1e38))
    assert base.grad.data.tolist() == [0, 0]


def test_powers_at_the_ends():
    base = leaf([0.0, 0.0, np.inf, np.inf, 0.0, 0.0, -2.0])
    exponent = leaf([0.0, 2.0, -1.0, 2.0, -1.0, np.inf, 3.0])
    with np.errstate(all="ignore"):
        (base**exponent).sum().backward()
    np.testing.assert_array_equal(exponent.grad.data, [0, 0, 0, np.inf, -np.inf, 0, np.nan])


def test_small_integer_exponents_do_not_wrap():
    base = leaf([2.0, 3.0, 2.0])
    (base ** tg.tensor([0, 1, 2], dtype="uint8")).sum().backward()
    assert base.grad.data.tolist() == [0, 1, 4]
    base.grad = None
    (base ** tg.tensor([-128, 0, 1], dtype="int8")).sum().backward()
    assert base.grad.data.tolist() == pytest.approx([-128 * 2.0**-129, 0, 1])


@pytest.mark.parametrize(
    ("a", "b", "slope"), [(1e-30, 1e-25, -1e20), (1e20, 1e20, -1e-20), (1e30, 1e25, -1e-20), (3.0, 2.0, -0.75)]
)
def test_a_quotient_is_divided_twice_by_what_overflows_squared(a, b, slope):
    b = leaf(b, "float32")
    (np.float32(a) / b).backward()
    assert b.grad.item() == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int32", "int64", "uint64"])
def test_a_quotient_of_integers_is_float32(dtype):
    a = tg.tensor([1, 0, 1] if dtype == "bool" else [100, 0, 7], dtype=dtype)
    for b in (2, 2.5, tg.tensor([1, 1, 1], dtype=dtype)):
        quotient = a / b
        assert quotient.dtype == np.float32
        divisor = b.data.astype(float) if isinstance(b, tg.Tensor) else b
        assert np.allclose(quotient.data, a.data.astype(float) / divisor, rtol=1e-6)
    assert (a / tg.tensor([2.0, 2.0, 2.0], dtype="float64")).dtype == np.float64
    assert (a**0.5).dtype == np.float32


@pytest.mark.parametrize("exponent", [0, 1, 2, 3])
def test_a_number_as_exponent_at_zero(exponent):
    x = leaf([0.0, 0.0])
    (x**exponent).sum().backward()
    assert x.grad.data.tolist() == [[0, 0], [1, 1], [0, 0], [0, 0]][exponent]
    assert gradcheck(lambda x: x**exponent, x, order=3)


@given(exponent=st.floats(0.5, 3) | st.integers(-3, 3), values=arrays((4,), low=0.5, high=3))
def test_powers_by_tensors_and_by_numbers_agree(exponent, values):
    a, b = leaf(values), leaf(values)
    (a**exponent).sum().backward()
    (b ** tg.tensor(np.full(4, exponent), dtype="float64")).sum().backward()
    assert np.allclose(a.grad.data, b.grad.data, rtol=1e-13)


def test_division_by_zero_is_infinite():
    a, b = leaf([1.0, -1.0, 0.0]), leaf([0.0, 0.0, 0.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        y = a / b
        y.backward(np.ones(3))
    assert y.data.tolist()[:2] == [np.inf, -np.inf]
    assert np.isnan(y.data[2])
    assert a.grad.data.tolist() == [np.inf] * 3


# ---------------------------------------------------------------------- one tensor used twice


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (lambda x: x + x, 2),
        (lambda x: x - x, 0),
        (lambda x: x * x, 6),
        (lambda x: x / x, 0),
        (lambda x: x**x, 27 * (np.log(3) + 1)),
        (lambda x: x.reshape(1, 1) @ x.reshape(1, 1), 6),
    ],
)
def test_both_operands_one_tensor(function, slope):
    x = leaf(3.0)
    function(x).sum().backward()
    assert x.grad.item() == pytest.approx(slope)
    assert gradcheck(function, x, order=2)


# ---------------------------------------------------------------------- shapes that do not fit


@pytest.mark.parametrize("operation", [F.add, F.subtract, F.multiply, F.divide, F.power])
def test_shapes_that_do_not_broadcast(operation):
    with pytest.raises(ShapeError) as caught:
        operation(tg.tensor(np.ones((2, 3))), tg.tensor(np.ones(4)))
    assert str(caught.value) == (
        f"{operation.__name__}: shapes (2, 3) and (4,) do not broadcast: axis -1 has sizes 3 and 4 "
        "(sizes must be equal, or one of them 1)"
    )


# ---------------------------------------------------------------------- matrix products


@st.composite
def products(draw):
    """Two stacks of matrices whose leading axes broadcast; sizes may be 0."""
    stacks = draw(broadcastable_shapes(2, max_dims=2, max_side=2))
    n, k, m = (draw(st.integers(0, 3)) for _ in range(3))
    operands = (draw(arrays((*stacks[0], n, k))), draw(arrays((*stacks[1], k, m))))
    return Call(operands)


def ones(*shapes):
    return Call(tuple(RNG.standard_normal(shape) for shape in shapes))


TestMatmul = operation_test(
    F.matmul,
    np.matmul,
    Calls(products(), (ones((2, 3), (3, 4)), ones((2, 1, 3), (3, 2)), ones((0, 3), (3, 2)), ones((2, 0), (0, 2)))),
    rtol=1e-11,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shapes", [((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((3,), (5, 3, 2)), ((5, 2, 3), (3,)), ((0,), (0,))]
)
def test_vectors_are_rows_on_the_left_and_columns_on_the_right(shapes):
    a, b = (RNG.standard_normal(shape) for shape in shapes)
    result = F.matmul(tg.tensor(a), tg.tensor(b))
    assert result.shape == (a @ b).shape
    assert np.allclose(result.data, a @ b)
    assert gradcheck(F.matmul, [tg.tensor(a), tg.tensor(b)], order=2)
    assert np.allclose((a @ tg.tensor(b)).data, a @ b)
    assert np.allclose((tg.tensor(a) @ b).data, a @ b)


@pytest.mark.parametrize("scalar", [2, 2.0, np.float64(2), np.array(2.0), tg.tensor(2.0)])
def test_matmul_by_a_number(scalar):
    for operands in ((scalar, tg.tensor([1.0])), (tg.tensor([1.0]), scalar)):
        with pytest.raises(ShapeError) as caught:
            F.matmul(*operands)
        assert str(caught.value) == "matmul: an operand is a single number; multiply by numbers with *"


@pytest.mark.parametrize("value", [[1.0, 2.0], None, "ab"])
def test_matmul_by_what_has_no_shape(value):
    x = leaf([1.0, 2.0])
    for product in (lambda: x @ value, lambda: value @ x):
        with pytest.raises(DtypeError, match=r"^matmul: expected a tensor or an array, got .*; use tg\.tensor"):
            product()


def test_matmul_of_shapes_that_do_not_fit():
    with pytest.raises(ShapeError) as caught:
        tg.tensor(np.ones((2, 3))) @ tg.tensor(np.ones((4, 5)))
    assert str(caught.value) == (
        "matmul: the left operand has 3 columns but the right one has 4 rows (shapes (2, 3) and (4, 5))"
    )
    with pytest.raises(ShapeError, match="matmul: "):
        tg.tensor(np.ones((2, 2, 3))) @ tg.tensor(np.ones((3, 3, 5)))
