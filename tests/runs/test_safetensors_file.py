"""What a file holds comes back; what cannot be stored and headers that lie are refused."""

from __future__ import annotations

import io
import json
import pickle
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

from tinygan.errors import CheckpointError, DtypeError
from tinygan.runs.checkpoint import read_checkpoint
from tinygan.runs.safetensors_file import STORED_DTYPES, decode, encode, storable, usable


def read(content):
    return decode(io.BytesIO(content), len(content))


def sealed(header, data=b""):
    """Return a file of any header, with a right checksum where the header has room for it."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


def test_arrays_metadata_and_what_was_said_come_back():
    arrays = {name: np.ones((2, 0, 3), name) for name in STORED_DTYPES} | {"none": np.array(3.5)}
    found, metadata, said = read(b"".join(encode("save", arrays, {"step": 7, "loss": None})))
    assert list(found) == sorted(arrays)
    assert all(found[name].dtype == array.dtype and found[name].shape == array.shape for name, array in arrays.items())
    assert list(metadata) == ["tinygan"]
    assert said == {"step": 7, "loss": None}


def test_a_file_of_another_program_says_nothing():
    content = safetensors.numpy.save({"b": np.ones(2, np.float32), "a": np.zeros(1)}, {"format": "pt"})
    found, metadata, said = read(content)
    assert (list(found), metadata, said) == (["a", "b"], {"format": "pt"}, None)


def test_a_text_of_zeros_is_not_taken_for_the_checksum():
    content = b"".join(encode("save", {"z": np.ones(1)}, {"state": "0" * 64}))
    assert read(content)[2] == {"state": "0" * 64}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"w": [1.0, 2.0]}, "save: w is of type list; expected a NumPy array of bool, int8"),
        ({1: np.zeros(1)}, "an array is named 1; expected printable text"),
        ({"": np.zeros(1)}, "an array is named ''; expected printable text"),
        ({"__metadata__": np.zeros(1)}, "an array is named '__metadata__'"),
        ({"w": np.zeros(1, complex)}, "w is of type complex128; expected"),
        ({"w": np.array([{}, "text"])}, "is of type object"),
        ({"w": np.array(["text"])}, "is of type <U4"),
        ({"w": np.zeros(1, "M8[s]")}, r"is of type datetime64\[s\]"),
        ({"w": np.zeros(1, [("x", "f4")])}, "is of type .*'x'"),
        ({"w": np.zeros(1, "V4")}, r"is of type \|V4"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(arrays, message):
    with pytest.raises(DtypeError, match=message):
        storable("save", arrays)


def one(**changes):
    return {"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]} | changes}


def test_a_file_made_by_hand_without_a_lie_is_read():
    np.testing.assert_array_equal(read(sealed(one(), b"ab"))[0]["a"], [97, 98])
    assert read(sealed({}))[0] == {}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param((2**63).to_bytes(8, "little") + b"{}", id="a header longer than any file"),
        pytest.param(sealed(b" " * (5 << 20) + b"{}"), id="a header of five megabytes"),
        pytest.param(sealed(b"[" * 100_000), id="a header nested without end"),
        pytest.param(sealed(b'{"a":' + b"1" * 5000 + b"}"), id="a number of thousands of digits"),
        pytest.param(sealed([]), id="a list"),
        pytest.param(sealed({"a": 1}), id="an array that is a number"),
        pytest.param(sealed(one(), b"a"), id="a byte too few"),
        pytest.param(sealed(one(), b"abc"), id="a byte too many"),
        pytest.param(sealed(one(shape=[2**50], data_offsets=[0, 2**50]), b"ab"), id="petabytes"),
        pytest.param(sealed(one(shape=[2**50]), b"ab"), id="a shape of petabytes"),
        pytest.param(sealed(one(shape=[0, 2**70], data_offsets=[0, 0])), id="a length beyond 64 bits"),
        pytest.param(sealed(one(shape=[0] * 65, data_offsets=[0, 0])), id="65 dimensions"),
        pytest.param(sealed(one(shape=[-2]), b"ab"), id="a negative length"),
        pytest.param(sealed(one(shape=[2.0]), b"ab"), id="a broken length"),
        pytest.param(sealed(one(data_offsets=[1, 3]), b"abc"), id="a gap"),
        pytest.param(sealed(one(data_offsets=["0", "2"]), b"ab"), id="offsets of text"),
        pytest.param(sealed(one(dtype="O"), b"ab"), id="objects"),
        pytest.param(sealed(one(dtype="BF16", shape=[1]), b"ab"), id="a dtype that NumPy does not have"),
        pytest.param(sealed(one(dtype="BOOL"), b"\1\2"), id="a boolean that is 2"),
        pytest.param(sealed({"__metadata__": {"tinygan": "{}"}}), id="no checksum"),
        pytest.param(sealed({"__metadata__": {"tinygan": '{"sha256":"' + "0" * 64 + '"}'}}), id="a wrong checksum"),
        pytest.param(pickle.dumps([one()] * 20), id="a pickle"),
    ],
)
def test_headers_that_lie_are_refused_without_spending_memory(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="damaged or incomplete"):
        read_checkpoint(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 23


def test_loaded_arrays_can_be_written_to():
    array = usable("a", np.frombuffer(b"ab", np.uint8))
    array[0] = 1
    with pytest.raises(CheckpointError, match="a has dtype complex64; expected bool"):
        usable("a", np.zeros(1, np.complex64))
