"""``kernels``: each kernel of the CPU in its portable form, in NumPy, and compiled by numba; and what numba costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.clocks import host_clock
from benchmarks.results import result
from benchmarks.statistics import summarise
from benchmarks.tables import format_table
from tinygan.backend import Backend, NumpyBackend, Stream, blas_threads, keep_freed_memory
from tinygan.backend.numba import NumbaBackend

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


GROUPS: list[Callable[[int], Kernels]] = [mnist_kernels]

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
