"""The output of the commands: results on stdout, messages and progress on stderr.

All output passes through this file. A file or a name may contain characters that control a terminal (escape sequences,
bidirectional overrides, bytes that are not text): they are written as escapes. Characters that the stream cannot encode
are replaced. A message that cannot be written is dropped. A result that cannot be written is an error, unless its
reader has stopped, as `head` does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any, TextIO

from tinygan.errors import TinyganError

COLUMNS = 80  # of a line that goes to no terminal
NARROWEST = 20  # columns of the narrowest terminal with a progress bar


class OutputError(TinyganError, OSError):
    """A result cannot be written to stdout."""


class ReaderGoneError(OutputError):
    """The reader of stdout, such as ``head``, has stopped."""


def result(text: str, end: str = "\n", keep: str = "\n") -> None:
    r"""Write a result to stdout and flush it.

    Characters that are not printable are escaped, except those in `keep`. A text with ``\x1b`` there, for colours, must
    contain no text of a user.

    Raises
    ------
    OutputError
        It cannot be written.
    ReaderGoneError
        The reader has stopped.
    """
    if sys.stdout is None:
        raise OutputError("stdout is closed: connect it to a terminal, a file or a program")
    try:
        _write(sys.stdout, escaped(text, keep) + end)
    except BrokenPipeError as error:
        raise ReaderGoneError("nothing reads stdout any more") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"stdout cannot be written: {reason}: redirect it to another place") from error


def mention(text: str) -> None:
    """Write to stdout where the result of a command is; a failure is only a warning, because the result exists."""
    try:
        result(text)
    except ReaderGoneError:
        pass
    except OutputError as error:
        warn(f"{error}; all the work is done, and the output would be\n{text}")


def warn(text: str) -> None:
    """Write a warning to stderr."""
    say(f"tinygan: warning: {text}")


def say(text: str) -> None:
    """Write a message to stderr, if possible. A signal handler may call this.

    Lines after the first are indented, so that they cannot be mistaken for other messages.
    """
    messages.write(indented(text) + "\n")


def indented(text: str) -> str:
    """Return a message as `say` writes it."""
    return escaped(text, keep="\n").replace("\n", "\n  ")


class Messages:
    """Stderr as a file that never fails and is never closed, for a progress bar."""

    def write(self, text: str) -> None:
        """Write, if possible."""
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # RuntimeError: a signal during a write
                _write(sys.stderr, text)

    def flush(self) -> None:
        """Do nothing: `write` has flushed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


messages = Messages()


def shows_progress() -> bool:
    """Return whether stderr is a terminal that can show a progress bar."""
    try:
        if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            return False
        size = os.get_terminal_size(sys.stderr.fileno())
        return size.columns >= NARROWEST and size.lines >= 2  # tqdm draws nothing on fewer; an unknown size is 0
    except AttributeError:  # it is closed
        return False
    except (OSError, ValueError):  # its width is not known
        return True


def columns(stream: Any) -> int:
    """Return how many columns a line of a stream may take: now, for a terminal can be resized.

    Parameters
    ----------
    stream : file or None
        If it is no terminal, or one of unknown size, the environment variable COLUMNS decides, then `COLUMNS`.
    """
    try:
        found = os.get_terminal_size(stream.fileno()).columns - 1  # in the last column, some start a new line
    except (AttributeError, OSError, ValueError):  # it is closed, or not a terminal
        found = 0
    return found if found > 0 else shutil.get_terminal_size((COLUMNS, 0)).columns


def occupy_closed_streams() -> None:
    """Open the null device for each closed standard stream.

    Otherwise the next file that is opened would get its number, and output for the stream would go into that file.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def exit_status(program: str, work: Callable[[], int], refused: int) -> int:
    """Do the work of a program, and say why it ended early.

    Returns
    -------
    int
        What `work` returns; `refused` after a `TinyganError` or when the memory is full, 130 after Ctrl-C, and 0 if the
        reader of stdout stopped early.
    """
    try:
        return work()
    except ReaderGoneError:
        return 0
    except (TinyganError, MemoryError, KeyboardInterrupt) as error:
        say(last_words(program, error))
        return 130 if isinstance(error, KeyboardInterrupt) else refused


def last_words(program: str, error: BaseException) -> str:
    """Return what a program says when an error ends it."""
    if isinstance(error, KeyboardInterrupt):
        return f"{program}: stopped"
    full = f"the memory is full ({error}); ask for less, or end other programs"
    return f"{program}: error: {full if isinstance(error, MemoryError) else error}"


def escaped(text: str, keep: str = "") -> str:
    r"""Return the text with an escape for each character that is not printable, except those in `keep`.

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
        # At its end Python would try to write the rest again, and the failure would change the exit status.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        raise
