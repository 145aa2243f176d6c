"""A file in the format of TFD, because the Toronto Face Database is not public."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from tinygan.data.tfd import FILE, SIDE


def contents(count: int = 40, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Return its variables: half of the images have no label; image i has its number in the first pixel, then noise."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, SIDE, SIDE), np.uint8)
    images[:, 0, 0] = np.arange(count)
    half = count // 2
    parts = np.repeat([1, 2, 3], [half - half // 10 - half // 5, half // 10, half // 5])  # 70, 10 and 20 percent
    folds = np.zeros((count, 5), np.uint8)
    for fold in range(5):
        folds[count - half :, fold] = np.roll(parts, fold * (half // 5))
    labs_ex = np.full((count, 1), -1.0)
    labs_ex[count - half :, 0] = np.arange(half) % 7 + 1
    labs_id = rng.integers(1, 9, (count, 1))
    return {"images": images, "folds": folds, "labs_ex": labs_ex, "labs_id": labs_id} | changes


def write(folder: Path, variables: dict[str, Any], **options: Any) -> Path:
    """Write the file where tinygan looks for it, without the variables that are None."""
    path = folder / "tfd" / FILE
    path.parent.mkdir(exist_ok=True)
    scipy.io.savemat(path, {name: value for name, value in variables.items() if value is not None}, **options)
    return path
