"""Proposition 1 from samples: the network approaches D*, and its error is measured correctly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from tinygan import nn
from tinygan.errors import ArgumentError, DistributionError, ShapeError
from tinygan.gan.learned import answers, learn_discriminator, worst_error

TWO = st.integers(1, 30).flatmap(
    lambda n: st.tuples(*[st.lists(st.floats(1e-6, 1), min_size=n, max_size=n).map(np.array)] * 3)
)


def shifted_normals(n: int, dimensions: int, shift: float) -> tuple[Any, Any]:
    """N(shift, 1) and N(-shift, 1) along the first axis, so that D* is the sigmoid of 2 shift x."""
    rng = np.random.default_rng(0)
    data, samples = rng.normal(size=(2, n, dimensions))
    data[:, 0] += shift
    samples[:, 0] -= shift
    return data, samples


# ---------------------------------------------------------------------- learning


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_d_comes_to_the_optimum(dimensions: int) -> None:
    data, samples = shifted_normals(20_000, dimensions, 1.0)
    learned = learn_discriminator(data, samples, width=16, steps=500, batch=256)
    x = np.random.default_rng(1).uniform(-1.5, 1.5, (500, dimensions))
    error = abs(answers(learned, x) - expit(2 * x[:, 0])).max()
    assert error < (0.05, 0.08, 0.12)[dimensions - 1]


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "shift"), [(1e3, 0.0), (1e-3, 0.0), (1.0, 1e3)])
def test_the_scale_of_the_points_does_not_matter(scale: float, shift: float) -> None:
    data, samples = (scale * points + shift for points in shifted_normals(5000, 1, 1.0))
    x = np.linspace(-1.5, 1.5, 50)[:, None]
    learned = learn_discriminator(data, samples, width=16, steps=300)
    assert abs(answers(learned, scale * x + shift) - expit(2 * x[:, 0])).max() < 0.08


def test_the_side_of_the_data_is_the_one_called_data() -> None:
    data, samples = shifted_normals(500, 1, 2.0)
    for first, second, low, high in ((data, samples, 0.9, 1), (samples, data, 0, 0.1)):
        learned = learn_discriminator(first, second, width=8, steps=100, lr=0.05)
        assert low < answers(learned, [[2.0]])[0] < high


@pytest.mark.slow
def test_the_numbers_of_points_do_not_change_the_prior() -> None:
    data, samples = shifted_normals(20_000, 1, 1.0)
    learned = learn_discriminator(data[:2000], samples, width=8, steps=300)
    assert answers(learned, [[0.0]])[0] == pytest.approx(0.5, abs=0.08)  # ten times as many: 1/11 by counting


def test_equal_seeds_give_equal_networks_and_others_do_not() -> None:
    sides = shifted_normals(100, 2, 1.0)
    first, same, other = (learn_discriminator(*sides, width=3, steps=5, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], same[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)


def test_equal_points_cause_no_division_by_zero() -> None:
    learned = learn_discriminator(np.ones((5, 2)), np.ones((5, 2)), width=2, steps=3)
    assert np.isfinite(answers(learned, [[1.0, 1.0]])).all()


@pytest.mark.parametrize(("data", "samples", "words"), [
    (np.zeros(5), np.zeros((5, 1)), r"data has shape \(5,\)"),
    (np.zeros((5, 1)), np.zeros(5), r"samples has shape \(5,\), beside data of shape \(5, 1\)"),
    (np.zeros((5, 1)), np.zeros((5, 2)), r"samples has shape \(5, 2\), .*; expected \(n, d\), one point"),
    (np.zeros((0, 1)), np.zeros((5, 1)), r"data has shape \(0, 1\)"),
    (np.zeros((5, 0)), np.zeros((5, 0)), r"data has shape \(5, 0\)"),
])  # fmt: skip
def test_data_that_are_not_points_are_refused(data: Any, samples: Any, words: str) -> None:
    with pytest.raises(ShapeError, match=words):
        learn_discriminator(data, samples)


@pytest.mark.parametrize("point", [math.nan, math.inf])
def test_points_that_are_not_finite_are_refused(point: float) -> None:
    with pytest.raises(DistributionError, match="learn_discriminator: samples holds nan or an infinity"):
        learn_discriminator(np.zeros((5, 1)), [[0.0], [point]])


@pytest.mark.parametrize("number", ["width", "steps", "batch", "lr"])
@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf])
def test_numbers_out_of_range_are_refused(number: str, wrong: float) -> None:
    with pytest.raises(ArgumentError, match=rf"learn_discriminator: {number} .*{wrong}"):
        learn_discriminator(np.zeros((5, 1)), np.ones((5, 1)), **{number: wrong})


@pytest.mark.parametrize("share", [-0.1, 1.0, math.nan])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ArgumentError, match="worst_error: share is"):
        worst_error([0.5], [1.0], [1.0], share)


# ---------------------------------------------------------------------- answers


def test_answers_are_one_logit_for_each_row() -> None:
    with pytest.raises(ShapeError, match=r"answers: the discriminator gives shape \(3, 2\)"):
        answers(nn.Linear(1, 2), np.zeros((3, 1)))
    with pytest.raises(ShapeError, match=r"answers: x has shape \(3,\)"):
        answers(nn.Linear(3, 1), np.zeros(3))


@pytest.mark.parametrize("slope", [0.0, 1.0, 1e6])
def test_answers_are_the_sigmoid_of_the_logit(slope: float) -> None:
    identity = nn.Linear(1, 1, True, nn.init.constant(slope))
    found = answers(identity, [[-1.0], [0.0], [1.0]])
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expit(slope * np.array([-1.0, 0.0, 1.0])), rtol=1e-12)


def test_answers_use_evaluation_mode_and_restore_every_mode() -> None:
    net = nn.Sequential(nn.Dropout(0.5), nn.Linear(50, 1), nn.Dropout(0.1))
    net[2].eval()
    x = np.ones((20, 50))
    assert len(set(answers(net, x))) == 1  # with dropout, each row would have an answer of its own
    assert [module.training for module in (net, *net)] == [True, True, True, False]


# ---------------------------------------------------------------------- the error


@given(TWO, st.floats(0, 0.9))
def test_the_worst_error_is_the_largest_where_p_is_high(three: Any, share: float) -> None:
    d, p, q = three
    counted = [
        abs(y - a / (a + b)) for y, a, b in zip(d, p, q, strict=True) if a > share * max(p) or b > share * max(q)
    ]
    assert worst_error(d, p, q, share) == pytest.approx(max(counted), abs=1e-15)


def test_a_point_counts_where_either_density_is_high() -> None:
    for p, q in (([1.0, 1e-9, 1e-9], [1e-9, 1.0, 1e-9]), ([1e-9, 1.0, 1e-9], [1.0, 1e-9, 1e-9])):
        d = np.array(p) / (np.array(p) + np.array(q))
        assert worst_error(d, p, q) < 1e-15
        wrong = [worst_error(abs(d - 0.2 * np.eye(3)[place]), p, q) for place in range(3)]
        np.testing.assert_allclose(wrong, [0.2, 0.2, 0], atol=1e-15)


def test_a_nan_in_d_makes_the_error_nan() -> None:
    assert math.isnan(worst_error([0.5, math.nan], [0.5, 0.5], [0.5, 0.5]))


@pytest.mark.parametrize(("d", "p", "q", "words"), [
    ([0.5], [1.0, 1.0], [1.0, 1.0], r"p_data has shape \(2,\) and d \(1,\); expected the same"),
    ([2.0], [1.0], [1.0], r"d is not in \[0, 1\]; .* of a logit take the sigmoid"),
    ([0.5], [1.0], [[1.0]], r"p_g has shape \(1, 1\)"),
    ([0.5, 0.5], [1.0, -1.0], [1.0, 1.0], "p_data is negative, not finite, or 0 everywhere"),
    ([0.5, 0.5], [1.0, 1.0], [1.0, math.inf], "p_g is negative, not finite"),
    ([0.5, 0.5], [0.0, 0.0], [1.0, 1.0], "p_data is .* 0 everywhere"),
])  # fmt: skip
def test_arrays_that_are_not_densities_are_refused(d: Any, p: Any, q: Any, words: str) -> None:
    with pytest.raises(DistributionError, match=words):
        worst_error(d, p, q)
