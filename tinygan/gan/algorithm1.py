"""Algorithm 1 of the paper, and the simultaneous variant that its released code runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tinygan.functional as F
from tinygan.backend import Streams, current_streams
from tinygan.checks import integer
from tinygan.engine import Tensor, grad, no_grad
from tinygan.errors import ArgumentError, DataError, DtypeError, GradientError, ShapeError
from tinygan.gan.noise import Noise
from tinygan.gan.objectives import OBJECTIVES, probabilities
from tinygan.gan.players import (
    activation_of,
    last_activation,
    noise_size,
    optimizer_of,
    out_of_reach,
    refuse_bounded_logits,
    refuse_shared,
)
from tinygan.nn import Module
from tinygan.optim import Optimizer

SCHEDULES = ("alternating", "simultaneous")


@dataclass(frozen=True, repr=False)
class Step:
    """The losses and logits of one iteration, detached from the graph; printed, it is three lines.

    Attributes
    ----------
    discriminator_loss, generator_loss : Tensor, shape ()
        In nats; the discriminator's loss is not scaled.
    real_logits, fake_logits : Tensor, shape (m, 1) or (m,)
        The discriminator's logits for data and for samples in its last update.

    Examples
    --------
    >>> import tinygan as tg
    >>> Step(tg.tensor(1.2), tg.tensor(0.8), tg.tensor([1.0, 0.5]), tg.tensor([-1.0, 0.5]))
    D's loss  1.2000  (1.3863 at equilibrium)
    G's loss  0.8000  (0.6931 at equilibrium)
    D(x) 0.677, D(G(z)) 0.446, accuracy 0.750  (0.5 each at equilibrium)
    """

    discriminator_loss: Tensor
    generator_loss: Tensor
    real_logits: Tensor
    fake_logits: Tensor

    def __repr__(self) -> str:
        d_loss, g_loss = self.discriminator_loss.item(), self.generator_loss.item()
        at_rest = math.copysign(math.log(2), g_loss)  # -log 2 of the minimax loss, which is never positive
        real, fake = probabilities(self.real_logits), probabilities(self.fake_logits)
        accuracy = ((self.real_logits.numpy() > 0).mean() + (self.fake_logits.numpy() <= 0).mean()) / 2
        return (
            f"D's loss {d_loss:7.4f}  ({math.log(4):.4f} at equilibrium)\n"
            f"G's loss {g_loss:7.4f}  ({at_rest:.4f} at equilibrium)\n"
            f"D(x) {real.mean():.3f}, D(G(z)) {fake.mean():.3f}, accuracy {accuracy:.3f}  (0.5 each at equilibrium)"
        )


class Algorithm1:
    """Minibatch stochastic gradient training of generative adversarial nets.

    ``schedule="alternating"`` is Algorithm 1 as printed. One iteration makes k updates of the discriminator. Each takes
    a new minibatch of m examples and m new noise vectors, and ascends the gradient of ::

        1/m sum [ log D(x) + log(1 - D(G(z))) ]

    Then it makes one update of the generator, on m new noise vectors, through the updated discriminator.

    ``schedule="simultaneous"`` is the released code: both gradients are computed at the same parameters, then both
    players are updated. With ``shared_noise=True``, as in that code, both players use one noise batch and one pass
    through D (one set of dropout masks).

    Parameters
    ----------
    generator, discriminator : Module
        The generator maps noise (m, size) to samples. The discriminator maps samples to one logit a row, (m, 1) or
        (m,). No trained parameter may belong to both.
    noise : Noise, optional
        By default uniform, of the size that the generator's first parameter has rows.
    k : int
        Discriminator updates in one iteration.
    schedule : {"alternating", "simultaneous"}
    shared_noise : bool
        Only with ``"simultaneous"``.
    objective : str
        A name in `OBJECTIVES`: "non-saturating" or "minimax"; see `generator_loss`.
    discriminator_loss_scale : float
        Factor on the discriminator's loss; the released code has 0.5.
    generator_optimizer, discriminator_optimizer : Optimizer, optional
        By default `SGD` with learning rate `lr` and momentum `momentum`, each a number or a schedule. An optimiser
        updates every parameter of its player that is not frozen, and no other.
    lr, momentum : float or callable, optional
        Of the default optimisers; by default 0.1 and 0.5.
    streams : Streams, optional
        Noise is drawn from its stream ``noise`` and dropout masks from ``dropout``; by default those of
        `tinygan.manual_seed`.

    Raises
    ------
    ArgumentError
        The options contradict each other, an optimiser does not belong to its player, or the discriminator's layers end
        in a sigmoid or another activation: losses are computed on logits.
    ShapeError
        The noise does not fit the generator's first layer.

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
        lr: Any = None,
        momentum: Any = None,
        streams: Streams | None = None,
    ) -> None:
        if schedule not in SCHEDULES:
            raise ArgumentError(f"Algorithm1: schedule must be one of {', '.join(SCHEDULES)}; got {schedule!r}")
        if objective not in OBJECTIVES:
            raise ArgumentError(f"Algorithm1: objective must be one of {', '.join(OBJECTIVES)}; got {objective!r}")
        if shared_noise and schedule != "simultaneous":
            raise ArgumentError(
                "Algorithm1: shared_noise needs schedule='simultaneous'; as printed, every update draws fresh noise"
            )
        if not 0 < discriminator_loss_scale < math.inf:
            raise ArgumentError(
                f"Algorithm1: discriminator_loss_scale must be positive, got {discriminator_loss_scale}; expected a "
                "finite number above 0: a discriminator that climbs its loss helps the generator"
            )
        if generator_optimizer and discriminator_optimizer and not (lr is None and momentum is None):
            raise ArgumentError(
                "Algorithm1: lr and momentum are for the default optimisers; both optimisers are given: set them there"
            )
        self.generator = generator
        self.discriminator = discriminator
        self.k = integer(k, "Algorithm1: k", at_least=1)
        self.schedule = schedule
        self.shared_noise = shared_noise
        self.objective = objective
        self.discriminator_loss_scale = discriminator_loss_scale
        rates = (0.1 if lr is None else lr, 0.5 if momentum is None else momentum)
        self.generator_optimizer = optimizer_of("generator", generator, generator_optimizer, *rates)
        self.discriminator_optimizer = optimizer_of("discriminator", discriminator, discriminator_optimizer, *rates)
        refuse_shared(generator, (self.generator_optimizer, self.discriminator_optimizer))
        refuse_bounded_logits(last_activation(discriminator))
        self.noise = noise or Noise("uniform", _rows_of_first_parameter(generator))
        expected, found = noise_size(generator), getattr(self.noise, "size", None)
        if None not in (expected, found) and expected != found:
            raise ShapeError(
                f"Algorithm1: a row of noise has {found} numbers, but the generator's first layer takes {expected}: "
                f"give noise=Noise(kind, {expected})"
            )
        self.streams = streams or current_streams()
        self._generator_ends_in = last_activation(generator) or None  # None: not known yet
        self._span: tuple[float, float] | None = None  # the range of the last data that were checked

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
            The rows do not divide into k minibatches, a minibatch is empty, samples and data differ in shape, or the
            discriminator does not return one logit a row.
        DtypeError
            The data are not floats. Floats of another precision than the discriminator's parameters are converted.
        DataError
            The data are not finite, or the last activation of the generator cannot reach them, such as pixels up to 255
            with a sigmoid. On a device that computes asynchronously, only the data of the first step are checked.
        ArgumentError
            The discriminator ends in a sigmoid or another activation.
        GradientError
            No gradient reaches any parameter of a player. A frozen or unused parameter does not change.
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

    # ------------------------------------------------------------------ the updates

    def _update_discriminator(self, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Update the discriminator; return its loss, and its logits for data and samples."""
        with no_grad():  # the discriminator's update needs no gradient of the samples
            fake = self._samples_beside(real)
        # One pass over data and samples makes larger products; dropout masks are drawn for each row anyway.
        logits = self._judge(F.concatenate([real, fake]))
        real_logits, fake_logits = logits[: len(real)], logits[len(real) :]
        loss = OBJECTIVES[self.objective].discriminator(real_logits, fake_logits)
        self._set_gradients("discriminator", loss * self.discriminator_loss_scale)
        self.discriminator_optimizer.step()
        return loss.detach(), real_logits.detach(), fake_logits.detach()

    def _update_generator(self, count: int) -> Tensor:
        """Update the generator; return its loss."""
        loss = OBJECTIVES[self.objective].generator(self._judge(self._samples(count)))
        self._set_gradients("generator", loss)
        self.generator_optimizer.step()
        return loss.detach()

    def _update_both(self, real: Tensor) -> Step:
        """Compute both gradients at the same parameters, then update both players."""
        fake = self._samples_beside(real)
        real_logits, fake_logits = self._judge(real), self._judge(fake)
        objective = OBJECTIVES[self.objective]
        d_loss = objective.discriminator(real_logits, fake_logits)
        g_logits = fake_logits if self.shared_noise else self._judge(self._samples(len(real)))
        g_loss = objective.generator(g_logits)
        self._set_gradients("discriminator", d_loss * self.discriminator_loss_scale, retain_graph=self.shared_noise)
        self._set_gradients("generator", g_loss)
        self.discriminator_optimizer.step()
        self.generator_optimizer.step()
        return Step(d_loss.detach(), g_loss.detach(), real_logits.detach(), fake_logits.detach())

    def _set_gradients(self, player: str, loss: Tensor, retain_graph: bool = False) -> None:
        """Differentiate with respect to the parameters of this player only."""
        params = (self.generator_optimizer if player == "generator" else self.discriminator_optimizer).params
        trained = [parameter for parameter in params if parameter.requires_grad]
        gradients = grad(loss, trained, retain_graph=retain_graph, allow_unused=True)
        if all(gradient is None for gradient in gradients):
            why = "its loss does not depend on them: look for detach(), .data or NumPy on the way"
            raise GradientError(
                f"Algorithm1.step: no gradient reaches any parameter of the {player}: "
                f"{why if trained else 'all of them are frozen (requires_grad = False)'}"
            )
        for parameter in params:
            parameter.grad = None  # also of a parameter that was frozen since the last step
        for parameter, gradient in zip(trained, gradients, strict=True):
            parameter.grad = gradient

    # ------------------------------------------------------------------ logits and samples

    def _judge(self, x: Tensor) -> Tensor:
        """Return the discriminator's logits; refuse anything but one logit a row."""
        logits = self.discriminator(x)
        rows, shape = x.shape[0], getattr(logits, "shape", type(logits).__name__)
        if shape not in ((rows, 1), (rows,)):
            raise ShapeError(
                f"Algorithm1.step: the discriminator returns {shape} for {rows} rows; expected one logit a row: "
                f"({rows}, 1) or ({rows},)"
            )
        refuse_bounded_logits(activation_of(logits))
        return logits

    def _samples(self, count: int) -> Tensor:
        """Draw `count` samples in the precision of the discriminator."""
        fake = self.generator(self._draw_noise(count))
        if fake.shape[:1] != (count,):
            raise ShapeError(
                f"Algorithm1.step: the generator makes samples of shape {fake.shape} from {count} noise vectors; "
                "expected one sample from each"
            )
        if self._generator_ends_in is None and fake.operation is not None:
            seen = activation_of(fake)
            assert self._span is not None, "data are checked before samples are drawn"
            self._refuse_out_of_reach(seen, *self._span)
            self._generator_ends_in = seen
        return self._converted(fake, self.discriminator_optimizer)

    # ------------------------------------------------------------------ inputs

    def _samples_beside(self, real: Tensor) -> Tensor:
        """Draw as many samples as `real` has examples; refuse examples of another shape."""
        fake = self._samples(len(real))
        if fake.shape != real.shape:
            raise ShapeError(
                f"Algorithm1.step: an example has the shape {real.shape[1:]}, but the generator makes samples of shape "
                f"{fake.shape[1:]}; the discriminator needs both in one shape"
            )
        return fake

    def _draw_noise(self, count: int) -> Tensor:
        backend = self.generator_optimizer.params[0].backend
        z = Tensor(self.noise.draw(count, self.streams["noise"], backend=backend))
        return self._converted(z, self.generator_optimizer)

    @staticmethod
    def _converted(x: Tensor, reader: Optimizer) -> Tensor:
        """Return `x` in the dtype of its reader's parameters: float64 would make the whole pass float64."""
        dtype = reader.params[0].dtype
        return x if x.dtype == dtype else x.astype(dtype)

    def _minibatches(self, batch: Any) -> list[Tensor]:
        if isinstance(batch, Sequence):
            parts = list(batch)
            if len(parts) != self.k:
                raise ShapeError(f"Algorithm1.step: expected k = {self.k} minibatches, got {len(parts)}")
        else:
            shape = getattr(batch, "shape", ())
            rows = shape[0] if shape else 0
            if rows == 0 or rows % self.k:
                raise ShapeError(
                    f"Algorithm1.step: {rows} rows do not divide into k = {self.k} minibatches; expected an array of "
                    f"shape (k m, ...), got {type(batch).__name__}"
                )
            m = rows // self.k
            parts = [batch[i * m : (i + 1) * m] for i in range(self.k)]
        minibatches = [part if isinstance(part, Tensor) else Tensor(part) for part in parts]
        for position, minibatch in enumerate(minibatches):
            if minibatch.size == 0:
                raise ShapeError(f"Algorithm1.step: minibatch {position} is empty, of shape {minibatch.shape}")
            if minibatch.dtype.kind != "f":
                raise DtypeError(
                    f"Algorithm1.step: minibatch {position} holds {minibatch.dtype}; expected floats, on the scale of "
                    "the samples: divide pixels by 255"
                )
        minibatches = [self._converted(minibatch, self.discriminator_optimizer) for minibatch in minibatches]
        if self._span is None or not minibatches[0].backend.runs_ahead:
            self._check_data(minibatches)
        return minibatches

    def _check_data(self, minibatches: list[Tensor]) -> None:
        """Refuse data that are not finite, or that the generator cannot reach."""
        low, high = math.inf, -math.inf
        for position, minibatch in enumerate(minibatches):
            lowest, highest = float(minibatch.data.min()), float(minibatch.data.max())
            if not -math.inf < lowest <= highest < math.inf:  # with a nan, both are nan
                index = minibatch.backend.first_non_finite(minibatch.data)
                found = float(minibatch.data[index])
                raise DataError(
                    f"Algorithm1.step: minibatch {position} is {found} at {index}; expected finite numbers of "
                    f"{minibatch.dtype}"
                )
            low, high = min(low, lowest), max(high, highest)
        self._refuse_out_of_reach(self._generator_ends_in or "", low, high)
        self._span = low, high

    @staticmethod
    def _refuse_out_of_reach(activation: str, low: float, high: float) -> None:
        wrong = out_of_reach(activation, low, high)
        if wrong:
            raise DataError(f"Algorithm1.step: {wrong}: scale the data, or change the generator's last layer")


def _rows_of_first_parameter(generator: Module) -> int:
    seen = noise_size(generator)
    shape = generator.parameters()[0].shape
    if seen is None and len(shape) != 2:
        raise ArgumentError(
            "Algorithm1: the generator does not show the size of its noise; its first parameter has the shape "
            f"{shape}: give noise=Noise(kind, size)"
        )
    return shape[0] if seen is None else seen
