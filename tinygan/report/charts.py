"""A chart as SVG inside an HTML page.

matplotlib draws it. Then the parts that only a separate file needs are removed. The colours become variables of the
style sheet, so that one drawing fits light and dark pages. The name of the chart is put before every id, because ids
must be unique on the page. The page itself has the legend, because it can wrap text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tinygan.pictures.line import default_settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 400, 210  # units of the drawing; on a phone a unit is about a pixel
LEFT, RIGHT = 0.14, 0.95  # ends of the x axis, as shares of the width; the script of the page reads them
MOST_POINTS = 1000  # in one line; more cannot be seen, even on a wide screen
MOST_READINGS = 400  # epochs of a line whose numbers the page can show

# Names of colours on the page: of the players, of two runs, and of layers from the lowest to the highest.
LAYERS = tuple(f"layer-{number}" for number in range(6))
_NAMES = ("ink", "grid", "d", "g", "value", "a", "b", *LAYERS)
_COLOURS = {name: f"#0101{number:02x}" for number, name in enumerate(_NAMES, start=1)}  # while matplotlib draws


@dataclass(frozen=True, eq=False)
class Line:
    """A curve.

    Attributes
    ----------
    label, colour : str
        The colour is the name of a variable of the style sheet: d, g, value, a, b, or one of `LAYERS`.
    y : array of float
        The line has a gap where a value is nan.
    x : array of float, optional
        The epoch of each value; by default those of the chart.
    """

    label: str
    colour: str
    y: NDArray[np.float64]
    x: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Reference:
    """A level for comparison, drawn as a dashed line across the chart; `name` becomes part of its id."""

    name: str
    label: str
    colour: str
    level: float


@dataclass(frozen=True, eq=False)
class Chart:
    """The content of a chart, and the text beside it.

    Attributes
    ----------
    name : str
        Letters and hyphens, unique on the page.
    title, reading : str
        Heading, and how to read the chart.
    x : array of float
        Epochs, increasing; a line may have others.
    lines : sequence of Line
    references : sequence of Reference
    logarithmic : bool
        Whether the y axis is logarithmic; values of 0 and below are then left out.
    limits : (bottom, top)
        Ends of the y axis; None chooses an end by the data.
    """

    name: str
    title: str
    reading: str
    x: NDArray[np.float64]
    lines: Sequence[Line]
    references: Sequence[Reference] = ()
    logarithmic: bool = False
    limits: tuple[float | None, float | None] = (None, None)

    def at(self, line: Line) -> NDArray[np.float64]:
        """Return the epoch of each value of a line."""
        return self.x if line.x is None else line.x

    @property
    def end(self) -> float:
        """The last epoch, the right end of the x axis."""
        return float(max(self.x[-1], *(self.at(line)[-1] for line in self.lines)))


def draw_chart(chart: Chart, description: str) -> str:
    """Draw a chart.

    Parameters
    ----------
    chart : Chart
    description : str
        The text for a screen reader.

    Returns
    -------
    str
        An ``<svg>`` element; the same chart gives the same text. Its colours are CSS variables such as ``--ink``.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> chart = Chart("loss", "Loss", "Lower is better.", x, [Line("D", "d", 1 / x)])
    >>> draw_chart(chart, "The loss falls.")[:67]
    '<svg viewBox="0 0 400 210" role="img" aria-label="The loss falls.">'
    """
    svg = _matplotlib_svg(chart)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>{chart.name}-", svg)
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    # The root has a size in points and two namespaces; HTML knows the namespaces, and the page sets the size.
    root = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(description)}">'
    svg = re.sub(r"<svg[^>]*>", lambda _: root, svg, count=1)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()


def thinned(x: NDArray[np.float64], y: NDArray[np.float64], most: int) -> tuple[NDArray[np.float64], ...]:
    """Leave out points of a long line, but keep its ends, its peaks and troughs, and its gaps.

    Parameters
    ----------
    x, y : array of float, shape (n,)
    most : int
        About this many points remain: the lowest and the highest of each of `most` / 2 intervals.

    Returns
    -------
    x, y : array of float

    Examples
    --------
    >>> x = np.arange(10_000.0)
    >>> y = np.where(x == 1234, 5.0, 0.0)
    >>> x, y = thinned(x, y, 100)
    >>> len(x) <= 102, y.max(), x[y.argmax()], x[0], x[-1]
    (True, np.float64(5.0), np.float64(1234.0), np.float64(0.0), np.float64(9999.0))
    """
    if len(x) <= most:
        return x, y
    kept = {0, len(x) - 1}
    for stretch in np.array_split(np.arange(len(x)), max(most // 2, 1)):
        values = y[stretch]
        gaps = np.isnan(values)
        if gaps.any():
            kept.add(int(stretch[gaps.argmax()]))
        if not gaps.all():
            kept |= {int(stretch[np.nanargmin(values)]), int(stretch[np.nanargmax(values)])}
    order = sorted(kept)
    return x[order], y[order]


def readings(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[list[float | None]]:
    """Return the epochs and the values that a reader can ask for, evenly spread and with four digits, for JSON.

    Examples
    --------
    >>> readings(np.array([1.0, 2.0]), np.array([0.123456, np.nan]))
    [[1, 2], [0.1235, None]]
    """
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_READINGS)).round().astype(int))
    values = [float(f"{value:.4g}") if np.isfinite(value) else None for value in y[chosen].tolist()]
    return [[int(epoch) for epoch in x[chosen]], values]


def _matplotlib_svg(chart: Chart) -> str:
    # Only drawing needs matplotlib, which takes longer to import than all of tinygan.
    import matplotlib
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with default_settings():
        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": chart.name, "font.size": 12})
        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72))
        figure.patch.set_visible(False)
        axes = figure.add_axes((LEFT, 0.17, RIGHT - LEFT, 0.79))
        axes.set_yscale("log" if chart.logarithmic else "linear")
        for reference in chart.references:
            colour = _COLOURS[reference.colour]
            level = axes.axhline(reference.level, color=colour, linewidth=1.2, linestyle=(0, (5, 4)))
            level.set_gid(f"reference-{reference.name}")
        for line in chart.lines:
            y = np.where(line.y > 0, line.y, np.nan) if chart.logarithmic else line.y
            x, y = thinned(chart.at(line), y, MOST_POINTS)
            gap = np.isnan(np.concatenate([[np.nan], y, [np.nan]]))
            dots = gap[:-2] & gap[2:]  # a point between two gaps is drawn as a dot
            colour = _COLOURS[line.colour]
            axes.plot(x, y, "o-", color=colour, linewidth=1.6, markersize=4, markevery=dots, clip_on=False)
        axes.update_datalim([(0, limit) for limit in chart.limits if limit is not None])
        axes.set_xlim(0, chart.end)
        axes.set_ylim(*chart.limits)
        _furnish(axes, chart.logarithmic)
        figure.savefig(buffer, format="svg")
    return buffer.getvalue()


def _furnish(axes: Axes, logarithmic: bool) -> None:
    """Add ticks, labels and a thin grid."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    ink = _COLOURS["ink"]
    axes.patch.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(ink)
    axes.grid(axis="y", color=_COLOURS["grid"], linewidth=0.7)
    axes.tick_params(colors=ink, length=0)
    axes.set_xlabel("epoch", color=ink, loc="right", labelpad=1)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if logarithmic:
        bottom, top = np.log10(axes.get_ylim())
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if top - bottom < 3 else (1,), numticks=7))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}".replace("-", "−"))
