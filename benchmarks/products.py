"""The matrix products of one iteration, and nothing else.

A layer with weights W (n, u) on m rows costs up to three products of 2 m n u floating-point operations:

    forward            Y  = X W       (m, n) (n, u)
    input gradient     gX = gY W'     (m, u) (u, n)
    weight gradient    gW = X' gY     (n, m) (m, u)

A convolution is such a layer: a row is a place of the result, its n inputs are the numbers under a kernel, and u is the
number of kernels. A transposed convolution is one on the places of its input; n is its channels there, and u the
numbers that a place lays down. Products with the zeros of a border count, although tinygan may leave them out; it may
also compute a convolution by other, smaller products (see tinygan/backend/numpy_convolution.py).

Which of them an iteration needs follows from Algorithm 1. The update of the discriminator needs no gradient with
respect to its input. The update of the generator needs none with respect to the discriminator's weights or to the
noise.

The list is not a lower bound on the number of products, because one product on 2 m rows can replace two on m rows. With
k = 1 the generator does not change between its two forward passes, so 22 products could replace the 25 of `mnist`. In
the released schedule 19 products are listed, and tinygan makes 27: data and samples pass through the discriminator one
after the other. The number of floating-point operations is the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from benchmarks.clocks import clock_of
from benchmarks.task import Task
from tinygan.backend import get_backend
from tinygan.backend.cupy import CupyBackend
from tinygan.backend.graph import Capture
from tinygan.config.convolutions import Conv2dConfig, ConvTranspose2dConfig, MaxoutConv2dConfig
from tinygan.config.experiment import ExperimentConfig
from tinygan.config.layer_config import shapes
from tinygan.config.layers import LayerConfig, LinearConfig, MaxoutConfig
from tinygan.errors import CaptureWarning

Sizes = list[tuple[int, int, int]]  # (rows of an example, inputs, outputs) of each layer with weights, from the bottom


@dataclass(frozen=True)
class Product:
    """One product: which of a layer's three, for which layer, on how many rows.

    Attributes
    ----------
    kind : {"forward", "input", "weight"}
    player : {"generator", "discriminator"}
    layer : int
        Counting only layers with weights.
    rows, inputs, outputs : int
    """

    kind: str
    player: str
    layer: int
    rows: int
    inputs: int
    outputs: int

    @property
    def flop(self) -> int:
        """Floating-point operations: a multiplication and an addition for each triple of indices."""
        return 2 * self.rows * self.inputs * self.outputs


def products_of(config: ExperimentConfig, pixels: int) -> list[Product]:
    """List the products of one iteration in the order of training.

    Parameters
    ----------
    config : ExperimentConfig
    pixels : int
        The size of an example.

    Returns
    -------
    list of Product

    Examples
    --------
    >>> from tinygan.config.experiment import load_experiment
    >>> products = products_of(load_experiment("mnist", ["training.shared_noise=false",
    ...                                                  "training.schedule=alternating"]), pixels=784)
    >>> len(products), f"{sum(product.flop for product in products) / 1e9:.2f} GFLOP"
    (25, '3.57 GFLOP')
    """
    training = config.training
    m = training.batch
    g = weighted(config.generator.layers, config.generator_inputs)
    d = weighted(config.discriminator.layers, config.discriminator_inputs(pixels))

    def forward(player: str, sizes: Sizes, rows: int) -> Iterator[Product]:
        return (Product("forward", player, i, rows * places, n, u) for i, (places, n, u) in enumerate(sizes))

    def backward(player: str, sizes: Sizes, rows: int, by_weights: bool, by_input: bool) -> Iterator[Product]:
        """Go from the last layer to the first; include the input gradient of the first layer if `by_input`."""
        for i, (places, n, u) in reversed(list(enumerate(sizes))):
            if by_weights:
                yield Product("weight", player, i, rows * places, n, u)
            if i > 0 or by_input:
                yield Product("input", player, i, rows * places, n, u)

    def update_of_d() -> Iterator[Product]:
        yield from forward("generator", g, m)
        yield from forward("discriminator", d, 2 * m)  # data and samples
        yield from backward("discriminator", d, 2 * m, by_weights=True, by_input=False)

    def through_d_to_g() -> Iterator[Product]:
        yield from backward("discriminator", d, m, by_weights=False, by_input=True)
        yield from backward("generator", g, m, by_weights=True, by_input=False)

    products = [product for _ in range(training.k) for product in update_of_d()]
    if not training.shared_noise:  # else both players use the same samples and the same pass through D
        products += [*forward("generator", g, m), *forward("discriminator", d, m)]
    return products + list(through_d_to_g())


def weighted(layers: Sequence[LayerConfig], inputs: int) -> Sizes:
    """Return (rows of an example, inputs, outputs) of the layers with products; all pieces of a maxout are outputs.

    Raises
    ------
    ValueError
        A layer computes with its weights in a way that is not known here.
    """
    reached = shapes(layers, (inputs,), "layers")
    found = []
    for layer, before, after in zip(layers, reached, reached[1:], strict=False):
        if isinstance(layer, LinearConfig):
            found.append((1, before[0], layer.units))
        elif isinstance(layer, MaxoutConfig):
            found.append((1, before[0], layer.units * layer.pieces))
        elif isinstance(layer, ConvTranspose2dConfig):
            found.append((before[1] * before[2], before[0], layer.channels * layer.kernel**2))
        elif isinstance(layer, Conv2dConfig | MaxoutConv2dConfig):
            found.append((after[1] * after[2], before[0] * layer.kernel**2, layer.channels_made))
        elif layer.affine:
            raise ValueError(f"the products of a {layer.type} layer are not known")
    return found


class Products:
    """The products of an iteration, on resident arrays of the layouts that training uses.

    Each has operands and a result of its own, except that a layer's weights are one array throughout: so the caches
    see what they see in training. On a GPU a launch takes the host longer than some products take the GPU. So the
    products are captured in a CUDA graph there, by the calls of cuBLAS that a captured training step makes.
    """

    def __init__(self, task: Task) -> None:
        self.xp: Any = get_backend(task.device).xp
        self._clock = clock_of(task.device)
        rng = np.random.default_rng(0)
        weights: dict[tuple[str, int], Any] = {}
        self._calls = []
        for product in products_of(task.config, task.images.shape[1]):
            rows, inputs, outputs = product.rows, product.inputs, product.outputs
            key = (product.player, product.layer)
            if key not in weights:
                weights[key] = self._array(rng, inputs, outputs)
            x, gy = self._array(rng, rows, inputs), self._array(rng, rows, outputs)
            a, b = {"forward": (x, weights[key]), "input": (gy, weights[key].T), "weight": (x.T, gy)}[product.kind]
            self._calls.append((a, b, self.xp.empty((a.shape[0], b.shape[1]), np.float32)))
        self._capture = self._captured() if task.device == "cuda" else None

    def _captured(self) -> Capture | None:
        """Return the captured products; None, after a warning, if they cannot be captured."""

        def compute() -> None:
            for operands in self._calls:
                capture.product(*operands)

        try:
            capture = Capture(cast(CupyBackend, get_backend("cuda")), {})
            capture.rehearse(compute)
            capture.record(compute)
        except Exception as error:  # also the errors of CuPy and CUDA
            reason = f"{type(error).__name__}: {error}"
            text = f"the products cannot be captured as a CUDA graph ({reason}); their launches take part of the time"
            warnings.warn(text, CaptureWarning, stacklevel=3)
            return None
        return capture

    def iterate(self) -> None:
        """Compute every product once."""
        if self._capture is not None:
            self._capture.replay()
            return
        dot = self.xp.dot
        for a, b, out in self._calls:
            dot(a, b, out=out)

    def run(self, count: int) -> list[float]:
        """Time `count` iterations; in milliseconds."""
        return self._clock(self.iterate, count)

    def _array(self, rng: np.random.Generator, *shape: int) -> Any:
        return self.xp.asarray(rng.standard_normal(shape, np.float32))


def peak_product(device: str, size: int | None = None, repeats: int = 8) -> float:
    """Measure the machine's own peak: the best speed of a square product, in GFLOP/s.

    Parameters
    ----------
    device : {"cpu", "cuda"}
    size : int, optional
        Rows and columns; by default so many that the speed no longer depends on it.
    repeats : int
        How many products are timed, after one that is not.
    """
    xp: Any = get_backend(device).xp
    size = size or (1024 if device == "cpu" else 8192)
    a, b, out = (xp.ones((size, size), np.float32) for _ in range(3))
    times = clock_of(device)(lambda: xp.dot(a, b, out=out), repeats + 1)[1:]
    return 2 * size**3 / min(times) / 1e6
