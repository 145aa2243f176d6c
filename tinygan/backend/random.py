"""Randomness: named streams split off one seed, never global state.

Every draw in tinygan comes from a `Stream`, and every stream has a name: ``weights``, ``noise``, ``order``,
``dropout``. Streams of one seed are independent, so drawing more noise does not change the dropout masks. The state
of a stream is a small dictionary of numbers, which goes into the checkpoint: a run that resumes draws what it would
have drawn.

The generator is Philox (Salmon et al., 2011), which is counter-based: the n-th number is a function of the key
and n alone.
"""

from __future__ import annotations

import operator
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from tinygan.backend.base import Array, Shape


class Stream:
    """One sequence of random numbers.

    Parameters
    ----------
    seed : int
        Any non-negative integer.
    name : str
        Streams of one seed and different names are independent.

    Examples
    --------
    >>> a, b = Stream(0, "noise"), Stream(0, "noise")
    >>> bool((a.normal((3,)) == b.normal((3,))).all())
    True
    """

    def __init__(self, seed: int, name: str) -> None:
        self.name = name
        entropy = np.random.SeedSequence([seed, zlib.crc32(name.encode())])
        self._generator = np.random.Generator(np.random.Philox(entropy))

    def __repr__(self) -> str:
        return f"Stream({self.name!r})"

    def uniform(self, shape: Shape, low: float = 0.0, high: float = 1.0, dtype: Any = np.float32) -> Array:
        """Draw from U[low, high)."""
        out = self._generator.random(shape, dtype=np.dtype(dtype))
        out *= high - low
        out += low
        return out

    def normal(self, shape: Shape, dtype: Any = np.float32) -> Array:
        """Draw from N(0, 1)."""
        return self._generator.standard_normal(shape, dtype=np.dtype(dtype))

    def bernoulli(self, shape: Shape, probability: float) -> Array:
        """Draw booleans that are true with `probability`, rounded to a multiple of 1/65536.

        Sixteen random bits an element, compared with a threshold: a quarter of the time of drawing floats.
        """
        threshold = round(probability * 65536)
        if threshold >= 65536:
            return np.ones(shape, bool)
        count = int(np.prod(shape, dtype=np.int64))
        words = self._generator.bit_generator.random_raw((count + 3) // 4).view(np.uint16)
        return (words[:count] < np.uint16(threshold)).reshape(shape)

    def permutation(self, n: int) -> Array:
        """Return the integers 0 to n - 1 in random order."""
        return self._generator.permutation(n)

    def integers(self, low: int, high: int, shape: Shape) -> Array:
        """Draw integers from {low, ..., high - 1}."""
        return self._generator.integers(low, high, shape)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers, lists and strings."""
        state = self._generator.bit_generator.state
        return {
            "generator": state["bit_generator"],
            "counter": [int(i) for i in state["state"]["counter"]],
            "key": [int(i) for i in state["state"]["key"]],
            "buffer": [int(i) for i in state["buffer"]],
            "buffer_pos": int(state["buffer_pos"]),
            "has_uint32": int(state["has_uint32"]),
            "uinteger": int(state["uinteger"]),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self._generator.bit_generator.state = {
            "bit_generator": state["generator"],
            "state": {
                "counter": np.array(state["counter"], np.uint64),
                "key": np.array(state["key"], np.uint64),
            },
            "buffer": np.array(state["buffer"], np.uint64),
            "buffer_pos": state["buffer_pos"],
            "has_uint32": state["has_uint32"],
            "uinteger": state["uinteger"],
        }


class Streams:
    """All streams of one seed, made when they are first asked for.

    Examples
    --------
    >>> streams = Streams(7)
    >>> streams["noise"].uniform((2,)).shape
    (2,)
    >>> with streams.active():  # dropout and initialisers inside draw from these
    ...     pass
    """

    def __init__(self, seed: int) -> None:
        self.seed = operator.index(seed)
        if self.seed < 0:
            raise ValueError(f"a seed is a non-negative integer, not {seed}")
        self._streams: dict[str, Stream] = {}

    def __getitem__(self, name: str) -> Stream:
        if name not in self._streams:
            self._streams[name] = Stream(self.seed, name)
        return self._streams[name]

    def __repr__(self) -> str:
        return f"Streams(seed={self.seed}, {sorted(self._streams)})"

    @contextmanager
    def active(self) -> Iterator[Streams]:
        """Make these the streams that `current_streams` returns inside a ``with`` block."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)

    def state_dict(self) -> dict[str, Any]:
        """Return the seed and the state of every stream that has been used."""
        return {
            "seed": self.seed,
            "streams": {name: s.state_dict() for name, s in sorted(self._streams.items())},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `state_dict` returned; whoever holds one of the streams goes on with it."""
        self.seed = state["seed"]
        self._streams = {name: self[name] for name in state["streams"]}
        for name, stream in state["streams"].items():
            self[name].load_state_dict(stream)


_current: ContextVar[Streams] = ContextVar("tinygan_streams")


def current_streams() -> Streams:
    """Return the streams of this context (thread or task); those of seed 0 until somebody chose others."""
    streams = _current.get(None)
    if streams is None:
        streams = Streams(0)
        _current.set(streams)
    return streams


def manual_seed(seed: int) -> Streams:
    """Start every stream of this context afresh from `seed`.

    Parameters
    ----------
    seed : int
        Any non-negative integer.

    Returns
    -------
    Streams
        The new streams; indexing by name gives one of them.

    Examples
    --------
    >>> first = manual_seed(3)["noise"].normal((2,))
    >>> second = manual_seed(3)["noise"].normal((2,))
    >>> bool((first == second).all())
    True
    """
    streams = Streams(seed)
    _current.set(streams)
    return streams
