"""Batch normalization with the mean and the variance of the rows of all ranks."""

from __future__ import annotations

from typing import Any

import tinygan.functional as F
from tinygan import nn
from tinygan.backend import Array, Backend
from tinygan.engine import Operation, Tensor
from tinygan.parallel.shards import Share
from tinygan.parallel.world import World


class AllReduce(Operation):
    """y = the sum of x over the ranks;  gx = the sum of gy over the ranks, for every rank's loss depends on y."""

    fresh = True

    def __init__(self, world: World) -> None:
        self.world = world

    def forward(self, B: Backend, x: Array) -> Array:
        y = x.copy()
        self.world.sum(y)
        return y

    def backward(self, B: Backend, gy: Any) -> Any:
        return AllReduce(self.world)(gy) if isinstance(gy, Tensor) else self.forward(B, gy)


class SyncBatchNorm(nn.BatchNorm):
    """`nn.BatchNorm` whose mean and variance are those of the rows of all ranks, in training.

    The sums are taken over the ranks: ``m = sum x / n``, ``v = sum (x - m)^2 / n``, with n for all rows. The gradient
    flows through both to the rows of every rank. `convert_sync_batchnorm` makes one.

    Attributes
    ----------
    world : World
    share : Share
        The rows that this rank has of each minibatch.
    """

    world: World
    share: Share

    @staticmethod
    def convert_sync_batchnorm(network: nn.Module, world: World, share: Share) -> nn.Module:
        """Turn every `nn.BatchNorm` of a network into this kind, in place, with the same state; return the network."""
        for module in network.modules():
            if type(module) is nn.BatchNorm:
                module.__class__ = SyncBatchNorm
                vars(module).update(world=world, share=share)
        return network

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C) or (N, C, ...)."""
        if not self.training:
            return super().forward(x)
        axes, across = (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
        n = x.size // x.shape[1] // self.share.rows * self.share.of
        mean = self._over_ranks(x.sum(axis=axes)) / n
        centred = x - mean.reshape(across)
        variance = self._over_ranks((centred * centred).sum(axis=axes)) / n
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            running = self.running_mean, self.running_var
            x.backend.follow_moments(
                tuple(buffer.data for buffer in running), (mean.data, variance.data), n, self.momentum
            )
            for buffer in running:
                buffer.mark_changed()
            self.num_batches_tracked.data += 1
        rate = 1 / F.sqrt(variance + self.eps)
        y = centred * (rate if self.weight is None else rate * self.weight).reshape(across)
        return y if self.bias is None else y + self.bias.reshape(across)

    def _over_ranks(self, x: Tensor) -> Tensor:
        return AllReduce(self.world)(x)
