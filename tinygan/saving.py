"""`tinygan.save` and `tinygan.load`: networks, optimisers, arrays and plain values in one file that cannot run code.

The file has the format of a checkpoint: see `tinygan.runs.safetensors_file`. The names of its arrays are paths, such as
``generator/0.weight``, so that other programs find them. The entry "saved" of its JSON is the rest. There, None,
booleans, numbers, text and lists stand for themselves, and each other value is an object with one key:

* ``{"dict": [[key, value], ...]}``, because a key need not be text;
* ``{"tuple": [...]}``;
* ``{"array": name}``, or ``{"complex": name}``, whose last axis has the real and the imaginary part;
* ``{"scalar": ...}``: a number of NumPy, as an array without axes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.backend import backend_of, plain_array
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, CheckpointError, DtypeError, did_you_mean
from tinygan.runs.atomic import atomic_write
from tinygan.runs.checkpoint import shown
from tinygan.runs.plain_files import opened_to_read, refused
from tinygan.runs.safetensors_file import decode, encode

_DEEPEST = 100  # levels; a value that contains itself ends here, too
_PLAIN = (type(None), bool, int, float, str)
_EXPECTED = "expected modules, optimisers, tensors, arrays, numbers, text, None, and dicts, lists and tuples of them"
# How files of other programs begin.
_OTHERS = {
    b"PK\x03\x04": "a zip archive, such as a .pt file of PyTorch or an .npz file; load it there, and save arrays",
    b"\x80": "perhaps a pickle, which can run code and is never read here; load it where it was made, and save arrays",
    b"\x93NUMPY": "an array of NumPy; read it with np.load",
}


def save(path: str | os.PathLike[str], /, *unnamed: Any, **things: Any) -> None:
    """Write named things into one file, all or nothing: a file of this name keeps its content until then.

    Parameters
    ----------
    path : path
        The file to create or replace.
    **things
        What has a ``state_dict``, such as modules, optimisers and streams, which is saved in its place; tensors; arrays
        of booleans, integers, floats and complex numbers; numbers, text and None; and dicts, lists and tuples of these.
        Arrays are stored in C order and native byte order. An array that occurs twice is stored twice.

    Raises
    ------
    ArgumentError
        Something has no name, or the path names no file.
    DtypeError
        A value cannot be stored; the message names it. Nothing is written.
    CheckpointError
        The system refuses to write. An earlier file is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import tinygan as tg
    >>> from tinygan import nn, optim
    >>> net, twin = nn.Linear(2, 3), nn.Linear(2, 3)
    >>> adam = optim.Adam(net.parameters())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tg.save(Path(folder, "state.safetensors"), net=net, optimizer=adam, step=12, losses=(0.5, 0.25))
    ...     saved = tg.load(Path(folder, "state.safetensors"), net=twin)
    >>> list(saved), saved["step"], saved["losses"], bool((twin.weight == net.weight).data.all())
    (['net', 'optimizer', 'step', 'losses'], 12, (0.5, 0.25), True)
    """
    _check_path("save", path)
    if unnamed or not things:
        raise ArgumentError("save: each thing needs a name, as in tg.save(path, generator=generator, step=12)")
    arrays: dict[str, Any] = {}
    saved = {"dict": [[name, _stored(thing, name, name, arrays)] for name, thing in things.items()]}
    # With the layout, `tinygan.experiments.weights.load_weights` reads the arrays.
    chunks = encode("save", arrays, {"layout": "tinygan", "transposed": [], "saved": saved})
    advice = "an earlier file of this name is still whole. Free space, correct the permissions, or choose another name"
    with refused(CheckpointError, f"{path}: cannot be written", advice):
        atomic_write(path, chunks)


def load(path: str | os.PathLike[str], /, **things: Any) -> dict[str, Any]:
    """Read a file of `save`.

    Parameters
    ----------
    path : path
    **things
        What has a ``load_state_dict``: it gets what was saved under this name. They are loaded one after the other: if
        one does not fit, those before it have been loaded.

    Returns
    -------
    dict
        What was saved, by name, with the same nesting. Modules and optimisers are their ``state_dict``, tensors are
        NumPy arrays, and mappings of all types are dicts.

    Raises
    ------
    CheckpointError
        The file is missing, damaged or of another program, lacks one of the names, or its content does not fit.
    ArgumentError, DtypeError
        The path names no file, or one of the things has no ``load_state_dict``.

    Examples
    --------
    >>> load("no-such-file.safetensors")
    Traceback (most recent call last):
    tinygan.errors.CheckpointError: no-such-file.safetensors: cannot be read: No such file or directory; give a file ...
    """
    _check_path("load", path)
    saved = _read(Path(path))
    for name, thing in things.items():
        if name not in saved:
            known = ", ".join(map(repr, saved))
            raise CheckpointError(f"{path}: nothing was saved as {name!r}; it has {known}{did_you_mean(name, saved)}")
        if not callable(getattr(thing, "load_state_dict", None)):
            raise DtypeError(
                f"load: {name} is a {type(thing).__name__}, which has no load_state_dict; use tg.load(path)[{name!r}]"
            )
    for name, thing in things.items():
        thing.load_state_dict(saved[name])
    return saved


def _check_path(operation: str, path: Any) -> None:
    if not isinstance(path, (str, os.PathLike)):
        raise DtypeError(
            f"{operation}: expected a path first, got a {type(path).__name__}; write tg.{operation}('file', net=net)"
        )
    if not Path(path).name or "\0" in str(path):
        raise ArgumentError(f"{operation}: the path {str(path)!r} names no file")


# ---------------------------------------------------------------------- writing


def _stored(value: Any, where: str, name: str, arrays: dict[str, Any], depth: int = 0) -> Any:
    """Return what stands for a value in the JSON; add its arrays to `arrays`.

    `where` is the value in a message, `name` is that of its array.
    """
    if type(value) in _PLAIN:
        return value
    if depth > _DEEPEST:
        raise DtypeError(f"save: {where:.200} is nested deeper than {_DEEPEST} levels; does it contain itself?")
    if callable(getattr(value, "state_dict", None)) and not isinstance(value, type):
        value = value.state_dict()
    if isinstance(value, Mapping):
        wrong = [key for key in value if type(key) not in _PLAIN]
        if wrong:
            raise DtypeError(
                f"save: {where} has the key {shown(wrong[0])} of type {type(wrong[0]).__name__}; expected text or a "
                "number of Python: convert it"
            )
        pairs = [
            [key, _stored(item, f"{where}[{key!r}]", f"{name}/{key}", arrays, depth + 1)] for key, item in value.items()
        ]
        return {"dict": pairs}
    if type(value) in (list, tuple):
        items = [
            _stored(item, f"{where}[{place}]", f"{name}/{place}", arrays, depth + 1) for place, item in enumerate(value)
        ]
        return items if type(value) is list else {"tuple": items}
    if isinstance(value, np.generic):
        return {"scalar": _stored(np.asarray(value), where, name, arrays)}
    value = value.data if isinstance(value, Tensor) else value
    backend = backend_of(value)
    if backend is None:
        raise DtypeError(f"save: {where} is a {type(value).__name__}; {_EXPECTED}")
    return _stored_array(backend.to_numpy(plain_array(value, f"save: {where}")), name, arrays)


def _stored_array(array: Any, name: str, arrays: dict[str, Any]) -> dict[str, str]:
    kind = "array"
    if array.dtype.name in ("complex64", "complex128"):
        kind, array = "complex", np.stack([array.real, array.imag], axis=-1)
    name = "".join(character if character.isprintable() else "?" for character in name) or "?"
    while name in arrays or name == "__metadata__":  # as {"a": {"b": ...}, "a/b": ...}
        name = f"{name}~{len(arrays)}"
    arrays[name] = array
    return {kind: name}


# ---------------------------------------------------------------------- reading


def _read(path: Path) -> dict[str, Any]:
    """Read a file, and return what was saved."""
    beginning, size = b"", 0
    try:
        with opened_to_read(path) as (file, size):
            beginning = file.read(8)
            file.seek(0)
            arrays, _, said = decode(file, size)
        if said is not None and "saved" in said:
            saved = _loaded(said["saved"], arrays)
            if arrays or not isinstance(saved, dict):
                raise CheckpointError(f"nothing names the arrays {shown(list(arrays))}")
            return saved
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}; give a file of tg.save") from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: {size} bytes do not fit into the memory twice") from error
    except Exception as error:  # on a damaged file the parsers may raise anything
        kinds = (kind for start, kind in _OTHERS.items() if beginning.startswith(start))
        found = next(kinds, "damaged, incomplete or of another kind; use a copy, or save again")
        raise CheckpointError(
            f"{path}: expected a file of tg.save, found a file of {size} bytes that is {found} "
            f"({shown(str(error) or type(error).__name__)})"
        ) from error
    raise CheckpointError(
        f"{path}: expected a file of tg.save, found a safetensors file of arrays or a checkpoint of a run; read its "
        "arrays with tinygan.experiments.weights.load_weights"
    )


def _loaded(node: Any, arrays: dict[str, Any]) -> Any:
    """Return the value that a node of the JSON stands for; take its arrays out of `arrays`, each once."""
    if isinstance(node, list):
        for place, item in enumerate(node):  # in place: a long list is not copied
            node[place] = _loaded(item, arrays)
        return node
    if not isinstance(node, dict):
        return node
    [(kind, inside)] = node.items()
    if kind == "array":
        return arrays.pop(inside)
    if kind == "complex":
        parts = arrays.pop(inside)
        return parts.view(np.dtype(f"c{2 * parts.itemsize}")).reshape(parts.shape[:-1])
    if kind == "scalar":
        return _loaded(inside, arrays)[()]
    if kind == "tuple":
        return tuple(_loaded(inside, arrays))
    if kind != "dict" or not all(type(key) in _PLAIN for key, _ in inside):
        raise CheckpointError(f"its structure has the part {shown(node)}")
    return {key: _loaded(item, arrays) for key, item in inside}
