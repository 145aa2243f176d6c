"""Noise priors p_z: what goes into the bottom of the generator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.backend import Array, Stream

KINDS = ("uniform", "gaussian", "spherical")


@dataclass(frozen=True)
class Noise:
    """A prior over noise vectors.

    Parameters
    ----------
    kind : {"uniform", "gaussian", "spherical"}
        ``uniform`` is U(-sqrt 3, sqrt 3) and ``gaussian`` is N(0, 1), each of unit variance in every coordinate;
        ``spherical`` is a gaussian divided by its length: uniform on the unit sphere. (The released code's three.)
    size : int
        Dimensions of a vector; the paper uses 100.

    Examples
    --------
    >>> from tinygan.backend import Stream
    >>> Noise("uniform", 100).draw(5, Stream(0, "noise")).shape
    (5, 100)
    """

    kind: str = "uniform"
    size: int = 100

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Noise: kind must be one of {', '.join(KINDS)}; got {self.kind!r}")
        if self.size < 1:
            raise ValueError(f"Noise: size must be at least 1, got {self.size}")

    def draw(self, count: int, stream: Stream, dtype: Any = np.float32) -> Array:
        """Draw `count` vectors, an array of shape (count, size) in host memory."""
        shape = (count, self.size)
        if self.kind == "uniform":
            return stream.uniform(shape, -math.sqrt(3), math.sqrt(3), dtype)
        z = stream.normal(shape, dtype)
        return z if self.kind == "gaussian" else z / np.linalg.norm(z, axis=1, keepdims=True)
