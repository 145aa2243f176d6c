"""Noise priors p_z: the generator's input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.backend import Array, Backend, Stream, get_backend
from tinygan.checks import integer
from tinygan.errors import ArgumentError, ShapeError

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

    def line(self, start: Any, end: Any, steps: int) -> Any:
        """Return points on the straight line from one vector to another, as in Figure 3 of the paper.

        On the unit sphere of ``spherical`` noise the straight line is projected to the shorter arc.

        Parameters
        ----------
        start, end : array of shape (size,)
        steps : int
            At least 1.

        Returns
        -------
        float32 array of shape (steps + 1, size)

        Raises
        ------
        ShapeError
            An end is not a vector of this noise.
        ArgumentError
            `steps` is not an integer of at least 1, or the arc between opposite ends of the sphere is not unique.

        Examples
        --------
        >>> Noise("gaussian", 2).line([0, 4], [2, 0], 2)
        array([[0., 4.],
               [1., 2.],
               [2., 0.]], dtype=float32)
        """
        steps, ends = integer(steps, "Noise.line: steps", at_least=1), [np.asarray(start), np.asarray(end)]
        for name, vector in zip(("start", "end"), ends, strict=True):
            if vector.shape != (self.size,):
                raise ShapeError(f"Noise.line: {name} has shape {vector.shape}; expected ({self.size},), one vector z")
        share = np.linspace(0, 1, steps + 1)[:, None]
        z = (1 - share) * ends[0] + share * ends[1]
        if self.kind == "spherical":
            length = np.sqrt((z * z).sum(axis=1, keepdims=True))
            if length.min() < 1e-6:
                raise ArgumentError("Noise.line: the ends are opposite points of the sphere; choose other ends")
            z /= length
        return z.astype(np.float32)
