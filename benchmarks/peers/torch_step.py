"""PyTorch as a contestant: eager, compiled, and (on a GPU) captured into a CUDA graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.clocks import event_clock, host_clock
from benchmarks.errors import BenchmarkError
from benchmarks.task import Task
from tinygan.config.layers import (
    DropoutConfig,
    LayerConfig,
    LeakyReluConfig,
    LinearConfig,
    MaxoutConfig,
    ReluConfig,
    SigmoidConfig,
    TanhConfig,
)
from tinygan.config.sections import SgdConfig


class Maxout(nn.Module):
    """Units that are each the maximum of several affine maps, piece by piece as in tinygan."""

    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units * pieces)
        self.shape = (pieces, units)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (m, inputs) to (m, units)."""
        return self.linear(x).unflatten(1, self.shape).amax(1)


class TorchStep:
    """One iteration of Algorithm 1 in PyTorch.

    Parameters
    ----------
    task : Task
    compiled : bool
        Whether both losses go through ``torch.compile``.
    captured : bool
        Whether the whole iteration is replayed as a CUDA graph.
    """

    def __init__(self, task: Task, compiled: bool = False, captured: bool = False) -> None:
        torch.set_num_threads(task.threads)
        if captured and task.device != "cuda":
            raise BenchmarkError("torch-graph: a CUDA graph needs device 'cuda'")
        if task.device == "cuda" and not torch.cuda.is_available():
            raise BenchmarkError("torch: this PyTorch finds no GPU; install one built for CUDA, or use --device cpu")
        torch.manual_seed(task.config.seed)
        self.task, self.device, self.captured = task, torch.device(task.device), captured
        config = task.config
        if config.training.objective != "non-saturating" or config.noise.kind != "uniform":
            raise BenchmarkError("torch: only the non-saturating objective with uniform noise is written for the peers")
        self.generator = self._network("generator", config.generator.layers, config.noise.size)
        self.discriminator = self._network("discriminator", config.discriminator.layers, task.images.shape[1])
        self.g_params, self.d_params = list(self.generator.parameters()), list(self.discriminator.parameters())
        self.g_optimizer = self._optimizer(self.g_params, config.generator.optimizer)
        self.d_optimizer = self._optimizer(self.d_params, config.discriminator.optimizer)
        self.m, self.k = config.training.batch, config.training.k
        self.ones, self.zeros = (torch.full((self.m, 1), value, device=self.device) for value in (1.0, 0.0))
        self.scale = config.training.discriminator_loss_scale
        self.d_loss, self.g_loss, self.both_losses = self._d_loss, self._g_loss, self._both_losses
        if compiled:
            self.d_loss = torch.compile(self._d_loss)
            self.g_loss = torch.compile(self._g_loss)
            self.both_losses = torch.compile(self._both_losses)
        self.batches = [torch.from_numpy(batch).to(self.device) for batch in task.batches()]
        self._next = cycle(self.batches)
        self._replay: Any = None

    # ------------------------------------------------------------------ the game

    def _d_loss(self, real: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            fake = self.generator(z)
        logits = self.discriminator(torch.cat([real, fake]))
        return self._d_loss_of(logits[: self.m], logits[self.m :])

    def _g_loss(self, z: torch.Tensor) -> torch.Tensor:
        return binary_cross_entropy_with_logits(self.discriminator(self.generator(z)), self.ones)

    def _both_losses(self, real: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fake_logits = self.discriminator(self.generator(z))
        d_loss = self._d_loss_of(self.discriminator(real), fake_logits)
        return d_loss, binary_cross_entropy_with_logits(fake_logits, self.ones)

    def _d_loss_of(self, real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
        return binary_cross_entropy_with_logits(real_logits, self.ones) + binary_cross_entropy_with_logits(
            fake_logits, self.zeros
        )

    def iteration(self, batch: torch.Tensor, noise: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Run one iteration on given noise, one minibatch for each update; return both losses."""
        training = self.task.config.training
        minibatches = batch.split(self.m)
        updates = minibatches if training.schedule == "alternating" else minibatches[:-1]
        for real, z in zip(updates, noise, strict=False):
            d_loss = self.d_loss(real, z)
            self.d_optimizer.zero_grad(set_to_none=True)
            (d_loss * self.scale).backward()
            self.d_optimizer.step()
        if training.schedule == "alternating":
            self._discriminator_learns(False)  # its weights need no gradients here
            g_loss = self.g_loss(noise[self.k])
            self.g_optimizer.zero_grad(set_to_none=True)
            g_loss.backward()
            self.g_optimizer.step()
            self._discriminator_learns(True)
        else:
            d_loss, g_loss = self.both_losses(minibatches[-1], noise[self.k - 1])
            self.d_optimizer.zero_grad(set_to_none=True)
            self.g_optimizer.zero_grad(set_to_none=True)
            (d_loss * self.scale).backward(inputs=self.d_params, retain_graph=True)
            g_loss.backward(inputs=self.g_params)
            self.d_optimizer.step()
            self.g_optimizer.step()
        return d_loss.detach(), g_loss.detach()

    def _discriminator_learns(self, learns: bool) -> None:
        for parameter in self.d_params:
            parameter.requires_grad_(learns)

    def iterate(self) -> None:
        """Run one iteration on the next minibatch and fresh noise."""
        if self.captured:
            self._replay = self._replay or self._capture()
            self._replay(next(self._next))
            return
        self.iteration(next(self._next), self._draw())

    def _draw(self) -> list[torch.Tensor]:
        """Draw U(-sqrt 3, sqrt 3) for every update of the iteration."""
        updates = self.k + (not self.task.config.training.shared_noise)
        shape = (updates * self.m, self.task.config.noise.size)
        return list(torch.empty(shape, device=self.device).uniform_(-math.sqrt(3), math.sqrt(3)).split(self.m))

    def _capture(self) -> Any:
        """Record one iteration as a CUDA graph; return a function that replays it on another minibatch."""
        batch = self.batches[0].clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # lets every library allocate what it needs, outside the graph
            for _ in range(3):
                self.iteration(batch, self._draw())
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.iteration(batch, self._draw())

        def replay(fresh: torch.Tensor) -> None:
            batch.copy_(fresh)
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
        """As `TinyganStep.play`. PyTorch's momentum buffer is the velocity divided by minus the learning rate."""
        losses = []
        networks = (self.generator, self.discriminator)
        for network in networks:
            network.eval()
        for z, batch in zip(torch.from_numpy(noise).to(self.device), self.batches, strict=False):
            d_loss, g_loss = self.iteration(batch, list(z))
            losses.append((d_loss.item(), g_loss.item()))
        for network in networks:
            network.train()
        velocities = {}
        for player, network, optimizer in (
            ("generator", self.generator, self.g_optimizer),
            ("discriminator", self.discriminator, self.d_optimizer),
        ):
            lr = optimizer.param_groups[0]["lr"]
            for name, parameter in network.named_parameters():
                buffer = optimizer.state[parameter]["momentum_buffer"]
                velocities[f"{player}.{name.replace('linear.', '')}"] = lr * float(buffer.norm())
        return {"losses": losses, "velocities": velocities}

    # ------------------------------------------------------------------ building

    def _network(self, player: str, layers: Sequence[LayerConfig], inputs: int) -> nn.Sequential:
        modules: list[nn.Module] = []
        for index, layer in enumerate(layers):
            module = _module(layer, inputs)
            if isinstance(layer, LinearConfig | MaxoutConfig):
                linear = module.linear if isinstance(module, Maxout) else module
                assert isinstance(linear, nn.Linear)
                prefix = f"{player}.{index}."
                with torch.no_grad():  # PyTorch keeps one row a unit
                    linear.weight.copy_(torch.from_numpy(self.task.weights[prefix + "weight"].T))
                    linear.bias.copy_(torch.from_numpy(self.task.weights[prefix + "bias"]))
                inputs = layer.units
            modules.append(module)
        return nn.Sequential(*modules).to(self.device)

    def _optimizer(self, params: list[nn.Parameter], config: Any) -> torch.optim.Optimizer:
        if not isinstance(config, SgdConfig) or config.max_col_norm is not None or config.weight_decay:
            raise BenchmarkError("torch: only SGD with momentum is written for the peers; choose such an experiment")
        return torch.optim.SGD(params, lr=config.lr, momentum=config.momentum, fused=True)


def _module(layer: LayerConfig, inputs: int) -> nn.Module:
    if isinstance(layer, LinearConfig):
        return nn.Linear(inputs, layer.units)
    if isinstance(layer, MaxoutConfig):
        return Maxout(inputs, layer.units, layer.pieces)
    if isinstance(layer, DropoutConfig):
        return nn.Dropout(layer.p)
    if isinstance(layer, LeakyReluConfig):
        return nn.LeakyReLU(layer.slope)
    return {ReluConfig: nn.ReLU, SigmoidConfig: nn.Sigmoid, TanhConfig: nn.Tanh}[type(layer)]()
