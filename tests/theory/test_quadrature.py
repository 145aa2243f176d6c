from __future__ import annotations

import math

import pytest

from tinygan.theory.quadrature import UnsettledError, integrate


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_both_tails_are_measured_in_the_width_between_the_cuts(scale: float) -> None:
    found = integrate(lambda x: math.exp(-abs(x) / scale) / scale, -math.inf, math.inf, [-scale, 0, scale])
    assert found == pytest.approx(2, abs=1e-10)


def test_cuts_outside_of_the_interval_are_left_out() -> None:
    assert integrate(lambda x: x, 0, 1, [-5, 0.5, 7]) == pytest.approx(0.5, abs=1e-12)


def test_half_lines() -> None:
    assert integrate(lambda x: math.exp(-x), 0, math.inf, []) == pytest.approx(1, abs=1e-10)
    assert integrate(lambda x: math.exp(x), -math.inf, 0, []) == pytest.approx(1, abs=1e-10)


def test_a_jump_at_a_cut_is_exact() -> None:
    assert integrate(lambda x: float(x > 1 / 3), 0, 1, [1 / 3]) == pytest.approx(2 / 3, abs=1e-15)


@pytest.mark.parametrize(
    "function", [lambda x: 1.0, lambda x: math.nan, lambda x: 1 / (1 + x), lambda x: (1 + x) ** -0.5]
)
def test_what_does_not_settle_is_refused(function: object) -> None:
    with pytest.raises(UnsettledError, match="the integral from 0 to inf did not settle"):
        integrate(function, 0, math.inf, [])  # type: ignore[arg-type]
