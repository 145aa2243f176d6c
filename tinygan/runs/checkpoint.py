"""Checkpoints: the whole state of a training run in one file, and the folder that keeps the last two and the best.

A checkpoint is a safetensors file, see `tinygan.runs.safetensors_file`: any program that reads safetensors can open it,
and `tinygan.experiments.weights.load_weights` too. It is read as data: no pickle, no code, nothing that can run. The
entry "tinygan" of its metadata holds the state, everything that is not an array, beside the checksum.

In the state, nan and the infinities are written as Python's ``json`` writes them (``NaN``, ``Infinity``). Integers may
have any number of bits up to Python's limit of 4300 digits.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygan.errors import CheckpointError, DtypeError
from tinygan.runs.atomic import atomic_write, sync_folder
from tinygan.runs.json_values import json_value
from tinygan.runs.plain_files import opened_to_read, refused
from tinygan.runs.safetensors_file import Array, decode, encode

BEST = "best.safetensors"
_STEP_FILE = re.compile(r"step-(\d{9,})\.safetensors")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What `read_checkpoint` found.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Sorted by name, each with the shape and dtype it was saved with, C-contiguous, in native byte order, writable.
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
        Booleans, integers and floats up to 64 bits, of any shape and byte order.
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
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_checkpoint(Path(folder, "a.safetensors"), {"weight": np.ones(3, np.float32)}, {"step": 7})
    ...     checkpoint = read_checkpoint(Path(folder, "a.safetensors"))
    >>> checkpoint.arrays["weight"], checkpoint.state
    (array([1., 1., 1.], dtype=float32), {'step': 7})
    """
    plain = json_value(state, "state")
    if not isinstance(plain, dict):
        raise DtypeError(f"checkpoint: state is a {type(state).__name__}; expected a dict")
    # The names and the layout are what `tinygan.experiments.weights` looks for.
    chunks = encode("checkpoint", arrays, {"layout": "tinygan", "transposed": [], "state": plain})
    size = sum(map(len, chunks))
    advice = "an earlier file of this name is still whole. Free space or correct the folder's permissions, then resume"
    with refused(CheckpointError, f"{path}: cannot write the checkpoint of {size} bytes", advice):
        atomic_write(path, chunks)


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read and check a file of `write_checkpoint`.

    Raises
    ------
    CheckpointError
        When the file is missing, unreadable, damaged in any bit, cut short, lengthened, or not a checkpoint. The
        message says what to use instead.

    Examples
    --------
    >>> try:
    ...     read_checkpoint("no-such-file.safetensors")
    ... except CheckpointError as error:
    ...     print(str(error)[:75])
    no-such-file.safetensors: expected a checkpoint, found no file of this name
    """
    path, size = Path(path), 0
    try:
        with opened_to_read(path) as (file, size):
            arrays, _, said = decode(file, size)
    except FileNotFoundError as error:
        raise _unusable(path, "no file of this name") from error
    except OSError as error:
        raise _unusable(path, f"the error {error.strerror or error}") from error
    except MemoryError as error:
        raise _unusable(path, f"{size} bytes, which do not fit into the memory twice") from error
    except Exception as error:  # a damaged file makes the parsers raise whatever comes to hand
        said_by = shown(str(error) or type(error).__name__)
        raise _unusable(path, f"a file of {size} bytes that is damaged or incomplete ({said_by})") from error
    if said is None or not isinstance(said.get("state"), dict):
        raise _unusable(path, "a file of arrays without a state")
    return Checkpoint(arrays, said["state"], path)


def shown(value: object) -> str:
    """Show a value of unknown size inside an error.

    Examples
    --------
    >>> shown([1, 2]), len(shown("x" * 1000))
    ('[1, 2]', 103)
    """
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "..."


def _unusable(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: expected a checkpoint, found {found}; use the previous checkpoint: a run keeps its last two and "
        f"{BEST} in its folder checkpoints/"
    )


class CheckpointFolder:
    """The folder ``checkpoints/`` of a run: the last two by step, and the best.

    Two, because a failing disk may damage the newest; the best, because it is evaluated. An older one is removed only
    after a newer one is safely on the disk.

    Parameters
    ----------
    path : Path
        The folder; it need not exist before the first `save`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoints = CheckpointFolder(Path(folder))
    ...     for step in (10, 20, 30):
    ...         checkpoints.save(step, {}, {"step": step}, best=step == 10)
    ...     checkpoints.names(), checkpoints.latest().state, checkpoints.best().state
    (['step-000000020.safetensors', 'step-000000030.safetensors'], {'step': 30}, {'step': 10})
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.best_path = path / BEST

    def save(self, step: int, arrays: Mapping[str, Array], state: Mapping[str, Any], *, best: bool) -> None:
        """Write ``step-….safetensors``, and ``best.safetensors`` if it is the best, then remove all but the last two.

        Checkpoints of later steps belong to a future that a rewind has abandoned, and are removed too.

        Raises
        ------
        DtypeError
            When an array or a value cannot be stored.
        CheckpointError
            When the system refuses; earlier checkpoints are whole.
        """
        with self._refused(self.path, "made"):
            self.path.mkdir(exist_ok=True)
            # A checkpoint survives a loss of power only if the name of its folder, in the folder above, does.
            sync_folder(self.path.parent)
        # The best first: killed in between, the run resumes before this step and writes the same best again.
        if best:
            write_checkpoint(self.best_path, arrays, state)
        write_checkpoint(self.path / f"step-{step:09d}.safetensors", arrays, state)
        self._remove([path for number, path in self._step_files() if number > step])
        self.keep_last_two(step)

    def keep_last_two(self, step: int) -> None:
        """Remove the checkpoints before `step`, except the last two up to it.

        `save` ends with this. A process that was killed before that leaves a third, so a resumed run begins with it.

        Raises
        ------
        CheckpointError
            When the system refuses.
        """
        self._remove([path for number, path in self._step_files() if number <= step][:-2])

    def _remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            with self._refused(path, "removed"):
                path.unlink()

    def latest(self) -> Checkpoint | None:
        """Read the newest checkpoint that is whole, or None when there is none yet.

        When the newest is damaged, a `UserWarning` says so and the one before it is taken, then the best.

        Raises
        ------
        CheckpointError
            When there are checkpoints and all are damaged.
        """
        candidates = [path for _, path in reversed(self._step_files())]
        if self.best_path.exists():
            candidates.append(self.best_path)
        damage: list[str] = []
        for path in candidates:
            try:
                checkpoint = read_checkpoint(path)
            except CheckpointError as error:
                damage.append(str(error))
                continue
            if damage:
                text = f"went back to {path.name}, the newest checkpoint that is whole: {'; '.join(damage)}"
                warnings.warn(text, UserWarning, stacklevel=3)
            return checkpoint
        if damage:
            raise CheckpointError(
                f"{self.path}: expected one whole checkpoint, found {len(damage)} damaged; put one back from "
                f"a copy, or train again with another --out ({'; '.join(damage)})"
            )
        return None

    def best(self) -> Checkpoint | None:
        """Read ``best.safetensors``, or return None when no checkpoint was called the best.

        Raises
        ------
        CheckpointError
            When it is damaged.
        """
        return read_checkpoint(self.best_path) if self.best_path.exists() else None

    def names(self) -> list[str]:
        """List the names of the checkpoints by step, oldest first, without the best."""
        return [path.name for _, path in self._step_files()]

    def _step_files(self) -> list[tuple[int, Path]]:
        """List the checkpoints by step, oldest first."""
        if not self.path.is_dir():
            return []
        matches = (_STEP_FILE.fullmatch(name) for name in os.listdir(self.path))
        return sorted((int(match[1]), self.path / match[0]) for match in matches if match)

    def _refused(self, path: Path, what: str) -> AbstractContextManager[None]:
        advice = f"earlier checkpoints are whole. Correct the permissions of {self.path}, then resume"
        return refused(CheckpointError, f"{path}: cannot be {what}", advice)
