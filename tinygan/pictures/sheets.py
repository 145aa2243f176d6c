"""Sample sheets: many small images on one picture, one file for each epoch.

By default 0 is black and 1 is white. A pixel that is nan or infinite is red, so the sheet of a broken run shows where
it broke. The same images give the same bytes.
"""

from __future__ import annotations

import io
import math
import operator
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinygan.data.dataset import picture_shape
from tinygan.data.scaling import as_pixels
from tinygan.errors import DtypeError, RunError, ShapeError
from tinygan.runs.atomic import atomic_write
from tinygan.runs.plain_files import refused
from tinygan.runs.run_folder import RunFolder

GAP = 2  # pixels between two images, and around all of them
GAP_COLOUR = (96, 96, 96)  # between black and white, so that the edge of a black image shows
BROKEN_COLOUR = (255, 0, 0)  # of a pixel that is not finite
SMALLEST_TILE = 32  # pixels: at this size an 8x8 digit is easy to see

_SHEET_NAME = re.compile(r"epoch-([0-9]{6,})\.png")


def save_sheet(
    path: str | os.PathLike[str],
    images: NDArray[np.floating],
    image_shape: Sequence[int],
    shown: tuple[float, float] = (0.0, 1.0),
    columns: int | None = None,
) -> None:
    """Draw images side by side, row by row, into one PNG file.

    Parameters
    ----------
    path : path
        The file to write or replace. Its folder must exist.
    images : numpy.ndarray of floats, shape (N, product of image_shape)
        Pixels, by default from 0 (black) to 1 (white). Values outside are drawn as the nearer of the two; nan and
        infinity are red.
    image_shape : (h, w), (h, w, 1) or (h, w, 3)
        Grey or red-green-blue images, as in `tinygan.data.Dataset`.
    shown : (low, high)
        The numbers for black and white: `Dataset.shown`.
    columns : int, optional
        By default about as many as rows.

    Raises
    ------
    ShapeError
        There are no images, or they do not have this shape.
    DtypeError
        The images are not a NumPy array of floats.
    RunError
        The system refuses to write the file; an earlier file is unchanged.

    Examples
    --------
    >>> import tempfile
    >>> from matplotlib.image import imread
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_sheet(Path(folder, "sheet.png"), np.zeros((6, 64)), (8, 8))
    ...     imread(Path(folder, "sheet.png")).shape  # 2 rows of 3 images of 32 pixels, with gaps of 2
    (70, 104, 3)
    """
    tiles = colours_of(images, image_shape, shown)
    columns = columns or math.isqrt(len(tiles) - 1) + 1
    scale = -(-SMALLEST_TILE // max(tiles.shape[1:3]))
    png = _png(_grid(tiles, columns, scale))
    advice = "free space, correct the permissions, or name a file in a folder that exists"
    with refused(RunError, f"{Path(path)}: cannot be written", advice):
        atomic_write(path, [png])


def colours_of(
    images: NDArray[np.floating], image_shape: Sequence[int], shown: tuple[float, float] = (0.0, 1.0)
) -> NDArray[np.uint8]:
    """Return the colours of images, shape (N, h, w, 3), from 0 to 255; see `save_sheet` for the arguments.

    Examples
    --------
    >>> colours_of(np.array([[0.5, np.nan]]), (1, 2)).tolist()
    [[[[128, 128, 128], [255, 0, 0]]]]
    """
    return _levels(as_pixels(_as_tiles(images, tuple(image_shape)), shown))


def sheet_path(run: RunFolder, epoch: int) -> Path:
    """Return the path of the sample sheet of an epoch; 0 is before training.

    Raises
    ------
    RunError
        The epoch is negative.

    Examples
    --------
    >>> sheet_path(RunFolder("run"), 10).as_posix()
    'run/samples/epoch-000010.png'
    """
    epoch = operator.index(epoch)
    if epoch < 0:
        raise RunError(f"{run.samples_path}: no sample sheet belongs to epoch {epoch}; expected 0 or more")
    return run.samples_path / f"epoch-{epoch:06d}.png"


def data_path(run: RunFolder) -> Path:
    """Return the path of the sheet of training images, which a report shows beside the samples.

    Examples
    --------
    >>> data_path(RunFolder("run")).as_posix()
    'run/samples/data.png'
    """
    return run.samples_path / "data.png"


def list_sheets(run: RunFolder) -> list[tuple[int, Path]]:
    """Find the sample sheets of a run.

    Returns
    -------
    list of (epoch, path)
        In the order of the epochs. Files with other names are ignored; a missing folder is empty.

    Raises
    ------
    RunError
        The folder cannot be read.

    Examples
    --------
    >>> list_sheets(RunFolder("no-such-run"))
    []
    """
    try:
        names = set(os.listdir(run.samples_path))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{run.samples_path}: cannot be read: {error.strerror}; correct its permissions") from error
    epochs = sorted(int(match[1]) for match in map(_SHEET_NAME.fullmatch, names) if match)
    # A name with more zeros than `sheet_path` writes belongs to another program.
    sheets = [(epoch, sheet_path(run, epoch)) for epoch in epochs]
    return [(epoch, path) for epoch, path in sheets if path.name in names]


def _as_tiles(images: NDArray[np.floating], image_shape: tuple[int, ...]) -> NDArray[np.floating]:
    """Return the images as (N, h, w, 1 or 3), or refuse them."""
    if not isinstance(images, np.ndarray):
        raise DtypeError(
            f"save_sheet: images is a {type(images).__name__}; expected a NumPy array: take .numpy() of a tensor, "
            "numpy.array(...) of a list"
        )
    if not np.issubdtype(images.dtype, np.floating):
        raise DtypeError(
            f"save_sheet: images holds {images.dtype}; expected floats from 0 to 1: divide whole grey levels by 255"
        )
    if picture_shape(image_shape, "save_sheet") == (1,):
        raise ShapeError("save_sheet: image_shape is (1,), one number; expected a picture: see save_line_sheet")
    pixels = math.prod(image_shape)
    if images.ndim != 2 or images.shape[1] != pixels:
        raise ShapeError(
            f"save_sheet: images has shape {images.shape}; expected (N, {pixels}), one flat image of "
            f"{' x '.join(map(str, image_shape))} a row"
        )
    if len(images) == 0:
        raise ShapeError("save_sheet: images is empty; expected at least one image")
    return images.reshape(len(images), *image_shape[:2], -1)


def _levels(tiles: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Convert floats (N, h, w, 1 or 3) to colours (N, h, w, 3) from 0 to 255."""
    finite = np.isfinite(tiles)
    levels = np.rint(255 * np.clip(np.where(finite, tiles, 0), 0, 1)).astype(np.uint8)
    colours = np.broadcast_to(levels, (*levels.shape[:3], 3)).copy()
    colours[~finite.all(axis=-1)] = BROKEN_COLOUR
    return colours


def _grid(tiles: NDArray[np.uint8], columns: int, scale: int) -> NDArray[np.uint8]:
    """Arrange tiles (N, h, w, 3) row by row; each pixel becomes `scale` by `scale` pixels."""
    count, height, width = len(tiles), scale * tiles.shape[1], scale * tiles.shape[2]
    rows = -(-count // columns)
    down, across = height + GAP, width + GAP
    sheet = np.empty((rows * down + GAP, columns * across + GAP, 3), np.uint8)
    sheet[:] = GAP_COLOUR
    for place, tile in enumerate(tiles):
        top, left = (place // columns) * down + GAP, (place % columns) * across + GAP
        sheet[top : top + height, left : left + width] = tile.repeat(scale, axis=0).repeat(scale, axis=1)
    return sheet


def _png(picture: NDArray[np.uint8]) -> bytes:
    from PIL import Image  # comes with matplotlib, and takes a tenth of its time to import

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()
