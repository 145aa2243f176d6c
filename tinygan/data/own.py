"""One's own images as a data set: arrays, or a NumPy file.

Pixels become float32 from 0 to 1. A fixed tenth of the images validates, another tenth tests, and the others train.
What has only one meaning is accepted, and `Dataset.notes` says how it was read; everything else is refused.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.backend import Stream
from tinygan.data.dataset import Array, Dataset, Split
from tinygan.data.files import enough_memory, reading
from tinygan.errors import DataError, DtypeError, ShapeError

FEWEST = 10  # images, so that each split has one
LARGEST_PART = 10_000  # images that validate, and images that test
SEED = 2014  # of the division: the same images are divided the same way in every run
MOST_CLASSES = 255  # labels are bytes, and 255 stands for an image without a label
CHANNELS = (1, 3)
_BLOCK = 1000  # images converted at a time, so that a large file is never whole in the memory twice


def from_arrays(images: Array, labels: Array | None = None) -> Dataset:
    """Make a data set of images in an array.

    Parameters
    ----------
    images : array of shape (n, h, w), (n, h, w, 1 or 3) or (n, 1 or 3, h, w)
        At least 10. uint8 from 0 to 255, bool, or floats from 0 to 1. Any memory order; a memory map is read in parts.
        If both the last axis and the second one can be the colours, they are the last.
    labels : array of integers, shape (n,), optional
        The class of each image, from 0 to 254. Without labels, all images are of class 0.

    Returns
    -------
    Dataset
        A tenth of the images validates and a tenth tests, at most 10,000 each; the others train. Which ones depends
        on n only. Each split has them in the order of the array.

    Raises
    ------
    DtypeError, ShapeError, DataError
        The arrays have another form, there are fewer than 10 images, or a pixel is not finite or out of range. The
        message says what to do.

    Examples
    --------
    >>> images = np.random.default_rng(0).integers(0, 256, (50, 8, 8), dtype=np.uint8)
    >>> mine = from_arrays(images)
    >>> mine
    Dataset('array', images of 8x8, train 40, validation 5, test 5)
    >>> from_arrays(images.astype(np.float32))
    Traceback (most recent call last):
    tinygan.errors.DataError: from_arrays: images go from 0 to 255; expected floats from 0 to 1: divide them by 255
    """
    return as_dataset("array", images, labels, "from_arrays: ")


def from_file(path: str | os.PathLike[str], labels: str | os.PathLike[str] | None = None) -> Dataset:
    """Make a data set of images in a ``.npy`` file; see `from_arrays`. Pickled objects are never loaded.

    Parameters
    ----------
    path : str or path
        A file of `numpy.save`.
    labels : str or path, optional
        Another such file, with the labels.

    Raises
    ------
    DtypeError, ShapeError, DataError
        As in `from_arrays`, or a file is missing, damaged or of another kind.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder, "mine.npy"), np.zeros((50, 8, 8), np.uint8))
    ...     from_file(Path(folder, "mine.npy"))
    Dataset('array', images of 8x8, train 40, validation 5, test 5)
    """
    known = None if labels is None else _map_file(labels)
    return as_dataset("array", _map_file(path), known, f"{path}: ")


def as_dataset(
    name: str, images: Any, labels: Any, of: str, classes: Sequence[str] = (), notes: Sequence[str] = ()
) -> Dataset:
    """Check images and labels, and divide them; see `from_arrays`.

    Parameters
    ----------
    name : str
        Of the data set.
    images, labels : array
    of : str
        The beginning of each message.
    classes : sequence of str
        The names of the classes, for `Dataset.notes`.
    notes : sequence of str
        Further notes.
    """
    with enough_memory(name):
        images, found = _channels_last(_checked(images, of), of)
        labels, known = _checked_labels(labels, len(images), of)
        order = Stream(SEED, "division of one's own images").permutation(len(images))
        part = min(len(images) // 10, LARGEST_PART)
        rows = [np.sort(chosen) for chosen in (order[2 * part :], order[:part], order[part : 2 * part])]
        train, validation, test = (Split(_as_floats(images, chosen), labels[chosen]) for chosen in rows)
    splits = (train, validation, test)
    low, high = min(split.low for split in splits), max(split.high for split in splits)
    shape = images.shape[1:3] if images.shape[3] == 1 else images.shape[1:]
    kind = "grey" if len(shape) == 2 else "in colour"
    about = f"{len(images):,} images of {shape[0]}x{shape[1]} pixels (height x width), {kind}"
    divided = f"{len(train):,} train, {len(validation):,} validate, {len(test):,} test"
    told = [f"{about}, from {low:.3g} to {high:.3g}: {divided}", *found]
    told += [*(_about_labels(labels, classes) if known else ()), *notes]
    return Dataset(name, shape, train, validation, test, notes=tuple(told))


def _map_file(path: str | os.PathLike[str]) -> Array:
    if not isinstance(path, str | os.PathLike):
        raise DtypeError(f"from_file: expected the path of a .npy file, got {path!r:.60}")
    file = Path(os.path.expanduser(path))
    with reading(file):
        if not file.exists():
            raise DataError(
                f"{file}: expected a .npy file, found nothing of that name; if it has moved, name its new place: "
                "--array FILE, or --set data.labels=FILE"
            )
        try:
            return np.lib.format.open_memmap(file, mode="r")
        except (ValueError, EOFError, TypeError, OverflowError) as error:  # NumPy has no error of its own
            raise DataError(
                f"{file}: expected a .npy file of numbers, as numpy.save writes it, found a file that is damaged or of "
                f"another kind ({str(error)[:100]})"
            ) from error


def _checked(images: Any, of: str) -> Array:
    """Refuse what is not images from black to white."""
    if not isinstance(images, np.ndarray) or isinstance(images, np.ma.MaskedArray):
        raise DtypeError(f"{of}images is a {type(images).__name__}; expected a NumPy array: take .numpy() of a tensor")
    kind = images.dtype.kind
    if images.dtype not in (np.uint8, np.bool_) and kind != "f":
        hint = ""
        if kind in "iu":
            hint = ": if 255 is white, pass images.astype(numpy.uint8); if not, divide them by the value of white"
        raise DtypeError(f"{of}images are {images.dtype}; expected uint8, bool or floats from 0 to 1{hint}")
    if images.ndim not in (3, 4) or 0 in images.shape[1:]:
        raise ShapeError(
            f"{of}images have shape {images.shape}; expected (n, h, w), (n, h, w, 3) or (n, 3, h, w): reshape rows "
            "of pixels to pictures, as in images.reshape(-1, 28, 28)"
        )
    if len(images) < FEWEST:
        raise DataError(
            f"{of}expected at least {FEWEST} images, because some validate and some test, found {len(images)}"
        )
    with np.errstate(invalid="ignore"):
        low, high = float(images.min()), float(images.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        row = next(row for row, image in enumerate(images) if not np.isfinite(image).all())
        raise DataError(f"{of}image {row} has pixels that are nan or infinite; correct it, or leave it out")
    if images.dtype == np.uint8 and high == 1:
        raise DataError(
            f"{of}images go from 0 to 1, but they are bytes, of which 255 is white: if 1 is white, multiply them by 255"
        )
    if kind == "f" and (low < 0 or np.float32(high) > 1):
        hints = ["divide them by 255"] if low >= 0 and 1 < high <= 255 else []
        hints += ["take (images + 1) / 2"] if -1 <= low < 0 and high <= 1 else []
        hint = (hints or ["bring black to 0 and white to 1"])[0]
        raise DataError(f"{of}images go from {low:.4g} to {high:.4g}; expected floats from 0 to 1: {hint}")
    return images


def _channels_last(images: Array, of: str) -> tuple[Array, list[str]]:
    """Return a view of shape (n, h, w, 1 or 3), and how the axes were understood if there is a choice."""
    if images.ndim == 3:
        return images[..., None], []
    first, last = images.shape[1] in CHANNELS, images.shape[3] in CHANNELS
    if not (first or last):
        more = ": remove the transparency, the last channel" if 4 in (images.shape[1], images.shape[3]) else ""
        raise ShapeError(
            f"{of}images have shape {images.shape}; expected 1 channel (grey) or 3 (red, green, blue), as in "
            f"(n, h, w, 3) or (n, 3, h, w){more}"
        )
    if last:
        told = f"the shape {images.shape} was read as (n, h, w, channels); it could also be (n, channels, h, w)"
        return images, [told] if first else []
    return images.transpose(0, 2, 3, 1), [f"the shape {images.shape} was read as (n, channels, h, w)"]


def _checked_labels(labels: Any, count: int, of: str) -> tuple[Array, bool]:
    """Return labels as bytes, and whether there are any."""
    if labels is None:
        return np.zeros(count, np.uint8), False
    try:
        labels = np.asarray(labels)
    except ValueError as error:  # lists of several lengths
        raise ShapeError(f"{of}labels: expected {count} integers, one for each image, got uneven lists") from error
    if labels.dtype.kind not in "iub":
        raise DtypeError(f"{of}labels are {labels.dtype}; expected integers from 0 to {MOST_CLASSES - 1}")
    if labels.shape != (count,):
        raise ShapeError(
            f"{of}labels have shape {labels.shape}; expected ({count},), one for each image: take the argmax of "
            "one-hot rows, or reshape a column"
        )
    if labels.min() < 0 or labels.max() >= MOST_CLASSES:
        raise DataError(
            f"{of}labels go from {labels.min()} to {labels.max()}; expected integers from 0 to {MOST_CLASSES - 1}"
        )
    return labels.astype(np.uint8), True


def _as_floats(images: Array, rows: Array) -> Array:
    """Return rows of float32 pixels from 0 to 1; uint8 and bool are divided by their white."""
    floats = np.empty((len(rows), int(np.prod(images.shape[1:]))), np.float32)
    for start in range(0, len(rows), _BLOCK):
        chosen = rows[start : start + _BLOCK]
        floats[start : start + _BLOCK] = images[chosen].reshape(len(chosen), -1)
    if images.dtype == np.uint8:
        floats /= 255
    return floats


def _about_labels(labels: Array, classes: Sequence[str]) -> list[str]:
    counts = sorted(Counter(labels.tolist()).items())
    shown = [f"{label}{f' = {classes[label]}' if classes else ''} ({count:,})" for label, count in counts[:10]]
    more = f" and {len(counts) - 10} more" if len(counts) > 10 else ""
    return [f"labels: {', '.join(shown)}{more}"]
