"""tinygan as a contestant on a GPU, with the captured steps of `tinygan train --device cuda`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.clocks import clock_of
from benchmarks.errors import BenchmarkError
from benchmarks.task import Task, as_dataset
from benchmarks.tinygan_step import TinyganStep
from tinygan.experiments.training import Training

_STEPS_PER_EPOCH = 200  # at least: what a training does between two epochs must not count more than in a training


class TinyganCaptured(TinyganStep):
    """One step of `Training`: a CUDA graph that is replayed. It also takes its rows from the data, and keeps its books.

    Attributes
    ----------
    training : Training
    """

    def __init__(self, task: Task) -> None:
        if task.device != "cuda":
            raise BenchmarkError("tinygan-captured: a CUDA graph needs --device cuda")
        self.task, self._clock = task, clock_of(task.device)
        labels = getattr(task, "labels", None)
        count = math.ceil(_STEPS_PER_EPOCH * task.rows / len(task.images))
        dataset = as_dataset(*(np.concatenate([array] * count) for array in (task.images, labels) if array is not None))
        self.training = Training(task.config, dataset, task.device)
        for player, network in self.training.players.items():
            mine = {name: array for name, array in task.weights.items() if name.startswith(f"{player}.")}
            network.load_state_dict({name.removeprefix(f"{player}."): array for name, array in mine.items()})
        self.game: Any = _Game(self.training)
        self.batches: list[Any] = [()] * len(task.batches())  # `play` gives them to the game, which has its own

    def iterate(self) -> None:
        """Make one step on the next minibatch."""
        if self.training.epoch_is_over:
            self.training.next_epoch()
        self.training.step()

    def device_memory(self) -> int | None:
        """Return the bytes of GPU memory that have been taken, those of the capture and of the data included."""
        return (super().device_memory() or 0) + self.training._captured.memory

    def play(self, noise: Any) -> dict[str, Any]:
        """As `TinyganStep.play`: two steps are ordinary, the others are replayed."""
        training = self.training
        training.position = 0
        training._set_order(np.arange(len(training.images)))  # the minibatches of the task, in their order
        training.close_capture()
        played = super().play(noise)
        training.close_capture()  # the next one has dropout
        return played


class _Game:
    """The game of a training; its step is that of the training."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self._given: _ResidentNoise | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.training.game, name)

    def step(self, *_: Any) -> Any:
        self.training.step()
        return self.training._last

    @property
    def noise(self) -> Any:
        return self.training.game.noise

    @noise.setter
    def noise(self, prior: Any) -> None:
        """Set a prior; that of `play`, which has the rows of one step, in the same place for each step."""
        if not hasattr(prior, "rows"):
            self.training.game.noise, self._given = prior, None
            return
        rows = self.training.backend.from_numpy(prior.rows)
        if self._given is None:
            game: Any = self.training.game
            self._given = game.noise = _ResidentNoise(rows)
        self._given.rows[...] = rows
        self._given.next = 0


class _ResidentNoise:
    """A prior that hands out the rows of one step, which are in device memory: a captured step reads them there."""

    def __init__(self, rows: Any) -> None:
        self.rows, self.next, self.size = rows.copy(), 0, rows.shape[1]

    def draw(self, count: int, stream: Any, dtype: Any = None, backend: Any = None) -> Any:
        first, self.next = self.next, self.next + count
        return self.rows[first : first + count]
