from __future__ import annotations

import gzip
import os
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygan.data import read_idx
from tinygan.errors import DataError

SMALL = np.arange(6, dtype=np.uint8).reshape(2, 3)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that each example overwrites."""
    return tmp_path_factory.mktemp("idx") / "numbers.idx"


def packed(content: bytes, gzipped: bool) -> bytes:
    return gzip.compress(content, mtime=0) if gzipped else content


def refusal(path: Path, content: bytes, shape: tuple[int, ...] = SMALL.shape) -> str:
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_idx(path, shape)
    assert str(path) in str(caught.value)
    return str(caught.value)


@given(
    array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7)),
    gzipped=st.booleans(),
)
def test_written_arrays_are_read_back(idx_bytes: Any, path: Path, array: Any, gzipped: bool) -> None:
    path.write_bytes(packed(idx_bytes(array), gzipped))
    found = read_idx(path, array.shape)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, array)


def test_a_file_of_many_pieces_is_read_back(idx_bytes: Any, path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (1000, 28, 28)).astype(np.uint8)
    path.write_bytes(packed(idx_bytes(array), gzipped=True))
    np.testing.assert_array_equal(read_idx(str(path), (1000, 28, 28)), array)


@given(content=st.binary(max_size=40), gzipped=st.booleans())
def test_no_bytes_at_all_raise_anything_but_data_error(
    idx_bytes: Any, path: Path, content: bytes, gzipped: bool
) -> None:
    path.write_bytes(packed(content, gzipped))
    try:
        found = read_idx(path, SMALL.shape)
    except DataError:
        return
    assert idx_bytes(found) == content


@pytest.mark.parametrize("gzipped", [False, True])
def test_every_truncation_is_refused(idx_bytes: Any, path: Path, gzipped: bool) -> None:
    whole = packed(idx_bytes(SMALL), gzipped)
    for length in range(len(whole)):
        refusal(path, whole[:length])
    path.write_bytes(whole)
    np.testing.assert_array_equal(read_idx(path, SMALL.shape), SMALL)


def test_every_truncation_inside_a_valid_gzip_is_refused(idx_bytes: Any, path: Path) -> None:
    whole = idx_bytes(SMALL)
    for length in range(len(whole)):
        refusal(path, gzip.compress(whole[:length]))


@pytest.mark.slow
@pytest.mark.parametrize("gzipped", [False, True])
def test_every_change_of_a_header_byte_is_refused(idx_bytes: Any, path: Path, gzipped: bool) -> None:
    whole = idx_bytes(SMALL)
    for position in range(12):
        for change in range(1, 256, 1 if not gzipped else 17):
            damaged = bytearray(whole)
            damaged[position] ^= change
            refusal(path, packed(bytes(damaged), gzipped))


def test_a_changed_bit_of_a_gzip_is_refused_or_harmless(idx_bytes: Any, path: Path) -> None:
    """Some bits are harmless: the date and other fields of gzip's header, and up to 7 bits that fill the last byte."""
    whole = packed(idx_bytes(SMALL), gzipped=True)
    refused = 0
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(read_idx(path, SMALL.shape), SMALL)
        except DataError:
            refused += 1
    assert refused >= 8 * (len(whole) - 10) - 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an IDX file, found an empty one"),
        (gzip.compress(b"", mtime=0), "expected a header of 12 bytes, found 0"),
        (b"\0", "expected a header of 12 bytes, found 1"),
        (b"\0\0\x08\x02\0\0\0\2", "expected a header of 12 bytes, found 8"),
        (b"<!DOCTYPE html>", "found 3c 21 44 4f; a download that failed may have saved a web page"),
        (b"\0\0\x0d\2" + bytes(8), "type code 0x0d is not the unsigned byte 0x08"),
        (b"\0\0\x08\x01" + bytes(8), "expected .* 00 00 08 02 .* found 00 00 08 01 .1-dimensional"),
        (gzip.compress(b"PK\3\4" + bytes(8), mtime=0), "found 50 4b 03 04 .not that of an IDX file"),
        (struct.pack(">HBB2I", 0, 8, 2, 3, 2) + bytes(6), "expected sizes 2 x 3, found 3 x 2"),
        (struct.pack(">HBB2I", 0, 8, 2, 2, 3) + bytes(5), "expected 6 numbers after the header, found 5"),
        (struct.pack(">HBB2I", 0, 8, 2, 2, 3) + bytes(7), "expected the file to end after 2 x 3 numbers"),
    ],
)
def test_each_refusal_says_what_was_expected_and_found(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(path, SMALL.shape)


def test_damaged_gzip_is_named_as_such(idx_bytes: Any, path: Path) -> None:
    whole = packed(idx_bytes(SMALL), gzipped=True)
    assert "found one that ends after 30 bytes" in refusal(path, whole[:30])
    wrong_sum = whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]
    assert "CRC check failed" in refusal(path, wrong_sum)
    assert "damaged one" in refusal(path, whole[:10] + b"\xff" * 20)
    assert "damaged one" in refusal(path, whole + b"garbage")
    path.write_bytes(whole + bytes(100))  # the gzip standard lets a file be padded with zeros
    np.testing.assert_array_equal(read_idx(path, SMALL.shape), SMALL)


def peak_memory(path: Path, shape: tuple[int, ...]) -> int:
    tracemalloc.start()
    try:
        read_idx(path, shape)
    except DataError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak


@pytest.mark.slow
def test_a_gzip_bomb_stays_packed(idx_bytes: Any, path: Path) -> None:
    packer = zlib.compressobj(1, wbits=31)
    bomb = packer.compress(idx_bytes(SMALL))
    bomb += b"".join(packer.compress(bytes(1 << 20)) for _ in range(128)) + packer.flush()
    assert len(bomb) < 1 << 20
    assert "found more bytes" in refusal(path, bomb)
    assert peak_memory(path, SMALL.shape) < 1 << 20


@pytest.mark.parametrize("gzipped", [False, True])
def test_absurd_sizes_allocate_no_memory(path: Path, gzipped: bool) -> None:
    header = struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3)
    message = refusal(path, packed(header + bytes(100), gzipped), (60_000, 28, 28))
    assert "expected sizes 60000 x 28 x 28, found 4294967295 x 4294967295 x 4294967295" in message
    assert peak_memory(path, (60_000, 28, 28)) < 1 << 20


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_valid_file_needs_memory_for_its_size_and_a_piece(idx_bytes: Any, path: Path, gzipped: bool) -> None:
    array = np.zeros((8 << 20,), np.uint8)
    path.write_bytes(packed(idx_bytes(array), gzipped))
    assert 8 << 20 <= peak_memory(path, array.shape) < 9 << 20


def test_a_path_that_is_not_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.gz: expected a file, found nothing of that name"):
        read_idx(tmp_path / "nowhere.gz", (1,))
    with pytest.raises(DataError, match="expected a file, found a folder"):
        read_idx(tmp_path, (1,))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="expected a readable file, but the system says: Not a directory"):
        read_idx(tmp_path / "file" / "below", (1,))
    with pytest.raises(DataError, match="the system says: File name too long"):
        read_idx(tmp_path / ("x" * 5000), (1,))


def test_sizes_may_be_a_list(idx_bytes: Any, path: Path) -> None:
    path.write_bytes(idx_bytes(SMALL))
    shape: Any = [2, 3]
    np.testing.assert_array_equal(read_idx(path, shape), SMALL)


def test_too_little_memory_is_a_message(idx_bytes: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise MemoryError

    path.write_bytes(idx_bytes(SMALL))
    monkeypatch.setattr("tinygan.data.idx._read_numbers", refuse)
    with pytest.raises(DataError, match=r"the data do not fit into the memory \(it is full\)"):
        read_idx(path, SMALL.shape)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    # With these bytes in the pipe, a reader that opens it fails the test instead of blocking it.
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    os.write(writer, b"no IDX file")
    try:
        with pytest.raises(DataError, match="expected a file, found a device or pipe"):
            read_idx(tmp_path / "pipe", (1,))
    finally:
        os.close(writer)


def test_a_file_that_may_not_be_read_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is simulated, because root may read every file."""
    path.touch()

    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match="the system says: Permission denied"):
        read_idx(path, (1,))
