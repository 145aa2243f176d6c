"""Small versions for tests: shipped experiments with narrow layers, their data sets, and little working memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest

from tinygan.config.experiment import ExperimentConfig, load_experiment, shipped_experiments
from tinygan.data import Dataset, Split, load
from tinygan.evaluation import blocks

WIDTH, CHANNELS = 120, 8  # largest number of units of a hidden layer, and of its maps

NAMES = [config.name for config in shipped_experiments()]


def shrunk(name: str, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read an experiment, with hidden layers of few units and maps; their number and kinds do not change."""
    config, narrow = load_experiment(name, overrides), []
    for player in ("generator", "discriminator"):
        layers = getattr(config, player).layers
        for i, layer in enumerate(layers):  # the last with units, and the last with channels, must fit what follows
            key, rest = "units" if hasattr(layer, "units") else "channels", layers[i + 1 :]
            most = CHANNELS if "conv" in layer.type else WIDTH
            maps = [above.height * above.width for above in rest if above.type == "maps"]
            if maps and key == "units":
                most = CHANNELS * maps[0]
            if getattr(layer, key, 0) > most and (maps or any(hasattr(above, key) for above in rest)):
                narrow.append(f"{player}.layers.{i}.{key}={most}")
    return load_experiment(name, [*overrides, *narrow])


def small(name: str, overrides: Sequence[str] = ()) -> ExperimentConfig:
    """Read a shrunk experiment, with small batches of maps: a convolution takes long on the double."""
    return shrunk(name, [*overrides, *(["training.batch=16"] if "conv" in name or "dcgan" in name else [])])


def stand_in(name: str, rows: int = 300) -> Dataset:
    """Return a data set with images of the right shape; random pixels if the real ones need files."""
    if name in ("digits", "gaussian"):
        return load(name)
    shape = {"mnist": (28, 28), "tfd": (48, 48), "cifar10": (32, 32, 3)}[name]
    split = Split(np.random.default_rng(0).random((rows, math.prod(shape)), np.float32), np.zeros(rows, np.uint8))
    return Dataset(name, shape, split, split, split)


@contextmanager
def memory(budget: int) -> Iterator[None]:
    """Let the measures of `tinygan.evaluation` use `budget` bytes of working memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BUDGET", budget)
        yield
