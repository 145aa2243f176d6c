"""A checkpoint comes back bit for bit or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygan.errors import CheckpointError, DtypeError
from tinygan.runs import checkpoint as checkpoint_module
from tinygan.runs.checkpoint import read_checkpoint, write_checkpoint
from tinygan.runs.checkpoint_layout import STORED_DTYPES


@pytest.fixture(scope="module", autouse=True)
def disk_that_does_not_keep_us_waiting():
    """What has to be synced, and when, is tested by its order; the tests need no real syncing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


# --- what goes in comes out ------------------------------------------------------------------------------

dtypes = st.sampled_from(sorted(STORED_DTYPES)).flatmap(
    lambda name: st.sampled_from([np.dtype(name).newbyteorder(order) for order in "<>"])
)


@st.composite
def any_arrays(draw):
    """Arrays of every stored dtype, 0-d and empty ones, of both byte orders, contiguous or not."""
    array = draw(hnp.arrays(draw(dtypes), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
    way = draw(st.sampled_from(["as it is", "transposed", "strided", "backwards", "Fortran", "read-only"]))
    if way == "transposed":
        return array.T
    if way == "strided" and array.ndim:
        return array[..., ::2]
    if way == "backwards" and array.ndim:
        return array[::-1]
    if way == "Fortran":
        return np.asfortranarray(array)
    array.flags.writeable = way != "read-only"
    return array


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.integers(0, 2**256)
trees = st.recursive(values, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
states = st.dictionaries(st.text(), trees, max_size=3)


@given(arrays=st.dictionaries(st.text(max_size=8), any_arrays(), max_size=3), state=states)
def test_arrays_and_state_come_back(tmp_path_factory, arrays, state):
    path = tmp_path_factory.mktemp("checkpoint") / "a.tgn"
    write_checkpoint(path, arrays, state)
    found = read_checkpoint(path)

    assert found.path == path
    # repr tells -0.0 from 0.0 and 1 from True, and nan equals nan.
    assert repr(sorted_keys(found.state)) == repr(sorted_keys(state))
    assert list(found.arrays) == sorted(arrays)
    for name, array in arrays.items():
        native = array.astype(array.dtype.newbyteorder("="))
        assert found.arrays[name].dtype == native.dtype
        assert found.arrays[name].dtype.isnative
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == native.tobytes()  # nan payloads too
        assert found.arrays[name].flags.carray


def sorted_keys(value):
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    return [sorted_keys(item) for item in value] if isinstance(value, list) else value


@given(arrays=st.dictionaries(st.text(max_size=8), any_arrays(), max_size=3), state=states)
def test_the_same_content_gives_the_same_bytes(tmp_path_factory, arrays, state):
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder / "a.tgn", arrays, state)
    other_order = {name: np.array(arrays[name], order="K") for name in reversed(arrays)}
    write_checkpoint(folder / "b.tgn", other_order, {key: state[key] for key in reversed(state)})
    assert (folder / "a.tgn").read_bytes() == (folder / "b.tgn").read_bytes()


def test_numpy_scalars_are_accepted(tmp_path):
    write_checkpoint(tmp_path / "a.tgn", {"x": np.float32(2.5)}, {"step": np.int64(3), "loss": np.float32(0.5)})
    found = read_checkpoint(tmp_path / "a.tgn")
    assert found.arrays["x"].shape == ()
    assert found.arrays["x"] == np.float32(2.5)
    assert found.state == {"step": 3, "loss": 0.5}


def test_a_random_stream_goes_on_where_it_was(tmp_path):
    generator = np.random.Generator(np.random.PCG64(7))
    generator.standard_normal(5)
    state = generator.bit_generator.state  # with integers of 128 bits
    write_checkpoint(tmp_path / "a.tgn", {}, {"noise": state})
    expected = generator.standard_normal(3)
    again = np.random.Generator(np.random.PCG64())
    again.bit_generator.state = read_checkpoint(tmp_path / "a.tgn").state["noise"]
    np.testing.assert_array_equal(again.standard_normal(3), expected)


def test_the_file_is_what_the_documentation_says(tmp_path):
    write_checkpoint(tmp_path / "a.tgn", {"w": np.array([[1, 2]], ">i2")}, {"t": (1, float("nan"))})
    content = (tmp_path / "a.tgn").read_bytes()
    header = (
        b'{"arrays":[{"bytes":4,"dtype":"int16","name":"w","offset":0,"shape":[1,2]}],"state":{"t":[1,NaN]}}'
    )
    start = 128  # the first multiple of 64 after 24 bytes of prefix and 98 of header
    assert content[:24] == b"TINYGAN\n" + struct.pack("<QQ", 1, len(header))
    assert content[24:start] == header.ljust(start - 24, b"\0")
    assert content[start : start + 64] == b"\x01\x00\x02\x00".ljust(64, b"\0")
    assert content[start + 64 :] == hashlib.sha256(content[: start + 64]).digest()


def test_large_arrays_are_not_copied(tmp_path):
    array = np.zeros(1 << 23, np.uint8)
    tracemalloc.start()
    write_checkpoint(tmp_path / "a.tgn", {"a": array, "b": array}, {})
    _, writing = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    found = read_checkpoint(tmp_path / "a.tgn")
    _, reading = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert writing < 1 << 18
    assert reading < 2 * array.nbytes + (1 << 22)
    assert found.arrays["b"].nbytes == array.nbytes


def test_a_large_damaged_file_is_refused_without_spending_memory(tmp_path):
    write_checkpoint(tmp_path / "a.tgn", {"a": np.zeros(1 << 24, np.uint8)}, {})
    os.truncate(tmp_path / "a.tgn", 1 << 24)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=f"the file of {1 << 24} bytes is damaged or incomplete"):
        read_checkpoint(tmp_path / "a.tgn")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 22


@pytest.mark.parametrize(
    ("arrays", "state", "message"),
    [
        ({"w": np.array([object()])}, {}, "has dtype object"),
        ({}, {"w": np.zeros(3)}, r"state\['w'\] is an array of shape \(3,\)"),
        ({}, {"w": {1}}, r"state\['w'\] is a set"),
        ({}, [1], "state is a list; expected a dict"),
        ({}, {"n": 10**5000}, "cannot be written as JSON: Exceeds the limit"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_written(tmp_path, arrays, state, message):
    with pytest.raises(DtypeError, match=message):
        write_checkpoint(tmp_path / "a.tgn", arrays, state)
    assert os.listdir(tmp_path) == []


# --- damage ----------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    """A small checkpoint and its bytes."""
    path = tmp_path / "small.tgn"
    write_checkpoint(path, {"w": np.arange(3, dtype=np.float32), "on": np.array(True)}, {"step": 7})
    return path, path.read_bytes()


def assert_damaged(path, content):
    # Overwritten in place: some file systems wait for the disk when a file is emptied and written anew.
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(content)
        file.truncate()
    with pytest.raises(CheckpointError, match=r"small\.tgn: expected .*, found .*; use the previous checkpoint"):
        read_checkpoint(path)


def test_every_truncation_is_detected(small):
    path, content = small
    for length in range(len(content)):
        assert_damaged(path, content[:length])


def test_every_flipped_bit_is_detected(small):
    path, content = small
    for position in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            assert_damaged(path, flipped)


def test_every_byte_lost_or_added_is_detected(small):
    path, content = small
    for position in range(len(content)):
        assert_damaged(path, content[:position] + content[position + 1 :])
        assert_damaged(path, content[:position] + b"\0" + content[position:])
    for extra in range(1, 130):
        assert_damaged(path, content + bytes(extra))


@given(damage=st.binary(max_size=400))
def test_bytes_of_another_origin_are_refused(tmp_path_factory, damage):
    path = tmp_path_factory.mktemp("damage") / "small.tgn"
    assert_damaged(path, damage)
    assert_damaged(path, b"TINYGAN\n" + damage)


def test_the_undamaged_file_still_reads(small):
    path, content = small
    path.write_bytes(content)
    assert read_checkpoint(path).state == {"step": 7}


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"a\.tgn: expected a checkpoint, found no file of this name"):
        read_checkpoint(tmp_path / "a.tgn")
    with pytest.raises(CheckpointError, match="found something that is not a file"):
        read_checkpoint(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
        with pytest.raises(CheckpointError, match="found something that is not a file"):
            read_checkpoint(tmp_path / "pipe")


def test_a_read_error_is_named(small, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    expected = "expected a readable file, found the error Input/output"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        with pytest.raises(CheckpointError, match=expected) as caught:
            read_checkpoint(small[0])
    assert isinstance(caught.value.__cause__, OSError)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.tgn"
    write_checkpoint(path, {"w": np.zeros(100_000)}, {})
    monkeypatch.setattr(checkpoint_module, "_check_checksum", lambda *_: os.truncate(path, 400_128))
    expected = "expected 800000 bytes of array 'w', found 400000: is the file being changed"
    with pytest.raises(CheckpointError, match=expected):
        read_checkpoint(path)


# --- files made to deceive: their checksum is right -------------------------------------------------------


def forged(header, data=b"", version=1, header_bytes=None):
    """A file with a right checksum and whatever else one likes."""
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    length = len(header) if header_bytes is None else header_bytes
    content = b"TINYGAN\n" + struct.pack("<QQ", version, length) + header
    content += bytes(-len(content) % 64) + data
    return content + hashlib.sha256(content).digest()


def one(shape, dtype="uint8", nbytes=0):
    return {"arrays": [{"name": "a", "dtype": dtype, "shape": shape, "offset": 0, "bytes": nbytes}], "state": {}}


EMPTY = {"arrays": [], "state": {}}


def test_a_forged_file_without_a_lie_is_read(tmp_path):
    (tmp_path / "a.tgn").write_bytes(forged(EMPTY))
    assert read_checkpoint(tmp_path / "a.tgn").arrays == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (forged(EMPTY, version=2), "expected format version 1, found 2; .* another version of tinygan wrote it"),
        (forged(EMPTY, header_bytes=2**63), f"fits into the file's 96 bytes, found {2**63} bytes"),
        (forged(EMPTY, header_bytes=2**64 - 1), "a header that fits"),
        (forged(EMPTY, header_bytes=41), "a header that fits"),
        (forged(EMPTY, header_bytes=26), "a header of JSON"),
        (forged(EMPTY, header_bytes=40), "a header of JSON"),  # the padding's zeros with it
        (forged(b""), "a header of JSON"),
        (forged(b"[" * 100_000), "a header of JSON, found maximum recursion"),
        (forged(b'{"arrays":[],"state":{"n":' + b"1" * 5000 + b"}}"), "a header of JSON, found Exceeds the limit"),
        (forged(b'{"arrays":[],"state":{"\xc3\xa4":1}}'), "a header of JSON, found 'ascii'"),
        (forged(b'{"arrays":[],"state":{"a":1,"a":2}}'), "a key that stands twice among"),
        (forged(b'{"arrays":[],"arrays":[],"state":{}}'), "a key that stands twice among"),
        (forged([]), r"a header of 'arrays' and 'state', found \[\]"),
        (forged({"arrays": []}), "a header of 'arrays' and 'state'"),
        (forged({**EMPTY, "code": "import os"}), "a header of 'arrays' and 'state'"),
        (forged({"arrays": [], "state": []}), r"a state of named values, found \[\]"),
        (forged({"arrays": {}, "state": {}}), "a list of arrays, found {}"),
        (forged(EMPTY, bytes(64)), "expected 0 bytes of arrays, found 64"),
        (forged(EMPTY, bytes(1)), "expected 0 bytes of arrays, found 1"),
        (forged(one([65], nbytes=65), bytes(64)), "expected 128 bytes of arrays, found 64"),
        (forged(one([2**50], nbytes=2**50), bytes(64)), f"expected {2**50} bytes of arrays, found 64"),
        (forged(one([0, 2**70])), "with a shape NumPy can hold"),
        (forged(one([0] * 65)), "with a shape NumPy can hold"),
        (forged(one([1], "bool", 1), b"\2" + bytes(63)), "zeros and ones in the boolean array 'a', found 2"),
        (pickle.dumps(EMPTY), "at least 56 bytes"),
        (pickle.dumps([EMPTY] * 20 + [1.5] * 20), "a tinygan checkpoint, which starts with"),
    ],
)
def test_forged_files_are_refused_without_spending_memory(tmp_path, content, message):
    path = tmp_path / "a.tgn"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 23


# --- writing into trouble --------------------------------------------------------------------------------

ARRAYS = {"w": np.arange(40, dtype=np.float64), "v": np.ones((3, 3), np.float32)}


def count_calls(monkeypatch, name, action):
    real, calls = getattr(os, name), []
    with monkeypatch.context() as patch:
        patch.setattr(os, name, lambda *arguments, **_: (calls.append(1), real(*arguments))[1])
        action()
    return len(calls)


def test_a_full_disk_at_each_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "a.tgn"
    write_checkpoint(path, ARRAYS, {"step": 1})
    old = path.read_bytes()
    total = count_calls(monkeypatch, "write", lambda: write_checkpoint(path, ARRAYS, {"step": 1}))
    assert total >= 7  # prefix, header, padding, an array, one with padding, checksum
    real = os.write
    for failing in range(total):
        left = [failing]

        def full(descriptor, view, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(descriptor, view)

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(
                CheckpointError, match=rf"a\.tgn: cannot write the checkpoint of {len(old)} bytes: No space left"
            ) as caught:
                write_checkpoint(path, ARRAYS, {"step": 2})
        assert isinstance(caught.value.__cause__, OSError)
        caught.match("Free space or correct the permissions of the folder, then resume")
        assert path.read_bytes() == old
        assert os.listdir(tmp_path) == ["a.tgn"]


def test_a_read_only_folder_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.tgn"
    write_checkpoint(path, ARRAYS, {"step": 1})

    def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:  # the super-user may write into read-only folders, so pretend
        patch.setattr(os, "open", refuse)
        with pytest.raises(CheckpointError, match="Permission denied; what stood under this name is still whole"):
            write_checkpoint(path, ARRAYS, {"step": 2})
    assert read_checkpoint(path).state == {"step": 1}


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="No such file or directory"):
        write_checkpoint(tmp_path / "missing" / "a.tgn", {}, {})


def test_a_state_that_would_fill_the_memory_is_neither_written_nor_read(tmp_path, monkeypatch):
    """JSON of many small values takes thirty times its size."""
    path, state = tmp_path / "a.tgn", {"x": [[]] * 1000}
    write_checkpoint(path, {}, state)
    assert checkpoint_module.LARGEST_HEADER == 4 << 20
    monkeypatch.setattr(checkpoint_module, "LARGEST_HEADER", 3000)
    parsed = []
    monkeypatch.setattr("tinygan.runs.checkpoint.json.loads", lambda *_, **__: parsed.append(1))
    with pytest.raises(CheckpointError, match="expected a header of at most 3000 bytes, found 30"):
        read_checkpoint(path)
    assert not parsed
    with pytest.raises(DtypeError, match="bytes of JSON; expected at most 3000"):
        write_checkpoint(tmp_path / "b.tgn", {}, state)
    assert not (tmp_path / "b.tgn").exists()


def test_a_memory_that_is_full_is_a_refusal(tmp_path, monkeypatch):
    write_checkpoint(tmp_path / "a.tgn", {"w": np.zeros(3)}, {})

    def full(*_):
        raise MemoryError("no room")

    monkeypatch.setattr("tinygan.runs.checkpoint.np.empty", full)
    with pytest.raises(CheckpointError, match="expected a checkpoint that fits into the memory"):
        read_checkpoint(tmp_path / "a.tgn")
