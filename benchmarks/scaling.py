"""The model of `parallel`: the time t(N, m) of a step of N ranks on m rows, and how many ranks pay.

Each rank computes on m / N rows, and draws the random numbers of all m. Then the ranks add up their gradients. With
the best algorithms known, N ranks add up n bytes in

    2 log2(N) alpha + 2 (N - 1) / N  n / beta

where alpha is the latency of a message and beta the bandwidth of a rank: Thakur, Rabenseifner and Gropp, "Optimization
of Collective Communication Operations in MPICH", 2005. A ring moves as many bytes in 2 (N - 1) messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

MOST = 1000  # ranks
WORTH = 0.5  # ranks pay while each does at least this share of what one process does alone


@dataclass(frozen=True)
class Network:
    """How ranks reach each other.

    Attributes
    ----------
    name : str
    latency_us : float
        alpha, in microseconds.
    gb_per_s : float
        beta: what a rank sends in one direction, in 10^9 bytes a second.
    source : str
    """

    name: str
    latency_us: float
    gb_per_s: float
    source: str

    def sum_ms(self, ranks: Any, size: Any, calls: float = 1) -> tuple[Any, Any]:
        """Return the milliseconds for latency and for transfer, if `ranks` add up `size` bytes in `calls` calls."""
        latency = calls * 2 * np.log2(ranks) * self.latency_us / 1e3
        return latency, 2 * (ranks - 1) / ranks * size / self.gb_per_s / 1e6


_ETHERNET = "kernel to kernel about 50 us (wwt.com, The basics of high performance networking); 1460 of 1538 bytes"
NETWORKS = (
    Network("Ethernet 1 Gb/s", 50, 0.119, _ETHERNET),
    Network("Ethernet 10 Gb/s", 50, 1.19, _ETHERNET),
    Network("Ethernet 100 Gb/s", 50, 11.9, _ETHERNET),
    Network("NCCL, InfiniBand 400 Gb/s", 14, 50, "a hop in NCCL's model (graph/tuning.cc, tree, Simple); line rate"),
    Network("NCCL, NVLink 4", 4, 380, "a hop in NCCL's model; one way between two H100 (nccl issue 1264)"),
)  # assumptions, but for the machine itself, whose network is measured


@dataclass(frozen=True)
class Step:
    """What one step takes.

    Attributes
    ----------
    fixed_ms : float
        Whatever the number of rows: the update rule, Python.
    row_ms : float
        For a row that the rank has.
    draw_ms : float
        For a row of the whole minibatch: every rank draws the random numbers of all rows, and keeps its own.
    size : int
        Bytes that the ranks add up.
    calls : int
        In how many sums.
    alone_ms : float
        What one process takes for its minibatch. It may take less than a rank would: it replays its steps.
    """

    fixed_ms: float
    row_ms: float
    draw_ms: float
    size: float
    calls: float
    alone_ms: float

    def terms(self, ranks: Any, rows: Any, network: Network) -> dict[str, Any]:
        """Return the parts of t(N, m) in milliseconds; `ranks` and `rows` are numbers or arrays."""
        latency, transfer = network.sum_ms(ranks, self.size, self.calls)
        parts = {"rows": self.row_ms * rows / ranks, "fixed cost": self.fixed_ms, "draws": self.draw_ms * rows}
        return {**parts, "latency": latency, "bandwidth": transfer}

    def ms(self, ranks: Any, rows: Any, network: Network) -> Any:
        """Return t(N, m) in milliseconds."""
        return sum(self.terms(ranks, rows, network).values())

    def speedup(self, ranks: Any, rows: int, network: Network, weak: bool) -> Any:
        """Return how many times the rows of one process `ranks` do in a second.

        Parameters
        ----------
        ranks : int or array of int
        rows : int
            The minibatch m of one process.
        network : Network
        weak : bool
            Whether the minibatch grows with the ranks (weak scaling), or is shared among them (strong scaling).
        """
        grown = ranks if weak else 1
        return grown * self.alone_ms / self.ms(ranks, rows * grown, network)


def fit(columns: Sequence[Any], times: Any) -> tuple[list[float], float]:
    """Fit times as a sum of columns with coefficients of at least 0.

    Relative errors count, so that short times weigh as much as long ones.

    Returns
    -------
    coefficients : list of float
    residual : float
        The root of the mean square of the relative errors.

    Examples
    --------
    >>> (fixed, row), residual = fit([[1, 1, 1], [1, 10, 100]], [5, 14, 104])
    >>> round(fixed, 6), round(row, 6), round(residual, 6)
    (4.0, 1.0, 0.0)
    """
    times = np.asarray(times, float)
    scaled = np.stack([np.asarray(column, float) for column in columns], axis=1) / times[:, None]
    coefficients, _ = nnls(scaled, np.ones(len(times)))
    return [float(c) for c in coefficients], float(np.sqrt(np.mean((scaled @ coefficients - 1) ** 2)))


def where_it_pays(step: Step, rows: int, network: Network, weak: bool, most: int = MOST) -> dict[str, Any]:
    """Return up to how many ranks pay, and why no more do.

    Parameters
    ----------
    step : Step
    rows : int
        The minibatch of one process.
    network : Network
    weak : bool
        See `Step.speedup`.
    most : int
        How many ranks are looked at; with strong scaling, not more than rows.

    Returns
    -------
    dict
        ``network``: its name; ``pays_to``: the most ranks that each do the share `WORTH` of one process, or 1;
        ``faster_from``: the fewest ranks that do more than one process, or None; ``fastest``: the ranks that do most,
        and ``speedup``: how many times what one process does; ``why``: the part of the time that has grown most for a
        row, with one rank more than pay; None where all that were looked at pay.

    Examples
    --------
    >>> step = Step(fixed_ms=15, row_ms=1, draw_ms=0, size=0, calls=0, alone_ms=115)
    >>> found = where_it_pays(step, 100, NETWORKS[0], weak=False)  # 115 / (15 + 100 / N) >= N / 2 up to N = 8
    >>> found["pays_to"], found["fastest"], found["why"]
    (8, 100, 'fixed cost')
    """
    ranks = np.arange(1, (most if weak else min(most, rows)) + 1)
    speedup = step.speedup(ranks, rows, network, weak)
    speedup[0] = 1  # that of one process
    pays_to = int(ranks[speedup >= WORTH * ranks][-1])
    faster = ranks[speedup > 1]
    why = None
    if pays_to < len(ranks):
        count, repeats = (pays_to + 1, 1) if weak else (1, pays_to + 1)
        one, many = step.terms(1, rows, network), step.terms(pays_to + 1, rows * count, network)
        why = max(many, key=lambda part: float(repeats * many[part] - one[part]))
    return {
        "network": network.name,
        "pays_to": pays_to,
        "faster_from": int(faster[0]) if len(faster) else None,
        "fastest": int(ranks[np.argmax(speedup)]),
        "speedup": float(speedup.max()),
        "why": why,
    }
