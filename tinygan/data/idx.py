"""Reading IDX, the file format of MNIST; the reader checks every byte that it relies on.

An IDX file is a short header and then the numbers, plain or compressed with gzip::

    2 bytes    zero
    1 byte     type of the numbers; 0x08 is the unsigned byte, the only type that is read here
    1 byte     n, the number of dimensions
    n x 4      the size of each dimension, big-endian
    ...        the numbers, last dimension fastest

The caller gives the expected shape, and the header is compared with it before memory is allocated. So the reader needs
memory only for one array of the expected shape and one small piece of input, even if a file claims 2^32 - 1 images or a
few kilobytes of gzip unpack to gigabytes.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import io
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np

from tinygan.data.files import reading
from tinygan.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]

UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"
PIECE = 1 << 18  # bytes unpacked at a time: GzipFile copies each piece, so it must be small
FRESH_COPY = "replace it by a fresh copy"


def read_idx(path: str | os.PathLike[str], shape: tuple[int, ...]) -> Array:
    """Read an IDX file of unsigned bytes, gzipped or plain, of a known shape.

    Parameters
    ----------
    path : str or path
        The file. Its first bytes, not its name, show whether it is gzipped.
    shape : tuple of int
        The shape that the file must have.

    Returns
    -------
    uint8 array of the given shape

    Raises
    ------
    DataError
        The file cannot be read, is damaged, or does not hold exactly these numbers.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "two-by-three.idx"
    ...     _ = path.write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3]) + b"abcdef")
    ...     read_idx(path, shape=(2, 3))
    array([[ 97,  98,  99],
           [100, 101, 102]], dtype=uint8)
    """
    path, shape = Path(path), tuple(shape)
    with _failures_as_data_errors(path), _open(path) as stream:
        _check_header(stream, path, shape)
        numbers = _read_numbers(stream, path, math.prod(shape))
        # Reading past the numbers also makes gzip compare its checksum, which is at the end.
        if stream.read(1):
            raise DataError(
                f"{path}: expected the file to end after {_sizes(shape)} numbers, found more bytes; "
                f"{FRESH_COPY}"
            )
    return numbers.reshape(shape)


@contextmanager
def _failures_as_data_errors(path: Path) -> Iterator[None]:
    """Turn errors of the system and of gzip into a `DataError` that names the file."""
    with reading(path):
        try:
            yield
        except EOFError:
            raise DataError(
                f"{path}: expected a complete gzip stream, found one that ends after "
                f"{path.stat().st_size} bytes; {FRESH_COPY}"
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(
                f"{path}: expected a valid gzip stream, found a damaged one ({error}); {FRESH_COPY}"
            ) from error


@contextmanager
def _open(path: Path) -> Iterator[io.BufferedIOBase]:
    """Open a file, through gzip if its first bytes are those of gzip."""
    with path.open("rb") as file:
        start = file.peek(4)[:4]
        if start.startswith(GZIP_MAGIC):
            with gzip.GzipFile(fileobj=file) as unpacked:
                # GzipFile is a BufferedIOBase, but the type stubs do not state it.
                yield cast(io.BufferedIOBase, unpacked)
        elif not start:
            raise DataError(f"{path}: expected an IDX file, found an empty one; {FRESH_COPY}")
        elif start[:2] not in (b"\0", b"\0\0"):
            raise DataError(
                f"{path}: expected gzip (first bytes 1f 8b) or plain IDX (first bytes 00 00), found "
                f"{start.hex(' ')}; a download that failed may have saved a web page here: {FRESH_COPY}"
            )
        else:
            yield file


def _check_header(stream: io.BufferedIOBase, path: Path, shape: tuple[int, ...]) -> None:
    """Compare the header with the expected shape, before memory is allocated."""
    length = 4 + 4 * len(shape)
    header = stream.read(length)
    magic, expected = header[:4], bytes([0, 0, UNSIGNED_BYTE, len(shape)])
    if len(magic) == 4 and magic != expected:
        raise DataError(
            f"{path}: expected the magic number {expected.hex(' ')} ({_meaning(expected)}), "
            f"found {magic.hex(' ')} ({_meaning(magic)}); check that this is the right file"
        )
    if len(header) < length:
        raise DataError(f"{path}: expected a header of {length} bytes, found {len(header)}; {FRESH_COPY}")
    found = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    if found != shape:
        raise DataError(
            f"{path}: expected sizes {_sizes(shape)}, found {_sizes(found)}; "
            "check that this is the right file"
        )


def _read_numbers(stream: io.BufferedIOBase, path: Path, count: int) -> Array:
    """Unpack exactly `count` bytes, piece by piece, into one array."""
    numbers = np.empty(count, np.uint8)
    filled = 0
    while filled < count:
        got = stream.readinto(numbers[filled : filled + PIECE].data)
        if not got:
            raise DataError(
                f"{path}: expected {count} numbers after the header, found {filled}; {FRESH_COPY}"
            )
        filled += got
    return numbers


def _meaning(magic: bytes) -> str:
    if magic[:2] != b"\0\0":
        return "not that of an IDX file"
    if magic[2] != UNSIGNED_BYTE:
        return f"type code 0x{magic[2]:02x} is not the unsigned byte 0x{UNSIGNED_BYTE:02x}"
    return f"{magic[3]}-dimensional unsigned bytes"


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
