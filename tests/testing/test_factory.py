"""Operations with one bug each: the matching test of the class must fail."""

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan.testing import Call, Calls, arrays, call, elementwise, operation_test, reductions


class Scale(tg.Operation):
    """y = 3 x, which is correct; every class below has one bug."""

    def forward(self, B, x):
        self.save(x)
        return 3 * x

    def backward(self, B, gy, x):
        return 3 * gy


class SlightlyOff(Scale):
    def forward(self, B, x):
        return 3 * x * (1 + 1e-9)


class Promotes(Scale):
    def forward(self, B, x):
        self.save(x)
        return np.float64(3) * x


class WrongGradient(Scale):
    def backward(self, B, gy, x):
        return 3.003 * gy


class WrongInSecondOrder(tg.Operation):
    """y = 3 x^2 / 2."""

    def forward(self, B, x):
        self.save(3 * x)
        return 1.5 * x * x

    def backward(self, B, gy, slope):
        return gy * slope


class ChangesInput(Scale):
    def forward(self, B, x):
        self.save(x)
        y = 3 * x
        x *= 0.5
        return y


class ChangesInputBackward(Scale):
    def backward(self, B, gy, x):
        x *= 0.5
        return 3 * gy


class ChangesResult(tg.Operation):
    def forward(self, B, x):
        y = 3 * x
        self.save(y)
        return y

    def backward(self, B, gy, y):
        y[...] = 0
        return 3 * gy


class ChangesUpstream(Scale):
    def backward(self, B, gy, x):
        gy *= 3
        return gy


class ReadsMemoryOrder(Scale):
    def forward(self, B, x):
        self.save(x)
        return 3 * x.ravel(order="K").reshape(x.shape)


class ReadsUpstreamInMemoryOrder(Scale):
    def backward(self, B, gy, x):
        return 3 * gy.ravel(order="K").reshape(gy.shape)


class HidesNan(Scale):
    def forward(self, B, x):
        self.save(x)
        return 3 * np.nan_to_num(x, nan=0.0, posinf=np.inf, neginf=-np.inf)


class RefusesEmpty(Scale):
    def forward(self, B, x):
        self.save(x)
        return 3 * x + 0 * x.max()


class Shared(tg.Tensor):
    """Its gradients are the upstream gradient itself."""

    def __init__(self, data, source):
        super().__init__(data)
        self.source = source

    def backward(self, gradient=None, **options):
        self.source.grad = tg.Tensor(gradient.data)


def of(operation):
    def scaled(x):
        return operation()(x)

    return scaled


def triple(x):
    return 3 * x


def square(x):
    return 1.5 * x * x


BUGS = {
    "off by a billionth": (of(SlightlyOff), "test_values"),
    "an array, not a tensor": (lambda x: 3 * x.data, "test_values"),
    "wrong shape": (lambda x: (3 * x).reshape((*x.shape, 1)), "test_values"),
    "wrong dtype": (lambda x: (3 * x).astype("float32").astype("float64"), "test_values"),
    "float32 at once": (lambda x: (3 * x).astype("float32"), "test_values"),
    "fails on nothing": (of(RefusesEmpty), "test_values"),
    "promotes float32": (of(Promotes), "test_float32"),
    "wrong gradient": (of(WrongGradient), "test_gradient"),
    "leaves the tape": (lambda x: 3 * x.detach(), "test_gradient"),
    "changes its input": (of(ChangesInput), "test_nothing_is_changed"),
    "changes its input, backward": (of(ChangesInputBackward), "test_nothing_is_changed"),
    "changes its result": (of(ChangesResult), "test_nothing_is_changed"),
    "changes the upstream gradient": (of(ChangesUpstream), "test_nothing_is_changed"),
    "result is a view": (lambda x: x.reshape(x.shape), "test_memory"),
    "gradient is the upstream gradient": (lambda x: Shared(3 * x.data, x), "test_memory"),
    "reads memory in order": (of(ReadsMemoryOrder), "test_layout"),
    "reads the upstream gradient in order": (of(ReadsUpstreamInMemoryOrder), "test_layout"),
    "hides nan": (of(HidesNan), "test_edge_values"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_fails_the_test_of_its_name(bug):
    operation, test = BUGS[bug]
    tests = operation_test(operation, triple, elementwise(1))()
    with pytest.raises((AssertionError, tg.errors.TinyganError)):
        getattr(tests, test)()


@pytest.mark.slow
def test_a_bug_of_the_second_order():
    tests = operation_test(of(WrongInSecondOrder), square, elementwise(1))()
    tests.test_values()
    tests.test_gradient()
    with pytest.raises(tg.GradcheckError, match="gradient of order 2"):
        tests.test_second_order()


def test_numbers_that_promote_are_found():
    def add(a, b):
        return F.add(a, tg.tensor(b) if isinstance(b, np.float64) else b)

    tests = operation_test(add, np.add, elementwise(2))()
    tests.test_values()
    with pytest.raises(AssertionError, match="as operand 1, float32 became float64"):
        tests.test_numbers()


def test_a_constant_that_the_rule_did_not_expect():
    class Product(tg.Operation):
        def forward(self, B, a, b):
            self.save(a if self.needs[1] else None, b if self.needs[0] else None)
            return a * b

        def backward(self, B, gy, a, b):
            return gy * (0 if b is None else b), gy * (1 if a is None or not self.needs[0] else a)

    tests = operation_test(lambda a, b: Product()(a, b), np.multiply, elementwise(2))()
    tests.test_gradient()
    with pytest.raises(AssertionError):
        tests.test_constants()


def all_tests(cls):
    return [name for name in dir(cls) if name.startswith("test_")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "cls",
    [
        operation_test(of(Scale), triple, elementwise(1)),
        operation_test(F.multiply, np.multiply, elementwise(2)),
        operation_test(F.sum, np.sum, reductions()),
        operation_test(F.max, np.max, reductions(empty=False, distinct=0.1)),
        operation_test(F.pad, lambda x, widths: np.pad(x, widths), call(arrays((2,)), widths=[(1, 0)])),
        operation_test(lambda x: x.reshape(-1), np.ravel, call(arrays()), view=True),
    ],
)
def test_correct_operations_pass(cls):
    for name in all_tests(cls):
        getattr(cls(), name)()


def test_the_tests_that_apply():
    always = {
        "test_values", "test_float32", "test_gradient", "test_nothing_is_changed", "test_memory", "test_layout",
    }  # fmt: skip
    one = Calls(elementwise(1).strategy, (Call((np.ones(2),)),))
    assert set(all_tests(operation_test(F.exp, np.exp, one, second_order=False))) == always
    assert set(all_tests(operation_test(F.exp, np.exp, one))) == always | {"test_second_order"}
    assert set(all_tests(operation_test(F.exp, np.exp, elementwise(1)))) == (
        always | {"test_second_order", "test_edge_values"}
    )
    assert set(all_tests(operation_test(F.add, np.add, elementwise(2), edge_values=False))) == (
        always | {"test_second_order", "test_numbers", "test_constants"}
    )


def test_the_class_is_named_after_the_operation():
    cls = operation_test(F.exp, np.exp, elementwise(1))
    assert cls.__name__ == "Test_exp"
    assert cls.__doc__ == "Tests of exp."
    assert cls.test_memory.__doc__.startswith("Check that gradients share no memory")


def test_options_reach_gradcheck():
    tests = operation_test(of(WrongGradient), triple, elementwise(1), gradcheck_options={"rtol": 0.01})()
    tests.test_gradient()
