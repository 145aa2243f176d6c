"""MNIST: 70,000 handwritten digits of 28x28 pixels, the data set of the paper's Table 1.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.data.dataset import Dataset, Split
from tinygan.data.files import enough_memory, file_in, find_or_download
from tinygan.data.idx import read_idx
from tinygan.errors import DataError

Array = np.ndarray[Any, np.dtype[Any]]

TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
TRAIN_LABELS = "train-labels-idx1-ubyte.gz"
TEST_IMAGES = "t10k-images-idx3-ubyte.gz"
TEST_LABELS = "t10k-labels-idx1-ubyte.gz"

# SHA-256 of the gzip files as published in 1998. Another gzip of the same numbers has another checksum, so these are
# for downloads only.
CHECKSUMS = {
    TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TRAIN_SIZE = 50_000  # of the 60,000 training images; pylearn2 validated on the other 10,000


def load_mnist(
    folder: str | os.PathLike[str] | None = None, download: bool = True, progress: bool = False
) -> Dataset:
    """MNIST: 50,000 images to train, 10,000 to validate, 10,000 to test; 28x28 pixels, value / 255.

    Training and validation are the first 50,000 and the last 10,000 images of the training file, as in the
    code released with the paper; the test images are the t10k files.

    Parameters
    ----------
    folder : str or path, optional
        The four files are ``FOLDER/mnist/*.gz``, or the same unpacked. By default the folder in the environment
        variable ``TINYGAN_DATA``; if that is not set, the cache of this user.
    download : bool
        Whether missing files may be downloaded (11 MB) into the cache. With a named folder, nothing is downloaded.
    progress : bool
        Show the progress of the download on stderr.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        Files are missing, damaged, or not MNIST; the message says which and what to do.

    Examples
    --------
    >>> load_mnist("no/such/folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tinygan.errors.DataError: mnist: no/such/folder/mnist has no file of the data set (there is ...
    """
    home = find_or_download("mnist", CHECKSUMS, MIRRORS, folder, download, progress)
    with enough_memory("mnist"):
        # The small files are read first, so that a wrong folder is refused at once.
        labels = _read_labels(file_in(home, TRAIN_LABELS), 60_000)
        test_labels = _read_labels(file_in(home, TEST_LABELS), 10_000)
        images = _read_images(file_in(home, TRAIN_IMAGES), 60_000)
        return Dataset(
            name="mnist",
            image_shape=(28, 28),
            train=Split(images[:TRAIN_SIZE], labels[:TRAIN_SIZE]),
            validation=Split(images[TRAIN_SIZE:], labels[TRAIN_SIZE:]),
            test=Split(_read_images(file_in(home, TEST_IMAGES), 10_000), test_labels),
        )


def _read_images(path: Path, count: int) -> Array:
    """Return images (count, 784) as float32; besides the bytes, this needs no other memory of that size."""
    pixels = read_idx(path, (count, 28, 28)).reshape(count, 784)
    return np.divide(pixels, 255, dtype=np.float32)


def _read_labels(path: Path, count: int) -> Array:
    labels = read_idx(path, (count,))
    wrong = np.flatnonzero(labels > 9)
    if wrong.size:
        raise DataError(
            f"{path}: expected labels 0 to 9, found {labels[wrong[0]]} at position {wrong[0]}; "
            "replace it by a fresh copy"
        )
    return labels
