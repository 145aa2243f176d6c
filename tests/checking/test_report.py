"""The report of the gradient checker, and the error that carries it."""

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan import GradcheckError, gradcheck, nn
from tinygan.errors import TinyganError

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
