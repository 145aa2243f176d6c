"""Write commands that run in a shell as they are printed.

Every message, record and page that shows a command gets its text from `command`, so quoting is decided in one place.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def command(*words: str | os.PathLike[str], program: str = "tinygan") -> str:
    r"""Write a command line for a POSIX shell.

    Parameters
    ----------
    words : str or path
        The arguments. A path that begins like an option or a home folder gets ``./`` before it.
    program : str
        What is called, as it is typed.

    Returns
    -------
    str
        Printable text without line breaks, which stdout can encode.

    Examples
    --------
    >>> print(command("resume", Path("my runs/it's"), "--epochs", "6"))
    tinygan resume 'my runs/it'"'"'s' --epochs 6
    >>> print(command("resume", Path("-run"), "--data", Path("a\nb")))
    tinygan resume ./-run --data "$(printf 'a\012b')"
    """
    return " ".join([program, *map(quoted, words)])


def recorded_options(environment: Mapping[str, Any]) -> list[str | os.PathLike[str]]:
    """Return the options of a run that its configuration does not hold.

    Parameters
    ----------
    environment : mapping
        The content of ``environment.json``; ``data_folder``, ``device`` and ``backend`` are used if present.

    Examples
    --------
    >>> command("resume", "run", *recorded_options({"device": "cuda", "data_folder": "/data"}))
    'tinygan resume run --data /data --device cuda'
    """
    folder, device = environment.get("data_folder"), environment.get("device")
    words: list[str | os.PathLike[str]] = []
    if folder and isinstance(folder, str | os.PathLike):
        words += ["--data", Path(folder)]
    if isinstance(device, str) and device not in ("", "cpu"):  # what is computed on by default
        words += ["--device", device]
    if str(environment.get("backend")).startswith("numba"):  # its version follows
        words += ["--backend", "numba"]
    return words


def quoted(word: str | os.PathLike[str]) -> str:
    """Write one word of a command line; see `command`.

    Examples
    --------
    >>> quoted("two words")
    "'two words'"
    """
    text = os.fspath(word)
    if not isinstance(word, str) and text.startswith(("-", "~")):
        text = os.path.join(os.curdir, text)
    if text.isprintable() and _can_be_shown(text):
        return shlex.quote(text)
    # Every POSIX shell knows printf; its octal numbers are the bytes of the name on the disk.
    shown = (chr(byte) if 32 <= byte < 127 and byte not in b"\\'%" else f"\\{byte:03o}" for byte in os.fsencode(text))
    return f"\"$(printf '{''.join(shown)}')\""


def _can_be_shown(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
