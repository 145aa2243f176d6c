from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume

from tinygan import nn
from tinygan.engine import Tensor


@pytest.fixture(scope="session")
def assert_gradients():
    """Return the check that a module's gradients are those of central differences, in float64."""

    def check(module: nn.Module, x: Any, rng: np.random.Generator, apply: Callable[..., Tensor] | None = None) -> None:
        apply = apply or module
        for parameter in module.parameters():
            # with biases of 0 the pieces of a maxout may tie after a ReLU, where no derivative exists
            parameter.data = parameter.data + 0.1 * rng.normal(size=parameter.shape)
        x = Tensor(np.asarray(x, np.float64), requires_grad=True)
        share = rng.normal(size=apply(x).shape)  # the loss is a random mixture of the outputs

        def loss() -> Tensor:
            return (apply(x) * share).sum()

        module.zero_grad()
        here = loss()
        here.backward()
        for tensor in [x, *module.parameters()]:
            direction = rng.normal(size=tensor.shape)
            data, h = tensor.data, 1e-6
            tensor.data = data + h * direction
            ahead = loss().item()
            tensor.data = data - h * direction
            behind = loss().item()
            tensor.data = data
            assert tensor.grad is not None
            slope = (tensor.grad.data * direction).sum()
            size = abs(tensor.grad.data * direction).sum() + abs(ahead) + 1  # the scale of the rounding errors
            assume(abs(ahead - 2 * here.item() + behind) < 1e-3 * h * size)  # else a piece begins within h of here
            assert abs((ahead - behind) / (2 * h) - slope) < 1e-7 * size, tensor.name or "input"

    return check
