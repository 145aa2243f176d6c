"""A running mean of weights: what stays when the steps of gradient descent, which go to and fro, cancel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tinygan.engine import Tensor
from tinygan.errors import CheckpointError


class ExponentialMovingAverage:
    """The exponential moving average of parameters: ``a = decay a + (1 - decay) w`` after each update of w.

    Averaging the iterates is Polyak and Juditsky (1992); for the generator of a game, which circles around the
    equilibrium rather than coming to rest, see Yazici et al. (2019). It looks on: the parameters go the way they would
    go without it.

    Parameters
    ----------
    params : iterable of Tensor
        The average begins as a copy of what they are now.
    decay : float
        In (0, 1). The average remembers some 1 / (1 - decay) updates.

    Examples
    --------
    >>> import tinygan as tg
    >>> w = tg.tensor([0.0, 8.0], requires_grad=True)
    >>> average = ExponentialMovingAverage([w], decay=0.75)
    >>> w.data[...] = 4.0  # in place of an optimiser
    >>> average.update()
    >>> with average.applied():
    ...     w.data.tolist()
    [1.0, 7.0]
    >>> w.data.tolist()
    [4.0, 4.0]
    """

    def __init__(self, params: Iterable[Tensor], decay: float) -> None:
        self.params = list(params)
        if not self.params:
            raise ValueError("ExponentialMovingAverage: got no parameters to average")
        if not 0 < decay < 1:
            raise ValueError(f"ExponentialMovingAverage: decay must be in (0, 1), got {decay}")
        self.decay = decay
        self._averages = [parameter.data.copy() for parameter in self.params]

    def update(self) -> None:
        """Take in what the parameters are now; call it after each update of them."""
        for parameter, average in zip(self.params, self._averages, strict=True):
            parameter.backend.lerp(average, parameter.data, 1 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """While this lasts, the parameters are the averages: to draw samples with, not to train."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for position, parameter in enumerate(self.params):
            parameter.data, self._averages[position] = self._averages[position], parameter.data

    def arrays(self) -> list[Any]:
        """Return a copy of the averages, as NumPy arrays in the order of the parameters."""
        return [
            parameter.backend.to_numpy(average).copy()
            for parameter, average in zip(self.params, self._averages, strict=True)
        ]

    def load_arrays(self, arrays: Sequence[Any]) -> None:
        """Continue from what `arrays` returned.

        Raises
        ------
        CheckpointError
            They are the averages of other parameters; then nothing has been changed.
        """
        found, expected = [array.shape for array in arrays], [parameter.shape for parameter in self.params]
        if found != expected:
            raise CheckpointError(f"ExponentialMovingAverage: saved averages have shapes {found}, expected {expected}")
        for parameter, average, array in zip(self.params, self._averages, arrays, strict=True):
            average[...] = parameter.backend.array(array, parameter.dtype)
