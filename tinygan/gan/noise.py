"""Noise priors p_z: the generator's input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.backend import Array, Backend, Stream, get_backend
from tinygan.checks import integer
from tinygan.errors import ArgumentError

KINDS = ("uniform", "gaussian", "spherical")


@dataclass(frozen=True)
class Noise:
    """A prior over noise vectors.

    Parameters
    ----------
    kind : {"uniform", "gaussian", "spherical"}
        ``uniform`` is U(-sqrt 3, sqrt 3) and ``gaussian`` is N(0, 1), each of unit variance in every coordinate.
        ``spherical`` is a gaussian divided by its length: uniform on the unit sphere. The released code has these
        three.
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
            raise ArgumentError(f"Noise: kind must be one of {', '.join(KINDS)}; got {self.kind!r}")
        object.__setattr__(self, "size", integer(self.size, "Noise: size", at_least=1))

    def draw(self, count: int, stream: Stream, dtype: Any = np.float32, backend: Backend | None = None) -> Array:
        """Draw `count` vectors.

        Parameters
        ----------
        count : int
        stream : Stream
        dtype : dtype
        backend : Backend, optional
            Where to draw them; by default in host memory. One stream gives the same uniform vectors on every backend;
            the other kinds differ by rounding.

        Returns
        -------
        array of that backend, shape (count, size)
        """
        B, shape, dtype = backend or get_backend("cpu"), (count, self.size), np.dtype(dtype)
        if self.kind == "uniform":
            return B.uniform(stream, shape, -math.sqrt(3), math.sqrt(3), dtype)
        z = B.normal(stream, shape, dtype)
        return z if self.kind == "gaussian" else z / B.xp.sqrt((z * z).sum(axis=1, keepdims=True))
