"""`ParallelTraining`: the part of one rank in a training on several."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinygan import gan, optim
from tinygan.backend import Stream, get_backend
from tinygan.config.experiment import ExperimentConfig
from tinygan.data.dataset import Dataset
from tinygan.engine import Tensor
from tinygan.errors import AnomalyError, ConfigError
from tinygan.experiments.training import Training
from tinygan.gan.monitors import WATCHED
from tinygan.gan.penalties import DRAGAN, Judge, Penalty, WeightClipping
from tinygan.parallel.batch_norm import SyncBatchNorm
from tinygan.parallel.shards import RowStreams, Share
from tinygan.parallel.world import World


class ParallelTraining(Training):
    """`Training` whose minibatches are shared by the ranks; see ``docs/parallel.md``.

    Each rank has its rows of every minibatch, and weights its losses with its share of them. Then the sum of the
    gradients over the ranks is the gradient of one process. So all ranks make the same updates; at the end of every
    epoch, the bits of their weights are compared. The state is that of one process, on any rank.

    `step` and `synchronize` must be called on every rank; the other methods send nothing.

    Parameters
    ----------
    config, dataset, device
        As for `Training`; the minibatch of the configuration is that of all ranks together.
    world : World

    Attributes
    ----------
    share : Share
        The rows of this rank.
    asked : callable
        Returns whether this rank has been asked to stop, as by Ctrl-C; called in each step.
    stopping : bool
        Whether any rank had been asked to stop in the last step: the same on all ranks.

    Raises
    ------
    ConfigError
        A minibatch has fewer rows than there are ranks; or a setting needs all of its rows in one process.
    """

    world: World

    def _never(self) -> bool:
        """Return False, whatever was set: a step that is captured or replayed holds no sums over the ranks."""
        return False

    capture = replay = property(_never, lambda self, value: None)

    def __init__(self, config: ExperimentConfig, dataset: Dataset, device: str = "cpu", *, world: World) -> None:
        _refuse_unshared(config, world.size)
        world.share_cores()
        if get_backend(device).runs_ahead:
            world.choose_gpu()
        super().__init__(config, dataset, device)
        self.world = world
        self.share = Share.of_rank(world.rank, world.size, config.training.batch)
        self.asked: Callable[[], bool] = lambda: False
        self.stopping = False
        self._finite: list[bool] = []  # whether each result of this rank was, in the order of this step
        game, weight = self.game, self.share.weight
        self.streams = game.streams = RowStreams(self.streams, self.share)
        self._order_there = self.backend.array(self._own_rows(self.order))
        self.rows = self.share.rows * config.training.k
        losses = game.losses
        game.losses = losses._replace(
            discriminator=lambda real, fake: losses.discriminator(real, fake) * weight,
            generator=lambda fake: losses.generator(fake) * weight,
        )
        game.penalties = tuple(
            penalty if isinstance(penalty, WeightClipping) else _SharedPenalty(penalty, weight)
            for penalty in game.penalties
        )
        for network in self.players.values():
            SyncBatchNorm.convert_sync_batchnorm(network, world, self.share)
        for rule in (game.generator_optimizer, game.discriminator_optimizer):
            rule.register_step_pre_hook(self._sum_gradients)

    def _own_rows(self, order: Any) -> Any:
        """Return the rows of this rank out of the order of all, minibatch by minibatch."""
        return self.share.take(order[: self.steps_per_epoch * self.config.training.k * self.share.of])

    def _set_order(self, order: Any) -> None:
        self.order = order
        self._order_there[...] = self.backend.from_numpy(self._own_rows(order))

    def _sum_gradients(self, rule: optim.Optimizer, args: Any, kwargs: Any) -> None:
        gradients = [parameter.grad.data for parameter in rule.params if parameter.grad is not None]
        # A gradient that is not finite on its way down reaches the lowest layer.
        lowest = next((gradient for gradient in gradients if gradient.ndim == 1), gradients[0])
        self._finite.append(self.backend.first_non_finite(lowest) is None)
        self.world.sum(*gradients)

    # ------------------------------------------------------------------ one step

    def step(self) -> None:
        """Run one iteration of Algorithm 1 on the rows of this rank.

        Raises
        ------
        AnomalyError
            As for `Training`, on all ranks; the message names the rank.
        ParallelError
            At the end of an epoch, the weights are not the same bits on all ranks.
        """
        self.all_ranks_failed = True
        super().step()
        self.all_ranks_failed = False
        if self.epoch_is_over:
            arrays = {
                f"the {player}'s {name}": array
                for player, network in self.players.items()
                for name, array in network.state_dict().items()
            }
            self.world.refuse_different(arrays, f"step {self.steps}, epoch {self.epoch}")

    def iterate(self) -> gan.Step:
        """Run the iteration of `step`; return the losses of all ranks, and the logits of this one."""
        self._finite.clear()
        before = self.backend.read_sums(self.monitor.sums)
        self.monitor.sums.fill(0)
        step = super().iterate()
        own = self.backend.read_sums(self.monitor.sums)[: len(WATCHED)]
        penalty = 0.0 if step.penalty is None else step.penalty.item()
        scores = [score * self.share.weight for score in own[2:]]
        self._finite.append(all(map(math.isfinite, (*own, penalty))))
        totals = np.array([*own[:2], *scores, penalty, self.asked()], np.float64)
        self.world.sum(totals)
        d_loss, g_loss, *_, penalty, asked = totals
        self.stopping = bool(asked)
        sums = [old + new for old, new in zip(before[: len(own)], totals, strict=False)]
        first = before[-1] or (0 if np.isfinite(totals).all() else self.monitor.count)
        self.backend.set_sums(self.monitor.sums, [*sums, self.monitor.count, first])
        return replace(
            step,
            discriminator_loss=self._number(d_loss),
            generator_loss=self._number(g_loss),
            penalty=None if step.penalty is None else self._number(penalty),
        )

    def _number(self, value: float) -> Tensor:
        return Tensor(self.backend.from_numpy(np.array(value)))

    def _refuse_non_finite(self, step: gan.Step) -> None:
        """As `Training`, for sums over the ranks: so all ranks raise, or none."""
        try:
            super()._refuse_non_finite(step)
        except AnomalyError as error:
            # After the first result that is not finite, the sums carry it to all ranks.
            moments = zip(*self.world.gather(self._finite), strict=True)
            first = next((moment for moment in moments if not all(moment)), ())
            ranks = [str(rank) for rank, finite in enumerate(first) if not finite]
            where = f"rank{'s' * (len(ranks) > 1)} {', '.join(ranks)}" if ranks else "the sum over the ranks"
            raise AnomalyError(f"{where}: {error}") from None

    # ------------------------------------------------------------------ state

    def synchronize(self) -> None:
        """Give every rank the state of rank 0, and connect their GPUs; before the first step."""
        if self.backend.runs_ahead and self.world.nccl is None:
            self.world.connect_gpus()
        state = self.world.broadcast(self.state() if self.world.rank == 0 else None)
        if self.world.rank:
            assert state is not None
            self.load_state(*state)


@dataclass(frozen=True)
class _SharedPenalty(Penalty):
    """A penalty that is weighted with a rank's share of the rows."""

    penalty: Penalty
    weight: float

    def __post_init__(self) -> None:
        pass

    def loss(self, judge: Judge, real: Tensor, fake: Tensor, stream: Stream) -> Tensor | None:
        term = self.penalty.loss(judge, real, fake, stream)
        return None if term is None else term * self.weight

    def after_update(self, parameters: Any) -> None:
        self.penalty.after_update(parameters)


def _refuse_unshared(config: ExperimentConfig, ranks: int) -> None:
    """Refuse an experiment whose minibatches cannot be shared by so many ranks."""
    training = config.training
    if training.batch < ranks:
        raise ConfigError(
            f"{config.name}: training.batch = {training.batch} has no row for each of {ranks} ranks: start at most "
            f"{training.batch}, or choose a larger batch"
        )
    reasons = {"training.packing: a pack may have rows of two ranks": training.packing > 1}
    for penalty in training.penalty or ():
        if isinstance(penalty.build(), DRAGAN):
            reasons['the penalty "dragan": the size of its noise is that of all rows'] = True
    for reason in (reason for reason, holds in reasons.items() if holds):
        raise ConfigError(f"{config.name}: {reason}; several ranks cannot train this: start one process")
