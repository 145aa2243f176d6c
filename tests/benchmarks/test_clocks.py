from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.clocks import clock_of, event_clock, host_clock, queue_clock


def test_the_host_clock_times_every_call() -> None:
    calls: list[int] = []
    times = host_clock(lambda: calls.append(1), 4)
    assert len(times) == len(calls) == 4
    assert all(time >= 0 for time in times)


class Device:
    """A GPU with a clock that only advances by the work that is queued."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.now = 0.0
        self.log: list[str] = []
        device = self

        class Event:
            def __init__(self, **options: Any) -> None:
                assert bool(options) == name.startswith("torch")

            def record(self) -> None:
                self.at = device.now
                device.log.append("record")

            def synchronize(self) -> None:
                device.log.append("wait")

            if name.startswith("torch"):

                def elapsed_time(self, end: Any) -> float:
                    return end.at - self.at

        self.Event = Event
        if not name.startswith("torch"):
            self.get_elapsed_time = lambda a, b: b.at - a.at


@pytest.mark.parametrize("name", ["cupy.cuda", "torch.cuda"])
def test_events_lie_between_iterations_without_waiting(name: str) -> None:
    device = Device(name)
    durations = iter([3.0, 5.0, 4.0])

    def iterate() -> None:
        device.log.append("queue")
        device.now += next(durations)

    assert event_clock(iterate, 3, device) == [3.0, 5.0, 4.0]
    assert device.log == ["record", *["queue", "record"] * 3, "wait"]


def test_a_queue_is_waited_for_once() -> None:
    log: list[Any] = []
    numbers = iter(range(9))

    def iterate() -> int:
        log.append("queue")
        return next(numbers)

    [mean] = queue_clock(iterate, 3, log.append)
    assert log == ["queue", "queue", "queue", 2]
    assert mean > 0
    assert queue_clock(iterate, 0, log.append) == []


def test_the_clock_of_a_device(monkeypatch: Any) -> None:
    assert clock_of("cpu") is host_clock
    device = Device("cupy.cuda")
    monkeypatch.setitem(__import__("sys").modules, "cupy", SimpleNamespace(cuda=device))
    assert clock_of("cuda")(lambda: None, 2) == [0.0, 0.0]
