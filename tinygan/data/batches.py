"""Minibatches of a split, for a training loop of one's own."""

from __future__ import annotations

from collections.abc import Iterator

from tinygan.backend import Stream
from tinygan.data.dataset import Array, Split
from tinygan.errors import ArgumentError, DtypeError


def batches(split: Split, size: int, stream: Stream) -> Iterator[tuple[Array, Array]]:
    """Return the minibatches of one epoch: one pass over a split, in a new random order.

    Each call draws another order. If the rows are not a multiple of `size`, the last ones of the order are left out, as
    in ``tinygan train``.

    Parameters
    ----------
    split : Split
    size : int
        Rows in a minibatch, from 1 to the rows of the split.
    stream : Stream
        The random numbers for the order, such as ``tg.manual_seed(0)["order"]``.

    Returns
    -------
    iterator of (images, labels)
        float32 of shape (size, d), and uint8 of shape (size,); both are copies.

    Raises
    ------
    DtypeError
        An argument has another type.
    ArgumentError
        The size is not from 1 to the rows of the split.

    Examples
    --------
    >>> from tinygan.data import load
    >>> [(x.shape, y.shape) for x, y in batches(load("digits").test, 80, Stream(0, "order"))]
    [((80, 64), (80,)), ((80, 64), (80,))]
    """
    for name, value, kind in (("split", split, Split), ("size", size, int), ("stream", stream, Stream)):
        if not isinstance(value, kind) or isinstance(value, bool):
            raise DtypeError(f"batches: {name} is {type(value).__name__}; expected {kind.__name__}")
    if not 1 <= size <= len(split):
        raise ArgumentError(f"batches: size is {size}; expected 1 to {len(split)}, the number of images in the split")
    return _batches(split, size, stream)


def _batches(split: Split, size: int, stream: Stream) -> Iterator[tuple[Array, Array]]:
    order = stream.permutation(len(split))
    for start in range(0, len(order) - size + 1, size):
        rows = order[start : start + size]
        yield split.images[rows], split.labels[rows]
