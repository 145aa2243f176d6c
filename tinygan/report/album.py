"""The sample sheets that a report shows: a few, spread over the run, of limited size."""

from __future__ import annotations

import io
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinygan.pictures.sheets import data_path, list_sheets
from tinygan.runs.plain_files import read_plain
from tinygan.runs.run_folder import RunFolder

MOST_SHEETS = 40
MOST_BYTES = 3_000_000  # of the files of all sheets shown; the page encodes them in a third more
MOST_PIXELS = 50_000_000  # of one sheet: a small file can unpack to a picture that fills the memory


@dataclass(frozen=True)
class Sheet:
    """One sample sheet: its PNG file, and its size in pixels."""

    epoch: int
    png: bytes
    width: int
    height: int


@dataclass
class Album:
    """The sheets to show, by epoch, a sheet of training images, and the names of those left out."""

    sheets: list[Sheet] = field(default_factory=list)
    data: Sheet | None = None
    damaged: list[str] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)


def collect_sheets(run: RunFolder, common: Collection[int] | None = None) -> Album:
    """Choose and read the sample sheets of a run.

    Parameters
    ----------
    run : RunFolder
    common : collection of int, optional
        Prefer these epochs: choose from them and the newest.

    Returns
    -------
    Album
        At most 40 sheets and 3 MB; fewer if they are large. The newest counts twice, because a report shows it twice.

    Raises
    ------
    RunError
        The folder of the samples cannot be read.

    Examples
    --------
    >>> collect_sheets(RunFolder("no-such-run"))
    Album(sheets=[], data=None, damaged=[], too_large=[])
    """
    paths = dict(list_sheets(run))
    if common is not None:
        chosen = {*common, *list(paths)[-1:]}
        paths = {epoch: path for epoch, path in paths.items() if epoch in chosen}
    sizes = {epoch: _size(path) for epoch, path in paths.items()}
    album = Album()
    if data_path(run).exists():
        if _size(data_path(run)) > MOST_BYTES:
            album.too_large.append(data_path(run).name)
        else:
            album.data = _read(0, data_path(run))
            album.damaged += [] if album.data else [data_path(run).name]
    for epoch in [epoch for epoch in paths if sizes[epoch] > MOST_BYTES]:
        album.too_large.append(paths.pop(epoch).name)
    for epoch in _affordable(list(paths), sizes):
        sheet = _read(epoch, paths[epoch])
        if sheet is None:
            album.damaged.append(paths[epoch].name)
        else:
            album.sheets.append(sheet)
    return album


def spread(epochs: Sequence[int], most: int) -> list[int]:
    """Choose the first and the last epoch, and others between them at growing distances.

    Samples change most at the start.

    Parameters
    ----------
    epochs : sequence of int
        Increasing, from 0.
    most : int
        The largest number to choose; with 1, the last is chosen.

    Examples
    --------
    >>> spread(range(1001), 12)
    [0, 1, 2, 4, 8, 16, 32, 63, 126, 251, 501, 1000]
    >>> spread([0, 10, 20], 12)
    [0, 10, 20]
    """
    if len(epochs) <= most:
        return list(epochs)
    if most == 1:
        return [epochs[-1]]
    wanted = np.geomspace(epochs[-1], epochs[1], most - 1)  # without epoch 0, which is not a power
    nearest = {epochs[int(np.abs(np.asarray(epochs) - epoch).argmin())] for epoch in wanted}
    return sorted({epochs[0]} | nearest)


def _affordable(epochs: list[int], sizes: dict[int, int]) -> list[int]:
    for most in range(MOST_SHEETS, 1, -1):
        chosen = spread(epochs, most)
        if sum(sizes[epoch] for epoch in [*chosen, *chosen[-1:]]) <= MOST_BYTES:
            return chosen
    return spread(epochs, 1)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # `_read` will report it as damaged


def _read(epoch: int, path: Path) -> Sheet | None:
    """Read a sheet and decode it as a test; return None if it is damaged or not a PNG file."""
    from PIL import Image  # comes with matplotlib

    try:
        png = read_plain(path)
        width, height = struct.unpack(">II", png[16:24])  # their position in the format
        if width * height > MOST_PIXELS:
            return None
        Image.open(io.BytesIO(png), formats=("PNG",)).load()
    except (OSError, ValueError, SyntaxError, struct.error):  # Pillow raises SyntaxError for a broken file
        return None
    return Sheet(epoch, png, width, height)
