"""A diary says what changes, and one that is read from its records goes on as if it had never been closed."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tinygan.diagnosis import Diary
from tinygan.diagnosis.diary import names_of

losses = st.sampled_from([(0.01, 1.0), (0.2, 0.98), (1.3, 0.6), (None, None)])
games = st.sampled_from([None, None, {"rows": 9.0, "nearest_ratio": 0.1}, {"rows": 9.0, "nearest_ratio": 1.0}])


def epoch(number, loss=1.3, accuracy=0.6, norm=1.0):
    return {
        "epoch": number, "discriminator_loss": loss, "d_accuracy": accuracy, "d_fake": 0.4,
        "generator_gradient_norm": norm,
    }  # fmt: skip


@given(st.lists(st.tuples(losses, games, st.sampled_from([None, 0.1, 1.0, 9.0])), max_size=8))
def test_a_diary_that_is_opened_again_goes_on(history):
    metrics = [epoch(number, *loss, norm) for number, (loss, _, norm) in enumerate(history, start=1)]
    diary, written = Diary("minimax"), []
    for position, (record, (_, game, _)) in enumerate(zip(metrics, history, strict=True)):
        again = Diary("minimax", json.loads(json.dumps(metrics[:position])), json.loads(json.dumps(written)))
        found = diary.after(record, game)
        assert found == again.after(json.loads(json.dumps(record)), game)
        if found is not None:
            written.append(found)
        assert (diary.epoch, names_of(diary.given)) == (again.epoch, names_of(again.given))
        assert names_of(diary.given) == (names_of(written[-1]["verdicts"]) if written else [])


def test_nothing_is_written_while_nothing_changes():
    diary = Diary("non-saturating")
    assert diary.after(epoch(1)) is None
    assert names_of(diary.after(epoch(2), {"rows": 9.0, "nearest_ratio": 1.0})["verdicts"]) == ["healthy"]
    assert diary.after(epoch(3)) is None
    assert names_of(diary.given) == ["healthy"]
    assert diary.after(epoch(4), {"rows": 9.0, "nearest_ratio": 1.0})["epoch"] == 4  # each full measure is written


def test_verdicts_on_the_game_stay_until_it_is_measured_again():
    diary = Diary("non-saturating")
    diary.after(epoch(1), {"rows": 9.0, "nearest_ratio": 0.1})
    assert diary.after(epoch(2)) is None
    assert names_of(diary.after(epoch(3, 0.001, 1.0))["verdicts"]) == ["d-won", "helvetica"]
    assert names_of(diary.after(epoch(4))["verdicts"]) == ["helvetica"]
    assert names_of(diary.after(epoch(5), {"rows": 9.0, "nearest_ratio": 1.0})["verdicts"]) == ["healthy"]
    assert names_of(diary.after(epoch(6, 0.001, 1.0))["verdicts"]) == ["d-won"]
    assert names_of(diary.after(epoch(7))["verdicts"]) == ["healthy"]


def test_the_gradient_of_g_is_compared_with_its_largest():
    diary = Diary("non-saturating", [epoch(1, norm=8.0), epoch(2, norm=None)])
    record = diary.after(epoch(3, norm=2.0), {"rows": 9.0})
    assert record["measures"]["generator_gradient_share"] == 0.25
