"""Penalties on the discriminator: terms of its loss that keep its slope with respect to the input small, or near 1.

The slope is that of the logit a, not of D = sigmoid(a). It is a gradient itself, computed with ``create_graph=True``;
the update of D differentiates it once more, with respect to the weights.

To add a penalty, write a small class and register it in `PENALTIES` by one row: an experiment file can name it then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tinygan.functional as F
from tinygan.backend import Stream
from tinygan.checks import number
from tinygan.engine import Tensor, grad
from tinygan.errors import ArgumentError

Judge = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Penalty:
    """The base of all penalties; a subclass overrides one of the two methods."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < number(value, f"{type(self).__name__}: {name}") < math.inf:
                raise ArgumentError(f"{type(self).__name__}: {name} must be a finite number above 0, got {value!r}")

    def loss(self, judge: Judge, real: Tensor, fake: Tensor, stream: Stream) -> Tensor | None:
        """Return a term of the discriminator's loss, shape (); None for a penalty without a term.

        Parameters
        ----------
        judge : callable
            Maps a batch to the discriminator's logits, with the labels of the minibatch if the game has them.
        real, fake : Tensor, shape (m, ...)
            The minibatch and its samples; no gradient flows to them.
        stream : Stream
            For random points.
        """
        return None

    def after_update(self, parameters: Sequence[Tensor]) -> None:
        """Change the discriminator's parameters after its update."""


@dataclass(frozen=True)
class R1(Penalty):
    """weight / 2 E |da/dx|^2 at the data x (Mescheder et al., 2018, equation 9).

    Parameters
    ----------
    weight : float

    Examples
    --------
    >>> from tinygan import gan, nn
    >>> game = gan.Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1), penalty=gan.R1(1.0))
    """

    weight: float = 10.0

    def loss(self, judge: Judge, real: Tensor, fake: Tensor, stream: Stream) -> Tensor:
        """Return the penalty at the data."""
        return squared_slopes(judge, real).mean() * (self.weight / 2)


@dataclass(frozen=True)
class R2(Penalty):
    """weight / 2 E |da/dx|^2 at the samples x = G(z) (Mescheder et al., 2018, equation 10)."""

    weight: float = 10.0

    def loss(self, judge: Judge, real: Tensor, fake: Tensor, stream: Stream) -> Tensor:
        """Return the penalty at the samples."""
        return squared_slopes(judge, fake).mean() * (self.weight / 2)


@dataclass(frozen=True)
class GradientPenalty(Penalty):
    """weight E (|da/dx| - 1)^2 at points between data and samples: WGAN-GP (Gulrajani et al., 2017, equation 3).

    A point is e x + (1 - e) G(z), with one e from U[0, 1) for each row.
    """

    weight: float = 10.0

    def loss(self, judge: Judge, real: Tensor, fake: Tensor, stream: Stream) -> Tensor:
        """Return the penalty at the points between."""
        B, one_a_row = real.backend, (len(real), *(1,) * (real.ndim - 1))
        e = B.uniform(stream, one_a_row, 0.0, 1.0, real.dtype)
        return _away_from_one(judge, Tensor(e * real.data + (1 - e) * fake.data)) * self.weight


@dataclass(frozen=True)
class DRAGAN(Penalty):
    """weight E (|da/dx| - 1)^2 at points around the data (Kodali et al., 2017).

    A point is x + spread s n: s is the standard deviation of all numbers of the minibatch, n is from N(0, I). The paper
    leaves the size of the noise open; 0.5 s is that of the released code.
    """

    weight: float = 10.0
    spread: float = 0.5

    def loss(self, judge: Judge, real: Tensor, fake: Tensor, stream: Stream) -> Tensor:
        """Return the penalty around the data."""
        B, x = real.backend, real.data
        deviation = B.xp.sqrt(((x - x.mean()) ** 2).mean()) * x.dtype.type(self.spread)
        return _away_from_one(judge, Tensor(x + deviation * B.normal(stream, x.shape, x.dtype))) * self.weight


@dataclass(frozen=True)
class WeightClipping(Penalty):
    """Set every parameter of D to the nearest number in [-c, c] after each update: WGAN (Arjovsky et al., 2017).

    It is no term of the loss. It bounds the slope of D, by a constant that depends on the layers.
    """

    c: float = 0.01

    def after_update(self, parameters: Sequence[Tensor]) -> None:
        """Clip in place."""
        for parameter in parameters:
            if parameter.requires_grad:
                parameter.data[...] = parameter.backend.xp.clip(parameter.data, -self.c, self.c)
                parameter.mark_changed()


# The names that an experiment file may use.
PENALTIES: dict[str, type[Penalty]] = {
    "r1": R1,
    "r2": R2,
    "gradient": GradientPenalty,
    "dragan": DRAGAN,
    "clipping": WeightClipping,
}


def squared_slopes(judge: Judge, points: Tensor) -> Tensor:
    """Return |da/dx|^2 at each point, as a function of D's parameters.

    Parameters
    ----------
    judge : callable
        From points to logits. If it returns several logits for a point (patches), a is their mean; if it judges several
        points at once (`Packed`), these are one point.
    points : Tensor, shape (m, ...)

    Returns
    -------
    Tensor, shape (m,), or one number for each pack

    Examples
    --------
    >>> import tinygan as tg
    >>> squared_slopes(lambda x: (x * x).sum(axis=1), tg.tensor([[3.0, 4.0]]))  # 2 x is the slope
    tensor([100.], dtype=float32, operation=sum)
    """
    x = Tensor(points.data, requires_grad=True)
    logits = judge(x)
    each = logits.reshape(len(logits), -1).mean(axis=1)
    # D judges each row alone, so the gradient of the sum has the slope of every row.
    slopes = grad(each.sum(), x, create_graph=True).reshape(len(logits), -1)
    return (slopes * slopes).sum(axis=1)


def _away_from_one(judge: Judge, points: Tensor) -> Tensor:
    # The norm has no derivative at 0; there the maximum gives it the derivative 0, and not nan.
    norms = F.sqrt(F.maximum(squared_slopes(judge, points), 1e-30))
    return ((norms - 1) ** 2).mean()


def total(penalties: Sequence[Penalty], judge: Judge, real: Tensor, fake: Tensor, stream: Stream) -> Tensor | None:
    """Return the sum of the penalties that are terms of the loss; None if there is no such penalty."""
    terms = [penalty.loss(judge, real, fake, stream) for penalty in penalties]
    found = [term for term in terms if term is not None]
    return sum(found[1:], start=found[0]) if found else None


def penalties_of(given: Any) -> tuple[Penalty, ...]:
    """Return the penalties of a game: none, one, or those of a sequence.

    Raises
    ------
    ArgumentError
        It is something else, such as a class instead of an object.
    """
    found = () if given is None else tuple(given) if isinstance(given, Sequence) else (given,)
    for penalty in found:
        if not isinstance(penalty, Penalty):
            names = ", ".join(kind.__name__ for kind in PENALTIES.values())
            raise ArgumentError(
                f"Algorithm1: penalty must be one of {names}, or a list of them, such as gan.R1(1.0); got {given!r}"
            )
    return found
