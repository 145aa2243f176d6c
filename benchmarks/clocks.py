"""How one iteration is timed, on the host and on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

Clock = Callable[[Callable[[], object], int], list[float]]  # (iteration, count) to milliseconds


def host_clock(iteration: Callable[[], object], count: int) -> list[float]:
    """Time each of `count` calls that are over when they return; in milliseconds."""
    times = []
    for _ in range(count):
        began = time.perf_counter_ns()
        iteration()
        times.append((time.perf_counter_ns() - began) / 1e6)
    return times


def queue_clock(iteration: Callable[[], object], count: int, wait: Callable[[Any], object]) -> list[float]:
    """Time `count` calls that only queue work, where there are no events; in milliseconds, the mean of all.

    The host waits once, for what the last call returns: a wait for each would drain the queue.
    """
    if not count:
        return []
    began = time.perf_counter_ns()
    for _ in range(count):
        last = iteration()
    wait(last)
    return [(time.perf_counter_ns() - began) / 1e6 / count]


def event_clock(iteration: Callable[[], object], count: int, cuda: Any) -> list[float]:
    """Time each of `count` calls that only queue work on a GPU; in milliseconds.

    An event is put between every two iterations and nothing waits until the last: waiting would drain the queue, which
    training does not do either.

    Parameters
    ----------
    iteration : callable
    count : int
    cuda : module
        ``cupy.cuda`` or ``torch.cuda``.
    """
    timing = {"enable_timing": True} if cuda.__name__.startswith("torch") else {}
    events = [cuda.Event(**timing) for _ in range(count + 1)]
    events[0].record()
    for event in events[1:]:
        iteration()
        event.record()
    events[-1].synchronize()
    elapsed = (lambda a, b: a.elapsed_time(b)) if timing else cuda.get_elapsed_time
    return [float(elapsed(a, b)) for a, b in pairwise(events)]


def clock_of(device: str) -> Clock:
    """Return the clock for work that tinygan does on a device."""
    if device == "cpu":
        return host_clock
    import cupy

    return lambda iteration, count: event_clock(iteration, count, cupy.cuda)
