"""tinygan as a contestant."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks.clocks import clock_of
from benchmarks.conv_games import sample
from benchmarks.task import AT_REST, PLAYERS, Task
from tinygan import gan
from tinygan.backend import keep_freed_memory
from tinygan.engine import Tensor
from tinygan.experiments.build import build_schedule
from tinygan.nn import Dropout
from tinygan.optim import Adam


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
        self.step: Callable[..., Any] = gan.Replayed(self.game).step  # what `tinygan train` runs
        self._clock = clock_of(task.device)
        backend = self.game.generator.parameters()[0].backend
        self.batches = [
            tuple(Tensor(backend.from_numpy(array)) for array in arrays if array is not None)
            for arrays in zip(task.batches(), task.conditions(), strict=True)
        ]
        self._next = cycle(self.batches)

    def iterate(self) -> None:
        """Run one iteration on the next minibatch."""
        self.step(*next(self._next))

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
            ``losses``, D's and G's of each iteration; by parameter ``gradients``, samples of that in the first
            iteration, in which Adam rests; and ``moved``, how far each came in the end.
        """
        game, prior, config = self.game, self.game.noise, self.task.config
        networks = dict(zip(PLAYERS, (game.generator, game.discriminator), strict=True))
        rules: dict[Any, Any] = {
            game.generator_optimizer: config.generator,
            game.discriminator_optimizer: config.discriminator,
        }
        named = [(f"{player}.{name}", p) for player, net in networks.items() for name, p in net.named_parameters()]
        losses: list[tuple[float, float]] = []
        gradients: dict[str, list[float]] = {}
        dropouts = [layer for network in networks.values() for layer in network.modules() if isinstance(layer, Dropout)]
        for layer in dropouts:
            layer.eval()
        for z, batch in zip(noise, self.batches, strict=False):
            game.noise = GivenNoise(z.reshape(-1, z.shape[-1]))
            resting = [rule for rule in rules if isinstance(rule, Adam) and not losses]
            for rule in resting:
                rule.lr *= AT_REST
            step = game.step(*batch)
            for rule in resting:
                rule.lr = build_schedule(rules[rule].optimizer)
            losses.append((step.discriminator_loss.item(), step.generator_loss.item()))
            for name, parameter in named:
                if parameter.grad is not None:
                    gradients.setdefault(name, sample(parameter.grad.numpy()))
        for layer in dropouts:
            layer.train()
        game.noise = prior
        moved = {name: float(np.linalg.norm(p.numpy() - self.task.weights[name])) for name, p in named}
        return {"losses": losses, "gradients": gradients, "moved": moved}


class GivenNoise:
    """A prior that hands out given rows one after the other."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.size = rows.shape[1]

    def draw(self, count: int, stream: Any, dtype: Any = None, backend: Any = None) -> Any:
        drawn, self.rows = self.rows[:count], self.rows[count:]
        return drawn if backend is None else backend.from_numpy(drawn)
