"""A running mean of weights: what stays when the steps of gradient descent, which go to and fro, cancel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tinygan.engine import Tensor
from tinygan.errors import CheckpointError


class ExponentialMovingAverage:
    """The exponential moving average of parameters, over what they were after each update.

    After t updates, the k-th from the end has a weight in proportion to decay^k: the weights add up to 1 from the first
    update on, and what the parameters were initially has none. (The plain ``a = decay a + (1 - decay) w`` gives that
    decay^t, which is a third after 1 / (1 - decay) updates. Mixed with initial weights, a generator draws blur, and a
    Parzen window likes blur better than the data: see ``examples/table_1.md``.) As a rule for one step ::

        a = a + (1 - decay) / (1 - decay^t) (w - a)

    Averaging the iterates is Polyak and Juditsky (1992); for the generator of a game, which circles around the
    equilibrium rather than coming to rest, see Yazici et al. (2019). It looks on: the parameters go the way they would
    go without it.

    Parameters
    ----------
    params : iterable of Tensor
        Before the first update, the average is what they are now.
    decay : float
        In (0, 1). The average remembers some 1 / (1 - decay) updates.

    Attributes
    ----------
    updates : int
        How many updates have been taken in.

    Examples
    --------
    >>> import tinygan as tg
    >>> w = tg.tensor([5.0], requires_grad=True)
    >>> average = ExponentialMovingAverage([w], decay=0.5)
    >>> for value in (1.0, 4.0):
    ...     w.data[...] = value  # in place of an optimiser
    ...     average.update()
    >>> with average.applied():  # a third of 1 and two thirds of 4
    ...     w.data.tolist()
    [3.0]
    >>> w.data.tolist()
    [4.0]
    """

    def __init__(self, params: Iterable[Tensor], decay: float) -> None:
        self.params = list(params)
        if not self.params:
            raise ValueError("ExponentialMovingAverage: got no parameters to average")
        if not 0 < decay < 1:
            raise ValueError(f"ExponentialMovingAverage: decay must be in (0, 1), got {decay}")
        self.decay = decay
        self.updates = 0
        self._averages = [parameter.data.copy() for parameter in self.params]

    def update(self) -> None:
        """Take in what the parameters are now; call it after each update of them."""
        weight, _ = self.rates()
        for parameter, average in zip(self.params, self._averages, strict=True):
            parameter.backend.lerp(average, parameter.data, weight)
        self.updates += 1

    def rates(self) -> tuple[float, float]:
        """Return the weight of the next update, and 0: what a captured step must be told, as `Optimizer.rates`."""
        return (1 - self.decay) / (1 - self.decay ** (self.updates + 1)), 0.0

    def count_update(self) -> None:
        """Take note of an update that was made by replaying a captured step."""
        self.updates += 1

    @property
    def places(self) -> list[Any]:
        """The averages where they lie, in the order of the parameters, each the same array as long as this lives."""
        return list(self._averages)

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

    def load_arrays(self, arrays: Sequence[Any], updates: int) -> None:
        """Continue from what `arrays` returned after so many updates.

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
        self.updates = updates
