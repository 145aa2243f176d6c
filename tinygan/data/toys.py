"""Toy distributions in the plane with known densities, so that a generator can be compared with the truth.

There are two kinds. A `GaussianMixture` has modes that can be counted (the ring, the grid). A `NoisyCurve` is a curve
with Gaussian noise (the moons, the swiss roll). Both draw any number of samples and compute their density, so
D* = p_data / (p_data + p_g) can be computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygan.backend import Stream
from tinygan.errors import ArgumentError, ShapeError

Array = np.ndarray[Any, np.dtype[Any]]

BLOCK = 4096  # points whose density is computed at once, to limit the memory


class Toy:
    """The base class of both kinds: a point is a random centre plus isotropic Gaussian noise.

    Parameters
    ----------
    name : str
    centres : array of shape (K, 2)
    std : float
        Standard deviation of the noise in each direction.
    weights : array of shape (K,), optional
        The density is sum_k weights_k N(x; centres_k, std^2 I); by default all weights are equal.

    Raises
    ------
    ShapeError
        The centres are not points of the plane.
    ArgumentError
        A centre is not finite, or std is not a positive number.
    """

    def __init__(self, name: str, centres: Any, std: float, weights: Any = None) -> None:
        kind = type(self).__name__
        centres = np.array(centres, np.float64)
        if centres.ndim != 2 or centres.shape[1] != 2 or not len(centres):
            raise ShapeError(f"{kind} {name!r}: centres must be points of the plane, (K, 2), got shape {centres.shape}")
        finite = np.isfinite(centres).all(axis=1)
        if not finite.all():
            raise ArgumentError(
                f"{kind} {name!r}: centre {int(np.argmin(finite))} is not finite: {centres[~finite][0]}"
            )
        centres.flags.writeable = False
        self.name = name
        self.std = _checked(f"{kind} {name!r}", std)
        self._centres = centres
        self._weights = np.full(len(centres), 1 / len(centres)) if weights is None else weights

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, std={self.std:g})"

    @property
    def half_width(self) -> float:
        """Half the side of a square around 0 that extends four standard deviations beyond every centre."""
        return float(np.abs(self._centres).max() + 4 * self.std)

    def sample(self, n: int, stream: Stream) -> Array:
        """Draw `n` independent points.

        Parameters
        ----------
        n : int
            At least 1.
        stream : Stream
            Where they are drawn from.

        Returns
        -------
        float32 array of shape (n, 2)

        Raises
        ------
        ArgumentError
            n is below 1.
        """
        if n < 1:
            raise ArgumentError(f"{self.name}: the number of samples must be at least 1, got {n}")
        return (self._draw_centres(n, stream) + self.std * stream.normal((n, 2), np.float64)).astype(np.float32)

    def density(self, x: Any) -> Array:
        """Return the density at each row of `x`.

        Parameters
        ----------
        x : array of shape (n, 2)

        Returns
        -------
        float64 array of shape (n,)
            Per unit of area.

        Raises
        ------
        ShapeError
            The rows are not points of the plane.
        """
        from scipy.spatial.distance import cdist  # takes longer to import than all of tinygan

        x = np.asarray(x, np.float64)
        if x.ndim != 2 or x.shape[1] != 2:
            raise ShapeError(f"{self.name}: density takes points of the plane, shape (n, 2), got shape {x.shape}")
        peak = 1 / (2 * math.pi * self.std**2)
        density = np.empty(len(x))
        for start in range(0, len(x), BLOCK):
            block = slice(start, start + BLOCK)
            exponents = cdist(x[block], self._centres, "sqeuclidean") / (-2 * self.std**2)
            density[block] = peak * (np.exp(exponents) @ self._weights)
        return density

    def _draw_centres(self, n: int, stream: Stream) -> Array:
        raise NotImplementedError(f"{type(self).__name__}._draw_centres is not written")


class GaussianMixture(Toy):
    """Isotropic Gaussians of equal width and weight: p(x) = 1/K sum_k N(x; modes_k, std^2 I).

    Parameters
    ----------
    name : str
    modes : array of shape (K, 2)
        The centres.
    std : float
        Standard deviation of each Gaussian in each direction.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygan.backend import Stream
    >>> pair = GaussianMixture("pair", [[-1, 0], [1, 0]], std=0.1)
    >>> pair.sample(5, Stream(0, "data")).shape
    (5, 2)
    >>> bool(np.isclose(pair.density([[1, 0]])[0], 0.5 / (2 * np.pi * 0.1**2)))
    True
    """

    def __init__(self, name: str, modes: Any, std: float) -> None:
        super().__init__(name, modes, std)

    @property
    def modes(self) -> Array:
        """The centres, a read-only float64 array of shape (K, 2)."""
        return self._centres

    def _draw_centres(self, n: int, stream: Stream) -> Array:
        return self.modes[stream.integers(0, len(self.modes), (n,))]


class NoisyCurve(Toy):
    """Curves with noise: t is uniform on [start, end], b is one of B curves, and x is normal around c_b(t).

    p(x) = 1/B sum_b 1/(end - start) int N(x; c_b(t), std^2 I) dt, by Gauss-Legendre quadrature with ten nodes for every
    four standard deviations of the curve's length. The integrand is smooth, so nine digits are right.

    Parameters
    ----------
    name : str
    curves : sequence of callables
        Each maps parameters t of shape (m,) to points of shape (m, 2).
    start, end : float
        The range of t.
    std : float
        Standard deviation of the noise in each direction.

    Raises
    ------
    ArgumentError
        There is no curve, or start is not below end.

    Examples
    --------
    >>> import numpy as np
    >>> line = NoisyCurve("line", [lambda t: np.stack([t, 0 * t], axis=1)], -1, 1, std=0.1)
    >>> across = 1 / (np.sqrt(2 * np.pi) * 0.1)  # in the middle: uniform along the line, normal across
    >>> bool(np.isclose(line.density([[0, 0]])[0], across / 2))
    True
    """

    def __init__(
        self, name: str, curves: list[Callable[[Array], Array]], start: float, end: float, std: float
    ) -> None:
        if not curves:
            raise ArgumentError(f"NoisyCurve {name!r}: needs at least one curve")
        if not start < end:
            raise ArgumentError(f"NoisyCurve {name!r}: t must run upwards, got from {start} to {end}")
        self.curves, self.start, self.end = curves, start, end
        t, weights = _quadrature(curves, start, end, _checked(f"NoisyCurve {name!r}", std))
        weights = np.tile(weights / (end - start) / len(curves), len(curves))
        super().__init__(name, np.concatenate([curve(t) for curve in curves]), std, weights)

    def _draw_centres(self, n: int, stream: Stream) -> Array:
        which = stream.integers(0, len(self.curves), (n,))
        t = stream.uniform((n,), self.start, self.end, np.float64)
        return np.stack([curve(t) for curve in self.curves])[which, np.arange(n)]


def ring(modes: int = 8, radius: float = 1.0, std: float = 0.01) -> GaussianMixture:
    """Gaussians on a circle; by default the 2D-ring of PacGAN (Lin et al., 2018).

    Parameters
    ----------
    modes : int
    radius, std : float

    Returns
    -------
    GaussianMixture

    Examples
    --------
    >>> ring().modes[2].round(6) + 0
    array([0., 1.])
    """
    if modes < 1:
        raise ArgumentError(f"ring: needs at least 1 mode, got {modes}")
    angles = 2 * math.pi * np.arange(modes) / modes
    return GaussianMixture("ring", radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), std)


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> GaussianMixture:
    """Gaussians on a square grid around 0; by default the 2D-grid of PacGAN (Lin et al., 2018).

    Parameters
    ----------
    side : int
        Modes in a row; there are side^2 in all.
    spacing, std : float

    Returns
    -------
    GaussianMixture

    Examples
    --------
    >>> grid().modes[[0, -1]]
    array([[-4., -4.],
           [ 4.,  4.]])
    """
    if side < 1:
        raise ArgumentError(f"grid: needs at least 1 mode a row, got {side}")
    line = spacing * (np.arange(side) - (side - 1) / 2)
    return GaussianMixture("grid", np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2), std)


def two_moons(std: float = 0.1) -> NoisyCurve:
    """Two interleaved half circles of radius 1.

    Examples
    --------
    >>> moons = two_moons()
    >>> a, b = moons.density([[-0.5, 0.75], [0.5, -0.75]])  # on the two half circles, which are symmetric
    >>> bool(a > 0.3 and abs(a - b) < 1e-9)
    True
    """
    centre = np.array([0.5, 0.25])

    def upper(t: Array) -> Array:
        return np.stack([np.cos(t), np.sin(t)], axis=1) - centre

    return NoisyCurve("moons", [upper, lambda t: -upper(t)], 0, math.pi, std)


def swiss_roll(std: float = 0.03) -> NoisyCurve:
    """A spiral of one and a half turns, from radius 1/3 to radius 1; its density falls towards the outer end.

    Examples
    --------
    >>> inner, gap = swiss_roll().density([[0, -1 / 3], [0, -0.55]])
    >>> bool(inner > 0.3 and gap < 0.001)
    True
    """

    def spiral(t: Array) -> Array:
        return (t / (4.5 * math.pi))[:, None] * np.stack([np.cos(t), np.sin(t)], axis=1)

    return NoisyCurve("swiss-roll", [spiral], 1.5 * math.pi, 4.5 * math.pi, std)


TOYS: dict[str, Callable[..., Toy]] = {"ring": ring, "grid": grid, "moons": two_moons, "swiss-roll": swiss_roll}


def _checked(owner: str, std: float) -> float:
    if not 0 < std < math.inf:
        raise ArgumentError(f"{owner}: std must be a positive number, got {std}")
    return float(std)


def _quadrature(curves: list[Callable[[Array], Array]], start: float, end: float, std: float) -> tuple[Array, Array]:
    """Return nodes and weights for integrals over t of a Gaussian around the curves."""
    t, step = np.linspace(start, end, 1000, retstep=True)
    speed = max(float(np.linalg.norm(np.diff(curve(t), axis=0), axis=1).max() / step) for curve in curves)
    panels = max(1, math.ceil(speed * (end - start) / (4 * std)))
    nodes, weights = np.polynomial.legendre.leggauss(10)  # on [-1, 1]
    edges, width = np.linspace(start, end, panels, endpoint=False), (end - start) / panels
    return (edges[:, None] + width * (nodes + 1) / 2).ravel(), np.tile(weights * width / 2, panels)
