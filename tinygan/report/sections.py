"""Sections that the report of a run and the comparison of two runs share: sample sheets and charts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygan.config.experiment import ExperimentConfig
from tinygan.data.scaling import WIDEST
from tinygan.report.album import Album, Sheet, spread
from tinygan.report.charts import Chart, draw_chart, readings
from tinygan.report.curves import column
from tinygan.report.markup import picture, shown, text
from tinygan.runs.run_folder import RunFolder

Records = Sequence[Mapping[str, Any]]
SHOWN = 12  # sheets side by side; the slider shows all

SCRUBBER = (
    '<div class="scrub" hidden><output>epoch</output>'
    '<input type="range" min="0" max="0" value="0" step="1" aria-label="Epoch of the samples"></div>'
)


def read_metrics(run: RunFolder) -> Records:
    """Read the records of the epochs; other records are left out.

    Raises
    ------
    RunError
        The file cannot be read.
    """
    return [record for record in run.metrics() if np.isfinite(column([record], "epoch")[0])]


# --- samples -----------------------------------------------------------------------------------------------


def newest(album: Album, config: ExperimentConfig, sheets: str, title: str) -> str:
    """Return the newest sheet as a figure; `sheets` is the id of all of them, for the slider."""
    if not album.sheets:
        return ""
    sheet = album.sheets[-1]
    return (
        f'<figure class="newest{smooth(config)}" data-sheets="{sheets}">\n{_picture(sheet, config)}\n'
        f'<figcaption>{title}: <span class="when">{when(sheet.epoch)}</span></figcaption>\n</figure>'
    )


def real(album: Album, config: ExperimentConfig) -> str:
    """Return the sheet of training images as a figure; nothing if the run has none."""
    if album.data is None:
        return ""
    sheet = album.data
    image = picture(sheet.png, sheet.width, sheet.height, f"Sheet of training images of {config.data.set}")
    return f"<figure>\n{image}\n<figcaption>As many real images</figcaption>\n</figure>"


def evolution(album: Album, config: ExperimentConfig, sheets: str) -> str:
    """Return a few sheets, spread over the run; the others are hidden, for the slider."""
    parts = []
    if album.sheets:
        parts.append(f"<p>{_reading(config)} Click or tap a sheet to enlarge it.</p>")
        visible = spread([sheet.epoch for sheet in album.sheets], SHOWN)
        hidden = {sheet.epoch: "" if sheet.epoch in visible else " hidden" for sheet in album.sheets}
        figures = "\n".join(
            f'<figure id="{sheets}-{sheet.epoch}" data-epoch="{sheet.epoch}"{hidden[sheet.epoch]}>'
            f'\n<a href="#{sheets}-{sheet.epoch}">{_picture(sheet, config)}</a>\n'
            f"<figcaption>{when(sheet.epoch)}</figcaption>\n</figure>"
            for sheet in album.sheets
        )
        parts.append(f'<div class="sheets{smooth(config)}" id="{sheets}">\n{figures}\n</div>')
    else:
        parts.append("<p>No samples have been drawn yet.</p>")
    if album.damaged:
        parts.append(f"<p>Left out, because they are damaged or not PNG files: {_file_names(album.damaged)}.</p>")
    if album.too_large:
        parts.append(f"<p>Too large for this page; see the folder samples: {_file_names(album.too_large)}.</p>")
    return "\n".join(parts)


def smooth(config: ExperimentConfig) -> str:
    """Return the CSS class of drawings, which the browser may smooth."""
    return " drawing" if config.data.is_line else ""


def _reading(config: ExperimentConfig) -> str:
    """Return an explanation of the sheets."""
    if config.data.is_line:
        return (
            "Green: the histogram of G(z), always for the same noise z. Dotted: the density of the data. Dashed blue: "
            "D(x), which is 1/2 everywhere at the equilibrium."
        )
    told = "The same position on every sheet shows G(z) for the same noise z, so each difference is a change of G."
    if config.training.classes:
        told += " Each column shows one class: 0, 1, 2, ... from the left."
    if config.data.contrast is not None:
        told += (
            f" The contrast of the data is normalised: mid grey is 0, and black and white are {WIDEST:g} times the "
            "root mean square of the data away."
        )
    return told


def _picture(sheet: Sheet, config: ExperimentConfig) -> str:
    kind = "Histogram" if config.data.is_line else "Sheet"
    description = f"{kind} of {config.output.samples} samples {when(sheet.epoch)}"
    return picture(sheet.png, sheet.width, sheet.height, description)


def when(epoch: int) -> str:
    """Return the time of a sheet in words.

    Examples
    --------
    >>> when(0), when(1), when(20)
    ('before training', 'after 1 epoch', 'after 20 epochs')
    """
    return f"after {epoch_count(epoch)}" if epoch else "before training"


def epoch_count(count: int) -> str:
    """Return a number of epochs in words."""
    return "1 epoch" if count == 1 else f"{count} epochs"


def _file_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"<code>{text(name)}</code>" for name in names[:3]) + more


# --- curves ------------------------------------------------------------------------------------------------


def chart_grid(charts: Sequence[Chart]) -> str:
    """Return charts as figures, each with the values of its lines at the end, which the script changes."""
    return '<div class="charts">\n' + "\n".join(map(_figure, charts)) + "\n</div>"


def _figure(chart: Chart) -> str:
    items = [f'<li class="at">epoch {chart.end:.0f}</li>']
    for line in chart.lines:
        x = chart.at(line)
        points = json.dumps(readings(x, line.y), separators=(",", ":"))
        early = "" if x[-1] == chart.end else f" (at {x[-1]:.0f})"
        items.append(
            f'<li class="line" style="--colour: var(--{line.colour})" data-label="{text(line.label)}" '
            f'data-points="{points}">{text(line.label)}: <b>{_amount(line.y[-1])}{early}</b></li>'
        )
    for level in chart.references:
        items.append(f'<li class="dashed" style="--colour: var(--{level.colour})">{text(level.label)}</li>')
    return (
        f'<figure>\n<h3>{text(chart.title)}</h3>\n<ul class="key">{"".join(items)}</ul>\n'
        f'<div class="plot" data-end="{chart.end:.0f}">{draw_chart(chart, _described(chart))}</div>\n'
        + (f"<figcaption>{text(chart.reading)}</figcaption>\n" if chart.reading else "")
        + "</figure>"
    )


def _described(chart: Chart) -> str:
    """Return a description of a chart for a screen reader."""
    first = min(chart.at(line)[0] for line in chart.lines)
    parts = [f"{chart.title}, by epoch from {first:.0f} to {chart.end:.0f}"]
    for line in chart.lines:
        finite = line.y[np.isfinite(line.y)]
        reach = f", between {_amount(finite.min())} and {_amount(finite.max())}" if len(finite) else ""
        parts.append(f"{line.label}: {_amount(line.y[-1])} at the end{reach}")
    parts += [f"dashed line: {level.label}" for level in chart.references]
    return "; ".join(parts)


def _amount(value: float) -> str:
    return "not a number" if math.isnan(value) else shown(float(value))


# --- words -------------------------------------------------------------------------------------------------


def progress(records: Records, config: ExperimentConfig) -> str:
    """Return how far a run is."""
    if not records:
        return "The first epoch is not complete yet."
    done, planned = int(records[-1]["epoch"]), config.training.epochs
    return f"After {done} of {planned} epochs." if done < planned else f"After {epoch_count(done)}."


def failure(records: Records) -> str:
    """Return in which epoch a run failed; "" if it did not."""
    for record in records:
        if any(record.get(key, 0) is None for key in ("discriminator_loss", "generator_loss")):
            return (
                f"In epoch {record['epoch']} a loss became infinite or nan: the training failed there, and the later "
                "epochs have no meaning."
            )
    return ""
