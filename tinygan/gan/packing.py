"""PacGAN: a discriminator that judges several samples at once."""

from __future__ import annotations

from typing import Any

from tinygan.checks import integer
from tinygan.engine import Tensor
from tinygan.errors import ShapeError
from tinygan.nn import Module


class Packed(Module):
    """A discriminator that judges m samples at once, so that it sees how much they differ (Lin et al., 2018).

    m rows of the batch become one: rows of f numbers become one of m f, and images of c channels become one of m c. So
    a generator that repeats one sample is easy to recognise. The labels of a conditional game are packed the same way.

    Parameters
    ----------
    net : Module
        Maps packs to one logit each: its first layer takes m times as many numbers (or channels) as a sample has.
    m : int
        Samples in a pack, at least 1. It must divide the rows of a minibatch.

    Examples
    --------
    >>> import tinygan as tg
    >>> from tinygan import nn
    >>> discriminator = Packed(nn.Linear(6, 1), 2)
    >>> discriminator(tg.tensor([[1.0, 2.0, 3.0]] * 8)).shape
    (4, 1)
    """

    def __init__(self, net: Module, m: int) -> None:
        super().__init__()
        self.net = net
        self.m = integer(m, "Packed: m", at_least=1)

    def forward(self, x: Tensor, *y: Tensor) -> Tensor:
        """Return one logit for each pack."""
        return self.net(*(self._packed(rows) for rows in (x, *y)))

    def _packed(self, x: Any) -> Any:
        if x.shape[0] % self.m:
            raise ShapeError(
                f"Packed: {x.shape[0]} rows do not divide into packs of m = {self.m}; choose a batch of a multiple of "
                f"{self.m}"
            )
        features = (1,) if x.ndim == 1 else x.shape[1:]
        return x.reshape(x.shape[0] // self.m, self.m * features[0], *features[1:])

    def extra_repr(self) -> str:
        """Return the text between the parentheses of `repr`."""
        return f"m={self.m}"
