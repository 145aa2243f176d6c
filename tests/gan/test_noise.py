"""The three priors of the released code, by their moments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.backend import Stream
from tinygan.errors import ArgumentError
from tinygan.gan import Noise

seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from(["uniform", "gaussian", "spherical"])
COUNT, SIZE = 500, 20

# E z^2, E z^4 and E z^8 of one coordinate: the higher moments give the variances of the estimates
SECOND = {"uniform": 1.0, "gaussian": 1.0, "spherical": 1 / SIZE}
FOURTH = {"uniform": 9 / 5, "gaussian": 3.0, "spherical": 3 / (SIZE * (SIZE + 2))}
EIGHTH = {"uniform": 9.0, "gaussian": 105.0, "spherical": 105 / (SIZE * (SIZE + 2) * (SIZE + 4) * (SIZE + 6))}


@given(kinds, seeds)
def test_moments(kind, seed):
    """Each average lies within six of its standard deviations."""
    z = Noise(kind, SIZE).draw(COUNT, Stream(seed, "noise"), np.float64)
    n = z.size
    assert abs(z.mean()) < 6 * math.sqrt(SECOND[kind] / n)
    assert abs((z**2).mean() - SECOND[kind]) < 6 * math.sqrt((FOURTH[kind] - SECOND[kind] ** 2) / n)
    assert abs((z**4).mean() - FOURTH[kind]) < 6 * math.sqrt((EIGHTH[kind] - FOURTH[kind] ** 2) / n)
    neighbours = (z[:, 1:] * z[:, :-1]).mean() + (z[1:] * z[:-1]).mean()  # coordinates and rows are independent
    assert abs(neighbours) < 12 * SECOND[kind] / math.sqrt(n - n / SIZE)


@given(seeds, st.integers(1, 50))
def test_the_shape_of_each_prior(seed, size):
    def draw(kind):
        return Noise(kind, size).draw(40, Stream(seed, "noise"))

    assert abs(draw("uniform")).max() <= math.sqrt(3) * (1 + 1e-6)
    assert np.allclose(np.linalg.norm(draw("spherical"), axis=1), 1, rtol=1e-6)
    gaussian = draw("gaussian")
    assert np.allclose(draw("spherical"), gaussian / np.sqrt((gaussian**2).sum(axis=1, keepdims=True)), rtol=1e-6)


def test_uniform_reaches_both_ends():
    z = Noise("uniform", 100).draw(1000, Stream(0, "noise"))
    assert z.min() < -1.73
    assert z.max() > 1.73


@given(kinds, seeds, st.integers(1, 9), st.integers(1, 9))
def test_one_stream_gives_one_sequence(kind, seed, count, size):
    noise, stream = Noise(kind, size), Stream(seed, "noise")
    first, second = noise.draw(count, stream), noise.draw(count, stream)
    assert first.shape == second.shape == (count, size)
    assert first.dtype == np.float32
    assert np.array_equal(first, noise.draw(count, Stream(seed, "noise")))
    if size > 1:  # of one dimension, spherical noise is a sign
        assert not np.array_equal(first, second)


def test_the_paper_s_noise_is_the_default():
    assert Noise() == Noise("uniform", 100)


def test_refusals():
    with pytest.raises(ValueError, match="Noise: kind must be one of uniform, gaussian, spherical; got 'normal'"):
        Noise("normal")
    with pytest.raises(ValueError, match="Noise: size must be an integer of at least 1, got 0"):
        Noise("uniform", 0)
    for size in (2.5, True, "3"):
        with pytest.raises(ArgumentError, match="Noise: size must be an integer of at least 1"):
            Noise("uniform", size)
    assert type(Noise("uniform", np.int64(3)).size) is int


@given(kinds, seeds, st.integers(1, 12))
def test_a_line_is_straight_with_equal_steps(kind, seed, steps):
    noise = Noise(kind, SIZE)
    start, end = noise.draw(2, Stream(seed, "noise"))
    z = noise.line(start, end, steps)
    assert (z.shape, z.dtype) == ((steps + 1, SIZE), np.float32)
    np.testing.assert_allclose(z[[0, -1]], [start, end], rtol=1e-6, atol=1e-6)
    if kind == "spherical":
        np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-5)
        assert np.linalg.matrix_rank(z, tol=1e-5) <= 2  # all in the plane of the ends and the centre
    else:
        np.testing.assert_allclose(np.diff(z, axis=0), np.tile((end - start) / steps, (steps, 1)), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "start", "end", "steps", "message"),
    [
        ("gaussian", [0, 0], [1, 1], 0, "Noise.line: steps"),
        ("gaussian", [0, 0], [1], 2, r"Noise.line: end has shape \(1,\); expected \(2,\)"),
        ("gaussian", [[0, 0]], [1, 1], 2, r"Noise.line: start has shape"),
        ("spherical", [0, 1], [0, -1], 2, "opposite points of the sphere"),
    ],
)
def test_a_line_without_ends_or_steps_is_refused(kind, start, end, steps, message):
    with pytest.raises(ValueError, match=message):
        Noise(kind, 2).line(start, end, steps)
