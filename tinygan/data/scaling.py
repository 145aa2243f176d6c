"""Other scales for the pixels of a data set, for generators that do not end in a sigmoid, and their way back to pixels.

Every loader returns pixels from 0 (black) to 1 (white). `with_range` is for a tanh, `with_contrast` for a linear layer.
`Dataset.shown` of the result says which numbers a picture shows as black and as white, and `as_pixels` uses it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from tinygan.data.dataset import Array, Dataset, Split
from tinygan.data.files import enough_memory
from tinygan.errors import ArgumentError, DataError

RANGES = ((0.0, 1.0), (-1.0, 1.0))  # of a sigmoid and of a tanh
WIDEST = 3.0  # times the root mean square, 99.8 % of CIFAR-10; the largest number is 10, and would grey all others
_BLOCK = 1000  # images at a time, so that the float64 numbers need little memory


def with_range(dataset: Dataset, low: float, high: float) -> Dataset:
    """Return a data set with black at `low` and white at `high`, instead of 0 and 1.

    Parameters
    ----------
    dataset : Dataset
        Of images, as it was loaded.
    low, high : float
        0 and 1, as they are; or -1 and 1, for a generator that ends in a tanh.

    Returns
    -------
    Dataset

    Raises
    ------
    ArgumentError
        It is another range.
    DataError
        The data are no images, or have been scaled before.

    Examples
    --------
    >>> from tinygan.data import load
    >>> digits = with_range(load("digits"), -1, 1)
    >>> digits.train.low, digits.train.high, digits.shown
    (-1.0, 1.0, (-1.0, 1.0))
    """
    if (low, high) not in RANGES:
        raise ArgumentError(f"with_range: expected 0 and 1, or -1 and 1, got {low!r} and {high!r}")
    shown, note = (float(low), float(high)), f"scaled: black is {low:g}, white is {high:g}"
    return _scaled("with_range", dataset, lambda rows: low + (high - low) * rows, shown, note)


def with_contrast(dataset: Dataset, scale: float) -> Dataset:
    """Return a data set with global contrast normalisation: x = scale (x - mean(x)) / ||x - mean(x)||, image by image.

    So each image has mean 0 and L2 norm `scale`: dark and pale images become as bright and as rich in contrast as the
    others. An image of one colour value has no contrast; it becomes 0 everywhere. What is lost, the brightness and the
    contrast of each image, cannot be recovered, so the values do not have the unit of pixels any more.

    Parameters
    ----------
    dataset : Dataset
        Of images, as it was loaded.
    scale : float
        The L2 norm of each image, above 0. With 55 the numbers of CIFAR-10 have a root mean square of .99 (released
        code).

    Returns
    -------
    Dataset
        A picture shows it from -3 to 3 times the root mean square, scale / sqrt(d).

    Raises
    ------
    ArgumentError
        The scale is not a number between 1e-30 and 1e30.
    DataError
        The data are no images, or have been scaled before.

    Examples
    --------
    >>> from tinygan.data import load
    >>> digits = with_contrast(load("digits"), 8)
    >>> image = digits.train.images[0]
    >>> bool(abs(image.mean()) < 1e-6), bool(abs(np.linalg.norm(image) - 8) < 1e-5), digits.shown
    (True, True, (-3.0, 3.0))
    """
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 1e-30 < scale < 1e30:
        raise ArgumentError(f"with_contrast: scale is {scale!r}; expected a number between 1e-30 and 1e30")

    def normalised(rows: Array) -> Array:
        rows = rows.astype(np.float64)
        rows -= rows.mean(axis=1, keepdims=True)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows * (scale / np.where(norms == 0, 1, norms))

    shown = contrast_range(scale, dataset.train.images.shape[1])
    return _scaled("with_contrast", dataset, normalised, shown, f"scaled: each image has mean 0 and norm {scale:g}")


def contrast_range(scale: float, numbers: int) -> tuple[float, float]:
    """Return the numbers that a picture shows as black and as white after `with_contrast`.

    Parameters
    ----------
    scale : float
    numbers : int
        In an image.

    Examples
    --------
    >>> [round(end, 2) for end in contrast_range(55.0, 3072)]
    [-2.98, 2.98]
    """
    white = WIDEST * float(scale) / math.sqrt(numbers)
    return -white, white


def as_pixels(rows: Array, shown: tuple[float, float]) -> Array:
    """Return rows as pixels from 0 (black) to 1 (white), for a picture; what is darker or brighter lies outside.

    Parameters
    ----------
    rows : array of floats
        Of a data set, or samples of a generator that was trained on it.
    shown : (low, high)
        `Dataset.shown`: the numbers that are black and white.

    Examples
    --------
    >>> as_pixels(np.array([-1.0, 0.0, 1.0]), (-1.0, 1.0))
    array([0. , 0.5, 1. ])
    """
    low, high = shown
    return rows if (low, high) == (0.0, 1.0) else (rows - low) / (high - low)


def _scaled(
    caller: str, dataset: Dataset, convert: Callable[[Array], Array], shown: tuple[float, float], note: str
) -> Dataset:
    if dataset.image_shape == (1,):
        raise DataError(f"{caller}: {dataset.name} has points of 1 number; expected images")
    if dataset.shown != (0.0, 1.0):
        raise DataError(f"{caller}: {dataset.name} has been scaled before; expected pixels from 0 to 1, as loaded")
    with enough_memory(dataset.name):
        train, validation, test = (
            _converted(split, convert) for split in (dataset.train, dataset.validation, dataset.test)
        )
    notes = (*dataset.notes, note)
    return dataclasses.replace(dataset, train=train, validation=validation, test=test, shown=shown, notes=notes)


def _converted(split: Split, convert: Callable[[Array], Array]) -> Split:
    images = np.empty_like(split.images)
    for start in range(0, len(images), _BLOCK):
        images[start : start + _BLOCK] = convert(split.images[start : start + _BLOCK])
    return Split(images, split.labels)
