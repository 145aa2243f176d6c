"""The labels of a conditional experiment: those it is trained with, and those that its samples are drawn with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygan.backend import Streams
from tinygan.config.experiment import ExperimentConfig
from tinygan.errors import ConfigError
from tinygan.runs.checkpoint import shown

STREAM = "labels"  # of the labels for many samples, in the proportions of the data


def refuse_other_labels(config: ExperimentConfig, labels: Any) -> None:
    """Raise `ConfigError` if the training images do not have the classes 0, 1, ... that the experiment names."""
    classes = config.training.classes
    if classes is None:
        return
    place, found = f"{config.name}: training.classes = {classes}", np.unique(labels).tolist()
    if found == list(range(classes)):
        return
    if len(found) < 2:
        advice = "it has no labels: remove training.classes, or give images of two or more classes"
    elif found == list(range(len(found))):
        advice = f"set it to {len(found)}"
    else:
        advice = "number the classes 0, 1, 2, ... without a gap, so that G can learn each"
    raise ConfigError(
        f"{place}: the labels of the training images of {config.data.set!r} are {shown(found)}; expected 0 to "
        f"{classes - 1}, each at least once: {advice}"
    )


def in_turn(labels: Sequence[int], count: int) -> Any:
    """Return `count` labels: the given ones in turn.

    Examples
    --------
    >>> in_turn([0, 1, 2], 5)
    array([0, 1, 2, 0, 1])
    """
    return np.resize(np.array(labels, np.int64), count)


def all_in_turn(config: ExperimentConfig, count: int) -> Any:
    """Return the labels of a sample sheet, all classes in turn; None for an experiment without labels."""
    return None if config.training.classes is None else in_turn(range(config.training.classes), count)


def in_proportion(config: ExperimentConfig, labels: Any, count: int, seed: int) -> Any:
    """Return `count` labels in the proportions of the training images; None for an experiment without labels.

    They are those of the images, in a random order and again and again, so the shares differ from those of the data by
    less than one image.

    Parameters
    ----------
    config : ExperimentConfig
    labels : array of integers
        Of the training images.
    count, seed : int
    """
    if config.training.classes is None:
        return None
    order = Streams(seed)[STREAM].permutation(len(labels))
    return np.resize(np.asarray(labels, np.int64)[order], count)


def columns_for(labels: int, count: int) -> int:
    """Return how many columns a sheet of `count` images has, so that each column has one of the labels in turn.

    Examples
    --------
    >>> columns_for(10, 100), columns_for(3, 100), columns_for(10, 4)
    (10, 9, 4)
    """
    return min(count, labels * max(1, round(math.sqrt(count) / labels)))
