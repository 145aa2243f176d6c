"""Reading MATLAB files: named arrays of real numbers; the reader checks everything that the file states.

The format is level 5 of "MAT-File Format" (The MathWorks): a header of 128 bytes, then one element for each variable,
compressed or not. An element holds flags, sizes, name and numbers, each after a tag with its type and number of bytes.
Only numbers are read, so a file cannot run code.

SciPy reads these files, too. But it does not check their tags: a wrong type makes it read beyond its own table, and a
damaged file then ends the process. The tests compare this reader with SciPy's writer.
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
SIZES, NAME, FLAGS = 5, 1, 6  # type codes of the elements before the numbers: int32, int8, uint32
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # of the numbers
# The MATLAB class of an array, by the lowest byte of its flags.
CLASSES = (
    *("", "cell", "struct", "object", "char", "sparse", "double", "single", "int8", "uint8", "int16", "uint16"),
    *("int32", "uint32", "int64", "uint64", "function", "opaque"),
)
NUMBERS = CLASSES[6:16]
COMPLEX, LOGICAL = 0x800, 0x200  # flags
LONGEST = 1024  # bytes of sizes or of a name
MOST_VARIABLES = 1000
PIECE = 1 << 20  # bytes unpacked at once
SMALL = 1 << 24  # a variable may unpack to this number of bytes,
RATIO = 100  # or to this many times its compressed size (photographs need 2 times, zeros 1000 times)
FRESH_COPY = "replace it by a fresh copy"


def read_matlab(
    path: str | os.PathLike[str], variables: Mapping[str, tuple[Shape, tuple[str, ...]]], most: int | None = None
) -> dict[str, Array]:
    """Read some variables of a MATLAB file (version 5 to 7): real arrays of N rows each.

    Parameters
    ----------
    path : str or path
    variables : mapping of str to (shape, classes)
        For each name, the sizes after the first axis (which has N entries in every variable), and the MATLAB classes
        allowed, from `NUMBERS`.
    most : int, optional
        The largest N.

    Returns
    -------
    dict of str to array
        In the order of `variables`; each (N, *shape), in the dtype of its class, and in Fortran order, as in the file.

    Raises
    ------
    DataError
        The file is missing or damaged, is not a MATLAB file of these versions, has other variables, or needs much more
        memory than its size justifies.

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
    """The description of one variable in a file, and its position."""

    name: str
    shape: Shape
    kind: str  # one of CLASSES, or "logical" or "complex"
    start: int  # position of its bytes, after the tag
    size: int
    compressed: bool


class _Damage(Exception):  # noqa: N818
    """A fault of the file, as the end of a sentence that begins with its path."""


@contextmanager
def _failures_as_data_errors(path: Path) -> Iterator[None]:
    with reading(path):
        try:
            yield
        except _Damage as damage:
            raise DataError(f"{path}: {damage}") from None
        except zlib.error as error:
            raise DataError(
                f"{path}: expected valid compressed variables, found damage ({error}); {FRESH_COPY}"
            ) from error


# ---------------------------------------------------------------------- the variables of the file


def _byte_order(file: BinaryIO) -> str:
    """Read the header: a text, the version, and the letters MI as a number; return the byte order."""
    header = file.read(HEADER)
    if header[126:] not in (b"IM", b"MI"):
        raise _Damage(
            "expected a MATLAB file of version 5 to 7, found a file that begins differently; a download that failed "
            f"may have saved a web page here: {FRESH_COPY}"
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
    """Yield every variable of the file; the numbers are not read."""
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
            raise _Damage(f"expected {start + size} bytes or more, found {length}: it is truncated; {FRESH_COPY}")
        compressed = code == COMPRESSED
        name, shape, kind = _head(_opened(file, start, size, compressed, order), order)
        yield _Variable(name, shape, kind, start, size, compressed)
        place = start + size


def _opened(file: BinaryIO, start: int, size: int, compressed: bool, order: str) -> BinaryIO | _Unpacked:
    """Return a stream at the flags of a variable."""
    file.seek(start)
    if not compressed:
        return file
    stream = _Unpacked(file, size)
    code, _ = struct.unpack(f"{order}II", _exactly(stream, 8))
    if code != MATRIX:
        raise _Damage(f"expected a compressed variable, found type code {code} in its place; {FRESH_COPY}")
    return stream


class _Unpacked:
    """A stream of the unpacked bytes of a compressed element."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left, self._zlib = file, size, zlib.decompressobj()

    def read(self, count: int) -> bytes:
        """Unpack `count` bytes, or fewer at the end."""
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
        raise _Damage(f"expected {count} more bytes, found {len(found)}: it is truncated; {FRESH_COPY}")
    return found


def _head(stream: BinaryIO | _Unpacked, order: str) -> tuple[str, Shape, str]:
    """Read flags, sizes and name; the stream is then at the tag of the numbers."""
    (flags,) = struct.unpack(f"{order}I", _element(stream, order, FLAGS, "flags")[:4])
    kind = CLASSES[flags & 0xFF] if flags & 0xFF < len(CLASSES) else ""
    if not kind:
        raise _Damage(f"expected a MATLAB class, found number {flags & 0xFF}; {FRESH_COPY}")
    if kind == "opaque":  # has no sizes, and is never read
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
    """Return type, size, and the bytes if the tag holds them (at most four)."""
    tag = _exactly(stream, 8)
    code, size = struct.unpack(f"{order}II", tag)
    if code >> 16:
        code, size = code & 0xFFFF, code >> 16
        if size > 4:
            raise _Damage(f"expected at most 4 bytes in a tag, found {size}; {FRESH_COPY}")
        return code, size, tag[4:]
    return code, size, b""


# ---------------------------------------------------------------------- the variables requested


def _choose(
    found: list[_Variable], variables: Mapping[str, tuple[Shape, tuple[str, ...]]], most: int | None
) -> dict[str, _Variable]:
    """Return the requested variables, or refuse them, before memory is allocated."""
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
    # MATLAB stores numbers in the smallest type that can represent them, which may differ from their class.
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
            f"found a size of {size}; {FRESH_COPY}"
        )
    numbers = np.frombuffer(inside[:size], dtype) if inside else _bytes(stream, size).view(dtype)
    if isinstance(stream, _Unpacked) and len(stream.read(8)) > 7:  # at the end zlib compares its checksum
        raise _Damage(f"{variable.name}: expected its end after the numbers, found more bytes; {FRESH_COPY}")
    return numbers.reshape(variable.shape, order="F").astype(variable.kind, copy=False)


def _bytes(stream: BinaryIO | _Unpacked, count: int) -> Array:
    """Return `count` bytes in one array, without another array of this size."""
    found, filled = np.empty(count, np.uint8), 0
    while filled < count:
        piece = _exactly(stream, min(PIECE, count - filled))
        found[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    return found


def _sizes(shape: tuple[Any, ...]) -> str:
    return " x ".join(map(str, shape))
