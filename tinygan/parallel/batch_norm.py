"""Batch normalization with the mean and the variance of the rows of all ranks.

A rank has n_r of the n elements of a channel, the share w = n_r / n. From the mean m_r and the variance v_r of its own,
the ranks sum m = sum w m_r, then v = sum w (v_r + (m_r - m)^2).
"""

from __future__ import annotations

from typing import Any

from tinygan import nn
from tinygan.backend import Array, Backend, wide
from tinygan.engine import Operation, Tensor
from tinygan.functional.arguments import real
from tinygan.functional.normalization import BatchNorm
from tinygan.parallel.shards import Share
from tinygan.parallel.world import World


class AllReduce(Operation):
    """y = the sum of x over the ranks;  gx = the sum of gy over the ranks, for the losses of all ranks depend on y."""

    fresh = True

    def __init__(self, world: World) -> None:
        self.world = world

    def forward(self, B: Backend, x: Array) -> Array:
        y = x.copy()
        self.world.sum(y)
        return y

    def backward(self, B: Backend, gy: Any) -> Any:
        return AllReduce(self.world)(gy) if isinstance(gy, Tensor) else self.forward(B, gy)


class BatchNormOverRanks(BatchNorm):
    """y = g h + b with h = (x - m) / s;  gx = g (gy - gb / n - h gg / n) / s, where m, s, gg and gb are over all ranks.

    The gradients gg and gb that a rank returns are its parts of the sums.
    """

    name = "batch_norm"

    def __init__(self, eps: float, world: World, share: Share) -> None:
        super().__init__(eps)
        self.world, self.share = world, share

    def count(self, x: Array) -> int:
        """As the base class, over all ranks."""
        return super().count(x) // self.share.rows * self.share.of

    def forward(self, B: Backend, x: Array, gain: Array | None, bias: Array | None) -> Array:
        rows = wide(real(x))
        _, mean, variance = B.batch_norm(rows, None, None, self.eps)
        self.moments = mean, variance = self._over_ranks(B, mean, variance)
        self.save(x, gain, mean, variance)
        scale = 1 / B.xp.sqrt(variance + self.eps) if gain is None else gain / B.xp.sqrt(variance + self.eps)
        shift = -mean * scale if bias is None else bias - mean * scale
        return B.channel_affine(rows, scale, shift).astype(real(x).dtype, copy=False)

    def backward(self, B: Backend, gy: Any, x: Any, gain: Any, mean: Any, variance: Any) -> Any:
        x, own = wide(real(x)), self.n * self.share.weight
        if isinstance(x, Tensor):  # the pass is recorded, and needs the moments as functions of x
            mean, variance = self._over_ranks(B, *B.channel_moments(x))
        gx, gg, gb = B.batch_norm_backward(wide(gy), x, gain, mean, variance, self.eps)
        # That was with the parts of this rank, gg / n_r and gb / n_r; the rest puts the sums over n in their place.
        rate = 1 / B.xp.sqrt(variance + self.eps)
        scale = (rate if gain is None else rate * gain) / own
        slope = scale * rate * (gg - self._sum(B, gg) * self.share.weight)
        shift = scale * (gb - self._sum(B, gb) * self.share.weight) - mean * slope
        return gx + B.channel_affine(x, slope, shift), gg, gb

    def _over_ranks(self, B: Backend, mean: Any, variance: Any) -> tuple[Any, Any]:
        """Return the moments over all ranks, from those of this one."""
        whole = self._sum(B, mean * self.share.weight)
        between = mean - whole
        return whole, self._sum(B, (variance + between * between) * self.share.weight)

    def _sum(self, B: Backend, x: Any) -> Any:
        reduce = AllReduce(self.world)
        return reduce(x) if isinstance(x, Tensor) else reduce.forward(B, x)


class SyncBatchNorm(nn.BatchNorm):
    """`nn.BatchNorm` whose mean and variance are those of the rows of all ranks, in training.

    `convert_sync_batchnorm` makes one. The gradient flows through the mean and the variance to the rows of every rank.
    """

    world: World
    share: Share

    @staticmethod
    def convert_sync_batchnorm(network: nn.Module, world: World, share: Share) -> nn.Module:
        """Turn every `nn.BatchNorm` of a network into this kind, in place, with its state; return the network.

        Parameters
        ----------
        network : Module
        world : World
        share : Share
            The rows that this rank has of each minibatch.
        """
        for module in network.modules():
            if type(module) is nn.BatchNorm:
                module.__class__ = SyncBatchNorm
                vars(module).update(world=world, share=share)
        return network

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C) or (N, C, ...)."""
        if not self.training:
            return super().forward(x)
        norm = BatchNormOverRanks(self.eps, self.world, self.share)
        y = norm(x, self.weight, self.bias)
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            running = self.running_mean.data, self.running_var.data
            y.backend.follow_moments(running, norm.moments, norm.n, self.momentum)
            self.running_mean.mark_changed()
            self.running_var.mark_changed()
            self.num_batches_tracked.data += 1
        del norm.moments
        return y
