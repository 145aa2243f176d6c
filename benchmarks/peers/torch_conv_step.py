"""PyTorch, eager, as a contestant of ``conv``."""

from __future__ import annotations

from itertools import cycle
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from benchmarks.clocks import host_clock
from benchmarks.conv_games import GAMES, LAYERS, ConvTask, sample, starting_values
from benchmarks.peers.torch_layers import Maxout, MaxoutConv2d, named_parameters

LAYER_NAMES = SimpleNamespace(
    **{name: getattr(nn, name) for name in ("Sequential", "Linear", "Conv2d", "ConvTranspose2d", "MaxPool2d", "Flatten",
                                            "Dropout", "ReLU", "LeakyReLU", "Sigmoid", "Tanh")},
    BatchNorm=nn.BatchNorm2d,
    Reshape=lambda *shape: nn.Unflatten(1, shape),
    Maxout=Maxout,
    MaxoutConv2d=MaxoutConv2d,
)  # fmt: skip


class TorchGame:
    """One iteration of the game, as `conv_step.TinyganGame` plays it."""

    def __init__(self, task: ConvTask) -> None:
        torch.set_num_threads(task.threads)
        self.rules = rules = GAMES[task.name]
        self.networks = self.generator, self.discriminator = rules.networks(LAYER_NAMES)
        for player, network in enumerate(self.networks):
            parameters = _parameters(network)
            shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
            with torch.no_grad():
                for name, values in starting_values(rules, player, shapes):
                    parameters[name].copy_(torch.from_numpy(values))
        self.optimizers = [self._optimizer(list(network.parameters())) for network in self.networks]
        self.batches = [torch.from_numpy(batch) for batch in task.batches()]
        self._next = cycle(self.batches)
        self.ones, self.zeros = torch.ones(task.batch, 1), torch.zeros(task.batch, 1)

    def _optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        rule = torch.optim.SGD if "momentum" in self.rules.optimizer else torch.optim.Adam
        return rule(parameters, fused=True, **self.rules.optimizer)

    def iteration(self, real: torch.Tensor, noise: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Run one iteration on given noise; return both losses."""
        g_optimizer, d_optimizer = self.optimizers
        if self.rules.released:
            fake_logits = self.discriminator(self.generator(noise[0]))
            d_loss = self._d_loss(self.discriminator(real), fake_logits)
            g_loss = cross_entropy(fake_logits, self.ones)
            self._zero_grad()
            (0.5 * d_loss).backward(inputs=list(self.discriminator.parameters()), retain_graph=True)
            g_loss.backward(inputs=list(self.generator.parameters()))
            d_optimizer.step()
            g_optimizer.step()
        else:
            with torch.no_grad():
                fake = self.generator(noise[0])
            self._zero_grad()
            d_loss = self._d_loss(self.discriminator(real), self.discriminator(fake))
            d_loss.backward()
            d_optimizer.step()
            self.discriminator.requires_grad_(False)  # its weights need no gradients here
            g_loss = cross_entropy(self.discriminator(self.generator(noise[1])), self.ones)
            g_loss.backward()
            g_optimizer.step()
            self.discriminator.requires_grad_(True)
        return d_loss.detach(), g_loss.detach()

    def _zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def _d_loss(self, real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
        return cross_entropy(real_logits, self.ones) + cross_entropy(fake_logits, self.zeros)

    def iterate(self) -> None:
        """Run one iteration on the next minibatch and fresh noise."""
        shape = (2 - self.rules.released, len(self.ones), 100)
        noise = torch.randn(shape) if self.rules.noise == "gaussian" else torch.empty(shape).uniform_(-1.7321, 1.7321)
        self.iteration(next(self._next), noise)

    def run(self, count: int) -> list[float]:
        """Time `count` iterations; in milliseconds."""
        return host_clock(self.iterate, count)

    def play(self, noise: Any) -> dict[str, Any]:
        """Return what `conv_step.TinyganGame.play` returns."""
        gradients: dict[str, list[float]] = {}
        losses = []
        dropouts = [module for network in self.networks for module in network if isinstance(module, nn.Dropout)]
        for dropout in dropouts:
            dropout.eval()
        for lr, z, batch in zip(self.rules.rates, torch.from_numpy(noise), self.batches, strict=True):
            for optimizer in self.optimizers:
                optimizer.param_groups[0]["lr"] = lr
            losses.append(tuple(loss.item() for loss in self.iteration(batch, z)))
            for player, network in zip(("generator", "discriminator"), self.networks, strict=True):
                for name, gradient in _parameters(network, lambda p: p.grad).items():
                    gradients.setdefault(f"{player}.{name}", sample(gradient.numpy()))
        for dropout in dropouts:
            dropout.train()
        return {"losses": losses, "gradients": gradients}


def _parameters(network: nn.Module, what: Any = lambda parameter: parameter.detach()) -> dict[str, torch.Tensor]:
    """Return the parameters, or something of each, under tinygan's names and in tinygan's layout."""
    found = {}
    for name, parameter in named_parameters(network):
        array = what(parameter)
        found[name] = array.T if parameter.ndim == 2 else array  # PyTorch keeps one row a unit
    return found


class TorchLayer:
    """One of the three products of a layer, on images in PyTorch's own memory order."""

    def __init__(self, task: ConvTask) -> None:
        torch.set_num_threads(task.threads)
        layer = LAYERS[task.name]
        x, w, gy = (torch.from_numpy(array).requires_grad_(True) for array in task.arrays())
        gy = gy.detach()
        function = nn.functional.conv_transpose2d if layer.transposed else nn.functional.conv2d

        def forward() -> torch.Tensor:
            return function(x, w, None, layer.stride, layer.padding)

        y = forward()
        leaf = {"by input": x, "by weight": w}.get(task.way)
        self.call = forward if leaf is None else lambda: torch.autograd.grad(y, leaf, gy, retain_graph=True)[0]

    def run(self, count: int) -> list[float]:
        """Time `count` calls; in milliseconds."""
        return host_clock(self.call, count)

    def play(self, noise: Any) -> dict[str, Any]:
        """Return what `conv_step.TinyganLayer.play` returns."""
        return {"losses": [], "gradients": {"its result": sample(self.call().detach().numpy())}}
