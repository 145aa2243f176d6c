from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from tinygan.backend import Stream
from tinygan.data import toys
from tinygan.errors import ShapeError

SHIPPED = [make() for make in toys.TOYS.values()]
every_toy = pytest.mark.parametrize("toy", SHIPPED, ids=repr)

stds = st.floats(0.04, 0.5)
mixtures = st.one_of(
    st.builds(toys.ring, modes=st.integers(1, 9), radius=st.floats(0, 2), std=stds),
    st.builds(toys.grid, side=st.integers(1, 4), spacing=st.floats(0.1, 1), std=stds),
)
curves = st.one_of(st.builds(toys.two_moons, std=stds), st.builds(toys.swiss_roll, std=stds))


def square(toy: toys.Toy, step: float) -> tuple[Any, float]:
    """Return points on a lattice over the region of the samples, and the area of each cell."""
    reach = toy.half_width + 4 * toy.std
    line = np.linspace(-reach, reach, math.ceil(2 * reach / step) + 1)
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2), (line[1] - line[0]) ** 2


# ---------------------------------------------------------------------- densities


@settings(max_examples=15)
@given(st.one_of(mixtures, curves))
def test_the_density_integrates_to_one(toy: toys.Toy) -> None:
    points, area = square(toy, 0.8 * toy.std)  # for sums of Gaussians the rectangle rule is almost exact
    assert toy.density(points).sum() * area == pytest.approx(1, abs=1e-7)


@pytest.mark.slow
@every_toy
def test_the_density_of_each_toy_integrates_to_one(toy: toys.Toy) -> None:
    if toy.std < 0.04 and isinstance(toy, toys.GaussianMixture):
        toy = toys.GaussianMixture("a finer lattice than fits in a test", toy.modes, 0.04)
    points, area = square(toy, 0.8 * toy.std)
    assert toy.density(points).sum() * area == pytest.approx(1, abs=1e-7)


@given(mixtures, st.integers(0, 1000))
def test_a_mixture_is_the_mean_of_its_gaussians(toy: toys.GaussianMixture, seed: int) -> None:
    x = Stream(seed, "x").normal((6, 2), np.float64)
    expected = np.mean([stats.multivariate_normal(mode, toy.std**2).pdf(x) for mode in toy.modes], axis=0)
    np.testing.assert_allclose(toy.density(x), expected, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("toy", [toys.two_moons(), toys.swiss_roll(), toys.swiss_roll(std=0.02)], ids=repr)
def test_a_curve_is_the_integral_along_it(toy: toys.NoisyCurve) -> None:
    for x in [*toy.sample(3, Stream(1, "near")), np.array([0.1, 0.2]), np.array([-0.4, 0.7])]:

        def along(t: float, x: Any = x) -> float:
            distances = [((curve(np.array([t]))[0] - x) ** 2).sum() for curve in toy.curves]
            return float(np.mean(np.exp(np.array(distances) / (-2 * toy.std**2)))) / (2 * math.pi * toy.std**2)

        total = integrate.quad(along, toy.start, toy.end, limit=400, epsabs=1e-12)[0]
        assert toy.density(x[None])[0] == pytest.approx(total / (toy.end - toy.start), rel=1e-7, abs=1e-9)


def test_the_size_of_blocks_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    toy, x = toys.swiss_roll(), Stream(0, "x").normal((50, 2))
    whole = toy.density(x)
    monkeypatch.setattr(toys, "BLOCK", 7)
    np.testing.assert_allclose(toy.density(x), whole, rtol=1e-13)
    assert toy.density(np.empty((0, 2))).shape == (0,)


# ---------------------------------------------------------------------- samples


def p_value(toy: toys.Toy, samples: Any) -> float:
    """Pearson's chi-square test of samples against the density, in cells that each expect five samples or more."""
    cells, fine = 24, 8
    reach = float(np.abs(samples).max() + toy.std)
    line = np.linspace(-reach, reach, 2 * cells * fine + 1)[1::2]
    density = toy.density(np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2))
    expected = density.reshape(cells, fine, cells, fine).sum(axis=(1, 3)).ravel() * (line[1] - line[0]) ** 2
    edges = np.linspace(-reach, reach, cells + 1)
    seen = np.histogram2d(samples[:, 0], samples[:, 1], [edges, edges])[0].ravel()
    expected *= len(samples)
    large = expected >= 5
    seen = np.append(seen[large], seen[~large].sum())
    expected = np.append(expected[large], len(samples) - expected[large].sum())
    return float(stats.chi2.sf(((seen - expected) ** 2 / expected).sum(), len(seen) - 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [lambda std: toys.ring(5, std=std), lambda std: toys.grid(3, 1, std), toys.two_moons, toys.swiss_roll]
)
def test_samples_follow_the_density(make: Any) -> None:
    toy = make(std=0.1)
    assert p_value(toy, toy.sample(20_000, Stream(3, "data"))) > 0.01
    assert p_value(toy, make(std=0.11).sample(20_000, Stream(3, "data"))) < 1e-6  # the test detects a difference


@every_toy
def test_samples_are_float32_and_repeat(toy: toys.Toy) -> None:
    samples = toy.sample(1000, Stream(4, "data"))
    assert samples.dtype == np.float32
    assert samples.shape == (1000, 2)
    assert np.array_equal(samples, toy.sample(1000, Stream(4, "data")))
    assert not np.array_equal(samples, toy.sample(1000, Stream(5, "data")))
    assert np.abs(samples).max() < toy.half_width + toy.std
    assert toy.density(samples).dtype == np.float64


def test_samples_continue_the_stream() -> None:
    stream = Stream(0, "data")
    first = toys.ring().sample(4, stream)
    assert not np.array_equal(first, toys.ring().sample(4, stream))


# ---------------------------------------------------------------------- what ships


def test_the_ring_and_the_grid_are_those_of_pacgan() -> None:
    ring, grid = toys.ring(), toys.grid()
    assert (len(ring.modes), ring.std) == (8, 0.01)
    np.testing.assert_allclose(np.linalg.norm(ring.modes, axis=1), 1)
    assert (len(grid.modes), grid.std) == (25, 0.05)
    assert {tuple(mode) for mode in grid.modes} == {(a, b) for a in range(-4, 5, 2) for b in range(-4, 5, 2)}


def test_modes_cannot_be_written_to() -> None:
    mine = np.zeros((1, 2))
    toy = toys.GaussianMixture("mine", mine, 1)
    with pytest.raises(ValueError, match="read-only"):
        toy.modes[0, 0] = 1
    mine[0, 0] = 1
    assert toy.modes[0, 0] == 0


def test_a_toy_shows_its_name_and_width() -> None:
    assert [repr(toy) for toy in SHIPPED] == [
        "GaussianMixture('ring', std=0.01)",
        "GaussianMixture('grid', std=0.05)",
        "NoisyCurve('moons', std=0.1)",
        "NoisyCurve('swiss-roll', std=0.03)",
    ]


# ---------------------------------------------------------------------- refusals


def circle_in_space(t: Any) -> Any:
    return 0.1 * np.stack([np.cos(t), np.sin(t), t], axis=1)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: toys.GaussianMixture("a", [[0, 0, 0]], 1), ShapeError, r"'a': .* \(K, 2\), got shape \(1, 3\)"),
        (lambda: toys.GaussianMixture("a", [], 1), ShapeError, r"got shape \(0,\)"),
        (lambda: toys.GaussianMixture("a", [[0, 0], [0, math.nan]], 1), ValueError, "centre 1 is not finite"),
        (lambda: toys.ring(std=0), ValueError, "std must be a positive number, got 0"),
        (lambda: toys.ring(std=math.nan), ValueError, "std must be a positive number, got nan"),
        (lambda: toys.ring(std=math.inf), ValueError, "std must be a positive number, got inf"),
        (lambda: toys.ring(modes=0), ValueError, "ring: needs at least 1 mode, got 0"),
        (lambda: toys.grid(side=0), ValueError, "grid: needs at least 1 mode a row, got 0"),
        (lambda: toys.NoisyCurve("a", [], 0, 1, 1), ValueError, "needs at least one curve"),
        (lambda: toys.NoisyCurve("a", [lambda t: t], 1, 1, 1), ValueError, "t must run upwards, got from 1 to 1"),
        (lambda: toys.two_moons(std=0), ValueError, "NoisyCurve 'moons': std must be a positive number, got 0"),
        (lambda: toys.NoisyCurve("a", [circle_in_space], 0, 1, 1), ShapeError, r"\(K, 2\), got shape \(10, 3\)"),
        (lambda: toys.ring().sample(0, Stream(0, "data")), ValueError, "ring: the number of samples must be at least"),
        (lambda: toys.ring().density([0, 0]), ShapeError, r"ring: .* \(n, 2\), got shape \(2,\)"),
        (lambda: toys.ring().density([[0, 0, 0]]), ShapeError, r"\(n, 2\), got shape \(1, 3\)"),
    ],
)
def test_arguments_that_make_no_toy_are_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
