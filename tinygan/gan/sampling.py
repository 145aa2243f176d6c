"""Drawing samples from a generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygan.backend import Stream, Streams
from tinygan.checks import integer
from tinygan.engine import Tensor, no_grad
from tinygan.gan.inputs import labels_moved, refuse_other_arguments
from tinygan.gan.noise import Noise
from tinygan.nn import Module


def sample(
    generator: Module, count: int, noise: Noise, stream: Stream, labels: Any = None, batch: int = 1000
) -> Any:
    """Draw samples: noise from the prior, then one pass through the generator in evaluation mode.

    Parameters
    ----------
    generator : Module
    count : int
        How many samples, at least 1.
    noise : Noise
    stream : Stream
        Where the noise is drawn from.
    labels : array or Tensor, shape (count,) or (count, ...), optional
        For a conditional generator: a label, or any other condition y, for each sample G(z, y).
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
    count, batch = integer(count, "sample: count", at_least=1), integer(batch, "sample: batch", at_least=1)
    refuse_other_arguments("sample", "generator", generator, labels is not None)
    y = [] if labels is None else [labels_moved(labels, count, "sample", _device_of(generator))]
    # noise inside G has streams of its own, so that drawing samples does not change the training
    with evaluating(generator), Streams(stream.key[0] + stream.position).active():
        return _in_blocks(generator, count, noise, stream, batch, y)


@contextmanager
def evaluating(network: Module) -> Iterator[None]:
    """Put a network in evaluation mode for a block; afterwards every module has its earlier mode again."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _in_blocks(generator: Module, count: int, noise: Noise, stream: Stream, batch: int, y: list[Tensor]) -> Any:
    """Draw noise and samples block by block, so that the noise of many samples needs little memory."""
    samples: Any = None
    # A stream draws words of two numbers: blocks of an even size give the same bits as one large draw.
    noise_block = 1000 * batch
    for first in range(0, count, noise_block):
        z = noise.draw(min(noise_block, count - first), stream)
        for start in range(0, len(z), batch):
            begin = first + start
            block = push(generator, z[start : start + batch], *(rows[begin : begin + batch] for rows in y))
            if samples is None:
                samples = np.empty((count, *block.shape[1:]), block.dtype)
            samples[begin : begin + len(block)] = block
    return samples


def push(generator: Module, z: Any, *y: Tensor) -> Any:
    """Map noise vectors in host memory to samples in host memory, without recording.

    Parameters
    ----------
    generator : Module
    z : array, shape (m, size)
    *y : Tensor, shape (m, ...)
        Labels, if the generator takes them.

    Returns
    -------
    numpy.ndarray, shape (m, ...)
    """
    with no_grad():
        return generator(Tensor(_device_of(generator).backend.from_numpy(z)), *y).numpy()


def _device_of(network: Module) -> Tensor:
    """Return a parameter of a network; an empty tensor on the CPU if it has none."""
    return next(iter(network.parameters()), Tensor(np.empty(0, np.float32)))
