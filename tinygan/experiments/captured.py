"""Training steps on a GPU that replay a captured one: see `tinygan.backend.graph`.

A replay makes the updates on the device only. The host then advances its own counters as in an ordinary step: the
positions of the random streams, the updates of each rule, the steps of the monitor. So a checkpoint does not depend on
how a step was made.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinygan import gan
from tinygan.backend import Stream
from tinygan.backend.graph import Capture
from tinygan.engine import modes
from tinygan.errors import CaptureWarning
from tinygan.optim import ExponentialMovingAverage, Optimizer

if TYPE_CHECKING:
    from tinygan.experiments.training import Training


class CapturedSteps:
    """Makes the iterations of a training: two are ordinary, the third is captured, and the later ones replay it.

    If the capture fails, a `CaptureWarning` gives the reason, once, and every iteration is ordinary: slower, with the
    same result. An iteration is also ordinary while an observer is active, such as `tinygan.detect_anomaly`.

    Parameters
    ----------
    training : Training
    """

    def __init__(self, training: Training) -> None:
        self.training: Training = weakref.proxy(training)  # which holds this: the memory goes when the training goes
        self._capture: Capture | None = None
        self._given_up = False
        self.close()

    def close(self) -> None:
        """Give back the memory of the capture, if there is one; a later step is captured again."""
        self._made = 0
        self._result: gan.Step | None = None
        self._gradients: list[tuple[Any, Any]] = []
        self._drawn: list[tuple[Stream, int]] = []
        if self._capture is not None:
            self._capture.close()
        self._capture = None

    def __del__(self) -> None:
        self.close()  # CuPy keeps the free memory of a pool that is dropped

    @property
    def memory(self) -> int:
        """The bytes of device memory that the capture holds, besides those of CuPy's own pool."""
        return 0 if self._capture is None else self._capture.memory

    @property
    def _rules(self) -> list[Optimizer]:
        return [self.training.game.generator_optimizer, self.training.game.discriminator_optimizer]

    def step(self) -> gan.Step:
        """Make one iteration."""
        if self._given_up or modes.observer() is not modes.UNOBSERVED:
            return self.training.iterate()
        self._made += 1
        if self._result is None:
            if self._made == 1:  # the rules allocate their state
                return self.training.iterate()
            if self._made == 2:
                return self._or_give_up(self._rehearse) or self.training.iterate()
            if self._or_give_up(self._record) is None:
                return self.training.iterate()
        return self._replay()

    def _rehearse(self) -> gan.Step:
        updates: list[_OptimizerUpdate | _AverageUpdate] = [_OptimizerUpdate(rule) for rule in self._rules]
        if self.training.average is not None:
            updates.append(_AverageUpdate(self.training.average))
        by_array = {id(array): (update, row) for update in updates for array, row in update.arrays}
        self._capture = Capture(self.training.backend, by_array)  # type: ignore[arg-type]
        return self._capture.rehearse(self.training.iterate)

    def _record(self) -> gan.Step:
        """Capture the step, then restore the host's counters: a capture makes no update."""
        assert self._capture is not None
        for rule in self._rules:
            rule.coefficients()  # refuses parameters that have had different numbers of updates
        restore = self._counters()
        result = self._capture.record(self.training.iterate)
        self._drawn = self._capture.words()
        self._gradients = [(parameter, parameter.grad) for rule in self._rules for parameter in rule.params]
        self._result = result
        restore()
        return result

    def _replay(self) -> gan.Step:
        training, capture = self.training, self._capture
        assert capture is not None
        assert self._result is not None
        streams = [(stream, stream.position) for stream, _ in self._drawn]
        capture.set_counters([*streams, training.place_in_data])
        capture.set_rates()
        for stream, words in self._drawn:
            stream.take(words)
        training.monitor.count += 1
        for parameter, gradient in self._gradients:
            parameter.grad = gradient  # an ordinary iteration in between has left others
        capture.replay()
        return self._result

    def _or_give_up(self, attempt: Callable[[], gan.Step]) -> gan.Step | None:
        restore, updates = self._counters(), [rule.updates for rule in self._rules]
        try:
            return attempt()
        except Exception as error:  # also the errors of CuPy and CUDA
            recording = attempt == self._record
            if not recording and updates != [rule.updates for rule in self._rules]:
                raise  # the weights have changed: this iteration cannot be made again
            restore()
            self._given_up = True
            reason = f"{type(error).__name__}: {error}"
            error.__traceback__ = None  # it holds the arrays of the failed step
            self.close()
            warnings.warn(
                f"the training step cannot be captured as a CUDA graph ({reason}); training goes on, kernel by kernel",
                CaptureWarning,
                stacklevel=4,
            )
            return None

    def _counters(self) -> Callable[[], None]:
        """Return a function that restores the host's counters to their values of now."""
        training, average = self.training, self.training.average
        streams, steps = training.streams.state_dict(), training.monitor.count
        counters = [rule.counters for rule in self._rules]
        averaged = 0 if average is None else average.updates
        versions = [(parameter, parameter.version) for rule in self._rules for parameter in rule.params]

        def restore() -> None:
            training.streams.load_state_dict(streams)
            training.monitor.count = steps
            for rule, counted in zip(self._rules, counters, strict=True):
                rule.counters = counted
            if average is not None:
                average.updates = averaged
            for parameter, version in versions:
                parameter.version = version

        return restore


class _OptimizerUpdate:
    """The update of an optimiser in a captured step: its arrays, its rates, and its counters after a replay."""

    def __init__(self, rule: Optimizer) -> None:
        self.rule, groups = rule, enumerate(rule.param_groups)
        self.arrays = [(parameter.data, row) for row, group in groups for parameter in group["params"]]

    def rates(self) -> list[tuple[float, ...]]:
        return self.rule.coefficients()

    def count_update(self) -> None:
        updates, counts = self.rule.counters
        self.rule.counters = updates + 1, [count + bool(count) for count in counts]
        for parameter, count in zip(self.rule.params, counts, strict=True):
            if count:  # a parameter without a gradient is not updated
                parameter.mark_changed()


class _AverageUpdate:
    """The update of a running mean in a captured step, as `_OptimizerUpdate`."""

    def __init__(self, average: ExponentialMovingAverage) -> None:
        self.average, self.arrays = average, [(array, 0) for array in average.averages]

    def rates(self) -> list[tuple[float, ...]]:
        return [(self.average.weight,)]

    def count_update(self) -> None:
        self.average.updates += 1
