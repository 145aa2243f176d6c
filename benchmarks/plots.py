"""The pictures: the sweep on logarithmic axes, the layers under the machine's roof, the contestants side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.scaling import MOST, WORTH, Network, Step
from benchmarks.tables import threads_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#1f6fb4", "#d1622b", "#2f8f5b", "#8a56b0")
_GREY = "#777777"
_LOOKS = [  # of the networks, with and without colour
    *(("black", "-"), *((_COLOURS[1], style) for style in ("--", "-.", "-"))),
    *((_COLOURS[0], style) for style in ("--", "-")),
]


def draw_step(measured: dict[str, Any], path: Path) -> None:
    """Draw the times of all contestants of a step, with their spread.

    Parameters
    ----------
    measured : dict
        A result of `step.measure_step`.
    path : path
        The PNG to write.
    """
    summaries = measured["measurements"]
    order = sorted(summaries, key=lambda name: -summaries[name]["median_ms"])
    figure, (axes,) = _figure(1, height=1.2 + 0.45 * len(order))
    for y, name in enumerate(order):
        summary = summaries[name]
        colour = {"tinygan": _COLOURS[0], "products": _GREY}.get(name, _COLOURS[1])
        axes.barh(y, summary["median_ms"], height=0.6, color=colour, alpha=0.85)
        axes.plot([summary["p10_ms"], summary["p90_ms"]], [y, y], color="black", linewidth=1.5)
        right = max(summary["median_ms"], summary["p90_ms"])
        axes.annotate(f"{summary['median_ms']:.3g} ms", (right, y), (5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(order)), order)
    axes.set_xlim(0, 1.18 * max(max(s["median_ms"], s["p90_ms"]) for s in summaries.values()))
    axes.set_xlabel("ms (bar: median; line: p10 to p90)")
    settings = measured["settings"]
    axes.set_title(
        f"One iteration: {settings['experiment']}, {settings['schedule']}, {settings['device']}, "
        f"{threads_of(settings['threads'])}",
        loc="left",
    )
    figure.savefig(path)


def draw_roofline(measured: dict[str, Any], path: Path) -> None:
    """Draw each layer at its arithmetic intensity and speed, under the roof that the machine puts over them.

    A dot above the slanted part of the roof moves less than it seems: its arrays stay in the caches.

    Parameters
    ----------
    measured : dict
        A result of `layers.measure_layers`.
    path : path
    """
    peak, bandwidth = measured["peak_gflop_per_s"], measured["copy_gb_per_s"]
    figure, (axes,) = _figure(1, height=5.5)
    summaries = measured["measurements"]
    intensity = {name: s["flop"] / s["bytes"] for name, s in summaries.items()}
    x = np.geomspace(min(intensity.values()) / 2, max(max(intensity.values()), peak / bandwidth) * 3, 200)
    roof = f"the roof: {peak:.0f} GFLOP/s in a large product, {bandwidth:.0f} GB/s in a large copy"
    axes.plot(x, np.minimum(peak, bandwidth * x), color=_GREY, linewidth=2, label=roof)
    for number, (name, summary) in enumerate(summaries.items(), start=1):
        forward = not name.endswith("backward")
        colour = _COLOURS[0] if forward else _COLOURS[1]
        axes.plot(intensity[name], summary["gflop_per_s"], "o", color=colour, markersize=11)
        axes.annotate(
            str(number), (intensity[name], summary["gflop_per_s"]), color="white", ha="center", va="center", fontsize=7
        )
        row = 0.98 - 0.042 * number
        axes.text(1.02, row, f"{number}  {name}", transform=axes.transAxes, fontsize=8, color=colour)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("FLOP per byte that must move")
    axes.set_ylabel("GFLOP/s")
    axes.set_ylim(top=6 * peak)
    axes.legend(frameon=False, loc="upper left")
    settings = measured["settings"]
    title = f"Layers of the MNIST networks, {settings['device']}, {threads_of(settings['threads'])}"
    axes.set_title(title, loc="left")
    figure.savefig(path)


def draw_sweep(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the time of an iteration over batch and over width, one curve a result, and where they cross.

    Parameters
    ----------
    results : sequence of dict
        Results of `sweep.measure_sweep`: one, or several from other devices and machines.
    path : path
    """
    figure, panels = _figure(2, height=4.2)
    for axes, axis, fixed in zip(panels, ("batch", "width"), ("width 1,200", "batch 100"), strict=True):
        curves = []
        for colour, measured in zip(_COLOURS, results, strict=False):
            points = [point for point in measured["points"] if point["axis"] == axis]
            if not points:
                continue
            x = [point["value"] for point in points]
            step, products = (
                [measured["measurements"][point[key]] for point in points] for key in ("step", "products")
            )
            name = f"{measured['settings']['device']}, {threads_of(measured['settings']['threads'])}"
            y = [summary["median_ms"] for summary in step]
            axes.fill_between(
                x, [s["p10_ms"] for s in step], [s["p90_ms"] for s in step], color=colour, alpha=0.2, linewidth=0
            )
            axes.plot(x, y, "o-", color=colour, label=name)
            alone = [summary["median_ms"] for summary in products]
            axes.plot(x, alone, "--", color=colour, linewidth=1, label="its products alone")
            for marker, peer in zip("sv^D", dict.fromkeys(n for p in points for n in p.get("peers", {})), strict=False):
                there = [p for p in points if peer in p["peers"]]
                axes.plot(
                    [p["value"] for p in there],
                    [measured["measurements"][p["peers"][peer]]["median_ms"] for p in there],
                    marker, color=colour, fillstyle="none", markersize=5, label=f"{peer}, {name.partition(',')[0]}",
                )  # fmt: skip
            curves.append((x, y))
        if len(curves) > 1 and (where := crossover(*curves[0], *curves[1])) is not None:
            axes.axvline(where, color=_GREY, linestyle=":")
            axes.annotate(
                f"from {where:.0f} on the second is faster",
                (where, 0.02),
                (4, 0),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                color=_GREY,
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel(f"{axis} ({fixed})")
        axes.set_ylabel("one iteration, ms")
        if curves:
            axes.legend(frameon=False)
    figure.savefig(path)


def draw_parallel(measured: dict[str, Any], path: Path) -> None:
    """Draw how many times the rows of one process more ranks do in a second, by network, as the model says.

    A dot is where a line leaves the ranks that pay, a diamond what was measured.

    Parameters
    ----------
    measured : dict
        A result of `parallel.measure_parallel`.
    path : path
    """
    figure, panels = _figure(2, height=5.2)
    batch, cpus = measured["settings"]["batch"], measured["settings"]["cpus"]
    titles = (f"Strong scaling: {batch} rows for all ranks", f"Weak scaling: {batch} rows for each rank")
    for axes, weak, title in zip(panels, (False, True), titles, strict=True):
        ranks = np.arange(1, (MOST if weak else batch) + 1)
        axes.plot(ranks, ranks, color=_GREY, linewidth=1, label="all of what N processes alone do")
        axes.plot(ranks, WORTH * ranks, ":", color=_GREY, linewidth=1, label="half of it: more ranks do not pay")
        found = measured["weak" if weak else "strong"]
        for look, network, step, pays in zip(_LOOKS, measured["networks"], measured["steps"], found, strict=False):
            colour, style = look
            speedup = Step(**step).speedup(ranks[1:], batch, Network(**network), weak)
            axes.plot(ranks[1:], speedup, style, color=colour, linewidth=1.6, label=network["name"])
            if 1 < (last := pays["pays_to"]) < ranks[-1]:
                axes.plot(last, speedup[last - 2], "o", color=colour, markersize=5)
        if not weak:
            for count in measured["settings"]["ranks"]:
                rate = measured["contestants"][f"{count} processes"]
                shared = "white" if count > cpus else "black"
                axes.plot([count] * 2, [rate["ratio_p10"], rate["ratio_p90"]], color="black", linewidth=1, zorder=3)
                axes.plot(count, rate["ratio"], "D", color="black", markerfacecolor=shared, markersize=5, zorder=4)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.set_xlabel("ranks N")
        axes.set_ylabel("rows in a second, by those of one process")
        axes.set_title(title, loc="left", fontsize=10)
    panels[0].plot([], [], "D", color="black", markersize=5, label=f"measured (white: they share {cpus} processors)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(f"{measured['settings']['experiment']} on N ranks: the model, and what was measured", fontsize=11)
    figure.savefig(path)


def crossover(x_a: Sequence[float], y_a: Sequence[float], x_b: Sequence[float], y_b: Sequence[float]) -> float | None:
    """Return the size from which on the second curve stays below the first, or None.

    Parameters
    ----------
    x_a, x_b : sequence of float
        Sizes, increasing.
    y_a, y_b : sequence of float
        Times. Between two sizes both curves are straight lines on logarithmic axes.

    Returns
    -------
    float or None
        None when the second is never faster at the largest common size; the smallest common size when it always is.

    Examples
    --------
    >>> crossover([1, 100], [1, 100], [1, 100], [10, 10])
    10.0
    >>> crossover([1, 100], [1, 1], [1, 100], [2, 2]) is None
    True
    """
    low, high = max(x_a[0], x_b[0]), min(x_a[-1], x_b[-1])
    if low > high:
        return None
    sizes = np.log(sorted({x for x in (*x_a, *x_b) if low <= x <= high}))
    a, b = (np.interp(sizes, np.log(x), np.log(y)) for x, y in ((x_a, y_a), (x_b, y_b)))
    lead = a - b  # positive where the second is faster
    if not lead[-1] > 0:
        return None
    behind = np.flatnonzero(lead <= 0)
    if not len(behind):
        return float(low)
    i = behind[-1]
    share = -lead[i] / (lead[i + 1] - lead[i])
    return float(round(np.exp(sizes[i] + share * (sizes[i + 1] - sizes[i])), 6))


def _figure(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, height), dpi=110, layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    return figure, axes
