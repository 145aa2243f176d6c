r"""Append records to files such as ``metrics.jsonl``, read them, and cut them back to an epoch.

One record is one line of JSON. A process that is killed while it appends can leave the last line torn, and
nothing else: a line counts only if its newline is there. Numbers that are nan or infinite are written as
``null``, because JSON cannot express them and other programs read these files. Keys keep their order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinygan.errors import RunError
from tinygan.runs.atomic import write_all
from tinygan.runs.json_values import json_value
from tinygan.runs.plain_files import open_to_write, read_plain, refused


def append_record(path: Path, record: Mapping[str, Any]) -> None:
    r"""Add one record to the end of a file, which is created if need be; a torn last line is dropped.

    The record reaches the system at once, and the disk with the next `sync_records`.

    Raises
    ------
    DtypeError
        When JSON cannot hold a value.
    RunError
        When the system refuses to write. The file ends where it ended before.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     append_record(Path(folder, "m.jsonl"), {"step": 1, "loss": float("nan")})
    ...     Path(folder, "m.jsonl").read_text()
    '{"step": 1, "loss": null}\n'
    """
    plain = json_value(record, path.name, non_finite_as_null=True)
    line = json.dumps(plain, allow_nan=False).encode("ascii") + b"\n"
    with _opened(path, create=True) as descriptor:
        end = _whole_lines(descriptor)
        os.ftruncate(descriptor, end)
        os.lseek(descriptor, end, os.SEEK_SET)
        try:
            write_all(descriptor, line)
        except OSError:
            os.ftruncate(descriptor, end)
            raise


def read_records(path: Path) -> list[dict[str, Any]]:
    r"""Read every whole line; a torn last line is ignored, and a missing file has no records.

    Raises
    ------
    RunError
        When the file cannot be read, or a whole line is not a JSON object.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "m.jsonl").write_text('{"step": 1}\n{"st')
    ...     read_records(Path(folder, "m.jsonl"))
    [{'step': 1}]
    """
    return [_record(path, number, line) for number, line in enumerate(_lines(path), start=1)]


def sync_records(path: Path) -> None:
    """Force the file to the disk; a missing file has nothing to lose.

    Raises
    ------
    RunError
        When the disk reports an error.

    Examples
    --------
    >>> sync_records(Path("no-such-file.jsonl"))
    """
    if os.path.lexists(path):
        with _opened(path) as descriptor:
            os.fsync(descriptor)


def length_until(path: Path, epoch: int) -> int:
    r"""Count the bytes of the records of the epochs from 1 to `epoch`: one each, in this order.

    What follows them, whole or torn, is not read.

    Raises
    ------
    RunError
        When one of them is missing or damaged, or the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "m.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    ...     length_until(Path(folder, "m.jsonl"), 1)
    13
    """
    lines = _lines(path)[:epoch]
    found = [_record(path, number, line).get("epoch") for number, line in enumerate(lines, start=1)]
    if found != list(range(1, epoch + 1)):
        raise RunError(
            f"{path}: expected a record of each epoch from 1 to {epoch}, found {len(found)} that begin with "
            f"{found[:3]!r:.60}; records were lost or removed: put the file back from a copy, or train again with "
            "another --out"
        )
    return sum(len(line) + 1 for line in lines)


def length_up_to(path: Path, epoch: int) -> int:
    r"""Count the bytes of the records up to `epoch`, of a file that has records of some epochs, in ascending order.

    Damaged lines at the end are left out: the loss of power can leave them there.

    Raises
    ------
    RunError
        A record before such a record is damaged or out of order, or the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "d.jsonl").write_text('{"epoch": 2}\n{"epoch": 50}\n{"epoch": 100}\n')
    ...     length_up_to(Path(folder, "d.jsonl"), 99)
    27
    """
    length = kept = last = 0
    damage: RunError | None = None
    for number, line in enumerate(_lines(path), start=1):
        length += len(line) + 1
        try:
            found = _record(path, number, line).get("epoch")
        except RunError as error:
            damage = damage or error
            continue
        if damage is not None:
            raise damage
        if type(found) is not int or found <= last:
            raise RunError(
                f"{path}, line {number}: expected a record of a later epoch than {last}, found {found!r:.60}; the file "
                "was edited or damaged: put it back from a copy, or remove the line"
            )
        last, kept = found, length if found <= epoch else kept
    return kept


def cut(path: Path, length: int) -> None:
    """Shorten a file to `length` bytes and force that to the disk; a missing file stays missing.

    Raises
    ------
    RunError
        When the system refuses.

    Examples
    --------
    >>> cut(Path("no-such-file.jsonl"), 0)
    """
    if not os.path.lexists(path):
        return
    with _opened(path) as descriptor:
        os.ftruncate(descriptor, length)
        os.fsync(descriptor)


@contextmanager
def _opened(path: Path, *, create: bool = False) -> Iterator[int]:
    """Open for reading and writing, without a buffer that a kill could lose."""
    advice = f"its earlier lines are whole. Free space or correct the permissions of {path.parent}, then resume the run"
    with refused(RunError, f"{path}: cannot be written", advice):
        descriptor = open_to_write(path, create=create)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _whole_lines(descriptor: int) -> int:
    """Count the bytes up to and with the last newline."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    end = size
    while end:
        # Almost always one byte is enough; after a kill the newline is one torn line away.
        start = end - 1 if end == size else max(0, end - 4096)
        os.lseek(descriptor, start, os.SEEK_SET)
        newline = os.read(descriptor, end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _lines(path: Path) -> list[bytes]:
    """Read the whole lines; a torn last line is left out, and a missing file has none."""
    if not os.path.lexists(path):
        return []
    with refused(RunError, f"{path}: cannot be read", "correct its permissions"):
        return read_plain(path).split(b"\n")[:-1]


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{path}, line {number}: expected JSON, found {line[:60]!r} ({error}); the file was edited or "
            "damaged: put it back from a copy, or remove the line"
        ) from error
    if not isinstance(record, dict):
        raise RunError(f"{path}, line {number}: expected an object, found {line[:60]!r}; remove the line")
    return record
