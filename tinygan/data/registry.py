"""The table of data sets, by the names that experiments and commands use."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable

from tinygan.data.dataset import Dataset
from tinygan.data.digits import load_digits
from tinygan.data.gaussian import load_gaussian
from tinygan.data.mnist import load_mnist
from tinygan.data.tfd import load_tfd
from tinygan.errors import DataError

# Each loader takes (folder, download, progress); those in FOLDED also fold=.
LOADERS: dict[str, Callable[..., Dataset]] = {
    "digits": lambda folder, download, progress: load_digits(),  # embedded: nothing to find
    "gaussian": lambda folder, download, progress: load_gaussian(),  # drawn: nothing to find
    "mnist": load_mnist,
    "tfd": lambda folder, download, progress, fold=0: load_tfd(folder, fold),  # not public: nothing to download
}
FOLDED = ("tfd",)


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
        One of the names in `LOADERS`, such as ``"digits"``.
    folder : str or path, optional
        Where its files are, as ``FOLDER/<name>/...``. Without it, the folder in the environment variable
        ``TINYGAN_DATA``; without that, the cache of this user. Digits and Gaussian numbers need no files.
    download : bool
        Whether files may be downloaded into the cache when no folder is named and they are not there yet.
    progress : bool
        Show the progress of a download on stderr.
    fold : int, optional
        Which fold, of a data set that has folds; by default the first, 0.

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
    tinygan.errors.DataError: unknown data set 'minst': did you mean 'mnist'? There are: digits, gaussian, mnist...
    """
    if not isinstance(name, str) or name not in LOADERS:
        [nearest] = difflib.get_close_matches(str(name).lower(), LOADERS, n=1, cutoff=0.0)
        raise DataError(
            f"unknown data set {name!r}: did you mean {nearest!r}? There are: {', '.join(LOADERS)}"
        )
    if fold is None:
        return LOADERS[name](folder, download, progress)
    if name not in FOLDED:
        raise DataError(f"{name} has no folds, got fold {fold}: leave it out; {' and '.join(FOLDED)} comes in folds")
    return LOADERS[name](folder, download, progress, fold=fold)
