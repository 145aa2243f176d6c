"""Recording on and off: nested, restored after errors, one state for each thread and task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tinygan import nn
from tinygan.engine import modes
from tinygan.errors import AnomalyError


@pytest.fixture
def x() -> tg.Tensor:
    return tg.tensor([1.0, 2.0], requires_grad=True)


def test_recording_is_on_at_first(x: tg.Tensor) -> None:
    assert tg.is_grad_enabled()
    assert (x * 2).requires_grad


def test_no_grad_records_nothing(x: tg.Tensor) -> None:
    with tg.no_grad():
        y = x * 2
        assert not tg.is_grad_enabled()
    assert not y.requires_grad
    assert y.operation is None
    assert (y * x).requires_grad


@given(st.lists(st.booleans(), max_size=8))
def test_blocks_nest(values: list[bool]) -> None:
    def descend(rest: list[bool]) -> None:
        if rest:
            before = tg.is_grad_enabled()
            with tg.enable_grad() if rest[0] else tg.no_grad():
                assert tg.is_grad_enabled() == rest[0]
                descend(rest[1:])
                assert tg.is_grad_enabled() == rest[0]
            assert tg.is_grad_enabled() == before

    descend(values)
    assert tg.is_grad_enabled()


def test_an_exception_restores_the_mode() -> None:
    for _ in range(3):
        with pytest.raises(KeyError), tg.no_grad(), tg.enable_grad(), tg.no_grad():
            raise KeyError
        assert tg.is_grad_enabled()


def test_one_object_may_be_used_again_and_within_itself() -> None:
    off = tg.no_grad()
    for _ in range(2):
        with off:
            with off:
                assert not tg.is_grad_enabled()
            assert not tg.is_grad_enabled()
        assert tg.is_grad_enabled()


def test_decorator(x: tg.Tensor) -> None:
    @tg.no_grad()
    def double(value: tg.Tensor, depth: int = 3) -> tg.Tensor:
        """Twice."""
        assert not tg.is_grad_enabled()
        return value * 2 if depth == 0 else double(value, depth - 1)

    assert not double(x).requires_grad
    assert tg.is_grad_enabled()
    assert (double.__name__, double.__doc__) == ("double", "Twice.")

    @tg.no_grad()
    @tg.enable_grad()
    def inner_wins() -> bool:
        return tg.is_grad_enabled()

    assert inner_wins()

    @tg.no_grad()
    def fails() -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fails()
    assert tg.is_grad_enabled()


def test_a_function_whose_body_runs_later_is_not_decorated() -> None:
    def rows() -> Iterator[int]:
        yield 1

    async def fetch() -> None: ...

    for function in (rows, fetch):
        with pytest.raises(TypeError, match=f"{function.__name__} runs after the call of it has returned, .*with"):
            tg.no_grad()(function)


def test_a_closed_or_finished_generator_restores_the_mode() -> None:
    def rows() -> Iterator[bool]:
        with tg.no_grad():
            yield tg.is_grad_enabled()
            yield tg.is_grad_enabled()

    assert list(rows()) == [False, False]
    assert tg.is_grad_enabled()
    generator = rows()
    next(generator)
    generator.close()  # type: ignore[attr-defined]
    assert tg.is_grad_enabled()


def test_a_thread_has_its_own_mode(x: tg.Tensor) -> None:
    inside, leave = threading.Event(), threading.Event()
    seen: list[bool] = []

    def worker() -> None:
        seen.append(tg.is_grad_enabled())
        with tg.no_grad():
            inside.set()
            leave.wait(10)
            seen.append(tg.is_grad_enabled())

    thread = threading.Thread(target=worker)
    thread.start()
    assert inside.wait(10)
    assert tg.is_grad_enabled()
    assert (x * 2).requires_grad
    with tg.no_grad():
        second = threading.Thread(target=lambda: seen.append(tg.is_grad_enabled()))
        second.start()
        second.join(10)
    leave.set()
    thread.join(10)
    assert seen == [True, True, False]


def test_a_decorated_function_may_run_in_many_threads_at_once() -> None:
    barrier = threading.Barrier(4, timeout=10)

    @tg.no_grad()
    def inside() -> bool:
        barrier.wait()
        return tg.is_grad_enabled()

    def call(_: int) -> tuple[bool, bool]:
        return inside(), tg.is_grad_enabled()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(call, range(4))) == [(False, True)] * 4


def test_threads_that_share_a_function_keep_their_own_modes() -> None:
    """The thread that enters first leaves first, while the second is inside."""
    second_is_in, first_is_out = threading.Event(), threading.Event()

    @tg.no_grad()
    def wait(to_set: threading.Event, to_wait_for: threading.Event) -> None:
        to_set.set()
        assert to_wait_for.wait(10)

    def first() -> bool:
        with tg.no_grad():
            started.set()
            wait(threading.Event(), second_is_in)
            first_is_out.set()
            return tg.is_grad_enabled()

    def second() -> bool:
        assert started.wait(10)
        wait(second_is_in, first_is_out)
        return tg.is_grad_enabled()

    started = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(first), pool.submit(second)]
        assert [future.result(10) for future in futures] == [False, True]


def test_a_task_has_its_own_mode() -> None:
    async def off() -> bool:
        with tg.no_grad():
            await asyncio.sleep(0)
            return tg.is_grad_enabled()

    async def on() -> bool:
        await asyncio.sleep(0)
        return tg.is_grad_enabled()

    async def both() -> list[bool]:
        return list(await asyncio.gather(off(), on(), off(), on()))

    assert asyncio.run(both()) == [False, True, False, True]


def test_a_backward_pass_leaves_the_mode_as_it_was(x: tg.Tensor) -> None:
    y = (x * x).sum()
    with tg.no_grad():
        slope = tg.grad(y, x, create_graph=True)
        assert not tg.is_grad_enabled()
    assert slope.requires_grad
    y.backward()
    assert tg.is_grad_enabled()
    assert x.grad is not None
    assert not x.grad.requires_grad


def test_a_recorded_pass_is_recorded_to_its_end_under_no_grad(x: tg.Tensor) -> None:
    """Here the gradient of x is that of x + 1, unchanged, and is copied at the end."""
    shifted = x + 1
    y = (shifted * shifted).sum()
    with tg.no_grad():
        slope = tg.grad(y, x, create_graph=True)
    assert tg.grad(slope.sum(), x).data.tolist() == [2.0, 2.0]


def test_rules_are_recorded_when_the_pass_is(x: tg.Tensor) -> None:
    seen: list[bool] = []

    class Look(tg.Operation):
        def forward(self, B: object, value: Any) -> Any:
            return value * 1

        def backward(self, B: object, gy: Any, *saved: Any) -> Any:
            seen.append(tg.is_grad_enabled())
            return gy

    y = Look()(x).sum()
    for create_graph in (False, True):
        with tg.no_grad() if create_graph else tg.enable_grad():
            y.backward(create_graph=create_graph, retain_graph=True)
    assert seen == [False, True]


def test_a_rule_that_fails_leaves_the_mode_as_it_was(x: tg.Tensor) -> None:
    class Fails(tg.Operation):
        def forward(self, B: object, value: object) -> object:
            return value

        def backward(self, B: object, gy: object, *saved: object) -> object:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Fails()(x).sum().backward()
    assert tg.is_grad_enabled()
    assert x.grad is None


@pytest.mark.parametrize("create_graph", [False, True])
def test_an_observer_is_told_before_and_after_both_passes(x: tg.Tensor, create_graph: bool) -> None:
    seen: list[tuple[str, ...]] = []

    class Look(modes.Observer):
        def before_forward(self, operation: Any, inputs: Any) -> None:
            seen.append(("before", operation.name))

        def forward(self, operation: Any, inputs: Any, result: Any) -> None:
            assert all(isinstance(value, tg.Tensor | int) for value in (*inputs, result))
            seen.append(("after", operation.name))

        def before_backward(self, operation: Any, gy: Any, saved: Any) -> None:
            seen.append(("before rule", operation.name))

        def backward(self, operation: Any, gy: Any, gradients: Any) -> None:
            assert [gradient is None for gradient in gradients] == [not needed for needed in operation.needs]
            seen.append(("after rule", operation.name))

    y = x * 2
    with Look():
        z = y.sum()
        assert seen == [("before", "sum"), ("after", "sum")]
        seen.clear()
        z.backward(create_graph=create_graph)
    rules = [event for event in seen if "rule" in event[0]]
    expected = [("before rule", "sum"), ("after rule", "sum"), ("before rule", "multiply"), ("after rule", "multiply")]
    assert rules == expected
    assert (seen != rules) == create_graph  # a recorded pass calls operations too
    assert modes.observer() is modes.UNOBSERVED


class Log(modes.Observer):
    """Writes the name of every call into a list that observers may share."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def before_forward(self, operation: Any, inputs: Any) -> None:
        self.log.append(f"{self.name} before {operation.name}")

    def forward(self, operation: Any, inputs: Any, result: Any) -> None:
        assert (result.operation is operation) == result.requires_grad  # the call is recorded by now
        self.log.append(f"{self.name} after {operation.name}")

    def before_backward(self, operation: Any, gy: Any, saved: Any) -> None:
        self.log.append(f"{self.name} before rule")

    def backward(self, operation: Any, gy: Any, gradients: Any) -> None:
        self.log.append(f"{self.name} after rule")

    @contextmanager
    def during_pass(self, backward_pass: Any, output: Any) -> Iterator[None]:
        self.log.append(f"{self.name} pass begins: {backward_pass.caller} {output.shape}")
        try:
            yield
        finally:
            self.log.append(f"{self.name} pass ends: {len(backward_pass.sums)}")

    @contextmanager
    def during_module(self, module: Any, inputs: Any) -> Iterator[None]:
        self.log.append(f"{self.name} module begins: {type(module).__name__} {len(inputs)}")
        try:
            yield
        finally:
            self.log.append(f"{self.name} module ends")


def test_observers_of_nested_blocks_are_all_called(x: tg.Tensor) -> None:
    log: list[str] = []
    with Log("outer", log):
        with Log("inner", log):
            nn.ReLU()(x).sum().backward()
        inside = list(log)
        log.clear()
        x.sum()
    assert log == ["outer before sum", "outer after sum"]
    by_outer = [line.removeprefix("outer ") for line in inside if line.startswith("outer")]
    by_inner = [line.removeprefix("inner ") for line in inside if line.startswith("inner")]
    assert by_outer == by_inner
    assert by_outer[:4] == ["module begins: ReLU 1", "before relu", "after relu", "module ends"]
    assert by_outer[6:] == ["pass begins: backward ()", *["before rule", "after rule"] * 2, "pass ends: 1"]
    assert inside[0].startswith("outer")
    assert modes.observer() is modes.UNOBSERVED


def test_a_block_of_no_observer_hides_the_outer_one(x: tg.Tensor) -> None:
    log: list[str] = []
    with Log("outer", log), modes.UNOBSERVED:
        nn.ReLU()(x).sum().backward()
    assert log == []


def test_contexts_of_observers_end_after_an_error(x: tg.Tensor) -> None:
    class Fails(tg.Operation):
        def forward(self, B: object, value: object) -> object:
            return value

        def backward(self, B: object, gy: object, *saved: object) -> object:
            raise ZeroDivisionError

    class Broken(nn.Module):
        def forward(self, x: Any) -> Any:
            raise ZeroDivisionError

    log: list[str] = []
    with Log("a", log), Log("b", log):
        y = Fails()(x).sum()
        with pytest.raises(ZeroDivisionError):
            y.backward()
        with pytest.raises(ZeroDivisionError):
            Broken()(x)
    assert sum("ends" in line for line in log) == sum("begins" in line for line in log) == 4
    assert modes.observer() is modes.UNOBSERVED


def test_anomalies_are_found_inside_a_trace() -> None:
    x = tg.tensor([-1.0, 1.0], requires_grad=True)
    with pytest.raises(AnomalyError), tg.trace() as t, tg.detect_anomaly(), np.errstate(invalid="ignore"):
        x.log()
    assert [row.operation.name for row in t.rows] == ["log"]
