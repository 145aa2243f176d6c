"""The properties of the gradient checker."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import GradcheckError, gradcheck, gradcheck_function, nn
from tinygan.backend import Stream
from tinygan.errors import ArgumentError, DtypeError, TinyganError

RNG = np.random.default_rng(5)


def tensor(*shape, dtype="float64"):
    return tg.tensor(RNG.standard_normal(shape), dtype=dtype, requires_grad=True)


class Half(tg.Operation):
    """y = a b, with half of the gradient of b."""

    def forward(self, B, a, b):
        self.save(a, b)
        return a * b

    def backward(self, B, gy, a, b):
        return gy * b, gy * a / 2


# ---------------------------------------------------------------------- the report


def test_the_error_carries_the_worst_element():
    a, b = tg.tensor([1.0, 2.0, 4.0], requires_grad=True), tg.tensor([1.0, 1.0, 1.0], requires_grad=True)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda first, second: (first * 1.0, Half()(first, second)), [a, b])
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value, TinyganError)
    report = caught.value.report
    worst = report.worst
    assert worst is report.failures[0].comparison
    assert (worst.input_position, worst.input, worst.input_index) == (1, "second", (2,))
    assert (worst.output_position, worst.output, worst.output_index) == (1, "output 1", (2,))
    assert worst.numerical == pytest.approx(4)
    assert worst.analytical == 2
    assert worst.absolute_error == pytest.approx(2)
    assert worst.relative_error == pytest.approx(0.5)
    assert not worst.ok
    assert "half" in report.name
    assert (
        "multiply, half: the gradient of output 1[2] by second[2] (input 1) is 4 numerically, but 2 analytically "
        "(absolute error 2, relative error 0.5, tolerance 4e-06; 3 of 9 are wrong)"
    ) in str(caught.value)


def test_the_report_is_a_table():
    report = gradcheck(F.matmul, [tensor(2, 3), tensor(3, 1)], seed=3)
    lines = str(report).splitlines()
    assert lines[0] == "gradcheck of matmul: passed"
    assert lines[1].startswith("  full Jacobian, float64, rtol 1e-06, seed 3, ")
    assert [column.strip() for column in lines[2].split("  ") if column] == [
        "order", "output", "by input", "compared", "kinks", "coarse", "undefined", "noisy", "relative error",
        "worst at", "method",
    ]  # fmt: skip
    assert [cell.strip() for cell in lines[3].split("  ") if cell][:3] == ["1", "output (2, 1)", "a (2, 3)"]
    assert report
    assert report.seconds > 0


def test_without_raising():
    report = gradcheck(lambda x: x * x.detach(), tensor(3), raise_exception=False)
    assert not report
    assert not report.ok
    assert report.failures[0].kind == "wrong gradient"


@pytest.mark.parametrize(
    ("fn", "name"),
    [
        (F.exp, "exp"),
        (lambda x: F.exp(x).sum(), "exp, sum"),
        (nn.ReLU(), "ReLU (relu)"),
        (lambda x: F.tanh(F.exp(F.sigmoid(x * 2 + 1))).sum(), "multiply, add, sigmoid, exp, ..."),
    ],
)
def test_the_name_lists_the_operations(fn, name):
    assert gradcheck(fn, tensor(2)).name == name


def test_a_name_can_be_given():
    assert gradcheck(F.exp, tensor(2), name="mine").name.startswith("mine")


# ---------------------------------------------------------------------- full or along directions; seeds


def test_a_small_jacobian_is_compared_as_a_whole():
    report = gradcheck(F.exp, tensor(4))
    assert report.mode == "full Jacobian"
    assert report.comparisons[0].compared == 16


def test_a_large_jacobian_is_compared_along_directions():
    report = gradcheck(F.linear, [tensor(20, 30), tensor(30, 10), tensor(10)])
    assert report.mode == "random directions"
    assert [c.compared for c in report.comparisons] == [3, 3, 3]


@pytest.mark.slow
@given(index=st.integers(0, 499))
def test_the_wrong_element_of_a_large_jacobian_is_found(index):
    def gradient(upstream, x):
        result = 2 * upstream * x
        result[index] *= 1.3
        return result

    x = np.linspace(1, 2, 500)
    report = gradcheck_function(np.square, gradient, x, raise_exception=False)
    worst = report.failures[0].comparison
    assert worst.input_index == (index,)
    assert worst.numerical * 1.3 == pytest.approx(worst.analytical)


def test_the_limit_between_the_two_can_be_chosen():
    assert gradcheck(F.exp, tensor(4), full_limit=15).mode == "random directions"
    assert gradcheck(F.exp, tensor(4), full_limit=15, directions=7).comparisons[0].compared == 7


@pytest.mark.parametrize("limit", [0, 10_000])
def test_the_same_seed_makes_the_same_check(limit):
    def upstream_gradients(seed):
        seen = []

        def gradient(upstream, x):
            seen.append(upstream.tolist())
            return 2 * upstream * x

        gradcheck_function(np.square, gradient, np.array([1.0, 2.0, 3.0]), seed=seed, full_limit=limit)
        return seen

    assert upstream_gradients(1) == upstream_gradients(1)
    assert upstream_gradients(1) != upstream_gradients(2)


# ---------------------------------------------------------------------- upstream gradients


def test_upstream_gradients_differ_and_0_is_tried():
    seen = []

    def gradient(upstream, x):
        seen.append(upstream.copy())
        return 2 * upstream * x

    gradcheck_function(np.square, gradient, RNG.standard_normal(5))
    assert np.unique(np.abs(seen[0])).size == 5
    assert any(not upstream.any() for upstream in seen)


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


# ---------------------------------------------------------------------- methods


@pytest.mark.parametrize("fn", [F.exp, F.log, F.sqrt, F.tanh, lambda x: x / (1 + x * x), lambda x: x**3])
def test_analytic_functions_are_checked_by_the_complex_step(fn):
    comparison = gradcheck(fn, tg.tensor([0.5, 1.5], dtype="float64")).comparisons[0]
    assert comparison.method == "complex step"
    assert comparison.relative_error < 4e-15


@pytest.mark.parametrize("fn", [F.abs, F.sigmoid, F.softplus, lambda x: F.exp(x.astype("float64") * F.abs(x))])
def test_other_functions_are_checked_by_central_differences(fn):
    comparison = gradcheck(fn, tg.tensor([0.5, 1.5], dtype="float64")).comparisons[0]
    assert comparison.method == "central differences"
    assert comparison.relative_error < 1e-10


def test_the_complex_step_can_be_refused():
    assert gradcheck(F.exp, tensor(2), complex_step=False).comparisons[0].method == "central differences"


def test_a_complex_step_that_drops_a_path_is_not_used():
    def forward(x):
        return x * np.abs(x)  # the complex step loses half of its derivative

    def forgets_the_same_half(upstream, x):
        return upstream * np.abs(x)

    with pytest.raises(GradcheckError, match="wrong gradient"):
        gradcheck_function(forward, forgets_the_same_half, np.array([1.0, 2.0]))


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


# ---------------------------------------------------------------------- randomness


def test_an_unfrozen_mask_is_a_random_function():
    with pytest.raises(GradcheckError) as caught:
        gradcheck(lambda x: F.dropout(x, 0.5), tensor(20))
    (failure,) = caught.value.report.failures
    assert failure.kind == "random function"
    assert "Freeze the dropout mask: frozen=True" in failure.message


def test_a_rarely_random_function_is_found():
    def rarely(x, calls=[]):  # noqa: B006
        calls.append(None)
        return x * (1 if len(calls) < 4 else 1 + 0.1 * (len(calls) % 7))

    with pytest.raises(GradcheckError, match="random function"):
        gradcheck(rarely, tensor(1))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: F.dropout(x, 0.5, rng=Stream(3, "dropout")),
        nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).eval(),
    ],
    ids=["own stream", "eval"],
)
def test_ways_to_freeze(fn):
    assert gradcheck(fn, tensor(2, 4))


def test_frozen():
    stream, generator = Stream(3, "dropout"), np.random.default_rng(0)

    def fn(x):
        noise = tg.tensor(generator.standard_normal(x.shape))
        return F.dropout(F.dropout(x, 0.5) * noise, 0.5, rng=stream) * random.random()

    assert gradcheck(fn, tensor(8), frozen=True, order=2)
    assert gradcheck_function(
        lambda x: x * generator.uniform(), lambda u, x: u * np.random.default_rng(0).uniform(), np.ones(2), frozen=True
    )


# ---------------------------------------------------------------------- the state is restored


def test_inputs_and_grads_are_restored():
    x, w = tensor(3, 4), tensor(4, 2)
    x.grad = tg.tensor(np.ones((3, 4)))
    arrays, contents, grad = (x.data, w.data), (x.data.copy(), w.data.copy()), x.grad
    gradcheck(F.matmul, [x, w], order=2)
    assert (x.data, w.data) == arrays or all(a is b for a, b in zip((x.data, w.data), arrays, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(arrays, contents, strict=True))
    assert x.grad is grad
    assert w.grad is None


@pytest.mark.parametrize("fails", [False, True])
def test_modules_are_restored(fails):
    class Averaging(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(np.ones(3, np.float32))
            self.running = tg.tensor([1.0, 2.0, 3.0])
            self.count = 0

        def forward(self, x):
            self.count += 1
            self.running.data *= 0.9
            y = x * self.weight
            return y * y.detach() if fails else y

    module = Averaging()
    weight, running = module.weight.data, module.running
    module.weight.grad = gradient = tg.tensor([1.0, 1.0, 1.0])
    assert gradcheck(module, tensor(2, 3), raise_exception=False).ok is not fails
    assert module.weight.data is weight
    assert weight.dtype == np.float32
    assert module.weight.grad is gradient
    assert module.running is running
    assert running.data.tolist() == [1.0, 2.0, 3.0]
    assert module.count == 0


def test_random_streams_are_restored():
    streams = tg.manual_seed(11)
    dropout, own, generator = streams["dropout"], Stream(1, "own"), np.random.default_rng(1)
    np.random.seed(4)  # noqa: NPY002
    random.seed(4)

    def draws():
        return [
            streams["dropout"].uniform((2,)).tolist(),
            dropout.uniform((2,)).tolist(),
            own.uniform((2,)).tolist(),
            generator.uniform(),
            np.random.uniform(),  # noqa: NPY002
            random.random(),
        ]

    def fn(x):
        tg.manual_seed(99)
        draws()
        streams["fresh"].uniform((1,))
        return F.exp(x)

    gradcheck(fn, tensor(2))
    assert tg.backend.current_streams() is streams
    assert "fresh" not in streams.state_dict()["streams"]
    got = draws()
    streams = tg.manual_seed(11)
    dropout, own, generator = streams["dropout"], Stream(1, "own"), np.random.default_rng(1)
    np.random.seed(4)  # noqa: NPY002
    random.seed(4)
    assert got == draws()


def test_outer_modes_do_not_matter():
    with tg.no_grad():
        assert gradcheck(F.exp, tensor(2))
        assert not tg.is_grad_enabled()
    with tg.detect_anomaly():
        assert gradcheck(F.log, tg.tensor([1e-5, 1.0], dtype="float64"))


def test_an_error_of_the_function_is_raised():
    weight = tensor(2)

    def fn(x):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        gradcheck(fn, tensor(2), parameters=[weight])
    assert weight.dtype == np.float64


# ---------------------------------------------------------------------- inputs and parameters


def test_parameters_of_a_module_count_as_inputs():
    layer = nn.Linear(3, 2)
    report = gradcheck(layer, tg.tensor(RNG.standard_normal((2, 3))))
    assert [(c.input, c.input_position) for c in report.comparisons] == [("x", 0), ("weight", 1), ("bias", 2)]
    assert [c.input for c in gradcheck(layer.forward, tensor(2, 3)).comparisons] == ["x", "weight", "bias"]


def test_other_parameters_can_be_named():
    w = tensor(3)
    layer = nn.Linear(3, 2)
    for parameters, names in (
        ([w], ["parameter 0"]),
        (w, ["parameter 0"]),
        ({"w": w}, ["w"]),
        (layer, ["weight", "bias"]),
    ):
        report = gradcheck(lambda x: layer(x * w), tensor(2, 3), parameters=parameters)
        assert [c.input for c in report.comparisons][1:] == names


def test_a_wrong_gradient_of_a_parameter_is_found():
    w = tg.tensor(RNG.standard_normal(3), requires_grad=True, name="w")
    with pytest.raises(GradcheckError, match=r"by w\[\d\] \(input 1\)"):
        gradcheck(lambda x: Half()(x, w), tensor(3), parameters=[w])


def test_tensors_that_require_a_gradient_are_checked():
    x, c = tensor(3), tg.tensor(RNG.standard_normal(3))
    assert [comparison.input for comparison in gradcheck(F.multiply, [x, c]).comparisons] == ["a"]
    assert [comparison.input for comparison in gradcheck(F.multiply, [c, c]).comparisons] == ["a", "b"]


def test_arguments_of_other_types_are_passed_on():
    x = tensor(2, 3)
    assert gradcheck(F.sum, [x, 1, True])
    assert gradcheck(F.linear, [x, tensor(3, 2), None])
    assert gradcheck(F.softmax_cross_entropy, [x, np.array([0, 2])])
    assert gradcheck(F.softmax_cross_entropy, [x, tg.tensor([0, 2])])
    assert gradcheck(lambda x, shape: x.reshape(shape), [x, (3, 2)])


BASE = RNG.standard_normal((4, 6))


@pytest.mark.slow
@pytest.mark.parametrize(
    "array",
    [
        np.array(0.7),
        BASE[:0],
        BASE[:, 6:],
        BASE.T,
        BASE[::2, ::-3],
        np.broadcast_to(BASE[0], (3, 6)),
        np.broadcast_to(0.5, (2, 3)),
        np.asfortranarray(BASE),
    ],
    ids=["0-d", "empty", "no columns", "transposed", "strided", "stride 0", "stride 0 everywhere", "Fortran order"],
)
def test_every_form_of_input(array):
    seen = []

    def fn(x):
        seen.append(x.data.strides)
        return F.exp(x) + x.sum() * F.tanh(x)

    report = gradcheck(fn, tg.Tensor(array), order=2)
    assert report.comparisons[0].compared == array.size**2
    assert not array.size or array.strides in seen
    assert gradcheck_function(np.exp, lambda upstream, x: upstream * np.exp(x), array)


def test_several_outputs_of_every_kind():
    def fn(x):
        return {"first": x * 2, "rest": (x.sum(), [x > 0, F.exp(x)])}

    report = gradcheck(fn, tensor(3), order=2)
    assert [c.output for c in report.comparisons if c.order == 1] == ["first", "rest 0", "rest 1 1"]


def test_outputs_of_equal_names_are_checked_separately():
    report = gradcheck(lambda x: {"a": {"w": x * 2}, "b": {"w": F.exp(x)}, "a w": [x]}, tensor(2))
    assert [c.output for c in report.comparisons] == ["a w", "b w", "a w 0"]
    with pytest.raises(GradcheckError):
        gradcheck(lambda x: {"a": {"w": x * x.detach()}, "b": {"w": F.exp(x)}}, tensor(2))


def test_the_input_itself_as_output():
    assert gradcheck(lambda x: x, tensor(3), order=2)


def test_a_parameter_that_is_named_twice_is_checked_once():
    layer = nn.Linear(3, 2)
    report = gradcheck(layer, tensor(1, 3), parameters={"again": layer.weight, "x": tensor(2)}, raise_exception=False)
    assert [c.input for c in report.comparisons] == ["x", "weight", "bias", "x (parameter)"]


def test_several_outputs_of_a_plain_function():
    def forward(x, y):
        return x * y, x + y

    def gradient(upstream, x, y):
        u, v = upstream
        return u * y + v, u * x + v

    assert gradcheck_function(forward, gradient, [RNG.standard_normal(3), RNG.standard_normal(3)])
    assert gradcheck_function(
        forward, gradient, [RNG.standard_normal(3), RNG.standard_normal(3)], full_limit=0
    ).comparisons[0].output == "all outputs"


def test_an_unused_input_has_a_gradient_of_zero():
    report = gradcheck(lambda x, y: x * 2, [tensor(2), tensor(2)], order=2)
    assert report.comparisons[1].analytical == 0


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


# ---------------------------------------------------------------------- higher orders


@pytest.mark.parametrize("order", [2, 3])
def test_higher_orders(order):
    report = gradcheck(lambda x: F.tanh(x) * x, tensor(2), order=order)
    assert {c.order for c in report.comparisons} == set(range(1, order + 1))


def test_a_higher_order_may_need_directions():
    report = gradcheck(lambda x: F.tanh(x), tensor(3), order=2, full_limit=9)
    assert report.mode == "full Jacobian, then random directions"


def test_second_order_of_a_module():
    layer = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    report = gradcheck(layer, tensor(2, 3), order=2)
    assert {c.input for c in report.comparisons if c.order == 2} >= {"x", "0.weight", "upstream of output"}


def test_jumps_of_the_gradient_are_counted_not_compared():
    report = gradcheck(F.relu, tg.tensor([0.0, 1.0], dtype="float64"), order=2)
    second = [c for c in report.comparisons if c.order == 2 and c.input == "x"]
    assert [(c.compared, c.undefined) for c in second] == [(3, 1)]


def test_a_gradient_penalty_is_a_function_like_any_other():
    weight = tensor(3, 4)

    def penalty(x):
        (slope,) = tg.grad(F.maxout(x @ weight, 2).sum(), [x], create_graph=True)
        return ((slope * slope).sum(axis=1) - 1) ** 2

    assert gradcheck(penalty, tensor(2, 3), parameters={"weight": weight})


# ---------------------------------------------------------------------- misuse


def test_nothing_to_check():
    with pytest.raises(DtypeError, match="none of the inputs is a floating-point tensor, so there is nothing to check"):
        gradcheck(F.exp, [np.ones(3)])
    with pytest.raises(DtypeError, match="no input is a floating-point array, so there is nothing to check"):
        gradcheck_function(np.square, np.multiply, np.arange(3))


@pytest.mark.parametrize(
    "gradient",
    [lambda x: np.cos(x), lambda upstream, x, y: upstream, lambda: 0, np.cos, np.ones(2), None],
    ids=["no upstream", "one too many", "nothing", "a ufunc", "an array", "None"],
)
def test_a_gradient_function_that_cannot_be_called(gradient):
    x = np.array([1.0, 2.0])
    with pytest.raises(ArgumentError, match=r"gradient\(upstream, x\)"):
        gradcheck_function(lambda x: np.sin(x), gradient, x)
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize("returned", [None, (1.0, 2.0), "text"])
def test_a_gradient_function_that_returns_no_gradient(returned):
    report = gradcheck_function(np.sin, lambda upstream, x: returned, np.ones(2), raise_exception=False)
    assert {failure.kind for failure in report.failures} <= {"broken rule", "wrong device"}
    assert not report


@pytest.mark.parametrize("returned", [None, True, np.arange(2)])
def test_a_forward_function_without_floating_point_values(returned):
    report = gradcheck_function(lambda x: returned, lambda upstream, x: upstream, np.ones(2), raise_exception=False)
    assert [failure.kind for failure in report.failures] == ["broken rule"]


@pytest.mark.parametrize("inputs", [np.ones(2), 3.0, None, {"x": 1}, "text"])
def test_inputs_that_are_no_list(inputs):
    with pytest.raises(DtypeError, match="inputs must be a tensor, or a list"):
        gradcheck(F.exp, inputs)


@pytest.mark.parametrize("inputs", [[], [np.ones(2)], [tg.tensor([1, 2])]])
def test_inputs_without_a_tensor_to_check(inputs):
    with pytest.raises(DtypeError, match="nothing to check"):
        gradcheck(lambda *x: x[0], inputs)


def test_a_function_that_cannot_be_called_with_the_inputs():
    with pytest.raises(ArgumentError, match=r"fn\(x, input1\)"):
        gradcheck(F.exp, [tensor(2), tensor(2)])
    with pytest.raises(ArgumentError, match="fn must be a function"):
        gradcheck("exp", tensor(2))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"order": 1.5}, {"order": True}, {"rtol": -1}, {"rtol": np.nan}, {"atol": "x"}, {"eps": 0}, {"eps": -1.0},
        {"directions": 0}, {"full_limit": -1}, {"seed": -1}, {"seed": 0.5}, {"dtype": "abc"}, {"dtype": 3},
        {"parameters": 3}, {"parameters": [np.ones(2)]}, {"parameters": {"w": 1.0}},
    ],
    ids=str,
)  # fmt: skip
def test_options_that_cannot_be_right(options):
    ((name, _),) = options.items()
    with pytest.raises(TinyganError, match=name):
        gradcheck(F.exp, tensor(2), **options)


def test_unknown_dtype_and_order():
    with pytest.raises(DtypeError, match="dtype must be one of float64, float32, float16, not int64"):
        gradcheck(F.exp, tensor(2), dtype="int64")
    with pytest.raises(ValueError, match="order must be an integer and at least 1, got 0"):
        gradcheck(F.exp, tensor(2), order=0)


def test_gradcheck_is_exported():
    from tinygan import gradcheck as exported

    assert exported is tg.gradcheck
    assert callable(exported)
