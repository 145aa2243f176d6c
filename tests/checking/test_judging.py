"""What counts as equal: kinks, ties, dtypes, tolerances, infinite slopes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import GradcheckError, gradcheck, gradcheck_function

RNG = np.random.default_rng(5)


def tensor(*shape, dtype="float64"):
    return tg.tensor(RNG.standard_normal(shape), dtype=dtype, requires_grad=True)


# ---------------------------------------------------------------------- kinks and ties


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fn", "inputs", "kinks"),
    [
        (F.relu, [[-1.0, 0.0, -0.0, 2.0]], 2),
        (F.abs, [[0.0, 3.0]], 1),
        (F.leaky_relu, [[0.0, -3.0]], 1),
        (lambda x: F.clip(x, -1, 1), [[-1.0, 1.0, 0.0]], 2),
        (F.max, [[1.0, 2.0, 2.0, 2.0]], 3),
        (F.min, [[1.0, 1.0, 2.0]], 2),
        (F.maximum, [[1.0, 0.0], [1.0, 2.0]], 2),
        (lambda x: F.maxout(x, 2), [[3.0, 3.0, 1.0, 2.0]], 2),
        (lambda x: F.where(x > 0, 3 * x, x), [[0.0, 1.0]], 1),
    ],
)
def test_kinks_are_checked_not_skipped(fn, inputs, kinks):
    report = gradcheck(fn, [tg.tensor(values, dtype="float64") for values in inputs])
    assert sum(c.kinks for c in report.comparisons) == kinks
    assert not any(c.undefined for c in report.comparisons)


@pytest.mark.slow
@given(share=st.floats(0, 1))
def test_every_share_between_the_slopes_is_right(share):
    def gradient(upstream, x):
        return upstream * np.where(x == 0, share, x > 0)

    assert gradcheck_function(lambda x: np.maximum(x, 0), gradient, np.array([0.0, 1.0]))


@pytest.mark.slow
@given(beyond=st.floats(1e-3, 1) | st.floats(-1, -1e-3))
def test_no_share_outside_the_slopes_is_right(beyond):
    def gradient(upstream, x):
        return upstream * np.where(x == 0, np.where(beyond > 0, 1, 0) + beyond, x > 0)

    with pytest.raises(GradcheckError, match="at a kink, where any value between the left and the right slope"):
        gradcheck_function(lambda x: np.maximum(x, 0), gradient, np.array([0.0, 1.0]))


@pytest.mark.slow
@given(shares=st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_shares_of_a_tie_must_add_up(shares):
    total = sum(shares)
    right = gradcheck_function(
        np.max, lambda upstream, x: upstream * np.array(shares), np.ones(3), raise_exception=False
    )
    assert right.ok or abs(total - 1) > 1e-6
    assert not right.ok or abs(total - 1) < 1e-4


def test_kinks_in_several_dimensions_pass():
    x = tg.tensor([[0.0, 0.0], [1.0, -1.0]], dtype="float64")
    assert gradcheck(lambda x: (F.relu(x) * tg.tensor([1.0, -1.0])).sum(axis=1), x)


def test_kinks_in_a_large_function():
    x = tg.tensor(np.tile([0.0, 1.0, -1.0], 100))
    report = gradcheck(F.relu, x)
    assert report.mode == "random directions"
    assert report.comparisons[0].kinks == 3


# ---------------------------------------------------------------------- dtypes and tolerances


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("checked_in", ["float16", "float32", "float64"])
def test_every_float_dtype_is_checked_in_every_other(dtype, checked_in):
    seen = []

    def fn(x):
        seen.append(x.dtype)
        return F.tanh(x)

    report = gradcheck(fn, tensor(3, dtype=dtype), dtype=checked_in)
    assert report.dtype == checked_in
    assert seen[0] == checked_in
    assert set(map(str, seen)) <= {checked_in, "float64", "complex128"}


def test_constants_follow_the_dtype():
    target = np.array([0.0, 1.0], np.float64)
    assert gradcheck(F.binary_cross_entropy_with_logits, [tensor(2), target], dtype="float32")


def test_float32_inside_a_function_allows_its_rounding():
    assert gradcheck(lambda x: F.exp(x.astype("float32")).astype("float64"), tensor(3))


def test_tolerances_can_be_chosen():
    def slightly_off(upstream, x):
        return 2.001 * upstream * x

    x = np.array([1.0, 2.0])
    assert gradcheck_function(np.square, slightly_off, x, rtol=1e-3)
    assert gradcheck_function(np.square, slightly_off, x, atol=0.01)
    with pytest.raises(GradcheckError):
        gradcheck_function(np.square, slightly_off, x, atol=0.001)


def test_small_gradients_have_their_own_tolerance():
    with pytest.raises(GradcheckError):
        gradcheck_function(lambda x: 1e-12 * x, lambda upstream, x: 1.0005e-12 * upstream, np.array([1.0, 2.0]))


def test_a_large_constant_passes():
    assert gradcheck(lambda x: F.relu(x) + 1e9, tensor(3), complex_step=False)


# With one step for all elements, a check of these would fail, or pass a wrong gradient.
ANYWHERE = {
    "log": (np.log, lambda x: 1 / x, 1e-300, 1e300),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x), 1e-300, 1e300),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / (x * x), 1e-100, 1e100),
    "square": (np.square, lambda x: 2 * x, 1e-100, 1e100),
    "sin": (np.sin, np.cos, 1e-300, 1e8),
    "cos": (np.cos, lambda x: -np.sin(x), 1e-9, 3.0),
    "1 - cos": (lambda x: 1 - np.cos(x), np.sin, 1e-8, 3.0),
    "exp": (np.exp, np.exp, 1e-300, 700.0),
    "exp(100 x)": (lambda x: np.exp(100 * x), lambda x: 100 * np.exp(100 * x), 1e-300, 7.0),
    "sin(1e4 x)": (lambda x: np.sin(1e4 * x), lambda x: 1e4 * np.cos(1e4 * x), 1e-300, 1e4),
    "(1e8 + x) - 1e8": (lambda x: (1e8 + x) - 1e8, lambda x: 1.0 + 0 * x, 1e-300, 1e4),
    "1e8 + x": (lambda x: 1e8 + x, lambda x: 1.0 + 0 * x, 1e-300, 1e8),
    "x |x|": (lambda x: x * np.abs(x), lambda x: 2 * np.abs(x), 1e-12, 1e12),
    "relu of x^2": (lambda x: np.maximum(x, 0) ** 2, lambda x: 2 * np.maximum(x, 0), 1e-12, 1e12),
}


@pytest.mark.slow
@pytest.mark.parametrize("complex_step", [True, False])
@pytest.mark.parametrize("name", ANYWHERE)
@given(data=st.data())
def test_right_gradients_pass_and_wrong_ones_never(name, complex_step, data):
    f, slope, low, high = ANYWHERE[name]
    x = np.array([10 ** data.draw(st.floats(np.log10(low), np.log10(high)))])
    factor = data.draw(st.sampled_from([1.05, 1.0005, -1.0]))
    options = {"complex_step": complex_step, "raise_exception": False}
    right = gradcheck_function(f, lambda upstream, x: upstream * slope(x), x, **options)
    assert not any(failure.kind == "wrong gradient" for failure in right.failures)
    wrong = gradcheck_function(f, lambda upstream, x: upstream * slope(x) * factor, x, **options)
    assert not wrong or wrong.comparisons[0].coarse or not slope(x)


@pytest.mark.parametrize(
    "fn", [lambda x: F.relu(x) ** 2, lambda x: x * F.abs(x), lambda x: F.where(x > 0, x**2, 0 * x)]
)
@pytest.mark.parametrize("x", [0.0, 1e-12, -1e-12, 1e-6, -1e-3])
def test_jumps_of_the_second_derivative(fn, x):
    report = gradcheck(fn, tg.tensor([x], dtype="float64"))
    assert report.comparisons[0].kinks == 0


@pytest.mark.slow
@pytest.mark.parametrize("at", [0.0, 1.0])
@pytest.mark.parametrize("exponent", range(1, 13))
@pytest.mark.parametrize("side", [-1, 1])
def test_a_kink_or_jump_at_any_distance(at, exponent, side):
    x = np.array([at + side * 10.0**-exponent])
    assert gradcheck_function(lambda x: np.abs(x - at), lambda u, x: u * np.sign(x - at), x)
    assert gradcheck_function(lambda x: np.where(x > at, 1.0, 0.0), lambda u, x: 0 * u, x)

    def wrong(factor):
        return lambda upstream, x: factor * upstream * np.sign(x - at)

    for factor in (-1, 0, 1.05):
        with pytest.raises(GradcheckError, match=r"wrong gradient|nothing could be compared"):
            gradcheck_function(lambda x: np.abs(x - at), wrong(factor), x)


@pytest.mark.parametrize("x", [[[5e-9, 1e-8]], [[1e-8, 1.0, 1e8]]], ids=str)
@pytest.mark.parametrize("limit", [4096, 0])
def test_equal_factors_are_wrong_at_any_size(x, limit):
    report = gradcheck_function(
        np.log, lambda upstream, x: 1.0005 * upstream / x, np.array(x), full_limit=limit, raise_exception=False
    )
    assert {failure.kind for failure in report.failures} == {"wrong gradient"}


@pytest.mark.parametrize("element", [0, 1, 2])
@pytest.mark.parametrize("forward", [np.log, lambda x: np.log(x).sum()], ids=["each", "sum"])
def test_one_wrong_element_of_mixed_sizes(element, forward):
    x = np.array([1e-8, 1.0, 1e8])
    factor = np.where(np.arange(3) == element, 1.0005, 1.0)
    assert gradcheck_function(forward, lambda upstream, x: upstream / x, x)
    with pytest.raises(GradcheckError) as caught:
        gradcheck_function(forward, lambda upstream, x: factor * upstream / x, x)
    assert caught.value.report.failures[0].comparison.input_index == (element,)


def test_derivatives_at_a_jump_are_not_compared():
    report = gradcheck_function(lambda x: np.where(x >= 0, 1.0, 0.0), lambda u, x: 0 * u, np.array([0.0, 1.0]))
    assert report.uncompared == {(1, "x"): [(0,)]}
    assert "not compared: 1 of 2 elements of input 0 'x' (x[0])" in str(report)


def test_a_jump_alone_is_nothing_compared():
    report = gradcheck_function(
        lambda x: np.where(x >= 0, 1.0, 0.0), lambda u, x: 0 * u, np.zeros(1), raise_exception=False
    )
    assert [failure.kind for failure in report.failures] == ["nothing compared"]


def test_derivatives_hidden_by_rounding_are_not_compared():
    # 1e13 + x is rounded to multiples of 0.002, so the numerical derivative has an error of 0.2 %
    def check(factor):
        return gradcheck_function(
            lambda x: (1e13 + x * x) - 1e13,
            lambda upstream, x: factor * upstream * x,
            np.array([0.3]),
            complex_step=False,
            raise_exception=False,
        )

    assert [failure.kind for failure in check(2.0002).failures] == ["nothing compared"]
    assert check(2.0002).comparisons[0].noisy == 1


def test_a_saturated_sigmoid_is_compared_coarsely():
    report = gradcheck(F.sigmoid, tg.tensor([30.0, 0.5], dtype="float64"))
    assert report.comparisons[0].coarse == 1
    assert "not compared to all digits: 1" in str(report)


@pytest.mark.slow
def test_derivatives_that_cancel_pass():
    def total_of_softmax(x):
        return F.exp(x - F.logsumexp(x, axis=0)).sum()

    for x in ([0.3, 1.0], [7.0, 1e8], [1e-8, 0.0]):
        assert gradcheck(total_of_softmax, tg.tensor(x, dtype="float64"), order=2)


def test_a_small_gradient_must_be_linear_too():
    with pytest.raises(GradcheckError):
        gradcheck_function(lambda x: 1e-12 * x, lambda upstream, x: 1e-12 * np.abs(upstream), np.ones(3))


# ---------------------------------------------------------------------- edges


def test_infinite_slopes_are_counted_not_compared():
    report = gradcheck(F.sqrt, tg.tensor([0.0, 4.0], dtype="float64"))
    assert report.comparisons[0].undefined == 2  # the slope at 0, and 0 times this infinite slope
    assert report.comparisons[0].compared == 2


def test_infinite_slopes_in_a_large_function():
    x = tg.tensor(np.tile([0.0, 4.0, 9.0], 50))
    assert gradcheck(F.sqrt, x, full_limit=0)


def test_infinities_and_nan():
    x = tg.tensor([np.inf, -np.inf, np.nan, 0.0, -0.0, 1000.0, -1000.0], dtype="float64")
    assert gradcheck(F.tanh, x).comparisons[0].compared == 36  # all but the row and the column of nan
    assert gradcheck(F.exp, x)


def test_nan_from_a_rule_where_the_function_is_smooth():
    with pytest.raises(GradcheckError, match="but nan analytically"):
        gradcheck_function(np.square, lambda upstream, x: upstream * np.where(x == 1, np.nan, 2 * x), np.ones(2))
    with pytest.raises(GradcheckError, match=r"by (x1?|input0)\[\d+\].* but nan analytically"):
        gradcheck_function(
            np.square, lambda upstream, x: upstream * np.where(x > 98, np.nan, 2 * x), np.arange(1.0, 100.0)
        )


def test_a_check_without_comparisons_fails():
    with pytest.raises(GradcheckError, match="nothing could be compared, because the function is not finite"):
        gradcheck(F.log, tg.tensor([0.0, -1.0], dtype="float64"))
