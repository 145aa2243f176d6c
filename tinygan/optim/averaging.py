"""The exponential moving average of weights, in which the oscillations of gradient descent cancel."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tinygan.backend import Array
from tinygan.backend.operands import fits, misfit
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, CheckpointError, StateError
from tinygan.optim.checks import leaves, number, restored, restored_count

_exchange = threading.Lock()  # for the exchange of arrays; an attribute could not be pickled


class ExponentialMovingAverage:
    """The exponential moving average of the values of parameters after each update.

    After t updates, the k-th value from the end has a weight in proportion to decay^k. The weights sum to 1 from the
    first update on, and the initial parameters have no weight. (The plain ``a = decay a + (1 - decay) w`` gives them
    the weight decay^t, a third after 1 / (1 - decay) updates. With a share of initial weights, a generator draws
    blurred samples, which a Parzen window prefers to the data: see ``docs/table-1.md``.) One update is ::

        a = a + (1 - decay) / (1 - decay^t) (w - a)

    Averaging the iterates is Polyak and Juditsky (1992); for the generator of a game, which circles around the
    equilibrium instead of converging, see Yazici et al. (2019). The average does not change the training.

    Parameters
    ----------
    params : iterable of Tensor
        Before the first update, the average is their present value.
    decay : float
        In (0, 1). The average covers about 1 / (1 - decay) updates.

    Attributes
    ----------
    updates : int
        The number of updates of the average.
    averages : list of array
        The average of each parameter, on its device. `update` and `load_arrays` change these arrays in place.

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
        self.params = leaves(_NAME, params, "average", "averaged")
        self._decay = number(f"{_NAME}: decay", decay)
        if not 0 < self._decay < 1:
            raise ArgumentError(f"{_NAME}: decay must be in (0, 1), got {decay}")
        self.updates = 0
        self.averages = [parameter.data.copy() for parameter in self.params]
        self._weights: list[Array] = []  # the arrays of the parameters, while `applied` replaces them
        self._lent: list[tuple[Array, int]] = []  # their replacements, with the versions
        self._users = 0  # blocks of `applied` that have not ended

    @property
    def decay(self) -> float:
        """The decay."""
        return self._decay

    def update(self) -> None:
        """Add the present parameters to the average; call it after each update of them.

        Raises
        ------
        StateError
            This is inside `applied`, where the parameters are the averages.
        ShapeError, DtypeError, DeviceError
            The array of a parameter has been replaced by one that is not like its average; nothing has been changed.
        """
        if self._users:
            raise StateError(f"{_NAME}.update: inside applied() the parameters are the averages; update outside of it")
        self._refuse_misfits()
        weight = self.weight
        with self.params[0].backend.together():
            for parameter, average in zip(self.params, self.averages, strict=True):
                parameter.backend.lerp(average, parameter.data, weight)
        self.updates += 1

    @property
    def weight(self) -> float:
        """The weight of the parameters in the next update: (1 - decay) / (1 - decay^t), with t counted from 1."""
        return (1 - self.decay) / (1 - self.decay ** (self.updates + 1))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Replace the parameters by the averages inside a ``with`` block: to draw samples, not to train.

        Blocks may be nested, and several threads may enter one; the weights return after the last block. On the CPU
        the averages are read-only, and each attempt to change a parameter is refused at once. On a GPU, or if the array
        of a parameter has been replaced, the change is refused at the end; then weights and averages have the values
        that they had before.

        Raises
        ------
        StateError
            The parameters have been changed inside.
        ShapeError, DtypeError, DeviceError
            As `update`.
        """
        with _exchange:
            if not self._users:
                self._lend()
            self._users += 1
        try:
            yield
        finally:
            with _exchange:
                self._users -= 1
                changed = not self._users and self._take_back()
        if changed:
            raise StateError(
                f"{_NAME}.applied: the parameters have been changed inside, where they are the averages; the change is "
                "undone: train, load and move them outside of it"
            )

    def _lend(self) -> None:
        self._refuse_misfits()
        self._weights = [parameter.data for parameter in self.params]
        for parameter, average in zip(self.params, self.averages, strict=True):
            parameter.data = _read_only(average)
        self._lent = [(parameter.data, parameter.version) for parameter in self.params]

    def _take_back(self) -> bool:
        """Give the parameters their own arrays again; return whether a parameter was changed inside."""
        now = [(parameter.data, parameter.version) for parameter in self.params]
        same = [
            a is b and (seen == version or not parameter.backend.is_writable(a))
            for parameter, (a, seen), (b, version) in zip(self.params, now, self._lent, strict=True)
        ]
        for parameter, weights in zip(self.params, self._weights, strict=True):
            parameter.data = weights
        self._weights, self._lent = [], []
        return not all(same)

    def _refuse_misfits(self) -> None:
        for position, (parameter, average) in enumerate(zip(self.params, self.averages, strict=True)):
            if not fits(average, parameter.data):
                what = f"{_NAME}: the average of parameter {position}"
                raise misfit(what, average, parameter.data, "make a new average")

    def arrays(self) -> list[Any]:
        """Return a copy of the averages, as NumPy arrays in the order of the parameters."""
        return [
            parameter.backend.to_numpy(average).copy()
            for parameter, average in zip(self.params, self.averages, strict=True)
        ]

    def load_arrays(self, arrays: Sequence[Any], updates: int) -> None:
        """Continue from the averages that `arrays` returned after `updates` updates.

        Raises
        ------
        CheckpointError
            They are the averages of other parameters; then nothing has been changed.
        StateError
            This is inside `applied`.
        """
        if self._users:
            raise StateError(f"{_NAME}.load_arrays: inside applied() the averages are in use; load outside of it")
        found = [getattr(array, "shape", None) for array in arrays]
        expected = [average.shape for average in self.averages]
        if found != expected:
            raise CheckpointError(f"{_NAME}: saved averages have shapes {found}, expected {expected}")
        fresh = [
            restored(f"{_NAME}: saved average {position}", array, parameter)
            for position, (array, parameter) in enumerate(zip(arrays, self.params, strict=True))
        ]
        updates = restored_count(f"{_NAME}: saved updates", updates)
        self._refuse_misfits()
        for average, array in zip(self.averages, fresh, strict=True):
            average[...] = array
        self.updates = updates

    def state_dict(self) -> dict[str, Any]:
        """Return the averages and the number of updates."""
        return {"arrays": self.arrays(), "updates": self.updates}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from a state that `state_dict` returned; see `load_arrays`."""
        if not isinstance(saved, Mapping) or saved.keys() != {"arrays", "updates"}:
            raise CheckpointError(f"{_NAME}: the saved state is {saved!r:.60}; expected a dict of arrays and updates")
        self.load_arrays(saved["arrays"], saved["updates"])


_NAME = ExponentialMovingAverage.__name__


def _read_only(array: Array) -> Array:
    """Return a read-only view, or a copy if the array library has no read-only arrays."""
    view = array[...]
    if not hasattr(view.flags, "writeable"):
        return array.copy()
    view.flags.writeable = False
    return view
