"""A replay has the same bits, and finds planted changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import nn
from tinygan.checking.operations import CASES
from tinygan.engine.chain_rule import _Pass
from tinygan.trace.record import Value


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case.name}" for n, case in enumerate(CASES)])
def test_bits_of_every_operation(case, create_graph):
    for dtype in ("float64", "float32"):
        inputs = [tg.tensor(array, dtype, requires_grad=True) for array in case.inputs]
        with tg.trace() as t:
            y = case.call(*inputs)
            loss = (y * y).sum()
            loss.backward(create_graph=create_graph)
        assert t.replay(), str(t.replay())


@given(st.sampled_from([(), (3,), (1,), (2, 3), (4, 2, 3), (0, 3)]))
def test_sums_over_broadcast_axes(shape):
    x, w = tg.tensor(np.full((4, 2, 3), 0.5), requires_grad=True), tg.tensor(np.ones(shape), requires_grad=True)
    if shape == (0, 3):
        x = tg.tensor(np.ones((1, 3)), requires_grad=True)
    with tg.trace() as t:
        (x * w + w).sum().backward()
    report = t.replay()
    assert report
    assert report.sums >= 4


def test_dropout_draws_the_same_mask():
    x = tg.tensor(np.ones((20, 20)), requires_grad=True)
    with tg.trace() as t:
        F.dropout(F.dropout(x, 0.5), 0.5).sum().backward()
    assert t.replay()
    assert t.replay(), "a replay does not move the stream"


def test_labels_that_are_overwritten_later():
    logits, labels = tg.tensor(np.eye(3), requires_grad=True), np.array([0, 1, 2])
    with tg.trace() as t:
        F.softmax_cross_entropy(logits, labels)
    labels[:] = 0
    assert t.replay()


def test_a_view_keeps_its_memory_layout():
    x = tg.tensor(np.random.default_rng(0).normal(size=(50, 70)).astype("float32"), requires_grad=True)
    with tg.trace() as t:
        (x.T[::-1] @ x[:, ::2]).sum().backward()
    assert t.replay()


def test_a_changed_value_is_found():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.trace() as t:
        (F.exp(x) * 2).sum().backward()
    t.rows[0].result = Value(t.rows[0].result.array + 1e-3)
    report = t.replay()
    assert not report
    assert len(report.differences) == 1
    assert "exp" in str(report)


def test_a_changed_gradient_is_found():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.trace() as t:
        (F.exp(x) * 2).sum().backward()
    t.rows[0].rules[0].gradients = (Value(np.float32([0, 0])),)
    assert any("backward formula of #1 exp" in difference for difference in t.replay().differences)


def test_an_engine_that_forgets_a_term_is_found(monkeypatch):
    add = _Pass._add

    def forgetful(self, operation, position, term, B):
        if operation.name == "multiply" and position == 1:
            term = term * 0
        add(self, operation, position, term, B)

    monkeypatch.setattr(_Pass, "_add", forgetful)
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    with tg.trace() as t:
        (x * x).sum().backward()
    assert any("gradient of x" in difference for difference in t.replay().differences)


def test_a_random_operation_that_keeps_no_stream_is_found():
    class Noise(tg.Operation):
        rng = np.random.default_rng(0)

        def forward(self, B, x):
            return x + self.rng.normal(size=x.shape)

        def backward(self, B, gy):
            return gy

    with tg.trace() as t:
        Noise()(tg.tensor([1.0, 2.0], requires_grad=True))
    assert not t.replay()


def test_a_pass_over_older_operations_is_replayed_without_its_sums():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    with tg.trace() as t:
        (y.sum() + x.sum()).backward()
    report = t.replay()
    assert report
    assert report.sums == 0


def test_an_empty_trace_and_a_partial_one():
    with tg.trace() as t:
        pass
    assert t.replay().rows == 0
    with pytest.raises(ValueError, match="rows"), tg.trace() as t:
        nn.Sequential(nn.ReLU(), nn.Linear(2, 3))(tg.tensor([[1.0]]))
    assert t.replay().rows == 1
