"""A command of tinygan in a pseudo-terminal: what it shows, keys that are typed, and other sizes of the window."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import struct
import sys
import time

import pytest

pty, termios, fcntl = (pytest.importorskip(name) for name in ("pty", "termios", "fcntl"))


class PseudoTerminal:
    """A process of the command line, and the terminal that it writes to.

    Attributes
    ----------
    seen : str
        Everything that it has written.
    """

    def __init__(self, columns: int, *words: str | os.PathLike[str], **environment: str) -> None:
        started, start = os.pipe()
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell makes programs in the background ignore Ctrl-C
            os.read(started, 1)  # until the window has its size
            surroundings = {**os.environ, "TERM": "xterm", "OPENBLAS_NUM_THREADS": "1", **environment}
            os.execve(sys.executable, [sys.executable, "-m", "tinygan", *words], surroundings)
        self.resize(columns)
        os.write(start, b"!")
        for end in (started, start):
            os.close(end)
        self.seen = ""

    def resize(self, columns: int) -> None:
        """Change the width of the window."""
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read_until(self, text: str, times: int = 1) -> str:
        """Read until `text` has come so many times, or until the end of the process."""
        stop = time.monotonic() + 60
        while self.seen.count(text) < times:
            if not select.select([self.terminal], [], [], max(0.0, stop - time.monotonic()))[0]:
                break
            with contextlib.suppress(OSError):  # its end
                self.seen += os.read(self.terminal, 65536).decode(errors="replace")
                continue
            break
        return self.seen

    def type(self, keys: bytes) -> None:
        """Type keys."""
        os.write(self.terminal, keys)

    def end(self) -> int:
        """Read to the end of the process; return its exit status."""
        self.read_until("\0")
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
