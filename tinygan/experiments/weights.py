"""Weights of networks in files that other programs read and write: safetensors and NumPy's ``.npz``.

A checkpoint holds the whole state of a run and is tinygan's own; these files hold arrays under the names of
`nn.Module.state_dict`, and nothing else. Neither can run code: ``.safetensors`` is read by the package of that name, of
``.npz`` no pickle is opened and nothing compressed is unpacked, so that no array is larger than the file it came from.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from tinygan.errors import CheckpointError, DtypeError
from tinygan.runs.atomic import atomic_write
from tinygan.runs.checkpoint_layout import STORED_DTYPES, Array, shown


def save_weights(path: str | os.PathLike[str], weights: Mapping[str, Array]) -> None:
    """Write arrays into a file, all or nothing.

    Parameters
    ----------
    path : path
        A name that ends in ``.safetensors`` or ``.npz``; that decides the format. A file of this name is replaced.
    weights : mapping of str to ndarray
        What `nn.Module.state_dict` returns: booleans, integers and floats up to 64 bits, of any shape. They are stored
        in C order, little-endian.

    Raises
    ------
    DtypeError
        A name or an array cannot be stored. Nothing is written.
    CheckpointError
        The file's name ends in something else, or the system refuses. A file that stood there before is untouched.

    Examples
    --------
    >>> import tempfile
    >>> from tinygan import nn
    >>> net, other = nn.Linear(2, 3), nn.Linear(2, 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(Path(folder, "net.safetensors"), net.state_dict())
    ...     other.load_state_dict(load_weights(Path(folder, "net.safetensors")))
    >>> np.array_equal(net.weight.data, other.weight.data)
    True
    """
    path = Path(path)
    encode, _ = _format_of(path)
    arrays = {name: _storable(name, array) for name, array in sorted(weights.items())}
    try:
        atomic_write(path, [encode(arrays)])
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be written: {error.strerror or error}; free space, correct the permissions, or choose "
            "another name"
        ) from error


def load_weights(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read a file of arrays, by whichever program it was written.

    Parameters
    ----------
    path : path
        A ``.safetensors`` file, or an ``.npz`` file as `numpy.savez` writes it, not compressed.

    Returns
    -------
    dict of str to ndarray
        In native byte order, writable, sorted by name: for `nn.Module.load_state_dict`, which checks names and shapes.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, of another format, or holds what is no array of numbers. A safetensors file has no
        checksum: numbers that were changed inside it are not noticed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "net.npz"), bias=np.zeros(2, np.float32))
    ...     load_weights(Path(folder, "net.npz"))
    {'bias': array([0., 0.], dtype=float32)}
    """
    path = Path(path)
    _, decode = _format_of(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}; give the file of weights") from error
    try:
        arrays = decode(content)
    except Exception as error:  # a damaged file makes the parsers raise whatever comes to hand
        raise CheckpointError(
            f"{path}: expected {path.suffix} weights, found a file of {len(content)} bytes that cannot be read "
            f"({shown(str(error) or type(error).__name__)}); write it again, or get another copy"
        ) from error
    return {name: arrays[name] for name in sorted(arrays)}


def _storable(name: str, array: Array) -> Array:
    """Return the array as it is stored, or refuse it."""
    if not isinstance(name, str) or not name.isprintable() or name in ("", "__metadata__"):
        raise DtypeError(f"save_weights: an array is named {name!r}; expected printable text, not '__metadata__'")
    if not isinstance(array, np.ndarray | np.generic) or array.dtype.name not in STORED_DTYPES:
        found = array.dtype if hasattr(array, "dtype") else type(array).__name__
        raise DtypeError(
            f"save_weights: {name} is of type {found}; expected a NumPy array of {', '.join(STORED_DTYPES)}: convert it"
        )
    return np.require(array, STORED_DTYPES[array.dtype.name], "C")


def _loaded(name: str, array: Array) -> Array:
    """Return a loaded array as everyone expects it, or refuse what is no array of numbers."""
    if array.dtype.name not in STORED_DTYPES:
        raise ValueError(f"{name} has dtype {array.dtype}; expected {', '.join(STORED_DTYPES)}")
    return np.array(array, array.dtype.newbyteorder("="), order="C")


# ---------------------------------------------------------------------- the formats


def _encode_safetensors(arrays: dict[str, Array]) -> bytes:
    from safetensors.numpy import save

    return save(arrays)


def _decode_safetensors(content: bytes) -> dict[str, Array]:
    from safetensors.numpy import load

    return {name: _loaded(name, array) for name, array in load(content).items()}


def _encode_npz(arrays: dict[str, Array]) -> memoryview:
    """Do what `numpy.savez` does, also for arrays that are named like one of its arguments."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                npy.write_array(file, array, allow_pickle=False)
    return content.getbuffer()


def _decode_npz(content: bytes) -> dict[str, Array]:
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("it is compressed: write it with numpy.savez, not numpy.savez_compressed")
        # What is not compressed, and does not overlap, takes no more room in memory than in the file.
        if sum(member.file_size for member in members) > len(content):
            raise ValueError("its arrays are larger than the file")
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in arrays or name == member.filename:
                raise ValueError(f"its member {member.filename!r} is no array, or stands there twice")
            with archive.open(member) as file:
                arrays[name] = _loaded(name, _read_npy(file.read()))  # to the end, where the CRC is compared
    return arrays


def _read_npy(content: bytes) -> Array:
    """Read an array after comparing the size that its header names with the bytes that are there."""
    file = io.BytesIO(content)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    shape, fortran_order, dtype = readers[npy.read_magic(file)](file)
    if dtype.hasobject or any(length < 0 for length in shape):
        raise ValueError(f"its header names shape {shape} and dtype {dtype}")
    data = content[file.tell() :]
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"its header names shape {shape} and dtype {dtype}, but {len(data)} bytes follow")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")


Encode = Callable[[dict[str, Array]], "bytes | memoryview"]
Decode = Callable[[bytes], dict[str, Array]]

FORMATS: dict[str, tuple[Encode, Decode]] = {
    ".safetensors": (_encode_safetensors, _decode_safetensors),
    ".npz": (_encode_npz, _decode_npz),
}


def _format_of(path: Path) -> tuple[Encode, Decode]:
    if path.suffix not in FORMATS:
        raise CheckpointError(f"{path}: expected a name that ends in {' or '.join(FORMATS)}, found {path.name!r}")
    return FORMATS[path.suffix]
