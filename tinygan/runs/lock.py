"""One writer at a time: an exclusive lock on a folder.

Two processes that train into one run folder would each overwrite what the other wrote. The lock is the
system's (``flock``), so it ends with the process that holds it, however that process ends; the file itself
stays and means nothing. The number of the process stands in the file for the one who is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinygan.errors import RunError
from tinygan.runs.atomic import BINARY, write_all

try:
    import fcntl
except ImportError:  # Windows: there is no flock, and two writers are the user's own care.
    fcntl = None  # type: ignore[assignment]


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    r"""Hold the lock file `path`, which is created if need be, for the time of the ``with`` block.

    Raises
    ------
    RunError
        At once, when another process (or this one) holds the lock, with the number of that process.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, exclusive_lock(Path(folder, "run.lock")):
    ...     Path(folder, "run.lock").read_text() == f"{os.getpid()}\n"
    True
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | BINARY, 0o666)
    except OSError as error:
        raise RunError(
            f"{path}: cannot open the lock file: {error.strerror}; correct the permissions of {path.parent}"
        ) from error
    try:
        _take(descriptor, path)
        yield
    finally:
        os.close(descriptor)  # gives the lock back


def _take(descriptor: int, path: Path) -> None:
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        write_all(descriptor, f"{os.getpid()}\n".encode("ascii"))
    except BlockingIOError as error:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
        raise RunError(
            f"{path.parent}: expected a run folder that nobody is writing to, found it in use by process "
            f"{holder or 'unknown'}; wait until that process ends, or stop it, and try again"
        ) from error
    except OSError as error:
        raise RunError(
            f"{path}: cannot be locked: {error.strerror}; free space, or put the run on a local disk"
        ) from error
