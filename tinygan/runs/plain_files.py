"""Open plain files only: no symbolic link, no pipe, no device.

A run writes inside its folder only. Through a symbolic link in the place of ``metrics.jsonl``, or a second (hard) link
to it, a run would shorten another file. A FIFO would make it wait for ever; ``/dev/zero`` would fill the memory. So
each file is checked after it is opened, and before a byte of it is read or written.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tinygan.errors import RunError, TinyganError
from tinygan.runs.atomic import BINARY

# Windows has neither. There are no FIFOs in folders there; a link is found before the file is opened.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)

LINK = "it is a symbolic link, and a run writes inside its own folder only: put the file or folder itself in its place"
HARD_LINK = "it has a second name (a hard link), whose content would change too: put a copy in its place"
NO_FILE = "it is no plain file but a folder, a pipe or a device: move it away"


def open_to_write(path: str | os.PathLike[str], *, create: bool = False) -> int:
    """Open a plain file for reading and writing in place, and return the descriptor; its content stays.

    Raises
    ------
    OSError
        The system refuses, or it is a link, has a second name, or is no plain file; `strerror` says which.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     os.symlink("/etc/hostname", Path(folder, "a.txt"))
    ...     try:
    ...         open_to_write(Path(folder, "a.txt"))
    ...     except OSError as error:
    ...         print(error.strerror[:21])
    it is a symbolic link
    """
    flags = os.O_RDWR | BINARY | _NO_FOLLOW | _NO_WAITING | (os.O_CREAT if create else 0)
    if not _NO_FOLLOW and os.path.islink(path):
        raise RunError(errno.ELOOP, LINK, str(path))
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if os.path.islink(path):
            raise RunError(errno.ELOOP, LINK, str(path)) from error
        if error.errno in (errno.EISDIR, errno.ENXIO):
            raise RunError(error.errno, NO_FILE, str(path)) from error
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise RunError(errno.EINVAL, NO_FILE, str(path))
        if status.st_nlink > 1:
            raise RunError(errno.EMLINK, HARD_LINK, str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def refused(error: type[TinyganError], what: str, advice: str) -> Iterator[None]:
    """Turn what the operating system refuses inside the ``with`` block into an error that says what to do.

    Parameters
    ----------
    error : type of TinyganError
    what : str
        The file, and what cannot be done with it.
    advice : str
        What is still whole, and what to do.

    Examples
    --------
    >>> from tinygan.errors import RunError
    >>> with refused(RunError, "a.txt: cannot be read", "correct its permissions"):
    ...     raise PermissionError(errno.EACCES, "Permission denied")
    Traceback (most recent call last):
    tinygan.errors.RunError: a.txt: cannot be read: Permission denied; correct its permissions
    """
    try:
        yield
    except OSError as refusal:
        if isinstance(refusal, RunError) and refusal.errno is None:
            raise  # it is an error of tinygan, and says what to do
        raise error(f"{what}: {refusal.strerror or refusal}; {advice}") from refusal


@contextmanager
def opened_to_read(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """Open a plain file, and give its size with it; a link is followed.

    Raises
    ------
    OSError
        The system refuses, or it is no plain file; `strerror` says which.

    Examples
    --------
    >>> try:
    ...     with opened_to_read("/dev/zero"):
    ...         pass
    ... except OSError as error:
    ...     print(error.strerror[:23])
    it is no plain file but
    """
    descriptor = os.open(path, os.O_RDONLY | BINARY | _NO_WAITING)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise RunError(errno.EINVAL, NO_FILE, str(path))
        with open(descriptor, "rb", closefd=False) as file:
            yield file, status.st_size
    finally:
        os.close(descriptor)


def read_plain(path: str | os.PathLike[str], at_most: int | None = None) -> bytes:
    """Read a plain file to the size that it has when it is opened; a link is followed.

    Parameters
    ----------
    path : path
    at_most : int, optional
        A larger file is refused, before any of it is read.

    Raises
    ------
    OSError
        The system refuses, it is no plain file, or it is larger; `strerror` says which.

    Examples
    --------
    >>> read_plain(os.devnull)
    Traceback (most recent call last):
    ...
    tinygan.errors.RunError: [Errno 22] it is no plain file but a folder, a pipe or a device: move it away: '/dev/null'
    """
    with opened_to_read(path) as (file, size):
        if at_most is not None and size > at_most:
            raise RunError(errno.EFBIG, f"it has {size} bytes; expected at most {at_most}", str(path))
        return file.read(size)


def why_not_in_place(path: Path, *, folder: bool = False, shared: bool = True) -> str | None:
    """Return why nothing may be written here, or None; what is missing may be made.

    Parameters
    ----------
    path : Path
    folder : bool
        Expect a folder, not a file.
    shared : bool
        Accept a file that has a second name: it will be replaced, and the other name keeps its content.

    Examples
    --------
    >>> why_not_in_place(Path("no-such-file")) is None
    True
    """
    try:
        status = os.lstat(path)
    except OSError:
        return None  # the writer gets the system's error
    if stat.S_ISLNK(status.st_mode):
        return LINK
    if folder:
        return None if stat.S_ISDIR(status.st_mode) else "expected a folder: move it away"
    if not stat.S_ISREG(status.st_mode):
        return NO_FILE
    return None if shared or status.st_nlink == 1 else HARD_LINK
