"""The operations of images for ``pytorch_operations.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

import tinygan as tg
import tinygan.functional as F

Pair = tuple[tg.Tensor, torch.Tensor]


def as_images(x: Pair) -> Pair:
    """Return numbers that depend on all elements of an operand, as two images of two channels of 3x4 pixels."""
    w, shape = np.sin(np.arange(x[0].size * 48.0)).reshape(-1, 48), (2, 2, 3, 4)
    return (x[0].reshape(1, -1) @ w).reshape(shape), (x[1].reshape(1, -1) @ torch.tensor(w)).reshape(shape)


def do_pool(ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Pair]:
    """Make a pooling with random windows."""

    def apply(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
        size, stride = ([int(n) for n in rng.integers(1, 4, 2)] for _ in range(2))
        padding, ceil_mode = [int(rng.integers(k // 2 + 1)) for k in size], bool(rng.integers(2))
        z = as_images(x)
        return ours(z[0], size, stride, padding, ceil_mode), theirs(z[1], size, stride, padding, ceil_mode=ceil_mode)

    return apply


def do_upsample(rng: np.random.Generator, x: Pair, y: Pair) -> Pair:
    z, factor = as_images(x), tuple(int(n) for n in rng.integers(1, 3, 2))
    return F.upsample(z[0], factor), interpolate(z[1], scale_factor=factor, mode="nearest")


IMAGES: dict[str, Callable[..., Pair]] = {
    "max_pool2d": do_pool(F.max_pool2d, max_pool2d),
    "avg_pool2d": do_pool(F.avg_pool2d, avg_pool2d),
    "upsample": do_upsample,
}
