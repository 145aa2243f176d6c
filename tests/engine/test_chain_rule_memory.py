"""Saved arrays and graphs are freed early, and the cost of a graph is linear in its size."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan.backend import Backend
from tinygan.engine import topological_order
from tinygan.errors import GradientError


@pytest.fixture
def without_gc() -> Iterator[None]:
    """Free memory by reference counting only."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# ---------------------------------------------------------------------- saved arrays


class Probe(tg.Operation):
    """x + x, which saves its own array; its rule checks whether the others still have theirs."""

    def __init__(self, before: list[weakref.ref[Any]], seen: list[bool]) -> None:
        self.before, self.seen = before, seen

    def forward(self, B: Backend, x: Any) -> Any:
        own = x * 1
        self.save(own)
        self.before.append(weakref.ref(own))
        return x + x

    def backward(self, B: Backend, gy: Any, own: Any) -> Any:
        self.seen.append([ref() is not None for ref in self.before])  # type: ignore[arg-type]
        return 2 * gy


def test_each_saved_array_is_freed_as_soon_as_its_rule_has_run(without_gc: None) -> None:
    alive: list[weakref.ref[Any]] = []
    seen: list[Any] = []
    x = tg.tensor([1.0], requires_grad=True)
    y = x
    for _ in range(3):
        y = Probe(alive, seen)(y)
    y.backward()
    assert seen == [[True, True, True], [True, True, False], [True, False, False]]
    assert all(ref() is None for ref in alive)
    assert y.operation is not None


def test_a_retained_graph_keeps_them(without_gc: None) -> None:
    alive: list[weakref.ref[Any]] = []
    seen: list[Any] = []
    x = tg.tensor([1.0], requires_grad=True)
    y = Probe(alive, seen)(Probe(alive, seen)(x))
    y.backward(retain_graph=True)
    assert all(ref() is not None for ref in alive)
    del y
    assert all(ref() is None for ref in alive)


def test_a_backward_pass_needs_no_more_memory_than_the_graph() -> None:
    """While 50 saved arrays are being freed, only a few gradients are alive at a time."""
    size = 100_000 * 8
    x = tg.tensor(np.zeros(100_000), requires_grad=True)
    y = x
    for _ in range(50):
        y = F.tanh(y) * 0.5
    loss = y.sum()
    del y
    tracemalloc.start()
    loss.backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * size


# ---------------------------------------------------------------------- the graph


def test_the_graph_dies_with_the_loss(without_gc: None) -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = F.exp(x * 2)
    loss = (y * y).sum()
    assert loss.operation is not None
    dead = [weakref.ref(operation) for operation in topological_order(loss.operation)]
    del y
    assert all(ref() is not None for ref in dead)
    del loss
    assert all(ref() is None for ref in dead)


@pytest.mark.parametrize("create_graph", [False, True])
def test_also_after_a_pass_and_after_a_recorded_one(without_gc: None, create_graph: bool) -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = F.exp(x * 2)
    loss = F.sigmoid(y * y).sum()
    assert loss.operation is not None
    dead = [weakref.ref(operation) for operation in topological_order(loss.operation)]
    slope = tg.grad(loss, x, create_graph=create_graph)
    if create_graph:
        assert slope.operation is not None
        dead += [weakref.ref(operation) for operation in topological_order(slope.operation)]
        (slope * slope).sum().backward()
    del loss, y, slope
    assert all(ref() is None for ref in dead)


def test_a_failed_pass_leaves_nothing_behind(without_gc: None) -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    assert y.operation is not None
    dead = weakref.ref(y.operation)
    with pytest.raises(GradientError, match="only one number has a gradient"):
        y.backward()
    del y
    gc.collect()  # pytest makes a cycle with the traceback
    assert dead() is None


class Counted(tg.Operation):
    """x + 0, counting the calls of its rule."""

    calls = 0

    def forward(self, B: Backend, *inputs: Any) -> Any:
        return sum(inputs[1:], inputs[0] + 0)

    def backward(self, B: Backend, gy: Any) -> Any:
        type(self).calls += 1
        return (gy,) * len(self.edges)


def test_a_chain_of_100_000_operations(without_gc: None) -> None:
    """There is no recursion in the pass, in its order, or when the graph is freed. Each rule runs once."""
    Counted.calls = 0
    x = tg.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = Counted()(y)
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 1.0
    assert Counted.calls == 100_000
    assert y.operation is not None
    dead = weakref.ref(y.operation)
    del y
    assert dead() is None


def test_a_chain_that_is_differentiated_twice() -> None:
    x = tg.tensor(1.0, dtype="float64", requires_grad=True)
    y = x
    for _ in range(5_000):
        y = y * 1.0
    slope = tg.grad(y * y, x, create_graph=True)
    assert tg.grad(slope, x).item() == 2.0


def test_a_ladder_has_2_to_the_1000_paths_and_1000_rules() -> None:
    Counted.calls = 0
    x = tg.tensor(1.0, dtype="float64", requires_grad=True)
    y = x
    for _ in range(1000):
        y = Counted()(y, y)
    y.backward()
    assert Counted.calls == 1000
    assert x.grad is not None
    assert x.grad.item() == 2.0**1000


def test_a_fan_in_of_10_000() -> None:
    Counted.calls = 0
    x = tg.tensor([1.0], dtype="float64", requires_grad=True)
    branches = [Counted()(x) for _ in range(10_000)]
    Counted()(*branches).backward()
    assert Counted.calls == 10_001
    assert x.grad is not None
    assert x.grad.item() == 10_000.0


def test_the_third_and_later_terms_of_a_sum_are_added_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first term is borrowed; the second makes a new sum."""
    in_place: list[Any] = []
    original = Backend.add_into

    def add_into(self: Backend, total: Any, term: Any) -> Any:
        in_place.append(term)
        return original(self, total, term)

    monkeypatch.setattr(Backend, "add_into", add_into)
    x = tg.tensor([1.0], requires_grad=True)
    Counted()(*[x] * 10).backward()
    assert len(in_place) == 8


def test_a_sum_of_many_terms_needs_the_memory_of_one() -> None:
    """Two hundred gradients of a megabyte: one sum of them is kept."""
    x = tg.tensor(np.zeros(125_000), requires_grad=True)
    y = F.concatenate([x[:1] for _ in range(200)]).sum()
    tracemalloc.start()
    y.backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6


# ---------------------------------------------------------------------- values changed since the forward pass


def test_an_update_between_forward_and_backward_is_refused():
    weight = tg.tensor([2.0], requires_grad=True, name="weight")
    x = tg.tensor([3.0], requires_grad=True)
    loss = (weight * x).sum()
    optimizer = tg.optim.SGD([weight], lr=0.1)
    weight.grad = tg.tensor([1.0])
    optimizer.step()
    with pytest.raises(GradientError, match=r"multiply: its input 0 \(weight\).* changed in place since the forward"):
        loss.backward()
    assert x.grad is None


def test_an_update_of_what_no_rule_needs_is_no_matter():
    bias = tg.tensor([2.0], requires_grad=True)
    loss = (bias + 1.0).sum()
    bias.grad = tg.tensor([1.0])
    tg.optim.SGD([bias], lr=0.1).step()
    loss.backward()  # the gradient of a sum needs no values
    assert bias.grad.item() == 2.0


def test_loading_a_state_counts_as_a_change():
    layer = tg.nn.Linear(2, 1)
    x = tg.tensor([[1.0, 2.0]], requires_grad=True)
    y = layer(x).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(GradientError, match="linear: its input 1"):
        y.backward()
