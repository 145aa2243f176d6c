"""The exponential moving average of weights: its formula, and that it does not change the training."""

from __future__ import annotations

import copy
import math
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygan as tg
from tinygan.errors import ArgumentError, CheckpointError, DtypeError, GradientError, ShapeError, StateError
from tinygan.optim import SGD, ExponentialMovingAverage

decays = st.floats(0.01, 0.9999)
numbers = st.floats(-100, 100)


@given(decays, hnp.arrays("f8", (5, 3), elements=numbers))
def test_it_is_the_weighted_mean_of_everything_seen(decay, seen):
    w = tg.tensor(seen[0].copy(), requires_grad=True)
    average = ExponentialMovingAverage([w], decay)
    np.testing.assert_array_equal(average.arrays()[0], seen[0])
    for values in seen[1:]:
        w.data[...] = values
        average.update()
    # The k-th from the end has a weight in proportion to decay^k; the initial parameters have no weight.
    weights = decay ** np.arange(3, -1, -1)
    np.testing.assert_allclose(average.arrays()[0], weights @ seen[1:] / weights.sum(), rtol=1e-12, atol=1e-10)
    np.testing.assert_array_equal(w.data, seen[-1])
    assert average.updates == 4


def test_initial_parameters_have_no_weight_in_the_average():
    w = tg.tensor([1.0, -2.0], requires_grad=True)
    average = ExponentialMovingAverage([w], 0.9999)
    w.data[...] = [3.0, 5.0]
    average.update()
    assert average.arrays()[0].tolist() == [3.0, 5.0]


def test_applied_restores_the_weights_after_an_error():
    weights = [tg.tensor(np.full(shape, 2.0, "f4"), requires_grad=True) for shape in ((3,), (2, 2))]
    average = ExponentialMovingAverage(weights, 0.5)
    places = list(average.averages)
    average.update()
    for w in weights:
        w.data[...] = 8.0
    average.update()

    def use():
        with average.applied():
            assert all((w.data == 6.0).all() for w in weights)  # 2 / 3 + 2 * 8 / 3
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert all((w.data == 8.0).all() for w in weights)
    average.update()  # it continues from the average, not from the weights
    np.testing.assert_allclose([array.ravel()[0] for array in average.arrays()], (2 + 2 * 8 + 4 * 8) / 7, rtol=1e-6)
    assert all(now is then for now, then in zip(average.averages, places, strict=True))


def test_no_drift_in_single_precision():
    """Weights that do not change equal their average forever: the two rounded factors must sum to 1."""
    values = np.random.default_rng(0).normal(size=1000).astype("f4")
    average = ExponentialMovingAverage([tg.tensor(values.copy(), requires_grad=True)], 0.9997)
    for _ in range(1000):
        average.update()
    np.testing.assert_array_equal(average.arrays()[0], values)


def test_what_it_gives_away_and_takes_is_its_own():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    average = ExponentialMovingAverage([w], 0.5)
    w.data[...] = 0
    kept = average.arrays()
    kept[0][...] = 7
    assert average.arrays()[0].tolist() == [1.0, 2.0]
    average.load_arrays(kept, updates=1)
    kept[0][...] = 8
    assert average.arrays()[0].tolist() == [7.0, 7.0]
    average.update()  # the second: a third of 7 and two thirds of 0
    np.testing.assert_allclose(average.arrays()[0], 7 / 3, rtol=1e-6)


def test_averages_of_other_parameters_are_refused():
    average = ExponentialMovingAverage([tg.tensor([1.0, 2.0], requires_grad=True)], 0.5)
    for arrays, found in (([np.zeros(3)], r"\[\(3,\)\]"), ([], r"\[\]"), ([np.zeros(2)] * 2, r"\[\(2,\), \(2,\)\]")):
        with pytest.raises(CheckpointError, match=rf"averages have shapes {found}, expected \[\(2,\)\]"):
            average.load_arrays(arrays, updates=5)
    assert average.arrays()[0].tolist() == [1.0, 2.0]
    assert average.updates == 0


def two_averages():
    w = tg.tensor([1.0, 1.0], requires_grad=True)
    average = ExponentialMovingAverage([w], 0.5)
    for value in (2.0, 8.0):
        w.data[...] = value
        average.update()
    return w, average  # the weights are 8, their average 6


def test_it_may_be_applied_inside_itself():
    w, average = two_averages()
    with average.applied():
        with average.applied():
            assert w.data.tolist() == [6, 6]
        assert w.data.tolist() == [6, 6]
        assert average.arrays()[0].tolist() == [6, 6]
    assert w.data.tolist() == [8, 8]
    assert average.arrays()[0].tolist() == [6, 6]


def test_two_averages_may_be_applied_inside_each_other():
    w, average = two_averages()
    other = ExponentialMovingAverage([w], 0.9)
    with average.applied(), other.applied():
        assert w.data.tolist() == [8, 8]
    assert w.data.tolist() == [8, 8]
    assert average.arrays()[0].tolist() == [6, 6]


def test_threads_may_share_what_is_applied():
    w, average = two_averages()
    inside, done = threading.Event(), threading.Event()

    def other():
        with average.applied():
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=other)
    with average.applied():
        thread.start()
        inside.wait(10)
    assert w.data.tolist() == [6, 6]  # the other thread is still inside
    done.set()
    thread.join(10)
    assert w.data.tolist() == [8, 8]


@pytest.mark.parametrize(
    "change",
    [
        lambda w, average: average.update(),
        lambda w, average: average.load_arrays(average.arrays(), updates=1),
        lambda w, average: SGD([w], 0.1).step(),
        lambda w, average: w.data.fill(0),
        lambda w, average: setattr(w, "data", np.zeros(2, "f4")),
    ],
)
def test_changes_while_applied_are_refused_and_nothing_is_lost(change):
    w, average = two_averages()
    w.grad = tg.tensor([1.0, 1.0])
    with pytest.raises((StateError, ValueError)), average.applied():
        change(w, average)
    assert w.data.tolist() == [8, 8]
    assert average.arrays()[0].tolist() == [6, 6]
    assert average.updates == 2
    average.update()


def test_the_tape_is_told_that_the_weights_are_others():
    w, average = two_averages()
    loss = (w * w).sum()
    with average.applied():
        inside = (w * w).sum()
        with pytest.raises(GradientError, match="changed"):
            loss.backward()
    with pytest.raises(GradientError, match="changed"):
        inside.backward()


@pytest.mark.parametrize(
    ("array", "error"),
    [(np.zeros(3, "f4"), ShapeError), (np.zeros((1, 2), "f4"), ShapeError), (np.zeros(2), DtypeError)],
)
def test_a_replaced_array_is_refused_and_nothing_is_changed(array, error):
    weights = [tg.tensor([1.0, 1.0], requires_grad=True) for _ in range(2)]
    average = ExponentialMovingAverage(weights, 0.5)
    weights[0].data[...] = 5
    weights[1].data = array
    with pytest.raises(error, match="the average of parameter 1"):
        average.update()
    with pytest.raises(error, match="the average of parameter 1"), average.applied():
        pass
    assert average.arrays()[0].tolist() == [1, 1]
    assert average.updates == 0
    assert weights[0].data.tolist() == [5, 5]


def test_it_is_copied_and_pickled_with_its_parameters():
    w, average = two_averages()
    for v, twin in (copy.deepcopy((w, average)), pickle.loads(pickle.dumps((w, average)))):
        with twin.applied():
            assert v.data.tolist() == [6, 6]
        assert v.data.tolist() == [8, 8]


def test_saved_averages_are_checked_before_any_is_taken():
    _, average = two_averages()
    for arrays, updates in (([[1.0, 2.0]], 1), ([np.array(["a", "b"])], 1), ([np.zeros(2)], -1), ([np.zeros(2)], 1.5)):
        with pytest.raises(CheckpointError):
            average.load_arrays(arrays, updates)
    assert average.arrays()[0].tolist() == [6, 6]


def test_what_cannot_be_averaged_is_refused():
    w = tg.tensor([1.0], requires_grad=True)
    for params in ([w, w], [np.ones(1)], [tg.tensor([1])], [w * 2], w):
        with pytest.raises(ArgumentError):
            ExponentialMovingAverage(params, 0.5)
    for decay in (True, "0.5", None):
        with pytest.raises(DtypeError, match="decay must be a number"):
            ExponentialMovingAverage([w], decay)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1, 1.1, math.nan])
def test_impossible_decays_are_refused(decay):
    with pytest.raises(ValueError, match=r"ExponentialMovingAverage: decay must be in \(0, 1\), got"):
        ExponentialMovingAverage([tg.tensor([1.0], requires_grad=True)], decay)


def test_nothing_to_average_is_refused():
    with pytest.raises(ValueError, match="got no parameters to average"):
        ExponentialMovingAverage([], 0.5)


@pytest.mark.parametrize("saved", [None, [], {}, {"arrays": []}, {"arrays": [], "updates": 0, "more": 1}])
def test_a_state_that_is_no_average_is_refused(saved):
    average = ExponentialMovingAverage([tg.tensor([1.0], requires_grad=True)], 0.5)
    average.load_state_dict(average.state_dict())
    with pytest.raises(CheckpointError, match=r"the saved state is .*; expected a dict of arrays and updates"):
        average.load_state_dict(saved)
