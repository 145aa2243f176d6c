"""The form of every loaded data set: flat float32 images and uint8 labels, in three splits.

A network reads rows, so an image is one row of pixels; `Dataset.image_shape` is the shape of the picture. Pixels lie in
[0, 1], the range of a generator with sigmoid outputs, unless `tinygan.data.scaling` has changed it. Plain numbers are
rows of shape (1,), and may be of any size.
Other data cannot be a `Dataset`, because a sample sheet could not show them; but `gan.Algorithm1` trains on their rows.
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tinygan.errors import DataError, DtypeError, ShapeError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """One part of a data set: images and their labels, row by row.

    Both arrays become read-only views: training must not change the data that later evaluate it.

    Parameters
    ----------
    images : float32 array of shape (N, d), C-contiguous
        One image a row, pixels row by row, colours last; at least one.
    labels : uint8 array of shape (N,)
        The class of each image.

    Attributes
    ----------
    low, high : float
        The smallest and the largest number in the images.

    Raises
    ------
    DtypeError
        The images are not an array of float32, or the labels not an array of uint8.
    ShapeError
        The images are not rows in C order, there is no image, or there is not one label for each image.
    DataError
        A pixel is not finite.

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
    low: float = field(init=False)
    high: float = field(init=False)

    def __post_init__(self) -> None:
        for name, dtype in (("images", np.float32), ("labels", np.uint8)):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray) or array.dtype != dtype:
                found = array.dtype if type(array) is np.ndarray else type(array).__name__
                advice = "; divide pixels by 255" if name == "images" and found == np.uint8 else ""
                raise DtypeError(f"Split: {name} must be {np.dtype(dtype)}, got {found}{advice}")
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
        if self.images.size == 0:
            raise ShapeError(f"Split: images must be at least one row of at least one pixel, got {self.images.shape}")
        # Minimum and maximum are nan if any pixel is, and need no other array of this size.
        object.__setattr__(self, "low", float(self.images.min()))
        object.__setattr__(self, "high", float(self.images.max()))
        if not -math.inf < self.low <= self.high < math.inf:
            row, pixel = np.argwhere(~np.isfinite(self.images))[0].tolist()
            raise DataError(
                f"Split: pixel {pixel} of image {row} is {self.images[row, pixel]}; expected finite numbers: correct "
                "that image, or leave it out"
            )
        object.__setattr__(self, "images", _read_only(self.images))
        object.__setattr__(self, "labels", _read_only(self.labels))

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the images, in hexadecimal."""
        return hashlib.sha256(self.images.data).hexdigest()

    def __repr__(self) -> str:
        return f"Split({len(self)} images of {self.images.shape[1]} pixels)"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A named data set with its training, validation and test splits.

    Parameters
    ----------
    name : str
        Its name in `tinygan.data.load`.
    image_shape : tuple of int
        The shape of one picture, (h, w), (h, w, 1) or (h, w, 3); its product is the length d of every row of
        `Split.images`. (1,) for plain numbers.
    train, validation, test : Split
        Fit on the first, choose hyper-parameters on the second, report on the third.
    density : callable, optional
        The density that the rows were drawn from, if it is known: a function from rows (n, d) to values (n,).
    fold : int, optional
        The number of the fold, for a data set that is divided in several ways.
    notes : tuple of str
        How one's own images were read, and how images were scaled; a sentence each without a full stop.
    shown : (low, high)
        The numbers that a picture shows as black and as white; see `tinygan.data.scaling`.

    Raises
    ------
    ShapeError
        `image_shape` has another form, or its size is not the length of the rows of a split.
    DtypeError
        A split is not a `Split`, or the name is not a text.
    DataError
        The fold is not an integer from 0, or `shown` is not two finite numbers, the smaller first.

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
    notes: tuple[str, ...] = ()
    shown: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise DtypeError(f"Dataset: expected a name, got {self.name!r}")
        object.__setattr__(self, "image_shape", picture_shape(self.image_shape, f"Dataset {self.name}"))
        if self.fold is not None and (isinstance(self.fold, bool) or not isinstance(self.fold, int) or self.fold < 0):
            raise DataError(f"Dataset {self.name}: expected a fold from 0, or None, got {self.fold!r}")
        if len(self.shown) != 2 or not -math.inf < self.shown[0] < self.shown[1] < math.inf:
            raise DataError(f"Dataset {self.name}: shown is {self.shown}; expected the numbers for black and for white")
        for part in ("train", "validation", "test"):
            if not isinstance(getattr(self, part), Split):
                found = type(getattr(self, part)).__name__
                raise DtypeError(f"Dataset {self.name}: {part} is {found}; expected a Split of images and labels")
            pixels = getattr(self, part).images.shape[1]
            if pixels != math.prod(self.image_shape):
                raise ShapeError(
                    f"Dataset {self.name}: {part} has {pixels} pixels a row, but an image of shape "
                    f"{self.image_shape} needs {math.prod(self.image_shape)}"
                )

    def __repr__(self) -> str:
        rows = "points of 1 number" if self.image_shape == (1,) else f"images of {'x'.join(map(str, self.image_shape))}"
        fold = "" if self.fold is None else f"fold {self.fold}, "
        return (
            f"Dataset({self.name!r}, {rows}, {fold}train {len(self.train)}, "
            f"validation {len(self.validation)}, test {len(self.test)})"
        )


def picture_shape(shape: Sequence[int], caller: str) -> tuple[int, ...]:
    """Return the shape of an example as a tuple; refuse a shape that a sample sheet cannot show.

    Parameters
    ----------
    shape : sequence of int
        (h, w) or (h, w, 1) for grey images, (h, w, 3) for red-green-blue images, (1,) for a plain number.
    caller : str
        The caller, for the message.

    Raises
    ------
    ShapeError
        The shape has another form.

    Examples
    --------
    >>> picture_shape([8, 8], "Dataset")
    (8, 8)
    >>> picture_shape((3, 8, 8), "Dataset")
    Traceback (most recent call last):
    tinygan.errors.ShapeError: Dataset: image_shape is (3, 8, 8); expected (h, w), (h, w, 1), (h, w, 3) or (1,): put ...
    """
    try:
        sizes = tuple(operator.index(size) for size in shape)
    except TypeError:
        sizes = ()
    if sizes != (1,) and not (len(sizes) in (2, 3) and min(sizes) >= 1 and sizes[2:] in ((), (1,), (3,))):
        raise ShapeError(
            f"{caller}: image_shape is {shape}; expected (h, w), (h, w, 1), (h, w, 3) or (1,): put colours last. "
            "A sample sheet cannot show points of several numbers: give their rows to gan.Algorithm1 directly"
        )
    return sizes


def _read_only(array: Array) -> Array:
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view
