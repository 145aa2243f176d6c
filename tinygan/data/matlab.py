"""MATLAB files: named arrays of real numbers, read with no trust in what the file says.

The format is level 5 of "MAT-File Format" (The MathWorks): a header of 128 bytes, then one element for each variable,
compressed or not. In it come flags, sizes, name and numbers, each behind a tag: which type, how many bytes. That is all
there is to numbers, and only numbers are read here; there is nothing that could run.

SciPy reads these files and more. But it believes their tags: a wrong type in one makes it read beyond its own table,
and a damaged file then ends the process instead of the loading. The tests hold this reader against SciPy's writer.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tinygan.data.files import reading
from tinygan.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]

HEADER = 128  # bytes
MATRIX, COMPRESSED = 14, 15  # type codes of whole variables
SIZES, NAME, FLAGS = 5, 1, 6  # type codes of what stands before the numbers: int32, int8, uint32
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # of the numbers
# What MATLAB calls an array, by the lowest byte of its flags.
CLASSES = (
    *("", "cell", "struct", "object", "char", "sparse", "double", "single", "int8", "uint8", "int16", "uint16"),
    *("int32", "uint32", "int64", "uint64", "function", "opaque"),
)
NUMBERS = CLASSES[6:16]
COMPLEX, LOGICAL = 0x800, 0x200  # flags
LONGEST = 1024  # bytes of sizes or of a name
MOST_VARIABLES = 1000
PIECE = 1 << 20  # bytes unpacked at once
SMALL = 1 << 24  # bytes: what any variable may unpack to
RATIO = 100  # or this many times its compressed size. Photographs unpack to twice that; zeros, to a thousand times
FRESH_COPY = "replace it by a fresh copy"


def read_matlab(
    path: str | os.PathLike[str], variables: Mapping[str, tuple[Shape, tuple[str, ...]]], most: int | None = None
) -> dict[str, Array]:
    """Read some variables of a MATLAB file (version 5 to 7): real arrays with one row for each of N things.

    Parameters
    ----------
    path : str or path
    variables : mapping of str to (shape, classes)
        For each name the sizes after the first axis, which has N entries in all of them, and the MATLAB classes
        allowed, out of `NUMBERS`.
    most : int, optional
        The largest N.

    Returns
    -------
    dict of str to array
        In the order of `variables`; each (N, *shape), in the dtype of its class, in the memory order of the file, which
        is Fortran's.

    Raises
    ------
    DataError
        The file is missing or damaged, no MATLAB file of these versions, or its variables are others; or it would take
        much more memory than its size justifies.

    Examples
    --------
    >>> import scipy.io, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "small.mat"
    ...     scipy.io.savemat(path, {"x": np.array([[1, 2], [3, 4], [5, 6]], np.uint8)})
    ...     read_matlab(path, {"x": ((2,), NUMBERS)})["x"].tolist()
    [[1, 2], [3, 4], [5, 6]]
    """
    path = Path(path)
    with _failures_as_data_errors(path), path.open("rb") as file:
        order = _byte_order(file)
        found = list(_variables(file, order))
        chosen = _choose(found, variables, most)
        return {name: _numbers(file, variable, order) for name, variable in chosen.items()}


@dataclass(frozen=True)
class _Variable:
    """What a file says of one variable, and where it stands."""

    name: str
    shape: Shape
    kind: str  # of CLASSES, or "logical" or "complex"
    start: int  # of its bytes, after the tag
    size: int
    compressed: bool


class _Damage(Exception):  # noqa: N818
    """What is wrong with the file, as the end of a sentence that begins with its path."""


@contextmanager
def _failures_as_data_errors(path: Path) -> Iterator[None]:
    with reading(path):
        try:
            yield
        except _Damage as damage:
            raise DataError(f"{path}: {damage}") from None
        except zlib.error as error:
            raise DataError(
                f"{path}: expected sound compressed variables, found damage ({error}); {FRESH_COPY}"
            ) from error


# ---------------------------------------------------------------------- what is in the file


def _byte_order(file: BinaryIO) -> str:
    """Read the header: a text for people, the version, and the letters MI as a number in the order of the bytes."""
    header = file.read(HEADER)
    if header[126:] not in (b"IM", b"MI"):
        raise _Damage(
            "expected a MATLAB file of version 5 to 7, found one that does not begin as they do; a download that "
            f"failed may have saved a web page here: {FRESH_COPY}"
        )
    order = "<" if header.endswith(b"IM") else ">"
    (version,) = struct.unpack(f"{order}H", header[124:126])
    if version != 0x0100:
        raise _Damage(
            f"expected a MATLAB file of version 5 to 7, found version number {version:#06x}; 7.3 has 0x0200: save such "
            "a file in MATLAB with the option -v7"
        )
    return order


def _variables(file: BinaryIO, order: str) -> Iterator[_Variable]:
    """Yield every variable of the file; of each only what stands before its numbers is read."""
    length = file.seek(0, io.SEEK_END)
    place, count = HEADER, 0
    while place < length:
        count += 1
        if count > MOST_VARIABLES:
            raise _Damage(f"expected at most {MOST_VARIABLES} variables, found more; check that this is the right file")
        file.seek(place)
        code, size = struct.unpack(f"{order}II", _exactly(file, 8))
        start = place + 8
        if code not in (MATRIX, COMPRESSED):
            raise _Damage(f"expected a variable at byte {place}, found type code {code}; {FRESH_COPY}")
        if start + size > length:
            raise _Damage(f"expected {start + size} bytes or more, found {length}: it was cut short; {FRESH_COPY}")
        compressed = code == COMPRESSED
        name, shape, kind = _head(_opened(file, start, size, compressed, order), order)
        yield _Variable(name, shape, kind, start, size, compressed)
        place = start + size


def _opened(file: BinaryIO, start: int, size: int, compressed: bool, order: str) -> BinaryIO | _Unpacked:
    """Return a stream that stands before the flags of a variable."""
    file.seek(start)
    if not compressed:
        return file
    stream = _Unpacked(file, size)
    code, _ = struct.unpack(f"{order}II", _exactly(stream, 8))
    if code != MATRIX:
        raise _Damage(f"expected a compressed variable, found type code {code} in its place; {FRESH_COPY}")
    return stream


class _Unpacked:
    """The bytes that a compressed element unpacks to."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left, self._zlib = file, size, zlib.decompressobj()

    def read(self, count: int) -> bytes:
        """Unpack `count` bytes, or as many as there are."""
        pieces, missing = [], count
        while missing and not self._zlib.eof:
            packed = self._zlib.unconsumed_tail
            if not packed and self._left:
                packed = self._file.read(min(PIECE, self._left))
                self._left -= len(packed)
            piece = self._zlib.decompress(packed, min(PIECE, missing))
            if not piece and not packed:
                break
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)


def _exactly(stream: BinaryIO | _Unpacked, count: int) -> bytes:
    found = stream.read(count)
    if len(found) < count:
        raise _Damage(f"expected {count} more bytes, found {len(found)}: it was cut short; {FRESH_COPY}")
    return found


def _head(stream: BinaryIO | _Unpacked, order: str) -> tuple[str, Shape, str]:
    """Read flags, sizes and name; the stream then stands before the tag of the numbers."""
    (flags,) = struct.unpack(f"{order}I", _element(stream, order, FLAGS, "flags")[:4])
    kind = CLASSES[flags & 0xFF] if flags & 0xFF < len(CLASSES) else ""
    if not kind:
        raise _Damage(f"expected a MATLAB class, found number {flags & 0xFF}; {FRESH_COPY}")
    if kind == "opaque":  # has no sizes; nobody asks for it
        return "", (), kind
    sizes = _element(stream, order, SIZES, "sizes")
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes[: len(sizes) // 4 * 4])
    if len(shape) < 2 or min(shape) < 0:
        raise _Damage(f"expected two sizes or more, none below 0, found {_sizes(shape) or 'none'}; {FRESH_COPY}")
    name = _element(stream, order, NAME, "name").decode("latin-1")
    kind = "complex" if flags & COMPLEX else "logical" if flags & LOGICAL else kind
    return name, shape, kind


def _element(stream: BinaryIO | _Unpacked, order: str, expected: int, what: str) -> bytes:
    code, size, inside = _tag(stream, order)
    if code != expected or size > LONGEST or (what == "flags" and size != 8):
        raise _Damage(f"expected the {what} of a variable, found type code {code} of {size} bytes; {FRESH_COPY}")
    return inside[:size] if inside else _exactly(stream, size + -size % 8)[:size]


def _tag(stream: BinaryIO | _Unpacked, order: str) -> tuple[int, int, bytes]:
    """Return type, size, and the bytes themselves where the tag holds them: up to four."""
    tag = _exactly(stream, 8)
    code, size = struct.unpack(f"{order}II", tag)
    if code >> 16:
        code, size = code & 0xFFFF, code >> 16
        if size > 4:
            raise _Damage(f"expected at most 4 bytes in a tag, found {size}; {FRESH_COPY}")
        return code, size, tag[4:]
    return code, size, b""


# ---------------------------------------------------------------------- what was asked for


def _choose(
    found: list[_Variable], variables: Mapping[str, tuple[Shape, tuple[str, ...]]], most: int | None
) -> dict[str, _Variable]:
    """Return the variables asked for, or refuse them, before memory is taken for any."""
    names = [variable.name for variable in found]
    missing = [name for name in variables if name not in names]
    if missing:
        raise _Damage(
            f"expected the variables {', '.join(variables)}, found {', '.join(names) or 'none'}: "
            f"{', '.join(missing)} missing; check that this is the right file"
        )
    chosen = {variable.name: variable for variable in found if variable.name in variables}
    count = chosen[next(iter(variables))].shape[0]
    for index, (name, (rest, kinds)) in enumerate(variables.items()):
        if names.count(name) > 1:
            raise _Damage(f"expected one variable {name}, found {names.count(name)}; {FRESH_COPY}")
        variable = chosen[name]
        if variable.shape != (count, *rest):
            expected = _sizes((count if index else "N", *rest))
            raise _Damage(
                f"{name}: expected {expected}, found {_sizes(variable.shape)}; check that this is the right file"
            )
        if variable.kind not in kinds:
            expected = "real numbers" if kinds == NUMBERS else " or ".join(kinds)
            raise _Damage(f"{name}: expected {expected}, found {variable.kind}; check that this is the right file")
    if most is not None and count > most:
        raise _Damage(f"expected at most {most} rows in a variable, found {count}; check that this is the right file")
    return {name: chosen[name] for name in variables}


def _numbers(file: BinaryIO, variable: _Variable, order: str) -> Array:
    stream = _opened(file, variable.start, variable.size, variable.compressed, order)
    _head(stream, order)
    code, size, inside = _tag(stream, order)
    # MATLAB writes numbers in the smallest type that holds them all, whatever their class.
    if code not in TYPES or not np.can_cast(TYPES[code], variable.kind):
        raise _Damage(f"{variable.name}: expected numbers for {variable.kind}, found type code {code}; {FRESH_COPY}")
    dtype = np.dtype(order + TYPES[code])
    if size != math.prod(variable.shape) * dtype.itemsize:
        raise _Damage(
            f"{variable.name}: expected {_sizes(variable.shape)} numbers of {dtype.itemsize} bytes, found {size} "
            f"bytes; {FRESH_COPY}"
        )
    justified = max(SMALL, RATIO * variable.size) if variable.compressed else variable.size
    if size > justified:
        raise _Damage(
            f"{variable.name}: expected at most {justified} bytes of numbers from the {variable.size} in the file, "
            f"found {size} announced; {FRESH_COPY}"
        )
    numbers = np.frombuffer(inside[:size], dtype) if inside else _bytes(stream, size).view(dtype)
    if isinstance(stream, _Unpacked) and len(stream.read(8)) > 7:  # to the end, where zlib compares its checksum
        raise _Damage(f"{variable.name}: expected its end after the numbers, found more bytes; {FRESH_COPY}")
    return numbers.reshape(variable.shape, order="F").astype(variable.kind, copy=False)


def _bytes(stream: BinaryIO | _Unpacked, count: int) -> Array:
    """Return `count` bytes in one array: nothing else of that size is made."""
    found, filled = np.empty(count, np.uint8), 0
    while filled < count:
        piece = _exactly(stream, min(PIECE, count - filled))
        found[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    return found


def _sizes(shape: tuple[Any, ...]) -> str:
    return " x ".join(map(str, shape))
