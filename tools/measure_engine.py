"""Measure the engine: long chains, wide sums, training steps; time and memory, which must grow linearly.

usage: python tools/measure_engine.py
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable

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
    """Use one tensor `width` times and add the results up."""
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
    """Print how many tensors and operations are alive, with the garbage collector off, while a game is played."""
    generator = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    discriminator = nn.Sequential(nn.Maxout(4, 8, 3), nn.Dropout(0.5), nn.Linear(8, 1))
    game = gan.Algorithm1(generator, discriminator)
    data = np.zeros((10, 4), np.float32)
    gc.collect()
    gc.disable()
    for step in range(1, steps + 1):
        game.step(data)
        if step in (1, 10, 100, 1000):
            alive = sum(isinstance(thing, tg.Tensor | tg.Operation) for thing in gc.get_objects())
            print(f"after {step:>5} steps {alive} tensors and operations are alive")
    gc.enable()


if __name__ == "__main__":
    measure("chain", chain, (1_000, 10_000, 100_000, 1_000_000))
    measure("fan-in", fan_in, (1_000, 10_000, 100_000))
    live_tensors(1000)
