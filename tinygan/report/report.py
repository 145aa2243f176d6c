"""``report.html``: a training run on one page that needs no other file and no network.

The file contains the sample sheets as data, the curves as SVG, and the style sheet. It has no script, and its
Content-Security-Policy forbids it to load anything. The same run folder gives the same bytes.
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.config.experiment import ExperimentConfig, load_experiment
from tinygan.errors import RunError
from tinygan.report.album import Album, Sheet, collect_sheets
from tinygan.report.charts import Chart, draw_chart
from tinygan.report.curves import LOG_4, column, generator_level, training_charts
from tinygan.report.markup import picture, table, text
from tinygan.runs.atomic import atomic_write
from tinygan.runs.command import command, recorded_options
from tinygan.runs.plain_files import refused
from tinygan.runs.run_folder import RunFolder

Records = Sequence[Mapping[str, Any]]


def write_report(run: RunFolder) -> Path:
    """Write ``report.html`` into a run folder, of a finished or unfinished run.

    Parameters
    ----------
    run : RunFolder
        It may have no metrics and no samples yet.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        ``config.toml`` is not an experiment.
    RunError
        Another file of the run cannot be read, or the report cannot be written; an earlier report is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from tinygan.config.experiment import to_toml
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = RunFolder.create(Path(folder, "run"), to_toml(load_experiment("digits")), {"python": "3.11"})
    ...     write_report(run).name
    'report.html'
    """
    page = _page(run)
    with refused(RunError, f"{run.report_path}: cannot be written", "free space or correct the permissions"):
        atomic_write(run.report_path, [page.encode()])
    return run.report_path


def _page(run: RunFolder) -> str:
    config = load_experiment(run.config_path)
    records = [record for record in run.metrics() if np.isfinite(column([record], "epoch")[0])]
    environment = run.environment()
    album = collect_sheets(run)
    template = resources.files("tinygan.report").joinpath("report.html").read_text(encoding="utf-8")
    return string.Template(template).substitute(
        name=text(config.name),
        description=text(config.description),
        state=_state(records, config),
        newest=_newest(album, config),
        evolution=_evolution(album, config),
        charts=_charts(records, config),
        time=_time(run.timing()),
        numbers=_numbers(records, config),
        again=_again(config, environment),
        configuration=text(run.config_path.read_text(encoding="utf-8-sig")),
        environment=table([(text(key.replace("_", " ")), _listed(value)) for key, value in environment.items()]),
    )


# --- the game in words -------------------------------------------------------------------------------------


def _state(records: Records, config: ExperimentConfig) -> str:
    if not records:
        return "The first epoch is not complete yet."
    done, planned = int(records[-1]["epoch"]), config.training.epochs
    after = f"After {done} of {planned} epochs" if done < planned else f"After {_epochs(done)}"
    for record in records:
        if any(record.get(key, 0) is None for key in ("discriminator_loss", "generator_loss")):
            return (
                f"In epoch {record['epoch']} a loss became infinite or nan: the training failed there, and the later "
                "epochs have no meaning."
            )
    accuracy = column(records[-1:], "d_accuracy")[0]
    if math.isnan(accuracy):
        return f"{after} no accuracy of D is recorded."
    return (
        f"{after}, D classifies {100 * accuracy:.0f}&nbsp;% of data and samples correctly. At the equilibrium of the "
        "game it would be 50&nbsp;%, pure chance."
    )


# --- samples -----------------------------------------------------------------------------------------------


def _newest(album: Album, config: ExperimentConfig) -> str:
    if not album.sheets:
        return ""
    sheet = album.sheets[-1]
    return (
        f'<figure class="newest{_smooth(config)}">\n{_picture(sheet, config)}\n'
        f"<figcaption>The newest samples: {_when(sheet.epoch)}</figcaption>\n</figure>"
    )


def _evolution(album: Album, config: ExperimentConfig) -> str:
    parts = []
    if album.sheets:
        parts.append(f"<p>{_reading(config)} Click or tap a sheet to enlarge it.</p>")
        figures = "\n".join(
            f'<figure id="epoch-{sheet.epoch}">\n<a href="#epoch-{sheet.epoch}">{_picture(sheet, config)}</a>\n'
            f"<figcaption>{_when(sheet.epoch)}</figcaption>\n</figure>"
            for sheet in album.sheets
        )
        parts.append(f'<div class="sheets{_smooth(config)}">\n{figures}\n</div>')
    else:
        parts.append("<p>No samples have been drawn yet.</p>")
    if album.damaged:
        parts.append(f"<p>Left out, because they are damaged or not PNG files: {_file_names(album.damaged)}.</p>")
    if album.too_large:
        parts.append(f"<p>Too large for this page; see the folder samples: {_file_names(album.too_large)}.</p>")
    return "\n".join(parts)


def _smooth(config: ExperimentConfig) -> str:
    """Return the CSS class of drawings, which the browser may smooth."""
    return " drawing" if config.data.is_line else ""


def _reading(config: ExperimentConfig) -> str:
    """Return an explanation of the sheets."""
    if config.data.is_line:
        return (
            "Green: the histogram of G(z), always for the same noise z. Dotted: the density of the data. Dashed blue: "
            "D(x), which is 1/2 everywhere at the equilibrium."
        )
    return "The same position on every sheet shows G(z) for the same noise z, so each difference is a change of G."


def _picture(sheet: Sheet, config: ExperimentConfig) -> str:
    kind = "Histogram" if config.data.is_line else "Sheet"
    description = f"{kind} of {config.output.samples} samples {_when(sheet.epoch)}"
    return picture(sheet.png, sheet.width, sheet.height, description)


def _when(epoch: int) -> str:
    return f"after {_epochs(epoch)}" if epoch else "before training"


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _file_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"<code>{text(name)}</code>" for name in names[:3]) + more


# --- curves ------------------------------------------------------------------------------------------------


def _charts(records: Records, config: ExperimentConfig) -> str:
    if not records:
        return "<p>The curves begin with the first complete epoch.</p>"
    charts = training_charts(records, config.training.objective)
    return '<div class="charts">\n' + "\n".join(map(_chart, charts)) + "\n</div>"


def _chart(chart: Chart) -> str:
    entries = [("", line.colour, f"{line.label}: {_amount(line.y[-1])}") for line in chart.lines]
    entries += [(' class="dashed"', level.colour, level.label) for level in chart.references]
    key = "".join(
        f'<li{dashed} style="--colour: var(--{colour})">{text(label)}</li>' for dashed, colour, label in entries
    )
    return (
        f'<figure>\n<h3>{text(chart.title)}</h3>\n<ul class="key">{key}</ul>\n{draw_chart(chart, _described(chart))}\n'
        f"<figcaption>{text(chart.reading)}</figcaption>\n</figure>"
    )


def _described(chart: Chart) -> str:
    """Return a description of a chart for a screen reader."""
    parts = [f"{chart.title}, by epoch from {chart.x[0]:.0f} to {chart.x[-1]:.0f}"]
    for line in chart.lines:
        finite = line.y[np.isfinite(line.y)]
        reach = f", between {_amount(finite.min())} and {_amount(finite.max())}" if len(finite) else ""
        parts.append(f"{line.label}: {_amount(line.y[-1])} at the end{reach}")
    parts += [f"dashed line: {level.label}" for level in chart.references]
    return "; ".join(parts)


# --- tables ------------------------------------------------------------------------------------------------


def _numbers(records: Records, config: ExperimentConfig) -> str:
    if not records:
        return "<p>The first epoch is not complete yet.</p>"
    last = dict(records[-1])
    level = generator_level(config.training.objective)
    named = {
        "steps": ("iterations", ""),
        "discriminator_loss": ("loss of D", f"log 4 = {LOG_4:.4g}"),
        "generator_loss": ("loss of G", level.label),
        "value": ("V(D, G)", f"−log 4 = −{LOG_4:.4g}"),
        "d_real": ("D(x), on data", "0.5"),
        "d_fake": ("D(G(z)), on samples", "0.5"),
        "d_accuracy": ("accuracy of D", "0.5"),
        "discriminator_gradient_norm": ("gradient norm of D", ""),
        "generator_gradient_norm": ("gradient norm of G", ""),
        "discriminator_lr": ("learning rate of D", ""),
        "generator_lr": ("learning rate of G", ""),
        "momentum": ("momentum", ""),
    }
    epoch = last.pop("epoch")
    last.pop("value_at_equilibrium", None)  # it is in the last column
    if last.get("momentum", 0) is None:  # as with Adam
        del last["momentum"]
    rows = [(what, _shown(last.pop(key)), level) for key, (what, level) in named.items() if key in last]
    rows += [(f"<code>{text(key)}</code>", _shown(value), "") for key, value in last.items()]
    return table(rows, ("", f"epoch {epoch}", "at equilibrium"), numbers=True)


def _time(records: Records) -> str:
    seconds = column(records, "seconds")
    seconds = seconds[np.isfinite(seconds)]
    if len(seconds) == 0:
        return "<p>No epoch has been timed yet.</p>"
    return (
        f"<p>{_epochs(len(seconds))} took {_duration(seconds.sum())}. The median epoch took "
        f"{_duration(float(np.median(seconds)))}, the fastest {_duration(seconds.min())}, the slowest "
        f"{_duration(seconds.max())}.</p>"
    )


def _again(config: ExperimentConfig, environment: Mapping[str, Any]) -> str:
    options = recorded_options(environment)
    data = ""
    if config.data.needs_files and "--data" not in options:
        data = " If the data set is in your own folder, add <code>--data</code>."
    train = command("train", "config.toml", "--out", "../again", *options)
    return (
        f"<p>In the folder of this report:</p>\n<pre>{text(train)}</pre>\n"
        f"<p>The seed, {config.seed}, is in the configuration. On the same kind of machine, with the same versions and "
        f"number of threads, <code>metrics.jsonl</code> will have the same bytes.{data}</p>"
    )


def _listed(value: object) -> str:
    """Write a value of ``environment.json`` for a table."""
    if isinstance(value, Mapping):
        known = {key: item for key, item in value.items() if item is not None}
        return ", ".join(f"{text(key)} = {text(item)}" for key, item in known.items()) or "none set"
    if isinstance(value, list):
        return ", ".join(map(text, value)) or "none"
    return "unknown" if value is None else text(value)


def _shown(value: object) -> str:
    if value is None:  # a record has null for nan and infinity
        return "not a number"
    return f"{value:.4g}".replace("-", "−") if isinstance(value, float) else text(value)


def _amount(value: float) -> str:
    return "not a number" if math.isnan(value) else _shown(float(value))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
