"""PyTorch as a contestant: eager, compiled, and (on a GPU) as CUDA graphs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu

from benchmarks.clocks import event_clock, host_clock
from benchmarks.conv_games import sample
from benchmarks.errors import BenchmarkError
from benchmarks.peers.rules import losses_of, prefix_of, refuse_unwritten
from benchmarks.peers.torch_layers import build_network, named_parameters
from benchmarks.task import AT_REST, PLAYERS, Task

Condition = Any  # one-hot rows of labels, or None


class TorchStep:
    """One iteration of Algorithm 1 in PyTorch.

    Parameters
    ----------
    task : Task
    compiled : bool
        Whether the losses go through ``torch.compile``.
    captured : bool
        Whether the whole iteration is replayed as a CUDA graph.
    mode : str, optional
        Of ``torch.compile``.
    """

    def __init__(self, task: Task, compiled: bool = False, captured: bool = False, mode: str | None = None) -> None:
        config = task.config
        name = "torch-compile" if compiled else "torch"
        refuse_unwritten(name, config)
        if (captured or mode) and task.device != "cuda":
            raise BenchmarkError("torch-graph and torch-reduce-overhead: a CUDA graph needs device 'cuda'")
        if task.device == "cuda" and not torch.cuda.is_available():
            raise BenchmarkError("torch: this PyTorch finds no GPU; install one built for CUDA, or use --device cpu")
        if compiled and config.training.penalty:
            raise BenchmarkError(
                f'{name}: training.penalty.kind = "r1" needs a gradient of a gradient, which torch.compile cannot make'
            )
        torch.set_num_threads(task.threads)
        torch.backends.cudnn.allow_tf32 = False  # the other contestants do not round the factors of a product either
        torch.manual_seed(config.seed)
        self.task, self.device, self.captured, self.marks = task, torch.device(task.device), captured, mode is not None
        inputs = config.generator_inputs, config.discriminator_inputs(task.images.shape[1])
        self.generator, self.discriminator = (
            build_network(getattr(config, player).layers, n, task.weights, prefix_of(config, player)).to(self.device)
            for player, n in zip(PLAYERS, inputs, strict=True)
        )
        self.networks = dict(zip(PLAYERS, (self.generator, self.discriminator), strict=True))
        self.params = {player: list(network.parameters()) for player, network in self.networks.items()}
        self.rules = {player: getattr(config, player).optimizer for player in PLAYERS}
        self.optimizers = {player: self._optimizer(player) for player in PLAYERS}
        self.updates, self.pace = dict.fromkeys(PLAYERS, 0), dict.fromkeys(PLAYERS, 1.0)
        self.m, self.k = config.training.batch, config.training.k
        self.targets = [torch.full((self.m, 1), value, device=self.device) for value in (0.0, 1.0)]
        self.loss_of_d, self.loss_of_g = losses_of(
            config.training.objective, lambda a, label: binary_cross_entropy_with_logits(a, self.targets[label]), relu
        )
        self.scale = config.training.discriminator_loss_scale
        self.d_loss, self.g_loss, self.both_losses = self._d_loss, self._g_loss, self._both_losses
        if compiled:
            self.d_loss, self.g_loss, self.both_losses = (
                torch.compile(loss, mode=mode) for loss in (self._d_loss, self._g_loss, self._both_losses)
            )
        self.batches = [
            (self._there(batch), None if labels is None else self._there(labels))
            for batch, labels in zip(task.batches(), task.conditions(), strict=True)
        ]
        self._next = cycle(self.batches)
        self._replay: Any = None

    def _there(self, array: Any) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)

    # ------------------------------------------------------------------ the game

    def _samples(self, z: torch.Tensor, y: Condition) -> torch.Tensor:
        return self.generator(z if y is None else torch.cat([z, y], 1))

    def _judge(self, x: torch.Tensor, y: Condition) -> torch.Tensor:
        return self.discriminator(x if y is None else torch.cat([x, y], 1))

    def _d_loss(self, real: torch.Tensor, z: torch.Tensor, y: Condition) -> torch.Tensor:
        with torch.no_grad():
            fake = self._samples(z, y)
        if self.task.config.training.separate_passes:
            return self.loss_of_d(self._judge(real, y), self._judge(fake, y))
        logits = self._judge(torch.cat([real, fake]), None if y is None else torch.cat([y, y]))
        return self.loss_of_d(logits[: self.m], logits[self.m :])

    def _g_loss(self, z: torch.Tensor, y: Condition) -> torch.Tensor:
        return self.loss_of_g(self._judge(self._samples(z, y), y))

    def _both_losses(self, real: torch.Tensor, z: torch.Tensor, y: Condition) -> tuple[torch.Tensor, torch.Tensor]:
        fake_logits = self._judge(self._samples(z, y), y)
        return self.loss_of_d(self._judge(real, y), fake_logits), self.loss_of_g(fake_logits)

    def _descended(self, d_loss: torch.Tensor, real: torch.Tensor, y: Condition) -> torch.Tensor:
        """Return what the discriminator descends: its loss, scaled, and the penalty R1."""
        total = d_loss * self.scale
        for penalty in self.task.config.training.penalty or ():
            x = real.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self._judge(x, y).sum(), x, create_graph=True)
            total = total + 0.5 * penalty.numbers["weight"] * slope.square().sum(1).mean()
        return total

    def iteration(
        self, batch: tuple[torch.Tensor, Condition], noise: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run one iteration on given noise, one minibatch for each update; return both losses."""
        if self.marks:
            torch.compiler.cudagraph_mark_step_begin()  # the results of the last iteration may be overwritten
        alternating = self.task.config.training.schedule == "alternating"
        images, labels = batch
        minibatches = images.split(self.m)
        conditions = [None] * self.k if labels is None else labels.split(self.m)
        for i in range(self.k if alternating else self.k - 1):
            real, y = minibatches[i], conditions[i]
            d_loss = self.d_loss(real, noise[i], y)
            self._forget("discriminator")
            self._descended(d_loss, real, y).backward()
            self._move("discriminator")
        y = conditions[-1]
        if alternating:
            self._discriminator_learns(False)  # its weights need no gradients here
            g_loss = self.g_loss(noise[self.k], y)
            self._forget("generator")
            g_loss.backward()
            self._move("generator")
            self._discriminator_learns(True)
        else:
            real = minibatches[-1]
            d_loss, g_loss = self.both_losses(real, noise[self.k - 1], y)
            self._forget("discriminator")
            self._forget("generator")
            self._descended(d_loss, real, y).backward(inputs=self.params["discriminator"], retain_graph=True)
            g_loss.backward(inputs=self.params["generator"])
            self._move("discriminator")
            self._move("generator")
        return d_loss.detach(), g_loss.detach()

    def _forget(self, player: str) -> None:
        self.optimizers[player].zero_grad(set_to_none=True)

    def _move(self, player: str) -> None:
        rule, optimizer = self.rules[player], self.optimizers[player]
        lr = max(rule.lr_min, rule.lr / rule.lr_decay ** self.updates[player])  # a graph keeps the first one
        optimizer.param_groups[0]["lr"] = lr * self.pace[player]
        self.updates[player] += 1
        optimizer.step()
        limit = getattr(rule, "max_col_norm", None)
        if limit is not None:
            with torch.no_grad():
                for parameter in self.params[player]:
                    if parameter.ndim == 2:  # one row a unit
                        norm = torch.linalg.vector_norm(parameter, dim=1, keepdim=True)
                        parameter.mul_((limit / norm).clamp_(max=1))

    def _discriminator_learns(self, learns: bool) -> None:
        for parameter in self.params["discriminator"]:
            parameter.requires_grad_(learns)

    def iterate(self) -> None:
        """Run one iteration on the next minibatch and fresh noise."""
        if self.captured:
            self._replay = self._replay or self._capture()
            self._replay(next(self._next))
            return
        self.iteration(next(self._next), self._draw())

    def _draw(self) -> list[torch.Tensor]:
        """Draw noise for every update of the iteration."""
        updates = self.k + (not self.task.config.training.shared_noise)
        noise = torch.empty((updates * self.m, self.task.config.noise.size), device=self.device)
        if self.task.config.noise.kind == "gaussian":
            return list(noise.normal_().split(self.m))
        return list(noise.uniform_(-math.sqrt(3), math.sqrt(3)).split(self.m))

    def _capture(self) -> Any:
        """Record one iteration as a CUDA graph; return a function that replays it on another minibatch."""
        images, labels = self.batches[0]
        batch = images.clone(), None if labels is None else labels.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # lets every library allocate what it needs, outside the graph
            for _ in range(3):
                self.iteration(batch, self._draw())
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.iteration(batch, self._draw())

        def replay(fresh: tuple[torch.Tensor, Condition]) -> None:
            for there, new in zip(batch, fresh, strict=True):
                if there is not None and new is not None:
                    there.copy_(new)
            graph.replay()

        return replay

    # ------------------------------------------------------------------ what is asked of a contestant

    def run(self, count: int) -> list[float]:
        """Time `count` iterations; in milliseconds."""
        if self.device.type == "cuda":
            return event_clock(self.iterate, count, torch.cuda)
        return host_clock(self.iterate, count)

    def device_memory(self) -> int | None:
        """Return the bytes of GPU memory that have been taken, or None on the CPU."""
        return torch.cuda.max_memory_reserved() if self.device.type == "cuda" else None

    def play(self, noise: Any) -> dict[str, Any]:
        """As `TinyganStep.play`."""
        losses: list[tuple[float, float]] = []
        gradients: dict[str, list[float]] = {}
        dropouts = [layer for network in self.networks.values() for layer in network if isinstance(layer, nn.Dropout)]
        for dropout in dropouts:
            dropout.eval()
        for z, batch in zip(self._there(noise), self.batches, strict=False):
            for player, rule in self.rules.items():
                self.pace[player] = AT_REST if rule.kind == "adam" and not losses else 1.0
            d_loss, g_loss = self.iteration(batch, list(z))
            losses.append((d_loss.item(), g_loss.item()))
            for name, parameter in self._named():
                gradients.setdefault(name, sample(_array(parameter.grad)))
        for dropout in dropouts:
            dropout.train()
        start = self.task.weights
        moved = {name: float(np.linalg.norm(_array(parameter) - start[name])) for name, parameter in self._named()}
        return {"losses": losses, "gradients": gradients, "moved": moved}

    def _named(self) -> list[tuple[str, nn.Parameter]]:
        prefixes = {player: prefix_of(self.task.config, player) for player in PLAYERS}
        return [
            (prefixes[player] + name, parameter)
            for player, network in self.networks.items()
            for name, parameter in named_parameters(network)
        ]

    def _optimizer(self, player: str) -> torch.optim.Optimizer:
        rule, params = self.rules[player], self.params[player]
        if rule.kind == "sgd":
            return torch.optim.SGD(
                params, lr=rule.lr, momentum=rule.momentum, weight_decay=rule.weight_decay, fused=True
            )
        betas = rule.beta1, rule.beta2
        return torch.optim.Adam(
            params, rule.lr, betas, rule.eps, rule.weight_decay, fused=True, capturable=self.captured
        )


def _array(values: Any) -> Any:
    """Return a parameter or its gradient in tinygan's layout, in host memory."""
    array = values.detach().cpu().numpy()
    return array.T if array.ndim == 2 else array
