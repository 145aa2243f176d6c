"""A process that runs one contestant at a time, and does nothing until it is told to.

Each framework brings threads of its own, which wait for work busily and would fight over the processors in one process.
So each has a process, and only one of them runs at any moment. Requests and answers are lines of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from benchmarks.contestants import build_contestant, build_conv_contestant
from benchmarks.conv_games import ConvTask
from benchmarks.task import Task
from tinygan.errors import TinyganError


class Worker:
    """What answers: ``build`` a contestant, ``run`` it, let it ``play``; tell ``peak`` product, ``cpu``, ``memory``."""

    def __init__(self) -> None:
        self.contestant: Any = None
        self.built: int | None = None

    def answer(self, request: dict[str, Any]) -> Any:
        """Do what a request says."""
        match request:
            case {"do": "build", "name": name, "folder": folder}:
                self.contestant = None  # frees the memory of the one before
                self.contestant = build_contestant(name, Task.load(Path(folder)))
                self.built = peak_memory()
                return None
            case {"do": "build", "name": name, "conv": details}:
                self.contestant = None
                self.contestant = build_conv_contestant(name, ConvTask(**details))
                self.built = peak_memory()
                return None
            case {"do": "cpu"}:
                return time.process_time()
            case {"do": "run", "count": count}:
                return self.contestant.run(count)
            case {"do": "play", "noise": path}:
                return self.contestant.play(np.load(path))
            case {"do": "peak", "device": device}:
                from benchmarks.products import peak_product

                return peak_product(device)
            case {"do": "memory"}:
                on_device = getattr(self.contestant, "device_memory", lambda: None)
                return {"built": self.built, "peak": peak_memory(), "device": on_device()}
        raise ValueError(f"unknown request {request}")


def peak_memory() -> int | None:
    """Return the most memory this process has held, in bytes, or None where the system does not say.

    Linux counts it for the present program, where ``getrusage`` begins with what the parent process had held.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        status = ""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def serve(requests: TextIO, answers: TextIO, worker: Worker) -> None:
    """Answer every line until there are no more."""
    for line in requests:
        try:
            answer = {"answer": worker.answer(json.loads(line))}
        except TinyganError as error:  # meant for the user: no traceback needed
            answer = {"error": str(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a framework prints must not get among the answers
    serve(sys.stdin, answers, Worker())
