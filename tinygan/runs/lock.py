"""An exclusive lock on a folder: one process writes at a time.

Two processes that train into one run folder would each overwrite what the other wrote. The lock is the
system's (``flock``), so it ends with the process that holds it, however that process ends. The file stays and has no
meaning by itself. It contains the number of the process, for the message to a second process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinygan.errors import RunError
from tinygan.runs.atomic import write_all
from tinygan.runs.plain_files import open_to_write, refused

try:
    import fcntl
except ImportError:  # Windows has no flock: there, the user must avoid a second writer.
    fcntl = None  # type: ignore[assignment]


class Lock:
    """A lock that is held.

    Parameters
    ----------
    descriptor : int
        Of the open lock file.
    path : Path
        Its name.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor, self.path = descriptor, path

    def is_in_place(self) -> bool:
        """Return whether the locked file still has its name; if not, another process could lock a new file."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def check(self) -> None:
        """Refuse to continue when the lock file was removed or replaced: the lock excludes no other process any more.

        Raises
        ------
        RunError
            It was removed or replaced.
        """
        if not self.is_in_place():
            raise RunError(
                f"{self.path}: the lock file was removed or replaced while this process held it, and another process "
                "may be writing here: stopped before anything more was written. Everything up to the last checkpoint "
                "is whole; see that no other process is at work, then resume"
            )


@contextmanager
def exclusive_lock(path: Path) -> Iterator[Lock]:
    r"""Hold the lock file `path` during the ``with`` block; create the file if it is missing.

    Raises
    ------
    RunError
        At once, when another process (or this one) holds the lock, with the number of that process; or when the file
        is a link, or no plain file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, exclusive_lock(Path(folder, "run.lock")) as lock:
    ...     lock.check()
    ...     Path(folder, "run.lock").read_text() == f"{os.getpid()}\n"
    True
    """
    lock = _locked(path)
    try:
        yield lock
    finally:
        os.close(lock.descriptor)  # gives the lock back


def _locked(path: Path) -> Lock:
    while True:
        with refused(RunError, f"{path}: cannot open the lock file", f"correct the permissions of {path.parent}"):
            lock = Lock(open_to_write(path, create=True), path)
        try:
            _take(lock.descriptor, path)
            # Between opening and locking, the file may have been removed: then this is a lock on nothing.
            in_place = lock.is_in_place()
        except BaseException:
            os.close(lock.descriptor)
            raise
        if in_place:
            return lock
        os.close(lock.descriptor)


def _take(descriptor: int, path: Path) -> None:
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        write_all(descriptor, f"{os.getpid()}\n".encode("ascii"))
    except BlockingIOError as error:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
        raise RunError(
            f"{path.parent}: expected a run folder that no other process is writing to, found it in use by process "
            f"{holder or 'unknown'}; wait until that process ends, or stop it, and try again"
        ) from error
    except OSError as error:
        raise RunError(
            f"{path}: cannot be locked: {error.strerror}; free space, or put the run on a local disk"
        ) from error
