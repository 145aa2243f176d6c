"""The contestants by name, each imported only when it is asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from benchmarks.conv_games import ConvTask
from benchmarks.errors import BenchmarkError, PeerMissingError
from benchmarks.task import Task

PEERS = {  # name -> module that it needs
    "tinygan-captured": "cupy",
    "torch": "torch",
    "torch-compile": "torch",
    "torch-graph": "torch",
    "jax": "jax",
}
GRAPHS = ("tinygan-captured", "torch-graph")  # on a GPU only
EXTRAS = {"cupy": "cuda13"}  # module -> extra that installs it; the others: "peers"
NAMES = ("tinygan", "products", *PEERS)


def build_contestant(name: str, task: Task) -> Any:
    """Build a contestant, which has ``run(count)`` and, but for the products, ``play(noise)``.

    Raises
    ------
    PeerMissingError
        What it needs is not installed; the message says how to get it.
    BenchmarkError
        There is none of that name, or it cannot play this game.
    """
    if name not in NAMES:
        raise BenchmarkError(f"unknown contestant {name!r}: expected one of {', '.join(NAMES)}")
    refuse_missing([name])
    if name == "tinygan":
        from benchmarks.tinygan_step import TinyganStep

        return TinyganStep(task)
    if name == "tinygan-captured":
        from benchmarks.tinygan_captured import TinyganCaptured

        return TinyganCaptured(task)
    if name == "products":
        from benchmarks.products import Products

        return Products(task)
    if name == "jax":
        from benchmarks.peers.jax_step import JaxStep

        return JaxStep(task)
    from benchmarks.peers.torch_step import TorchStep

    return TorchStep(task, compiled=name == "torch-compile", captured=name == "torch-graph")


def build_conv_contestant(name: str, task: ConvTask) -> Any:
    """Build "tinygan" or "torch" for a game or a layer of `conv_games`; it has ``run(count)`` and ``play(noise)``.

    Raises
    ------
    PeerMissingError
        PyTorch is not installed.
    """
    refuse_missing([name])
    module = import_module("benchmarks.conv_step" if name == "tinygan" else "benchmarks.peers.torch_conv_step")
    return getattr(module, f"{name.capitalize()}{'Layer' if task.way else 'Game'}")(task)


def default_peers(device: str) -> list[str]:
    """Name the peers there are on a device."""
    return [name for name in PEERS if name not in GRAPHS or device == "cuda"]


def refuse_missing(names: Sequence[str]) -> None:
    """Raise `PeerMissingError` if what one of the contestants needs is not installed."""
    lacking = sorted({PEERS[name] for name in names if name in PEERS and not importlib.util.find_spec(PEERS[name])})
    if lacking:
        extras = ",".join(sorted({EXTRAS.get(module, "peers") for module in lacking}))
        raise PeerMissingError(
            f"{' and '.join(lacking)} not installed; to compare with the peers: pip install -e '.[{extras}]'"
        )
