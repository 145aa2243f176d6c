"""The pictures of a run: its sample sheets, and a sheet of data to compare them with."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygan.backend import Stream
from tinygan.experiments.labels import all_in_turn, columns_for
from tinygan.experiments.training import Training
from tinygan.gan.learned import answers
from tinygan.pictures.line import axis_of, save_line_sheet
from tinygan.pictures.sheets import data_path, save_sheet, sheet_path
from tinygan.runs.run_folder import RunFolder


def draw_sheet(folder: RunFolder, training: Training, epoch: int) -> None:
    """Draw the sample sheet of an epoch; 0 is before training.

    If an example is one number, the sheet shows p_g, p_data and D instead of images.
    """
    folder.check()
    path = sheet_path(folder, epoch)
    path.parent.mkdir(exist_ok=True)  # it may have been removed since the run began
    if training.image_shape != (1,):
        save_sheet(path, training.sheet(), training.image_shape, training.dataset.shown, _columns(training))
        return
    x = axis_of(training.dataset.train.images)  # the same for all sheets of a run
    rows = x[:, None]
    density = training.dataset.density
    d = answers(training.game.discriminator, rows)
    save_line_sheet(path, training.sheet(), x, None if density is None else density(rows), d)


def draw_data(folder: RunFolder, training: Training) -> None:
    """Draw as many training images as a sample sheet has, of the same classes; a density needs no such sheet."""
    if training.image_shape == (1,):
        return
    folder.check()
    folder.samples_path.mkdir(exist_ok=True)
    order = Stream(training.config.seed, "data sheet").permutation(len(training.images))
    rows = _sorted(training, order) if training.config.training.classes else order[: training.config.output.samples]
    images, shown = training.images[rows], training.dataset.shown
    save_sheet(data_path(folder), images, training.image_shape, shown, _columns(training))


def _columns(training: Training) -> int | None:
    classes, count = training.config.training.classes, training.config.output.samples
    return None if classes is None else columns_for(classes, count)


def _sorted(training: Training, order: Any) -> Any:
    """Return the rows of images whose classes are those of a sample sheet, in turn; a class with few images repeats."""
    config, labels = training.config, training.dataset.train.labels[order]
    wanted = all_in_turn(config, config.output.samples)
    of_class = [iter(np.resize(order[labels == label], len(wanted))) for label in range(config.training.classes or 0)]
    return np.array([next(of_class[label]) for label in wanted])
