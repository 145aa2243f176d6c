"""`Task`: one and the same game for every contestant, as files that any process can read."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinygan import data
from tinygan.backend import Streams
from tinygan.config.experiment import ExperimentConfig, load_experiment, parse_experiment, to_toml
from tinygan.config.layer_config import shapes
from tinygan.data.dataset import Dataset, Split
from tinygan.errors import DataError
from tinygan.experiments.build import build_game
from tinygan.gan.condition import one_hot_rows
from tinygan.runs.environment import describe_environment

SCHEDULES = {
    # Algorithm 1 as printed: fresh noise for each player, and D's two losses added.
    "alternating": (
        'training.schedule="alternating"',
        "training.shared_noise=false",
        "training.discriminator_loss_scale=1.0",
    ),
    # The released code: both move at once, from one batch of noise.
    "simultaneous": (
        'training.schedule="simultaneous"',
        "training.shared_noise=true",
        "training.discriminator_loss_scale=0.5",
    ),
}
PLAYERS = ("generator", "discriminator")
AT_REST = 1e-30  # times the learning rate: no weight moves
_MOST_BATCHES = 20  # minibatches taken in turn
_MOST_ROWS = 8192
_AGREEMENT_STEPS = 4


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be run, by whomever.

    Attributes
    ----------
    config : ExperimentConfig
        Networks, optimisers and training, everything resolved.
    device : {"cpu", "cuda"}
    threads : int
        Of each contestant.
    images : float32 array of shape (N, pixels)
        Some minibatches of k m rows each.
    weights : dict of str to array
        The initial weights of both networks: ``generator.0.weight``, ``discriminator.1.bias``, ...
    data : str
        Where the images come from, in words.
    labels : uint8 array of shape (N,), optional
        Of the images, for a conditional game.
    """

    config: ExperimentConfig
    device: str
    threads: int
    images: Any
    weights: dict[str, Any]
    data: str
    labels: Any = None

    @property
    def loose(self) -> bool:
        """Whether equal games differ by more than rounding: Adam moves a weight by the sign of next to nothing."""
        config = self.config
        players = config.generator, config.discriminator
        kinks = any(layer.type == "maps" for player in players for layer in player.layers)
        return kinks or any(player.optimizer.kind != "sgd" for player in players)

    @property
    def rows(self) -> int:
        """Rows of data in one iteration: k m."""
        return self.config.training.batch * self.config.training.k

    def batches(self) -> list[Any]:
        """Return the minibatches: views of shape (k m, pixels)."""
        return [self.images[start : start + self.rows] for start in range(0, len(self.images), self.rows)]

    def conditions(self) -> list[Any]:
        """Return the labels of each minibatch as one-hot rows, or None for each where the game has none."""
        if self.labels is None:
            return [None] * len(self.batches())
        rows = one_hot_rows(self.labels, self.config.training.classes or 0)
        return [rows[start : start + self.rows] for start in range(0, len(rows), self.rows)]

    def settings(self) -> dict[str, Any]:
        """Return what a result depends on besides the machine; results of different settings are not compared."""
        training = self.config.training
        return {
            "experiment": self.config.name,
            "schedule": training.schedule,
            "device": self.device,
            "threads": self.threads,
            "batch": training.batch,
            "k": training.k,
            "data": self.data,
        }

    def noise(self) -> Any:
        """Draw the noise on which the contestants must agree: four iterations of k + 1 updates."""
        training, shape = self.config.training, (_AGREEMENT_STEPS, self.config.training.k + 1)
        noise = np.random.default_rng(self.config.seed).uniform(
            -np.sqrt(3), np.sqrt(3), (*shape, training.batch, self.config.noise.size)
        )
        return noise.astype(np.float32)

    def order(self, folder: Path) -> dict[str, Any]:
        """Write the task to a folder; return what a worker needs to build a contestant."""
        self.save(folder)
        return {"folder": str(folder)}

    def save(self, folder: Path) -> None:
        """Write the task to a folder."""
        (folder / "experiment.toml").write_text(to_toml(self.config), encoding="utf-8")
        plain = {"device": self.device, "threads": self.threads, "data": self.data}
        (folder / "task.json").write_text(json.dumps(plain), encoding="utf-8")
        np.save(folder / "images.npy", self.images)
        if self.labels is not None:
            np.save(folder / "labels.npy", self.labels)
        np.savez(folder / "weights.npz", **self.weights)

    @staticmethod
    def load(folder: Path) -> Task:
        """Read what `save` wrote."""
        config = parse_experiment((folder / "experiment.toml").read_text(encoding="utf-8"), "experiment.toml")
        plain = json.loads((folder / "task.json").read_text(encoding="utf-8"))
        with np.load(folder / "weights.npz") as weights:
            images, labels = np.load(folder / "images.npy"), folder / "labels.npy"
            there = np.load(labels) if config.training.classes else None
            return Task(config, images=images, weights=dict(weights), labels=there, **plain)

    def build_game(self) -> Any:
        """Build tinygan's game, with the weights of the task."""
        game = build_game(self.config, as_dataset(self.images, self.labels), Streams(self.config.seed), self.device)
        for player, network in (("generator", game.generator), ("discriminator", game.discriminator)):
            prefix = f"{player}."
            network.load_state_dict(
                {name.removeprefix(prefix): array for name, array in self.weights.items() if name.startswith(prefix)}
            )
        return game


def make_task(
    experiment: str = "mnist",
    schedule: str = "alternating",
    device: str = "cpu",
    threads: int | None = None,
    overrides: Sequence[str] = (),
    use_data: bool = True,
) -> Task:
    """Prepare the game of an experiment.

    Parameters
    ----------
    experiment : str
        A shipped name, or the path of a TOML file.
    schedule : {"alternating", "simultaneous"}
        Whatever the experiment says: Algorithm 1 as printed, or the released code's.
    device : {"cpu", "cuda"}
    threads : int, optional
        By default the experiment's, or as many as the BLAS would take.
    overrides : sequence of str
        Changes to the experiment, as for ``tinygan train --set``.
    use_data : bool
        Whether to look for the data set at all. Nothing is ever downloaded: without its files, images are random,
        which takes the same time.

    Returns
    -------
    Task

    Raises
    ------
    ConfigError
        There is no such experiment.
    """
    config = load_experiment(experiment, [*SCHEDULES[schedule], *overrides])
    threads = threads or config.training.threads or default_threads()
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, threads=threads))
    rows = config.training.batch * config.training.k
    count = max(1, min(_MOST_BATCHES, _MOST_ROWS // rows)) * rows
    images, labels, source = _images(config, count, use_data)
    game = build_game(config, as_dataset(images, labels), Streams(config.seed), "cpu")
    weights = {f"generator.{name}": array for name, array in game.generator.state_dict().items()}
    weights |= {f"discriminator.{name}": array for name, array in game.discriminator.state_dict().items()}
    return Task(config, device, threads, images, weights, source, labels)


def default_threads() -> int:
    """Return how many threads the BLAS would take."""
    return int(describe_environment()["blas_threads"] or 1)


def as_dataset(images: Any, labels: Any = None) -> Dataset:
    """Return images as a data set, which is what networks are built for; square ones if they can be square."""
    labels = np.zeros(len(images), np.uint8) if labels is None else labels
    split, pixels = Split(images, labels), images.shape[1]
    grey, colour = math.isqrt(pixels), math.isqrt(pixels // 3)
    square = (shape for shape in ((grey, grey), (colour, colour, 3)) if math.prod(shape) == pixels)
    image_shape: tuple[int, ...] = next(square, (1, pixels))
    return Dataset("benchmark", image_shape, split, split, split)


def _images(config: ExperimentConfig, count: int, use_data: bool) -> tuple[Any, Any, str]:
    """Return `count` rows, real if they can be had, their labels if the game has any, and where they come from."""
    rng = np.random.default_rng(config.seed)
    classes = config.training.classes
    if use_data:
        try:
            train = data.load(config.data.set, download=False, fold=config.data.fold).train
        except DataError:
            pass
        else:
            drawn = rng.integers(0, len(train.images), count)
            return train.images[drawn], train.labels[drawn] if classes else None, config.data.set
    (pixels,) = shapes(config.generator.layers, (config.generator_inputs,), "generator.layers")[-1]
    labels = (np.arange(count) % classes).astype(np.uint8) if classes else None
    return rng.random((count, pixels), np.float32), labels, "random images: no data set needed"
