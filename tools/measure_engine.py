"""Measure the engine: long chains, wide sums, training steps; time and memory, which must grow linearly; and what it
costs to look on: anomaly mode and the gradient check, as ratios.

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


def median_ms(function: Callable[[], object], repeats: int = 30) -> float:
    """Return the median time of a call in milliseconds, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        function()
        times.append(1e3 * (time.perf_counter() - began))
    return float(np.median(times[1:]))


def cost_of_looking_on() -> None:
    """Print what a training step costs in anomaly mode, and a gradient check beside one forward and backward pass."""
    for name, batch, sizes in (("digits", 64, (32, 256, 64)), ("MNIST", 100, (100, 1200, 784))):
        noise, hidden, pixels = sizes
        generator = nn.Sequential(nn.Linear(noise, hidden), nn.ReLU(), nn.Linear(hidden, pixels), nn.Sigmoid())
        discriminator = nn.Sequential(nn.Dropout(0.2), nn.Maxout(pixels, 64, 5), nn.Dropout(0.5), nn.Linear(64, 1))
        game = gan.Algorithm1(generator, discriminator, lr=0.001)
        data = np.random.default_rng(0).random((batch, pixels), np.float32)

        def watched(game: gan.Algorithm1 = game, data: object = data) -> None:
            with tg.detect_anomaly():
                game.step(data)

        plain, anomaly = median_ms(lambda game=game, data=data: game.step(data)), median_ms(watched)
        print(f"step of {name} size: {plain:.2f} ms; in anomaly mode {anomaly:.2f} ms, {anomaly / plain:.2f} times")
    layer = nn.Linear(20, 10)
    x = tg.tensor(np.random.default_rng(0).normal(size=(5, 20)), requires_grad=True)
    once = median_ms(lambda: layer(x).sum().backward())
    for order in (1, 2):
        check = median_ms(lambda order=order: tg.gradcheck(layer, [x], order=order), repeats=3)
        print(f"gradcheck of a layer 20 to 10, order {order}: {check:.1f} ms, {check / once:.0f} passes")


if __name__ == "__main__":
    cost_of_looking_on()
    measure("chain", chain, (1_000, 10_000, 100_000, 1_000_000))
    measure("fan-in", fan_in, (1_000, 10_000, 100_000))
    live_tensors(1000)
