"""The two players' losses, on logits.

If a is the logit of the discriminator, D = sigmoid(a), -log D = softplus(-a) and -log(1 - D) = softplus(a). So neither
loss takes the logarithm of a probability that was rounded to 0.

To add an objective, write its losses and register them in `OBJECTIVES` by one line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tinygan.functional as F
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError


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
    kind : {"non-saturating", "minimax"}
        ``minimax`` is E log(1 - D(G(z))), equation 1. ``non-saturating`` is -E log D(G(z)), which section 3 recommends
        in practice. Both have the same fixed point. The derivative with respect to the logit is -(1 - D) instead of
        -D, so it does not vanish while the discriminator rejects every sample.

    Returns
    -------
    Tensor, shape ()
        In nats.

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
    """What each player minimises.

    Attributes
    ----------
    discriminator : callable
        The discriminator's loss, from its logits for data and for samples.
    generator : callable
        The generator's loss, from the discriminator's logits for samples.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


OBJECTIVES: dict[str, Objective] = {
    "non-saturating": Objective(discriminator_loss, lambda a: F.binary_cross_entropy_with_logits(a, 1)),
    "minimax": Objective(discriminator_loss, lambda a: -F.binary_cross_entropy_with_logits(a, 0)),
}
