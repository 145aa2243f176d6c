"""The contestants by name, each imported only when it is asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from benchmarks.conv_games import ConvTask
from benchmarks.errors import BenchmarkError, PeerMissingError
from benchmarks.task import Task
from tinygan.backend import select_backend

PEERS = {  # name -> module that it needs
    "tinygan-numba": "numba",
    "tinygan-captured": "cupy",
    "torch": "torch",
    "torch-compile": "torch",
    "torch-reduce-overhead": "torch",
    "torch-graph": "torch",
    "jax": "jax",
}
GRAPHS = ("tinygan-captured", "torch-reduce-overhead", "torch-graph")  # on a GPU only
EXTRAS = {"numba": "fast", "cupy": "cuda13"}  # module -> extra that installs it; the others: "peers"
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
    if name == "tinygan-numba":
        select_backend("numba")  # in this process, which has no other contestant
    if name in ("tinygan", "tinygan-numba"):
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

    compiled = {"torch-compile": None, "torch-reduce-overhead": "reduce-overhead"}
    return TorchStep(task, name in compiled, name == "torch-graph", compiled.get(name))


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


def default_peers(device: str, of: Sequence[str] = tuple(PEERS)) -> list[str]:
    """Name those of the peers that there are on a device; tinygan-numba only where numba is installed."""
    here = [name for name in of if (device == "cuda" or name not in GRAPHS)]
    return [name for name in here if name != "tinygan-numba" or (device == "cpu" and importlib.util.find_spec("numba"))]


def there(names: Sequence[str]) -> list[str]:
    """Return the contestants for which all is installed."""
    return [name for name in names if name not in PEERS or importlib.util.find_spec(PEERS[name])]


def refuse_missing(names: Sequence[str]) -> None:
    """Raise `PeerMissingError` if what one of the contestants needs is not installed."""
    lacking = sorted({PEERS[name] for name in names if name not in there(names)})
    if lacking:
        extras = ",".join(sorted({EXTRAS.get(module, "peers") for module in lacking}))
        raise PeerMissingError(
            f"{' and '.join(lacking)} not installed; to compare with the peers: pip install -e '.[{extras}]'"
        )
