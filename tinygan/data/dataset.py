"""What every data set looks like once it is loaded: flat float32 images and uint8 labels, in three splits.

A network reads rows, so an image is one row of pixels; `Dataset.image_shape` says how to fold the row back
into a picture. Pixels lie in [0, 1], where a generator with sigmoid outputs lives. Data that are no pictures, plain
numbers or points, are rows too: their shape has one entry, (d,), and they may be of any size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.errors import DtypeError, ShapeError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """One part of a data set: images and their labels, row by row.

    Both arrays become read-only views, because they are shared by everyone who holds the split: training must
    not be able to change what it is later judged by.

    Parameters
    ----------
    images : float32 array of shape (N, d), C-contiguous
        One image a row, pixels in [0, 1].
    labels : uint8 array of shape (N,)
        The class of each image.

    Raises
    ------
    DtypeError
        The images are not float32 or the labels are not uint8.
    ShapeError
        The images are not rows in C order, or there is not one label for each.

    Examples
    --------
    >>> import numpy as np
    >>> split = Split(np.zeros((3, 64), np.float32), np.array([0, 1, 2], np.uint8))
    >>> split
    Split(3 images of 64 pixels)
    >>> len(split)
    3
    """

    images: Array
    labels: Array

    def __post_init__(self) -> None:
        if self.images.dtype != np.float32:
            raise DtypeError(f"Split: images must be float32, got {self.images.dtype}")
        if self.labels.dtype != np.uint8:
            raise DtypeError(f"Split: labels must be uint8, got {self.labels.dtype}")
        if self.images.ndim != 2 or not self.images.flags.c_contiguous:
            raise ShapeError(
                "Split: images must be rows of pixels, shape (N, d), contiguous in C order, got shape "
                f"{self.images.shape} with strides {self.images.strides}"
            )
        if self.labels.shape != self.images.shape[:1]:
            raise ShapeError(
                f"Split: labels must have shape {self.images.shape[:1]}, one for each image, "
                f"got {self.labels.shape}"
            )
        object.__setattr__(self, "images", _read_only(self.images))
        object.__setattr__(self, "labels", _read_only(self.labels))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Split({len(self)} images of {self.images.shape[1]} pixels)"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A named data set with its training, validation and test splits.

    Parameters
    ----------
    name : str
        The name `tinygan.data.load` knows it by.
    image_shape : tuple of int
        The shape of one picture; its product is the length d of every row of `Split.images`. (d,) for rows that
        are no pictures.
    train, validation, test : Split
        Fit on the first, choose hyper-parameters on the second, report on the third.
    density : callable, optional
        From rows (n, d) to the density (n,) they were drawn from, of toys that know it.
    fold : int, optional
        Which of its folds this is, of a data set that comes divided in several ways.

    Raises
    ------
    ShapeError
        The rows of a split do not fold into `image_shape`.

    Examples
    --------
    >>> import numpy as np
    >>> one = Split(np.zeros((1, 64), np.float32), np.zeros(1, np.uint8))
    >>> Dataset("blank", (8, 8), one, one, one)
    Dataset('blank', images of 8x8, train 1, validation 1, test 1)
    """

    name: str
    image_shape: tuple[int, ...]
    train: Split
    validation: Split
    test: Split
    density: Callable[[Any], Array] | None = None
    fold: int | None = None

    def __post_init__(self) -> None:
        for part in ("train", "validation", "test"):
            pixels = getattr(self, part).images.shape[1]
            if pixels != math.prod(self.image_shape):
                raise ShapeError(
                    f"Dataset {self.name}: {part} has {pixels} pixels a row, but an image of shape "
                    f"{self.image_shape} needs {math.prod(self.image_shape)}"
                )

    def __repr__(self) -> str:
        if len(self.image_shape) == 1:
            rows = f"points of {self.image_shape[0]} number{'s' * (self.image_shape[0] != 1)}"
        else:
            rows = f"images of {'x'.join(map(str, self.image_shape))}"
        fold = "" if self.fold is None else f"fold {self.fold}, "
        return (
            f"Dataset({self.name!r}, {rows}, {fold}train {len(self.train)}, "
            f"validation {len(self.validation)}, test {len(self.test)})"
        )


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view
