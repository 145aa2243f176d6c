"""What one iteration of the game returns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tinygan.engine import Tensor
from tinygan.gan.objectives import OBJECTIVES, Objective, probabilities


@dataclass(frozen=True, repr=False)
class Step:
    """The losses and logits of one iteration, detached from the graph; printed, it is three lines.

    Attributes
    ----------
    discriminator_loss, generator_loss : Tensor, shape ()
        In nats for the objectives of the paper; the discriminator's loss is not scaled, and without penalties.
    real_logits, fake_logits : Tensor, shape (m, 1) or (m,)
        The discriminator's logits for data and for samples in its last update: one for each pack of a `Packed`
        discriminator, (m, ...) for patches.
    penalty : Tensor of shape (), or None
        The sum of the penalties in that update.
    objective : Objective, optional
        By default one of the paper's two: minimax if the generator's loss is negative.

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
    penalty: Tensor | None = None
    objective: Objective | None = None

    def __repr__(self) -> str:
        d_loss, g_loss = self.discriminator_loss.item(), self.generator_loss.item()
        minimax = math.copysign(1, g_loss) < 0  # its loss is never positive; -0.0 is negative, too
        rules = self.objective or OBJECTIVES["minimax" if minimax else "non-saturating"]
        at_d, at_g = rules.at_equilibrium
        penalty = "" if self.penalty is None else f"  and penalty {self.penalty.item():.4f}  (in addition)"
        return (
            f"D's loss {d_loss:7.4f}  ({_known(at_d)}){penalty}\n"
            f"G's loss {g_loss:7.4f}  ({_known(at_g)})\n"
            f"{self._answers(rules)}"
        )

    def _answers(self, rules: Objective) -> str:
        """Write what D answers: probabilities, or plain numbers if the objective has none."""
        found = answers_of(rules, self.real_logits, self.fake_logits)
        if not rules.is_probability:
            rest = "equal at equilibrium" if rules.undecided is None else f"{rules.undecided:g} each at equilibrium"
            return f"D's output: {found['score_real']:.3f} for x, {found['score_fake']:.3f} for G(z)  ({rest})"
        best = 1 / (1 + math.exp(-(rules.undecided or 0.0)))
        rest = "0.5 each" if best == 0.5 else f"{best:.3g}, {best:.3g} and 0.5"
        answers = f"D(x) {found['d_real']:.3f}, D(G(z)) {found['d_fake']:.3f}, accuracy {found['accuracy']:.3f}"
        return f"{answers}  ({rest} at equilibrium)"


def answers_of(rules: Objective, real_logits: Tensor, fake_logits: Tensor) -> dict[str, float]:
    """Return D's mean answers, and how often they are right, if a single output says so.

    Parameters
    ----------
    rules : Objective
    real_logits, fake_logits : Tensor

    Returns
    -------
    dict of str to float
        ``d_real`` = mean D(x) and ``d_fake`` = mean D(G(z)), if sigmoid(a) is a probability. Otherwise ``score_real`` =
        mean a(x), ``score_fake`` = mean a(G(z)), and their difference, ``score_difference``. If the objective has a
        threshold, also ``accuracy_real``, ``accuracy_fake``, and their mean, ``accuracy``.

    Examples
    --------
    >>> import tinygan as tg
    >>> answers_of(OBJECTIVES["wasserstein"], tg.tensor([2.0, 4.0]), tg.tensor([1.0]))
    {'score_real': 3.0, 'score_fake': 1.0, 'score_difference': 2.0}
    """
    sides = real_logits, fake_logits
    means = [float((probabilities(a) if rules.is_probability else a.numpy()).mean(dtype=np.float64)) for a in sides]
    found = {"d_real": means[0], "d_fake": means[1]}
    if not rules.is_probability:
        found = {"score_real": means[0], "score_fake": means[1], "score_difference": means[0] - means[1]}
    if rules.threshold is None:
        return found
    real, fake = (float((a.numpy() > rules.threshold).mean()) for a in sides)
    return {**found, "accuracy_real": real, "accuracy_fake": 1 - fake, "accuracy": (real + 1 - fake) / 2}


def _known(value: float | None) -> str:
    return "no known value at equilibrium" if value is None else f"{value:.4f} at equilibrium"
