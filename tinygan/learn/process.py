"""Run a reader's file in a process of its own, with a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.learn.exercise import Exercise

SECONDS = 10  # for all calls together
START = 60  # seconds more, for a start on a busy machine
SHOWN = 4000  # bytes of what the file prints

_CODE = (
    "import json, sys; job = json.load(sys.stdin); sys.path[:] = job['path']; "
    "from tinygan.learn.answering import main; main(job)"
)


@dataclass
class Problem:
    """What prevents an answer.

    Attributes
    ----------
    kind : str
        A few words.
    function : str
        Of the reader, or empty.
    text : str
        What is wrong, and what to do.
    """

    kind: str
    function: str
    text: str


@dataclass
class Answers:
    """What a reader's file returned.

    Attributes
    ----------
    arrays : dict of dict
        By case and by name; a shape stands for an array that is too large.
    problems : list of Problem
    printed : str
        The beginning of what the file printed.
    """

    arrays: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    printed: str = ""


def answers_of(exercise: Exercise, path: Path, source: str, seconds: int = SECONDS) -> Answers:
    """Run a file in a new process, and return what its functions return.

    Parameters
    ----------
    exercise : Exercise
    path : Path
        The name of the file, for messages.
    source : str
        Its text.
    seconds : int
        The time limit.
    """
    with tempfile.TemporaryDirectory() as folder:
        written, watch = Path(folder, "answers"), Path(folder, "watch")
        job = {
            "path": [str(Path(place).absolute()) for place in sys.path],
            "number": exercise.number,
            "file": str(path),
            "source": source,
            "answers": str(written),
            "watch": str(watch),
            "seconds": seconds,
        }
        status, printed = _run(job, seconds + START)
        records = list(_records(written))
        answers = answers_from(records)
        answers.printed = printed
        if "done" not in (records[-1] if records else ()):
            function = next((record["calling"] for record in reversed(records) if "calling" in record), "")
            stopped = watch.read_text(encoding="utf-8", errors="replace") if watch.exists() else ""
            answers.problems.append(_ended(status, function, stopped, str(path), seconds))
        return answers


def answers_from(records: Iterable[dict[str, Any]]) -> Answers:
    """Return the answers that a process has written."""
    answers = Answers()
    for record in records:
        if "problem" in record:
            answers.problems.append(Problem(record["problem"], record["function"], record["text"]))
        elif "name" in record:
            answers.arrays.setdefault(record["case"], {})[record["name"]] = _array(record)
    return answers


def _run(job: dict[str, Any], seconds: float) -> tuple[int | None, str]:
    """Run the process; return its status, None after the time limit, and what it printed."""
    environment = os.environ | {
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "MPLBACKEND": "agg",
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-B", "-c", _CODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,  # so that what it starts can be ended with it
    )
    printed = bytearray()
    listener = threading.Thread(target=_listen, args=(process, printed), daemon=True)
    status: int | None = None
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        listener.start()
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps(job).encode())
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(seconds)
    finally:
        _end(process)
        listener.join(10)
        if not listener.is_alive():  # else what has left the session may still write
            process.stdout.close()
    text = bytes(printed[:SHOWN]).decode("utf-8", "replace")
    return status, text + ("\n..." if len(printed) > SHOWN else "")


def _listen(process: subprocess.Popen[bytes], printed: bytearray) -> None:
    """Read everything, so that the process never waits, and keep the beginning."""
    assert process.stdout is not None
    while chunk := process.stdout.read1(1 << 16):  # type: ignore[attr-defined]
        printed += chunk[: max(SHOWN + 1 - len(printed), 0)]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and what it started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg") and hasattr(signal, "SIGKILL"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines that are whole."""
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def _array(record: dict[str, Any]) -> Any:
    if record["numbers"] is None:
        return tuple(record["shape"])
    return np.array(record["numbers"], dtype=record["dtype"]).reshape(record["shape"])


def _ended(status: int | None, function: str, stopped: str, file: str, seconds: int) -> Problem:
    """Return why the process ended without all answers."""
    inside = f" in {function}" if function else ""
    if stopped or status is None:
        name = re.escape(file.encode("ascii", "backslashreplace").decode())
        line = re.search(rf'File "{name}", line (\d+)', stopped)
        at = f" It was at line {line[1]}." if line else ""
        return Problem(
            "time", function, f"The file did not end within {seconds} s{inside}.{at} Does a loop have no end?"
        )
    if status < 0:
        name = signal.Signals(-status).name if -status in {*signal.Signals} else str(-status)
        full = " Perhaps the memory was full." if name == "SIGKILL" else ""
        return Problem("ended", function, f"The process of the file was ended by {name}{inside}.{full}")
    return Problem(
        "ended",
        function,
        f"The file ended its process{inside}, with status {status}, before it answered: leave out os._exit.",
    )
