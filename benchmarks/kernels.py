"""``kernels``: each kernel of the CPU in its portable form, in NumPy, and compiled by numba; and what numba costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.clocks import host_clock
from benchmarks.results import result
from benchmarks.statistics import summarise
from benchmarks.tables import format_table
from tinygan.backend import Backend, NumpyBackend, Stream, blas_threads, keep_freed_memory
from tinygan.backend.numba import NumbaBackend
from tinygan.backend.pooling import Windows

Kernels = dict[str, Callable[[Any], object]]  # by name: a call of one method of a backend


def mnist_kernels(rows: int) -> Kernels:
    """Return the kernels of the MNIST networks: G 1200 wide, D with 240 units of 5 pieces.

    ``linear`` has one input, so that its product takes little time.
    """
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, np.float32)

    narrow, row, bias = normal(rows, 1), normal(1, 1200), normal(1200)
    wide, gy, images, pieces, units = (normal(rows, *n) for n in ((1200,), (1200,), (784,), (5, 240), (240,)))
    positive, chances, won = wide > 0, 1 / (1 + np.exp(-images)), Backend(np, "cpu").maxout(pieces, -2)[1]
    logits, sums, one = normal(rows, 1), np.zeros(7), np.float32(1)
    weight, gradient, velocity = normal(1200, 1200), normal(1200, 1200), normal(1200, 1200)
    square, drawn, betas = abs(normal(1200, 1200)), Stream(0, "dropout"), (0.9, 0.999)
    return {
        "linear 1 to 1200": lambda B: B.linear(narrow, row, bias),
        "relu 1200": lambda B: B.relu(wide),
        "relu 1200, backward": lambda B: B.relu_backward(gy, wide),
        "leaky relu 1200": lambda B: B.leaky(wide, 0.2),
        "leaky relu 1200, backward": lambda B: B.leaky_backward(gy, positive, 0.2),
        "maxout 240 x 5": lambda B: B.maxout(pieces, -2),
        "maxout 240 x 5, backward": lambda B: B.maxout_backward(units, won, -2),
        "dropout 784": lambda B: B.dropout(images, drawn, 0.8),
        "dropout 240": lambda B: B.dropout(units, drawn, 0.5),
        "sigmoid 784": lambda B: B.sigmoid(images),
        "sigmoid 784, backward": lambda B: B.sigmoid_backward(images, chances),
        "cross entropy": lambda B: B.cross_entropy(logits, 1),
        "cross entropy, backward": lambda B: B.cross_entropy_backward(one, logits, 1),
        "scores of a step": lambda B: B.add_scores(sums, one, one, logits, logits),
        "sgd, 1.4 M weights": lambda B: B.sgd_step(weight, gradient, velocity, 1e-9, 0.5),
        "adam, 1.4 M weights": lambda B: B.adam_step(weight, gradient, velocity, square, 1e-9, betas, 1e-8, 9),
        "running mean, 1.4 M weights": lambda B: B.lerp(weight, gradient, 1e-9),
    }


def image_kernels(rows: int) -> Kernels:
    """Return the kernels of DCGAN on 32x32 and on MNIST, and the pooling of CIFAR-10, with the batch last in memory."""
    rng = np.random.default_rng(0)
    kernels: Kernels = {}

    def images(channels: int, size: int) -> Any:
        return rng.standard_normal((channels, size, size, rows), np.float32).transpose(3, 0, 1, 2)

    for channels, size, units in ((64, 16, 128), (128, 8, 256), (3, 32, 64), (32, 14, 64), (1, 28, 32)):
        weight, half = rng.standard_normal((units, channels, 4, 4), np.float32), size // 2
        x, g, place = images(channels, size), images(units, half), ((2, 2), (1, 1))
        kernels |= {
            f"conv {channels}x{size} to {units}x{half}": partial(_call, "conv", x, weight, *place),
            f"... by input, {channels}x{size}": partial(_call, "conv_transpose", g, weight, (size, size), *place),
            f"... by weight, {channels}x{size}": partial(_call, "conv_weight", g, x, (4, 4), *place),
        }
    for channels, size in ((64, 16), (128, 8), (256, 4), (32, 14), (64, 7)):
        x, gy = images(channels, size), images(channels, size)
        gain, bias = rng.standard_normal((2, channels), np.float32)
        _, *moments = Backend(np, "cpu").batch_norm(x, gain, bias, 1e-5)
        kernels |= {
            f"batch norm {channels}x{size}": partial(_call, "batch_norm", x, gain, bias, 1e-5),
            f"batch norm {channels}x{size}, backward": partial(
                _call, "batch_norm_backward", gy, x, gain, *moments, 1e-5
            ),
        }
    for channels, size, k in ((32, 33, 4), (32, 15, 4), (192, 9, 2)):
        count = -(-(size - k) // 2) + 1
        windows = Windows((k, k), (2, 2), (0, 0), (size, size), (count, count))
        kernels[f"max pool {channels}x{size}, {k} by 2"] = partial(_call, "max_pool", images(channels, size), windows)
    return kernels


def _call(name: str, *given: Any) -> Any:
    """Call a method of a backend, which comes last."""
    *arguments, backend = given
    return getattr(backend, name)(*arguments)


GROUPS: list[Callable[[int], Kernels]] = [mnist_kernels, image_kernels]

# One iteration of NumPy before, so that the memory which numba adds shows.
_COSTS = """
import json, sys, time
from benchmarks.task import make_task
from benchmarks.tinygan_step import TinyganStep
from benchmarks.worker import peak_memory
from tinygan.backend import select_backend
contestant = TinyganStep(make_task(sys.argv[1], threads=1))
contestant.iterate()
memory, times = peak_memory() or 0, [time.perf_counter()]
for work in (lambda: select_backend("numba"), contestant.iterate, contestant.iterate):
    work()
    times.append(time.perf_counter())
imported, first, second = (after - before for before, after in zip(times, times[1:]))
print(json.dumps({"import_s": imported, "first_s": first - second, "added_bytes": (peak_memory() or 0) - memory}))
"""


def numba_costs(experiment: str = "mnist") -> dict[str, Any]:
    """Measure in two new processes what numba adds to a training: the first compiles, the second reads that.

    Returns
    -------
    dict
        ``compiling`` and ``stored``, of the two processes, each with ``import_s``; ``first_s``, how much longer the
        first iteration takes than the second; and ``added_bytes``, of memory.
    """
    with tempfile.TemporaryDirectory() as store:
        environment = {**os.environ, "NUMBA_CACHE_DIR": store}
        command = [sys.executable, "-c", _COSTS, experiment]
        return {
            name: json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)
            for name in ("compiling", "stored")
        }


def measure_kernels(rows: int = 200, seconds: float = 0.3, costs: bool = True) -> dict[str, Any]:
    """Time each kernel on one thread for about `seconds`, the backends in turn.

    Returns
    -------
    dict
        A result (see `results.result`) with ``best_ms``: the least time by kernel and backend; ``numba``, its version;
        and ``numba_costs``.
    """
    backends = {"portable": Backend(np, "cpu"), "numpy": NumpyBackend(), "numba": NumbaBackend()}
    measurements: dict[str, Any] = {}
    best: dict[str, dict[str, float]] = {}
    keep_freed_memory()
    with blas_threads(1):
        for name, kernel in {name: kernel for group in GROUPS for name, kernel in group(rows).items()}.items():
            calls = {each: lambda kernel=kernel, backend=backend: kernel(backend) for each, backend in backends.items()}
            times: dict[str, list[float]] = {each: [] for each in calls}
            for call in calls.values():
                call()
            ends = time.perf_counter() + seconds
            while not times["numba"] or time.perf_counter() < ends:
                for each, call in calls.items():
                    times[each] += host_clock(call, 3)
            measurements |= {f"{name}: {each}": summarise(found) for each, found in times.items()}
            best[name] = {each: min(found) for each, found in times.items()}
    settings = {"device": "cpu", "threads": 1, "rows": rows, "seconds": seconds}
    more = {"numba_costs": numba_costs()} if costs else {}
    return result("kernels", settings, measurements, best_ms=best, numba=backends["numba"].library, **more)


def kernels_table(measured: dict[str, Any]) -> str:
    """Write a result of `measure_kernels` as text."""
    rows = [
        (
            name,
            *(f"{times[each]:.4f}" for each in ("portable", "numpy", "numba")),
            f"{times['numpy'] / times['numba']:.1f}",
        )
        for name, times in measured["best_ms"].items()
    ]
    head = ("kernel", "portable ms", "NumPy ms", "numba ms", "NumPy / numba")
    lines = [f"kernels on {measured['settings']['rows']} rows, cpu, 1 thread, {measured['numba']}: the least times"]
    for process, cost in measured.get("numba_costs", {}).items():
        lines.append(
            f"numba, {process}: {cost['import_s']:.2f} s to import, {cost['first_s']:.2f} s more in the first "
            f"iteration of MNIST, {cost['added_bytes'] / 2**20:.0f} MiB more memory"
        )
    return "\n".join(lines) + "\n" + format_table(head, rows)
