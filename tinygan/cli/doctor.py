"""``tinygan doctor``: what works on this machine, and how to get what is missing."""

from __future__ import annotations

import argparse
from typing import Any

from tinygan import data
from tinygan.backend import get_backend
from tinygan.backend.compiled import load_numba
from tinygan.cli import output
from tinygan.cli.arguments import add_data_option
from tinygan.errors import DataError, DeviceError
from tinygan.runs.environment import describe_environment

WIDTH = 16  # of the first column


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "doctor",
        help="show what works on this machine, and what is missing",
        description="Show what works on this machine, what is missing, and how to get it.",
    )
    add_data_option(parser)
    parser.set_defaults(run=doctor)


def doctor(arguments: argparse.Namespace) -> int:
    """Run ``tinygan doctor``."""
    for key, value in describe_environment().items():
        _row(key.replace("_", " "), _flat(value))
    output.result("")
    for device in ("cpu", "cuda"):
        _row(f"device {device}", _state_of_device(device))
    _row("backend numba", _state_of_numba())
    for name in data.DATA_SETS:
        _row(f"data {name}", _state_of_data(name, arguments))
    return 0


def _row(name: str, text: str) -> None:
    output.result(f"{name:{WIDTH}} {output.escaped(text)}")


def _state_of_device(device: str) -> str:
    try:
        gpu = get_backend(device).gpu
    except DeviceError as error:
        return str(error).removeprefix(f"device {device!r} is ")  # "not available: ..."
    return "works" if gpu is None else f"works: {gpu}"


def _state_of_numba() -> str:
    try:
        return f"works: {load_numba().__version__}"
    except DeviceError as error:
        return f"missing: {error}"


def _state_of_data(name: str, arguments: argparse.Namespace) -> str:
    try:
        return f"works: {data.load(name, arguments.data, download=False)}"
    except DataError as error:
        return f"missing: {error}"


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items() if item is not None) or "none set"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)
