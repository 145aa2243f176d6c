"""A safetensors file with a checksum: arrays by name, and JSON about them.

Every reader of safetensors can open it. Its metadata have one entry, "tinygan", which is JSON. It holds the SHA-256 of
the whole file, computed with zeros in the place of its 64 digits: without it, most flipped bits would go unnoticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tinygan.errors import CheckpointError, DtypeError

Array = npt.NDArray[Any]

# What an array may hold, by NumPy's name.
STORED_DTYPES = (
    "bool",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(f"float{bits}" for bits in (16, 32, 64)),
)
LARGEST_HEADER = 1 << 22  # bytes, a thousand times what a run needs: as Python's objects, JSON takes up to thirty times

_ENTRY = "tinygan"
_ZEROS = "0" * 64  # in the place of the checksum while it is computed


def storable(operation: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return arrays as they are stored: sorted by name, C-contiguous, in native byte order.

    Parameters
    ----------
    operation : str
        What is named in an error.
    arrays : mapping of str to ndarray
        Booleans, integers and floats up to 64 bits, of any shape and byte order.

    Raises
    ------
    DtypeError
        A name or an array cannot be stored.

    Examples
    --------
    >>> storable("save", {"b": np.ones(2, ">i2"), "a": np.ones(())})
    {'a': array(1.), 'b': array([1, 1], dtype=int16)}
    """
    for name, array in arrays.items():
        if not isinstance(name, str) or not name.isprintable() or name in ("", "__metadata__"):
            raise DtypeError(f"{operation}: an array is named {name!r}; expected printable text, not '__metadata__'")
        if not isinstance(array, np.ndarray | np.generic) or array.dtype.name not in STORED_DTYPES:
            found, known = getattr(array, "dtype", type(array).__name__), ", ".join(STORED_DTYPES)
            raise DtypeError(f"{operation}: {name} is of type {found}; expected a NumPy array of {known}: convert it")
    return {name: np.require(arrays[name], arrays[name].dtype.newbyteorder("="), "C") for name in sorted(arrays)}


def encode(operation: str, arrays: Mapping[str, Array], said: Mapping[str, Any]) -> list[bytes | memoryview]:
    """Return the bytes of a file, in parts; the same content gives the same bytes.

    Parameters
    ----------
    operation, arrays
        See `storable`.
    said : mapping of str to object
        What JSON can hold; the name "sha256" is taken.

    Raises
    ------
    DtypeError
        Something cannot be stored, or the header would have more than 4 MiB.

    Examples
    --------
    >>> import io
    >>> content = b"".join(encode("save", {"a": np.ones(2)}, {"step": 7}))
    >>> decode(io.BytesIO(content), len(content))[0]
    {'a': array([1., 1.])}
    """
    from safetensors.numpy import save

    stored = storable(operation, arrays)
    try:
        text = json.dumps({**said, "sha256": _ZEROS}, sort_keys=True, separators=(",", ":"))
    except ValueError as error:  # an integer of thousands of digits
        raise DtypeError(f"{operation}: the state cannot be written as JSON: {error}") from error
    content = save(stored, {_ENTRY: text})
    length = int.from_bytes(content[:8], "little")
    if length > LARGEST_HEADER:
        raise DtypeError(
            f"{operation}: the header takes {length} bytes; expected at most {LARGEST_HEADER}: store long lists among "
            "the arrays"
        )
    place = content.index(_ZEROS.encode())
    digest = hashlib.sha256(content).hexdigest().encode()
    return [content[:place], digest, memoryview(content)[place + len(digest) :]]


def decode(file: BinaryIO, size: int) -> tuple[dict[str, Array], dict[str, str], dict[str, Any] | None]:
    """Read a file of any program, and compare its checksum if it has one.

    Parameters
    ----------
    file : binary file
        At its beginning; see `tinygan.runs.plain_files.opened_to_read`.
    size : int
        How many bytes it has. What its header accounts for is compared with it before anything is allocated.

    Returns
    -------
    arrays : dict of str to ndarray
        Sorted by name, C-contiguous, in native byte order, writable.
    metadata : dict of str to str
    said : dict or None
        What `encode` was given; None where another program wrote the file.

    Raises
    ------
    CheckpointError
        The file is damaged. The parsers raise exceptions of their own, too.
    """
    from safetensors.numpy import load

    beginning = file.read(8)
    length = int.from_bytes(beginning, "little")
    if len(beginning) < 8 or not 2 <= length <= min(size - 8, LARGEST_HEADER):
        raise CheckpointError(f"its header would have {length} bytes")
    encoded = file.read(length)
    header = json.loads(encoded)
    # What the header accounts for is read, and no more: the rest of a sparse file has a size and no content.
    ends = (entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    if 8 + length + max(ends, default=0) != size:
        raise CheckpointError("its header accounts for another size")
    file.seek(0)
    content = file.read(size)
    metadata = header.get("__metadata__") or {}
    said = json.loads(metadata[_ENTRY]) if _ENTRY in metadata else None
    if said is not None:
        _compare_checksum(content, said.pop("sha256"))
    arrays = {name: usable(name, array) for name, array in sorted(load(content).items())}
    return arrays, metadata, said


def _compare_checksum(content: bytes, recorded: str) -> None:
    place = content.index(recorded.encode())
    digest = hashlib.sha256(content[:place] + _ZEROS.encode())
    digest.update(memoryview(content)[place + len(recorded) :])
    if digest.hexdigest() != recorded:
        raise CheckpointError(f"its SHA-256 is {digest.hexdigest():.16}..., and it says {recorded:.16}...")


def usable(name: str, array: Array) -> Array:
    """Return a loaded array, C-contiguous, in native byte order and writable.

    Raises
    ------
    CheckpointError
        Its dtype is none that we store, or a boolean is neither 0 nor 1.

    Examples
    --------
    >>> usable("a", np.ones(2, ">f4"))
    array([1., 1.], dtype=float32)
    """
    if array.dtype.name not in STORED_DTYPES:
        raise CheckpointError(f"{name} has dtype {array.dtype}; expected {', '.join(STORED_DTYPES)}")
    if array.dtype == bool and array.size and array.view(np.uint8).max() > 1:
        raise CheckpointError(f"the boolean array {name} holds {array.view(np.uint8).max()}; expected zeros and ones")
    return np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
