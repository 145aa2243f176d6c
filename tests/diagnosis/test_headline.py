"""The sentences about a record hold its numbers, and leave out what it lacks."""

from __future__ import annotations

import pytest

from tinygan.diagnosis import closing_line, headline, titles_of

MEASURES = {
    "classifier_accuracy": 0.66, "classifier_standard_error": 0.033, "classifier_rows": 200.0, "vote_accuracy": 0.6,
    "vote_neighbours": 14.0, "precision": 0.5, "recall": 0.46,
}  # fmt: skip


def test_the_headline_holds_every_number():
    said = headline({"epoch": 300, "measures": MEASURES})
    for part in ("epoch 300", "66.0 % ± 3.3 %", "50 %", "200 rows", "14 neighbours: 60.0 %", "precision 50 %",
                 "recall 46 %"):  # fmt: skip
        assert part in said
    assert "epoch" not in headline({"measures": MEASURES})


@pytest.mark.parametrize("missing", [name for name in MEASURES if name != "classifier_accuracy"])
def test_a_missing_number_is_left_out(missing):
    for measures in ({**MEASURES, missing: None}, {name: n for name, n in MEASURES.items() if name != missing}):
        said = headline({"epoch": 1, "measures": measures})
        assert said.startswith("After epoch 1, a fresh classifier distinguishes samples from new data with 66.0 %")
        assert said.endswith(".")
        assert "None" not in said


@pytest.mark.parametrize("record", [{}, {"measures": None}, {"measures": {}}, {"measures": {"recall": 0.5}}])
def test_without_an_accuracy_there_is_no_headline(record):
    assert headline(record) == ""


def test_the_closing_line_takes_the_last_of_each():
    records = [
        {"epoch": 50, "verdicts": [{"title": "no fault found"}], "measures": MEASURES},
        {"epoch": 60, "verdicts": [{"title": "D has won"}], "measures": {"d_accuracy": 1.0}},
    ]
    said = closing_line(records)
    assert said.startswith("D has won; a fresh classifier is right on 66.0 % ± 3.3 % (chance: 50 %), precision 50 %")
    assert said.endswith("after epoch 50")
    assert "epoch" not in closing_line(records[:1])
    assert closing_line(records[1:]) == "D has won"
    assert closing_line([]) == ""
    assert "\n" not in said
    assert titles_of([]) == "no fault found yet"
