"""Measure time and memory of the engine for long chains, wide sums and training steps; both must grow linearly.

usage: python tools/measure_engine.py

For a backward pass and a step of the game, it also counts what a reader of the source must follow: the calls of
functions of tinygan, their files, and how often a call is in another file than the call before it.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import tinygan as tg
import tinygan.functional as F
from tinygan import gan, nn


def chain(length: int) -> None:
    """Run x + 1 + 1 + ... forward and backward."""
    x = tg.tensor(0.0, requires_grad=True)
    y = x
    for _ in range(length):
        y = y + 1.0
    y.backward()


def fan_in(width: int) -> None:
    """Use one tensor `width` times and sum the results."""
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    F.stack([x * float(i) for i in range(width)]).sum().backward()


def measure(name: str, function: Callable[[int], None], sizes: tuple[int, ...]) -> None:
    """Print time and peak memory of a function for each size, and both per unit of size."""
    for size in sizes:
        began = time.perf_counter()
        function(size)
        seconds = time.perf_counter() - began
        tracemalloc.start()
        function(size)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(
            f"{name:8} {size:>8,}  {seconds:7.3f} s {1e6 * seconds / size:6.2f} us each"
            f"  {peak / 2**20:8.2f} MiB {peak / size:6.0f} bytes each"
        )


def live_tensors(steps: int) -> None:
    """Print how many tensors and operations are alive during training without the garbage collector."""
    game, data = small_game(), np.zeros((10, 4), np.float32)
    gc.collect()
    gc.disable()
    for step in range(1, steps + 1):
        game.step(data)
        if step in (1, 10, 100, 1000):
            alive = sum(isinstance(thing, tg.Tensor | tg.Operation) for thing in gc.get_objects())
            print(f"after {step:>5} steps {alive} tensors and operations are alive")
    gc.enable()


def count_calls(name: str, function: Callable[[], Any]) -> None:
    """Print how many functions of tinygan one call of `function` calls, and in how many files."""
    package = str(Path(tg.__file__).parent)
    files: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(package):
            files.append(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    changes = sum(before != after for before, after in pairwise(files))
    print(f"{name:20} {len(files):>6,} calls in {len(set(files))} files, {changes:,} changes of file")


def small_loss() -> tg.Tensor:
    """Return a loss of one layer, on four rows of data."""
    w, b = tg.tensor(np.ones((3, 1)), requires_grad=True), tg.tensor([0.0], dtype="float64", requires_grad=True)
    return F.binary_cross_entropy_with_logits(F.linear(tg.tensor(np.ones((4, 3))), w, b), 1)


def small_game() -> gan.Algorithm1:
    """Return a game that has made a step, so that its optimisers have their state."""
    generator = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    discriminator = nn.Sequential(nn.Maxout(4, 8, 3), nn.Dropout(0.5), nn.Linear(8, 1))
    game = gan.Algorithm1(generator, discriminator)
    game.step(np.zeros((10, 4), np.float32))
    return game


if __name__ == "__main__":
    measure("chain", chain, (1_000, 10_000, 100_000, 1_000_000))
    measure("fan-in", fan_in, (1_000, 10_000, 100_000))
    live_tensors(1000)
    loss, game = small_loss(), small_game()
    count_calls("loss.backward()", loss.backward)
    count_calls("Algorithm1.step", lambda: game.step(np.zeros((10, 4), np.float32)))
