"""The only list of the data sets, `DATA_SETS`, by the names that experiments and commands use.

To add a data set, write its loader in a file beside this one and add one line to `DATA_SETS`. Experiment files
(``data.set``), `load`, ``tinygan doctor`` and the report then know it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from tinygan.data.cifar10 import load_cifar10
from tinygan.data.dataset import Dataset
from tinygan.data.digits import load_digits
from tinygan.data.gaussian import load_gaussian
from tinygan.data.mnist import load_mnist
from tinygan.data.tfd import load_tfd
from tinygan.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Source:
    """The loader of a data set, and its properties that an experiment needs before loading.

    Attributes
    ----------
    load : callable
        Returns the `Dataset`. If it reads files, it takes ``(folder, download, progress)``; with folds, also ``fold=``.
    files : bool
        Whether the data are read from files.
    folds : int
        The number of folds; 0 if the data set is divided in one way only.
    images : bool
        Whether an example is an image; otherwise it is one number.
    """

    load: Callable[..., Dataset]
    files: bool = False
    folds: int = 0
    images: bool = True


DATA_SETS = {
    "cifar10": Source(load_cifar10, files=True),
    "digits": Source(load_digits),
    "gaussian": Source(load_gaussian, images=False),
    "mnist": Source(load_mnist, files=True),
    # TFD is not public: there is nothing to download
    "tfd": Source(lambda folder, download, progress, fold=0: load_tfd(folder, fold), files=True, folds=5),
}


def load(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    download: bool = True,
    progress: bool = False,
    fold: int | None = None,
) -> Dataset:
    """Load a data set by name.

    Parameters
    ----------
    name : str
        One of the names in `DATA_SETS`, such as ``"digits"``.
    folder : str or path, optional
        The folder of its files, ``FOLDER/<name>/...``. By default the folder in the environment variable
        ``TINYGAN_DATA``; if that is not set, the cache of this user. Digits and Gaussian numbers need no files.
    download : bool
        Whether missing files may be downloaded into the cache, if no folder is named.
    progress : bool
        Show the progress of a download on stderr.
    fold : int, optional
        The number of the fold, for a data set with folds; by default 0.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        There is no data set of that name, it has no such fold, or its files are missing or damaged.

    Examples
    --------
    >>> load("digits").test
    Split(200 images of 64 pixels)
    >>> load("minst")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tinygan.errors.DataError: unknown data set 'minst'; did you mean "mnist"? There are: cifar10, digits, gaussian...
    """
    if not isinstance(name, str) or name not in DATA_SETS:
        hint = did_you_mean(str(name), DATA_SETS) or "."
        raise DataError(f"unknown data set {name!r}{hint} There are: {', '.join(DATA_SETS)}")
    source = DATA_SETS[name]
    if fold is not None and not source.folds:
        folded = " and ".join(other for other, known in DATA_SETS.items() if known.folds)
        raise DataError(f"{name} has no folds, got fold {fold}: leave it out; {folded} comes in folds")
    arguments = (folder, download, progress) if source.files else ()
    return source.load(*arguments) if fold is None else source.load(*arguments, fold=fold)
