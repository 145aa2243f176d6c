"""Random numbers: named streams that are derived from one seed, without global state.

Every draw in tinygan comes from a `Stream`, and every stream has a name: ``weights``, ``noise``, ``order``,
``dropout``. Streams of one seed are independent, so drawing more noise does not change the dropout masks. The state of
a stream is a small dictionary of numbers, which the checkpoint contains. So a run that resumes draws the same numbers
as a run without interruption.

The generator is Philox (Salmon et al., 2011), which is counter-based: the n-th 64-bit word depends on the key and on n
only. So a GPU can draw the same words, one for each thread, and no state passes between the threads. The draws of a
training step depend only on these words. Each draw begins with the next whole word:

- `Stream.bernoulli` compares 16 bits per element with a threshold: four elements per word, lowest bits first;
- `Stream.uniform` takes the upper 24 of 32 bits: two float32 per word, the bits of ``Generator.random``;
- `Stream.normal` is the transform of Box and Muller (1958): two float32 per word.

A GPU draws the first two with the same bits, and the third up to the rounding of its logarithm, sine and cosine.
NumPy's own normals come from a rejection method, whose n-th number depends on how many words were rejected before it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import numpy as np

from tinygan import checks
from tinygan.backend.base import Array, Shape
from tinygan.errors import ArgumentError, CheckpointError, DtypeError

_names: dict[int, str] = {}  # of this process's streams, by checksum


class Stream:
    """One sequence of random numbers.

    Parameters
    ----------
    seed : int
        Any non-negative integer.
    name : str
        Streams of one seed and different names are independent.

    Raises
    ------
    ArgumentError
        The seed is negative; or the name has the checksum of another name in use, and would give the same numbers.
    DtypeError
        The seed is not an integer, or the name is not a string.

    Examples
    --------
    >>> a, b = Stream(0, "noise"), Stream(0, "noise")
    >>> bool((a.normal((3,)) == b.normal((3,))).all())
    True
    """

    by_word = True  # whether a draw is the next words in order, which a GPU can compute

    def __init__(self, seed: int, name: str) -> None:
        self.name = name
        self._numpys = np.random.Generator(np.random.Philox(_entropy(_checked_seed(seed), name)))
        self._next: int | None = None  # the number of the next word, if `take` is ahead of NumPy's generator
        self._key: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"Stream({self.name!r})"

    def uniform(self, shape: Shape, low: float = 0.0, high: float = 1.0, dtype: Any = np.float32) -> Array:
        """Draw from U[low, high), in float32 or float64; if the two are equal, every number is `low`.

        Raises
        ------
        ArgumentError
            `low` or `high` is not finite, `low` is above `high`, or no number of this dtype lies between them.
        DtypeError
            `dtype` is neither float32 nor float64.
        """
        width, low, least, most = uniform_limits(low, high, dtype)
        last: Any = 1 - 2**-53  # the largest number that is scaled
        if width.dtype == np.float64:
            out: Array = self._generator.random(shape)
        else:
            out = self._bits24(math.prod(shape)).astype(np.float32).reshape(shape)
            out *= np.float32(2**-24)
            last = width.dtype.type(1 - 2**-24)
        out *= width
        out += low
        if not least <= low or not last * width + low <= most:  # only then can rounding leave the interval
            np.clip(out, least, most, out=out)
        return out

    def normal(self, shape: Shape, dtype: Any = np.float32) -> Array:
        """Draw from N(0, 1). In float32, which a training step uses, this is the transform of Box and Muller.

        With u and v uniform, sqrt(-2 log u) cos(2 pi v) and sqrt(-2 log u) sin(2 pi v) are normal and independent. u is
        a multiple of 2^-24, so no number exceeds 5.77 in absolute value; of normal numbers one in a hundred million
        does.
        """
        dtype = np.dtype(dtype)
        if dtype != np.float32:
            return self._generator.standard_normal(shape, dtype=dtype)
        count = math.prod(shape)
        bits = self._bits24(count + count % 2)
        radius = bits[0::2].astype(np.float32)
        radius += 1  # in (0, 1] once it is scaled: log 0 is never taken
        radius *= np.float32(2**-24)
        np.log(radius, out=radius)
        radius *= -2
        np.sqrt(radius, out=radius)
        angle = bits[1::2].astype(np.float32)
        angle *= np.float32(2 * math.pi * 2**-24)
        out = np.empty((len(radius), 2), np.float32)
        np.multiply(radius, np.cos(angle), out=out[:, 0])
        np.multiply(radius, np.sin(angle), out=out[:, 1])
        return out.reshape(-1)[:count].reshape(shape)

    def _bits24(self, count: int) -> Array:
        """Draw `count` integers of 24 bits: the upper 24 bits of each half of a word, the lower half first."""
        bits = self._generator.bit_generator.random_raw((count + 1) // 2).view(np.uint32)[:count]
        bits >>= 8
        return bits

    @staticmethod
    def rounded(probability: float) -> float:
        """Return the probability with which `bernoulli` draws: the nearest multiple of 1/65536.

        Examples
        --------
        >>> Stream.rounded(0.5), Stream.rounded(0.1)
        (0.5, 0.100006103515625)
        """
        return round(probability * 65536) / 65536

    def bernoulli(self, shape: Shape, probability: float) -> Array:
        """Draw booleans that are true with `probability`, after it is `rounded`.

        Each element compares 16 random bits with a threshold: this takes a quarter of the time of drawing floats.
        """
        threshold = int(self.rounded(probability) * 65536)
        if threshold >= 65536:
            return np.ones(shape, bool)
        return self.bits16(shape) < np.uint16(threshold)

    def bits16(self, shape: Shape) -> Array:
        """Draw integers of 16 bits: the four parts of each word, the lowest first."""
        count = math.prod(shape)
        return self._generator.bit_generator.random_raw((count + 3) // 4).view(np.uint16)[:count].reshape(shape)

    def permutation(self, n: int) -> Array:
        """Return the integers 0 to n - 1 in random order."""
        return self._generator.permutation(n)

    def integers(self, low: int, high: int, shape: Shape) -> Array:
        """Draw integers from {low, ..., high - 1}."""
        return self._generator.integers(low, high, shape)

    # ------------------------------------------------------------------ draws on a GPU

    @property
    def key(self) -> tuple[int, int]:
        """The two 64-bit numbers that identify this stream."""
        if self._key is None:
            first, second = self._numpys.bit_generator.state["state"]["key"]
            self._key = int(first), int(second)
        return self._key

    @property
    def position(self) -> int:
        """The number of the next 64-bit word: word n is number n mod 4 of the four words of counter n div 4."""
        if self._next is None:
            state = self._numpys.bit_generator.state
            counter = sum(int(part) << (64 * i) for i, part in enumerate(state["state"]["counter"]))
            self._next = 4 * counter + int(state["buffer_pos"])
        return self._next

    def take(self, words: int) -> int:
        """Reserve `words` words for a draw on a GPU; return the number of the first of them.

        Examples
        --------
        >>> here, there = Stream(0, "noise"), Stream(0, "noise")
        >>> _, first = here.uniform((6,)), there.take(3)
        >>> bool((here.uniform((2,)) == there.uniform((2,))).all())
        True
        """
        first = self.position
        self._next = first + words
        return first

    @property
    def _generator(self) -> np.random.Generator:
        """NumPy's generator, at the position of the stream."""
        if self._next is not None:
            self._catch_up(self._next)
            self._next = None
        return self._numpys

    def _catch_up(self, position: int) -> None:
        """Move NumPy's generator to a position, with the buffer it has after drawing all words before that."""
        bits = self._numpys.bit_generator
        counter, used = divmod(position - 1, 4)  # the block that the last word came from
        state: dict[str, Any] = dict(bits.state)
        if counter == 0:  # nothing has been drawn: NumPy increases the counter before it draws
            return
        before = counter - 1
        state["state"]["counter"] = np.array([before >> (64 * i) & (2**64 - 1) for i in range(4)], np.uint64)
        state["buffer_pos"] = 4
        bits.state = state
        bits.random_raw(used + 1)

    # ------------------------------------------------------------------ state

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
        """Continue from a state that `state_dict` returned.

        Raises
        ------
        CheckpointError
            It is not the state of a stream; then nothing has been changed.
        """
        try:
            loaded: Any = {
                "bit_generator": state["generator"],
                "state": {"counter": _words(state["counter"], 4), "key": _words(state["key"], 2)},
                "buffer": _words(state["buffer"], 4),
                "buffer_pos": _integer(state["buffer_pos"], 5),
                "has_uint32": _integer(state["has_uint32"], 2),
                "uinteger": _integer(state["uinteger"], 2**32),
            }
            bits = np.random.Philox()
            bits.state = loaded
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(f"stream {self.name!r}: expected a state of a stream: {error!r}") from error
        self._numpys.bit_generator.state = loaded
        self._next = self._key = None


class Streams:
    """All streams of one seed, each made at first use.

    Examples
    --------
    >>> streams = Streams(7)
    >>> streams["noise"].uniform((2,)).shape
    (2,)
    >>> with streams.active():  # dropout and initialisers inside draw from these
    ...     pass
    """

    def __init__(self, seed: int) -> None:
        self.seed = _checked_seed(seed)
        self._streams: dict[str, Stream] = {}

    def __getitem__(self, name: str) -> Stream:
        if name not in self._streams:
            self._streams[name] = Stream(self.seed, name)
        return self._streams[name]

    def __contains__(self, stream: Stream) -> bool:
        return self._streams.get(stream.name) is stream

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
        """Continue from a state that `state_dict` returned. Streams that code has obtained before stay valid.

        Raises
        ------
        CheckpointError
            It is not the state of streams of one seed; then nothing has been changed.
        """
        try:
            seed, states = _checked_seed(state["seed"]), dict(state["streams"])
            fresh = {name: Stream(seed, name) for name in states}
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"streams: expected a state of streams: {error!r}") from error
        for name, stream in fresh.items():
            key = stream.key
            stream.load_state_dict(states[name])
            if stream.key != key:
                raise CheckpointError(f"stream {name!r}: the saved key is not that of seed {seed} and this name")
        self.seed = seed
        self._streams = {name: self._streams.get(name, stream) for name, stream in fresh.items()}
        for name, stream in self._streams.items():
            stream.load_state_dict(states[name])


@lru_cache(maxsize=64)
def uniform_limits(low: float, high: float, dtype: Any) -> tuple[Any, Any, Any, Any]:
    """Return high - low, low, and the least and the greatest result of a draw from U[low, high), as numbers of `dtype`.

    ``low + (high - low) u`` is rounded, and may reach `high` or fall below `low`. The least result is the smallest
    number of `dtype` that is not below `low`; the greatest is the largest number that is below `high`.

    Examples
    --------
    >>> width, low, least, most = uniform_limits(1.0, 2.0, np.float32)
    >>> float(most) == 2 - 2**-23
    True
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise DtypeError(f"uniform: random numbers are drawn in float32 or float64, not in {dtype}; convert them after")
    low, high = float(low), float(high)
    with np.errstate(over="ignore"):
        width, start, least, most = dtype.type(high - low), dtype.type(low), dtype.type(low), dtype.type(high)
    if not (low <= high and np.isfinite([width, least, most]).all()):
        raise ArgumentError(
            f"uniform: expected low <= high, both and their difference finite in {dtype}; got low={low}, high={high}"
        )
    if low == high:
        return width, start, start, start
    with np.errstate(all="ignore"):
        least = least if float(least) >= low else np.nextafter(least, dtype.type(math.inf))
        most = most if float(most) < high else np.nextafter(most, dtype.type(-math.inf))
    if least > most:
        raise ArgumentError(f"uniform: no number of {dtype} lies in [low, high) = [{low!r}, {high!r})")
    return width, start, least, most


def _checked_seed(seed: Any) -> int:
    """Return a seed as a Python integer."""
    return checks.integer(checks.integer(seed, "seed", error=DtypeError), "seed", at_least=0)


def _entropy(seed: int, name: str) -> np.random.SeedSequence:
    """Return the entropy of a stream: its seed, and a checksum of its name that no other name in use has."""
    if not isinstance(name, str):
        raise DtypeError(f"the name of a stream is a string, not {type(name).__name__}")
    checksum = zlib.crc32(name.encode(errors="surrogatepass"))
    if not checksum and seed >> 32:  # NumPy drops the zero and would read the upper part of the seed as a checksum
        raise ArgumentError(f"the name {name!r} and a seed of 2^32 or more would give the numbers of another stream")
    other = _names.setdefault(checksum, name)
    if other != name:
        raise ArgumentError(
            f"the streams {other!r} and {name!r} would give the same numbers: the two names have one checksum "
            f"(CRC-32, {checksum:#010x}); choose another name"
        )
    return np.random.SeedSequence([seed, checksum])


def _words(values: Any, count: int) -> Array:
    """Return `count` 64-bit words of a saved state."""
    words = [_integer(value, 2**64) for value in values]
    if len(words) != count:
        raise CheckpointError(f"{len(words)} words, expected {count}")
    return np.array(words, np.uint64)


def _integer(value: Any, limit: int) -> int:
    """Return an integer of a saved state, in [0, limit)."""
    if type(value) is not int or not 0 <= value < limit:
        raise CheckpointError(f"expected an integer in [0, {limit}), got {value!r}")
    return value


_current: ContextVar[Streams] = ContextVar("tinygan_streams")


def current_streams() -> Streams:
    """Return the streams of this context (thread or task); by default those of seed 0."""
    streams = _current.get(None)
    if streams is None:
        streams = Streams(0)
        _current.set(streams)
    return streams


def manual_seed(seed: int) -> Streams:
    """Start every stream of this context again from `seed`.

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
