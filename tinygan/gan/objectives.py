"""The two players' losses, on logits: what D returns, before any sigmoid.

If a is the logit of the discriminator, D = sigmoid(a), -log D = softplus(-a) and -log(1 - D) = softplus(a). So no loss
takes the logarithm of a probability that was rounded to 0.

To add an objective, write its losses and register them in `OBJECTIVES` by one row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tinygan.functional as F
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, DtypeError, ShapeError

ANY = (-math.inf, math.inf)


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return -E log D(x) - E log(1 - D(G(z))), the negative of V(D, G) in equation 1 of the paper.

    Parameters
    ----------
    real_logits, fake_logits : Tensor
        The discriminator's logits for data and for samples. Their numbers may differ.

    Returns
    -------
    Tensor, shape ()
        In nats; log 4 = 1.386 if D = 1/2 everywhere.

    Examples
    --------
    >>> import tinygan as tg
    >>> undecided = tg.tensor([0.0, 0.0])
    >>> round(discriminator_loss(undecided, undecided).item(), 4)
    1.3863
    """
    return F.binary_cross_entropy_with_logits(real_logits, 1) + F.binary_cross_entropy_with_logits(fake_logits, 0)


def generator_loss(fake_logits: Tensor, kind: str = "non-saturating") -> Tensor:
    """Return what the generator minimises.

    Parameters
    ----------
    fake_logits : Tensor
        The discriminator's logits for samples.
    kind : str
        A name in `OBJECTIVES`. ``minimax`` is E log(1 - D(G(z))), equation 1. ``non-saturating`` is -E log D(G(z)),
        which section 3 recommends in practice. Both have the same fixed point. The derivative with respect to the logit
        is -(1 - D) instead of -D, so it does not vanish while the discriminator rejects every sample.

    Returns
    -------
    Tensor, shape ()
        In nats, for these two.

    Examples
    --------
    >>> import tinygan as tg
    >>> rejected = tg.tensor([-20.0], requires_grad=True)
    >>> tg.grad(generator_loss(rejected), rejected).item()
    -1.0
    >>> abs(tg.grad(generator_loss(rejected, "minimax"), rejected).item()) < 1e-8
    True
    """
    if kind not in OBJECTIVES:
        raise ArgumentError(f"generator_loss: kind must be one of {', '.join(OBJECTIVES)}; got {kind!r}")
    return OBJECTIVES[kind].generator(fake_logits)


def least_squares_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return E (a(x) - 1)^2 / 2 + E a(G(z))^2 / 2, the discriminator's loss of LSGAN (Mao et al., 2017, equation 9).

    The targets are 1 for data and 0 for samples; the generator minimises E (a(G(z)) - 1)^2 / 2. At the equilibrium
    a = 1/2 everywhere, and the losses are 1/4 and 1/8.

    Examples
    --------
    >>> import tinygan as tg
    >>> least_squares_loss(tg.tensor([1.0, 0.0]), tg.tensor([0.0, 0.0])).item()
    0.25
    """
    return (((real_logits - 1) ** 2).mean() + (fake_logits**2).mean()) / 2


def hinge_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return E max(0, 1 - a(x)) + E max(0, 1 + a(G(z))), the discriminator's hinge loss (Lim and Ye, 2017).

    Examples beyond the margins 1 and -1 have no gradient. The generator minimises -E a(G(z)). At the equilibrium the
    discriminator's loss is 2; a is any constant in [-1, 1], so the generator's loss has no known value.

    Examples
    --------
    >>> import tinygan as tg
    >>> hinge_loss(tg.tensor([3.0, 0.5]), tg.tensor([-2.0, 0.0])).item()
    0.75
    """
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def wasserstein_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return E a(G(z)) - E a(x), the critic's loss of WGAN (Arjovsky et al., 2017).

    Its negative, maximised over all functions a with a slope of at most 1, is the Wasserstein distance between data and
    samples. So the slope must be bounded, as by `WeightClipping` or `GradientPenalty`. The generator minimises
    -E a(G(z)). At the equilibrium the critic's loss is 0. A constant added to a changes nothing, so the generator's
    loss has no known value, and a > 0 does not mean "data".

    Examples
    --------
    >>> import tinygan as tg
    >>> wasserstein_loss(tg.tensor([2.0, 3.0]), tg.tensor([1.0])).item()
    -1.5
    """
    return fake_logits.mean() - real_logits.mean()


def probabilities(logits: Tensor) -> Any:
    """Return D = sigmoid(a) for logits a, in host memory; this waits for the device.

    Parameters
    ----------
    logits : Tensor

    Returns
    -------
    numpy.ndarray of float64, of the shape of `logits`

    Examples
    --------
    >>> import tinygan as tg
    >>> probabilities(tg.tensor([0.0, 1000.0]))
    array([0.5, 1. ])
    """
    with np.errstate(invalid="ignore"):  # nan stays nan
        return np.exp(-np.logaddexp(0, -logits.numpy().astype(np.float64)))


class Objective(NamedTuple):
    """What each player minimises, and what is known about the equilibrium.

    Attributes
    ----------
    discriminator : callable
        The discriminator's loss, from its logits for data and for samples.
    generator : callable
        The generator's loss, from the discriminator's logits for samples.
    at_equilibrium : (float or None, float or None)
        Both losses where p_g = p_data and D is the best for it; None if there is no known value.
    undecided : float or None
        The logit of that D, if there is only one.
    is_probability : bool
        Whether sigmoid(a) is the probability that an example is data.
    reaches : (float, float)
        The interval that D's output must be able to reach.
    threshold : float or None
        The output above which D says "data"; None if a single output says nothing, as of a critic.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    at_equilibrium: tuple[float | None, float | None] = (None, None)
    undecided: float | None = None
    is_probability: bool = False
    reaches: tuple[float, float] = (math.inf, -math.inf)
    threshold: float | None = None

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return the discriminator's loss, which must be one number."""
        return _one_number(self.discriminator(real_logits, fake_logits), "discriminator")

    def generator_loss(self, fake_logits: Tensor) -> Tensor:
        """Return the generator's loss, which must be one number."""
        return _one_number(self.generator(fake_logits), "generator")


def _one_number(loss: Any, player: str) -> Tensor:
    if getattr(loss, "shape", None) != () or not isinstance(loss, Tensor):
        error = ShapeError if isinstance(loss, Tensor) else DtypeError
        found = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
        raise error(
            f"Algorithm1.step: objective: the {player}'s loss is of {found}; expected a tensor of one number, of shape "
            "(): reduce it, as in loss.mean()"
        )
    return loss


def _cross_entropy(generator: Callable[[Tensor], Tensor], label: float = 1.0) -> Objective:
    """Return an objective of the paper; D's best answer to p_g = p_data is label / 2."""
    best = label / 2
    undecided = math.log(best / (1 - best))
    loss = -label * math.log(best) - (2 - label) * math.log(1 - best)
    at_equilibrium = loss, generator(Tensor(np.array([undecided]))).item()

    def smoothed(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        on_real = F.binary_cross_entropy_with_logits(real_logits, label)
        return on_real + F.binary_cross_entropy_with_logits(fake_logits, 0)

    return Objective(discriminator_loss if label == 1 else smoothed, generator, at_equilibrium, undecided, True, ANY, 0)


def _minus_mean(fake_logits: Tensor) -> Tensor:
    return -fake_logits.mean()


OBJECTIVES: dict[str, Objective] = {
    "non-saturating": _cross_entropy(lambda a: F.binary_cross_entropy_with_logits(a, 1)),
    "minimax": _cross_entropy(lambda a: -F.binary_cross_entropy_with_logits(a, 0)),
    "lsgan": Objective(
        least_squares_loss, lambda a: ((a - 1) ** 2).mean() / 2, (1 / 4, 1 / 8), 0.5, reaches=(0, 1), threshold=0.5
    ),
    "hinge": Objective(hinge_loss, _minus_mean, (2.0, None), reaches=(-1, 1), threshold=0),
    "wasserstein": Objective(wasserstein_loss, _minus_mean, (0.0, None), reaches=ANY),
}


def smoothed(name: str, amount: float) -> Objective:
    """Return an objective whose label for data is 1 - `amount`; the label for samples stays 0 (Salimans et al., 2016).

    Only the objectives of the paper have labels. D's best answer is (1 - amount) / 2 where p_g = p_data.

    Examples
    --------
    >>> smoothed("non-saturating", 0.1).at_equilibrium[1]  # -log .45
    0.7985...
    """
    objective = OBJECTIVES[name]
    return _cross_entropy(objective.generator, 1 - amount) if amount else objective
