"""What the bits of a run depend on besides its configuration: versions, libraries, threads, the machine.

The same configuration and seed give the same bytes only on the same arithmetic. A BLAS with another number of threads,
or a processor with other vector instructions, adds in another order and rounds differently. So each run records its
machine, and a resumed run reports what has changed.

The description contains no name of a host, a user or a folder: run folders can be shared.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# What can change the bits of a result, and what to call it. The platform string, which names every update of
# the system, the name of the processor and the thread variables, which `blas_threads` sums up, are left out.
_DECISIVE = {
    "python": "Python",
    "implementation": "the Python implementation",
    "machine": "the machine's architecture",
    "simd": "the processor's vector instructions",
    "numpy": "NumPy",
    "scipy": "SciPy",
    "tinygan": "tinygan",
    "commit": "tinygan's commit",
    "blas": "the BLAS library",
    "blas_version": "the version of BLAS",
    "blas_threads": "the number of BLAS threads",
    "backend": "the backend",
    "gpu": "the GPU",
    "ranks": "the number of ranks",
}
_UNRECORDED = {"backend": "numpy", "gpu": "none", "ranks": 1}  # what a record without the key means


def describe_environment() -> dict[str, Any]:
    """Describe this process: versions, BLAS, threads and processor, as plain JSON values.

    Returns
    -------
    dict
        ``python``, ``implementation``, ``platform``, ``machine``, ``processor``, ``simd`` (list of str),
        ``cpus`` (int: those this process may use), ``numpy``, ``scipy``, ``tinygan`` (versions), ``commit``
        (of the checkout that holds the package, with "-dirty" when files of the package differ from it; None
        when there is none), ``blas``, ``blas_version``, ``blas_threads`` (int: what the variables and the number
        of processors lead to; a limit set by a program at run time is not seen), ``thread_variables``.
        None stands for a value that cannot be determined.

    Examples
    --------
    >>> describe_environment()["numpy"] == np.__version__
    True
    """
    blas = _build_info("Build Dependencies").get("blas", {})
    cpus = usable_cpus()
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": _processor(),
        "simd": _build_info("SIMD Extensions").get("found"),
        "cpus": cpus,
        "numpy": np.__version__,
        "scipy": _version("scipy"),
        "tinygan": _version("tinygan"),
        "commit": _commit(),
        "blas": blas.get("name"),
        "blas_version": blas.get("version"),
        "blas_threads": _blas_threads(str(blas.get("name")), cpus),
        "thread_variables": {name: os.environ.get(name) for name in THREAD_VARIABLES},
    }


def differences(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """List the differences between two environments that can change the bits of a run.

    Parameters
    ----------
    recorded, current : mapping
        The results of `describe_environment` when the run was made, and now; a run adds ``backend`` and ``ranks``.

    Returns
    -------
    list of str
        One sentence a difference, without a full stop; empty when the bits should agree.

    Examples
    --------
    >>> differences({"numpy": "2.3.0", "cpus": 2}, {"numpy": "2.4.0", "cpus": 4})
    ['NumPy was 2.3.0 and is now 2.4.0']
    """
    pairs = {key: [each.get(key, _UNRECORDED.get(key)) for each in (recorded, current)] for key in _DECISIVE}
    return [
        f"{_DECISIVE[key]} was {_said(was)} and is now {_said(now)}" for key, (was, now) in pairs.items() if was != now
    ]


def _said(value: object) -> str:
    if value is None:
        return "unknown"
    return " ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        # Run from a source tree that was never installed.
        return getattr(sys.modules.get(package), "__version__", None)


def usable_cpus() -> int | None:
    """Return how many processors this process may use: a container or a batch system often grants fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _build_info(section: str) -> dict[str, Any]:
    found: Any = np.show_config(mode="dicts")
    return dict(found.get(section, {}))


def _blas_threads(blas: str, cpus: int | None) -> int | None:
    """Follow OpenBLAS and MKL: the library's own variable, else OpenMP's, else all processors."""
    own = "MKL_NUM_THREADS" if "mkl" in blas.lower() else "OPENBLAS_NUM_THREADS"
    for name in (own, "OMP_NUM_THREADS"):
        # OMP_NUM_THREADS may list one number a level of nesting; the first counts.
        first = os.environ.get(name, "").split(",")[0].strip()
        if first.isdecimal() and int(first) > 0:
            return min(int(first), cpus) if cpus else int(first)
    return cpus


def _processor() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else None


def _commit() -> str | None:
    """Name the commit, if the package lies at the top of a checkout, not in some environment inside it.

    Git is asked for names only, and the files are compared here: ``git describe --dirty`` writes the index of the
    checkout, and like ``git status`` it runs what the checkout's configuration names: filters and a file monitor.
    """
    package = Path(__file__).parents[1]
    answer = _git(package, "rev-parse", "--show-prefix", "--verify", "HEAD") or b""
    place = answer.decode(errors="replace").split("\n")
    if place[0] != "tinygan/" or len(place) < 2:
        return None
    files = _git(package, "ls-tree", "-r", "-z", "HEAD")
    if not files:  # the package lies in a checkout that does not have it
        return None
    changed = any(_is_changed(package, entry) for entry in files.split(b"\0") if entry)
    return place[1] + ("-dirty" if changed else "")


def _is_changed(package: Path, entry: bytes) -> bool:
    """Return whether a file is not what the commit says; ``entry`` is "mode blob name" and the path."""
    about, _, name = entry.partition(b"\t")
    mode, _, blob = about.decode().split()
    if not mode.startswith("100"):  # a link or another repository
        return False
    try:
        content = (package / os.fsdecode(name)).read_bytes()
    except OSError:
        return True
    digest = "sha1" if len(blob) == 40 else "sha256"
    return all(  # a checkout on Windows may have other line ends
        hashlib.new(digest, b"blob %d\0%b" % (len(text), text), usedforsecurity=False).hexdigest() != blob
        for text in (content, content.replace(b"\r\n", b"\n"))
    )


def _git(package: Path, *arguments: str) -> bytes | None:
    # The GIT_ variables of a hook would lead to another repository; nothing is fetched, locked or watched.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    options = ["--no-optional-locks", "--no-pager", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never"]
    try:
        done = subprocess.run(
            ["git", *options, *arguments],
            cwd=package,
            env={**variables, "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=5,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout
