"""The products of a convolution of stride 1 by the convolution theorem, with the transforms as matrix products.

Along one axis, y[i] = sum over m of x[i + m] w[m], and the theorem says: the transform of y is that of x times the
conjugate of that of w, for each frequency. So a large kernel costs no more than a small one.

- *Length.* A transform takes the axis for a circle of F places, and F must keep both ends of the image apart. The
  padding p is enough, F = H + p, because a place outside of the image is met again only as another place outside::

      H = 4, p = 2, F = 6        - - 0 1 2 3 - -     the kernel moves over these places
      the same on the circle     4 5 0 1 2 3 4 5     4 and 5 are empty; both ends may share them

  The first element of the kernel begins at place -p, so its elements have the places -p ... k - 1 - p.
- *Transforms.* An image has some 30 rows, so a fast transform would gain nothing. A matrix of cosines and sines
  transforms the columns, and another the rows. An image is real: of its frequencies along the columns, 0 ... F // 2
  are enough, because the others are their conjugates.
- *Products.* Pairs of real numbers stand for complex ones. For each frequency, the sum over the channels of
  conj(w) x is one matrix product, with x_re and x_im one below the other::

      |  w_re  w_im |  | x_re |
      | -w_im  w_re |  | x_im |

  The gradients with respect to x and w are the products with the same matrices transposed.

Each step is one `numpy.matmul` on views. A transform is an array (frequency, re or im, channel, batch); the frequency
along the columns comes first. Its rounding errors are relative to the largest numbers of the image, not to those that
a kernel meets: a result that is exactly 0 in a direct product may be 1e-7 here. A nan spreads over its image.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tinygan.backend.convolutions import Array, Pair


class Matrices(NamedTuple):
    """The transforms that one geometry needs. `image` and `result` are each a matrix for columns, one for rows, and
    the two of the way back; `kernel` is one matrix for both axes, and `from_kernel` that of the way back.
    """

    image: tuple[Array, ...]
    result: tuple[Array, ...]
    kernel: Array
    from_kernel: Array


def conv(x: Array, w: Array, padding: Pair) -> Array:
    """Return (K, I, J, N) for x (C, H, W, N) and w (K, C, h, w)."""
    m = _matrices(x.shape[1:3], w.shape[2:], padding)
    return _back(_of_weight(w, m.kernel) @ _forth(x, *m.image[:2]), *m.result[2:])


def conv_transpose(g: Array, w: Array, size: Pair, padding: Pair) -> Array:
    """Return (C, H, W, N) for g (K, I, J, N) and w (K, C, h, w)."""
    m = _matrices(size, w.shape[2:], padding)
    return _back(_of_weight(w, m.kernel).swapaxes(1, 2) @ _forth(g, *m.result[:2]), *m.image[2:])


def conv_weight(g: Array, x: Array, kernel: Pair, padding: Pair) -> Array:
    """Return (K, C, h, w) for g (K, I, J, N) and x (C, H, W, N)."""
    m = _matrices(x.shape[1:3], kernel, padding)
    z = _forth(g, *m.result[:2]) @ _forth(x, *m.image[:2]).swapaxes(1, 2)
    z = z.reshape(-1, len(g), 2, len(x)).transpose(2, 1, 0, 3)
    w: Array = m.from_kernel[0] @ z[0] + m.from_kernel[1] @ z[1]
    return w.swapaxes(1, 2).reshape(len(g), len(x), *kernel)


def _forth(x: Array, columns: Array, rows: Array) -> Array:
    """Return the transform of x (C, H, W, N) as matrices (frequencies, 2 C, N)."""
    channels, height, _, batch = x.shape
    z = (columns @ x).reshape(channels, 2 * height, -1, batch).transpose(2, 0, 1, 3)
    out = np.empty((len(z), len(rows), channels, batch), x.dtype)
    np.matmul(rows, z, out=out.swapaxes(1, 2))
    return out.reshape(-1, 2 * channels, batch)


def _back(z: Array, columns: Array, rows: Array) -> Array:
    """Return the x (C, H, W, N) of which z is the transform."""
    frequencies, channels, batch = columns.shape[1] // 2, z.shape[1] // 2, z.shape[2]
    z = z.reshape(frequencies, -1, channels, batch).swapaxes(1, 2)
    x = np.empty((channels, len(rows), frequencies, batch), z.dtype)
    np.matmul(rows, z, out=x.transpose(2, 0, 1, 3))
    return columns @ x.reshape(channels, -1, 2 * frequencies, batch)


def _of_weight(w: Array, kernel: Array) -> Array:
    """Return the matrices (frequencies, 2 K, 2 C) of the head of this file."""
    units, channels = w.shape[:2]
    elements = np.ascontiguousarray(w.reshape(units, channels, -1).swapaxes(1, 2))
    out = np.empty((kernel.shape[1], units, 2, channels), w.dtype)
    for half in (0, 1):
        np.matmul(kernel[half], elements, out=out[:, :, half].swapaxes(0, 1))
    return out.reshape(-1, 2 * units, 2 * channels)


@lru_cache(64)
def _matrices(size: Pair, kernel: Pair, padding: Pair) -> Matrices:
    lengths = [n + p for n, p in zip(size, padding, strict=True)]
    results = [range(n + p - k + 1) for n, p, k in zip(lengths, padding, kernel, strict=True)]
    share = np.full(lengths[1] // 2 + 1, 2.0)  # the conjugates are left out
    share[0] = 1
    if lengths[1] % 2 == 0:
        share[-1] = 1
    share /= lengths[0] * lengths[1]

    def angles(axis: int, frequencies: int, where: range) -> Array:
        return 2 * np.pi / lengths[axis] * (np.outer(range(frequencies), where) % lengths[axis])

    def of_planes(rows: range, columns: range) -> tuple[Array, ...]:
        angle = angles(1, len(share), columns)
        across = np.stack([np.cos(angle), -np.sin(angle)])  # (re or im, frequency, column)
        angle = angles(0, lengths[0], rows)
        cos, sin = np.cos(angle), np.sin(angle)
        down = np.stack([np.stack([cos, sin], 2), np.stack([-sin, cos], 2)], 1)  # (frequency, re or im, row, re or im)
        down = down.reshape(2 * lengths[0], 2 * len(rows))
        back = (across * share[:, None]).reshape(-1, len(columns)).T
        return _single(across.reshape(-1, len(columns))), _single(down), _single(back), _single(down.T)

    elements = [range(-p, k - p) for k, p in zip(kernel, padding, strict=True)]
    angle = angles(1, len(share), elements[1])[:, None, None, :] + angles(0, lengths[0], elements[0])[:, :, None]
    cos, sin = (part.reshape(len(share), lengths[0], -1) for part in (np.cos(angle), np.sin(angle)))
    both = np.stack([np.stack([cos, sin], 2), np.stack([-sin, cos], 2)])  # (re or im of x, frequency, re or im of y)
    shape = 2, -1, kernel[0] * kernel[1]
    back = (both * share[:, None, None, None]).reshape(shape).swapaxes(1, 2)
    return Matrices(
        of_planes(range(size[0]), range(size[1])), of_planes(*results), _single(both.reshape(shape)), _single(back)
    )


def _single(matrix: Array) -> Array:
    return np.ascontiguousarray(matrix, np.float32)
