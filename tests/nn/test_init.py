"""Initialisers of weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinygan.backend import Stream
from tinygan.errors import ArgumentError, DtypeError
from tinygan.nn import init

seeds = st.integers(0, 2**32 - 1)


@given(st.floats(1e-6, 1e6), seeds)
def test_uniform_fills_its_range_evenly(r, seed):
    draws = init.uniform(r)((100, 100), Stream(seed, "weights"))
    assert draws.shape == (100, 100)
    assert draws.dtype == np.float32
    u = draws / np.float32(r)
    assert abs(u).max() <= 1 + 1e-6
    assert u.min() < -0.995
    assert u.max() > 0.995
    assert abs(u.mean()) < 6 / math.sqrt(3 * u.size)
    assert abs((u**2).mean() - 1 / 3) < 6 * math.sqrt(4 / 45 / u.size)


def test_a_range_of_nothing():
    assert not init.uniform(0)((3, 3), Stream(0, "weights")).any()


@pytest.mark.parametrize("r", [-0.1, math.nan])
def test_a_range_below_nothing(r):
    with pytest.raises(ValueError, match=rf"uniform: the range \(-r, r\) needs r of at least 0, got {r}"):
        init.uniform(r)


@given(st.integers(1, 1000), seeds)
def test_fan_in_is_uniform_within_1_over_sqrt_inputs(inputs, seed):
    shape = (inputs, 3)
    expected = init.uniform(1 / math.sqrt(inputs))(shape, Stream(seed, "weights"))
    assert np.array_equal(init.fan_in()(shape, Stream(seed, "weights")), expected)


@given(st.integers(1, 40).flatmap(lambda inputs: st.tuples(st.just(inputs), st.integers(1, inputs))), seeds)
def test_sparse_leaves_each_unit_exactly_so_many_weights(sizes, seed):
    inputs, count = sizes
    weights = init.sparse(count)((inputs, 30), Stream(seed, "weights"))
    assert weights.dtype == np.float32
    assert weights.shape == (inputs, 30)
    assert (weights != 0).sum(axis=0).tolist() == [count] * 30


def test_sparse_weights_are_normal_and_lie_anywhere():
    weights = init.sparse(5)((20, 20_000), Stream(1, "weights"))
    drawn = weights[weights != 0]
    assert abs(drawn.mean()) < 5 / math.sqrt(drawn.size)
    assert abs(drawn.std() - 1) < 5 / math.sqrt(2 * drawn.size)
    assert abs((abs(drawn) > 2).mean() - 0.0455) < 0.003
    taken = (weights != 0).mean(axis=1)  # a quarter of the units have a weight for each input
    assert abs(taken - 0.25).max() < 5 * math.sqrt(0.25 * 0.75 / 20_000)
    together = ((weights[0] != 0) & (weights[1] != 0)).mean()  # 5 x 4 of 20 x 19 pairs
    assert abs(together - 20 / 380) < 5 * math.sqrt(0.05 / 20_000)


def test_sparse_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="sparse: each unit needs at least 1 weight, got 0"):
        init.sparse(0)
    with pytest.raises(ValueError, match="sparse: a unit cannot have 4 weights that are not 0, with 3 inputs"):
        init.sparse(4)((3, 2), Stream(0, "weights"))


@given(st.floats(-1e30, 1e30))
def test_constant(value):
    filled = init.constant(value)((2, 3), Stream(0, "weights"))
    assert filled.dtype == np.float32
    assert np.array_equal(filled, np.full((2, 3), value, np.float32))


@given(arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 6)), elements=st.floats(0, 1, width=32)))
def test_the_sigmoid_of_the_marginal_bias_is_the_mean_image(images):
    bias = init.marginal_bias(images)
    assert bias.dtype == np.float32
    assert bias.shape == images.shape[1:]
    for b, mean in zip(bias.tolist(), images.astype(np.float64).mean(axis=0), strict=True):
        mean = min(max(mean, 1e-7), 1 - 1e-7)
        assert math.isclose(b, math.log(mean / (1 - mean)), rel_tol=1e-6, abs_tol=1e-6)


def test_pixels_that_are_always_black_or_white_are_clipped():
    black, white, grey = init.marginal_bias(np.array([[0, 1, 1], [0, 1, 0]], np.uint8))
    assert black == np.float32(math.log(1e-7 / (1 - 1e-7)))
    assert white == -black
    assert grey == 0


def test_the_mean_of_many_float32_pixels_is_not_rounded():
    images = np.full((70_000, 1), 0.1, np.float32)  # in float32, a running sum of these drifts
    expected = math.log(float(np.float32(0.1)) / (1 - float(np.float32(0.1))))
    assert init.marginal_bias(images)[0] == np.float32(expected)


# --- by the number of inputs and units -------------------------------------------------------------------

weights = st.tuples(st.integers(1, 60), st.integers(1, 60)) | st.tuples(
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3)
)


def fans(shape):
    """Return inputs and units, of (inputs, units) or (units, channels, height, width)."""
    window = math.prod(shape[2:])
    return shape if len(shape) == 2 else (shape[1] * window, shape[0] * window)


@given(weights, st.floats(0, 3), seeds)
def test_ranges_and_deviations_follow_the_fans(shape, a, seed):
    inputs, units = fans(shape)
    both, rectified = math.sqrt(2 / (inputs + units)), math.sqrt(2 / ((1 + a * a) * inputs))
    for draw, deviation in (
        (init.xavier_normal(a), a * both),
        (init.kaiming_normal(a), rectified),
        (init.normal(0.0, a), a),
    ):
        expected = Stream(seed, "weights").normal(shape) * deviation
        found = draw(shape, Stream(seed, "weights"))
        assert found.dtype == np.float32
        assert np.allclose(found, expected, rtol=1e-5)
    for draw, deviation in ((init.xavier_uniform(a), a * both), (init.kaiming_uniform(a), rectified)):
        expected = init.uniform(math.sqrt(3) * deviation)(shape, Stream(seed, "weights"))  # r^2 / 3 is the variance
        found = draw(shape, Stream(seed, "weights"))
        assert found.dtype == np.float32
        assert np.allclose(found, expected, rtol=1e-5, atol=1e-6 * deviation)


def test_the_arguments_of_normal_come_in_pytorch_s_order():
    drawn = init.normal(3.0, 0.5)((200, 200), Stream(0, "weights"))
    assert drawn.mean() == pytest.approx(3, abs=0.02)
    assert drawn.std() == pytest.approx(0.5, abs=0.01)


def test_fans_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    for shape in ((50, 30), (16, 3, 4, 5)):
        theirs = torch.empty(shape[::-1] if len(shape) == 2 else shape)  # Linear is transposed
        for ours, other in (
            (init.xavier_uniform(), torch.nn.init.xavier_uniform_),
            (init.kaiming_uniform(0.2), lambda w: torch.nn.init.kaiming_uniform_(w, 0.2)),
        ):
            most = abs(other(theirs)).max().item()
            assert abs(ours(shape, Stream(0, "weights"))).max() == pytest.approx(most, rel=0.05)


@given(weights, st.floats(0.1, 3), seeds)
def test_orthogonal_keeps_lengths(shape, gain, seed):
    drawn = init.orthogonal(gain)(shape, Stream(seed, "weights"))
    assert drawn.shape == shape
    assert drawn.dtype == np.float32
    matrix = drawn.reshape(shape[0], -1) / gain
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    assert np.allclose(tall.T @ tall, np.eye(tall.shape[1]), atol=1e-5)


def test_orthogonal_matrices_point_everywhere():
    drawn = np.stack([init.orthogonal()((3, 3), Stream(seed, "weights")) for seed in range(400)])
    assert abs(drawn.mean(axis=0)).max() < 6 / math.sqrt(3 * 400)
    assert 0.3 < (np.linalg.det(drawn) > 0).mean() < 0.7


@pytest.mark.parametrize("shape", [(3,), (), (0, 3), (3, 0)])
@pytest.mark.parametrize("kind", ["xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal"])
def test_a_shape_without_inputs_or_units_is_refused(kind, shape):
    with pytest.raises(ArgumentError, match="two axes or more"):
        getattr(init, kind)()(shape, Stream(0, "weights"))


@pytest.mark.parametrize("value", [math.nan, math.inf, "relu"])
@pytest.mark.parametrize(
    "kind", ["normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal"]
)
def test_numbers_of_initialisers_are_finite(kind, value):
    with pytest.raises((ArgumentError, DtypeError), match=kind):
        getattr(init, kind)(value)
    with pytest.raises(ArgumentError, match="normal: std must be finite and at least 0, got -1"):
        init.normal(0, -1)
