"""``layers``: each layer forward and backward at the sizes of MNIST, against what the machine can do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinygan.functional as F
from benchmarks.clocks import clock_of
from benchmarks.products import peak_product
from benchmarks.results import result
from benchmarks.statistics import summarise
from benchmarks.tables import format_table, milliseconds, threads_of
from tinygan import gan, nn, optim
from tinygan.backend import Streams, blas_threads, get_backend, keep_freed_memory
from tinygan.engine import Tensor, grad

_FLOAT = 4  # bytes
_MASK = 1


@dataclass(frozen=True)
class Subject:
    """Something to time, with the least it has to do.

    Attributes
    ----------
    name : str
    call : callable
    flop : int
        Floating-point operations: two for a term of a product, one for every other elementary function.
    bytes : int
        What must be read and written if every array crosses the memory bus once.
    """

    name: str
    call: Callable[[], object]
    flop: int
    bytes: int


def subjects(device: str = "cpu", batch: int = 100) -> list[Subject]:
    """Build the layers of the MNIST networks on arrays of the sizes they have in training.

    The generator sees `batch` rows, the discriminator twice as many: data and samples.
    """
    rng = np.random.default_rng(0)
    backend: Any = get_backend(device)
    streams = Streams(0)

    def tensor(*shape: int) -> Tensor:
        return Tensor(backend.from_numpy(rng.standard_normal(shape, np.float32)), requires_grad=True)

    def both_ways(
        name: str, layer: Callable[..., Tensor], inputs: Sequence[Tensor], flop: tuple[int, int], moved: tuple[int, int]
    ) -> list[Subject]:
        """Time forward and, on the graph of one forward pass that is kept, backward."""
        output = layer(*inputs)
        upstream = Tensor(backend.from_numpy(rng.standard_normal(output.shape, np.float32)))
        return [
            Subject(f"{name} forward", lambda: layer(*inputs), flop[0], moved[0]),
            Subject(
                f"{name} backward", lambda: grad(output, list(inputs), upstream, retain_graph=True), flop[1], moved[1]
            ),
        ]

    def affine(name: str, m: int, n: int, u: int) -> list[Subject]:
        product, x, w, y = 2 * m * n * u, m * n, n * u, m * u
        inputs = [tensor(m, n), tensor(n, u), tensor(u)]
        once = _FLOAT * (x + w + y)
        return both_ways(name, F.linear, inputs, (product + y, 2 * product + y), (once, 2 * once))

    def elementwise(
        name: str, layer: Callable[[Tensor], Tensor], m: int, n: int, flop: int, kept: int = _FLOAT
    ) -> list[Subject]:
        size = m * n
        forward, backward = 2 * _FLOAT * size, (2 * _FLOAT + kept) * size
        return both_ways(name, layer, [tensor(m, n)], (flop * size, size), (forward, backward))

    g, d = batch, 2 * batch
    pieces, units = 5, 240
    wide = d * pieces * units
    found = [
        *affine("linear 1200 to 1200", g, 1200, 1200),
        *affine("linear 784 to 5 x 240", d, 784, pieces * units),
        *both_ways(
            "maxout 5 x 240",
            lambda x: F.maxout(x, pieces, piece_major=True),
            [tensor(d, pieces * units)],
            (wide - d * units, wide),
            (_FLOAT * (wide + d * units) + _MASK * wide, _FLOAT * (wide + d * units) + _MASK * wide),
        ),
        *elementwise("relu 1200", F.relu, g, 1200, flop=1),
        *elementwise("sigmoid 784", F.sigmoid, g, 784, flop=3),
        *elementwise("dropout 784", lambda x: F.dropout(x, 0.2, True, streams["dropout"]), d, 784, flop=1),
        *elementwise("loss", lambda x: F.binary_cross_entropy_with_logits(x, 1), d, 1, flop=4),
    ]
    generator = nn.Sequential(nn.Linear(100, 1200), nn.Linear(1200, 1200), nn.Linear(1200, 784)).to(device)
    parameters = generator.parameters()
    for parameter in parameters:
        parameter.grad = Tensor(backend.xp.ones_like(parameter.data))
    weights = sum(parameter.size for parameter in parameters)
    sgd, adam = optim.SGD(parameters, 1e-6, 0.5), optim.Adam(parameters, 1e-6)
    average = optim.ExponentialMovingAverage(parameters, 0.9999)
    found += [
        Subject("sgd step of G", sgd.step, 4 * weights, 5 * _FLOAT * weights),
        Subject("adam step of G", adam.step, 12 * weights, 7 * _FLOAT * weights),
        Subject("running mean of G", average.update, 3 * weights, 3 * _FLOAT * weights),
    ]
    noise = gan.Noise("uniform", 100)

    def draw() -> Any:
        return noise.draw(g, streams["noise"], backend=backend)

    found.append(Subject("noise 100", draw, 2 * g * 100, _FLOAT * g * 100))
    return found


def copy_bandwidth(device: str, size: int = 128 << 20, repeats: int = 5) -> float:
    """Measure how fast an array of `size` bytes becomes another, in GB/s, counting what is read and what is written."""
    xp: Any = get_backend(device).xp
    source = xp.ones((max(1, size // _FLOAT),), xp.float32)
    target = xp.empty_like(source)

    def copy() -> None:
        target[...] = source

    return float(2 * source.nbytes / min(clock_of(device)(copy, repeats + 1)[1:]) / 1e6)


def measure_layers(
    device: str = "cpu", threads: int = 1, batch: int = 100, seconds: float = 0.3, largest_copy: int = 128 << 20
) -> dict[str, Any]:
    """Time every subject for about `seconds`.

    Each is compared with a copy that moves as many bytes, so that both find their arrays in the same cache, or in none.

    Returns
    -------
    dict
        A result (see `results.result`); each measurement also has ``flop``, ``bytes``, ``gflop_per_s``, ``gb_per_s``
        and ``copy_gb_per_s``, that of its own copy. ``peak_gflop_per_s`` and ``copy_gb_per_s`` are the machine's own,
        in a large product and a large copy.
    """
    clock = clock_of(device)
    measurements = {}
    keep_freed_memory()
    with blas_threads(threads):
        peak, bandwidth = 0.0, 0.0
        for number, subject in enumerate(subjects(device, batch)):
            if number % 6 == 0:  # a busy machine shows its best only now and then
                peak = max(peak, peak_product(device, repeats=3))
                bandwidth = max(bandwidth, copy_bandwidth(device, largest_copy, 3))
            clock(subject.call, 3)
            times: list[float] = []
            ends = time.perf_counter() + seconds
            own_copy = 0.0
            while not times or time.perf_counter() < ends:
                times += clock(subject.call, 5)
                own_copy = max(own_copy, copy_bandwidth(device, min(subject.bytes // 2, largest_copy), 5))
            summary = summarise(times)
            measurements[subject.name] = {
                **summary,
                "flop": subject.flop,
                "bytes": subject.bytes,
                "gflop_per_s": subject.flop / summary["median_ms"] / 1e6,
                "gb_per_s": subject.bytes / summary["median_ms"] / 1e6,
                "copy_gb_per_s": own_copy,
            }
    settings = {"device": device, "threads": threads, "batch": batch, "seconds": seconds}
    return result("layers", settings, measurements, peak_gflop_per_s=peak, copy_gb_per_s=bandwidth)


def layers_table(measured: dict[str, Any]) -> str:
    """Write a result of `measure_layers` as text."""
    peak, bandwidth = measured["peak_gflop_per_s"], measured["copy_gb_per_s"]
    rows = [
        (
            name,
            *milliseconds(summary),
            f"{summary['gflop_per_s']:.1f}",
            f"{100 * summary['gflop_per_s'] / peak:.0f} %",
            f"{summary['gb_per_s']:.1f}",
            f"{100 * _of_copy(summary, bandwidth):.0f} %",
        )
        for name, summary in measured["measurements"].items()
    ]
    above = [name for name, summary in measured["measurements"].items() if _of_copy(summary, bandwidth) > 1]
    fast = [name for name, summary in measured["measurements"].items() if summary["gflop_per_s"] > peak]
    note = f"above 100 % of the large product, which was disturbed: {', '.join(fast)}\n" if fast else ""
    note += f"above 100 % of a copy, which also reads what it overwrites: {', '.join(above)}\n" if above else ""
    settings = measured["settings"]
    head = ("layer", "median ms", "p10 to p90", "GFLOP/s", "of peak", "GB/s", "of copy")
    return (
        f"layers of the MNIST networks, batch {settings['batch']}, {settings['device']}, "
        f"{threads_of(settings['threads'])}\n"
        f"this machine: {peak:.0f} GFLOP/s in a large product, {bandwidth:.1f} GB/s in a large copy\n{note}"
    ) + format_table(head, rows)


def _of_copy(summary: dict[str, Any], bandwidth: float) -> float:
    return float(summary["gb_per_s"] / summary.get("copy_gb_per_s", bandwidth))
