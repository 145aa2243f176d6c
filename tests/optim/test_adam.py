"""Adam, AdamW and RMSprop compared with their formulas, computed here step by step in float64."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.optim.helpers import assert_close, dtypes, give_gradients, leaves, momenta, rates, seeds, shapes, values
from tinygan.engine import Tensor
from tinygan.optim import Adam, ExponentialDecay


@given(shapes, rates, momenta, st.floats(0, 0.9999), st.floats(1e-10, 1e-2), st.integers(1, 6), dtypes, seeds)
def test_adam_is_algorithm_1_of_its_paper(shapes, lr, beta1, beta2, eps, steps, dtype, seed):
    rng = np.random.default_rng(seed)
    params = leaves(shapes, rng, dtype)
    adam = Adam(params, ExponentialDecay(lr, 1.01), (beta1, beta2), eps)
    w, m, v = values(params), [np.zeros(shape) for shape in shapes], [np.zeros(shape) for shape in shapes]
    for t in range(1, steps + 1):
        for i, g in enumerate(give_gradients(params, rng)):
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g**2
            corrected_m, corrected_v = m[i] / (1 - beta1**t), v[i] / (1 - beta2**t)
            w[i] = w[i] - lr / 1.01 ** (t - 1) * corrected_m / (np.sqrt(corrected_v) + eps)
        adam.step()
        assert_close(params, w, dtype)


def test_adam_stands_still_where_there_never_was_a_slope():
    weight = Tensor(np.ones(3, np.float32), requires_grad=True)
    adam = Adam([weight], 0.1)
    weight.grad = Tensor(np.zeros(3, np.float32))
    adam.step()
    assert np.array_equal(weight.data, np.ones(3, np.float32))


