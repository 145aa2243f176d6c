"""Random functions, and what a check restores."""

import random

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan import GradcheckError, gradcheck, gradcheck_function, nn
from tinygan.backend import Stream

RNG = np.random.default_rng(5)


def tensor(*shape, dtype="float64"):
    return tg.tensor(RNG.standard_normal(shape), dtype=dtype, requires_grad=True)


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
