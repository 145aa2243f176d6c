"""Write files that are whole or absent, whatever happens during the writing.

A program may be killed, or a disk may fill up, between any two system calls. So a file is never written
under its own name: the bytes go to a temporary file in the same folder (a rename works only within one
file system), they are forced to the disk, and one rename, which POSIX promises to be atomic, puts them in
place. At every moment the name stands for all of the old content or all of the new.

A process that is killed leaves its temporary file behind. `remove_temporaries` deletes such files. Call it only while
no other process writes into the folder: it cannot distinguish a leftover from a file that is being written.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

# O_BINARY exists on Windows only, where text mode would rewrite every newline.
BINARY = getattr(os, "O_BINARY", 0)

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")


def atomic_write(path: str | os.PathLike[str], chunks: Iterable[bytes | memoryview]) -> None:
    """Write a file so that it has all of its new content or keeps all of its old.

    Parameters
    ----------
    path : path
        The file to create or replace. Its folder must exist.
    chunks : iterable of bytes or C-contiguous memoryview
        The content, in order. A generator is consumed while writing, so a large file need never lie in
        memory as a whole.

    Raises
    ------
    OSError
        When the system refuses: no space, no permission, no such folder. The old file is untouched and no
        temporary file stays behind. (A folder that cannot be forced to the disk is refused too; then the
        new content is already in place, whole, but may not survive a loss of power.)

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     atomic_write(Path(folder, "a.txt"), [b"one ", b"two"])
    ...     Path(folder, "a.txt").read_text()
    'one two'
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
    try:
        try:
            for chunk in chunks:
                write_all(descriptor, chunk)
            # Without this the rename could reach the disk before the bytes do.
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_all(descriptor: int, chunk: bytes | memoryview) -> None:
    """Write every byte of `chunk`: one call of ``os.write`` may take only a part of it.

    Examples
    --------
    >>> reader, writer = os.pipe()
    >>> write_all(writer, b"every byte")
    >>> os.read(reader, 100)
    b'every byte'
    >>> os.close(reader), os.close(writer)
    (None, None)
    """
    rest = memoryview(chunk)
    if rest.nbytes == 0:
        return
    rest = rest.cast("B")
    while len(rest):
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Force the names in a folder to the disk: a new or renamed file is durable only after this.

    Raises
    ------
    OSError
        When the folder is missing or the disk reports an error.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sync_folder(folder)
    """
    if os.name == "nt":
        return  # Windows opens no folders.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder and say so with EINVAL; nothing more can be done.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def final_name(name: str) -> str:
    """Return the final name of a temporary file of `atomic_write`; return any other name unchanged.

    Examples
    --------
    >>> final_name(".a.txt.0123abcd.tmp"), final_name("a.txt")
    ('a.txt', 'a.txt')
    """
    found = _TEMPORARY.fullmatch(name)
    return found[1] if found else name


def remove_temporaries(folder: str | os.PathLike[str]) -> list[str]:
    """Delete what killed calls of `atomic_write` left in a folder; return the names, sorted.

    Call it only while no other process can be writing there. A missing folder holds no leftovers.

    Raises
    ------
    OSError
        When a leftover cannot be deleted.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, ".a.txt.0123abcd.tmp").touch()
    ...     Path(folder, "a.txt").touch()
    ...     remove_temporaries(folder), os.listdir(folder)
    (['.a.txt.0123abcd.tmp'], ['a.txt'])
    """
    try:
        names = sorted(name for name in os.listdir(folder) if _TEMPORARY.fullmatch(name))
    except FileNotFoundError:
        return []
    for name in names:
        Path(folder, name).unlink()
    return names


def new_folder(path: Path) -> Path:
    """Make path, or the first of path-2, path-3, ... that is not there; to make a folder is to have its name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [new_folder(Path(folder, "run")).name for _ in range(3)]
    ['run', 'run-2', 'run-3']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        candidate = path if number == 1 else path.with_name(f"{path.name}-{number}")
        with contextlib.suppress(FileExistsError):
            candidate.mkdir()
            return candidate
    raise AssertionError("numbers do not end")
