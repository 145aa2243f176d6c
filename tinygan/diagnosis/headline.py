"""One sentence about a diagnosis: what a fresh classifier can tell, and where the samples lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def headline(record: Mapping[str, Any]) -> str:
    """Return what a fresh classifier tells of the samples, in one sentence with its error, precision and recall.

    Parameters
    ----------
    record : mapping
        A record of ``diagnosis.jsonl``: take the last one whose measures have a ``classifier_accuracy``.

    Returns
    -------
    str
        Without markup; "" if the record has no accuracy.

    Examples
    --------
    >>> measures = {"classifier_accuracy": 0.865, "classifier_standard_error": 0.024, "classifier_rows": 200,
    ...             "vote_accuracy": 0.685, "vote_neighbours": 14, "precision": 0.5, "recall": 0.46}
    >>> print(headline({"epoch": 300, "measures": measures}))  # doctest: +NORMALIZE_WHITESPACE
    After epoch 300, a fresh classifier tells samples from new data with 86.5 % ± 2.4 % accuracy (chance is 50 %; 200
    rows; a vote of 14 neighbours: 68.5 %); precision 50 %, recall 46 %.
    """
    measures = record.get("measures") or {}
    accuracy = measures.get("classifier_accuracy")
    if accuracy is None:
        return ""
    error, vote = measures.get("classifier_standard_error"), measures.get("vote_accuracy")
    beside = ["chance is 50 %"]
    if measures.get("classifier_rows"):
        beside.append(f"{measures['classifier_rows']:,.0f} rows")
    if vote is not None and vote != accuracy:
        beside.append(f"a vote of {measures.get('vote_neighbours', 'several')} neighbours: {100 * vote:.1f} %")
    after = "Before training" if record.get("epoch") == 0 else f"After epoch {record.get('epoch')}"
    told = f"{100 * accuracy:.1f} %" + ("" if error is None else f" ± {100 * error:.1f} %")
    regions = {name: measures.get(name) for name in ("precision", "recall")}
    shown = ", ".join(f"{name} {100 * share:.0f} %" for name, share in regions.items() if share is not None)
    return (
        f"{after}, a fresh classifier tells samples from new data with {told} accuracy ({'; '.join(beside)})"
        f"{'; ' if shown else ''}{shown}."
    )
