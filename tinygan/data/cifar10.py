"""CIFAR-10: 60,000 colour photographs of 32x32 pixels in ten classes, the data set of Figures 2c and 2d of the paper.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical report, University of Toronto,
2009.
"""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.data.dataset import Dataset, Split
from tinygan.data.files import enough_memory, find_or_download, find_unpacked, reading
from tinygan.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]

ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"  # in the archive
TEST = "test_batch.bin"
FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), TEST)
CHECKSUMS = {ARCHIVE: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}  # as published in 2009
MIRRORS = ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/")

IN_A_FILE = 10_000  # images
SIDE, COLOURS = 32, 3
PIXELS = SIDE * SIDE
ROW = 1 + COLOURS * PIXELS  # bytes: the label; the red plane, the green one, the blue one, each row by row
TRAIN_FILES = 4  # of the five; pylearn2 validated on the last one
FRESH = "replace it by a fresh copy"
# In the order of the labels.
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load_cifar10(
    folder: str | os.PathLike[str] | None = None, download: bool = True, progress: bool = False
) -> Dataset:
    """CIFAR-10: 40,000 images to train, 10,000 to validate, 10,000 to test; 32x32 pixels in colour, value / 255.

    Training and validation are the first 40,000 and the last 10,000 images of the five training files, as in the code
    released with the paper. A row of `Split.images` has the pixels row by row, each as red, green and blue.

    Parameters
    ----------
    folder : str or path, optional
        The six files of the binary version are ``FOLDER/cifar10/cifar-10-batches-bin/*.bin``, or
        ``FOLDER/cifar10/cifar-10-binary.tar.gz`` holds them. By default the folder in the environment variable
        ``TINYGAN_DATA``; if that is not set, the cache of this user.
    download : bool
        Whether the archive may be downloaded (170 MB) into the cache. With a named folder, nothing is downloaded.
    progress : bool
        Show the progress of the download on stderr.

    Returns
    -------
    Dataset
        Labels are the positions in `CLASSES`.

    Raises
    ------
    DataError
        Files are missing, damaged, or not CIFAR-10; the message says which and what to do.

    Examples
    --------
    >>> load_cifar10("no/such/folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tinygan.errors.DataError: cifar10: no/such/folder/cifar10 has no file of the data set (there is ...
    """
    home = find_unpacked("cifar10", FOLDER, FILES, folder)
    contents: Iterable[tuple[str, str, bytes]]
    if home is not None:
        contents = ((name, str(home / name), _content(home / name)) for name in FILES)
    else:
        contents = _archived(find_or_download("cifar10", CHECKSUMS, MIRRORS, folder, download, progress) / ARCHIVE)
    with enough_memory("cifar10"):
        train, test = _empty(5 * IN_A_FILE), _empty(IN_A_FILE)
        for name, place, content in contents:
            images, labels = test if name == TEST else train
            start = 0 if name == TEST else FILES.index(name) * IN_A_FILE
            rows = slice(start, start + IN_A_FILE)
            labels[rows] = _read_into(images[rows], content, place)
        (images, labels), size = train, TRAIN_FILES * IN_A_FILE
        return Dataset(
            name="cifar10",
            image_shape=(SIDE, SIDE, COLOURS),
            train=Split(images[:size], labels[:size]),
            validation=Split(images[size:], labels[size:]),
            test=Split(*test),
        )


def _empty(count: int) -> tuple[Array, Array]:
    return np.empty((count, COLOURS * PIXELS), np.float32), np.empty(count, np.uint8)


def _content(path: Path) -> bytes:
    """Return the bytes of a file, but no more than one that is too long needs to show it."""
    with reading(path), path.open("rb") as file:
        return file.read(IN_A_FILE * ROW + 1)


def _archived(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield each file of the archive: its name, its place for a message, and its bytes. Nothing is unpacked on disk."""
    lacking = set(FILES)
    with reading(path):
        try:
            with tarfile.open(path, "r|gz") as archive:
                for member in archive:
                    name = member.name.removeprefix("./").removeprefix(f"{FOLDER}/")
                    file = archive.extractfile(member) if name in lacking and member.isreg() else None
                    if file is not None:
                        lacking.remove(name)
                        yield name, f"{path}: {name}", file.read(IN_A_FILE * ROW + 1)
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path}: expected a complete archive of CIFAR-10 in its binary version, found one that is damaged, "
                f"truncated or of another kind ({error}); {FRESH}"
            ) from error
    if lacking:
        raise DataError(f"{path}: the archive has no {', '.join(sorted(lacking))}; take that of the binary version")


def _read_into(images: Array, content: bytes, place: str) -> Array:
    """Write the pixels of a file into rows of floats, colours last; return the labels."""
    if len(content) != IN_A_FILE * ROW:
        found = "more" if len(content) > IN_A_FILE * ROW else f"{len(content):,}"
        gzipped = " (it is a gzip file: unpack it)" if content[:2] == b"\x1f\x8b" else ""
        raise DataError(
            f"{place}: expected {IN_A_FILE * ROW:,} bytes, {IN_A_FILE:,} images of the binary version, found "
            f"{found}{gzipped}; {FRESH}"
        )
    rows = np.frombuffer(content, np.uint8).reshape(IN_A_FILE, ROW)
    labels = rows[:, 0]
    wrong = np.flatnonzero(labels > 9)
    if wrong.size:
        raise DataError(
            f"{place}: expected labels 0 to 9, found {labels[wrong[0]]} at image {wrong[0]}; {FRESH}"
        )
    planes = rows[:, 1:].reshape(IN_A_FILE, COLOURS, PIXELS).transpose(0, 2, 1)
    np.divide(planes, 255, out=images.reshape(IN_A_FILE, PIXELS, COLOURS), dtype=np.float32)
    return labels
