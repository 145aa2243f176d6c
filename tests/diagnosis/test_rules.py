"""Each verdict is given for numbers beyond its limit, and not for those of a healthy run."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.diagnosis.rules import EPOCH_RULES, GAME_RULES, RULES, apply_rules, judge

# The digits after 300 epochs, rounded.
HEALTHY = {
    "discriminator_loss": 1.376, "d_accuracy": 0.539, "d_fake": 0.491, "is_minimax": 0.0,
    "generator_gradient_norm": 0.23, "generator_gradient_share": 0.3, "jsd_bound_minibatch": 0.005,
    "update_ratio.generator.0": -2.0, "update_ratio.discriminator.1": -2.4, "rows": 200.0,
    "dead_units.generator.1": 0.25, "idle_pieces.discriminator.1": 0.13,
    "jsd_bound_held_out": -0.017, "jsd_bound_train": 0.002, "jsd_bound_error": 0.005, "d_accuracy_held_out": 0.482,
    "data_low": 0.0, "data_high": 1.0, "sample_low": 0.0, "sample_high": 1.0, "output_low": 0.0, "output_high": 1.0,
    "classifier_accuracy": 0.855, "classifier_standard_error": 0.025, "classifier_rows": 200.0, "precision": 0.48,
    "recall": 0.48, "spread": 1.04, "nearest_ratio": 1.1, "classes_covered": 10.0, "classes": 10.0,
}  # fmt: skip
SCALES = {"output_low": -math.inf, "output_high": math.inf}
PROVOKED = [
    ("d-won", {"discriminator_loss": 0.01, "d_accuracy": 1.0}, 0.01, math.log(4)),
    ("d-won", {"discriminator_loss": 0.09, "d_accuracy": 0.995}, 0.09, math.log(4)),
    ("saturated", {"d_fake": 0.01, "is_minimax": 1.0}, 0.01, 0.5),
    ("helvetica", {"nearest_ratio": 0.2}, 0.2, 1.0),
    ("helvetica", {"spread": 0.01}, 0.01, 1.0),
    ("helvetica", {"classes_covered": 3.0}, 3.0, 10.0),
    ("helvetica", {"modes_recovered": 1.0, "modes": 8.0}, 1.0, 8.0),
    ("log-4-blind", {"classifier_accuracy": 0.97}, 0.97, 0.5),
    ("log-4-equilibrium", {"classifier_accuracy": 0.52}, 0.52, 0.5),
    ("d-overfits", {"jsd_bound_train": 0.4, "jsd_bound_held_out": 0.1}, pytest.approx(0.3), 0.0),
    ("range", {"data_high": 255.0}, 255.0, 1.0),
    ("range", {"data_low": -1.0}, -1.0, 0.0),
    ("range", {"output_low": -1.0}, 0.0, -1.0),
    ("range", {"data_high": 255.0, **SCALES}, 1.0, 255.0),
    ("update-ratio", {"update_ratio.generator.0": -0.2}, -0.2, -3.0),
    ("update-ratio", {"update_ratio.discriminator.1": -8.0}, -8.0, -3.0),
    ("dead-units", {"dead_units.generator.3": 0.9}, 0.9, 0.0),
    ("idle-pieces", {"idle_pieces.discriminator.3": 1.0}, 1.0, 0.0),
]


@pytest.mark.parametrize(("name", "measures", "number", "reference"), PROVOKED)
def test_a_verdict_names_its_number(name, measures, number, reference):
    [verdict] = judge({**HEALTHY, **measures})
    assert (verdict.name, verdict.number, verdict.reference) == (name, number, reference)
    assert bool(verdict.advice) == (name != "log-4-equilibrium")
    assert any(character.isdigit() for character in verdict.says)
    plain = json.loads(json.dumps(verdict.as_dict(), allow_nan=False))
    assert list(plain) == ["name", "title", "says", "number", "reference", "advice"]


@pytest.mark.parametrize(
    "measures",
    [
        {"discriminator_loss": 0.01, "d_accuracy": 0.9},
        {"discriminator_loss": 0.6, "d_accuracy": 1.0},
        {"discriminator_loss": 0.09, "d_accuracy": 1.0, "generator_gradient_share": 1.0},  # G still gets a gradient
        {"d_fake": 0.01},  # under the non-saturating objective
        {"d_fake": 0.5, "is_minimax": 1.0},
        {"classifier_accuracy": 0.97, "discriminator_loss": 1.0},
        {"classifier_accuracy": 0.97, "d_accuracy_held_out": 0.9},  # D sees the difference, in spite of its loss
        {"classifier_accuracy": 0.97, "jsd_bound_train": 0.05, "jsd_bound_held_out": 0.04},
        {"jsd_bound_train": 0.4, "jsd_bound_held_out": 0.1, "jsd_bound_error": 0.2},  # noise
        {"output_low": -1.0, "data_low": -1.0},
        {"data_low": -4.0, "data_high": 4.0, "sample_low": -2.0, "sample_high": 2.0, **SCALES},
        {"sample_low": 0.0, "sample_high": 0.01},  # a sigmoid that has not learnt yet
    ],
)
def test_the_rules_are_silent_on_a_healthy_game(measures):
    [verdict] = judge({**HEALTHY, **measures})
    assert (verdict.name, verdict.advice) == ("healthy", ())
    assert f"{100 * (HEALTHY | measures)['classifier_accuracy']:.1f} %" in verdict.says


@given(st.dictionaries(st.sampled_from(sorted(HEALTHY)), st.floats(-20, 300), max_size=40))
def test_any_measures_give_a_verdict(measures):
    verdicts = judge(measures)
    names = [verdict.name for verdict in verdicts]
    assert len(set(names)) == len(names) >= 1
    for verdict in verdicts:
        json.dumps(verdict.as_dict(), allow_nan=False)


@pytest.mark.parametrize("missing", sorted(HEALTHY))
def test_a_missing_measure_silences_its_rules_only(missing):
    measures = {name: number for name, number in HEALTHY.items() if name != missing}
    assert [verdict.name for verdict in judge(measures)] == ["healthy"]


@pytest.mark.parametrize(
    ("name", "measures"),
    [
        ("d-won", {"discriminator_loss": 0.2, "d_accuracy": 0.97}),
        ("saturated", {"d_fake": 0.08, "is_minimax": 1.0}),
        ("helvetica", {"nearest_ratio": 0.53}),
        ("log-4-blind", {"classifier_accuracy": 0.94}),
        ("d-overfits", {"jsd_bound_train": 0.073}),
        ("update-ratio", {"update_ratio.generator.0": -0.6}),
        ("dead-units", {"dead_units.generator.3": 0.48}),
        ("idle-pieces", {"idle_pieces.discriminator.3": 0.87}),
    ],
)
def test_a_verdict_given_before_stays_a_little_longer(name, measures):
    assert [verdict.name for verdict in judge({**HEALTHY, **measures})] == ["healthy"]
    assert [verdict.name for verdict in judge({**HEALTHY, **measures}, [name])] == [name]
    assert [verdict.name for verdict in judge(HEALTHY, [name])] == ["healthy"]


def test_log_4_proves_nothing_without_a_classifier():
    measures = {name: number for name, number in HEALTHY.items() if not name.startswith("classifier")}
    assert [verdict.name for verdict in judge(measures)] == ["healthy"]
    for accuracy, name in ((0.5, "log-4-equilibrium"), (0.99, "log-4-blind")):
        [verdict] = judge({**HEALTHY, "classifier_accuracy": accuracy})
        assert verdict.name == name
        assert "proves nothing" in verdict.says


def test_the_worst_layer_is_named():
    [verdict] = judge({**HEALTHY, "dead_units.generator.1": 0.6, "dead_units.discriminator.2": 0.7})
    assert "discriminator.2" in verdict.says
    [verdict] = judge({**HEALTHY, "update_ratio.generator.0": -12.0, "update_ratio.discriminator.1": -7.0})
    assert "generator.0 did not change" in verdict.says


def test_several_faults_come_in_the_order_of_the_rules():
    measures = {**HEALTHY, "discriminator_loss": 0.001, "d_accuracy": 1.0, "d_fake": 0.001, "is_minimax": 1.0,
                "spread": 0.0, "dead_units.generator.1": 1.0}  # fmt: skip
    assert [verdict.name for verdict in judge(measures)] == ["d-won", "saturated", "helvetica", "dead-units"]
    assert RULES == EPOCH_RULES + GAME_RULES
    assert [verdict.name for verdict in apply_rules(EPOCH_RULES, measures)] == ["d-won", "saturated"]
