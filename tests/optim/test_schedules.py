"""The learning rate and the momentum follow the released code."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.errors import TinyganError
from tinygan.optim import CosineDecay, ExponentialDecay, LinearDecay, LinearMomentum, StepDecay, WarmUp


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, "0.1000"), (50, "0.0905"), (250, "0.0607"), (500, "0.0368"), (1000, "0.0135")]
)
def test_the_paper_s_learning_rate(epoch, expected):
    lr = ExponentialDecay(0.1, 1.000004, 1e-6)
    assert f"{lr(500 * epoch):.4f}" == expected  # 50,000 images in minibatches of 100


@given(st.floats(1e-6, 10), st.floats(1, 1.1), st.floats(0, 1e-3), st.integers(0, 10_000))
def test_exponential_decay_divides_the_rate_down_to_its_minimum(initial, factor, minimum, updates):
    lr = ExponentialDecay(initial, factor, minimum)
    expected = max(minimum, initial / factor ** min(updates, 5000)) if updates <= 5000 else lr(updates)
    assert math.isclose(lr(updates), expected, rel_tol=1e-9)
    assert lr(0) == max(minimum, initial)
    assert minimum <= lr(updates + 1) <= lr(updates)


def test_a_rate_never_falls_through_the_floor_however_late():
    assert ExponentialDecay(0.1, 1.000004, 1e-6)(10**9) == 1e-6
    assert ExponentialDecay(0.1, 2.0)(10**6) == 0.0  # where 2.0**(10**6) would overflow


@given(st.floats(1e-6, 10), st.integers(1, 1000), st.floats(0, 1, exclude_min=True), st.integers(0, 2000))
def test_step_decay_multiplies_the_rate_from_the_milestone_on(initial, milestone, gamma, updates):
    other = ExponentialDecay(initial, 1.01)
    for before in (other, initial):
        rate = before(updates) if callable(before) else before
        expected = rate * (gamma if updates >= milestone else 1)
        assert StepDecay(before, milestone, gamma)(updates) == expected


@pytest.mark.parametrize("arguments", [(0, 0.1), (5, 0.0), (5, 1.1), (5, -0.1), (5, math.nan)])
def test_impossible_drops_are_refused(arguments):
    with pytest.raises(ValueError, match=r"StepDecay\(.*\): expected milestone >= 1 and gamma in \(0, 1\]"):
        StepDecay(0.1, *arguments)


@pytest.mark.parametrize(
    ("epoch", "expected"), [(1, 0.5), (2, 0.5 + 0.2 / 249), (125, 0.5 + 0.2 * 124 / 249), (250, 0.7), (9999, 0.7)]
)
def test_the_paper_s_momentum(epoch, expected):
    momentum = LinearMomentum(0.5, 0.7, 250, updates_per_epoch=500)
    for updates in (500 * (epoch - 1), 500 * epoch - 1):  # the first and the last update of the epoch
        assert math.isclose(momentum(updates), expected, rel_tol=1e-12)
    assert LinearMomentum(updates_per_epoch=500) == momentum


momenta = st.floats(0, 1, exclude_max=True)


@given(momenta, momenta, st.integers(2, 1000), st.integers(1, 50), st.integers(0, 2000))
def test_momentum_goes_along_a_straight_line_and_stays(initial, final, epochs, each, epoch):
    momentum = LinearMomentum(initial, final, epochs, updates_per_epoch=each)
    assert momentum(0) == initial
    assert math.isclose(momentum(each * (epochs - 1)), final, abs_tol=1e-12)
    assert momentum(each * (epochs - 1 + epoch)) == momentum(each * (epochs - 1))
    share = min(1, epoch / (epochs - 1))
    assert math.isclose(momentum(each * epoch), (1 - share) * initial + share * final, abs_tol=1e-12)


numbers = st.floats(0, 10)


@given(numbers, numbers, st.integers(1, 1000), st.integers(0, 2000))
def test_lines_and_cosines_go_from_one_end_to_the_other(initial, final, count, updates):
    for kind in (LinearDecay, CosineDecay):
        lr = kind(initial, count, final)
        assert (lr(0), lr(count), lr(count + updates)) == (initial, final, final)
        assert min(initial, final) * (1 - 1e-12) <= lr(updates) <= max(initial, final) * (1 + 1e-12)
    share = min(1, updates / count)
    assert math.isclose(LinearDecay(initial, count, final)(updates), initial + (final - initial) * share, abs_tol=1e-12)
    expected = final + (initial - final) * (1 + math.cos(math.pi * share)) / 2
    assert math.isclose(CosineDecay(initial, count, final)(updates), expected, abs_tol=1e-12)
    assert LinearDecay(0.1, 5)(5) == CosineDecay(0.1, 5)(7) == 0


@given(st.integers(1, 100), st.integers(0, 200))
def test_a_warm_up_counts_the_updates_of_its_schedule(count, updates):
    after = LinearDecay(0.5, 300)
    for schedule in (after, 0.5):
        rate = schedule(updates) if callable(schedule) else schedule
        assert WarmUp(schedule, count)(updates) == rate * min(1, (updates + 1) / count)
    assert 0 < WarmUp(0.5, count)(0) <= WarmUp(0.5, count)(count - 1) == 0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda: LinearDecay(0.1, 0),
        lambda: LinearDecay(0.1, 2.5),
        lambda: LinearDecay(-0.1, 5),
        lambda: LinearDecay(0.1, 5, math.nan),
        lambda: CosineDecay(0.1, -1),
        lambda: CosineDecay("0.1", 5),
        lambda: CosineDecay(0.1, 5, math.inf),
        lambda: WarmUp(0.1, 0),
        lambda: WarmUp(-0.1, 3),
        lambda: StepDecay(0.1, 2.5),
        lambda: StepDecay(math.nan, 2),
        lambda: LinearMomentum(updates_per_epoch=0),
    ],
)
def test_impossible_schedules_are_refused(make):
    with pytest.raises(TinyganError, match="must be"):
        make()


def test_a_momentum_in_epochs_needs_their_length():
    with pytest.raises(TypeError, match="updates_per_epoch"):
        LinearMomentum(0.5, 0.7, 250)


@given(st.integers(1, 50), st.integers(0, 500))
def test_repeated_steps_multiply_at_every_milestone(milestone, updates):
    expected = 0.1 * 0.5 ** (updates // milestone)
    assert math.isclose(StepDecay(0.1, milestone, 0.5, repeated=True)(updates), expected, rel_tol=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [(0.0,), (-0.1,), (math.nan,), (0.1, 0.9), (0.1, math.nan), (0.1, 1.0, -1e-9), (0.1, 1.0, math.nan),
     (math.inf,), (0.1, math.inf), (0.1, 1.0, math.inf)],
)  # fmt: skip
def test_impossible_decays_are_refused(arguments):
    with pytest.raises(ValueError, match=r"ExponentialDecay\(.*\): expected initial > 0, factor >= 1 and minimum >= 0"):
        ExponentialDecay(*arguments)


@pytest.mark.parametrize(
    "arguments", [(-0.1,), (1.0,), (0.5, 1.0), (0.5, -0.1), (0.5, 0.7, 1), (math.nan,), (0.5, math.nan)]
)
def test_impossible_momenta_are_refused(arguments):
    with pytest.raises(ValueError, match=r"LinearMomentum\(.*\): expected epochs >= 2 and momenta in \[0, 1\)"):
        LinearMomentum(*arguments, updates_per_epoch=1)
