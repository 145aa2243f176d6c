"""The comparison of two runs on one page: curves in the same charts, samples of the same epoch, settings, measures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from tinygan.config.decisive import leaves
from tinygan.config.experiment import ExperimentConfig, load_experiment
from tinygan.errors import RunError
from tinygan.pictures.sheets import list_sheets
from tinygan.report.album import Album, collect_sheets
from tinygan.report.charts import Chart, Line
from tinygan.report.curves import training_charts
from tinygan.report.markup import shown, table, text
from tinygan.report.networks import layer_names
from tinygan.report.page import write_page
from tinygan.report.report import NUMBERS
from tinygan.report.sections import (
    SCRUBBER,
    Records,
    chart_grid,
    evolution,
    failure,
    newest,
    progress,
    read_metrics,
)
from tinygan.report.verdicts import MEASURES, Diagnosis, current, judged, measures, read_diagnoses, title
from tinygan.runs.run_folder import RunFolder


@dataclass
class _Side:
    """One of the two runs."""

    letter: str
    run: RunFolder
    config: ExperimentConfig
    records: Records
    diagnoses: list[Diagnosis]

    @property
    def sheets(self) -> str:
        """The id of its sample sheets on the page."""
        return f"sheets-{self.letter.lower()}"

    @cached_property
    def charts(self) -> list[Chart]:
        names = layer_names(self.config)
        training = self.config.training
        return training_charts(self.records, training.objective, self.diagnoses, names, training.label_smoothing)


def write_comparison(first: RunFolder, second: RunFolder, out: Path) -> Path:
    """Write a page that compares two runs.

    The runs are only read, so both may still be in training.

    Parameters
    ----------
    first, second : RunFolder
        Each has at least one complete epoch.
    out : Path
        The file to write or replace.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        A ``config.toml`` is not an experiment.
    RunError
        Both are the same folder, a run has no complete epoch, a file cannot be read, or the page cannot be written.

    Examples
    --------
    >>> run = RunFolder(".")
    >>> write_comparison(run, run, Path("page.html"))
    Traceback (most recent call last):
    tinygan.errors.RunError: . and .: both are the same run; expected two different run folders
    """
    if os.path.realpath(first.path) == os.path.realpath(second.path):
        raise RunError(f"{first.path} and {second.path}: both are the same run; expected two different run folders")
    sides = [_side(letter, run) for letter, run in (("A", first), ("B", second))]
    common = set.intersection(*({epoch for epoch, _ in list_sheets(side.run)} for side in sides))
    albums = [collect_sheets(side.run, common) for side in sides]
    names = [side.run.path.resolve().name for side in sides]
    parts = {
        "first": text(names[0]),
        "second": text(names[1]),
        "states": "\n".join(map(_state, sides)),
        "newest": _newest(sides, albums),
        "charts": chart_grid(_charts(*sides)),
        "settings": _settings(*sides),
        "measures": _measures(*sides),
        "evolution": "\n".join(
            f"<h3>{_letter(side.letter)} {text(name)}</h3>\n{evolution(album, side.config, side.sheets)}"
            for side, name, album in zip(sides, names, albums, strict=True)
        ),
        "numbers": _numbers(*sides),
    }
    write_page(out, f"{names[0]} and {names[1]}: two tinygan runs", "comparison.html", parts)
    return out


def _side(letter: str, run: RunFolder) -> _Side:
    records = read_metrics(run)
    if not records:
        raise RunError(
            f"{run.path}: no epoch of this run is complete, so there is nothing to compare; go on with it: "
            f"{run.resume_command()}"
        )
    return _Side(letter, run, load_experiment(run.config_path), records, read_diagnoses(run))


def _letter(letter: str) -> str:
    return f'<span class="run-{letter.lower()}">{letter}</span>'


def _state(side: _Side) -> str:
    words = failure(side.records) or judged(side.diagnoses) or "No fresh classifier has judged the samples yet."
    said = text(words).replace(" %", "&nbsp;%")
    done = text(progress(side.records, side.config))
    state = f'<p class="state">{_letter(side.letter)} <span class="soft">{done}</span> {said}</p>'
    return state + current(side.diagnoses, sentences=0)


def _newest(sides: list[_Side], albums: list[Album]) -> str:
    figures = [
        newest(album, side.config, side.sheets, _letter(side.letter)) for side, album in zip(sides, albums, strict=True)
    ]
    if not any(figures):
        return ""
    return '<div class="beside">\n' + "\n".join([*figures, SCRUBBER]) + "\n</div>"


def _charts(a: _Side, b: _Side) -> list[Chart]:
    """Return a chart of each line of the two reports, with the line of both runs."""
    drawn: dict[tuple[str, str], list[tuple[str, Chart, Line]]] = {}
    for colour, side in (("a", a), ("b", b)):
        for chart in side.charts:
            for line in chart.lines:
                drawn.setdefault((chart.name, line.label), []).append((colour, chart, line))
    charts = [_chart(number, found) for number, found in enumerate(drawn.values())]
    explained: set[str] = set()
    for number, chart in enumerate(charts):  # lines of one chart have one explanation
        charts[number] = replace(chart, reading="" if chart.reading in explained else chart.reading)
        explained.add(chart.reading)
    return charts


def _chart(number: int, found: list[tuple[str, Chart, Line]]) -> Chart:
    _, chart, line = found[0]
    several = len(chart.lines) > 1
    levels = {
        level.level: level for _, one, its in found for level in one.references if level.colour in ("ink", its.colour)
    }
    return replace(
        chart,
        name=f"{chart.name}-{number}",
        title=f"{chart.title}: {line.label}" if several else chart.title,
        lines=[Line(colour.upper(), colour, its.y, one.at(its)) for colour, one, its in found],
        references=[replace(level, name=f"{level.name}-{i}", colour="ink") for i, level in enumerate(levels.values())],
    )


def _settings(a: _Side, b: _Side) -> str:
    first, second = leaves(a.config), leaves(b.config)
    names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    if not names:
        return "<p>All settings are equal.</p>"
    rows = [(f"<code>{text(name)}</code>", _setting(first.get(name)), _setting(second.get(name))) for name in names]
    return table(rows, ("", _letter("A"), _letter("B")))


def _setting(value: object) -> str:
    return '<span class="soft">absent</span>' if value is None else text(json.dumps(value, ensure_ascii=False))


def _measures(a: _Side, b: _Side) -> str:
    if not a.diagnoses and not b.diagnoses:
        return "<p>Neither run has a diagnosis yet: <code>tinygan diagnose RUN</code> makes one.</p>"
    found = [measures(side.diagnoses) for side in (a, b)]
    known = _rows({key: what for key, (what, _) in MEASURES.items()}, *(one.get for one in found))
    header = [
        _letter(side.letter) + (f" at epoch {int(side.diagnoses[-1]['epoch'])}" if side.diagnoses else "")
        for side in (a, b)
    ]
    verdicts = [
        "<br>".join(map(title, side.diagnoses[-1]["verdicts"])) or "none" if side.diagnoses else "not diagnosed"
        for side in (a, b)
    ]
    measured = [(*row, MEASURES[key][1]) for key, row in known.items()]
    rows = [("verdicts", *verdicts, ""), *measured]
    return table(rows, ("", *header, "if samples follow the data"), numbers=True)


def _numbers(a: _Side, b: _Side) -> str:
    last: list[Mapping[str, object]] = [side.records[-1] for side in (a, b)]
    keys = {"epoch": "epochs"} | NUMBERS
    known = [{key: shown(record[key]) for key in keys if record.get(key) is not None} for record in last]
    rows = list(_rows(keys, *(one.get for one in known)).values())
    return table(rows, ("", _letter("A"), _letter("B")), numbers=True)


def _rows(names: Mapping[str, str], *sides: Callable[[str], str | None]) -> dict[str, tuple[str, ...]]:
    """Return a row of a table for each key that a side knows."""
    values = {key: [side(key) for side in sides] for key in names}
    return {key: (names[key], *(one or "" for one in row)) for key, row in values.items() if any(row)}
