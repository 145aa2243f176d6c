"""Memory of gradients: each has its own, and a gradient that is held never changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan import gan, nn
from tinygan.backend import Backend
from tinygan.checking.operations import CASES
from tinygan.engine import chain_rule, modes


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
    """As `Inner`, with arrays that it stores as attributes."""

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


@pytest.mark.slow
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
    if program is _PROGRAMS["detached twin"]:  # finite differences do not respect detach
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
def test_a_gradient_that_is_held_never_changes(
    program: Callable[[tg.Tensor, tg.Tensor], tg.Tensor], create_graph: bool
) -> None:
    a, b = _pair()
    given = tg.tensor(np.array(1.0))
    held: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(3):
        loss = program(a, b)
        gradients: list[Any] = list(tg.grad(loss, [a, b], create_graph=create_graph, retain_graph=True))
        gradients.append(tg.grad(loss, loss, given, create_graph=create_graph, retain_graph=True))
        loss.backward(given, create_graph=create_graph)
        gradients += [a.grad, b.grad]
        for gradient in gradients:
            held.append((gradient.data, gradient.data.copy()))
            assert not np.shares_memory(gradient.data, given.data)
    assert given.item() == 1.0
    for array, before in held:
        np.testing.assert_array_equal(array, before)


def test_a_gradient_is_copied_only_where_it_may_be_shared() -> None:
    made: list[Any] = []

    class Triple(tg.Operation):
        fresh = True

        def forward(self, B: Backend, x: Any) -> Any:
            return 3 * x

        def backward(self, B: Backend, gy: Any) -> Any:
            made.append(3 * gy)
            return made[-1]

    x = tg.tensor([1.0, 2.0], requires_grad=True)
    Triple()(x).sum().backward()
    assert x.grad is not None
    assert x.grad.data is made[0]
    slope = tg.grad(Triple()(x).sum(), x, create_graph=True)
    assert slope is made[1]
    double = x + x
    assert tg.grad((double * double).sum(), x, create_graph=True).operation.name == "add"  # the sum itself, no copy


def test_writing_into_a_gradient_harms_nothing_else() -> None:
    a, b = _pair()
    y = a + b
    of_a, of_b, of_y = tg.grad(y.sum(), [a, b, y])
    of_a.data[...] = 7
    assert (of_b.data == 1).all()
    assert (of_y.data == 1).all()


class Shares(modes.Observer):
    """Record which rules returned memory that is referred to elsewhere, by the name of the operation."""

    def __init__(self) -> None:
        self.seen: dict[str, bool] = {}  # by name: whether it is declared fresh
        self.sharing: set[str] = set()

    def before_backward(self, operation: Any, gy: Any, saved: Any) -> None:
        self.held = [gy, *saved, *vars(operation).values()]

    def backward(self, operation: Any, gy: Any, gradients: Any) -> None:
        held = [getattr(value, "data", value) for value in self.held]
        held = [value for value in held if isinstance(value, np.ndarray)]
        for gradient in gradients:
            array = gradient.data if isinstance(gradient, tg.Tensor) else gradient
            if isinstance(array, np.ndarray):
                if not array.flags.writeable or any(np.shares_memory(array, other) for other in held):
                    self.sharing.add(operation.name)
                held.append(array)
        self.seen[operation.name] = operation.fresh


@pytest.mark.parametrize("create_graph", [False, True])
def test_fresh_gradients_share_memory_with_nothing(create_graph: bool) -> None:
    shares = Shares()
    for case in CASES:
        for dtype in ("float32", "float64"):
            inputs = [tg.tensor(array, dtype=dtype, requires_grad=True) for array in case.inputs]
            output = case.call(*inputs)
            with shares:
                output.backward(tg.Tensor(np.ones(output.shape, output.dtype)), create_graph=create_graph)
    fresh = {name for name, declared in shares.seen.items() if declared}
    assert not fresh & shares.sharing
    borrowing = {"add", "subtract", "sum", "mean", "reshape", "transpose", "broadcast_to", "concatenate", "pad", "cast"}
    assert set(shares.seen) - fresh == borrowing | {"remainder", "einsum"}


def test_a_step_of_the_game_copies_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[Any] = []

    def own_tensor(total: Any, owned: bool) -> tg.Tensor:
        copied.extend([] if owned else [total])
        return real(total, owned)

    real = chain_rule._own_tensor
    monkeypatch.setattr(chain_rule, "_own_tensor", own_tensor)
    generator = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.Sigmoid())
    discriminator = nn.Sequential(nn.Maxout(6, 8, 2), nn.Dropout(0.5), nn.Linear(8, 1))
    gan.Algorithm1(generator, discriminator).step(np.zeros((5, 6), np.float32))
    assert copied == []
