"""Loops over images (channel, row, column, batch), for `NumbaImages`. The innermost one runs along the batch.

Here are the transforms of Winograd's convolution; see `numba_images`. Along one axis they are, for tiles of 3 pixels d,
2 results y and 2 weights g::

    d:  d0 - d1, d1, d2 - d1        m:  y0 = m0 + m1, y1 = m1 + m2        g:  g0, g0 + g1, g1
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygan.backend.compiled import compiled

Array = Any
Pair = tuple[int, int]


@compiled
def conv_tiles(x: Array, top: int, left: int, room: Array, v: Array) -> None:
    """Transform the pixels of some rows of tiles, of which the first begins at pixel (-left, top).

    v (3, 3, C, 2, 2, R, T, N): the place in the tile, the channel, the phase, the tiles. Outside of x, pixels are 0.
    """
    channels, height, width, batch = x.shape
    rows, tiles = v.shape[5:7]
    for c in range(channels):
        for row in range(rows):
            for a in range(2):
                for r in range(3):
                    i = top + 4 * row + a + 2 * r
                    for j in range(room.shape[1]):
                        if 0 <= i < height and 0 <= j - left < width:
                            for n in range(batch):
                                room[r, j, n] = x[c, i, j - left, n]
                        else:
                            for n in range(batch):
                                room[r, j, n] = 0
                for r in range(0, 3, 2):
                    for j in range(room.shape[1]):
                        for n in range(batch):
                            room[r, j, n] -= room[1, j, n]
                for b in range(2):
                    for r in range(3):
                        for t in range(tiles):
                            j = 4 * t + b
                            for n in range(batch):
                                v[r, 0, c, a, b, row, t, n] = room[r, j, n] - room[r, j + 2, n]
                            for n in range(batch):
                                v[r, 1, c, a, b, row, t, n] = room[r, j + 2, n]
                            for n in range(batch):
                                v[r, 2, c, a, b, row, t, n] = room[r, j + 4, n] - room[r, j + 2, n]


@compiled
def conv_pixels(v: Array, top: int, left: int, room: Array, x: Array, begins: bool) -> None:
    """Write to x what each of its pixels gave to v in `conv_tiles`: the adjoint. Tiles share rows, which are added."""
    channels, height, width, batch = x.shape
    rows, tiles = v.shape[5:7]
    for c in range(channels):
        for row in range(rows):
            for a in range(2):
                for r in range(3):
                    for b in range(2):
                        for t in range(tiles):
                            j = 4 * t + b
                            for n in range(batch):
                                v0, v2 = v[r, 0, c, a, b, row, t, n], v[r, 2, c, a, b, row, t, n]
                                room[r, j + 2, n] = v[r, 1, c, a, b, row, t, n] - v0 - v2
                            if t == 0:
                                for n in range(batch):
                                    room[r, j, n] = v[r, 0, c, a, b, row, t, n]
                            else:
                                for n in range(batch):
                                    room[r, j, n] = v[r, 0, c, a, b, row, t, n] + v[r, 2, c, a, b, row, t - 1, n]
                        for n in range(batch):
                            room[r, 4 * tiles + b, n] = v[r, 2, c, a, b, row, tiles - 1, n]
                for r in range(3):
                    i = top + 4 * row + a + 2 * r
                    if 0 <= i < height:
                        for j in range(max(0, -left), min(room.shape[1] - left, width)):
                            if r == 1:
                                for n in range(batch):
                                    x[c, i, j, n] = room[1, j + left, n] - room[0, j + left, n] - room[2, j + left, n]
                            elif r == 0 and not (begins and row == 0):
                                for n in range(batch):
                                    x[c, i, j, n] += room[r, j + left, n]
                            else:
                                for n in range(batch):
                                    x[c, i, j, n] = room[r, j + left, n]


@compiled
def conv_results(m: Array, first: int, y: Array) -> None:
    """Set the rows of y (K, I, J, N) from `first` on from m (3, 3, K, R, T, N)."""
    units, rows, columns, batch = y.shape
    for k in range(units):
        for i in range(first, min(first + 2 * m.shape[3], rows)):
            row, r = (i - first) // 2, i % 2
            for j in range(columns):
                t, e = j // 2, j % 2
                for n in range(batch):
                    y[k, i, j, n] = (m[r, e, k, row, t, n] + m[r, e + 1, k, row, t, n]) + (
                        m[r + 1, e, k, row, t, n] + m[r + 1, e + 1, k, row, t, n]
                    )


@compiled
def conv_slopes(g: Array, first: int, m: Array) -> None:
    """Set m (3, 3, K, R, T, N) from the rows of g (K, I, J, N) from `first` on: the adjoint of `conv_results`."""
    units, rows, columns, batch = g.shape
    for k in range(units):
        for r in range(3):
            for e in range(3):
                for row in range(m.shape[3]):
                    for t in range(m.shape[4]):
                        i, j = first + 2 * row + r // 2, 2 * t + e // 2
                        if i < rows and j < columns:
                            for n in range(batch):
                                m[r, e, k, row, t, n] = g[k, i, j, n]
                        else:
                            for n in range(batch):
                                m[r, e, k, row, t, n] = 0
                        if e == 1 and i < rows and j + 1 < columns:
                            for n in range(batch):
                                m[r, e, k, row, t, n] += g[k, i, j + 1, n]
                        if r == 1 and i + 1 < rows:
                            for q in range(j, min(j + 1 + e % 2, columns)):
                                for n in range(batch):
                                    m[r, e, k, row, t, n] += g[k, i + 1, q, n]


@compiled
def conv_kernels(w: Array, u: Array) -> None:
    """Transform the weights w (K, C, 4, 4) into u (3, 3, K, C, 2, 2)."""
    for r in range(3):
        for e in range(3):
            i, j, down, right = r // 2 * 2, e // 2 * 2, r % 2 * 2, e % 2 * 2
            for k in range(w.shape[0]):
                for c in range(w.shape[1]):
                    for a in range(2):
                        for b in range(2):
                            total = w[k, c, i + a, j + b]
                            if right:
                                total += w[k, c, i + a, j + b + 2]
                            if down:
                                total += w[k, c, i + a + 2, j + b]
                            if down and right:
                                total += w[k, c, i + a + 2, j + b + 2]
                            u[r, e, k, c, a, b] = total


@compiled
def conv_weights(u: Array, w: Array) -> None:
    """Set w (K, C, 4, 4) from u (3, 3, K, C, 2, 2): the adjoint of `conv_kernels`."""
    for k in range(w.shape[0]):
        for c in range(w.shape[1]):
            for i in range(4):
                for j in range(4):
                    r, a, e, b = i // 2, i % 2, j // 2, j % 2
                    w[k, c, i, j] = (u[r, e, k, c, a, b] + u[r, e + 1, k, c, a, b]) + (
                        u[r + 1, e, k, c, a, b] + u[r + 1, e + 1, k, c, a, b]
                    )


# ---------------------------------------------------------------------- batch normalization

_LANES = 64  # partial sums side by side: the processor adds many at once, and none becomes large


@compiled
def batch_norm(z: Array, gain: Array, bias: Array, eps: float, y: Array, mean: Array, variance: Array) -> None:
    """Normalize the channels of z (a, C, b): y = gain (z - m) / (v + eps)^(1/2) + bias."""
    outer, channels, inner = z.shape
    sums, squares = np.empty(_LANES, z.dtype), np.empty(_LANES, z.dtype)
    for c in range(channels):
        for n in range(_LANES):
            sums[n] = squares[n] = 0
        for i in range(outer):
            for first in range(0, inner, _LANES):
                part = z[i, c, first : first + _LANES]
                for n in range(part.size):
                    sums[n] += part[n]
        total = 0.0
        for n in range(_LANES):
            total += sums[n]
        mean[c] = total / (outer * inner)
        m = mean[c]
        for i in range(outer):
            for first in range(0, inner, _LANES):
                part = z[i, c, first : first + _LANES]
                for n in range(part.size):
                    squares[n] += (part[n] - m) ** 2
        total = 0.0
        for n in range(_LANES):
            total += squares[n]
        variance[c] = total / (outer * inner)
        factor = gain[c] / np.sqrt(variance[c] + z.dtype.type(eps))
        term = bias[c]
        for i in range(outer):
            for n in range(inner):
                y[i, c, n] = (z[i, c, n] - m) * factor + term


@compiled
def batch_norm_backward(
    g: Array, z: Array, gain: Array, mean: Array, rate: Array, gx: Array, gg: Array, gb: Array
) -> None:
    """Set gx, gg and gb from g, z, gx (a, C, b) and rate = 1 / (v + eps)^(1/2)."""
    outer, channels, inner = z.shape
    sums, products = np.empty(_LANES, z.dtype), np.empty(_LANES, z.dtype)
    count = z.dtype.type(outer * inner)
    for c in range(channels):
        m = mean[c]
        for n in range(_LANES):
            sums[n] = products[n] = 0
        for i in range(outer):
            for first in range(0, inner, _LANES):
                part, slopes = z[i, c, first : first + _LANES], g[i, c, first : first + _LANES]
                for n in range(part.size):
                    sums[n] += slopes[n]
                for n in range(part.size):
                    products[n] += slopes[n] * (part[n] - m)
        total = both = 0.0
        for n in range(_LANES):
            total += sums[n]
            both += products[n]
        gb[c], gg[c] = total, both * rate[c]
        shift, slope, factor = gb[c] / count, gg[c] * rate[c] / count, rate[c] * gain[c]
        for i in range(outer):
            for n in range(inner):
                gx[i, c, n] = (g[i, c, n] - shift - (z[i, c, n] - m) * slope) * factor


# ---------------------------------------------------------------------- pooling


@compiled
def max_pool(x: Array, size: Pair, stride: Pair, padding: Pair, y: Array, place: Array) -> None:
    """Set y and place (C, I, J, N) to the maximum of each window of x, and to its place, row by row."""
    channels, height, width, batch = x.shape
    for c in range(channels):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                top, left = i * stride[0] - padding[0], j * stride[1] - padding[1]
                begins = True
                for a in range(max(0, -top), min(size[0], height - top)):
                    for b in range(max(0, -left), min(size[1], width - left)):
                        code = place.dtype.type(a * size[1] + b)
                        if begins:
                            for n in range(batch):
                                y[c, i, j, n], place[c, i, j, n] = x[c, top + a, left + b, n], code
                        else:
                            for n in range(batch):
                                value, best = x[c, top + a, left + b, n], y[c, i, j, n]
                                wins = value > best or (value != value and best == best)
                                y[c, i, j, n] = value if wins else best
                                place[c, i, j, n] = code if wins else place[c, i, j, n]
                        begins = False
