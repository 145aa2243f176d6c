"""The function under test, which can be evaluated at any point and differentiated at one point.

There are two kinds: `tensors.TensorSubject`, a function of tensors whose gradients come from the tape, and
`arrays.ArraySubject`, a function of plain arrays with a gradient function. The rest of the checker treats both alike,
and computes with arrays in host memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.backend import backend_of
from tinygan.checking import report as kinds
from tinygan.checking.report import GradcheckReport, Index

Array = Any


class Stopped(Exception):  # noqa: N818  (never leaves the checker)
    """Raised after a fault that makes further checks useless; the report describes it."""


@dataclass(frozen=True)
class Variable:
    """An input whose gradient is checked, or an output.

    Attributes
    ----------
    position : int
        The position among the user's inputs or outputs.
    name : str
    shape : tuple of int
    point : array
        As float64: for an input, the point at which the derivative is computed; for an output, its value there.
    """

    position: int
    name: str
    shape: Index
    point: Array

    def __str__(self) -> str:
        return f"input {self.position} {self.name!r}"


class Subject:
    """A function under test.

    Attributes
    ----------
    name : str
    order : int
        1 for the user's function, 2 for its gradient, and so on.
    inputs : list of Variable
        The inputs whose gradient is checked.
    outputs : list of Variable
        The floating-point outputs; known after `run`.
    precision : float
        The distance between 1 and the next number in the coarsest dtype that `values` computes with.
    scale : float
        For a gradient, the size of the function that was differentiated. A sum that cancels leaves an error of this
        size times `precision`.
    """

    name: str
    order: int = 1
    inputs: list[Variable]
    outputs: list[Variable]
    report: GradcheckReport
    precision: float = float(np.finfo(np.float64).eps)
    scale: float = 0.0

    # ------------------------------------------------------------------ defined by the two kinds

    def run(self) -> list[Array]:
        """Call the function at the point, so that `pull` can be called; return its outputs as float64."""
        raise NotImplementedError

    def active(self) -> AbstractContextManager[None]:
        """Return a context; at its end, changes by calls of the function are undone."""
        return nullcontext()

    def gradient(self, upstream: Sequence[Array]) -> Subject:
        """Return the function of the inputs and of the upstream gradient that computes the gradient."""
        raise NotImplementedError

    def pull(self, upstream: Sequence[Array | None], watch: bool = False) -> list[Array]:
        """Return the gradients with respect to the inputs, given those with respect to the outputs (None for zeros).

        With `watch`, also check the promises: unchanged arrays, right shapes, ...
        """
        raise NotImplementedError

    def _evaluate(self, points: list[Array]) -> list[Array]:
        """Call the function with other values of the inputs; return its outputs in host memory."""
        raise NotImplementedError

    # ------------------------------------------------------------------ common to both kinds

    @property
    def size(self) -> int:
        """The number of output elements."""
        return sum(output.point.size for output in self.outputs)

    def values(self, points: list[Array]) -> Array:
        """Return the elements of all outputs as one vector, with the inputs at `points`."""
        self.report.evaluations += 1
        outputs = self._evaluate(points)
        shapes, expected = [output.shape for output in outputs], [output.shape for output in self.outputs]
        if shapes != expected:
            self.stop(
                kinds.RANDOM,
                f"the shapes of the outputs change if the inputs change a little, from {expected} to {shapes}, "
                "so there is no derivative; keep indices that depend on the values out of the function",
            )
        return np.concatenate([np.empty(0), *(output.ravel() for output in outputs)])

    def split(self, vector: Array) -> list[Array]:
        """Split a vector of all output elements into arrays of the outputs' shapes."""
        ends = np.cumsum([output.point.size for output in self.outputs])
        parts = np.split(vector, ends[:-1])
        return [part.reshape(output.shape) for part, output in zip(parts, self.outputs, strict=True)]

    def fail(self, kind: str, message: str) -> None:
        """Add a failure to the report."""
        self.report.fail(kind, message, self.order)

    def stop(self, kind: str, message: str) -> None:
        """Add a failure to the report, and end the check."""
        self.fail(kind, message)
        raise Stopped


def with_layout(values: Array, template: Array) -> Array:
    """Return a copy of `values` with the memory layout of `template`: strided, reversed, repeated with stride 0.

    So a function is differentiated with the user's layout, in every dtype.
    """
    item = template.itemsize
    steps = [stride // item for stride in template.strides]
    reach = [(size - 1) * step for size, step in zip(template.shape, steps, strict=True)]
    low, high = sum(n for n in reach if n < 0), sum(n for n in reach if n > 0)
    sparse = high - low > 64 * template.size  # for example, a column of a very large matrix
    if template.flags.c_contiguous or not template.size or sparse or any(s % item for s in template.strides):
        return np.array(values, order="C")
    buffer = np.zeros(high - low + 1, values.dtype)
    view = np.lib.stride_tricks.as_strided(buffer[-low:], template.shape, [step * values.itemsize for step in steps])
    view[...] = values
    return view


class Watch:
    """Named arrays that must not change: every byte is compared with its earlier value."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self._arrays = arrays
        self._before = {name: array.tobytes() for name, array in arrays.items()}

    def changed(self) -> Iterator[str]:
        """Yield the names of the arrays that have changed."""
        for name, array in self._arrays.items():
            if array.tobytes() != self._before[name]:
                yield name


def overlap(a: Array, b: Array) -> bool:
    """Return whether two arrays of one device share an element of memory."""
    backend = backend_of(a)
    assert backend is not None, "only arrays share memory"
    if backend is not backend_of(b):
        return False
    if not isinstance(a, np.ndarray):
        return bool(backend.xp.shares_memory(a, b))
    try:
        return bool(np.shares_memory(a, b, max_work=100_000))  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return False  # their extents overlap, but to find a common element would take too long
