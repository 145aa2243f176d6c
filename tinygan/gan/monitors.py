"""What to watch while two networks play against each other.

Neither loss says how good the samples are. Read together, these numbers say how the game stands:

- At the equilibrium D answers 1/2 to everything: its loss is log 4 = 1.386, V(D, G) = -log 4, the generator's
  non-saturating loss is log 2 = 0.693, and accuracy is 0.5.
- D's loss near 0 with accuracy 1 means that D has won: samples are told from data without fail, and the generator
  learns little or nothing.
- A gradient norm that explodes or vanishes shows whose turn went wrong.
"""

from __future__ import annotations

import math
from typing import Any

from tinygan.backend import Array, Backend
from tinygan.gan.algorithm1 import Step
from tinygan.nn import Module

VALUE_AT_EQUILIBRIUM = -math.log(4)  # Theorem 1 of the paper

_NAMES = ("discriminator_loss", "generator_loss", "d_real", "d_fake", "d_accuracy")


class Monitor:
    """Running means over the steps of an epoch, kept on the device: adding a step does not wait for it.

    Parameters
    ----------
    backend : Backend
        Where the logits live.

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> from tinygan.backend import get_backend
    >>> zero = tg.tensor([[0.0]])
    >>> monitor = Monitor(get_backend("cpu"))
    >>> monitor.add(Step(zero.mean(), zero.mean(), zero, zero))
    >>> monitor.means()["d_real"]
    0.5
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.reset()

    def reset(self) -> None:
        """Start a new epoch."""
        self.count = 0
        self.total: Array = self.backend.xp.zeros(len(_NAMES))

    def add(self, step: Step) -> None:
        """Take in the losses and logits of one iteration.

        They are those of training, with dropout on.
        """
        B, real, fake = self.backend, step.real_logits.data, step.fake_logits.data
        self.total += B.xp.stack(
            [
                step.discriminator_loss.data,
                step.generator_loss.data,
                B.sigmoid(real).mean(),
                B.sigmoid(fake).mean(),
                ((real > 0).mean() + (fake <= 0).mean()) / 2,
            ]
        )
        self.count += 1

    def means(self) -> dict[str, float]:
        """Return the means so far; this waits for the device.

        ``discriminator_loss``, ``generator_loss`` and ``value`` = V(D, G) = E log D(x) + E log(1 - D(G(z))) in nats,
        ``d_real`` = mean D(x), ``d_fake`` = mean D(G(z)), and ``d_accuracy``, the share of data and samples that D
        told apart.
        """
        values = self.backend.to_numpy(self.total) / max(self.count, 1)
        means = {name: float(value) for name, value in zip(_NAMES, values, strict=True)}
        return {**means, "value": -means["discriminator_loss"]}

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers."""
        return {"count": self.count, "total": [float(x) for x in self.backend.to_numpy(self.total)]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.count = state["count"]
        self.total = self.backend.array(state["total"], float)


def gradient_norm(module: Module) -> float:
    """Return the Euclidean norm of all gradients that the last update left on the parameters of `module`."""
    squares = 0.0
    for parameter in module.parameters():
        if parameter.grad is not None:
            flat = parameter.grad.data.reshape(-1)
            squares += float(flat @ flat)
    return math.sqrt(squares)
