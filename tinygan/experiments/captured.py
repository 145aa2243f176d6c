"""Training steps on a GPU, replayed from one that was captured: see `tinygan.backend.graph`.

The host still keeps the books that it keeps of every step, so that a checkpoint cannot tell a replayed step from
another: where the streams of random numbers are, how many updates each rule has made, how many steps the monitor has
seen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinygan import gan
from tinygan.backend import Stream
from tinygan.backend.graph import Capture
from tinygan.engine import modes
from tinygan.optim import ExponentialMovingAverage

if TYPE_CHECKING:
    from tinygan.experiments.training import Training


class CapturedSteps:
    """Makes the iterations of a training: two as they are, while a third is captured, and from then on by replaying it.

    Should the capture fail, a warning says why, once, and every iteration is made as it is: slower, and otherwise the
    same. So is each iteration that somebody observes, such as `tinygan.detect_anomaly`.

    Parameters
    ----------
    training : Training
    """

    def __init__(self, training: Training) -> None:
        self.training = training
        game = training.game
        self._rules = [game.generator_optimizer, game.discriminator_optimizer]
        self._made = 0
        self._capture: Capture | None = None
        self._given_up = False
        self._result: gan.Step | None = None
        self._gradients: list[tuple[Any, Any]] = []
        self._drawn: list[tuple[Stream, int]] = []

    @property
    def _averages(self) -> list[ExponentialMovingAverage]:
        """What takes in the weights after each iteration: one average, or none."""
        return [] if self.training.average is None else [self.training.average]

    def step(self) -> gan.Step:
        """Make one iteration."""
        if self._given_up or modes.observer() is not modes.UNOBSERVED:
            return self.training.iterate()
        self._made += 1
        if self._result is None:
            if self._made == 1:  # the rules make room for their state
                return self.training.iterate()
            if self._made == 2:
                return self._or_give_up(self._rehearse) or self.training.iterate()
            if self._or_give_up(self._record) is None:
                return self.training.iterate()
        return self._replay()

    def _rehearse(self) -> gan.Step:
        weights: dict[int, Any] = {id(parameter.data): rule for rule in self._rules for parameter in rule.params}
        weights |= {id(place): average for average in self._averages for place in average.places}
        self._capture = Capture(self.training.backend, weights)  # type: ignore[arg-type]
        return self._capture.rehearse(self.training.iterate)

    def _record(self) -> gan.Step:
        """Write the step down, and set the books back: it has not been made."""
        assert self._capture is not None
        for rule in self._rules:
            rule.rates()  # refuses parameters that have had different numbers of updates
        restore = self._books()
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
            parameter.grad = gradient  # an iteration that was made as it is has left others
        capture.replay()
        return self._result

    def _or_give_up(self, attempt: Callable[[], gan.Step]) -> gan.Step | None:
        restore, updates = self._books(), [rule.updates for rule in self._rules]
        try:
            return attempt()
        except Exception as error:  # CuPy's and CUDA's own among them
            recording = attempt == self._record
            if not recording and updates != [rule.updates for rule in self._rules]:
                raise  # the weights have changed: this iteration cannot be made again
            restore()
            self._given_up = True
            warnings.warn(
                f"the training step cannot be captured as a CUDA graph ({type(error).__name__}: {error}); training "
                "goes on, kernel by kernel",
                stacklevel=4,
            )
            return None

    def _books(self) -> Callable[[], None]:
        """Return a function that sets the host's books back to where they are now."""
        training = self.training
        streams, seen = training.streams.state_dict(), training.monitor.count
        bookmarks = [rule.bookmark() for rule in self._rules] + [average.bookmark() for average in self._averages]
        versions = [[parameter.version for parameter in rule.params] for rule in self._rules]

        def restore() -> None:
            training.streams.load_state_dict(streams)
            training.monitor.count = seen
            for set_back in bookmarks:
                set_back()
            for rule, counted in zip(self._rules, versions, strict=True):
                for parameter, version in zip(rule.params, counted, strict=True):
                    parameter.version = version

        return restore
