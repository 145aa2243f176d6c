"""Finding the files of a data set: in a folder that the user names, or in a cache that is filled by download.

The order is: the folder given; the folder in the environment variable ``TINYGAN_DATA``; the cache of this user, which
is downloaded on first use. A named folder is never written to, and a file missing there is an error. The files may be
in the subfolder with the name of the data set, or in the folder itself. A file that is downloaded as ``name.gz`` may
also be there unpacked, as ``name``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tinygan.errors import DataError

VARIABLE = "TINYGAN_DATA"


def find_or_download(
    dataset: str,
    checksums: Mapping[str, str],
    mirrors: Sequence[str],
    folder: str | os.PathLike[str] | None = None,
    download: bool = True,
    progress: bool = False,
) -> Path:
    """Return the folder with all files of a data set; download them if no folder is named.

    In a folder that the user named, only the presence of the files is checked. Files in the cache are compared with
    their checksums, unless `download` is False, and are downloaded again if they differ.

    Parameters
    ----------
    dataset : str
        Name of the data set and of its subfolder: the files are ``FOLDER/<dataset>/<file>``.
    checksums : mapping of str to str
        The SHA-256 in hexadecimal of each file, by file name.
    mirrors : sequence of str
        Addresses that end in a slash, to which a file name is appended; tried in this order.
    folder : str or path, optional
        FOLDER, or ``FOLDER/<dataset>``. Without it, ``TINYGAN_DATA``; without that, the cache.
    download : bool
        Whether files missing from the cache may be downloaded.
    progress : bool
        Show the progress of each download on stderr.

    Returns
    -------
    Path
        A folder in which every file of `checksums` is present: see `file_in`.

    Raises
    ------
    DataError
        Files are missing, or a download failed; the message names the files and where to put them.

    Examples
    --------
    >>> find_or_download("mnist", {"images.gz": "01"}, [], folder="no/such/folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tinygan.errors.DataError: mnist: no/such/folder/mnist has no file of the data set (there is ...
    """
    named = folder if folder is not None else os.environ.get(VARIABLE) or None
    if named is not None:
        folder, home = _home(dataset, checksums, named)
        advice = f"{_advice(checksums, home, folder)}; or name no folder, and they are downloaded"
        _require_all(dataset, checksums, home, advice)
        return home

    try:
        import pooch  # imported here, because the import takes longer than reading the digits, which do not need it
    except ImportError as error:
        advice = f"{_advice(checksums, Path('FOLDER', dataset))}; or install pooch, and they are downloaded"
        raise DataError(f"{dataset}: no folder is named, and pooch cannot be imported ({error}). {advice}") from error

    home = Path(pooch.os_cache("tinygan")) / dataset
    if download:
        _download_all(dataset, checksums, mirrors, home, progress)
    else:
        advice = f"{_advice(checksums, Path('FOLDER', dataset))}; or allow the download, which was switched off"
        _require_all(dataset, checksums, home, advice)
    return home


def find_private(
    dataset: str, names: Sequence[str], why: str, folder: str | os.PathLike[str] | None = None
) -> Path:
    """Return the folder with all files of a data set that is not public, so that it cannot be downloaded.

    Parameters
    ----------
    dataset : str
        Name of the data set and of its subfolder.
    names : sequence of str
        The files.
    why : str
        A sentence without a full stop: why there is no download, and whom to ask.
    folder : str or path, optional
        As in `find_or_download`; there is no cache.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        Files are missing; the message says why, names them and where to put them.

    Examples
    --------
    >>> find_private("faces", ["faces.mat"], "Ask Ann", folder="no/such/folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    tinygan.errors.DataError: faces: no/such/folder/faces has no file of the data set (there is no such folder). Ask ...
    """
    named = folder if folder is not None else os.environ.get(VARIABLE) or None
    if named is None:
        raise DataError(f"{dataset}: no folder of data sets is named. {why}. {_advice(names, Path('FOLDER', dataset))}")
    folder, home = _home(dataset, names, named)
    _require_all(dataset, names, home, f"{why}. {_advice(names, home, folder)}")
    return home


def find_unpacked(
    dataset: str, inner: str, names: Sequence[str], folder: str | os.PathLike[str] | None = None
) -> Path | None:
    """Return the folder with the unpacked files of an archive, or None if the user names no folder that has one.

    Parameters
    ----------
    dataset : str
        Name of the data set and of its subfolder.
    inner : str
        The folder in the archive. The files may lie in it, in the subfolder of the data set, or in the named folder.
    names : sequence of str
        The files.
    folder : str or path, optional
        As in `find_or_download`; the cache has the archive only.

    Raises
    ------
    DataError
        Some of the files are missing; the message names them.

    Examples
    --------
    >>> find_unpacked("colours", "batches", ["one.bin"], folder="no/such/folder") is None
    True
    """
    named = folder if folder is not None else os.environ.get(VARIABLE) or None
    if named is None:
        return None
    for place in (f"{dataset}/{inner}", inner, dataset):
        _, home = _home(place, names, named)
        if any(os.path.exists(home / name) for name in names):
            _require_all(dataset, names, home, "Unpack the archive again: all of its files belong there")
            return home
    return None


def file_in(home: Path, name: str) -> Path:
    """Return the path of a file of a data set: with its name, or, if unpacked, with its name without ``.gz``.

    Examples
    --------
    >>> file_in(Path("no/such/folder"), "images.gz").name
    'images.gz'
    """
    packed, unpacked = home / name, home / name.removesuffix(".gz")
    return unpacked if os.path.exists(unpacked) and not os.path.exists(packed) else packed


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn a system error while a data file is read into a `DataError` that names it; refuse a path that is not a file.

    Reading a pipe or a device might never end.
    """
    with enough_memory(str(path)):
        try:
            if path.exists() and not path.is_file():
                kind = "folder" if path.is_dir() else "device or pipe"
                raise DataError(f"{path}: expected a file, found a {kind}; give the path of the data file itself")
            yield
        except FileNotFoundError:
            raise DataError(f"{path}: expected a file, found nothing of that name; check the path") from None
        except OSError as error:
            raise DataError(
                f"{path}: expected a readable file, but the system says: {error.strerror or error}; "
                "check what the path names and who may read it"
            ) from error


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Turn a `MemoryError` into a `DataError`."""
    try:
        yield
    except MemoryError as error:
        raise DataError(
            f"{what}: the data do not fit into the memory ({str(error) or 'it is full'}); end other programs, or use "
            "a machine with more"
        ) from error


def _home(
    dataset: str, names: Sequence[str] | Mapping[str, str], named: str | os.PathLike[str]
) -> tuple[Path, Path]:
    """Return the named folder, and the folder with the files: its subfolder, or the named folder itself."""
    try:
        folder = Path(named).expanduser()
    except RuntimeError as error:  # there is no such user
        raise DataError(f"{dataset}: the folder {named}: {error}; write it without ~") from None
    below = folder / dataset
    filled = [home for home in (below, folder) if any(os.path.exists(file_in(home, name)) for name in names)]
    return folder, filled[0] if filled else below


def _require_all(dataset: str, names: Sequence[str] | Mapping[str, str], home: Path, advice: str) -> None:
    try:
        present, why = os.listdir(home), ""
    except FileNotFoundError:
        present, why = [], " (there is no such folder)"
    except OSError as error:
        raise DataError(
            f"{dataset}: expected the folder {home}, but the system says: {error.strerror}; check what the "
            "path names and who may read it"
        ) from error
    missing = [name for name in names if not {name, name.removesuffix(".gz")}.intersection(present)]
    if missing:
        lacks = _list(missing) if len(missing) < len(names) else "file of the data set"
        raise DataError(f"{dataset}: {home} has no {lacks}{why}. {advice}")


def _download_all(
    dataset: str, checksums: Mapping[str, str], mirrors: Sequence[str], home: Path, progress: bool
) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{dataset}: the cache folder {home} cannot be made: {error.strerror}. "
            f"Set {VARIABLE} to a folder that has {dataset}/ with {_list(checksums)} in it."
        ) from error
    for name, checksum in checksums.items():
        failures = []
        for mirror in mirrors:
            try:
                _download(mirror + name, checksum, home, name, progress)
                break
            except (OSError, ValueError) as error:  # errors of requests are OSErrors
                failures.append(f"  {mirror}{name}: {_reason(error)}")
        else:
            # Do not advise the cache: another gzip of the same numbers would fail the checksum there.
            advice = f"{_advice(checksums, Path('FOLDER', dataset))}; or try again when the network is available"
            raise DataError("\n".join([f"{dataset}: {name} could not be downloaded.", *failures, advice]))


def _download(url: str, checksum: str, home: Path, name: str, progress: bool) -> None:
    """Download one file, unless it is there. Pooch gives the file its name only after the checksum is verified."""
    import pooch

    with _quiet(pooch.get_logger()):
        pooch.retrieve(
            url,
            known_hash=f"sha256:{checksum}",
            fname=name,
            path=home,
            downloader=pooch.HTTPDownloader(progressbar=progress),
        )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Prevent pooch from printing a message for each file: a library does not print."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return "the file does not have the known SHA-256 checksum"
    if getattr(error, "response", None) is not None:
        return str(error)  # the server's own message
    # The text of a failed connection is a paragraph of library internals; its type has the same information.
    return error.strerror or type(error).__name__


def _advice(names: Sequence[str] | Mapping[str, str], place: Path, named: Path | None = None) -> str:
    return (
        f"Put {_list(names)} into {place}, and name {named or place.parent} with --data (in Python: folder=) or in "
        f"the environment variable {VARIABLE}"
    )


def _list(names: Sequence[str] | Mapping[str, str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
