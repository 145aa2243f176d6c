"""``step``: one iteration of Algorithm 1, beside its own matrix products and beside other frameworks."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np

from benchmarks.contestants import PEERS, refuse_missing
from benchmarks.crew import crew_of
from benchmarks.errors import BenchmarkError
from benchmarks.products import products_of
from benchmarks.results import result
from benchmarks.statistics import doubts, ratios, summarise
from benchmarks.tables import format_table, milliseconds, threads_of
from benchmarks.task import Task


def measure_step(task: Task, seconds: float = 6.0, peers: Sequence[str] = ()) -> dict[str, Any]:
    """Time the iteration and its products in turn, with as many peers as are named.

    Parameters
    ----------
    task : Task
    seconds : float
        About how long each contestant runs.
    peers : sequence of str
        Names from `contestants.PEERS`.

    Returns
    -------
    dict
        A result (see `results.result`): ``median_ms``, ``p10_ms``, ``p90_ms``, ``iqr_ms`` and ``count`` of tinygan's
        iteration; ``products_ms``, ``products`` (how many), ``flop``, ``gflop_per_s``, ``peak_gflop_per_s``; ``ratio``
        to the products with ``ratio_p10`` and ``ratio_p90``, compared turn by turn; ``peers``, the same ratios to each
        peer; ``variants``, those of each other contestant that is tinygan, to all; ``refused``, by peer, why it does
        not play this game; ``memory_bytes``, the most that each process held once it was ``built`` and at its ``peak``,
        and what it took of the ``device``; ``parameters``, their number, and ``state_bytes``, what they take with a
        gradient and a velocity each; ``measurements`` with the raw samples of each contestant.

    Raises
    ------
    PeerMissingError, DisagreementError
        A peer is not installed, or plays another game.
    BenchmarkError
        None of the peers can play this game.
    """
    refuse_missing(peers)
    products = products_of(task.config, task.images.shape[1])
    with crew_of(task, ["tinygan", "products", *peers], optional=peers) as crew:
        refused, peers = crew.refused, [name for name in peers if name in crew.members]
        if refused and not peers:
            raise BenchmarkError("; ".join(refused.values()))
        peak = crew.members["products"].ask("peak", device=task.device)
        agreed = crew.check_agreement() if peers else None
        turns = crew.take_turns(seconds)
        peak = max(peak, crew.members["products"].ask("peak", device=task.device))  # at its best, not at its busiest
        memory = {name: member.ask("memory") for name, member in crew.members.items()}
    for play in (agreed or {}).values():
        del play["gradients"]  # they agree, and are many
    measurements = {name: summarise(np.concatenate(turn).tolist()) for name, turn in turns.items()}
    ours = measurements["tinygan"]
    parameters = sum(array.size for array in task.weights.values())
    flop = sum(product.flop for product in products)
    return result(
        "step",
        {**task.settings(), "seconds": seconds},
        measurements,
        **{key: value for key, value in ours.items() if key != "samples_ms"},
        products_ms=measurements["products"]["median_ms"],
        products=len(products),
        flop=flop,
        gflop_per_s=flop / ours["median_ms"] / 1e6,
        peak_gflop_per_s=peak,
        **ratios(turns["tinygan"], turns["products"]),
        peers={name: ratios(turns["tinygan"], turns[name]) for name in peers},
        variants={
            name: {other: ratios(turns[name], turns[other]) for other in turns if not other.startswith("tinygan")}
            for name in peers
            if name.startswith("tinygan")
        },
        refused=refused,
        peer_versions={PEERS[name]: _version(PEERS[name]) for name in peers},
        agreed=agreed,
        memory_bytes=memory,
        parameters=parameters,
        state_bytes=3 * 4 * parameters,
    )


def _version(module: str) -> str:
    """Return the version of what installed a module: CuPy is in packages of other names."""
    return metadata.version(metadata.packages_distributions().get(module, [module])[0])


def step_table(measured: dict[str, Any]) -> str:
    """Write a result of `measure_step` as text."""
    settings, variants = measured["settings"], measured.get("variants", {})
    places = ["built", "peak", *(["device"] if settings["device"] == "cuda" else [])]
    rows = []
    for name, summary in measured["measurements"].items():
        compared = [{"products": measured, **measured["peers"]}.get(name)]
        compared += [others.get(name) for others in variants.values()]
        memory = measured["memory_bytes"][name]
        rows.append(
            (
                name,
                *milliseconds(summary),
                f"{summary['count']}",
                f"{measured['flop'] / summary['median_ms'] / 1e6:.0f}",
                *(f"{r['ratio']:.3f} ({r['ratio_p10']:.3f} to {r['ratio_p90']:.3f})" if r else "" for r in compared),
                *(f"{memory[key] / 2**20:.0f}" if memory[key] else "" for key in places),
            )
        )
    head = ["one iteration", "median ms", "p10 to p90", "count", "GFLOP/s"]
    head += [f"{name} takes ... times that" for name in ("tinygan", *variants)]
    head += ["MiB built", "at peak", "on the GPU"][: len(places)]
    text = (
        f"{settings['experiment']}, {settings['schedule']} schedule, batch {settings['batch']}, k = {settings['k']}, "
        f"{settings['device']}, {threads_of(settings['threads'])}, data: {settings['data']}\n"
        f"{measured['products']} products, {measured['flop'] / 1e9:.2f} GFLOP; "
        f"a large product runs at {measured['peak_gflop_per_s']:.0f} GFLOP/s on this machine\n"
        f"{measured['parameters'] / 1e6:.2f} M parameters: with gradients and velocities "
        f"{measured['state_bytes'] / 2**20:.0f} MiB\n"
    )
    if measured["agreed"]:
        text += "all play the same game: losses and parameters agree from the same weights, noise and data\n"
    text += "".join(f"not played: {why}\n" for why in measured.get("refused", {}).values())
    text += f"{doubt}\n" if (doubt := doubts(measured)) else ""
    return text + format_table(head, rows)
