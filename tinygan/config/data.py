"""The table ``[data]`` of an experiment: which data set is learnt, and in which scale."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tinygan.config.refusals import Place, either
from tinygan.config.schema import Choice, Flag, FolderPath, Integer, Number, RangeOf, Section
from tinygan.data.dataset import Dataset
from tinygan.data.folder import LARGEST_SIZE, from_folder
from tinygan.data.own import from_file
from tinygan.data.registry import DATA_SETS, load
from tinygan.data.scaling import RANGES, contrast_range, with_contrast, with_range
from tinygan.errors import ConfigError

OWN = {"images": "--images", "array": "--array"}  # one's own data, and the option that names their place
SCALES = ("range", "contrast")  # the keys that choose another scale for the images


@dataclass(frozen=True, kw_only=True)
class DataConfig(Section):
    """Which data set is learnt; ``fold``, from 0, is for those that come divided in several ways.

    ``set`` may also be "images", one's own in the folder ``path``, or "array", those in the ``.npy`` file ``path`` with
    the labels in the file ``labels``. For ``size`` and ``colour`` see `tinygan.data.from_folder`, for ``range`` and
    ``contrast``, the scale of the images, `tinygan.data.with_range` and `tinygan.data.with_contrast`.
    """

    set: Annotated[str, Choice(*DATA_SETS, *OWN)]
    fold: Annotated[int | None, Integer(at_least=0)] = None
    path: Annotated[str | None, FolderPath()] = None
    size: Annotated[int | None, Integer(at_least=1, at_most=LARGEST_SIZE)] = None
    colour: Annotated[bool | None, Flag()] = None
    labels: Annotated[str | None, FolderPath()] = None
    range: Annotated[tuple[float, float] | None, RangeOf(*RANGES)] = None
    contrast: Annotated[float | None, Number(above=0, single=True)] = None

    def check(self, place: Place) -> None:
        """Refuse a fold that there is not, a missing one, keys of another kind of data, and two scales."""
        for key in SCALES:
            if getattr(self, key) is not None and self.is_line:
                raise place.at(key).refuse(f'"{self.set}" has no images to scale: remove it')
        if self.range is not None and self.contrast is not None:
            raise place.at("contrast").refuse("range is another scale of the images: remove one of the two")
        for key, sets in {"path": tuple(OWN), "size": ("images",), "colour": ("images",), "labels": ("array",)}.items():
            if getattr(self, key) is not None and self.set not in sets:
                raise place.at(key).refuse(f'"{self.set}" has no such key; it belongs to set = {either(sets)}')
        if self.set in OWN:
            if self.fold is not None:
                raise place.at("fold").refuse(f'"{self.set}" has no folds: remove it')
            return
        folds = DATA_SETS[self.set].folds
        expected = f'"{self.set}" has {folds} folds: expected an integer from 0 to {folds - 1}'
        if not folds:
            if self.fold is not None:
                raise place.at("fold").refuse(f'"{self.set}" has no folds: remove it')
        elif self.fold is None:
            raise place.at("fold").refuse(f"missing; {expected}")
        elif self.fold >= folds:
            raise place.at("fold").refuse(f"{expected}, got {self.fold}")

    @property
    def is_line(self) -> bool:
        """Whether an example is one number instead of an image."""
        return self.set in DATA_SETS and not DATA_SETS[self.set].images

    @property
    def needs_files(self) -> bool:
        """Whether the data are read from files in the folder of the data sets."""
        return self.set in DATA_SETS and DATA_SETS[self.set].files

    @property
    def option(self) -> str:
        """The option of the command line that names the place of the data."""
        return OWN.get(self.set, "--data")

    def load(self, folder: str | os.PathLike[str] | None = None, progress: bool = False) -> Dataset:
        """Load the data set and scale it; `folder` is that of the data sets, see `tinygan.data.load`.

        Raises
        ------
        ConfigError
            ``path`` is missing.
        DataError, DtypeError, ShapeError
            The data are missing, damaged, or of another form.
        """
        if self.set not in OWN:
            dataset = load(self.set, folder, progress=progress, fold=self.fold)
        elif self.fold is not None:
            raise ConfigError(f'data.fold: "{self.set}" has no folds, got {self.fold}: leave it out')
        elif self.path is None:
            raise ConfigError(
                f'data.path: missing; set = "{self.set}" needs it: add it, or name it with {self.option}'
            )
        elif self.set == "images":
            dataset = from_folder(self.path, self.size, self.colour, progress)
        else:
            dataset = from_file(self.path, self.labels)
        if self.contrast is not None:
            return with_contrast(dataset, self.contrast)
        return dataset if self.range is None else with_range(dataset, *self.range)

    def shown(self, image_shape: Sequence[int]) -> tuple[float, float]:
        """Return the numbers that a picture shows as black and as white: `Dataset.shown`, without the data."""
        if self.contrast is not None:
            return contrast_range(self.contrast, math.prod(image_shape))
        return self.range or (0.0, 1.0)
