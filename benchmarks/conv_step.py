"""tinygan as a contestant of ``conv``: a whole game, and one layer."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np

import tinygan.functional as F
from benchmarks.clocks import host_clock
from benchmarks.conv_games import GAMES, LAYERS, ConvTask, sample, starting_values
from benchmarks.tinygan_step import GivenNoise
from tinygan import gan, nn, optim
from tinygan.backend import keep_freed_memory
from tinygan.engine import Tensor, grad


class TinyganGame:
    """One iteration of `gan.Algorithm1`, with the statistics of data and samples apart."""

    def __init__(self, task: ConvTask) -> None:
        keep_freed_memory()
        rules = GAMES[task.name]
        self.networks = rules.networks(nn)
        for player, network in enumerate(self.networks):
            parameters = dict(network.named_parameters())
            shapes = {name: parameter.shape for name, parameter in parameters.items()}
            for name, values in starting_values(rules, player, shapes):
                parameters[name].data[...] = values
        rule = optim.SGD if "momentum" in rules.optimizer else optim.Adam
        optimizers = [rule(network.parameters(), **rules.optimizer) for network in self.networks]
        self.game = gan.Algorithm1(
            *self.networks,
            noise=gan.Noise(rules.noise, 100),
            schedule="simultaneous" if rules.released else "alternating",
            shared_noise=rules.released,
            discriminator_loss_scale=0.5 if rules.released else 1.0,
            separate_passes=True,
            generator_optimizer=optimizers[0],
            discriminator_optimizer=optimizers[1],
        )
        self.rates = rules.rates
        self.batches = [Tensor(batch) for batch in task.batches()]
        self._next = cycle(self.batches)

    def iterate(self) -> None:
        """Run one iteration on the next minibatch."""
        self.game.step(next(self._next))

    def run(self, count: int) -> list[float]:
        """Time `count` iterations; in milliseconds."""
        return host_clock(self.iterate, count)

    def play(self, noise: Any) -> dict[str, Any]:
        """Play with given noise and without dropout.

        Parameters
        ----------
        noise : array of shape (iterations, updates, m, 100)

        Returns
        -------
        dict
            ``losses``, D's and G's of each iteration; ``gradients``, samples of each parameter's in the first one.
        """
        prior: Any = self.game.noise
        given: Any = GivenNoise(noise.reshape(-1, noise.shape[-1]))
        gradients: dict[str, list[float]] = {}
        losses = []
        dropouts = [layer for network in self.networks for layer in network.modules() if isinstance(layer, nn.Dropout)]
        for layer in dropouts:
            layer.eval()
        self.game.noise = given
        players = self.game.generator_optimizer, self.game.discriminator_optimizer
        for lr, batch in zip(self.rates, self.batches, strict=True):
            for optimizer in players:
                optimizer.lr = lr
            step = self.game.step(batch)
            losses.append((step.discriminator_loss.item(), step.generator_loss.item()))
            for player, network in zip(("generator", "discriminator"), self.networks, strict=True):
                for name, parameter in network.named_parameters():
                    if parameter.grad is not None:
                        gradients.setdefault(f"{player}.{name}", sample(parameter.grad.data))
        for layer in dropouts:
            layer.train()
        self.game.noise = prior
        return {"losses": losses, "gradients": gradients}


class TinyganLayer:
    """One of the three products of a layer, on images in the memory order that they have inside a network."""

    def __init__(self, task: ConvTask) -> None:
        keep_freed_memory()
        layer = LAYERS[task.name]
        function = F.conv_transpose2d if layer.transposed else F.conv2d
        arrays = task.arrays()
        x, gy = (Tensor(_channel_first(array), requires_grad=True) for array in arrays[::2])
        w = Tensor(arrays[1], requires_grad=True)

        def forward() -> Tensor:
            return function(x, w, None, layer.stride, layer.padding)

        y = forward()
        leaf = {"by input": x, "by weight": w}.get(task.way)
        self.call = forward if leaf is None else lambda: grad(y, [leaf], gy, retain_graph=True)[0]

    def run(self, count: int) -> list[float]:
        """Time `count` calls; in milliseconds."""
        return host_clock(self.call, count)

    def play(self, noise: Any) -> dict[str, Any]:
        """Return samples of the result."""
        return {"losses": [], "gradients": {"its result": sample(self.call().data)}}


def _channel_first(images: Any) -> Any:
    """Return images whose memory order is (channel, row, column, batch), as the convolutions of tinygan make them."""
    return np.ascontiguousarray(images.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
