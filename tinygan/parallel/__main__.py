"""``python -m tinygan.parallel ...`` is the command ``tinygan`` as a job, which ends with the process that started it.

That process holds the other end of the pipe that is stdin here. When it closes the pipe, or is killed, this process
gets SIGTERM: a training saves a checkpoint and ends. If the command fails, its message is also the output.
"""

import os
import runpy
import signal
import sys
import threading
import traceback
from typing import Any

LONGEST = 2000  # characters of a message
ERROR = "tinygan: error: "


class Kept:
    """A stream whose last text is kept."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.text = stream, ""

    def write(self, text: str) -> int:
        """Write, and keep the end."""
        self.text = (self.text + text)[-LONGEST:]
        return int(self.stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _end_with_starter() -> None:
    os.read(0, 1)  # until the other end is closed
    signal.raise_signal(signal.SIGTERM)


def main() -> Any:
    """Run the command; return its exit status."""
    threading.Thread(target=_end_with_starter, daemon=True).start()
    sys.stderr = kept = Kept(sys.stderr)
    status: Any = 1
    try:
        runpy.run_module("tinygan", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except Exception:
        traceback.print_exc()
    if status:
        print(kept.text.rpartition(ERROR)[2].strip())
    return status


if __name__ == "__main__":
    sys.exit(main())
