"""What the commands say: results on stdout, messages and progress on stderr.

Every word passes through here. Characters that steer a terminal (escape sequences, bidirectional overrides, bytes that
are no text) may come from a file or a name, and are written as escapes; characters that the stream cannot encode are
replaced. A message that cannot be written is dropped. A result that cannot be written is an error, unless its reader
has gone, as `head` does.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, TextIO

from tinygan.errors import TinyganError

NARROWEST = 20  # columns of a terminal on which a progress bar says anything


class OutputError(TinyganError, OSError):
    """A result cannot be written to stdout."""


class ReaderGoneError(OutputError):
    """The reader of stdout, such as ``head``, has seen enough."""


def result(text: str, end: str = "\n") -> None:
    """Write what a command was asked for to stdout, at once.

    Raises
    ------
    OutputError
        It cannot be written.
    ReaderGoneError
        Nothing reads it any more.
    """
    if sys.stdout is None:
        raise OutputError("stdout is closed: let it lead to a terminal, a file or a program")
    try:
        _write(sys.stdout, escaped(text, keep="\n") + end)
    except BrokenPipeError as error:
        raise ReaderGoneError("nothing reads stdout any more") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"stdout cannot be written: {reason}: let it lead to another place") from error


def mention(text: str) -> None:
    """Write to stdout where the result of a command lies; if that fails, the result is there all the same."""
    try:
        result(text)
    except ReaderGoneError:
        pass
    except OutputError as error:
        warn(f"{error}; all the work is done, and what belongs there is\n{text}")


def warn(text: str) -> None:
    """Write a warning to stderr."""
    say(f"tinygan: warning: {text}")


def say(text: str) -> None:
    """Write a message to stderr, if that can be done. A signal handler may call this.

    Lines after the first are indented, so that none of them can pass for a message of its own.
    """
    messages.write(escaped(text, keep="\n").replace("\n", "\n  ") + "\n")


class Messages:
    """Stderr as a file that never fails and is never closed, for a progress bar."""

    def write(self, text: str) -> None:
        """Write, if that can be done."""
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # the last: a signal came during a write
                _write(sys.stderr, text)

    def flush(self) -> None:
        """Do nothing: what is written has been flushed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


messages = Messages()


def shows_progress() -> bool:
    """Return whether stderr is a terminal on which a progress bar can be drawn."""
    try:
        if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            return False
        size = os.get_terminal_size(sys.stderr.fileno())
        return size.columns >= NARROWEST and size.lines >= 2  # tqdm draws nothing on fewer; 0 is an unknown size
    except AttributeError:  # it is closed
        return False
    except (OSError, ValueError):  # its width is not known
        return True


def occupy_closed_streams() -> None:
    """Give the numbers of closed standard streams to the null device.

    The next file to be opened would get the number, and whatever writes there by number would write into that file.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def escaped(text: str, keep: str = "") -> str:
    r"""Write each character that does not print as an escape, but for those to keep.

    Examples
    --------
    >>> print(escaped("red \x1b[31m and \u202edetrevni"))
    red \x1b[31m and \u202edetrevni
    """
    return "".join(
        character if character.isprintable() or character in keep else character.encode("unicode_escape").decode()
        for character in text
    )


def _write(stream: TextIO, text: str) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("±", "+/-").encode(encoding, "backslashreplace").decode(encoding)
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        # What is left in the stream would be tried again when Python ends, and would change the exit status.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        raise
