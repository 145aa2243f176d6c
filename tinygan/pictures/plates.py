"""Plates: rows and columns of images in a printed order, with captions, as the figures of samples in a paper.

`tinygan.pictures.sheets` draws the sheets of a run, which have no order and no text. The same images give the same
bytes.
"""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygan.errors import RunError, ShapeError
from tinygan.pictures.line import default_settings
from tinygan.runs.atomic import atomic_write
from tinygan.runs.plain_files import refused

GAP, FRAME = 6, 3  # pixels between two images, and of a frame: half a gap, so that it touches no other image
PAPER, FRAME_COLOUR = (255, 255, 255), (255, 190, 0)
SMALLEST_TILE = 64  # pixels
DPI, LINE = 100, 18  # pixels to an inch, and from one line of text to the next
LETTER = 8  # pixels that a letter takes at most, on average

Picture = NDArray[np.uint8]


def arrange(tiles: Picture, framed: Collection[int] = ()) -> Picture:
    """Put images into rows and columns.

    Parameters
    ----------
    tiles : uint8 array of shape (rows, columns, h, w, 3)
        Colours. Small images are enlarged: each pixel becomes a square.
    framed : collection of int
        The columns whose images have a frame.

    Returns
    -------
    uint8 array of shape (H, W, 3)

    Raises
    ------
    ShapeError
        The tiles have another shape, or there are none.

    Examples
    --------
    >>> arrange(np.zeros((4, 6, 28, 28, 3), np.uint8), framed=[5]).shape  # tiles of 84, with gaps of 6
    (366, 546, 3)
    """
    if tiles.ndim != 5 or tiles.shape[4] != 3 or tiles.size == 0:
        raise ShapeError(f"arrange: tiles has shape {tiles.shape}; expected (rows, columns, h, w, 3), none of them 0")
    scale = -(-SMALLEST_TILE // max(tiles.shape[2:4]))
    tiles = tiles.repeat(scale, axis=2).repeat(scale, axis=3)
    rows, columns, height, width, _ = tiles.shape
    picture = np.empty((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), np.uint8)
    picture[:] = PAPER
    for row, column in np.ndindex(rows, columns):
        top, left = row * (height + GAP) + GAP, column * (width + GAP) + GAP
        if column in framed:
            picture[top - FRAME : top + height + FRAME, left - FRAME : left + width + FRAME] = FRAME_COLOUR
        picture[top : top + height, left : left + width] = tiles[row, column]
    return picture


def save_plate(path: str | os.PathLike[str], panels: Sequence[tuple[str, Picture]]) -> None:
    """Draw pictures with a caption below each, two side by side, into one PNG file.

    Parameters
    ----------
    path : path
        The file to write or replace. Its folder must exist.
    panels : sequence of (caption, picture)
        At least one; pictures as `arrange` returns them. Their pixels are neither scaled nor mixed.

    Raises
    ------
    ShapeError
        There is no panel.
    RunError
        The system refuses to write the file; an earlier file is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from matplotlib.image import imread
    >>> picture = arrange(np.zeros((2, 3, 8, 8, 3), np.uint8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_plate(Path(folder, "plate.png"), [("zeros", picture)])
    ...     imread(Path(folder, "plate.png")).shape[:2]  # the picture of 146 x 216, and one line of text
    (170, 216)
    """
    if not panels:
        raise ShapeError("save_plate: panels is empty; expected a caption and a picture at least")
    _write(path, _png(panels))


def save_animation(path: str | os.PathLike[str], frames: Sequence[Picture], milliseconds: int) -> None:
    """Write pictures of one size as a GIF that repeats for ever.

    Grey pictures keep their levels. In others, the same 256 colours replace all colours of all frames.

    Parameters
    ----------
    path : path
        The file to write or replace. Its folder must exist.
    frames : sequence of uint8 arrays of shape (H, W, 3)
    milliseconds : int
        The time of a frame; the format rounds it to hundredths of a second.

    Raises
    ------
    ShapeError
        There is no frame, or their sizes differ.
    RunError
        The system refuses to write the file; an earlier file is unchanged.
    """
    from PIL import Image  # comes with matplotlib

    if len({frame.shape for frame in frames}) != 1:
        raise ShapeError("save_animation: expected one frame or more, all of one size")
    if all((frame == frame[..., :1]).all() for frame in frames):
        first, *others = [Image.fromarray(frame[..., 0]) for frame in frames]
    else:
        palette = Image.fromarray(np.concatenate(frames)).quantize(256)
        pictures = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
        first, *others = pictures
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0, optimize=False)
    _write(path, buffer.getvalue())


def _write(path: str | os.PathLike[str], content: bytes) -> None:
    advice = "free space, correct the permissions, or name a file in a folder that exists"
    with refused(RunError, f"{Path(path)}: cannot be written", advice):
        atomic_write(path, [content])


def _png(panels: Sequence[tuple[str, Picture]]) -> bytes:
    from matplotlib.figure import Figure

    cells = [
        (textwrap.wrap(caption, max(1, picture.shape[1] // LETTER)), picture) for caption, picture in panels
    ]
    rows = [cells[i : i + 2] for i in range(0, len(cells), 2)]
    width = max(picture.shape[1] for _, picture in cells)
    heights = [max(picture.shape[0] + LINE * len(lines) + GAP for lines, picture in row) for row in rows]
    with default_settings():
        size = (width * len(rows[0]) / DPI, sum(heights) / DPI)
        figure = Figure(figsize=size, dpi=DPI)
        bottom: Any = sum(heights)
        for row, height in zip(rows, heights, strict=True):
            top, bottom = bottom, bottom - height
            for column, (lines, picture) in enumerate(row):
                figure.figimage(picture, column * width, top - picture.shape[0], resize=False)
                for number, line in enumerate(lines, start=1):
                    x, y = column * width + GAP, top - picture.shape[0] - LINE * number + 4
                    figure.text(x / (DPI * size[0]), y / (DPI * size[1]), line, fontsize=9, parse_math=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
