"""A second derivative in training: a penalty on the slope of a maxout discriminator."""

from __future__ import annotations

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan import nn

pytestmark = pytest.mark.slow


def discriminator(dtype):
    tg.manual_seed(1)
    network = nn.Sequential(
        nn.Dropout(0.2),
        nn.Maxout(3, 4, pieces=3),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(4, 2),
        nn.Sigmoid(),
        nn.Linear(2, 1),
    )
    for parameter in network.parameters():
        parameter.data = (2 * parameter.data).astype(dtype)
    return network


def penalty(network, x):
    """Mean of (|dD/dx| - 1)^2 over the rows (Gulrajani et al., 2017), with the same dropout masks at every call."""
    tg.manual_seed(2)
    slope = tg.grad(network(x).sum(), x, create_graph=True)
    return ((F.sqrt((slope * slope).sum(axis=1) + 1e-12) - 1) ** 2).mean()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-3), ("float64", 1e-7)])
def test_the_gradient_of_the_penalty_matches_differences(dtype, tolerance):
    network = discriminator(dtype)
    x = tg.tensor(np.random.default_rng(0).normal(size=(6, 3)), dtype=dtype, requires_grad=True)
    loss = penalty(network, x)
    assert loss.dtype == dtype
    loss.backward()

    exact = discriminator("float64")  # the numerical derivative is taken in double precision
    exact.load_state_dict({name: array.astype("float64") for name, array in network.state_dict().items()})
    x64 = tg.tensor(x.numpy(), dtype="float64", requires_grad=True)
    seen = 0
    for (name, parameter), (_, twin) in zip(network.named_parameters(), exact.named_parameters(), strict=True):
        gradient = np.zeros(parameter.shape) if parameter.grad is None else parameter.grad.numpy()
        assert parameter.grad is None or parameter.grad.dtype == dtype
        for index in np.ndindex(parameter.shape):
            h, value = 1e-6, twin.data[index]
            twin.data[index] = value + h
            above = penalty(exact, x64).item()
            twin.data[index] = value - h
            below = penalty(exact, x64).item()
            twin.data[index] = value
            numerical = (above - below) / (2 * h)
            assert abs(numerical - gradient[index]) <= tolerance * max(1, abs(numerical)), (name, index)
            seen += abs(numerical) > 1e-6
    assert seen > 10  # the penalty does depend on the weights


def test_training_on_the_penalty_brings_the_slopes_to_one():
    network = discriminator("float32").eval()
    x = tg.tensor(np.random.default_rng(0).normal(size=(16, 3)), dtype="float32", requires_grad=True)
    optimizer = tg.optim.Adam(network.parameters(), lr=0.02)
    first = penalty(network, x).item()
    for _ in range(150):
        optimizer.zero_grad()
        penalty(network, x).backward()
        optimizer.step()
    assert penalty(network, x).item() < 0.1 * first
