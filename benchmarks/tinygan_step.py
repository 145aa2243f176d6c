"""tinygan as a contestant."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np

from benchmarks.clocks import clock_of
from benchmarks.task import Task
from tinygan.backend import keep_freed_memory
from tinygan.engine import Tensor


class TinyganStep:
    """One iteration of `gan.Algorithm1`, as a training run makes it.

    Attributes
    ----------
    game : gan.Algorithm1
    """

    def __init__(self, task: Task) -> None:
        keep_freed_memory()  # as every training run does
        self.task = task
        self.game = task.build_game()
        self._clock = clock_of(task.device)
        backend = self.game.generator.parameters()[0].backend
        self.batches = [Tensor(backend.from_numpy(batch)) for batch in task.batches()]
        self._next = cycle(self.batches)

    def iterate(self) -> None:
        """Run one iteration on the next minibatch."""
        self.game.step(next(self._next))

    def run(self, count: int) -> list[float]:
        """Time `count` iterations; in milliseconds."""
        return self._clock(self.iterate, count)

    def device_memory(self) -> int | None:
        """Return the bytes of GPU memory that have been taken, or None on the CPU."""
        if self.task.device == "cpu":
            return None
        import cupy

        return int(cupy.get_default_memory_pool().total_bytes())

    def play(self, noise: Any) -> dict[str, Any]:
        """Play with given noise and without dropout.

        Parameters
        ----------
        noise : array of shape (iterations, k + 1, m, size)
            For the updates of D, then for that of G.

        Returns
        -------
        dict
            ``losses``, D's and G's of each iteration; ``velocities``, the norm of each parameter's in the end.
        """
        game, prior = self.game, self.game.noise
        networks = (game.generator, game.discriminator)
        losses = []
        for network in networks:
            network.eval()
        for z, batch in zip(noise, self.batches, strict=False):
            game.noise = GivenNoise(z.reshape(-1, z.shape[-1]))
            step = game.step(batch)
            losses.append((step.discriminator_loss.item(), step.generator_loss.item()))
        for network in networks:
            network.train()
        game.noise = prior
        velocities = {}
        for player, network, optimizer in (
            ("generator", game.generator, game.generator_optimizer),
            ("discriminator", game.discriminator, game.discriminator_optimizer),
        ):
            arrays = optimizer.state_dict()["arrays"]
            for position, (name, _) in enumerate(network.named_parameters()):
                if f"velocity.{position}" in arrays:
                    velocities[f"{player}.{name}"] = float(np.linalg.norm(arrays[f"velocity.{position}"]))
        return {"losses": losses, "velocities": velocities}


class GivenNoise:
    """A prior that hands out given rows one after the other."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.size = rows.shape[1]

    def draw(self, count: int, stream: Any, dtype: Any = None, backend: Any = None) -> Any:
        drawn, self.rows = self.rows[:count], self.rows[count:]
        return drawn if backend is None else backend.from_numpy(drawn)
