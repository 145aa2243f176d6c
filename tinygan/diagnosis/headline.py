"""One sentence about a diagnosis: how well a fresh classifier does, and where the samples lie."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any


def headline(record: Mapping[str, Any]) -> str:
    """Return in one sentence how well a fresh classifier does, with its error, and precision and recall.

    Parameters
    ----------
    record : mapping
        A record of ``diagnosis.jsonl``: take the last one whose measures have a ``classifier_accuracy``. Without
        ``epoch``, the sentence does not name it.

    Returns
    -------
    str
        Without markup; "" if the record has no accuracy.

    Examples
    --------
    >>> measures = {"classifier_accuracy": 0.865, "classifier_standard_error": 0.024, "classifier_rows": 200,
    ...             "vote_accuracy": 0.685, "vote_neighbours": 14, "precision": 0.5, "recall": 0.46}
    >>> print(headline({"epoch": 300, "measures": measures}))  # doctest: +NORMALIZE_WHITESPACE
    After epoch 300, a fresh classifier distinguishes samples from new data with 86.5 % ± 2.4 % accuracy (chance is
    50 %; 200 rows; a vote of 14 neighbours: 68.5 %); precision 50 %, recall 46 %.
    """
    measures = record.get("measures") or {}
    accuracy, vote = measures.get("classifier_accuracy"), measures.get("vote_accuracy")
    if accuracy is None:
        return ""
    beside = ["chance is 50 %"]
    if measures.get("classifier_rows"):
        beside.append(f"{measures['classifier_rows']:,.0f} rows")
    if vote is not None and vote != accuracy:
        neighbours = measures.get("vote_neighbours")
        several = "several" if neighbours is None else f"{neighbours:.0f}"
        beside.append(f"a vote of {several} neighbours: {100 * vote:.1f} %")
    subject = f"After epoch {record['epoch']}, a fresh classifier" if "epoch" in record else "A fresh classifier"
    told = f"{subject} distinguishes samples from new data with {_with_error(measures)} accuracy ({'; '.join(beside)})"
    return "; ".join([told, *([", ".join(_regions(measures))] if _regions(measures) else [])]) + "."


def closing_line(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the end of a run in one line: the verdicts, and how well a fresh classifier does.

    Parameters
    ----------
    records : sequence of mapping
        Of ``diagnosis.jsonl``.

    Returns
    -------
    str
        "" if there are no records.

    Examples
    --------
    >>> measures = {"classifier_accuracy": 0.865, "classifier_standard_error": 0.024, "precision": 0.5, "recall": 0.46}
    >>> print(closing_line([{"epoch": 300, "verdicts": [{"title": "no fault found"}], "measures": measures}]))
    no fault found; a fresh classifier is right on 86.5 % ± 2.4 % (chance: 50 %), precision 50 %, recall 46 %
    """
    if not records:
        return ""
    titles = titles_of(records[-1]["verdicts"])
    told = [record for record in records if record["measures"].get("classifier_accuracy") is not None]
    if not told:
        return titles
    measures, epoch = told[-1]["measures"], told[-1]["epoch"]
    parts = [
        f"{titles}; a fresh classifier is right on {_with_error(measures)} (chance: 50 %)",
        *_regions(measures),
        *([f"after epoch {epoch}"] if told[-1] is not records[-1] else []),
    ]
    return ", ".join(parts)


def titles_of(verdicts: Collection[Mapping[str, Any]]) -> str:
    """Return the titles of verdicts as one text.

    Examples
    --------
    >>> titles_of([{"title": "D has won"}, {"title": "dead ReLUs"}]), titles_of([])
    ('D has won; dead ReLUs', 'no fault found yet')
    """
    return "; ".join(verdict["title"] for verdict in verdicts) or "no fault found yet"


def _with_error(measures: Mapping[str, Any]) -> str:
    error = measures.get("classifier_standard_error")
    return f"{100 * measures['classifier_accuracy']:.1f} %" + ("" if error is None else f" ± {100 * error:.1f} %")


def _regions(measures: Mapping[str, Any]) -> list[str]:
    found = {name: measures.get(name) for name in ("precision", "recall")}
    return [f"{name} {100 * share:.0f} %" for name, share in found.items() if share is not None]
