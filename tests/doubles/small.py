"""Shipped experiments for the double: as they are, with narrow hidden layers, on data that is at hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinygan.config.experiment import ExperimentConfig, load_experiment, shipped_experiments
from tinygan.data import Dataset, Split, load

WIDTH = 120  # of hidden layers at most

NAMES = [config.name for config in shipped_experiments()]


def shrunk(name: str, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read an experiment, with hidden layers of `WIDTH` units at most: their number and kinds stay."""
    config, narrow = load_experiment(name, overrides), []
    for player in ("generator", "discriminator"):
        layers = getattr(config, player).layers
        with_units = [i for i, layer in enumerate(layers) if hasattr(layer, "units")]
        narrow += [f"{player}.layers.{i}.units={WIDTH}" for i in with_units[:-1] if layers[i].units > WIDTH]
    return load_experiment(name, [*overrides, *narrow])


def stand_in(name: str, rows: int = 300) -> Dataset:
    """A data set with images of the right shape; random pixels where the files would have to be there."""
    if name in ("digits", "gaussian"):
        return load(name)
    pixels = {"mnist": 784, "tfd": 48 * 48, "cifar10": 32 * 32 * 3}[name]
    split = Split(np.random.default_rng(0).random((rows, pixels), np.float32), np.zeros(rows, np.uint8))
    return Dataset(name, (1, pixels), split, split, split)
