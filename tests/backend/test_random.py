"""Streams of random numbers: named, independent, resumable, without global state."""

from __future__ import annotations

import json
import math
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan.backend import Stream, Streams, current_streams, manual_seed
from tinygan.errors import ArgumentError, CheckpointError, DtypeError

NAMES = ["weights", "noise", "order", "dropout"]

# Odd sizes, so that half-used words and half-used blocks of the counter are part of the state.
DRAWS: dict[str, Callable[[Stream], Any]] = {
    "uniform": lambda s: s.uniform((3,)),
    "uniform of doubles": lambda s: s.uniform((2, 1), -1, 1, np.float64),
    "normal": lambda s: s.normal((5,)),
    "normal of doubles": lambda s: s.normal((1,), np.float64),
    "bernoulli": lambda s: s.bernoulli((7,), 0.3),
    "permutation": lambda s: s.permutation(5),
    "integers": lambda s: s.integers(0, 100, (3,)),
    "nothing": lambda s: s.uniform((0,)),
}


@pytest.fixture(autouse=True)
def _streams_of_others_stay() -> Iterator[None]:
    with Streams(0).active():
        yield


def bits(values: Any) -> bytes:
    return np.asarray(values).tobytes()


# ---------------------------------------------------------------------- the same and not the same


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_one_seed_and_name_give_the_same_bits(draw: Callable[[Stream], Any]) -> None:
    first, second = Stream(3, "noise"), Stream(3, "noise")
    assert bits(draw(first)) == bits(draw(second))
    assert bits(draw(first)) == bits(draw(second))


def test_the_bits_are_these_for_good() -> None:
    """A change would make earlier runs impossible to repeat. NumPy guarantees only the bits of Philox."""
    drawn = Stream(0, "dropout").bernoulli((64,), 0.5)
    assert np.packbits(drawn).tobytes().hex() == "49f5f95ca9024fc8"


@pytest.mark.parametrize("other", [(1, "noise"), (0, "dropout"), (2**63, "noise"), (0, "")])
def test_another_seed_or_name_gives_independent_numbers(other: tuple[int, str]) -> None:
    n = 20_000
    a, b = Stream(0, "noise").normal((n,), np.float64), Stream(*other).normal((n,), np.float64)
    for shift in (0, 1, 2, 7):
        assert abs(np.mean(a[shift:] * b[: n - shift])) < 5 / math.sqrt(n - shift)


def test_drawing_from_one_stream_does_not_change_another() -> None:
    plain, busy = Streams(4), Streams(4)
    busy["noise"].normal((1000,))
    busy["order"].permutation(10)
    for name in ("dropout", "weights"):
        assert bits(plain[name].uniform((9,))) == bits(busy[name].uniform((9,)))


def test_the_order_of_the_first_uses_of_streams_does_not_matter() -> None:
    forth, back = Streams(5), Streams(5)
    drawn = {name: bits(forth[name].normal((3,))) for name in NAMES}
    assert drawn == {name: bits(back[name].normal((3,))) for name in reversed(NAMES)}
    assert len(set(drawn.values())) == len(NAMES)


# ---------------------------------------------------------------------- distributions


@pytest.mark.parametrize("p", [0.0, 1e-5, 0.2, 0.5, 0.8, 0.99999, 1.0])
def test_bernoulli_frequencies(p: float) -> None:
    n = 200_000
    drawn = Stream(0, "dropout").bernoulli((n,), p)
    assert drawn.dtype == bool
    assert abs(drawn.mean() - p) <= 5 * math.sqrt(p * (1 - p) / n) + 2**-17

def test_bernoulli_is_certain_at_0_and_1() -> None:
    stream = Stream(0, "dropout")
    assert not stream.bernoulli((1_000_000,), 0.0).any()
    assert stream.bernoulli((1_000_000,), 1.0).all()


@pytest.mark.parametrize("p", [0.25, 0.5])
def test_bernoulli_draws_do_not_depend_on_their_neighbours(p: float) -> None:
    drawn = Stream(1, "dropout").bernoulli((400, 500), p).astype(float) - p
    for axis in (0, 1):
        product = np.mean(np.take(drawn, range(1, 400), axis) * np.take(drawn, range(399), axis))
        assert abs(product) < 5 * p * (1 - p) / math.sqrt(drawn.size)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (4,), (5,), (2, 0, 3), (2, 3, 5)])
def test_every_draw_has_the_shape_asked_for(shape: tuple[int, ...]) -> None:
    stream = Stream(0, "noise")
    for p in (0.0, 0.5, 1.0):
        assert np.shape(stream.bernoulli(shape, p)) == shape
    assert np.shape(stream.integers(0, 3, shape)) == shape
    if shape:
        for dtype in (np.float32, np.float64):
            for drawn in (stream.uniform(shape, dtype=dtype), stream.normal(shape, dtype)):
                assert (drawn.shape, drawn.dtype) == (shape, dtype)


def test_uniform_fills_its_interval() -> None:
    drawn = Stream(0, "noise").uniform((100_000,), -2, 6)
    assert drawn.dtype == np.float32
    assert drawn.min() >= -2
    assert drawn.max() <= 6
    counts = np.histogram(drawn, 8, (-2, 6))[0] - 12_500
    assert (counts**2).sum() / 12_500 < 7 + 5 * math.sqrt(14)  # chi-squared with 7 degrees of freedom


floats = st.one_of(st.floats(-100, 100), st.floats(-1e300, 1e300), st.sampled_from([0.0, 1.0, 0.1, 0.7, 1 + 2**-24]))


@given(floats, floats, st.floats(0, 1e-6), st.sampled_from([np.float32, np.float64]), st.sampled_from([0, 1, -2, -1]))
def test_uniform_never_leaves_its_interval(a: float, b: float, near: float, dtype: Any, extreme: int) -> None:
    """Also for the smallest and the largest random bits."""
    for low, high in ((min(a, b), max(a, b)), (a, a + near * abs(a))):
        stream = Stream(0, "noise")
        count = 2**24 if dtype == np.float32 else 2**53
        bits24 = np.array([0, 1, count - 2, count - 1])[[extreme]]
        stream._bits24 = lambda n: bits24.astype(np.uint32)  # type: ignore[method-assign]  # noqa: B023
        fake = type("G", (), {"random": lambda self, shape: bits24 * 2.0**-53})()  # noqa: B023
        if dtype == np.float64:
            stream = type("S", (Stream,), {"_generator": fake})(0, "noise")
        try:
            [drawn] = stream.uniform((1,), low, high, dtype).tolist()
        except ArgumentError:
            assert low != high or abs(low) > float(np.finfo(dtype).max)
            continue
        if low < high:
            assert low <= drawn < high
        else:
            assert drawn == dtype(low)


def test_uniform_from_1_to_2_is_below_2() -> None:
    drawn = Stream(0, "noise").uniform((1 << 20,), 1, 2)
    assert drawn.max() < 2
    wide = np.float64(1) + Stream(0, "noise").uniform((1 << 20,)).astype("f8")
    inside = wide < 2 - 2**-24
    np.testing.assert_array_equal(drawn[inside], wide[inside].astype("f4"))  # the others have not changed


@pytest.mark.parametrize(
    ("low", "high"),
    [(1, 0), (math.nan, 1), (0, math.nan), (0, math.inf), (-math.inf, 0), (-3e38, 3e38), (1e39, 2e39),
     (1 + 1e-9, 1 + 2e-9)],
)  # fmt: skip
def test_intervals_that_are_none_are_refused(low: float, high: float) -> None:
    with pytest.raises(ArgumentError, match="uniform: "):
        Stream(0, "noise").uniform((3,), low, high)


@pytest.mark.parametrize("dtype", ["f2", "i4", "c8"])
def test_uniform_numbers_of_other_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(DtypeError, match="random numbers are drawn in float32 or float64"):
        Stream(0, "noise").uniform((3,), dtype=dtype)


def test_normal_has_its_moments() -> None:
    n = 100_000
    drawn = Stream(0, "noise").normal((n,), np.float64)
    assert abs(drawn.mean()) < 5 / math.sqrt(n)
    assert abs(drawn.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((drawn**4).mean() - 3) < 5 * math.sqrt(96 / n)


def test_permutations_and_integers() -> None:
    stream = Stream(0, "order")
    assert sorted(stream.permutation(50)) == list(range(50))
    assert set(stream.integers(2, 5, (200,)).tolist()) == {2, 3, 4}


# ---------------------------------------------------------------------- words by their number

MASK = 2**64 - 1


def philox(key: tuple[int, int], counter: int) -> list[int]:
    """Philox4x64-10 as Salmon et al. (2011) define it, in integers of any size."""
    c = [counter >> (64 * i) & MASK for i in range(4)]
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c[0], 2**64)
        high1, low1 = divmod(0xCA5A826395121157 * c[2], 2**64)
        c = [high1 ^ c[1] ^ k0, low1, high0 ^ c[3] ^ k1, low0]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return c


def words(stream: Stream, count: int) -> list[int]:
    """The next words of a stream, each computed from its number only."""
    return [philox(stream.key, n // 4)[n % 4] for n in range(stream.position, stream.position + count)]


def halves(stream: Stream, count: int) -> np.ndarray:
    pairs = [half for word in words(stream, (count + 1) // 2) for half in (word & 0xFFFFFFFF, word >> 32)]
    return np.array(pairs[:count], np.uint32)


@given(seed=st.integers(0, 2**70), before=st.integers(0, 9), count=st.integers(0, 40))
def test_draws_depend_only_on_the_key_and_the_word_number(seed: int, before: int, count: int) -> None:
    """The kernels of the GPU depend on this: each draw also begins with a whole word."""

    def stream() -> Stream:
        fresh = Stream(seed, "noise")
        fresh.uniform((before,))
        return fresh

    quarters = [word >> shift & 0xFFFF for word in words(stream(), (count + 3) // 4) for shift in (0, 16, 32, 48)]
    np.testing.assert_array_equal(stream().bernoulli((count,), 0.3), np.array(quarters[:count]) < round(0.3 * 65536))
    upper = halves(stream(), count) >> 8
    np.testing.assert_array_equal(stream().uniform((count,)), upper.astype("f4") * np.float32(2**-24))
    u, v = (halves(stream(), count + count % 2) >> 8).reshape(-1, 2).T * 2.0**-24
    radius = np.sqrt(-2 * np.log(u + 2**-24))
    exact = np.stack([radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)], axis=1).reshape(-1)
    np.testing.assert_allclose(stream().normal((count,)), exact[:count], rtol=0, atol=6e-6)


@given(st.integers(0, 2**32), st.integers(0, 20))
def test_uniform_numbers_are_those_of_numpy(seed: int, half: int) -> None:
    stream, numpy = Stream(seed, "noise"), Stream(seed, "noise")._numpys
    np.testing.assert_array_equal(stream.uniform((2 * half,)), numpy.random(2 * half, np.float32))


def test_the_extremes_of_a_normal_number_are_finite() -> None:
    stream = Stream(0, "noise")
    for bits24, extreme in ((0, math.sqrt(48 * math.log(2))), (2**24 - 1, 0.0)):
        stream._bits24 = lambda count, b=bits24: np.array([b, 0] * (count // 2), np.uint32)  # type: ignore[method-assign]
        assert stream.normal((1,))[0] == pytest.approx(extreme)


@given(
    steps=st.lists(st.one_of(st.integers(0, 13), st.sampled_from(list(DRAWS))), max_size=8), count=st.integers(0, 9)
)
def test_words_taken_elsewhere_are_skipped_here(steps: list[int | str], count: int) -> None:
    """`take` moves the stream exactly as a draw of that many words, also in the checkpoint."""
    drawing, taking = Stream(3, "noise"), Stream(3, "noise")
    for step in steps:
        if isinstance(step, int):
            expected = drawing.position
            drawing._generator.bit_generator.random_raw(step)
            assert taking.take(step) == expected
        else:
            DRAWS[step](drawing)
            DRAWS[step](taking)
    assert taking.position == drawing.position
    if not steps or isinstance(steps[-1], str):  # reading `position` above must not change the state
        assert taking.state_dict() == drawing.state_dict()
    assert bits(taking.uniform((count,))) == bits(drawing.uniform((count,)))
    assert taking.state_dict() == drawing.state_dict()


def test_the_key_is_that_of_the_state_loaded_last() -> None:
    one, other = Stream(0, "noise"), Stream(1, "noise")
    assert one.key != other.key
    one.take(5)
    one.load_state_dict(other.state_dict())
    assert (one.key, one.position) == (other.key, other.position)


# ---------------------------------------------------------------------- state


@given(
    before=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(list(DRAWS))), max_size=8),
    after=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(list(DRAWS))), max_size=8),
)
def test_streams_resumed_from_json_draw_the_same_numbers(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    streams = Streams(11)
    for name, kind in before:
        DRAWS[kind](streams[name])
    text = json.dumps(streams.state_dict())
    resumed = Streams(99)
    resumed["noise"].normal((3,))
    resumed.load_state_dict(json.loads(text))
    assert json.dumps(resumed.state_dict()) == text
    for name, kind in after:
        assert bits(DRAWS[kind](streams[name])) == bits(DRAWS[kind](resumed[name]))
    assert json.dumps(resumed.state_dict()) == json.dumps(streams.state_dict())


def test_the_state_is_taken_at_its_moment() -> None:
    stream = Stream(0, "noise")
    state = stream.state_dict()
    first = bits(stream.normal((5,)))
    assert bits(stream.normal((5,))) != first
    stream.load_state_dict(state)
    assert bits(stream.normal((5,))) == first


def test_a_stream_obtained_before_loading_stays_valid() -> None:
    streams = Streams(0)
    noise = streams["noise"]
    state = streams.state_dict()
    expected = bits(noise.normal((4,)))
    streams.load_state_dict(state)
    assert streams["noise"] is noise
    assert bits(noise.normal((4,))) == expected


FAULTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no seed": lambda s: s.pop("seed"),
    "a negative seed": lambda s: s.update(seed=-1),
    "a seed in words": lambda s: s.update(seed="7"),
    "another seed": lambda s: s.update(seed=8),
    "streams in a list": lambda s: s.update(streams=[1]),
    "a stream that is none": lambda s: s["streams"].update(order=None),
    "no counter": lambda s: s["streams"]["order"].pop("counter"),
    "a short counter": lambda s: s["streams"]["order"].update(counter=[1]),
    "a negative counter": lambda s: s["streams"]["order"].update(counter=[-1, 0, 0, 0]),
    "a key of words": lambda s: s["streams"]["order"].update(key=["a", "b"]),
    "another key": lambda s: s["streams"]["order"].update(key=[1, 2]),
    "a place outside": lambda s: s["streams"]["order"].update(buffer_pos=1000),
    "a broken place": lambda s: s["streams"]["order"].update(buffer_pos=1.5),
    "another generator": lambda s: s["streams"]["order"].update(generator="PCG64"),
    "a large rest": lambda s: s["streams"]["order"].update(uinteger=2**40),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_state_that_is_none_is_refused_and_changes_nothing(fault: Callable[[dict[str, Any]], Any]) -> None:
    streams = Streams(7)
    for name in NAMES:
        DRAWS["permutation"](streams[name])
    before = json.dumps(streams.state_dict())
    saved = json.loads(before)
    for stream in saved["streams"].values():
        stream["counter"][0] += 1
    fault(saved)
    with pytest.raises(CheckpointError):
        streams.load_state_dict(saved)
    assert json.dumps(streams.state_dict()) == before


def test_two_names_with_one_checksum_are_refused() -> None:
    streams = Streams(0)
    streams["plumless"].uniform((1,))
    message = "the streams 'plumless' and 'buckeroo' would give the same numbers: the two names have one checksum"
    with pytest.raises(ArgumentError, match=message):
        streams["buckeroo"]
    with pytest.raises(ArgumentError, match=message):
        Stream(1, "buckeroo")
    streams["plumless"].uniform((1,))


def test_a_large_seed_cannot_stand_in_for_a_name() -> None:
    """NumPy reads seed and checksum as words and drops zeros at the end; the checksum of "" is 0."""
    with pytest.raises(ArgumentError, match="would give the numbers of another stream"):
        Stream(zlib.crc32(b"noise") << 32, "")


@pytest.mark.parametrize("name", [None, 3, b"noise"])
def test_a_name_is_a_string(name: Any) -> None:
    with pytest.raises(DtypeError, match="the name of a stream is a string"):
        Stream(0, name)


def test_names_for_people() -> None:
    streams = Streams(2)
    assert streams["noise"] is streams["noise"]
    assert repr(streams) == "Streams(seed=2, ['noise'])"
    assert repr(streams["noise"]) == "Stream('noise')"


@pytest.mark.parametrize("seed", [True, False, 1.0, np.float64(3), np.bool_(1), "7"])
def test_a_seed_of_another_kind_is_refused(seed: Any) -> None:
    for make in (Streams, manual_seed, lambda seed: Stream(seed, "noise")):
        with pytest.raises(DtypeError, match="seed must be an integer, got"):
            make(seed)


@pytest.mark.parametrize("seed", [-1, -(2**70)])
def test_a_negative_seed_is_refused_at_once(seed: int) -> None:
    with pytest.raises(ValueError, match=f"seed must be an integer of at least 0, got {seed}"):
        manual_seed(seed)


@pytest.mark.parametrize("seed", [1.5, "1", None])
def test_a_seed_is_an_integer(seed: Any) -> None:
    with pytest.raises(TypeError, match="seed must be an integer, got"):
        tg.manual_seed(seed)


def test_a_seed_may_be_large_or_numpys() -> None:
    assert bits(Streams(np.int64(5))["a"].normal((2,))) == bits(Streams(5)["a"].normal((2,)))  # type: ignore[arg-type]
    Streams(2**200)["a"].normal((2,))


# ---------------------------------------------------------------------- the current streams


def test_manual_seed_starts_every_stream_afresh() -> None:
    first = [bits(manual_seed(7)[name].normal((3,))) for name in NAMES]
    current_streams()["noise"].normal((100,))
    tg.manual_seed(7)
    assert [bits(current_streams()[name].normal((3,))) for name in NAMES] == first


def test_dropout_draws_from_the_stream_dropout() -> None:
    x = tg.tensor(np.ones(50))
    manual_seed(1)
    first = F.dropout(x, 0.5).data.copy()
    manual_seed(1)["noise"].normal((10,))
    np.testing.assert_array_equal(F.dropout(x, 0.5).data, first)
    assert not np.array_equal(F.dropout(x, 0.5).data, first)


def test_active_streams_hold_inside_their_block() -> None:
    outer = manual_seed(1)
    mine = Streams(2)
    with mine.active() as entered:
        assert entered is mine
        assert current_streams() is mine
        with Streams(3).active():
            assert current_streams().seed == 3
        assert current_streams() is mine
    assert current_streams() is outer
    with pytest.raises(KeyError), mine.active():
        raise KeyError
    assert current_streams() is outer


def test_a_thread_has_its_own_streams() -> None:
    manual_seed(1)
    fresh = manual_seed(1)["noise"]
    expected = bits(fresh.normal((3,))) + bits(fresh.normal((3,)))
    streams = manual_seed(1)
    half = streams["noise"].normal((3,))

    def meddle() -> int:
        before = current_streams().seed
        manual_seed(2)["noise"].normal((100,))
        return before

    thread_seeds: list[int] = []
    thread = threading.Thread(target=lambda: thread_seeds.append(meddle()))
    thread.start()
    thread.join(10)
    assert thread_seeds == [0]
    assert current_streams() is streams
    assert bits(half) + bits(current_streams()["noise"].normal((3,))) == expected


def test_threads_with_one_seed_draw_the_same() -> None:
    barrier = threading.Barrier(4, timeout=10)

    def draw(_: int) -> list[bytes]:
        manual_seed(9)
        barrier.wait()
        return [bits(current_streams()["noise"].normal((11,))) for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(draw, range(4)))
    assert all(result == results[0] for result in results)
