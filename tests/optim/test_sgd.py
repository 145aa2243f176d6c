"""SGD compared with its formula, computed here step by step in float64."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.optim.helpers import (
    assert_close,
    dtypes,
    give_gradients,
    leaves,
    momenta,
    rates,
    seeds,
    shapes,
    values,
)
from tinygan.engine import Tensor
from tinygan.optim import SGD, ExponentialDecay, LinearMomentum


@given(shapes, rates, st.floats(1, 1.01), momenta, momenta, st.integers(1, 8), dtypes, seeds)
def test_sgd_is_the_released_code_s_rule(shapes, lr, decay, first, last, steps, dtype, seed):
    rng = np.random.default_rng(seed)
    params = leaves(shapes, rng, dtype)
    sgd = SGD(params, ExponentialDecay(lr, decay, 1e-6), LinearMomentum(first, last, epochs=4, updates_per_epoch=2))
    w, v = values(params), [np.zeros(shape) for shape in shapes]
    for t in range(steps):
        epoch = 1 + t // 2
        m = first + (last - first) * min(1, (epoch - 1) / 3)
        rate = max(1e-6, lr / decay**t)
        assert math.isclose(sgd.lr, rate, rel_tol=1e-9)
        assert math.isclose(sgd.momentum, m, rel_tol=1e-9, abs_tol=1e-12)
        gradients = give_gradients(params, rng)
        sgd.step()
        v = [m * velocity - rate * g for velocity, g in zip(v, gradients, strict=True)]
        w = [weight + velocity for weight, velocity in zip(w, v, strict=True)]
        assert_close(params, w, dtype)
        assert sgd.updates == t + 1


@given(shapes, rates, momenta, st.integers(1, 6), seeds)
def test_at_a_constant_learning_rate_sgd_is_pytorch_s_rule(shapes, lr, momentum, steps, seed):
    rng = np.random.default_rng(seed)
    params = leaves(shapes, rng)
    sgd = SGD(params, lr, momentum)
    w, buffers = values(params), [np.zeros(shape) for shape in shapes]
    for _ in range(steps):
        gradients = give_gradients(params, rng)
        sgd.step()
        buffers = [momentum * buffer + g for buffer, g in zip(buffers, gradients, strict=True)]
        w = [weight - lr * buffer for weight, buffer in zip(w, buffers, strict=True)]
    assert_close(params, w, np.float64)


def test_sgd_on_arrays_of_every_size_and_memory_order():
    """Large enough for several blocks and a rest, and not in C order."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(211, 157)), rng.normal(size=(50, 60)).T, rng.normal(size=(40, 40))[::2, 1:]]
    expected = [array.copy() for array in arrays]
    params = [Tensor(array, requires_grad=True) for array in arrays]
    sgd = SGD(params, 0.1, 0.9)
    v = [np.zeros(array.shape) for array in arrays]
    for _ in range(3):
        for i, g in enumerate(give_gradients(params, rng)):
            v[i] = 0.9 * v[i] - 0.1 * g
            expected[i] += v[i]
        sgd.step()
    assert_close(params, expected, np.float64)
    assert all(parameter.data is array for parameter, array in zip(params, arrays, strict=True))


def test_without_momentum_there_is_no_velocity_to_keep():
    params = leaves([(2,)], np.random.default_rng(0))
    sgd = SGD(params, 0.1)
    give_gradients(params, np.random.default_rng(1))
    sgd.step()
    assert sgd.state_dict()["arrays"] == {}


