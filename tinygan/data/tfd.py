"""TFD: the Toronto Face Database, grey faces of 48x48 pixels, the second column of the paper's Table 1.

Source: J. Susskind, A. Anderson, G. Hinton, "The Toronto Face Database", technical report UTML TR 2010-001, University
of Toronto, 2010. It is not public: its owners give it on request, so it cannot be downloaded.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.data.dataset import Dataset, Split
from tinygan.data.files import enough_memory, find_private
from tinygan.data.matlab import FRESH_COPY, NUMBERS, read_matlab
from tinygan.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]

FILE = "TFD_48x48.mat"
SIDE = 48  # pixels
FOLDS = 5
# The meaning of an entry of `folds`, as in pylearn2's reader of this file.
UNLABELLED, TRAIN, VALIDATION, TEST = range(4)
MOST = 120_000  # images: the technical report counts 112,234
EXPRESSIONS = 7  # numbered from 1 in the file, from 0 here
NO_LABEL = 255  # the label of an image without a label; -1 in the file

NOT_PUBLIC = (
    "The Toronto Face Database is not public: ask its owners for it (J. Susskind, A. Anderson and G. Hinton, technical "
    "report UTML TR 2010-001, University of Toronto)"
)
VARIABLES = {"images": ((SIDE, SIDE), ("uint8",)), "folds": ((FOLDS,), NUMBERS), "labs_ex": ((1,), NUMBERS)}


def load_tfd(folder: str | os.PathLike[str] | None = None, fold: int = 0) -> Dataset:
    """TFD with one of its five folds: 48x48 pixels, value / 255.

    Training uses the images without labels, as the released code does. They are the same for every fold, so one run can
    be evaluated with all five. A fold divides the labelled images into training, validation and test images. Its
    training images are for classifiers, and are not used here.

    Parameters
    ----------
    folder : str or path, optional
        The file is ``FOLDER/tfd/TFD_48x48.mat``. By default the folder in the environment variable ``TINYGAN_DATA``.
    fold : int
        0 to 4.

    Returns
    -------
    Dataset
        Labels are the seven expressions, 0 to 6; or `NO_LABEL`, 255, for an image without a label.

    Raises
    ------
    DataError
        There is no such fold, or the file is missing, damaged, or not TFD. The message says which and what to do.

    Notes
    -----
    The file is a MATLAB file, version 5 to 7, with N images:

    ========  ===========  =====================================================================================
    images    N x 48 x 48  uint8
    folds     N x 5        0: without a label, 1: training, 2: validation, 3: test
    labs_ex   N x 1        the expression, 1 to 7; -1: no label
    ========  ===========  =====================================================================================

    Examples
    --------
    >>> load_tfd("no/such/folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tinygan.errors.DataError: tfd: no/such/folder/tfd has no file of the data set (there is no such folder). The ...
    """
    if isinstance(fold, bool) or not isinstance(fold, int | np.integer) or not 0 <= fold < FOLDS:
        raise DataError(f"tfd: expected a fold from 0 to {FOLDS - 1}, got {fold!r}")
    path = find_private("tfd", [FILE], NOT_PUBLIC, folder) / FILE
    with enough_memory("tfd"):
        return _load(path, int(fold))


def _load(path: Path, fold: int) -> Dataset:
    images, folds, labels = _read(path)
    # Training never uses an image that has a label in any fold, so it uses no test image of any fold.
    rows = {
        "train": np.flatnonzero((folds == UNLABELLED).all(axis=1)),
        "validation": np.flatnonzero(folds[:, fold] == VALIDATION),
        "test": np.flatnonzero(folds[:, fold] == TEST),
    }
    for part, found in rows.items():
        if not found.size:
            raise DataError(
                f"{path}: expected {part} images in fold {fold}, found none; check that this is the whole data set"
            )
    train, validation, test = (Split(_pixels(images, found), labels[found]) for found in rows.values())
    return Dataset("tfd", (SIDE, SIDE), train, validation, test, fold=fold)


def _pixels(images: Array, rows: Array) -> Array:
    """Return rows (n, 2304) as float32; this is the only copy of the images as floats."""
    chosen = np.empty((len(rows), SIDE * SIDE), np.float32)
    return np.divide(images[rows].reshape(chosen.shape), 255, out=chosen)


def _read(path: Path) -> tuple[Array, Array, Array]:
    """Return images (N, 48, 48), folds (N, 5) and labels (N,), all uint8 and all checked."""
    arrays = read_matlab(path, VARIABLES, MOST)
    images = arrays["images"]
    folds = _whole_numbers(path, "folds", arrays["folds"], UNLABELLED, TEST)
    given = arrays["labs_ex"].reshape(-1)
    # For images without a label, the label in the file has no meaning.
    has_label = (folds != UNLABELLED).any(axis=1) & (given != -1)
    checked = _whole_numbers(path, "labs_ex", np.where(has_label, given, given.dtype.type(1)), 1, EXPRESSIONS)
    return images, folds, np.where(has_label, checked - 1, NO_LABEL).astype(np.uint8)


def _whole_numbers(path: Path, name: str, values: Array, low: int, high: int) -> Array:
    """Return the values as uint8, or name the first that is not a whole number from `low` to `high`."""
    wrong = np.argwhere(~np.isin(values, np.arange(low, high + 1)))
    if wrong.size:
        place = tuple(int(index) for index in wrong[0])
        raise DataError(
            f"{path}: {name}: expected whole numbers from {low} to {high}, found {values[place]:g} at "
            f"{place if len(place) > 1 else place[0]}; {FRESH_COPY}"
        )
    return values.astype(np.uint8)
