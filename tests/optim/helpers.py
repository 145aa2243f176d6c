"""Parameters, gradients and strategies for the tests of the update rules."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import tinygan as tg
from tinygan.engine import Tensor

seeds = st.integers(0, 2**32 - 1)
shapes = st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=4)
rates = st.floats(1e-4, 1.0)
momenta = st.floats(0, 0.99)
dtypes = st.sampled_from([np.float64, np.float32])


def leaf():
    return tg.tensor([1.0], requires_grad=True)


def leaves(shapes, rng, dtype=np.float64):
    return [Tensor(np.asarray(rng.normal(size=shape), dtype), requires_grad=True) for shape in shapes]


def give_gradients(params, rng):
    """Give every parameter a random gradient, and return the gradients in float64."""
    for parameter in params:
        parameter.grad = Tensor(np.asarray(rng.normal(size=parameter.shape), parameter.dtype))
    return [parameter.grad.data.astype(np.float64) for parameter in params]


def values(params):
    return [parameter.data.astype(np.float64) for parameter in params]


def assert_close(params, expected, dtype):
    tolerance = 1e-10 if dtype == np.float64 else 1e-4
    for parameter, value in zip(params, expected, strict=True):
        assert parameter.dtype == dtype
        assert np.allclose(parameter.data, value, rtol=tolerance, atol=tolerance)
