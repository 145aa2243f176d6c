"""The three products of a convolution, each as a sum over the elements of the kernel.

An image x has C channels of H rows and W columns. A weight w has K kernels of C channels of h rows and w columns. A
kernel is laid on the image at each of I x J places, `stride` pixels from one another, and gives one number at each: y
has K channels of I rows and J columns. Here h = w = 3, the stride is 2, and the padding, zeros around the image, is 1::

    0 0 0 0 0 0
    0 a b c d 0         row 0 of y: the kernel lies on rows 0 1 2 of the padded image
    0 e f g h 0         row 1 of y: on rows 2 3 4
    0 i j k l 0
    0 m n o p 0         its element (0, 0) meets  0 0   its element (1, 1) meets  a c
    0 0 0 0 0 0                                   0 f                             i k

So the element (a, b) of a kernel meets the pixels (a + 2 i, b + 2 j): a slice of the padded image with the stride as
its step. The sum of all products of three numbers that meet,

    T(x, w, g) = sum of  x[n, c, a + s i - p, b + s j - p]  w[k, c, a, b]  g[n, k, i, j],

is linear in x, in w and in g. Its gradient with respect to g is `conv`, that with respect to x is `conv_transpose`, and
that with respect to w is `conv_weight`. So the gradient of each of the three products is made of the other two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = Any
Pair = tuple[int, int]
Shape = tuple[int, ...]


def places(size: Shape, kernel: Shape, stride: Pair, padding: Pair) -> tuple[int, ...]:
    """Return at how many rows and columns a kernel fits into a padded image of `size`; the rest is not used.

    Examples
    --------
    >>> places((28, 28), (5, 5), (2, 2), (2, 2))
    (14, 14)
    """
    return tuple([(n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True)])


class Convolutions:
    """The three products, on arrays of one dtype, float32 or wider; they return a new array.

    Each method gets the stride and the padding as a pair, for rows and for columns. The shapes are x (N, C, H, W),
    w (K, C, h, w) and g (N, K, I, J), where (I, J) is `places` of the image and the kernel. A size may be 0.
    """

    xp: Any

    def conv(self, x: Array, w: Array, stride: Pair, padding: Pair) -> Array:
        """Return y (N, K, I, J): y[n, k, i, j] = sum over c, a, b of x[n, c, a + s i - p, b + s j - p] w[k, c, a, b].

        Pixels outside of the image are 0. The kernel is not turned around: strictly, this is a cross-correlation.
        """
        padded = self._padded(x, padding)
        size = places(x.shape[2:], w.shape[2:], stride, padding)
        y = self.xp.zeros((len(x), len(w), *size), x.dtype)
        for a, b, met in _elements(w.shape[2:], size, stride):
            y += self.einsum("ncij,kc->nkij", padded[met], w[:, :, a, b])  # type: ignore[attr-defined]
        return y

    def conv_transpose(self, g: Array, w: Array, size: Pair, stride: Pair, padding: Pair) -> Array:
        """Return x (N, C, H, W) of `size` (H, W): each g[n, k, i, j] adds g w[k] to the pixels under the kernel.

        It is the adjoint of `conv`: the sum of conv(x, w) g is the sum of x conv_transpose(g, w).
        """
        (p, q), (rows, columns) = padding, size
        padded = self.xp.zeros((len(g), w.shape[1], rows + 2 * p, columns + 2 * q), g.dtype)
        for a, b, met in _elements(w.shape[2:], g.shape[2:], stride):
            padded[met] += self.einsum("nkij,kc->ncij", g, w[:, :, a, b])  # type: ignore[attr-defined]
        return padded[:, :, p : p + rows, q : q + columns]

    def conv_weight(self, g: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
        """Return w (K, C, h, w) of `kernel` (h, w): w[k, c, a, b] is the sum of g[:, k] and the pixels that it met.

        The sum of conv(x, w) g is the sum of w conv_weight(g, x).
        """
        padded = self._padded(x, padding)
        w = self.xp.zeros((g.shape[1], x.shape[1], *kernel), g.dtype)
        for a, b, met in _elements(kernel, g.shape[2:], stride):
            w[:, :, a, b] = self.einsum("nkij,ncij->kc", g, padded[met])  # type: ignore[attr-defined]
        return w

    def by_unit(self, g: Array) -> Array:
        """Return g, perhaps as a copy in the order of memory in which `conv_transpose` and `conv_weight` read it."""
        return g

    def _padded(self, x: Array, padding: Pair) -> Array:
        (n, c, rows, columns), (p, q) = x.shape, padding
        padded = self.xp.zeros((n, c, rows + 2 * p, columns + 2 * q), x.dtype)
        padded[:, :, p : p + rows, q : q + columns] = x
        return padded


def _elements(kernel: Shape, size: Shape, stride: Pair) -> Iterator[tuple[int, int, Any]]:
    """Yield the place (a, b) of each element of a kernel, and the index of the pixels that it meets."""
    (rows, columns), (s, t) = size, stride
    for a, b in np.ndindex(*kernel):
        yield a, b, (..., slice(a, a + s * rows, s), slice(b, b + t * columns, t))
