"""The methods, inputs, orders and refusals of the gradient checker."""

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan import GradcheckError, gradcheck, gradcheck_function, nn
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
    assert (
        gradcheck_function(forward, gradient, [RNG.standard_normal(3), RNG.standard_normal(3)], full_limit=0)
        .comparisons[0]
        .output
        == "all outputs"
    )


def test_an_unused_input_has_a_gradient_of_zero():
    report = gradcheck(lambda x, y: x * 2, [tensor(2), tensor(2)], order=2)
    assert report.comparisons[1].analytical == 0


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
