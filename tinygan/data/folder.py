"""A folder of one's own images as a data set, read with Pillow."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tinygan.data.dataset import Array, Dataset
from tinygan.data.files import enough_memory
from tinygan.data.own import MOST_CLASSES, as_dataset
from tinygan.errors import ArgumentError, DataError, DtypeError, MissingPackageError
from tinygan.runs.plain_files import opened_to_read

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pnm")
LARGEST = 1 << 20  # numbers in an image: a photo of a camera has forty times as many, and no network here learns it
LARGEST_SIZE = 1024  # pixels
_ONE_CHANNEL = "to make all grey, with one channel: --set data.colour=false (in Python: colour=False)"


def from_folder(
    path: str | os.PathLike[str], size: int | None = None, colour: bool | None = None, progress: bool = False
) -> Dataset:
    """Make a data set of the images in a folder.

    The images are in the folder itself, or in sub-folders, one for each class: the sub-folders in the order of their
    names are labels 0, 1, ... Files are taken in the order of their names. Hidden files, and files without the ending
    of an image, are left out.

    Parameters
    ----------
    path : str or path
        The folder.
    size : int, optional
        Cut the largest square from the middle of each image, and scale it to size x size pixels. Without it, all images
        must have one size.
    colour : bool, optional
        Make all images colour images, or all grey. By default they are grey if all files are, otherwise in colour.
    progress : bool
        Show the progress on stderr.

    Returns
    -------
    Dataset
        Pixels from 0 to 1, divided into splits as in `from_arrays`. Images are turned as their EXIF data say.
        Transparent parts become white. 16-bit grey images keep their precision.

    Raises
    ------
    DataError
        There is no such folder; it has fewer than 10 images, or images of several sizes; or a file is damaged, no
        image, animated, or too large. The message names the file and says what to do.
    ArgumentError, DtypeError
        `size` or `colour` has another value.
    MissingPackageError
        Pillow is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in range(20):
    ...         Image.new("RGB", (12, 8), (number, 0, 0)).save(Path(folder, f"{number}.png"))
    ...     from_folder(folder)
    Dataset('images', images of 8x12x3, train 16, validation 2, test 2)
    """
    from tqdm import tqdm

    folder = _checked(path, size, colour)
    files, labels, classes, others = _files(folder)
    pictures: list[Array] = []
    transparent = 0
    with enough_memory(str(folder)):
        for file in tqdm(files, unit="image", leave=False, disable=not progress):
            picture, clear = _read(file, size, colour)
            if pictures and picture.shape[:2] != pictures[0].shape[:2]:
                raise DataError(
                    f"{file}: expected {_size(pictures[0])} pixels (height x width), as in {files[0].name}, found "
                    f"{_size(picture)}: make all images one size, or let them be cut and scaled to squares: --set "
                    "data.size=32 (in Python: size=32)"
                )
            pictures.append(picture)
            transparent += clear
        coloured = sum(picture.ndim == 3 for picture in pictures)
        if coloured or colour:
            pictures = [np.broadcast_to(p if p.ndim == 3 else p[..., None], (*p.shape[:2], 3)) for p in pictures]
        notes = [f"images with transparent parts, which are white here: {transparent:,}"] if transparent else []
        if 0 < coloured < len(pictures):
            notes.append(f"grey files, in colour here: {len(pictures) - coloured:,}; {_ONE_CHANNEL}")
        if others:
            notes.append(f"left out, as no images: {_first(others)}")
        if colour is None and coloured == len(pictures) and all(map(_is_grey, pictures)):
            notes.append(f"all of them are grey, though the files are in colour: {_ONE_CHANNEL}")
        images = np.stack(pictures)
        pictures.clear()
        if images.dtype != np.uint8:
            images /= 255
    return as_dataset("images", images, labels, f"{folder}: ", classes, notes)


def _checked(path: Any, size: Any, colour: Any) -> Path:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise DtypeError(f"from_folder: expected the path of a folder, got {path!r:.60}")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= LARGEST_SIZE):
        raise ArgumentError(f"from_folder: size is {size!r:.60}; expected an integer from 1 to {LARGEST_SIZE}, or None")
    if colour is not None and not isinstance(colour, bool):
        raise DtypeError(f"from_folder: colour is {colour!r:.60}; expected True, False or None")
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "from_folder: Pillow, which reads images, is not installed; install it: pip install pillow"
        ) from error
    return Path(os.path.expanduser(path))


def _files(folder: Path) -> tuple[list[Path], Array | None, list[str], list[str]]:
    """Return the images of a folder, their labels, the names of the classes, and the names of the other files."""
    files, folders, others = _listed(folder)
    if files and folders:
        raise DataError(
            f"{folder}: expected images, or sub-folders with the images of one class each, found both "
            f"({files[0].name}, {folders[0].name}{os.sep}): move the one or the other away"
        )
    if not folders:
        if not files:
            found = f"only {_first(others)}" if others else "nothing"
            raise DataError(f"{folder}: expected images ({', '.join(ENDINGS[:4])}, ...), found {found}")
        return files, None, [], others
    if len(folders) > MOST_CLASSES:
        raise DataError(
            f"{folder}: expected at most {MOST_CLASSES} sub-folders, one for each class, found {len(folders):,}; to "
            "train without labels, put all images into one folder"
        )
    labels: list[int] = []
    for label, below in enumerate(folders):
        found_files, deeper, found_others = _listed(below)
        if deeper or not found_files:
            found = f"the folder {deeper[0].name}" if deeper else "none"
            raise DataError(f"{below}: expected the images of one class, found {found}: move it away")
        files += found_files
        labels += [label] * len(found_files)
        others += found_others
    return files, np.array(labels), [below.name for below in folders], others


def _listed(folder: Path) -> tuple[list[Path], list[Path], list[str]]:
    """Return the images, the folders and the names of the other files in a folder, sorted; without hidden ones."""
    try:
        found = sorted((entry.name, entry.is_dir()) for entry in os.scandir(folder) if not entry.name.startswith("."))
    except (OSError, ValueError) as error:  # ValueError: a null character
        hint = "; for an array, use --array (in Python: from_arrays)" if folder.is_file() else ""
        raise DataError(
            f"{folder}: expected a folder of images, but the system says: {getattr(error, 'strerror', None) or error}"
            f"{hint or '; if it has moved, name its new place: --images DIR'}"
        ) from error
    names = [name for name, is_folder in found if not is_folder]
    images = [name for name in names if name.lower().endswith(ENDINGS)]
    folders = [folder / name for name, is_folder in found if is_folder]
    return [folder / name for name in images], folders, [name for name in names if not name.lower().endswith(ENDINGS)]


def _read(file: Path, size: int | None, colour: bool | None) -> tuple[Array, bool]:
    """Return an image, (h, w) or (h, w, 3), and whether parts were transparent: uint8, or float32 of the same range."""
    from PIL import Image

    try:
        # Pillow warns of an image that is much larger than its file, and of damaged metadata, which are not used.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with opened_to_read(file) as (opened, _), Image.open(opened) as picture:
                return _decoded(file, picture, size, colour)
    except (DataError, MemoryError):
        raise
    except Image.UnidentifiedImageError:
        why = "found a file of another kind"
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        why = f"found one of more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels, which would fill the memory"
    except Exception as error:  # on a damaged file the decoders may raise anything
        system = getattr(error, "errno", None) and getattr(error, "strerror", None)
        reason = str(error)[:100] or type(error).__name__
        why = f"but the system says: {system}" if system else f"found a damaged file ({reason})"
    raise DataError(f"{file}: expected an image, {why}: replace it, or move it away")


def _decoded(file: Path, picture: Any, size: int | None, colour: bool | None) -> tuple[Array, bool]:
    from PIL import Image, ImageOps

    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # a camera's JPEG with previews: the first is the picture
        raise DataError(f"{file}: expected one picture, found {frames:,} frames: save one of them as a file")
    kind = picture.format
    if size is None and picture.width * picture.height > LARGEST:
        raise DataError(
            f"{file}: {picture.height:,}x{picture.width:,} pixels are too many to learn: let the images be cut and "
            "scaled to squares: --set data.size=32 (in Python: size=32)"
        )
    picture = ImageOps.exif_transpose(picture)
    clear = False
    if picture.mode.startswith("I"):
        if picture.mode == "I" and kind != "PNG":  # PNG has 16 bits at most, whatever Pillow calls them
            raise DataError(f"{file}: expected 8 or 16 bits a pixel, found 32: save it as a PNG file")
        picture = Image.fromarray(np.asarray(picture).astype(np.float32) / 257)  # 65535 is white
    elif picture.mode == "F":
        raise DataError(f"{file}: its pixels are floats of no fixed range: save it as a PNG file")
    else:
        grey, palette = picture.mode in ("1", "L", "LA", "La"), picture.mode in ("P", "PA")
        if picture.has_transparency_data:
            layer = picture.convert("RGBA")
            clear = layer.getextrema()[3][0] < 255
            picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        picture = picture.convert("RGB")
        if grey or colour is False or (palette and _is_grey(np.asarray(picture))):
            picture = picture.convert("L")
    if size is not None:
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    array = np.asarray(picture)
    return (array if array.dtype == np.uint8 else array.clip(0, 255)), clear  # LANCZOS may go beyond


def _is_grey(picture: Array) -> bool:
    return bool((picture == picture[..., :1]).all())


def _first(names: list[str]) -> str:
    return ", ".join([*names[:3], *["..."] * (len(names) > 3)])


def _size(picture: Array) -> str:
    return f"{picture.shape[0]}x{picture.shape[1]}"
