"""Who owns the memory of a gradient, when saved arrays are freed, and that large graphs cost only their size."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
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
    """Leave only reference counting to free memory."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# ---------------------------------------------------------------------- who owns a gradient


class Twice(tg.Operation):
    """2 (a + b), whose rule returns one array for both inputs."""

    def forward(self, B: Backend, a: Any, b: Any) -> Any:
        return 2 * (a + b)

    def backward(self, B: Backend, gy: Any) -> Any:
        g = 2 * gy
        return g, g


class TwiceTransposed(tg.Operation):
    """2 (a + b'), whose rule returns one array and a view of it."""

    def forward(self, B: Backend, a: Any, b: Any) -> Any:
        return 2 * (a + b.T)

    def backward(self, B: Backend, gy: Any) -> Any:
        g = 2 * gy
        return g, g.T


class Inner(tg.Operation):
    """The sum of a b, for use as the last operation: its rule takes gy for 1 and returns what it saved."""

    def forward(self, B: Backend, a: Any, b: Any) -> Any:
        self.save(a, b)
        return (a * b).sum()

    def backward(self, B: Backend, gy: Any, a: Any, b: Any) -> Any:
        return b, a


class Cached(Inner):
    """As `Inner`, with arrays that it keeps on itself."""

    def forward(self, B: Backend, a: Any, b: Any) -> Any:
        self.of_a, self.of_b = b.copy(), a.copy()
        return (a * b).sum()

    def backward(self, B: Backend, gy: Any) -> Any:  # type: ignore[override]
        return self.of_a, self.of_b


_PROGRAMS: dict[str, Callable[[tg.Tensor, tg.Tensor], tg.Tensor]] = {
    "add": lambda a, b: (a + b).sum(),
    "add, then more": lambda a, b: (a + b + a * 3 + b * 5).sum(),
    "more, then add": lambda a, b: (a * 3 + b * 5 + (a + b)).sum(),
    "twice": lambda a, b: (Twice()(a, b) + a * 3 + b * 5).sum(),
    "twice, last": lambda a, b: (a * 3 + b * 5 + Twice()(a, b)).sum(),
    "twice transposed": lambda a, b: (TwiceTransposed()(a, b) + a * 3 + b * 5).sum(),
    "twice transposed, last": lambda a, b: (a * 3 + b * 5 + TwiceTransposed()(a, b)).sum(),
    "twice transposed, once more": lambda a, b: (a * 3 + TwiceTransposed()(a, b)).sum(),
    "transposed twice, once more": lambda a, b: (b * 3 + TwiceTransposed()(a, b)).sum(),
    "broadcast": lambda a, b: Twice()(a[:1] + 0, b[:1, :1] + 0).sum() + (a * 3 + b * 5).sum(),
    "inner": lambda a, b: Inner()(a, b) + (a * 3 + b * 5).sum(),
    "inner, last": lambda a, b: (a * 3 + b * 5).sum() + Inner()(a, b),
    "inner alone": lambda a, b: Inner()(a, b),
    "cached": lambda a, b: Cached()(a, b) + (a * 3 + b * 5).sum(),
    "cached, last": lambda a, b: (a * 3 + b * 5).sum() + Cached()(a, b),
    "views": lambda a, b: (a.reshape(9).reshape(3, 3).T + b.T).sum() + (a * 3).sum(),
    "concatenate": lambda a, b: F.concatenate([a, b, a]).sum(),
    "index": lambda a, b: (a[1:] + b[:2]).sum() + a[0].sum(),
    "identity": lambda a, b: (+a + +b).reshape(3, 3).sum(),
    "detached twin": lambda a, b: (a * a.detach() + b * a.detach()).sum(),
    "maximum": lambda a, b: F.maximum(a, b).sum() + F.where(np.eye(3) > 0, a, b).sum(),
}


def _pair() -> tuple[tg.Tensor, tg.Tensor]:
    rng = np.random.default_rng(1)
    a, b = (tg.tensor(rng.normal(size=(3, 3)), requires_grad=True) for _ in range(2))
    return a, b


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("program", _PROGRAMS.values(), ids=_PROGRAMS)
def test_gradients_are_right_and_share_memory_with_nothing(
    program: Callable[[tg.Tensor, tg.Tensor], tg.Tensor], create_graph: bool
) -> None:
    a, b = _pair()
    values = a.data.copy(), b.data.copy()
    expected: list[np.ndarray] = []
    for x in (a, b):  # central differences: every program is at most quadratic, so they are exact
        numeric = np.zeros((3, 3))
        for index in np.ndindex(3, 3):
            kept = x.data[index]
            outputs = []
            for step in (1e-3, -1e-3):
                x.data[index] = kept + step
                with tg.no_grad():
                    outputs.append(program(a, b).item())
            x.data[index] = kept
            numeric[index] = (outputs[0] - outputs[1]) / 2e-3
        expected.append(numeric)
    if program is _PROGRAMS["detached twin"]:  # differences see through detach
        expected = [values[0], values[0]]

    loss = program(a, b)
    for count in (1, 2):
        loss.backward(create_graph=create_graph, retain_graph=True)
        assert a.grad is not None
        assert b.grad is not None
        np.testing.assert_allclose(a.grad.data, count * expected[0], atol=1e-9)
        np.testing.assert_allclose(b.grad.data, count * expected[1], atol=1e-9)
    arrays = [tensor.data for tensor in (a.grad, b.grad, a, b) if tensor is not None]
    for i, first in enumerate(arrays):
        assert not any(np.shares_memory(first, second) for second in arrays[i + 1 :])
    np.testing.assert_array_equal(a.data, values[0])
    np.testing.assert_array_equal(b.data, values[1])


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("program", _PROGRAMS.values(), ids=_PROGRAMS)
def test_a_gradient_that_somebody_holds_never_changes(
    program: Callable[[tg.Tensor, tg.Tensor], tg.Tensor], create_graph: bool
) -> None:
    a, b = _pair()
    given = tg.tensor(np.array(1.0))
    held: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(3):
        loss = program(a, b).retain_grad()
        gradients: list[Any] = list(tg.grad(loss, [a, b], create_graph=create_graph, retain_graph=True))
        loss.backward(given, create_graph=create_graph)
        gradients += [a.grad, b.grad, loss.grad]
        for gradient in gradients:
            held.append((gradient.data, gradient.data.copy()))
            assert not np.shares_memory(gradient.data, given.data)
    assert given.item() == 1.0
    for array, before in held:
        np.testing.assert_array_equal(array, before)


def test_writing_into_a_gradient_harms_nothing_else() -> None:
    a, b = _pair()
    y = (a + b).retain_grad()
    y.sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert y.grad is not None
    a.grad.data[...] = 7
    assert (b.grad.data == 1).all()
    assert (y.grad.data == 1).all()


# ---------------------------------------------------------------------- saved arrays


class Probe(tg.Operation):
    """x + x, which saves an array of its own and, in its rule, looks whether others still have theirs."""

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


def test_a_backward_pass_needs_no_more_memory_than_the_forward_pass_left() -> None:
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
    y = F.exp(x * 2).retain_grad()
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
    gc.collect()  # the exception's traceback is a cycle of pytest's, not ours
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
    """No recursion anywhere: in the pass, in its order, nor when the graph is freed. Each rule runs once."""
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
    """The first is borrowed, the second makes a sum of its own."""
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
