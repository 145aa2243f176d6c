"""Time operations forward and backward beside PyTorch's, in turn, in float32, on one thread.

Needs PyTorch, which tinygan does not: ``pip install torch``, in an environment of its own. Times are milliseconds of
processor time, lower quartiles; the last number is our time over PyTorch's, both ways together. Other work on the
machine disturbs both, but not alike: repeat it.

usage: python tools/speed_beside_pytorch.py [--seconds 1] [NAME ...]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from typing import Any

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402

import tinygan.functional as F  # noqa: E402
from tinygan.backend import keep_freed_memory  # noqa: E402
from tinygan.engine import Tensor, grad  # noqa: E402

RNG = np.random.default_rng(0)
theirs = torch.nn.functional


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape, np.float32)


def channels_first(images: Any) -> Any:
    """Return images as they lie in memory after a convolution: channel, row, column, example."""
    return np.ascontiguousarray(images.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)


def subjects() -> Iterator[tuple[str, Any, Any, list[Any], Any]]:
    """Yield names, our function, PyTorch's, the inputs, and a gradient of the result."""
    for shape in ((200, 1200), (64, 8192)):
        size, n = "x".join(map(str, shape)), shape[1]
        for name in ("gelu", "elu", "silu", "softmax", "log_softmax"):
            options: Any = {"dim": -1} if "softmax" in name else {}
            other = getattr(theirs, name)
            yield f"{name} {size}", getattr(F, name), lambda x, f=other, o=options: f(x, **o), [normal(*shape)], shape
        inputs = [normal(*shape), normal(n), normal(n)]
        yield (
            f"layer_norm {size}", lambda x, w, b, n=n: F.layer_norm(x, n, w, b),
            lambda x, w, b, n=n: theirs.layer_norm(x, (n,), w, b), inputs, shape,
        )  # fmt: skip
    for shape in ((64, 64, 32, 32), (64, 128, 16, 16), (64, 512, 4, 4), (200, 1200)):
        for order in ("batch first", "channels first")[: len(shape) // 2]:
            x = channels_first(normal(*shape)) if order == "channels first" else normal(*shape)
            yield (
                f"batch_norm {'x'.join(map(str, shape))} {order}", F.batch_norm,
                lambda x, g, b: theirs.batch_norm(x, None, None, g, b, True), [x, *normal(2, shape[1])], shape,
            )  # fmt: skip
    for rows, units, places in ((10_000, 64, (128, 20)), (10_000, 256, (128, 20)), (10, 50, (128,))):
        indices = RNG.integers(0, rows, places)
        there = torch.tensor(indices)
        yield (
            f"embedding {rows}x{units}", lambda w, i=indices: F.embedding(i, w),
            lambda w, i=there: theirs.embedding(i, w), [normal(rows, units)], (*places, units),
        )  # fmt: skip


def clocked(forward: Any, backward: Any) -> tuple[float, float]:
    """Return the milliseconds of both."""
    began = time.process_time()
    y = forward()
    between = time.process_time()
    backward(y)
    return 1e3 * (between - began), 1e3 * (time.process_time() - between)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of the names of operations; by default all")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each operation")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    print(f"{'':40}{'PyTorch':>16}{'tinygan':>18}{'ratio':>8}")
    for name, our, their, arrays, shape in subjects():
        if arguments.names and not any(part in name for part in arguments.names):
            continue
        a = [Tensor(array, requires_grad=True) for array in arrays]
        b = [torch.tensor(np.ascontiguousarray(array), requires_grad=True) for array in arrays]
        share = normal(*shape)
        mine, other = Tensor(channels_first(share) if "channels first" in name else share), torch.tensor(share)
        runs: Any = (
            (lambda f=our, a=a: f(*a), lambda y, a=a, g=mine: grad(y, a, g)),
            (lambda f=their, b=b: f(*b), lambda y, b=b, g=other: torch.autograd.grad(y, b, g)),
        )
        times: tuple[list[Any], list[Any]] = [], []
        ends = time.perf_counter() + arguments.seconds
        while time.perf_counter() < ends or len(times[0]) < 6:
            for found, run in zip(times, runs, strict=True):
                found += [clocked(*run) for _ in range(3)]
        (x, y), (p, q) = (np.quantile(np.array(found[3:]), 0.25, axis=0) for found in times)
        print(f"{name:40}{p:8.3f}{q:8.3f}  {x:8.3f}{y:8.3f}{(x + y) / (p + q):8.2f}", flush=True)


if __name__ == "__main__":
    main()
