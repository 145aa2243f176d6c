"""Each chart has its values and its references."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinygan.report.curves import column, training_charts


@pytest.fixture
def charts_of(metrics_of):
    """Return a function that makes the charts of five epochs, by name, and their records."""

    def make(objective="non-saturating", **changes):
        records = [metrics_of(epoch, **changes) for epoch in range(1, 6)]
        return {chart.name: chart for chart in training_charts(records, objective)}, records

    return make


def test_every_chart_shows_its_fields(charts_of):
    charts, records = charts_of(momentum=0.5)
    shown = {
        "losses": ["discriminator_loss", "generator_loss"],
        "answers": ["d_real", "d_fake"],
        "value": ["value"],
        "accuracy": ["d_accuracy"],
        "gradients": ["discriminator_gradient_norm", "generator_gradient_norm"],
        "rates": ["discriminator_lr", "generator_lr"],
        "momentum": ["momentum"],
    }
    assert list(charts) == list(shown)
    for name, keys in shown.items():
        assert charts[name].x.tolist() == [1, 2, 3, 4, 5]
        assert [line.y.tolist() for line in charts[name].lines] == [[r[key] for r in records] for key in keys]
        assert charts[name].title
        assert charts[name].reading.endswith(".")


def test_references(charts_of):
    charts, _ = charts_of()
    levels = {name: [(r.level, r.label) for r in chart.references] for name, chart in charts.items()}
    assert levels["losses"] == [(math.log(4), "log 4 = 1.386"), (math.log(2), "log 2 = 0.693")]
    assert levels["value"] == [(-math.log(4), "−log 4 = −1.386")]
    assert levels["answers"] == levels["accuracy"] == [(0.5, "1/2")]
    assert charts["gradients"].logarithmic
    assert charts["answers"].limits == charts["accuracy"].limits == (0, 1)


def test_the_minimax_generator_ends_at_minus_log_2(charts_of):
    charts, _ = charts_of("minimax")
    reference = charts["losses"].references[1]
    assert (reference.level, reference.label) == (-math.log(2), "−log 2 = −0.693")
    assert "G's −log 2;" in charts["losses"].reading


def test_each_reference_has_the_colour_of_its_line(charts_of):
    charts, _ = charts_of()
    for name in ("losses", "value"):
        assert [r.colour for r in charts[name].references] == [line.colour for line in charts[name].lines]


def test_without_momentum_there_is_no_momentum_chart(charts_of):
    assert "momentum" not in charts_of()[0]
    assert "momentum" not in charts_of(momentum=0.0)[0]


def test_the_layers_of_each_player_have_a_chart(charts_of):
    norms = {"discriminator.10": 0.1, "discriminator.2": 0.2, "generator.0": None}
    charts, _ = charts_of(gradient_norms=norms)
    d, g = charts["discriminator-layers"], charts["generator-layers"]
    assert [line.label for line in d.lines] == ["2", "10"]
    assert [line.y.tolist() for line in d.lines] == [[0.2] * 5, [0.1] * 5]
    assert np.isnan(g.lines[0].y).all()
    assert d.logarithmic
    records = [{"epoch": 1, "gradient_norms": {"generator.0": 2.0}}, {"epoch": 2}, {"epoch": 3, "gradient_norms": 1}]
    charts = training_charts(records, "minimax", (), {"generator.0": "linear"})
    (chart,) = [one for one in charts if "layers" in one.name]
    assert chart.lines[0].label == "0 linear"
    assert np.array_equal(chart.lines[0].y, [2, np.nan, np.nan], equal_nan=True)


@pytest.mark.parametrize("count", [1, 2, 6, 7, 20])
def test_colours_of_layers_go_from_low_to_high(charts_of, count):
    charts, _ = charts_of(gradient_norms={f"generator.{i}": 1.0 for i in range(count)})
    colours = [line.colour for line in charts["generator-layers"].lines]
    assert colours == sorted(colours)
    assert len(set(colours)) == min(count, 6)


def test_records_without_layers_have_no_such_chart(charts_of):
    assert not [name for name in charts_of()[0] if "layers" in name]


def test_the_classifier_chart_has_its_epochs_only(diagnosis_of):
    diagnoses = [diagnosis_of(epoch) for epoch in (5, 10, 15, 20)]
    first, *_ = training_charts([{"epoch": 20}], "minimax", diagnoses)
    assert first.name == "classifier"
    assert first.lines[0].x.tolist() == [10, 20]
    shown = {line.label: line.y.tolist() for line in first.lines}
    assert shown == {"accuracy": [0.8, 0.7], "precision": [0.75, 0.75], "recall": [0.5, 0.5]}
    assert training_charts([{"epoch": 20}], "minimax", diagnoses[:1])[0].name == "losses"


def test_equal_rates_are_one_line(charts_of):
    (line,) = charts_of(discriminator_lr=0.1)[0]["rates"].lines
    assert line.label == "D and G"
    assert [line.label for line in charts_of()[0]["rates"].lines] == ["D", "G"]


@pytest.mark.parametrize("value", [None, "1", True, [1], math.nan, math.inf, -math.inf, 10**400])
def test_non_finite_values_are_gaps(value):
    assert np.array_equal(column([{"a": 1}, {"a": value}, {}], "a"), [1, math.nan, math.nan], equal_nan=True)


def test_the_validation_chart_has_validated_epochs_only():
    records = [{"epoch": 1}, {"epoch": 2, "validation_log_likelihood": -5.0}, {"epoch": 3}]
    records += [{"epoch": 4, "validation_log_likelihood": 7.5}, {"epoch": 5, "validation_log_likelihood": None}]
    chart = training_charts(records, "minimax")[-1]
    assert chart.name == "validation"
    assert chart.lines[0].x.tolist() == [2, 4]
    assert chart.end == 5
    assert chart.lines[0].y.tolist() == [-5.0, 7.5]
    assert all(chart.name != "validation" for chart in training_charts(records[:1], "minimax"))


@pytest.mark.parametrize(
    ("objective", "smoothing", "charts", "levels"),
    [
        ("non-saturating", 0.0, {"value", "accuracy"}, ["log 4 = 1.386", "log 2 = 0.693"]),
        ("minimax", 0.1, {"accuracy"}, ["1.376", "−0.598"]),
        ("lsgan", 0.0, {"accuracy"}, ["0.250", "0.125"]),
        ("hinge", 0.0, {"accuracy"}, ["2.000"]),
        ("wasserstein", 0.0, set(), ["0.000"]),
    ],
)
def test_charts_say_of_an_objective_only_what_holds(objective, smoothing, charts, levels):
    record = {"epoch": 1, "d_real": 0.7, "d_fake": 0.2, "score_real": 3.0, "score_fake": 1.0}
    found = {c.name: c for c in training_charts([record], objective, label_smoothing=smoothing)}
    assert {"value", "accuracy"} & found.keys() == charts
    assert [level.label for level in found["losses"].references] == levels
    assert ("log 4" in found["losses"].reading) is ("value" in charts)
    scored = objective in ("lsgan", "hinge", "wasserstein")
    assert ("no probability" in found["answers"].reading) is scored
    assert ("Wasserstein" in found["answers"].reading) is (objective == "wasserstein")
    assert [line.y.item() for line in found["answers"].lines] == ([3.0, 1.0, 2.0] if scored else [0.7, 0.2])


def test_a_critic_of_an_earlier_version_has_no_chart_of_sigmoids():
    charts = training_charts([{"epoch": 1, "d_real": 0.98, "d_fake": 0.4}], "wasserstein")
    assert all(chart.name != "answers" for chart in charts)
