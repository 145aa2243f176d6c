import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.checking.numerical import central_difference, complex_step

EPS = np.finfo(np.float64).eps
POINTS = st.floats(-3, 3)

ANALYTIC = {
    "exp": (np.exp, np.exp),
    "sin(5x)": (lambda x: np.sin(5 * x), lambda x: 5 * np.cos(5 * x)),
    "x^3": (lambda x: x**3, lambda x: 3 * x**2),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "1 / (x + 5)": (lambda x: 1 / (x + 5), lambda x: -1 / (x + 5) ** 2),
    "a cliff": (lambda x: np.tanh(300 * x), lambda x: 300 * (1 - np.tanh(300 * x) ** 2)),
}


def line(f, x):
    return lambda t: np.array([f(np.float64(x) + t)])


def central(f, x, **options):
    with np.errstate(all="ignore"):
        g = line(f, x)
        return central_difference(g, g(0), EPS, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", ANALYTIC)
@given(x=POINTS)
def test_central_differences_estimate_their_error(name, x):
    f, slope = ANALYTIC[name]
    found = central(f, x)
    assert not found.undefined[0]
    if not found.kink[0]:
        assert found.value[0] == pytest.approx(slope(x), rel=1e-7, abs=1e-9 + 2 * found.doubt[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(ANALYTIC) - {"a cliff"}))
@given(x=POINTS)
def test_central_differences_are_exact_to_nine_digits(name, x):
    f, slope = ANALYTIC[name]
    assert central(f, x).value[0] == pytest.approx(slope(x), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", ANALYTIC)
@given(x=POINTS)
def test_complex_step_is_exact_to_the_last_digits(name, x):
    f, slope = ANALYTIC[name]
    g = line(f, x)
    assert complex_step(g, g(0)).value[0] == pytest.approx(slope(x), rel=1e-12, abs=1e-12)


def test_complex_step_is_wrong_without_the_imaginary_part():
    g = line(abs, -2.0)
    assert complex_step(g, g(0)).value[0] == 0  # so the caller verifies it


@given(left=st.floats(-5, 5), right=st.floats(-5, 5), curvature=st.floats(-2, 2))
def test_slopes_of_a_kink(left, right, curvature):
    found = central(lambda x: np.where(x < 0, left, right) * x + curvature * x * x, 0.0)
    if abs(left - right) > 1e-3 * max(abs(left), abs(right), 0.01):
        assert found.kink[0]
        assert not found.undefined[0]
        assert found.left[0] == pytest.approx(left, abs=1e-6)
        assert found.right[0] == pytest.approx(right, abs=1e-6)


@given(distance=st.floats(1e-6, 1e-1), sign=st.sampled_from([-1, 1]))
def test_a_kink_nearby_is_avoided_by_smaller_steps(distance, sign):
    found = central(lambda x: abs(x - sign * distance), 0.0, agrees=lambda s: abs(s.value + sign) < 1e-6)
    assert not found.kink[0]
    assert found.value[0] == pytest.approx(-sign, rel=1e-7)


@given(x=st.floats(-2, 2))
def test_smooth_functions_have_no_kinks(x):
    for f, _ in (ANALYTIC["exp"], ANALYTIC["sin(5x)"], ANALYTIC["tanh"]):
        assert not central(f, x).kink[0]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sqrt(np.maximum(x, 0)),
        np.cbrt,
        lambda x: np.where(x >= 0, 1.0, 0.0),
        lambda x: np.sign(x),
    ],
    ids=["square root", "cube root", "step", "sign"],
)
def test_no_finite_slope(f):
    assert central(f, 0.0).undefined[0]


@pytest.mark.parametrize("x", [np.nan, np.inf, 0.0])
def test_not_finite(x):
    assert central(lambda x: 1 / x + x, x).undefined[0]


def test_the_edge_of_a_domain_is_approached_from_inside():
    x = 1e-5  # the first step, 7e-4, leaves the domain
    assert central(np.log, x).value[0] == pytest.approx(1e5, rel=1e-6)


def test_saturated_at_infinity():
    found = central(np.tanh, np.inf)
    assert not found.undefined[0]
    assert found.value[0] == 0


def test_elements_that_disagree_are_tried_with_every_step():
    calls = []

    def g(t):
        calls.append(t)
        return np.array([np.exp(t)])

    central_difference(g, g(0), EPS)
    few = len(calls)
    central_difference(g, g(0), EPS, agrees=lambda found: np.array([False]))
    assert few == 1 + 4
    assert len(calls) - few > 1 + 4 * 3


def test_the_first_step_can_be_chosen():
    calls = []
    central_difference(lambda t: calls.append(t) or np.array([t]), np.array([0.0]), EPS, first_step=0.5)
    assert calls == [0.5, 0.25, -0.25, -0.5]
