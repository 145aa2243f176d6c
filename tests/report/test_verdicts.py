"""Diagnoses as a report reads them: records of another form are left out, and changes are found."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.report.verdicts import changes, judged, measures, read_diagnoses, verdict_list
from tinygan.runs.json_lines import append_record

NAMES = st.lists(st.sets(st.sampled_from("abc")), max_size=6)


def records_of(names):
    return [
        {"epoch": epoch, "verdicts": [{"name": name} for name in sorted(found)], "measures": {}}
        for epoch, found in enumerate(names, start=1)
    ]


@given(NAMES)
def test_changes_rebuild_the_verdicts(names):
    records = records_of(names)
    held: set[str] = set()
    found = changes(records)
    for record, expected in zip(records, names, strict=True):
        for epoch, began, verdict in found:
            if epoch == record["epoch"]:
                (held.add if began else held.remove)(verdict["name"])
        assert held == expected


def test_no_diagnosis_and_no_verdict():
    assert "tinygan diagnose ." in verdict_list([])
    assert "Diagnosed at epoch 1: no fault was found." in verdict_list(records_of([set()]))
    assert "Diagnosed at 2 epochs, from 1 to 2: no fault" in verdict_list(records_of([set(), set()]))


@pytest.mark.parametrize("record", [
    {}, {"epoch": None, "verdicts": [], "measures": {}}, {"epoch": 1, "verdicts": {}, "measures": {}},
    {"epoch": 1, "verdicts": ["won"], "measures": {}}, {"epoch": 1, "verdicts": [], "measures": None},
])  # fmt: skip
def test_records_of_another_form_are_left_out(make_run, record, diagnosis_of):
    run = make_run(diagnosed=(5,))
    append_record(run.path / "diagnosis.jsonl", record)
    assert read_diagnoses(run) == [diagnosis_of(5)]


def test_a_run_without_diagnoses(make_run):
    assert read_diagnoses(make_run()) == []


def test_the_newest_classifier_judges(diagnosis_of):
    assert "epoch 20" in judged([diagnosis_of(epoch) for epoch in (10, 20, 25)])
    assert judged([diagnosis_of(5)]) == judged([]) == ""


@pytest.mark.parametrize("advice", [None, "one thing", 3, []])
def test_advice_that_is_no_list_is_left_out(advice):
    verdict = {"name": "a", "title": "A", "says": "B.", "number": math.inf, "advice": advice}
    assert "Try" not in verdict_list([{"epoch": 1, "verdicts": [verdict], "measures": {}}])


def test_the_end_of_a_verdict_without_advice_is_no_news():
    records = [
        {"epoch": epoch, "verdicts": [{"name": name, "title": name, "advice": advice}], "measures": {}}
        for epoch, name, advice in ((1, "healthy", []), (2, "won", ["x"]), (3, "healthy", []))
    ]
    page = verdict_list(records)
    assert re.findall(r"<b>(Epoch[^<]*)</b>( Over)?", page) == [
        ("Epoch 1. Healthy.", ""), ("Epoch 2. Won.", ""), ("Epoch 3.", " Over"), ("Epoch 3. Healthy.", ""),
    ]  # fmt: skip


def test_each_measure_names_an_earlier_epoch(diagnosis_of):
    said = measures([diagnosis_of(epoch) for epoch in (10, 15)])
    assert said["classifier_accuracy"] == "0.8 ± 0.025 (epoch 10)"
    assert said["jsd_bound_held_out"] == "0.15"
