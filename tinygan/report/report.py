"""``report.html``: a training run on one page that needs no other file and no network.

The file contains the sample sheets as data, the curves as SVG, a style sheet, and a script that shows numbers and
sheets by epoch. Its Content-Security-Policy allows this script only, and forbids it to load anything. Without the
script the page shows the newest sheets and the last numbers. The same run folder gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.config.experiment import ExperimentConfig, load_experiment
from tinygan.gan import OBJECTIVES
from tinygan.report.album import Album, collect_sheets
from tinygan.report.curves import column, loss_levels, training_charts
from tinygan.report.markup import shown, table, text
from tinygan.report.networks import layer_names, networks
from tinygan.report.page import write_page
from tinygan.report.sections import (
    SCRUBBER,
    Records,
    chart_grid,
    epoch_count,
    evolution,
    failure,
    newest,
    progress,
    read_metrics,
    real,
)
from tinygan.report.verdicts import MEASURES, Diagnosis, current, judged, measures, read_diagnoses, verdict_list
from tinygan.runs.command import command, recorded_options
from tinygan.runs.run_folder import RunFolder

# What a table says of each field of a record.
NUMBERS = {
    "steps": "iterations",
    "discriminator_loss": "loss of D",
    "generator_loss": "loss of G",
    "value": "V(D, G)",
    "d_real": "D(x), on data",
    "d_fake": "D(G(z)), on samples",
    "score_real": "D's mean output, on data",
    "score_fake": "D's mean output, on samples",
    "score_difference": "their difference",
    "d_accuracy": "accuracy of D",
    "discriminator_gradient_norm": "gradient norm of D",
    "generator_gradient_norm": "gradient norm of G",
    "discriminator_lr": "learning rate of D",
    "generator_lr": "learning rate of G",
    "momentum": "momentum",
    "validation_log_likelihood": "log-likelihood of validation images",
}


def write_report(run: RunFolder, out: Path | None = None) -> Path:
    """Write the report of a run, finished or unfinished.

    Parameters
    ----------
    run : RunFolder
        It may have no metrics and no samples yet.
    out : Path, optional
        The file; by default ``report.html`` in the run folder.

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
    out = run.report_path if out is None else out
    config = load_experiment(run.config_path)
    records, diagnoses = read_metrics(run), read_diagnoses(run)
    environment = run.environment()
    album = collect_sheets(run)
    rules = config.training.objective, diagnoses, layer_names(config), config.training.label_smoothing
    charts = training_charts(records, *rules) if records else []
    parts = {
        "name": text(config.name),
        "description": text(config.description),
        "progress": text(progress(records, config)),
        "state": text(_state(records, diagnoses)).replace(" %", "&nbsp;%"),
        "now": current(diagnoses, sentences=1),
        "newest": _opening(album, config),
        "charts": chart_grid(charts) if charts else "<p>The curves begin with the first complete epoch.</p>",
        "verdicts": verdict_list(diagnoses),
        "evolution": evolution(album, config, "sheets"),
        "networks": networks(config),
        "numbers": _numbers(records, config) + _measures(diagnoses),
        "time": _time(run.timing()),
        "again": _again(config, environment),
        "configuration": text(run.config_path.read_text(encoding="utf-8-sig")),
        "environment": table([(text(key.replace("_", " ")), _listed(value)) for key, value in environment.items()]),
    }
    write_page(out, f"{config.name}: report of a tinygan run", "report.html", parts)
    return out


# --- the first screen --------------------------------------------------------------------------------------


def _state(records: Records, diagnoses: list[Diagnosis]) -> str:
    """Return how near the samples are to the data, as far as the run can tell."""
    if not records or failure(records):
        return failure(records)
    return judged(diagnoses) or (
        "No fresh classifier has judged the samples yet. The curves alone cannot: an untrained D also answers 1/2 "
        "everywhere."
    )


def _opening(album: Album, config: ExperimentConfig) -> str:
    """Return the newest samples, real data beside them, and the slider."""
    figures = newest(album, config, "sheets", "Samples") + real(album, config)
    if not figures:
        return ""
    single = "" if album.sheets and album.data else " single"
    return f'<div class="beside{single}">\n{figures}\n{SCRUBBER}\n</div>'


# --- tables ------------------------------------------------------------------------------------------------


def _numbers(records: Records, config: ExperimentConfig) -> str:
    if not records:
        return "<p>The first epoch is not complete yet.</p>"
    last = {key: value for key, value in records[-1].items() if not isinstance(value, Mapping)}  # those are by layer
    training = config.training
    at_equilibrium = loss_levels(training.objective, training.label_smoothing)
    names = {"d": "discriminator_loss", "g": "generator_loss"}
    levels = {names[level.colour]: level.label for level in at_equilibrium}
    if "discriminator_loss" in levels:
        parts = levels["discriminator_loss"].split(" = ")
        levels["value"] = " = ".join(part if part == "0.000" else f"−{part}" for part in parts)
    undecided = OBJECTIVES[training.objective].undecided
    if undecided is not None and not training.label_smoothing:
        levels |= dict.fromkeys(("d_real", "d_fake", "d_accuracy"), "0.5")
        levels |= dict.fromkeys(("score_real", "score_fake"), f"{undecided:g}")
    levels["score_difference"] = "0"
    epoch = last.pop("epoch")
    last.pop("value_at_equilibrium", None)  # it is in the last column
    if last.get("momentum", 0) is None:  # as with Adam
        del last["momentum"]
    rows = [(what, shown(last.pop(key)), levels.get(key, "")) for key, what in NUMBERS.items() if key in last]
    rows += [(f"<code>{text(key)}</code>", shown(value), "") for key, value in last.items()]
    return table(rows, ("", f"epoch {epoch}", "at equilibrium"), numbers=True)


def _measures(diagnoses: list[Diagnosis]) -> str:
    said = measures(diagnoses)
    if not said:
        return ""
    rows = [(MEASURES[key][0], value, MEASURES[key][1]) for key, value in said.items()]
    return table(rows, ("", f"epoch {int(diagnoses[-1]['epoch'])}", "if samples follow the data"), numbers=True)


def _time(records: Records) -> str:
    seconds = column(records, "seconds")
    seconds = seconds[np.isfinite(seconds)]
    if len(seconds) == 0:
        return "<p>No epoch has been timed yet.</p>"
    return (
        f"<p>{epoch_count(len(seconds))} took {_duration(seconds.sum())}. The median epoch took "
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


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
