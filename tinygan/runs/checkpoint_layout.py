"""Where each array lies inside a checkpoint file, and whether a header tells the truth about it.

The arrays stand one behind the other, sorted by name, each padded to a multiple of 64 bytes, with nothing
between and nothing behind. So a list of names, dtypes and shapes has exactly one layout, and a header that
describes any other (overlaps, gaps, sizes that do not follow from shapes, bytes beyond the file) is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tinygan.errors import CheckpointError, DtypeError

Array = npt.NDArray[Any]

ALIGNMENT = 64

# What an array may hold, by NumPy's name, and how it lies in the file: little-endian on every machine.
STORED_DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        "bool",
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
        *(f"float{bits}" for bits in (16, 32, 64)),
    )
}


class Entry(NamedTuple):
    """One array as the header describes it; `offset` and `nbytes` count bytes from the first array."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


def unusable(path: Path, expected: str, found: str) -> CheckpointError:
    """Make the error for a file that cannot be used as a checkpoint.

    Examples
    --------
    >>> str(unusable(Path("a.tgn"), "at least 56 bytes", "0"))[:46]
    'a.tgn: expected at least 56 bytes, found 0; us'
    """
    return CheckpointError(
        f"{path}: expected {expected}, found {found}; use the previous checkpoint: a run keeps its last two "
        "and best.tgn in its folder checkpoints/"
    )


def shown(value: object) -> str:
    """Show a value of unknown size inside an error.

    Examples
    --------
    >>> shown([1, 2]), len(shown("x" * 1000))
    ('[1, 2]', 103)
    """
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "..."


def aligned(nbytes: int) -> int:
    """Round up to the next multiple of `ALIGNMENT`.

    Examples
    --------
    >>> aligned(0), aligned(1), aligned(64)
    (0, 64, 64)
    """
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def data_bytes(entries: list[Entry]) -> int:
    """Count the bytes all arrays take together, padding included.

    Examples
    --------
    >>> data_bytes(lay_out({"a": np.zeros(20, np.float32), "b": np.zeros(1)}))
    192
    """
    return sum(aligned(entry.nbytes) for entry in entries)


def lay_out(arrays: Mapping[str, Array]) -> list[Entry]:
    """Give every array its place, sorted by name.

    Raises
    ------
    DtypeError
        When something is not an array, or holds what the format does not.

    Examples
    --------
    >>> lay_out({"b": np.zeros(2, np.int8)})
    [Entry(name='b', dtype='int8', shape=(2,), offset=0, nbytes=2)]
    """
    for name, array in arrays.items():
        if not isinstance(name, str):
            raise DtypeError(f"checkpoint: an array is named {name!r}; expected text")
        if not isinstance(array, np.ndarray | np.generic):
            raise DtypeError(
                f"checkpoint: array {name!r} is a {type(array).__name__}; expected a NumPy array: convert it"
            )
        if array.dtype.name not in STORED_DTYPES:
            raise DtypeError(
                f"checkpoint: array {name!r} has dtype {array.dtype}; expected {', '.join(STORED_DTYPES)}: "
                "convert it, or split it into arrays of these"
            )
    entries = []
    offset = 0
    for name in sorted(arrays):
        array = arrays[name]
        entries.append(Entry(name, array.dtype.name, array.shape, offset, array.nbytes))
        offset += aligned(array.nbytes)
    return entries


def describe(entry: Entry) -> dict[str, Any]:
    """Describe an entry as the header does; `checked_entries` reads it back.

    Examples
    --------
    >>> describe(Entry("b", "int8", (2,), 0, 2))
    {'name': 'b', 'dtype': 'int8', 'shape': [2], 'offset': 0, 'bytes': 2}
    """
    return {
        "name": entry.name,
        "dtype": entry.dtype,
        "shape": list(entry.shape),
        "offset": entry.offset,
        "bytes": entry.nbytes,
    }


def checked_entries(described: object, available: int, path: Path) -> list[Entry]:
    """Turn a header's description into entries that fill the `available` bytes of the file exactly.

    Raises
    ------
    CheckpointError
        When the description is not the one layout that its names, dtypes and shapes have.

    Examples
    --------
    >>> checked_entries([describe(Entry("b", "int8", (2,), 0, 2))], 64, Path("a.tgn"))
    [Entry(name='b', dtype='int8', shape=(2,), offset=0, nbytes=2)]
    """
    if not isinstance(described, list):
        raise unusable(path, "a list of arrays", shown(described))
    entries: list[Entry] = []
    end = 0
    for item in described:
        entry = _checked_entry(item, path)
        if entries and entry.name <= entries[-1].name:
            found = f"{shown(entry.name)} after {shown(entries[-1].name)}"
            raise unusable(path, "arrays sorted by name, each once", found)
        if entry.offset != end:
            raise unusable(path, f"array {shown(entry.name)} at offset {end}", shown(entry.offset))
        end += aligned(entry.nbytes)
        entries.append(entry)
    if end != available:
        raise unusable(path, f"{end} bytes of arrays", f"{available}")
    return entries


def _checked_entry(item: object, path: Path) -> Entry:
    fields = {"name": str, "dtype": str, "shape": list, "offset": int, "bytes": int}
    if not (isinstance(item, dict) and {key: type(value) for key, value in item.items()} == fields):
        raise unusable(path, f"an array described by {', '.join(fields)}", shown(item))
    name, dtype, shape = shown(item["name"]), item["dtype"], tuple(item["shape"])
    if dtype not in STORED_DTYPES:
        raise unusable(path, f"array {name} of dtype {', '.join(STORED_DTYPES)}", shown(dtype))
    if not all(type(length) is int and length >= 0 for length in shape):
        raise unusable(path, f"array {name} with lengths of 0 or more", f"the shape {shown(item['shape'])}")
    nbytes = math.prod(shape) * STORED_DTYPES[dtype].itemsize
    if item["bytes"] != nbytes:
        raise unusable(path, f"array {name} of {nbytes} bytes, as its shape says", shown(item["bytes"]))
    return Entry(item["name"], dtype, shape, item["offset"], nbytes)
