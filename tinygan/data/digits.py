"""Digits: 1,797 handwritten digits of 8x8 pixels, embedded in the package.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
1998, doi 10.24432/C50P49, CC BY 4.0. ``DIGITS.md`` describes how the file was made.
"""

from __future__ import annotations

import zipfile
import zlib
from importlib import resources

import numpy as np

from tinygan.data.dataset import Dataset, Split
from tinygan.errors import DataError

TRAIN = slice(0, 1397)
VALIDATION = slice(1397, 1597)
TEST = slice(1597, 1797)
COUNT = 1797
MOST = 1 << 20  # largest size in bytes of an array in the file; it needs COUNT x 64 and a header


def load_digits() -> Dataset:
    """The embedded digits: 1,397 to train, 200 to validate, 200 to test; 8x8 pixels, count / 16.

    The order is that of the file, never shuffled. The labels repeat a pattern about every 130 images, probably one
    block for each writer. So most test images are by writers that are not in the training split. The limits of the
    splits do not fall between two blocks: a writer there may be in both splits.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        The file in the package is damaged or missing.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits
    Dataset('digits', images of 8x8, train 1397, validation 200, test 200)
    >>> (digits.train.images[0].reshape(digits.image_shape) * 16).astype(int)[:3]
    array([[ 0,  0,  5, 13,  9,  1,  0,  0],
           [ 0,  0, 13, 15, 10, 15,  5,  0],
           [ 0,  3, 15,  2,  0, 11,  8,  0]])
    >>> digits.train.labels[:5]
    array([0, 1, 2, 3, 4], dtype=uint8)
    """
    file = resources.files("tinygan.data") / "digits.npz"
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            if max(member.file_size for member in arrays.zip.infolist()) > MOST:
                raise DataError("it unpacks to more than the digits")
            images = np.divide(arrays["images"], 16, dtype=np.float32)
            labels = arrays["labels"]
            if (images.shape, labels.shape) != ((COUNT, 64), (COUNT,)):
                raise DataError(f"it holds arrays of other shapes, {images.shape} and {labels.shape}")
    except (
        *(OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, MemoryError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise DataError(
            f"{file}: expected the digits that come with tinygan, found a damaged or missing file ({error}); "
            "install tinygan again"
        ) from error
    train, validation, test = (Split(images[rows], labels[rows]) for rows in (TRAIN, VALIDATION, TEST))
    return Dataset("digits", (8, 8), train, validation, test)
