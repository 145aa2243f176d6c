"""Algorithm 1 of the paper, and the simultaneous variant that its released code runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tinygan.functional as F
from tinygan.backend import Streams, current_streams
from tinygan.checks import integer
from tinygan.engine import Tensor, grad, no_grad
from tinygan.errors import ArgumentError, GradientError, ShapeError
from tinygan.gan.inputs import minibatches_of, refuse_other_arguments, refuse_out_of_reach, span_of, twice, with_labels
from tinygan.gan.instance_noise import Blur
from tinygan.gan.noise import Noise
from tinygan.gan.options import flag, objective_of
from tinygan.gan.packing import Packed
from tinygan.gan.penalties import Penalty, penalties_of, total
from tinygan.gan.players import (
    activation_of,
    last_activation,
    noise_of,
    optimizer_of,
    refuse_bounded_logits,
    refuse_shared,
    wrong_logits,
)
from tinygan.gan.step import Step
from tinygan.nn import Module
from tinygan.optim import Optimizer

SCHEDULES = ("alternating", "simultaneous")


class Algorithm1:
    """Minibatch stochastic gradient training of generative adversarial nets.

    ``schedule="alternating"`` is Algorithm 1 as printed. One iteration makes k updates of the discriminator. Each takes
    a new minibatch of m examples and m new noise vectors, and ascends the gradient of ::

        1/m sum [ log D(x) + log(1 - D(G(z))) ]

    Then it makes one update of the generator, on m new noise vectors, through the updated discriminator.

    ``schedule="simultaneous"`` is the released code: both gradients are computed at the same parameters, then both
    players are updated. With ``shared_noise=True``, as in that code, both players use one noise batch and one pass
    through D (one set of dropout masks).

    What came after the paper is off by default, and stands in other files: `objectives`, `penalties`, `packing`,
    `instance_noise`. With labels y, the players are called as G(z, y) and D(x, y): see `step`.

    Parameters
    ----------
    generator, discriminator : Module
        The generator maps noise (m, size) to samples. The discriminator maps samples to one logit a row, (m, 1) or
        (m,); a `Packed` one to one logit for each pack. No trained parameter may belong to both.
    noise : Noise, optional
        By default uniform, of the size that the generator's first parameter has rows.
    k : int
        Discriminator updates in one iteration.
    schedule : {"alternating", "simultaneous"}
    shared_noise : bool
        Only with ``"simultaneous"``.
    objective : str, or (d_loss, g_loss)
        A name in `OBJECTIVES`, or two functions ``d_loss(real_logits, fake_logits)`` and ``g_loss(fake_logits)`` that
        return what each player minimises, one number.
    discriminator_loss_scale : float
        Factor on the discriminator's loss, not on its penalties; the released code has 0.5.
    penalty : Penalty, or a sequence of them, optional
        See `PENALTIES`, such as ``gan.R1(1.0)``. Random points are drawn from the stream ``penalty``.
    label_smoothing : float
        The label of data is 1 minus this, that of samples stays 0; only for the two objectives of the paper.
    instance_noise : float or callable
        The standard deviation of gaussian noise on everything that D sees, or a function from the number of iterations
        made to it, such as `InstanceNoise`. It is drawn from the stream ``instance noise``.
    separate_passes : bool
        Let D judge data and samples in two passes. By default, one pass makes larger products; a layer such as batch
        normalization then computes its statistics over data and samples together.
    patches : bool
        Let D return several logits a row, (m, ...); the losses are means over all of them.
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
        in a sigmoid or another activation whose range is too small for the objective.
    ShapeError
        The noise does not fit the generator's first layer.

    Notes
    -----
    Every pass in training mode updates the buffers of the layers that it runs through, such as running means: the
    buffers of D also in the generator's update, and those of G also in the discriminator's. PyTorch does the same.
    Training does not read them.

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
        objective: str | tuple[Callable[..., Tensor], Callable[..., Tensor]] = "non-saturating",
        discriminator_loss_scale: float = 1.0,
        penalty: Penalty | Sequence[Penalty] | None = None,
        label_smoothing: float = 0.0,
        instance_noise: float | Callable[[int], float] = 0.0,
        separate_passes: bool = False,
        patches: bool = False,
        generator_optimizer: Optimizer | None = None,
        discriminator_optimizer: Optimizer | None = None,
        lr: Any = None,
        momentum: Any = None,
        streams: Streams | None = None,
    ) -> None:
        if schedule not in SCHEDULES:
            raise ArgumentError(f"Algorithm1: schedule must be one of {', '.join(SCHEDULES)}; got {schedule!r}")
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
        self.discriminator_loss_scale = discriminator_loss_scale
        self.penalties = penalties_of(penalty)
        self.objective, self.losses = objective_of(objective, label_smoothing, self.penalties, discriminator)
        self.separate_passes, self.patches = flag(separate_passes, "separate_passes"), flag(patches, "patches")
        rates = (0.1 if lr is None else lr, 0.5 if momentum is None else momentum)
        self.generator_optimizer = optimizer_of("generator", generator, generator_optimizer, *rates)
        self.discriminator_optimizer = optimizer_of("discriminator", discriminator, discriminator_optimizer, *rates)
        refuse_shared(generator, (self.generator_optimizer, self.discriminator_optimizer))
        refuse_bounded_logits(last_activation(discriminator), self.losses)
        self.noise = noise_of(generator, noise)
        self.streams = streams or current_streams()
        parameter = self.discriminator_optimizer.params[0]
        self.instance_noise = Blur(instance_noise, parameter) if instance_noise else None
        self.rows_a_logit = discriminator.m if isinstance(discriminator, Packed) else 1
        self._conditional: bool | None = None  # whether the last minibatch had labels
        self._generator_ends_in = last_activation(generator) or None  # None: not known yet
        self._span: tuple[float, float] | None = None  # the range of the last data that were checked

    def step(self, batch: Any, labels: Any = None) -> Step:
        """Run one iteration: k updates of the discriminator and one of the generator.

        Parameters
        ----------
        batch : array or Tensor, shape (k m, ...), or a sequence of k minibatches (m, ...)
            The data of the iteration: one minibatch of m examples for each update of the discriminator.
        labels : array or Tensor, shape (k m,) or (k m, ...), optional
            Labels, or any other condition y: a row for each example. Then the players are called as ``generator(z, y)``
            and ``discriminator(x, y)``. The samples of an update have the labels of its minibatch, those of the
            generator's update the labels of the last one.

        Returns
        -------
        Step
            Losses and logits of the last update of the discriminator, and the generator's loss.

        Raises
        ------
        ShapeError
            The rows do not divide into k minibatches, a minibatch is empty, samples and data differ in shape, there is
            not a label for each example, or the discriminator does not return one logit a row (or pack).
        DtypeError
            The data are not floats. Floats of another precision than the discriminator's parameters are converted.
        DataError
            The data are not finite, or the last activation of the generator cannot reach them, such as pixels up to 255
            with a sigmoid. On a device that computes asynchronously, only the data of the first step are checked.
        ArgumentError
            The discriminator ends in an activation that does not fit the objective, or a player takes no labels.
        GradientError
            No gradient reaches any parameter of a player. A frozen or unused parameter does not change.
        """
        minibatches = self._minibatches(batch, labels)
        self.before_step()
        with self.streams.active():
            if self.schedule == "simultaneous":
                for real, *y in minibatches[:-1]:
                    self._update_discriminator(real, *y)
                return self._update_both(*minibatches[-1])
            for real, *y in minibatches:
                d_loss, real_logits, fake_logits, penalty = self._update_discriminator(real, *y)
            g_loss = self._update_generator(len(real), *y)
            return Step(d_loss, g_loss, real_logits, fake_logits, penalty, self.losses)

    @property
    def own_streams(self) -> set[str]:
        """The names of the streams that the options draw from."""
        names = {"penalty": self.penalties, "instance noise": self.instance_noise}
        return {name for name, used in names.items() if used}

    def before_step(self) -> None:
        """Set what the host decides for the next step; called by `step`, and before a replayed one."""
        if self.instance_noise is not None:
            self.instance_noise.set(self.generator_optimizer.updates)

    # ------------------------------------------------------------------ the updates

    def _update_discriminator(self, real: Tensor, *y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Update the discriminator; return its loss, its logits for data and samples, and its penalty."""
        with no_grad():  # the discriminator's update needs no gradient of the samples
            fake = self._samples_beside(real, *y)
        real_logits, fake_logits = self._judge_both(real, fake, *y)
        loss = self.losses.discriminator_loss(real_logits, fake_logits)
        penalty = self._penalty(real, fake, *y)
        self._set_gradients("discriminator", self._scaled(loss, penalty))
        self._step_discriminator()
        return loss.detach(), real_logits.detach(), fake_logits.detach(), _detached(penalty)

    def _update_generator(self, count: int, *y: Tensor) -> Tensor:
        """Update the generator; return its loss."""
        loss = self.losses.generator_loss(self._judge(self._samples(count, *y), *y))
        self._set_gradients("generator", loss)
        self.generator_optimizer.step()
        return loss.detach()

    def _update_both(self, real: Tensor, *y: Tensor) -> Step:
        """Compute both gradients at the same parameters, then update both players."""
        fake = self._samples_beside(real, *y)
        penalty = self._penalty(real, fake, *y)
        real_logits, fake_logits = self._judge(real, *y), self._judge(fake, *y)
        d_loss = self.losses.discriminator_loss(real_logits, fake_logits)
        g_logits = fake_logits if self.shared_noise else self._judge(self._samples(len(real), *y), *y)
        g_loss = self.losses.generator_loss(g_logits)
        self._set_gradients("discriminator", self._scaled(d_loss, penalty), retain_graph=self.shared_noise)
        self._set_gradients("generator", g_loss)
        self._step_discriminator()
        self.generator_optimizer.step()
        losses = d_loss.detach(), g_loss.detach()
        return Step(*losses, real_logits.detach(), fake_logits.detach(), _detached(penalty), self.losses)

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

    def _penalty(self, real: Tensor, fake: Tensor, *y: Tensor) -> Tensor | None:
        """Return the sum of the penalties on the discriminator's slope, or None."""
        if not self.penalties:
            return None
        return total(self.penalties, lambda x: self._judge(x, *y), real, fake.detach(), self.streams["penalty"])

    def _scaled(self, loss: Tensor, penalty: Tensor | None) -> Tensor:
        scaled = loss * self.discriminator_loss_scale
        return scaled if penalty is None else scaled + penalty

    def _step_discriminator(self) -> None:
        self.discriminator_optimizer.step()
        for penalty in self.penalties:
            penalty.after_update(self.discriminator_optimizer.params)

    # ------------------------------------------------------------------ logits and samples

    def _judge_both(self, real: Tensor, fake: Tensor, *y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits for data and for samples."""
        if self.separate_passes:
            return self._judge(real, *y), self._judge(fake, *y)
        # One pass over data and samples makes larger products; dropout masks are drawn for each row anyway.
        logits = self._judge(F.concatenate([real, fake]), *map(twice, y))
        half = len(logits) // 2
        return logits[:half], logits[half:]

    def _judge(self, x: Tensor, *y: Tensor) -> Tensor:
        """Return the discriminator's logits; refuse anything but one logit a row, or what the options allow."""
        if self.instance_noise is not None:
            x = self.instance_noise(x, self.streams["instance noise"])
        logits = self.discriminator(x, *y)
        rows, shape = x.shape[0] // self.rows_a_logit, getattr(logits, "shape", ())
        if shape not in ((rows, 1), (rows,)) and not (self.patches and shape[:1] == (rows,) and logits.size):
            raise wrong_logits(logits, x.shape[0], rows, self.patches)
        refuse_bounded_logits(activation_of(logits), self.losses)
        return logits

    def _samples(self, count: int, *y: Tensor) -> Tensor:
        """Draw `count` samples in the precision of the discriminator."""
        fake = self.generator(self._draw_noise(count), *y)
        if fake.shape[:1] != (count,):
            raise ShapeError(
                f"Algorithm1.step: the generator makes samples of shape {fake.shape} from {count} noise vectors; "
                "expected one sample from each"
            )
        if self._generator_ends_in is None and fake.operation is not None:
            seen = activation_of(fake)
            assert self._span is not None, "data are checked before samples are drawn"
            refuse_out_of_reach(seen, *self._span)
            self._generator_ends_in = seen
        return self._converted(fake, self.discriminator_optimizer)

    def _samples_beside(self, real: Tensor, *y: Tensor) -> Tensor:
        """Draw as many samples as `real` has examples; refuse examples of another shape."""
        fake = self._samples(len(real), *y)
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

    # ------------------------------------------------------------------ inputs

    @staticmethod
    def _converted(x: Tensor, reader: Optimizer) -> Tensor:
        """Return `x` in the dtype of its reader's parameters: float64 would make the whole pass float64."""
        dtype = reader.params[0].dtype
        return x if x.dtype == dtype else x.astype(dtype)

    def _minibatches(self, batch: Any, labels: Any) -> list[tuple[Tensor, ...]]:
        """Return (x,) or (x, y) for each update of the discriminator."""
        found = [self._converted(x, self.discriminator_optimizer) for x in minibatches_of(batch, self.k)]
        if self._span is None or not found[0].backend.runs_ahead:
            span = span_of(found)
            refuse_out_of_reach(self._generator_ends_in or "", *span)
            self._span = span
        conditional = labels is not None
        if conditional is not self._conditional:
            refuse_other_arguments("Algorithm1.step", "generator", self.generator, conditional)
            refuse_other_arguments("Algorithm1.step", "discriminator", self.discriminator, conditional)
            self._conditional = conditional
        return with_labels(found, labels, self.generator_optimizer.params[0]) if conditional else [(x,) for x in found]


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()
