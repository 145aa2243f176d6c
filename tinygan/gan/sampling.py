"""Drawing samples from a generator."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygan.backend import Stream
from tinygan.engine import Tensor, no_grad
from tinygan.gan.noise import Noise
from tinygan.nn import Module


def sample(generator: Module, count: int, noise: Noise, stream: Stream, batch: int = 1000) -> Any:
    """Draw fair samples: noise from the prior, one pass through the generator in evaluation mode.

    Parameters
    ----------
    generator : Module
    count : int
        How many samples, at least 1.
    noise : Noise
    stream : Stream
        Where the noise is drawn from.
    batch : int
        Samples computed at once.

    Returns
    -------
    numpy.ndarray, shape (count, ...)

    Examples
    --------
    >>> from tinygan import gan, nn
    >>> from tinygan.backend import Stream
    >>> sample(nn.Linear(2, 3), 10, gan.Noise("gaussian", 2), Stream(0, "samples")).shape
    (10, 3)
    """
    if count < 1:
        raise ValueError(f"sample: count must be at least 1, got {count}")
    z = noise.draw(count, stream)
    modes = [(module, module.training) for module in generator.modules()]
    generator.eval()
    try:
        return np.concatenate([push(generator, z[i : i + batch]) for i in range(0, count, batch)])
    finally:
        for module, training in modes:
            module.training = training


def push(generator: Module, z: Any) -> Any:
    """Map noise vectors in host memory to samples in host memory, recording nothing.

    Parameters
    ----------
    generator : Module
    z : array, shape (m, size)

    Returns
    -------
    numpy.ndarray, shape (m, ...)
    """
    with no_grad():
        return generator(Tensor(generator.parameters()[0].backend.from_numpy(z))).numpy()
