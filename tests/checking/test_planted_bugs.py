"""Bugs are planted in operations and in plain functions; the checker must find each and name it."""

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan import GradcheckError, gradcheck, gradcheck_function

RNG = np.random.default_rng(7)


def tensors(*shapes):
    return [tg.tensor(RNG.standard_normal(shape), requires_grad=True) for shape in shapes]


def of(operation):
    """An operation object records only one call, so a function makes a new object for each call."""
    return lambda *inputs: operation()(*inputs)


# ---------------------------------------------------------------------- bugs in operations on the tape


class Square(tg.Operation):
    """y = x^2, which is correct; every class below has one bug."""

    def forward(self, B, x):
        self.save(x)
        return x * x

    def backward(self, B, gy, x):
        return 2 * x * gy


class SlightlyOff(Square):
    def backward(self, B, gy, x):
        return 2 * 1.0005 * x * gy


class IgnoresUpstream(Square):
    def backward(self, B, gy, x):
        return 2 * x


class UsesOneUpstreamForAll(Square):
    def backward(self, B, gy, x):
        return 2 * x * gy.reshape(-1)[0]


class UsesSizeOfUpstream(Square):
    def backward(self, B, gy, x):
        return 2 * x * abs(gy)


class ChangesUpstream(Square):
    def backward(self, B, gy, x):
        gy *= 2 * x
        return gy


class ChangesSaved(Square):
    def backward(self, B, gy, x):
        result = 2 * x * gy
        x *= 2
        return result


class ChangesInput(Square):
    def forward(self, B, x):
        x += 1
        self.save(x)
        return x * x


class WrongDtype(Square):
    def backward(self, B, gy, x):
        return (2 * x * gy).astype(np.float32)


class WrongShape(Square):
    def backward(self, B, gy, x):
        return (2 * x * gy).T


class TooManyGradients(Square):
    def backward(self, B, gy, x):
        return 2 * x * gy, None


class Random(Square):
    def forward(self, B, x):
        self.save(x)
        return x * x + RNG.standard_normal()


class RandomBackward(Square):
    def backward(self, B, gy, x):
        return 2 * x * gy * RNG.uniform(0.9, 1.1)


class WrongInSecondOrder(Square):
    def forward(self, B, x):
        self.save(2 * x)  # neither an input nor the result, so a recorded pass treats it as a constant
        return x * x

    def backward(self, B, gy, slope):
        return slope * gy


class DiffersWhenRecorded(Square):
    def backward(self, B, gy, x):
        return (3 if isinstance(gy, tg.Tensor) else 2) * x * gy


class MissingWhenRecorded(tg.Operation):
    def forward(self, B, a, b):
        self.save(a, b)
        return a * b

    def backward(self, B, gy, a, b):
        return gy * b, None if isinstance(gy, tg.Tensor) else gy * a


class WrongForSecond(tg.Operation):
    def forward(self, B, a, b):
        self.save(a, b)
        return a / b

    def backward(self, B, gy, a, b):
        return gy / b, -gy * a / b


class TransposedMatmul(tg.Operation):
    def forward(self, B, a, b):
        self.save(a, b)
        return a @ b

    def backward(self, B, gy, a, b):
        return gy @ b, a.T @ gy


class GradientOfIntegers(tg.Operation):
    def forward(self, B, a, k):
        self.save(a, k)
        return a * k

    def backward(self, B, gy, a, k):
        return gy * k, gy * a


class WholeToEveryTie(tg.Operation):
    def forward(self, B, x):
        y = x.max()
        self.save(x == y)
        return y

    def backward(self, B, gy, winners):
        return gy * winners


class NothingToTies(WholeToEveryTie):
    def backward(self, B, gy, winners):
        return gy * (winners if winners.sum() == 1 else 0.0 * winners)


class OutsideTheSlopes(tg.Operation):
    """relu with a gradient of 2 at 0, where any value from 0 to 1 is right."""

    def forward(self, B, x):
        self.save(x)
        return B.relu(x)

    def backward(self, B, gy, x):
        return gy * ((x > 0) + 2.0 * (x == 0))


class MissingAccumulation(tg.Operation):
    """x[index]; its gradient has only one share of an element with a repeated index."""

    def forward(self, B, x):
        self.shape_of_x = x.shape
        return x[np.array([0, 1, 1])]

    def backward(self, B, gy):
        out = np.zeros(self.shape_of_x)
        out[np.array([0, 1, 1])] = gy
        return out


def overwrites_a_result(x):
    y = F.exp(x)
    z = y * 2
    y.data[...] = 0
    return z


def computes_from_elsewhere(x):
    return OUTSIDE * 2


(OUTSIDE,) = tensors(3)

ON_TAPE = {
    "off by 0.05 %": (of(SlightlyOff), tensors((2, 3)), "wrong gradient"),
    "off by 0.05 %, large": (of(SlightlyOff), tensors((40, 30)), "wrong gradient"),
    "ignores the upstream gradient": (of(IgnoresUpstream), tensors(3), "upstream gradient ignored"),
    "uses one upstream gradient for all": (of(UsesOneUpstreamForAll), tensors(3), "wrong gradient"),
    "uses the size of the upstream gradient": (
        of(UsesSizeOfUpstream),
        tensors(3),
        "not linear in the upstream gradient",
    ),
    "changes the upstream gradient": (of(ChangesUpstream), tensors(3), "upstream gradient changed"),
    "changes what it saved": (lambda x: ChangesSaved()(x * 1), tensors(3), "saved array changed"),
    "changes the input, forward": (of(ChangesInput), tensors(3), "input changed"),
    "changes the input, backward": (of(ChangesSaved), tensors(3), "input changed"),
    "changes a result": (overwrites_a_result, tensors(3), "saved array changed"),
    "wrong dtype": (of(WrongDtype), tensors(3), "wrong dtype"),
    "wrong shape": (of(WrongShape), tensors((2, 3)), "wrong shape"),
    "too many gradients": (of(TooManyGradients), tensors(3), "broken rule"),
    "random": (of(Random), tensors(3), "random function"),
    "random backward": (of(RandomBackward), tensors(3), "random function"),
    "wrong for the second argument only": (of(WrongForSecond), tensors(3, 3), "wrong gradient"),
    "transposed matmul": (of(TransposedMatmul), tensors((3, 3), (3, 3)), "wrong gradient"),
    "gradient of integers": (of(GradientOfIntegers), [*tensors(3), tg.tensor([1, 2, 3])], "gradient of integers"),
    "the whole gradient to every tie": (of(WholeToEveryTie), [tg.tensor([1.0, 2, 2])], "wrong shares at a tie"),
    "nothing to ties": (of(NothingToTies), [tg.tensor([1.0, 2, 2])], "wrong shares at a tie"),
    "outside the slopes of a kink": (of(OutsideTheSlopes), [tg.tensor([0.0, 1])], "wrong gradient"),
    "missing accumulation": (of(MissingAccumulation), tensors(2), "wrong gradient"),
    "leaves the tape": (lambda x: x * x.detach(), tensors(3), "wrong gradient"),
    "leaves the tape for good": (lambda x: F.exp(x.detach()), tensors(3), "not on the tape"),
    "no floating-point result": (lambda x: x > 0, tensors(3), "not on the tape"),
    "computes from elsewhere": (computes_from_elsewhere, tensors(3), "not on the tape"),
}


# ---------------------------------------------------------------------- bugs in functions of plain arrays


def square(x):
    return x * x


def times(a, b):
    return a * b


class Momentary:
    """A function that returns another result at every call."""

    calls = 0

    def __call__(self, x):
        self.calls += 1
        return x * x + self.calls


def subtracts_in_place(x):
    x -= 1
    return x * x


def changing_upstream(u, x):
    u *= 2 * x
    return u.copy()


def changing_input(u, x):
    gradient = 2 * u * x
    x[...] = 0
    return gradient


def one_for_both(u, a, b):
    gradient = u * 2
    return gradient, gradient


X, Y = RNG.standard_normal((2, 3, 3))
BIAS = RNG.standard_normal(3)

ON_ARRAYS = {
    "off by 0.05 %": (square, lambda u, x: 2.001 * u * x, [X], "wrong gradient"),
    "ignores the upstream gradient": (square, lambda u, x: 2 * x, [X], "upstream gradient ignored"),
    "changes the upstream gradient": (square, changing_upstream, [X], "upstream gradient changed"),
    "changes the input, forward": (subtracts_in_place, lambda u, x: 2 * u * (x - 1), [X], "input changed"),
    "changes the input, backward": (square, changing_input, [X], "input changed"),
    "wrong for the second argument only": (times, lambda u, a, b: (u * b, u * b), [X, Y], "wrong gradient"),
    "missing unbroadcast": (np.add, lambda u, a, b: (u.copy(), u.copy()), [X, BIAS], "wrong shape"),
    "missing accumulation": (lambda x: x * np.exp(x), lambda u, x: u * x * np.exp(x), [X], "wrong gradient"),
    "transposed matmul": (np.matmul, lambda u, a, b: (u @ b, a.T @ u), [X, Y], "wrong gradient"),
    "transposed gradient": (square, lambda u, x: (2 * u * x).T.copy(), [X], "wrong gradient"),
    "wrong dtype": (square, lambda u, x: (2 * u * x).astype(np.float32), [X], "wrong dtype"),
    "not an array": (square, lambda u, x: ((2 * u * x).tolist(),), [X], "wrong device"),
    "shared with the upstream gradient": (lambda x: x + 1, lambda u, x: u, [X], "shared memory"),
    "shared with the input": (lambda x: x**2 / 2, lambda u, x: np.multiply(u, x, out=x), [X], "input changed"),
    "shared with each other": (lambda a, b: 2 * a + 2 * b, one_for_both, [X, Y], "shared memory"),
    "gradient of integers": (times, lambda u, a, k: (u * k, u * a), [X, np.arange(3)], "gradient of integers"),
    "random": (Momentary(), lambda u, x: 2 * u * x, [X], "random function"),
    "random backward": (square, lambda u, x: 2 * u * x * RNG.uniform(), [X], "random function"),
    "one gradient short": (times, lambda u, a, b: u * b, [X, Y], "broken rule"),
    "shape depends on the values": (lambda x: x[x > X[0, 0] - 1e-9], lambda u, x: x * 0, [X], "random function"),
    "infinite everywhere": (lambda x: x / 0, lambda u, x: u / 0, [X], "nothing compared"),
}


# ---------------------------------------------------------------------- the tests


def kinds_found(check):
    with pytest.raises(GradcheckError) as caught:
        check()
    report = caught.value.report
    assert not report
    assert str(caught.value) == str(report)
    return [failure.kind for failure in report.failures]


@pytest.mark.slow
@pytest.mark.parametrize("bug", ON_TAPE)
def test_a_bug_on_the_tape_is_found_and_named(bug):
    fn, inputs, kind = ON_TAPE[bug]
    assert kind in kinds_found(lambda: gradcheck(fn, inputs))


def test_a_bug_in_the_second_order_is_found():
    assert gradcheck(of(WrongInSecondOrder), tensors(3))
    with pytest.raises(GradcheckError) as caught:
        gradcheck(of(WrongInSecondOrder), tensors(3), order=2)
    assert [(failure.kind, failure.order) for failure in caught.value.report.failures] == [("wrong gradient", 2)]


@pytest.mark.parametrize(
    ("fn", "inputs"), [(of(DiffersWhenRecorded), tensors(3)), (of(MissingWhenRecorded), tensors(3, 3))]
)
def test_a_bug_only_in_a_recorded_pass_is_found(fn, inputs):
    assert gradcheck(fn, inputs)
    assert kinds_found(lambda: gradcheck(fn, inputs, order=2))[0] == "recorded gradient differs"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_error_of_a_twentieth_of_a_percent_is_found(dtype):
    assert kinds_found(lambda: gradcheck(of(SlightlyOff), tensors((2, 3)), dtype=dtype)) == ["wrong gradient"]


@pytest.mark.slow
@pytest.mark.parametrize("bug", ON_ARRAYS)
def test_a_bug_in_a_plain_function_is_found_and_named(bug):
    forward, gradient, inputs, kind = ON_ARRAYS[bug]
    with np.errstate(all="ignore"):
        assert kind in kinds_found(lambda: gradcheck_function(forward, gradient, inputs))


def test_correct_functions_pass():
    assert gradcheck(lambda x: Square()(x), tensors((2, 3)), order=2)
    assert gradcheck_function(square, lambda u, x: 2 * u * x, X)
    assert gradcheck_function(times, lambda u, a, b: (u * b, u * a), [X, Y])
    assert gradcheck_function(times, lambda u, a, k: (u * k, None), [X, np.arange(3)])
