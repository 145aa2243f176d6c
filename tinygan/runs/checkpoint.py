r"""Checkpoints: the whole state of a training run in one file that cannot lie.

The file is read as data and nothing else: no pickle, no code, nothing that can run. From its first byte on:

==========  ================================================================================================
8 bytes     the magic, ``TINYGAN\n``
8 bytes     the version of the format, 1 (unsigned, little-endian, as is the next)
8 bytes     the length of the header
the header  ASCII JSON: ``{"arrays": [...], "state": {...}}``. An array is described by ``name``, ``dtype``
            (bool, int8 ... int64, uint8 ... uint64, float16, float32 or float64), ``shape``, ``offset``
            (from the first multiple of 64 after the header) and ``bytes``
the arrays  sorted by name, C order, little-endian, each padded with zeros to a multiple of 64
32 bytes    SHA-256 of everything before
==========  ================================================================================================

Every version starts with the magic and the version and ends with the checksum, so that a damaged file can be
told from a newer one. The same content always gives the same bytes. `read_checkpoint` compares the checksum
before it believes anything else, and every size with the size of the file before it allocates anything. A header
has at most 4 MiB, a thousand times what a run needs: as Python's objects, JSON takes up to thirty times its size.

In the state, nan and the infinities are written as Python's ``json`` writes them (``NaN``, ``Infinity``):
a diverged run must be resumable too, and no other program reads this header. Integers may have any number of
bits up to Python's limit of 4300 digits.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.errors import CheckpointError, DtypeError
from tinygan.runs.atomic import atomic_write
from tinygan.runs.checkpoint_layout import (
    STORED_DTYPES,
    Array,
    Entry,
    aligned,
    checked_entries,
    data_bytes,
    describe,
    lay_out,
    shown,
    unusable,
)
from tinygan.runs.json_values import json_value

_MAGIC = b"TINYGAN\n"
_VERSION = 1
_PREFIX = struct.Struct("<8sQQ")
_DIGEST_BYTES = hashlib.sha256().digest_size
_HASH_BLOCK = 1 << 20
LARGEST_HEADER = 1 << 22  # bytes


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What `read_checkpoint` found.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Each with the shape and dtype it was saved with, C-contiguous, in native byte order, writable.
    state : dict
        Everything else, as JSON gives it back: tuples have become lists.
    path : Path
        The file it came from.
    """

    arrays: dict[str, Array]
    state: dict[str, Any]
    path: Path


def write_checkpoint(
    path: str | os.PathLike[str], arrays: Mapping[str, Array], state: Mapping[str, Any]
) -> None:
    """Write arrays and state into one file, all or nothing.

    Parameters
    ----------
    path : path
        The file to create or replace; see `tinygan.runs.atomic.atomic_write`.
    arrays : mapping of str to ndarray
        Booleans, integers and floats up to 64 bits, of any shape and byte order. Arrays that are not
        C-contiguous and little-endian are copied, one at a time; others are written from where they lie.
    state : mapping of str to object
        Anything JSON can hold; NumPy scalars become Python numbers, tuples become lists.

    Raises
    ------
    DtypeError
        When an array or a value cannot be stored. Nothing is written.
    CheckpointError
        When the system refuses to write. A file that stood there before is untouched.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_checkpoint(Path(folder, "a.tgn"), {"weight": np.ones(3, np.float32)}, {"step": 7})
    ...     checkpoint = read_checkpoint(Path(folder, "a.tgn"))
    >>> checkpoint.arrays["weight"], checkpoint.state
    (array([1., 1., 1.], dtype=float32), {'step': 7})
    """
    path = Path(path)
    entries = lay_out(arrays)
    header = _encoded_header(entries, state)
    size = _data_start(len(header)) + data_bytes(entries) + _DIGEST_BYTES
    ordered = (arrays[entry.name] for entry in entries)
    try:
        atomic_write(path, _with_checksum(_content(header, ordered)))
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot write the checkpoint of {size} bytes: {error.strerror or error}; what stood "
            "under this name is still whole. Free space or correct the permissions of the folder, then resume"
        ) from error


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read and check a file of `write_checkpoint`.

    Raises
    ------
    CheckpointError
        When the file is missing, unreadable, damaged in any bit, cut short, lengthened, not a checkpoint, or
        written in a format this version does not know. The message says what to use instead.

    Examples
    --------
    >>> try:
    ...     read_checkpoint("no-such-file.tgn")
    ... except CheckpointError as error:
    ...     print(str(error)[:67])
    no-such-file.tgn: expected a checkpoint, found no file of this name
    """
    path = Path(path)
    try:
        if not path.is_file():
            found = "something that is not a file" if path.exists() else "no file of this name"
            raise unusable(path, "a checkpoint", found)
        with path.open("rb") as file:
            return _read(file, path)
    except MemoryError as error:
        raise unusable(path, "a checkpoint that fits into the memory", f"{path.stat().st_size} bytes") from error
    except OSError as error:
        raise unusable(path, "a readable file", f"the error {error.strerror or error}") from error


# --- writing ---------------------------------------------------------------------------------------------


def _encoded_header(entries: list[Entry], state: Mapping[str, Any]) -> bytes:
    plain = json_value(state, "state")
    if not isinstance(plain, dict):
        raise DtypeError(f"checkpoint: state is a {type(state).__name__}; expected a dict")
    header = {"arrays": [describe(entry) for entry in entries], "state": plain}
    try:
        encoded = json.dumps(header, sort_keys=True, separators=(",", ":")).encode("ascii")
    except ValueError as error:  # an integer of thousands of digits
        raise DtypeError(f"checkpoint: the state cannot be written as JSON: {error}") from error
    if len(encoded) > LARGEST_HEADER:
        raise DtypeError(
            f"checkpoint: the state takes {len(encoded)} bytes of JSON; expected at most {LARGEST_HEADER}: store long "
            "lists among the arrays"
        )
    return encoded


def _content(header: bytes, arrays: Iterable[Array]) -> Iterator[bytes | memoryview]:
    yield _PREFIX.pack(_MAGIC, _VERSION, len(header))
    yield header
    yield bytes(_data_start(len(header)) - _PREFIX.size - len(header))
    for array in arrays:
        stored = np.ascontiguousarray(array, dtype=STORED_DTYPES[array.dtype.name])
        raw = stored.reshape(-1).view(np.uint8)
        yield raw.data
        yield bytes(aligned(raw.nbytes) - raw.nbytes)


def _with_checksum(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    yield digest.digest()


def _data_start(header_bytes: int) -> int:
    return aligned(_PREFIX.size + header_bytes)


# --- reading ---------------------------------------------------------------------------------------------


def _read(file: BufferedReader, path: Path) -> Checkpoint:
    size = os.fstat(file.fileno()).st_size
    header_bytes = _read_prefix(file, size, path)
    try:
        header = json.loads(file.read(header_bytes).decode("ascii"), object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise unusable(path, "a header of JSON", str(error)) from error
    if not (isinstance(header, dict) and header.keys() == {"arrays", "state"}):
        raise unusable(path, "a header of 'arrays' and 'state'", shown(header))
    if not isinstance(header["state"], dict):
        raise unusable(path, "a state of named values", shown(header["state"]))

    start = _data_start(header_bytes)
    entries = checked_entries(header["arrays"], size - start - _DIGEST_BYTES, path)
    arrays = {entry.name: _read_array(file, start, entry, path) for entry in entries}
    return Checkpoint(arrays, header["state"], path)


def _read_prefix(file: BufferedReader, size: int, path: Path) -> int:
    """Check magic, checksum, version and header length, in this order; leave the file at the header."""
    smallest = _PREFIX.size + _DIGEST_BYTES
    if size < smallest:
        raise unusable(path, f"at least {smallest} bytes", f"{size}")
    magic, version, header_bytes = _PREFIX.unpack(file.read(_PREFIX.size))
    if magic != _MAGIC:
        raise unusable(path, f"a tinygan checkpoint, which starts with {_MAGIC!r}", f"{magic!r}")
    _check_checksum(file, size, path)
    if version != _VERSION:
        raise CheckpointError(
            f"{path}: expected format version {_VERSION}, found {version}; the file is whole but another "
            "version of tinygan wrote it: read it with that one"
        )
    if _data_start(header_bytes) + _DIGEST_BYTES > size:
        raise unusable(path, f"a header that fits into the file's {size} bytes", f"{header_bytes} bytes")
    if header_bytes > LARGEST_HEADER:
        raise unusable(path, f"a header of at most {LARGEST_HEADER} bytes", f"{header_bytes}")
    file.seek(_PREFIX.size)
    return int(header_bytes)


def _check_checksum(file: BufferedReader, size: int, path: Path) -> None:
    digest = hashlib.sha256()
    file.seek(0)
    rest = size - _DIGEST_BYTES
    while rest and (block := file.read(min(rest, _HASH_BLOCK))):
        digest.update(block)
        rest -= len(block)
    recorded = file.read(_DIGEST_BYTES)
    if digest.digest() != recorded:
        raise unusable(
            path,
            f"content with the SHA-256 {recorded.hex()[:16]}... that its end names",
            f"{digest.hexdigest()[:16]}...: the file of {size} bytes is damaged or incomplete",
        )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise CheckpointError(f"a key that stands twice among {shown(sorted(key for key, _ in pairs))}")
    return unique


def _read_array(file: BufferedReader, start: int, entry: Entry, path: Path) -> Array:
    name = shown(entry.name)
    try:
        array = np.empty(entry.shape, STORED_DTYPES[entry.dtype])
    except ValueError as error:  # more dimensions, or larger ones beside a zero, than NumPy has
        raise unusable(path, f"array {name} with a shape NumPy can hold", str(error)) from error
    raw = array.reshape(-1).view(np.uint8)
    file.seek(start + entry.offset)
    read = file.readinto(raw.data) if raw.nbytes else 0
    if read != entry.nbytes:
        raise unusable(path, f"{entry.nbytes} bytes of array {name}", f"{read}: is the file being changed?")
    if entry.dtype == "bool" and raw.size and raw.max() > 1:
        raise unusable(path, f"zeros and ones in the boolean array {name}", f"{raw.max()}")
    return array.astype(entry.dtype, copy=False)
