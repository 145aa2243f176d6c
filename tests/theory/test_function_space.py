"""Proposition 2: the game converges under its conditions; without each of them it fails for the stated reason."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import theory

LOG_4 = math.log(4)
DATA = st.data()

X = np.linspace(-4, 4, 41)
UNIFORM = np.full(41, 1 / 41)


def bump(centre: float, width: float) -> Any:
    masses = np.exp(-(((X - centre) / width) ** 2) / 2)
    return masses / masses.sum()


TWO_BUMPS = (bump(1, 0.5) + bump(-1.5, 0.4)) / 2


def game(strategies: Any, data: Any) -> tuple[Any, Any]:
    """Any data, and a start with some mass everywhere."""
    p = data.draw(strategies.distributions(data.draw(st.integers(1, 12))))
    return p, data.draw(strategies.distributions(len(p), zeros=False))


def never_rises(found: Any) -> bool:
    return bool((np.diff(found.criterion) <= 1e-12).all())


# ---------------------------------------------------------------------- the proposition


@pytest.mark.slow
@given(DATA)
@pytest.mark.parametrize("step_size", [0.1, 0.5, 1.0])
def test_proposition_2_converges_from_every_start_with_support(
    step_size: float, strategies: Any, data: Any
) -> None:
    p, start = game(strategies, data)
    found = theory.descend(p, start, step_size=step_size)
    assert found.converged
    assert never_rises(found)
    assert found.verdict.startswith(f"converged in {found.steps} steps, C(G) falling all the way: C + log 4 = ")
    assert theory.criterion(p, found.p_g) + LOG_4 < 1e-6
    assert abs(found.p_g - p).sum() / 2 < 1e-3  # Pinsker: at most the square root of the excess


@pytest.mark.slow
@given(DATA)
def test_proposition_2_is_as_fast_as_its_proof_states(strategies: Any, data: Any) -> None:
    p, start = game(strategies, data)
    step_size = data.draw(st.floats(0.05, 1))
    found = theory.descend(p, start, step_size=step_size)
    k = np.arange(1, found.steps + 1)
    assert (found.excess[1:] <= theory.kl_divergence(p, start) / (step_size * k) + 1e-12).all()


@given(DATA)
def test_the_slope_of_the_criterion_is_log_of_1_minus_d_star(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs(smallest=1e-4, zeros=False))
    p_g = tg.tensor(q, dtype="float64", requires_grad=True)
    criterion = (p * F.log(p / (p + p_g)) + p_g * F.log(p_g / (p + p_g))).sum()
    assert criterion.item() == pytest.approx(theory.criterion(p, q), abs=1e-13)
    slope = tg.grad(criterion, p_g).numpy()
    np.testing.assert_allclose(slope, np.log1p(-theory.optimal_discriminator(p, q)), atol=1e-11)


@given(DATA)
def test_the_criterion_is_convex(strategies: Any, data: Any) -> None:
    p, q = data.draw(strategies.pairs())
    other = data.draw(strategies.distributions(len(p)))
    share = data.draw(st.floats(0, 1))
    between = theory.criterion(p, share * q + (1 - share) * other)
    assert between <= share * theory.criterion(p, q) + (1 - share) * theory.criterion(p, other) + 1e-14


def test_a_step_of_1_goes_half_the_way() -> None:
    found = theory.descend(TWO_BUMPS, UNIFORM, step_size=1, keep_path=True)
    assert found.path is not None
    np.testing.assert_allclose(found.path[1:], (found.path[:-1] + TWO_BUMPS) / 2, rtol=1e-12)


def test_the_record_of_a_game() -> None:
    found = theory.descend(TWO_BUMPS, UNIFORM, keep_path=True)
    assert found.path is not None
    assert found.path.shape == (found.steps + 1, 41)
    assert found.criterion.shape == (found.steps + 1,)
    np.testing.assert_array_equal(found.path[-1], found.p_g)
    for p_g, criterion in zip(found.path, found.criterion, strict=True):
        assert theory.criterion(TWO_BUMPS, p_g) == pytest.approx(criterion, abs=1e-14)
    np.testing.assert_allclose(found.excess, found.criterion + LOG_4)
    np.testing.assert_allclose(found.discriminator[TWO_BUMPS > 1e-3], 0.5, atol=0.01)
    assert theory.descend(TWO_BUMPS, UNIFORM).path is None


def test_at_the_equilibrium_there_is_no_step() -> None:
    for frozen in (False, True):
        found = theory.descend(TWO_BUMPS, TWO_BUMPS, freeze_discriminator=frozen)
        assert (found.steps, found.converged) == (0, True)


# ---------------------------------------------------------------------- without its conditions


def test_with_d_frozen_p_g_collapses_to_where_d_is_highest() -> None:
    start = bump(-0.5, 1.5)
    d = theory.optimal_discriminator(TWO_BUMPS, start)
    found = theory.descend(TWO_BUMPS, start, freeze_discriminator=True, max_steps=5000)
    np.testing.assert_allclose(found.discriminator, d, rtol=1e-14)
    assert not found.converged
    assert not never_rises(found)
    assert found.p_g.argmax() == d.argmax()
    assert found.p_g.max() > 0.99
    assert found.excess[-1] > found.excess[0]
    assert "D is frozen, so V is linear in p_g and moves all mass to where D is highest" in found.verdict
    assert f"point {d.argmax()} holds" in found.verdict


def test_with_support_missing_p_g_comes_to_the_data_restricted() -> None:
    data, start, restricted = (np.append(masses, 0) for masses in (TWO_BUMPS, UNIFORM, TWO_BUMPS))
    start[:-1][X >= 0] = restricted[:-1][X >= 0] = 0
    start, restricted = start / start.sum(), restricted / restricted.sum()
    found = theory.descend(data, start)
    assert not found.converged
    assert never_rises(found)
    np.testing.assert_allclose(found.p_g, restricted, atol=1e-9)
    assert found.excess[-1] == pytest.approx(2 * theory.js_divergence(data, restricted), abs=1e-12)
    assert "the start has no mass on 21 points where p_data has 0.493" in found.verdict


@pytest.mark.parametrize("lacking", [1e-8, 1e-300])
@pytest.mark.parametrize("other", [0.0, 0.3])
def test_a_start_without_mass_never_converges(lacking: float, other: float) -> None:
    data = np.array([1 - lacking - other, other, lacking])
    for start in ([1 - other, other, 0.0], [0.5, 0.5, 0.0] if other else [1.0, 0.0, 0.0]):
        found = theory.descend(data, start)
        assert found.excess[-1] < 1e-6
        assert not found.converged
        assert found.verdict.startswith(f"no convergence in {found.steps} steps")
        assert f"the start has no mass on 1 point where p_data has {lacking:.3g}" in found.verdict


@pytest.mark.slow
@pytest.mark.parametrize("step_size", [5.0, 20.0, 1e6])
def test_with_steps_too_large_the_criterion_rises(step_size: float) -> None:
    found = theory.descend(TWO_BUMPS, UNIFORM, step_size=step_size)
    assert not found.converged
    assert not never_rises(found)
    assert found.excess[-1] > 0.5
    rises = (np.diff(found.criterion) > 1e-12).sum()
    assert f"steps of {step_size:g} are too large and pass the minimum: C(G) rose in {rises} of" in found.verdict
    assert "points with data lost all mass; up to 1 it cannot rise" in found.verdict


def test_with_steps_too_few_the_criterion_was_still_falling() -> None:
    found = theory.descend(TWO_BUMPS, UNIFORM, max_steps=3)
    assert (found.steps, found.converged, never_rises(found)) == (3, False, True)
    assert "C(G) was still falling; allow more steps (max_steps)" in found.verdict


def test_two_conditions_dropped_give_two_reasons() -> None:
    start = np.where(X < 0, UNIFORM, 0)
    found = theory.descend(TWO_BUMPS, start / start.sum(), step_size=9, freeze_discriminator=True)
    for reason in ("D is frozen", "the start has no mass on 21 points", "steps of 9 are too large"):
        assert reason in found.verdict
    assert f"{np.sum((found.p_g == 0) & (start > 0))} points with data lost all mass" in found.verdict


def test_the_start_needs_no_mass_where_p_data_is_0() -> None:
    found = theory.descend([0.5, 0.5, 0.0, 0.0], [0.9, 0.1, 0.0, 0.0])
    assert found.converged
    np.testing.assert_array_equal(np.isnan(found.discriminator), [False, False, True, True])


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"step_size": 0}, "descend: step_size is 0; expected a number above 0, such as 0.1, up to 1e6"),
        ({"step_size": math.nan}, "step_size is nan"),
        ({"step_size": math.inf}, "step_size is inf"),
        ({"step_size": "0.1"}, "step_size is '0.1'"),
        ({"step_size": True}, "step_size is True"),
        ({"tolerance": math.nan}, "tolerance is nan"),
        ({"max_steps": 0}, "descend: max_steps is 0; expected a whole number of at least 1"),
        ({"max_steps": 2.5}, "max_steps is 2.5"),
        ({"tolerance": 0}, "descend: tolerance is 0; expected a number of nats above 0, such as 1e-6"),
    ],
)
def test_numbers_out_of_range_are_refused(keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        theory.descend(UNIFORM, UNIFORM, **keywords)


def test_masses_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="descend: start sums to 2"):
        theory.descend([0.5, 0.5], [1, 1])
    with pytest.raises(ValueError, match="descend: p_data has 2 masses and start has 1"):
        theory.descend([0.5, 0.5], [1])
