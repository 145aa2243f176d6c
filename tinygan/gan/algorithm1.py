"""Algorithm 1 of the paper, and the simultaneous variant that its released code runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tinygan.functional as F
from tinygan.backend import Streams, current_streams
from tinygan.engine import Tensor, grad, no_grad
from tinygan.errors import ShapeError
from tinygan.gan.noise import Noise
from tinygan.gan.objectives import OBJECTIVES, discriminator_loss, generator_loss
from tinygan.nn import Module
from tinygan.optim import SGD, Optimizer

SCHEDULES = ("alternating", "simultaneous")


@dataclass(frozen=True)
class Step:
    """What one iteration saw, detached from any graph.

    Attributes
    ----------
    discriminator_loss, generator_loss : Tensor, shape ()
        In nats; the discriminator's before any scaling.
    real_logits, fake_logits : Tensor, shape (m, 1)
        What the discriminator answered, in its last update, to data and to samples.
    """

    discriminator_loss: Tensor
    generator_loss: Tensor
    real_logits: Tensor
    fake_logits: Tensor


class Algorithm1:
    """Minibatch stochastic gradient training of generative adversarial nets.

    ``schedule="alternating"`` is Algorithm 1 as printed. One iteration makes k updates of the discriminator, each on a
    fresh minibatch of m examples and m fresh noise vectors, ascending ::

        1/m sum [ log D(x) + log(1 - D(G(z))) ]

    and then one update of the generator, on m fresh noise vectors, through the updated discriminator.

    ``schedule="simultaneous"`` is the released code: both players' gradients are taken at the same parameters, then
    both move. With ``shared_noise=True``, as there, one noise batch and one pass through D (one set of dropout
    masks) serve both players.

    Parameters
    ----------
    generator, discriminator : Module
        The generator maps noise (m, size) to samples; the discriminator maps samples to one logit a row.
    noise : Noise, optional
        By default uniform, of the size of the generator's first parameter's rows.
    k : int
        Discriminator updates in one iteration.
    schedule : {"alternating", "simultaneous"}
    shared_noise : bool
        Only with ``"simultaneous"``.
    objective : {"non-saturating", "minimax"}
        See `generator_loss`.
    discriminator_loss_scale : float
        Factor on the discriminator's loss; the released code has 0.5.
    generator_optimizer, discriminator_optimizer : Optimizer, optional
        By default `SGD` with learning rate `lr` and momentum `momentum`, each a number or a schedule.
    lr, momentum : float or callable
        For the default optimisers.
    streams : Streams, optional
        Noise is drawn from its stream ``noise`` and dropout masks from ``dropout``; by default those of
        `tinygan.manual_seed`.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygan import gan, nn
    >>> generator = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> discriminator = nn.Sequential(nn.Maxout(3, 4, pieces=2), nn.Linear(4, 1))
    >>> game = gan.Algorithm1(generator, discriminator, k=2)
    >>> step = game.step(np.zeros((10, 3), np.float32))  # two minibatches of 5
    >>> step.fake_logits.shape
    (5, 1)
    """

    def __init__(
        self,
        generator: Module,
        discriminator: Module,
        *,
        noise: Noise | None = None,
        k: int = 1,
        schedule: str = "alternating",
        shared_noise: bool = False,
        objective: str = "non-saturating",
        discriminator_loss_scale: float = 1.0,
        generator_optimizer: Optimizer | None = None,
        discriminator_optimizer: Optimizer | None = None,
        lr: Any = 0.1,
        momentum: Any = 0.5,
        streams: Streams | None = None,
    ) -> None:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"Algorithm1: k must be an integer of at least 1, got {k!r}")
        if schedule not in SCHEDULES:
            raise ValueError(f"Algorithm1: schedule must be one of {', '.join(SCHEDULES)}; got {schedule!r}")
        if objective not in OBJECTIVES:
            raise ValueError(f"Algorithm1: objective must be one of {', '.join(OBJECTIVES)}; got {objective!r}")
        if shared_noise and schedule != "simultaneous":
            raise ValueError(
                "Algorithm1: shared_noise needs schedule='simultaneous'; as printed, every update draws fresh noise"
            )
        if not discriminator_loss_scale > 0:
            raise ValueError(
                f"Algorithm1: discriminator_loss_scale must be positive, got {discriminator_loss_scale}; "
                "a discriminator that climbs its loss helps the generator"
            )
        self.generator = generator
        self.discriminator = discriminator
        self.k = k
        self.schedule = schedule
        self.shared_noise = shared_noise
        self.objective = objective
        self.discriminator_loss_scale = discriminator_loss_scale
        self.generator_optimizer = generator_optimizer or SGD(generator.parameters(), lr, momentum)
        self.discriminator_optimizer = discriminator_optimizer or SGD(discriminator.parameters(), lr, momentum)
        self.noise = noise or Noise("uniform", generator.parameters()[0].shape[0])
        self.streams = streams or current_streams()

    def step(self, batch: Any) -> Step:
        """Run one iteration: k updates of the discriminator and one of the generator.

        Parameters
        ----------
        batch : array or Tensor, shape (k m, ...), or a sequence of k minibatches (m, ...)
            The data of the iteration: one minibatch of m examples for each update of the discriminator.

        Returns
        -------
        Step
            Losses and logits of the last update of the discriminator, and the generator's loss.

        Raises
        ------
        ShapeError
            The rows do not divide into k minibatches, one is empty, or samples have another shape than the data.
        """
        minibatches = self._minibatches(batch)
        with self.streams.active():
            if self.schedule == "simultaneous":
                for real in minibatches[:-1]:
                    self._update_discriminator(real)
                return self._update_both(minibatches[-1])
            for real in minibatches:
                d_loss, real_logits, fake_logits = self._update_discriminator(real)
            g_loss = self._update_generator(len(minibatches[-1]))
            return Step(d_loss, g_loss, real_logits, fake_logits)

    def start_epoch(self, epoch: int) -> None:
        """Tell the schedules of the momentum which epoch begins, counted from 1."""
        self.generator_optimizer.epoch = epoch
        self.discriminator_optimizer.epoch = epoch

    # ------------------------------------------------------------------ the updates

    def _update_discriminator(self, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Ascend the discriminator's stochastic gradient; return its loss, and its logits for data and samples."""
        with no_grad():  # samples are data to the discriminator
            fake = self._samples_beside(real)
        # one pass over data and samples: larger products, and dropout masks are per row anyway
        logits = self.discriminator(F.concatenate([real, fake]))
        real_logits, fake_logits = logits[: len(real)], logits[len(real) :]
        loss = discriminator_loss(real_logits, fake_logits)
        self._descend(self.discriminator_optimizer, loss * self.discriminator_loss_scale)
        return loss.detach(), real_logits.detach(), fake_logits.detach()

    def _update_generator(self, count: int) -> Tensor:
        """Descend the generator's stochastic gradient; return its loss."""
        fake_logits = self.discriminator(self.generator(self._draw_noise(count)))
        loss = generator_loss(fake_logits, self.objective)
        self._descend(self.generator_optimizer, loss)
        return loss.detach()

    def _update_both(self, real: Tensor) -> Step:
        """Take both gradients at the same parameters, then move both players."""
        fake = self._samples_beside(real)
        real_logits, fake_logits = self.discriminator(real), self.discriminator(fake)
        d_loss = discriminator_loss(real_logits, fake_logits)
        g_logits = fake_logits
        if not self.shared_noise:
            g_logits = self.discriminator(self.generator(self._draw_noise(len(real))))
        g_loss = generator_loss(g_logits, self.objective)
        self._set_gradients(
            self.discriminator_optimizer, d_loss * self.discriminator_loss_scale, retain_graph=self.shared_noise
        )
        self._set_gradients(self.generator_optimizer, g_loss)
        self.discriminator_optimizer.step()
        self.generator_optimizer.step()
        return Step(d_loss.detach(), g_loss.detach(), real_logits.detach(), fake_logits.detach())

    def _descend(self, optimizer: Optimizer, loss: Tensor) -> None:
        self._set_gradients(optimizer, loss)
        optimizer.step()

    @staticmethod
    def _set_gradients(optimizer: Optimizer, loss: Tensor, retain_graph: bool = False) -> None:
        """Differentiate by this player's parameters only: nothing is computed for the other's weights."""
        gradients = grad(loss, optimizer.params, retain_graph=retain_graph)
        for parameter, gradient in zip(optimizer.params, gradients, strict=True):
            parameter.grad = gradient

    # ------------------------------------------------------------------ inputs

    def _samples_beside(self, real: Tensor) -> Tensor:
        """Draw as many samples as there are examples in `real`; refuse examples that are no match for them."""
        fake = self.generator(self._draw_noise(len(real)))
        if fake.shape != real.shape:
            raise ShapeError(
                f"Algorithm1.step: an example has the shape {real.shape[1:]}, but the generator makes samples of shape "
                f"{fake.shape[1:]}; the discriminator must see both alike"
            )
        return fake

    def _draw_noise(self, count: int) -> Tensor:
        backend = self.generator_optimizer.params[0].backend
        return Tensor(self.noise.draw(count, self.streams["noise"], backend=backend))

    def _minibatches(self, batch: Any) -> list[Tensor]:
        if isinstance(batch, Sequence):
            parts = list(batch)
            if len(parts) != self.k:
                raise ShapeError(f"Algorithm1.step: expected k = {self.k} minibatches, got {len(parts)}")
        else:
            rows = batch.shape[0] if batch.ndim else 0
            if rows == 0 or rows % self.k:
                raise ShapeError(f"Algorithm1.step: {rows} rows do not divide into k = {self.k} minibatches")
            m = rows // self.k
            parts = [batch[i * m : (i + 1) * m] for i in range(self.k)]
        minibatches = [part if isinstance(part, Tensor) else Tensor(part) for part in parts]
        for position, minibatch in enumerate(minibatches):
            if minibatch.size == 0:
                raise ShapeError(f"Algorithm1.step: minibatch {position} is empty, of shape {minibatch.shape}")
        return minibatches
