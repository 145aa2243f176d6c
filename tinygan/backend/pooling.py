"""Windows of images, their maxima and their sums, as plainly as they can be written.

A window of `size` rows and columns is laid on an image at each place, `stride` pixels from one another. Pixels outside
of the image do not exist: there the window is cut. Here windows of 2x2 have the stride 2 and the padding 1, so the
first begins one pixel before the image::

    . .|. .|. .
    . a|b c|d .         the maxima are   a          max(b, c)         d
    ---+---+---                          max(e, h)  max(f, g, i, j)   max(k, l)
    . e|f g|k .
    . h|i j|l .

Element (a, b) of all windows together is a slice of the image, with the stride as its step. So every method is a loop
over the elements of a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.backend.convolutions import Array, Pair, Shape


@dataclass(frozen=True)
class Windows:
    """Where the windows of images lie. Each attribute is a pair, for rows and for columns.

    Attributes
    ----------
    size, stride : pair of int
    padding : pair of int
        How far the first window begins before the image; less than `size`.
    image : pair of int
        The size of an image.
    count : pair of int
        The number of windows. The last one begins inside of the image.
    """

    size: Pair
    stride: Pair
    padding: Pair
    image: Pair
    count: Pair

    def shape(self, x: Array) -> Shape:
        """Return the shape of one number for each window of the images `x`."""
        return *x.shape[:2], *self.count

    def margins(self) -> list[Pair]:
        """Return how many pixels the windows need before and after the image, for each axis of (N, C, H, W)."""
        margins = [(0, 0), (0, 0)]
        for n, s, k, p, size in zip(self.count, self.stride, self.size, self.padding, self.image, strict=True):
            margins.append((p, max((n - 1) * s + k - p - size, 0)))
        return margins

    def elements(self) -> Iterator[tuple[int, Any]]:
        """Yield the place of each element of a window, row by row, and its index in images with their margins."""
        (rows, columns), (s, t) = self.count, self.stride
        for place, (a, b) in enumerate(np.ndindex(*self.size)):
            yield place, (..., slice(a, a + s * rows, s), slice(b, b + t * columns, t))


class Pooling:
    """The maxima and sums, for images x (N, C, H, W) and numbers gy (N, C, I, J), one for each of I x J windows."""

    xp: Any

    def max_pool(self, x: Array, windows: Windows) -> tuple[Array, Array]:
        """Return the maximum of each window, and its place in the window, row by row; the first at a tie.

        The image is continued by its edge. This changes no maximum, because a window that is cut has pixels of the
        edge. A nan counts as the largest number.
        """
        padded = self.xp.pad(x, windows.margins(), mode="edge")
        values = self.xp.stack([padded[met] for _, met in windows.elements()], axis=-1)
        return values.max(axis=-1), self.argmax(values, -1)  # type: ignore[attr-defined]

    def max_pool_backward(self, gy: Array, place: Array, windows: Windows) -> Array:
        """Return images of zeros, with the gy of each window added to the pixel that was its maximum."""
        shape = *gy.shape[:2], *windows.image
        return self.scatter(gy, self._winners(place, windows), shape)  # type: ignore[attr-defined]

    def winners(self, x: Array, place: Array, windows: Windows) -> Array:
        """Return the pixel of each window that was the maximum of `max_pool`: the adjoint of `max_pool_backward`."""
        return x[self._winners(place, windows)]

    def sum_pool(self, x: Array, windows: Windows) -> Array:
        """Return the sum of each window."""
        padded = self.xp.pad(x, windows.margins())
        y = self.xp.zeros(windows.shape(x), x.dtype)
        for _, met in windows.elements():
            y += padded[met]
        return y

    def sum_pool_backward(self, gy: Array, windows: Windows) -> Array:
        """Return images of zeros, with the gy of each window added to all of its pixels."""
        (top, below), (left, right) = windows.margins()[2:]
        rows, columns = windows.image
        padded = self.xp.zeros((*gy.shape[:2], top + rows + below, left + columns + right), gy.dtype)
        for _, met in windows.elements():
            padded[met] += gy
        return padded[:, :, top : top + rows, left : left + columns]

    def _winners(self, place: Array, windows: Windows) -> tuple[Array, ...]:
        """Return the index of the maxima in the images; a place beyond the edge means the pixel of the edge."""
        xp, columns = self.xp, windows.size[1]
        n, c, i, j = (xp.arange(size).reshape([-1 if axis == k else 1 for k in range(4)])
                      for axis, size in enumerate(place.shape))  # fmt: skip
        (s, t), (p, q), (height, width) = windows.stride, windows.padding, windows.image
        row = xp.clip(i * s - p + place // columns, 0, height - 1)
        return n, c, row, xp.clip(j * t - q + place % columns, 0, width - 1)
