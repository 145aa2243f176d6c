"""A trace on another device: values are copied to host memory, and replayed where they were computed."""

from __future__ import annotations

import numpy as np

import tinygan as tg
import tinygan.functional as F
from tests.doubles.installed import strict_cupy


def test_a_trace_on_the_gpu_double():
    with strict_cupy():
        x = tg.tensor([[1.0, -2.0], [0.5, 3.0]], device="cuda", requires_grad=True)
        with tg.trace() as t:
            y = F.relu(F.dropout(x, 0.5) @ x)
            (y.detach() * y).sum().backward()
        assert all(row.device == "cuda" and isinstance(row.result.array, np.ndarray) for row in t.rows)
        multiply = next(row for row in t.rows if row.operation.name == "multiply")
        relu = next(row for row in t.rows if row.operation.name == "relu")
        assert [operand.source for operand in multiply.operands] == [relu, relu]
        assert [operand.requires_grad for operand in multiply.operands] == [False, True]
        assert (t.leaves[0].gradients[1].array == x.grad.numpy()).all()
        assert t.replay(), str(t.replay())
        assert "relu" in str(t)
