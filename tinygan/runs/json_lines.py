r"""Records that grow line by line: ``metrics.jsonl`` and ``timing.jsonl``.

One record is one line of JSON. A process that is killed while it appends can leave the last line torn, and
nothing else: a line counts only once its newline is there. Numbers that are nan or infinite are written as
``null``, because JSON has no word for them and other programs read these files; keys keep the order given.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinygan.errors import RunError
from tinygan.runs.atomic import write_all
from tinygan.runs.json_values import json_value
from tinygan.runs.plain_files import open_to_write, read_plain


def append_record(path: Path, record: Mapping[str, Any]) -> None:
    r"""Add one record to the end of a file, which is created if need be; a torn last line is dropped.

    The record reaches the system at once, and the disk with the next `synced_length`.

    Raises
    ------
    DtypeError
        When a value has no place in JSON.
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
    try:
        content = read_plain(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror or error}; correct its permissions") from error
    *lines, _torn = content.split(b"\n")
    return [_record(path, number, line) for number, line in enumerate(lines, start=1)]


def synced_length(path: Path) -> int:
    """Force the file to the disk and count the bytes of its whole lines; a missing file has none.

    Raises
    ------
    RunError
        When the disk reports an error.

    Examples
    --------
    >>> synced_length(Path("no-such-file.jsonl"))
    0
    """
    if not os.path.lexists(path):
        return 0
    with _opened(path) as descriptor:
        os.fsync(descriptor)
        return _whole_lines(descriptor)


def synced_count(path: Path) -> int:
    """Force the file to the disk and count its whole lines; a missing file has none.

    Unlike the length in bytes, this number is the same for two runs whose records differ in nothing but the clock.

    Raises
    ------
    RunError
        When the disk reports an error.

    Examples
    --------
    >>> synced_count(Path("no-such-file.jsonl"))
    0
    """
    if not os.path.lexists(path):
        return 0
    with _opened(path) as descriptor:
        os.fsync(descriptor)
        return len(_line_ends(descriptor))


def length_of(path: Path, count: int) -> int:
    r"""Count the bytes of the first `count` lines.

    Raises
    ------
    RunError
        When the file has fewer whole lines.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "t.jsonl").write_bytes(b'{}\n{"epoch": 2}\n')
    ...     length_of(Path(folder, "t.jsonl"), 1)
    3
    """
    if count == 0:
        return 0
    ends = []
    if os.path.lexists(path):
        with _opened(path) as descriptor:
            ends = _line_ends(descriptor)
    if len(ends) < count:
        raise RunError(
            f"{path}: expected at least the {count} records that the checkpoint counted, found {len(ends)}; "
            "records were lost or removed: put the file back from a copy, or train again with another --out"
        )
    return ends[count - 1]


def count_records(path: Path, length: int) -> int:
    r"""Count the whole lines within the first `length` bytes; a missing file has none.

    Raises
    ------
    RunError
        When the file cannot be read.

    Examples
    --------
    >>> count_records(Path("no-such-file.jsonl"), 0)
    0
    """
    if not os.path.lexists(path):
        return 0
    with _opened(path) as descriptor:
        return sum(end <= length for end in _line_ends(descriptor))


def check_length(path: Path, length: int) -> None:
    """Refuse a file that does not have, or cannot be cut at, the `length` in bytes a checkpoint recorded.

    Raises
    ------
    RunError
        When the file is shorter, or no line ends at `length`.

    Examples
    --------
    >>> check_length(Path("no-such-file.jsonl"), 0)
    """
    size = 0
    if os.path.lexists(path):
        with _opened(path) as descriptor:
            size = os.fstat(descriptor).st_size
    if size < length:
        raise RunError(
            f"{path}: expected at least the {length} bytes that the checkpoint recorded, found {size}; "
            "records were lost or removed: put the file back from a copy, or train again with another --out"
        )
    if length == 0:
        return
    with _opened(path) as descriptor:
        os.lseek(descriptor, length - 1, os.SEEK_SET)
        last = os.read(descriptor, 1)
    if last != b"\n":
        raise RunError(
            f"{path}: expected the end of a line at byte {length}, which the checkpoint recorded, found "
            f"{last!r}; the file was edited: put it back from a copy, or train again with another --out"
        )


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
    """Open for reading and writing, without a buffer that a kill could lose; say what went wrong."""
    try:
        descriptor = open_to_write(path, create=create)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written: {error.strerror or error}; its earlier lines are whole. Free space "
            f"or correct the permissions of {path.parent}, then resume the run"
        ) from error


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


def _line_ends(descriptor: int) -> list[int]:
    """Return where each whole line ends, newline included, in bytes from the start of the file."""
    ends: list[int] = []
    position = os.lseek(descriptor, 0, os.SEEK_SET)
    while block := os.read(descriptor, 1 << 16):
        ends += [position + newline.end() for newline in re.finditer(b"\n", block)]
        position += len(block)
    return ends


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
