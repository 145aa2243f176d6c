"""Pictures made of characters: images and histograms in a terminal.

A character cell is about twice as high as it is wide, so each shows two pixels of an image, one above the other: an
upper half block in the colour of the upper pixel, on a background in the colour of the lower one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from tinygan.pictures.sheets import BROKEN_COLOUR, colours_of

STYLES = ("plain", "256", "24-bit")
RAMP = " .:-=+*#%@"  # from black to white, or from few to many
BARS = " ▁▂▃▄▅▆▇█"  # heights of a histogram
BROKEN = "!"  # a pixel that is not finite, in the plain style


def style_of(stream: TextIO | None, environment: Mapping[str, str]) -> str:
    """Return the style that a stream can show.

    Parameters
    ----------
    stream : file
    environment : mapping
        ``NO_COLOR``, ``TERM`` and ``COLORTERM`` decide, as in ``os.environ``.

    Returns
    -------
    {"plain", "256", "24-bit"}
        Plain characters if the stream is not a terminal, wants no colours, or cannot encode a half block.

    Examples
    --------
    >>> import io
    >>> style_of(io.StringIO(), {"COLORTERM": "truecolor"})
    'plain'
    """
    if stream is None or not stream.isatty() or environment.get("NO_COLOR"):
        return "plain"
    if environment.get("TERM", "dumb") == "dumb" or not can_encode(stream, "▀"):
        return "plain"
    return "24-bit" if environment.get("COLORTERM") in ("truecolor", "24bit") else "256"


def can_encode(stream: TextIO, text: str) -> bool:
    """Return whether a stream can write these characters."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def draw_images(
    images: NDArray[np.floating],
    image_shape: Sequence[int],
    columns: int,
    style: str = "plain",
    shown: tuple[float, float] = (0.0, 1.0),
) -> tuple[list[str], int, int]:
    """Draw the first images side by side, as many as fit.

    Parameters
    ----------
    images : array of floats, shape (N, product of image_shape)
        As in `tinygan.pictures.sheets.save_sheet`.
    image_shape : (h, w), (h, w, 1) or (h, w, 3)
    columns : int
        Of the whole picture, at least 1. An image that is wider is made smaller: a block of pixels becomes its mean.
    style : {"plain", "256", "24-bit"}
        See `style_of`.
    shown : (low, high)
        The numbers for black and white: `Dataset.shown`.

    Returns
    -------
    lines : list of str
    width : int
        Columns of the picture; control sequences in the lines take none.
    count : int
        How many images are drawn.

    Examples
    --------
    >>> lines, width, count = draw_images(np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]]), (2, 2), 80)
    >>> lines, width, count
    ([' @ =='], 5, 2)
    """
    tiles = colours_of(images, image_shape, shown)
    shrink = math.ceil(tiles.shape[2] / columns)
    tiles = _smaller(tiles, shrink)
    width = tiles.shape[2]
    count = min(len(tiles), (columns + 1) // (width + 1))
    pair = _plain_pair if style == "plain" else _coloured_pair
    lines = []
    for top in range(0, tiles.shape[1], 2):
        cells = []
        for tile in tiles[:count]:
            lower = tile[top + 1] if top + 1 < len(tile) else [None] * width
            cells.append(pair(tile[top], lower, style))
        lines.append(" ".join(cells))
    return lines, count * (width + 1) - 1, count


def draw_histogram(values: NDArray[np.floating], low: float, high: float, columns: int, style: str = "plain") -> str:
    """Draw how many values lie in each of `columns` equal parts of the interval from `low` to `high`, in one line.

    Parameters
    ----------
    values : array of floats
        Those outside of the interval, and those that are not finite, are left out.
    low, high : float
        If they are equal, an interval around them is drawn; if one is not finite, the interval from -1 to 1.
    columns : int
    style : str
        As in `draw_images`; "plain" draws no bars but darker and lighter characters.

    Examples
    --------
    >>> draw_histogram(np.array([0.0, 0.1, 0.9, 1.0, 1.0]), 0, 1, 4)
    '*  @'
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = -1.0, 1.0
    size = max(abs(low), abs(high), 1.0)
    if high - low < 1e-9 * size:  # no room for columns
        low, high = low - size / 2, high + size / 2
    flat = np.ravel(values).astype(np.float64)
    counts = np.histogram(flat[np.isfinite(flat)], columns, (low, high))[0]
    signs = RAMP if style == "plain" else BARS
    return "".join(signs[math.ceil((len(signs) - 1) * count / max(counts.max(), 1))] for count in counts)


def _smaller(tiles: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return the images with each block of pixels replaced by its mean; blocks at the edges may be cut."""
    if factor <= 1:
        return tiles
    rows, columns = (np.arange(0, size, factor) for size in tiles.shape[1:3])
    sums = np.add.reduceat(np.add.reduceat(tiles.astype(np.float64), rows, axis=1), columns, axis=2)
    ones = np.ones(tiles.shape[1:3])
    sizes = np.add.reduceat(np.add.reduceat(ones, rows, axis=0), columns, axis=1)
    return np.rint(sums / sizes[None, :, :, None]).astype(np.uint8)


def _plain_pair(upper: Any, lower: Any, style: str) -> str:
    """Return one character for each pair of pixels."""
    found = []
    for pixels in zip(upper, lower, strict=True):
        present = [pixel for pixel in pixels if pixel is not None]
        if any(tuple(pixel) == BROKEN_COLOUR for pixel in present):
            found.append(BROKEN)
        else:
            found.append(RAMP[round(float(np.mean(present)) / 255 * (len(RAMP) - 1))])
    return "".join(found)


def _coloured_pair(upper: Any, lower: Any, style: str) -> str:
    """Return a half block for each pair of pixels, in their colours."""
    text, last = "", ""
    for above, below in zip(upper, lower, strict=True):
        background = "49" if below is None else f"48;{_code(below, style)}"
        codes = f"\x1b[38;{_code(above, style)};{background}m"
        text += ("" if codes == last else codes) + "▀"
        last = codes
    return text + "\x1b[0m"


def _code(pixel: Any, style: str) -> str:
    """Return the number of a colour in a control sequence."""
    red, green, blue = (int(level) for level in pixel)
    if style == "24-bit":
        return f"2;{red};{green};{blue}"
    if red == green == blue:  # 24 greys between black and white
        grey = round(red / 255 * 25)
        return f"5;{16 if grey == 0 else 231 if grey == 25 else 231 + grey}"
    red, green, blue = (round(level / 255 * 5) for level in (red, green, blue))
    return f"5;{16 + 36 * red + 6 * green + blue}"
