"""What the diagnoses of a run say: the newest in a sentence, and each verdict that began or ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygan.report.curves import column
from tinygan.report.markup import shown, text
from tinygan.runs.json_lines import read_records
from tinygan.runs.run_folder import RunFolder

Diagnosis = Mapping[str, Any]

# What a table says of each measure, and its value where the samples follow the data.
MEASURES = {
    "classifier_accuracy": ("accuracy of a fresh classifier", "0.5"),
    "precision": ("precision: samples among the data", ""),
    "recall": ("recall: data among the samples", ""),
    "nearest_ratio": ("distance to the nearest sample, over that of data", "1"),
    "jsd_bound_held_out": ("JSD at least, by D on held-out data", "0"),
    "jsd_bound_minibatch": ("JSD at least, by D on its minibatches (biased upwards)", "0"),
}


def read_diagnoses(run: RunFolder) -> list[Diagnosis]:
    """Read the diagnoses of a run, without records of another form.

    Raises
    ------
    RunError
        The file cannot be read.

    Examples
    --------
    >>> read_diagnoses(RunFolder("no-such-run"))
    []
    """
    return [record for record in read_records(run.path / "diagnosis.jsonl") if _is_diagnosis(record)]


def _is_diagnosis(record: Diagnosis) -> bool:
    verdicts = record.get("verdicts")
    return (
        bool(np.isfinite(column([record], "epoch")[0]))
        and isinstance(record.get("measures"), Mapping)
        and isinstance(verdicts, list)
        and all(isinstance(verdict, Mapping) for verdict in verdicts)
    )


def judged(diagnoses: Sequence[Diagnosis]) -> str:
    """Return what the newest fresh classifier can tell, in a sentence; "" if there was none."""
    for record in reversed(diagnoses):
        if np.isfinite(column([record["measures"]], "classifier_accuracy")[0]):
            return headline(record)
    return ""


def headline(record: Diagnosis) -> str:
    """Return what a fresh classifier can tell, with its standard error, and precision and recall."""
    measures = record["measures"]
    accuracy, error = measures["classifier_accuracy"], column([measures], "classifier_standard_error")[0]
    bar = "" if math.isnan(error) else f" ± {100 * error:.1f} %"
    parts = [
        f"After epoch {record['epoch']}, a fresh classifier tells samples from new data with {100 * accuracy:.1f} %"
        f"{bar} accuracy (chance is 50 %)"
    ]
    shares = {key: column([measures], key)[0] for key in ("precision", "recall")}
    parts += [f"{key} {100 * share:.0f} %" for key, share in shares.items() if not math.isnan(share)]
    return "; ".join(parts) + "."


def changes(diagnoses: Sequence[Diagnosis]) -> list[tuple[int, bool, Mapping[str, Any]]]:
    """List when each verdict began and ended.

    Returns
    -------
    list of (epoch, began, verdict)

    Examples
    --------
    >>> won = {"name": "d-won", "title": "D has won"}
    >>> records = [{"epoch": 1, "verdicts": []}, {"epoch": 2, "verdicts": [won]}, {"epoch": 3, "verdicts": []}]
    >>> [(epoch, began, verdict["title"]) for epoch, began, verdict in changes(records)]
    [(2, True, 'D has won'), (3, False, 'D has won')]
    """
    found: list[tuple[int, bool, Mapping[str, Any]]] = []
    before: dict[Any, Mapping[str, Any]] = {}
    for record in diagnoses:
        now = {verdict.get("name"): verdict for verdict in record["verdicts"]}
        epoch = int(record["epoch"])
        found += [(epoch, True, verdict) for name, verdict in now.items() if name not in before]
        found += [(epoch, False, verdict) for name, verdict in before.items() if name not in now]
        before = now
    return found


def verdict_list(diagnoses: Sequence[Diagnosis]) -> str:
    """Return the changes of the verdicts as a list, with numbers and advice, as HTML."""
    if not diagnoses:
        return "<p>This run has no diagnosis yet. In the folder of this report: <code>tinygan diagnose .</code></p>"
    items = [_item(*change) for change in changes(diagnoses)]
    epochs = [f"{int(record['epoch'])}" for record in diagnoses]
    when = f"epoch {epochs[0]}" if len(epochs) == 1 else f"{len(epochs)} epochs, from {epochs[0]} to {epochs[-1]}"
    if not items:
        return f"<p>Diagnosed at {when}: no known failure was found.</p>"
    return f'<p>Diagnosed at {when}.</p>\n<ol class="verdicts">\n' + "\n".join(items) + "\n</ol>"


def _item(epoch: int, began: bool, verdict: Mapping[str, Any]) -> str:
    title = text(verdict.get("title", verdict.get("name", "a verdict")))
    if not began:
        return f"<li><b>Epoch {epoch}: over.</b> {title}</li>"
    reference = verdict.get("reference")
    number = "" if verdict.get("number") is None else f" The number: {shown(verdict['number'])}"
    number += f" (reference: {shown(reference)})" if number and reference is not None else ""
    listed = verdict.get("advice")
    advice = [listed] if isinstance(listed, str) else listed if isinstance(listed, list) else []
    tries = "".join(f"<li>{text(one)}</li>" for one in advice)
    return (
        f"<li><b>Epoch {epoch}: {title}.</b> {text(verdict.get('says', ''))}{number}{'.' if number else ''}"
        + (f"<p>Try, in this order:</p><ul>{tries}</ul>" if tries else "")
        + "</li>"
    )


def measures(diagnoses: Sequence[Diagnosis]) -> dict[str, str]:
    """Return the newest value of each measure as text, by the keys of `MEASURES`.

    Examples
    --------
    >>> old = {"epoch": 50, "measures": {"classifier_accuracy": 0.661, "classifier_standard_error": 0.02}}
    >>> measures([old, {"epoch": 60, "measures": {"recall": 0.5, "precision": None}}])
    {'classifier_accuracy': '0.661 ± 0.02 (epoch 50)', 'recall': '0.5'}
    """
    said = {}
    for key in MEASURES:
        for record in reversed(diagnoses):
            found = record["measures"]
            if np.isfinite(column([found], key)[0]):
                error = column([found], "classifier_standard_error")[0]
                bar = f" ± {error:.2g}" if key == "classifier_accuracy" and np.isfinite(error) else ""
                early = "" if record is diagnoses[-1] else f" (epoch {int(record['epoch'])})"
                said[key] = f"{shown(found[key])}{bar}{early}"
                break
    return said
