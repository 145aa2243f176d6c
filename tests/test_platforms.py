"""The commands do without what Windows and macOS lack: see docs/platforms.md."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What Python has on Linux, and not on Windows. macOS has most of it.
MODULES = ["fcntl", "termios", "pty", "resource", "pwd", "grp", "tty", "readline"]
OF_OS = [
    *("O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "O_CLOEXEC", "fork", "forkpty", "killpg", "setsid"),
    *("getpgid", "mkfifo", "statvfs", "sched_getaffinity", "sched_setaffinity", "posix_fallocate"),
]
OF_SIGNAL = ["SIGHUP", "SIGKILL", "SIGALRM", "SIGUSR1", "SIGPIPE", "SIGWINCH", "setitimer", "pthread_sigmask"]

WITHOUT = f"""
import os, signal, sys, subprocess, tempfile, random
sys.modules.update(dict.fromkeys({MODULES}))
for place, names in ((os, {OF_OS}), (signal, {OF_SIGNAL})):
    for name in names:
        if hasattr(place, name):
            delattr(place, name)
from tinygan.__main__ import main
sys.exit(main())
"""


@pytest.mark.slow
def test_a_run_without_what_is_only_on_linux(tmp_path: Path) -> None:
    def tinygan(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-X", "utf8=0", "-c", WITHOUT, *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    tinygan("train", "digits", "--steps", "30", "--out", "run", "--set", "output.samples=4", "--quiet")
    tinygan("sample", "run", "--count", "4", "--out", "four.png")
    assert (tmp_path / "four.png").stat().st_size > 0
    assert (tmp_path / "run" / "report.html").stat().st_size > 0
    assert "device cpu" in tinygan("doctor")


def test_the_names_exist_here_or_the_test_tests_nothing() -> None:
    if sys.platform == "linux":
        assert [name for name in OF_OS if not hasattr(os, name)] == []
        assert [name for name in OF_SIGNAL if not hasattr(signal, name)] == []


def test_the_package_asks_before_it_uses_a_name_of_posix() -> None:
    """Each of these names stands in the package only as a text, in `getattr` or `hasattr`, or on a line that asks."""
    unasked = []
    for path in (ROOT / "tinygan").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(rf"\b(?:os\.({'|'.join(OF_OS)})|signal\.({'|'.join(OF_SIGNAL)}))\b", text):
            name = match[1] or match[2]
            if not re.search(rf"hasattr\(\w+, \"{name}\"\)", text):
                unasked.append(f"{path.relative_to(ROOT)}: {match[0]}")
    assert unasked == []
