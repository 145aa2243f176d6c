"""Results as JSON: every kind of measurement has the same outside."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from tinygan.backend import get_backend
from tinygan.runs.atomic import atomic_write
from tinygan.runs.environment import describe_environment

FORMAT = 1


def result(kind: str, settings: dict[str, Any], measurements: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Put a result together.

    Parameters
    ----------
    kind : str
        Which command made it.
    settings : dict
        What was measured; results of different settings are not compared. Its entries also stand on the outside.
    measurements : dict of str to dict
        What `statistics.summarise` says of each thing that was timed, raw samples included.
    **more
        Whatever else the kind has to say.
    """
    environment = describe_environment()
    if settings.get("device") == "cuda":
        environment["gpu"] = get_backend("cuda").gpu
    return {
        "benchmark": kind,
        "format": FORMAT,
        **settings,
        **more,
        "settings": settings,
        "environment": environment,
        "measurements": measurements,
    }


def write_result(path: Path, measured: dict[str, Any]) -> None:
    """Write a result to a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(measured, indent=1, allow_nan=False)
    # thousands of samples, one a line, would bury the rest
    text = re.sub(r"\[[-+.\deE,\s]+\]", lambda numbers: " ".join(numbers[0].split()), text)
    atomic_write(path, [text.encode(), b"\n"])


def read_result(path: Path) -> dict[str, Any]:
    """Read a result.

    Raises
    ------
    BenchmarkError
        The file cannot be read or holds something else.
    """
    try:
        measured = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BenchmarkError(f"{path}: not JSON: {error}") from error
    if not isinstance(measured, dict) or not {"benchmark", "settings", "environment", "measurements"} <= set(measured):
        raise BenchmarkError(f"{path}: not a result; expected a JSON file that `python -m benchmarks` wrote")
    if measured.get("format") != FORMAT:
        raise BenchmarkError(f"{path}: has format {measured.get('format')!r}, expected {FORMAT}; measure again")
    return measured
