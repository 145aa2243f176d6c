"""Conditional nets: a network that reads a class label beside its input."""

from __future__ import annotations

import numpy as np

import tinygan.functional as F
from tinygan.checks import integer
from tinygan.engine import Tensor
from tinygan.errors import ShapeError
from tinygan.nn import Module


class Conditional(Module):
    """A network of (x, y): it reads y, the class, as a one-hot row after the numbers of x (Mirza and Osindero, 2014).

    G(z, y) makes samples of class y, and D(x, y) judges whether x is an example of class y. Each class has its own row
    of the first weight, so y adds a bias to the first layer: that of its class.

    Parameters
    ----------
    net : Module
        Its first layer takes `classes` more inputs than x has numbers.
    classes : int
        How many classes there are, at least 2.

    Examples
    --------
    >>> import tinygan as tg
    >>> from tinygan import nn
    >>> generator = Conditional(nn.Linear(2 + 10, 3), 10)
    >>> generator(tg.tensor([[0.1, 0.2]] * 4), tg.tensor([3, 1, 4, 1])).shape
    (4, 3)
    """

    def __init__(self, net: Module, classes: int) -> None:
        super().__init__()
        self.net = net
        self.classes = integer(classes, "Conditional: classes", at_least=2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        """Return net([x, one-hot y]).

        Parameters
        ----------
        x : Tensor, shape (m, n)
        y : Tensor, shape (m,) or (m, p) of integers, or (m, p classes) of floats
            Labels in {0, ..., classes - 1}, or rows that are one-hot already; p labels a row if x is a pack of p.
        """
        if x.ndim != 2:
            raise ShapeError(
                f"Conditional: x has shape {x.shape}; expected rows of numbers, (m, n): put nn.Flatten() before it"
            )
        floats = y.dtype.kind == "f"
        if y.shape[:1] != x.shape[:1] or (floats and (y.ndim != 2 or y.shape[1] % self.classes)):
            raise ShapeError(
                f"Conditional: y has shape {y.shape} for {len(x)} rows of x; expected labels of shape ({len(x)},), or "
                f"one-hot rows of {self.classes} numbers"
            )
        rows = y if floats else F.one_hot(y, self.classes, dtype=x.dtype).reshape(len(x), -1)
        return self.net(F.concatenate([x, rows], axis=1))

    def extra_repr(self) -> str:
        """Return the text between the parentheses of `repr`."""
        return f"classes={self.classes}"


def one_hot_rows(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return labels as float32 rows of shape (n, classes), in host memory: a table that a GPU takes rows from.

    Examples
    --------
    >>> one_hot_rows(np.array([1, 0], np.uint8), 3)
    array([[0., 1., 0.],
           [1., 0., 0.]], dtype=float32)
    """
    return np.eye(classes, dtype=np.float32)[labels]
