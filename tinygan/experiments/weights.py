"""Weights of networks in files that other programs read and write: safetensors and NumPy's ``.npz``.

A checkpoint holds the whole state of a run, in a format of tinygan. These files hold only arrays, under the names of
`nn.Module.state_dict`. Neither format can run code: the package ``safetensors`` reads ``.safetensors``; in ``.npz``
pickles and compressed arrays are refused, so no array is larger than its file.

The weight of `nn.Linear` has the shape (in, out) here and (out, in) in PyTorch. A file has one of two layouts:

* ``tinygan``: every array as in tinygan.
* ``pytorch``: the weights of `nn.Linear` and `nn.Maxout` are transposed, the other arrays are not. PyTorch has no
  maxout layer: there, load the arrays of ``nn.Maxout(n, units, pieces)`` into ``nn.Linear(n, pieces * units)``, and
  apply ``y.unflatten(-1, (pieces, units)).amax(-2)`` to its output ``y``.

The file records its layout and the names of the transposed arrays: a safetensors file in its metadata, under "tinygan",
an ``.npz`` file in the comment of the archive, which other readers ignore.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from tinygan import nn
from tinygan.errors import CheckpointError, DtypeError
from tinygan.runs.atomic import atomic_write
from tinygan.runs.checkpoint import shown
from tinygan.runs.plain_files import opened_to_read, refused
from tinygan.runs.safetensors_file import Array, decode, encode, storable, usable

TINYGAN, PYTORCH = "tinygan", "pytorch"
LAYOUTS = (TINYGAN, PYTORCH)


def save_weights(
    path: str | os.PathLike[str],
    weights: Mapping[str, Array],
    layout: str = TINYGAN,
    network: nn.Module | None = None,
) -> None:
    """Write arrays into a file, all or nothing.

    Parameters
    ----------
    path : path
        A name that ends in ``.safetensors`` or ``.npz``, which decides the format. A file of this name is replaced.
    weights : mapping of str to ndarray
        As `nn.Module.state_dict` returns: booleans, integers and floats up to 64 bits, of any shape. They are stored in
        C order, little-endian.
    layout : {"tinygan", "pytorch"}
        With "pytorch", the weights of `nn.Linear` and `nn.Maxout` are transposed: to (out, in).
    network : nn.Module, optional
        The module of these weights, which decides what is transposed. Needed for "pytorch".

    Raises
    ------
    DtypeError
        A name or an array cannot be stored. Nothing is written.
    CheckpointError
        The name has another ending, the system refuses, or the layout is unknown or needs a network. An earlier file is
        unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from tinygan import nn
    >>> net, other = nn.Linear(2, 3), nn.Linear(2, 3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(Path(folder, "net.safetensors"), net.state_dict())
    ...     keys = other.load_state_dict(load_weights(Path(folder, "net.safetensors")))
    >>> np.array_equal(net.weight.data, other.weight.data)
    True
    """
    path = Path(path)
    encode_as, _ = _format_of(path)
    transposed = sorted(_transposed("save_weights", layout, network) & weights.keys())
    arrays = storable("save_weights", weights)
    for name in transposed:
        arrays[name] = np.ascontiguousarray(arrays[name].T)
    chunks = encode_as(arrays, layout, transposed)
    advice = "free space, correct the permissions, or choose another name"
    with refused(CheckpointError, f"{path}: cannot be written", advice):
        atomic_write(path, chunks)


def load_weights(
    path: str | os.PathLike[str], layout: str | None = None, network: nn.Module | None = None
) -> dict[str, Array]:
    """Read a file of arrays that tinygan or another program has written.

    Parameters
    ----------
    path : path
        A ``.safetensors`` file, or an uncompressed ``.npz`` file, as of `numpy.savez`.
    layout : {"tinygan", "pytorch"}, optional
        The layout of a file that does not record it, such as a file from PyTorch; by default "tinygan". Files of
        `save_weights` record it. A file with "format": "pt" in its metadata is refused without a layout.
    network : nn.Module, optional
        As in `save_weights`. Needed for a "pytorch" file that does not record which arrays are transposed.

    Returns
    -------
    dict of str to ndarray
        In the layout "tinygan", native byte order, writable, sorted by name: for `nn.Module.load_state_dict`, which
        checks names and shapes. (The shape of a square matrix does not tell its layout.)

    Raises
    ------
    CheckpointError
        The file is missing or damaged, has another format or layout, or holds something else than arrays of numbers. A
        safetensors file of another program has no checksum: changed numbers in it are not detected.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "net.npz"), bias=np.zeros(2, np.float32))
    ...     load_weights(Path(folder, "net.npz"))
    {'bias': array([0., 0.], dtype=float32)}
    """
    path = Path(path)
    _, decode_as = _format_of(path)
    cannot_be_read = refused(CheckpointError, f"{path}: cannot be read", "give the file of weights")
    with cannot_be_read, opened_to_read(path) as (file, size):
        arrays, said, transposed = _decoded(path, decode_as, file, size)
    if said == _FROM_PYTORCH and layout is None:
        raise CheckpointError(
            f"{path}: PyTorch has written it (its format is 'pt'), so weights of Linear are (out, in): give "
            f"layout={PYTORCH!r} and network=, or layout={TINYGAN!r} if none are in it"
        )
    if said in (_NOTHING, _FROM_PYTORCH):
        transposed = _transposed("load_weights", layout or TINYGAN, network) & arrays.keys()
    elif layout not in (None, said[0]):
        raise CheckpointError(f"{path}: its layout is {said[0]!r}, as it says; load_weights was given {layout!r}")
    for name in transposed:
        arrays[name] = np.ascontiguousarray(arrays[name].T)
    return {name: arrays[name] for name in sorted(arrays)}


def _decoded(path: Path, decode: Decode, file: BinaryIO, size: int) -> tuple[dict[str, Array], Said, set[str]]:
    """Return the arrays of a file, the layout that it records, and the names of the transposed arrays."""
    try:
        arrays, said = decode(file, size)
        return arrays, said, set() if said in (_NOTHING, _FROM_PYTORCH) else _names_said(said, arrays)
    except MemoryError as error:
        raise CheckpointError(f"{path}: its arrays, {size} bytes, do not fit into the memory twice") from error
    except Exception as error:  # on a damaged file the parsers may raise anything
        raise CheckpointError(
            f"{path}: expected {path.suffix} weights, found a file of {size} bytes that cannot be read "
            f"({shown(str(error) or type(error).__name__)}); write it again, or get another copy"
        ) from error


def _transposed(operation: str, layout: str, network: nn.Module | None) -> set[str]:
    """Return the names of the arrays of a network that a layout transposes; the types of its modules decide."""
    if layout not in LAYOUTS:
        raise CheckpointError(f"{operation}: layout is {layout!r}; expected {' or '.join(map(repr, LAYOUTS))}")
    if layout == TINYGAN:
        return set()
    if not isinstance(network, nn.Module):
        raise CheckpointError(
            f"{operation}: layout {layout!r} transposes the weights of Linear and Maxout; network is {network!r}: give "
            "the module whose weights these are"
        )
    return set(_matrices(network))


def _matrices(network: nn.Module, prefix: str = "") -> Iterator[str]:
    if isinstance(network, nn.Linear | nn.Maxout):
        yield f"{prefix}weight"
    for name, child in network.named_children():
        yield from _matrices(child, f"{prefix}{name}.")


def _names_said(said: Said, arrays: Mapping[str, Array]) -> set[str]:
    """Check the layout that a file records; return which of its arrays are transposed."""
    layout, names = said
    known = isinstance(names, list) and all(isinstance(name, str) and name in arrays for name in names)
    if layout not in LAYOUTS or not known or len(set(names)) < len(names) or (names and layout == TINYGAN):
        raise CheckpointError(f"it names the layout {layout!r} with the transposed arrays {names!r}")
    return set(names)


# ---------------------------------------------------------------------- the formats


# What a file records: its layout, and the list of the transposed arrays.
Said = tuple[Any, Any]
Chunks = list[bytes | memoryview]
_NOTHING: Said = (None, None)
_CHECKSUM = b" crc32 "
_FROM_PYTORCH: Said = ("pt", None)  # of other programs; it does not say which arrays are weights of Linear


def _encode_safetensors(arrays: dict[str, Array], layout: str, transposed: list[str]) -> Chunks:
    return encode("save_weights", arrays, {"layout": layout, "transposed": transposed})


def _decode_safetensors(file: BinaryIO, size: int) -> tuple[dict[str, Array], Said]:
    arrays, metadata, said = decode(file, size)
    if said is not None:
        return arrays, (said["layout"], said["transposed"])
    return arrays, _FROM_PYTORCH if metadata.get("format") == "pt" else _NOTHING


def _encode_npz(arrays: dict[str, Array], layout: str, transposed: list[str]) -> Chunks:
    """Encode as `numpy.savez`, which cannot store arrays with the names of its arguments."""
    text = json.dumps({"layout": layout, "transposed": transposed}).encode()
    comment = text + _CHECKSUM + b"%08x" % zlib.crc32(text)
    if len(comment) > zipfile.ZIP_MAX_COMMENT:
        raise DtypeError("save_weights: the names of the transposed arrays do not fit an .npz file; use .safetensors")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.comment = comment
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                npy.write_array(file, array, allow_pickle=False)
    return [content.getbuffer()]


_LONGEST_END = 22 + zipfile.ZIP_MAX_COMMENT  # bytes of the record at the end of an archive


def _decode_npz(file: BinaryIO, size: int) -> tuple[dict[str, Array], Said]:
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise CheckpointError("it is compressed: write it with numpy.savez, not numpy.savez_compressed")
        # Uncompressed arrays that do not overlap need no more memory than the file has bytes.
        if sum(member.file_size for member in members) > size:
            raise CheckpointError("its arrays are larger than the file")
        file.seek(max(0, size - _LONGEST_END))
        last = file.read(_LONGEST_END)
        end = last.rfind(b"PK\x05\x06") + 20  # the position of the length of the comment
        if last[end:] != len(archive.comment).to_bytes(2, "little") + archive.comment:
            raise CheckpointError("its end is missing, or something follows it")
        for member in members:
            name = member.filename.removesuffix(".npy")
            if name in arrays or name == member.filename:
                raise CheckpointError(f"its member {member.filename!r} is not an array, or occurs twice")
            with archive.open(member) as content:
                arrays[name] = usable(name, _read_npy(content.read()))  # to the end, where the CRC is checked
    text, found, checksum = archive.comment.rpartition(_CHECKSUM)
    if archive.comment and not (found and checksum == b"%08x" % zlib.crc32(text)):
        raise CheckpointError("the comment of the archive, which names its layout, is damaged")
    said = json.loads(text) if found else {"layout": None, "transposed": None}
    return arrays, (said["layout"], said["transposed"])


def _read_npy(content: bytes) -> Array:
    """Read an array whose header agrees with the number of bytes that follow."""
    file = io.BytesIO(content)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    shape, fortran_order, dtype = readers[npy.read_magic(file)](file)
    if dtype.hasobject or any(length < 0 for length in shape):
        raise CheckpointError(f"its header names shape {shape} and dtype {dtype}")
    data = content[file.tell() :]
    if math.prod(shape) * dtype.itemsize != len(data):
        raise CheckpointError(f"its header names shape {shape} and dtype {dtype}, but {len(data)} bytes follow")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")


Encode = Callable[[dict[str, Array], str, list[str]], Chunks]
Decode = Callable[[BinaryIO, int], tuple[dict[str, Array], Said]]

FORMATS: dict[str, tuple[Encode, Decode]] = {
    ".safetensors": (_encode_safetensors, _decode_safetensors),
    ".npz": (_encode_npz, _decode_npz),
}


def _format_of(path: Path) -> tuple[Encode, Decode]:
    if path.suffix not in FORMATS:
        raise CheckpointError(f"{path}: expected a name that ends in {' or '.join(FORMATS)}, found {path.name!r}")
    return FORMATS[path.suffix]
