"""A thousand training steps leave no objects alive, without the garbage collector."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan.engine import Operation


def _alive() -> int:
    """Count the tensors and operations that exist."""
    return sum(isinstance(thing, (tg.Tensor, Operation)) for thing in gc.get_objects())


class Network:
    """Two layers, a maxout and a sigmoid, with dropout; small, so that a thousand steps take a second."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.parameters = [
            tg.tensor(rng.normal(0, 0.5, shape), dtype="float32", requires_grad=True)
            for shape in ((3, 8), (8,), (4, 1), (1,))
        ]

    def loss(self, x: np.ndarray, target: np.ndarray) -> tg.Tensor:
        w1, b1, w2, b2 = self.parameters
        hidden = F.dropout(F.maxout(F.linear(tg.tensor(x), w1, b1), pieces=2), 0.5)
        return F.binary_cross_entropy_with_logits(F.linear(hidden, w2, b2), target)


@pytest.mark.parametrize("penalty", [False, True], ids=["plain", "gradient penalty"])
def test_live_tensors_are_flat_over_1000_steps(penalty: bool) -> None:
    network = Network()
    rng = np.random.default_rng(1)
    x = rng.normal(size=(5, 3)).astype("float32")
    target = (x.sum(axis=1, keepdims=True) > 0).astype("float32")
    counts = []
    steps = 300 if penalty else 1000
    gc.collect()
    gc.disable()
    try:
        for step in range(steps):
            loss = network.loss(x, target)
            if penalty:
                slopes = tg.grad(loss, network.parameters, create_graph=True)
                loss = loss + sum((slope * slope).sum() for slope in slopes)
                del slopes
            for parameter in network.parameters:
                parameter.grad = None
            loss.backward()
            for parameter in network.parameters:
                assert parameter.grad is not None
                parameter.data -= 0.1 * parameter.grad.data
            del loss
            if step % (steps // 10) == 5:
                counts.append(_alive())
    finally:
        gc.enable()
    assert len(counts) == 10
    assert len(set(counts)) == 1
