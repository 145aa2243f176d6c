"""TFD: the Toronto Face Database, 48x48 grey faces, the second column of the paper's Table 1.

Source: J. Susskind, A. Anderson, G. Hinton, "The Toronto Face Database", technical report UTML TR 2010-001, University
of Toronto, 2010. It is not public: its owners hand it out on request, so nothing here can download it.
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
# What an entry of `folds` says of an image, here and in pylearn2's reader of this file.
UNLABELLED, TRAIN, VALIDATION, TEST = range(4)
MOST = 120_000  # images: the technical report counts 112,234
EXPRESSIONS = 7  # numbered from 1 in the file, from 0 here
NO_LABEL = 255  # the label of an image without one, which is -1 in the file

NOT_PUBLIC = (
    "The Toronto Face Database is not public: ask its owners for it (J. Susskind, A. Anderson and G. Hinton, technical "
    "report UTML TR 2010-001, University of Toronto)"
)
VARIABLES = {"images": ((SIDE, SIDE), ("uint8",)), "folds": ((FOLDS,), NUMBERS), "labs_ex": ((1,), NUMBERS)}


def load_tfd(folder: str | os.PathLike[str] | None = None, fold: int = 0) -> Dataset:
    """TFD with one of its five folds: 48x48 pixels, value / 255.

    Training uses the images without labels, as the released code does. They are the same for every fold, so one run
    can be judged by all five: a fold says which of the labelled images validate and which test. Those that it calls
    training images are for classifiers, and not used here.

    Parameters
    ----------
    folder : str or path, optional
        The file is ``FOLDER/tfd/TFD_48x48.mat``. Without it, the folder in the environment variable ``TINYGAN_DATA``.
    fold : int
        0 to 4.

    Returns
    -------
    Dataset
        Labels are the seven expressions, 0 to 6; `NO_LABEL`, which is 255, where there is none.

    Raises
    ------
    DataError
        There is no such fold; the file is missing, damaged, or is not TFD. The message says which and what to do.

    Notes
    -----
    The file is one of MATLAB, version 5 to 7, of N images:

    ========  ===========  =====================================================================================
    images    N x 48 x 48  uint8
    folds     N x 5        0: without a label, 1: training, 2: validation, 3: test
    labs_ex   N x 1        the expression, 1 to 7; -1: none
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
    # An image that any fold has a label for is never trained on: no fold's test images are then.
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
    """(n, 2304) float32: of all images as floats there is only this one copy."""
    chosen = np.empty((len(rows), SIDE * SIDE), np.float32)
    return np.divide(images[rows].reshape(chosen.shape), 255, out=chosen)


def _read(path: Path) -> tuple[Array, Array, Array]:
    """Return images (N, 48, 48), folds (N, 5) and labels (N,), all uint8 and all checked."""
    arrays = read_matlab(path, VARIABLES, MOST)
    images = arrays["images"]
    folds = _whole_numbers(path, "folds", arrays["folds"], UNLABELLED, TEST)
    given = arrays["labs_ex"].reshape(-1)
    # What the file says of images without a label, or would say, means nothing.
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
