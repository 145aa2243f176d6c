"""A whole Jacobian or random directions, their seed, and upstream gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import gradcheck, gradcheck_function

RNG = np.random.default_rng(5)


def tensor(*shape, dtype="float64"):
    return tg.tensor(RNG.standard_normal(shape), dtype=dtype, requires_grad=True)


# ---------------------------------------------------------------------- full or along directions; seeds


def test_a_small_jacobian_is_compared_as_a_whole():
    report = gradcheck(F.exp, tensor(4))
    assert report.mode == "full Jacobian"
    assert report.comparisons[0].compared == 16


def test_a_large_jacobian_is_compared_along_directions():
    report = gradcheck(F.linear, [tensor(20, 30), tensor(30, 10), tensor(10)])
    assert report.mode == "random directions"
    assert [c.compared for c in report.comparisons] == [3, 3, 3]


@pytest.mark.slow
@given(index=st.integers(0, 499))
def test_the_wrong_element_of_a_large_jacobian_is_found(index):
    def gradient(upstream, x):
        result = 2 * upstream * x
        result[index] *= 1.3
        return result

    x = np.linspace(1, 2, 500)
    report = gradcheck_function(np.square, gradient, x, raise_exception=False)
    worst = report.failures[0].comparison
    assert worst.input_index == (index,)
    assert worst.numerical * 1.3 == pytest.approx(worst.analytical)


def test_the_limit_between_the_two_can_be_chosen():
    assert gradcheck(F.exp, tensor(4), full_limit=15).mode == "random directions"
    assert gradcheck(F.exp, tensor(4), full_limit=15, directions=7).comparisons[0].compared == 7


@pytest.mark.parametrize("limit", [0, 10_000])
def test_the_same_seed_makes_the_same_check(limit):
    def upstream_gradients(seed):
        seen = []

        def gradient(upstream, x):
            seen.append(upstream.tolist())
            return 2 * upstream * x

        gradcheck_function(np.square, gradient, np.array([1.0, 2.0, 3.0]), seed=seed, full_limit=limit)
        return seen

    assert upstream_gradients(1) == upstream_gradients(1)
    assert upstream_gradients(1) != upstream_gradients(2)


# ---------------------------------------------------------------------- upstream gradients


def test_upstream_gradients_differ_and_0_is_tried():
    seen = []

    def gradient(upstream, x):
        seen.append(upstream.copy())
        return 2 * upstream * x

    gradcheck_function(np.square, gradient, RNG.standard_normal(5))
    assert np.unique(np.abs(seen[0])).size == 5
    assert any(not upstream.any() for upstream in seen)
