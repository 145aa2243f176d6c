from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygan.theory.quadrature import halved, integrate, pieces, points

INF = math.inf


def integral(function: Callable[[Any], Any], low: float, high: float, *cuts: float) -> tuple[float, float]:
    """Return the integral of a function of x, and its error."""
    totals, errors, _ = integrate(lambda anchor, distance: function(anchor + distance)[None], pieces(low, high, cuts))
    return totals[0], errors[0]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_both_tails_at_any_scale(scale: float) -> None:
    found, error = integral(lambda x: np.exp(-abs(x) / scale) / scale, -INF, INF, 0)
    assert found == pytest.approx(2, abs=1e-12)
    assert error < 1e-10


def test_cuts_outside_of_the_interval_are_left_out() -> None:
    assert integral(lambda x: x, 0, 1, -5, 0.5, 7)[0] == pytest.approx(0.5, abs=1e-12)


def test_half_lines() -> None:
    assert integral(lambda x: np.exp(-x), 0, INF)[0] == pytest.approx(1, abs=1e-12)
    assert integral(np.exp, -INF, 0)[0] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("cuts", [(), (1 / 3,), (1 / 3, math.nextafter(1 / 3, 1))])
def test_a_jump(cuts: Any) -> None:
    assert integral(lambda x: 1.0 * (x > 1 / 3), 0, 1, *cuts)[0] == pytest.approx(2 / 3, abs=1e-10)


@pytest.mark.slow
def test_a_jump_at_any_place_of_a_piece_is_seen() -> None:
    for place in np.linspace(0.5001, 0.9999, 200):  # close to the middle of a piece, to its ends, ...
        assert integral(lambda x, place=place: 1.0 * (x > place), 0, 1)[0] == pytest.approx(1 - place, abs=1e-10)


@pytest.mark.parametrize("power", [-0.9, -0.5, 0.0, 3.5])
def test_a_power_at_an_end(power: float) -> None:
    assert integral(lambda x: x**power, 0, 1)[0] == pytest.approx(1 / (1 + power), rel=1e-11)


@pytest.mark.parametrize("power", [-1.1, -2.0, -5.0])
def test_a_heavy_tail(power: float) -> None:
    assert integral(lambda x: x**power, 1, INF)[0] == pytest.approx(-1 / (1 + power), rel=1e-11)


@pytest.mark.parametrize(
    "function", [lambda x: 1.0 + 0 * x, lambda x: 1 / (1 + x), lambda x: (1 + x) ** -0.5, lambda x: np.nan * x]
)
def test_a_divergent_integral_has_a_large_error(function: Any) -> None:
    with np.errstate(all="ignore"):
        assert not integral(function, 0, INF)[1] < 1


def test_all_functions_are_integrated_on_the_same_pieces() -> None:
    def rows(anchor: Any, distance: Any) -> Any:
        x = anchor + distance
        return np.array([0 * x, np.exp(-(((x - 0.7) / 1e-3) ** 2))])

    start = pieces(-INF, INF, [0.0])
    _, _, alone = integrate(lambda anchor, distance: rows(anchor, distance)[:1], start)
    totals, _, together = integrate(rows, start)
    assert totals[1] == pytest.approx(1e-3 * math.sqrt(math.pi), rel=1e-10)
    assert len(together) > len(alone)
    again, _, _ = integrate(lambda anchor, distance: rows(anchor, distance)[1:], together)
    assert again[0] == pytest.approx(totals[1], rel=1e-12)


def test_the_pieces_cover_the_line() -> None:
    start = pieces(-1, 4, [0, 2.5])
    for panels in (start, halved(start)):
        anchor, distance, weight = points(panels)
        assert weight.sum() == pytest.approx(5, abs=1e-12)
        assert ((anchor + distance >= -1) & (anchor + distance <= 4)).all()
