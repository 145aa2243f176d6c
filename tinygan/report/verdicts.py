"""What the diagnoses of a run say: the newest in a sentence, and each verdict that began or ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygan.diagnosis import headline
from tinygan.report.curves import column
from tinygan.report.markup import shown, text
from tinygan.runs.run_folder import RunFolder

Diagnosis = Mapping[str, Any]

# What a table says of each measure, and its value where the samples follow the data.
MEASURES = {
    "classifier_accuracy": ("accuracy of a fresh classifier", "0.5"),
    "precision": ("precision: samples among the data", ""),
    "recall": ("recall: data among the samples", ""),
    "nearest_ratio": ("distance of a sample to the next, over that of data", "1"),
    "spread": ("variance of the samples over that of data", "1"),
    "data_rms": ("root mean square of the data", ""),
    "sample_rms": ("root mean square of the samples", "that of the data"),
    "classes_covered": ("classes among the samples", "all"),
    "modes_recovered": ("modes among the samples", "all"),
    "d_accuracy_held_out": ("accuracy of D on new data and samples", "0.5"),
    "jsd_bound_held_out": ("bound on the JSD, by D on new data", "0"),
    "jsd_bound_minibatch": ("bound on the JSD, by D on its minibatches (too high)", "0"),
}
ERRORS = {"classifier_accuracy": "classifier_standard_error", "jsd_bound_held_out": "jsd_bound_error"}


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
    return [record for record in run.diagnoses() if _is_diagnosis(record)]


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
        found += [(epoch, False, verdict) for name, verdict in before.items() if name not in now]
        found += [(epoch, True, verdict) for name, verdict in now.items() if name not in before]
        before = now
    return found


def title(verdict: Mapping[str, Any]) -> str:
    """Return the title of a verdict, as the beginning of a sentence in HTML.

    Examples
    --------
    >>> title({"title": "dead ReLUs"})
    'Dead ReLUs'
    """
    words = str(verdict.get("title", verdict.get("name", "a verdict")))
    return text(words[:1].upper() + words[1:])


def current(diagnoses: Sequence[Diagnosis], sentences: int) -> str:
    """Return the verdicts of the newest diagnosis, the first `sentences` of them with what they say, as HTML."""
    items = []
    for number, verdict in enumerate(diagnoses[-1]["verdicts"] if diagnoses else []):
        fine = "" if verdict.get("advice") else ' class="fine"'
        says = f". {text(verdict.get('says', ''))}" if number < sentences else ""
        items.append(f'<li{fine}><a href="#verdicts"><b>{title(verdict)}</b></a>{says}</li>')
    return f'<ul class="now">{"".join(items)}</ul>' if items else ""


def verdict_list(diagnoses: Sequence[Diagnosis]) -> str:
    """Return the changes of the verdicts as a list, with numbers and advice, as HTML."""
    if not diagnoses:
        return "<p>This run has no diagnosis yet. In the folder of this report: <code>tinygan diagnose .</code></p>"
    items = [_item(*change) for change in changes(diagnoses)]
    epochs = [f"{int(record['epoch'])}" for record in diagnoses]
    when = f"epoch {epochs[0]}" if len(epochs) == 1 else f"{len(epochs)} epochs, from {epochs[0]} to {epochs[-1]}"
    if not items:
        return f"<p>Diagnosed at {when}: no fault was found.</p>"
    return (
        f"<p>Diagnosed at {when}. A verdict is here when it begins, and when it is over.</p>\n"
        '<ol class="verdicts">\n' + "\n".join(filter(None, items)) + "\n</ol>"
    )


def _item(epoch: int, began: bool, verdict: Mapping[str, Any]) -> str:
    advice = verdict.get("advice")
    tries = "".join(f"<li>{text(one)}</li>" for one in advice) if isinstance(advice, list) else ""
    if not began:  # the end of a verdict that asks for nothing is no news
        return f"<li><b>Epoch {epoch}.</b> Over: {title(verdict)}.</li>" if tries else ""
    number = "".join(
        f" {what}: {shown(verdict[key])}."
        for key, what in (("number", "The number"), ("reference", "For comparison"))
        if verdict.get(key) is not None
    )
    return (
        f"<li><b>Epoch {epoch}. {title(verdict)}.</b> {text(verdict.get('says', ''))}{number}"
        + (f"<p>Try, in this order:</p><ol>{tries}</ol>" if tries else "")
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
                error = column([found], ERRORS.get(key, ""))[0]
                bar = f" ± {error:.2g}" if np.isfinite(error) else ""
                early = "" if record is diagnoses[-1] else f" (epoch {int(record['epoch'])})"
                said[key] = f"{shown(found[key])}{bar}{early}"
                break
    return said
