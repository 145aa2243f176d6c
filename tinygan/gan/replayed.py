"""A game whose updates are recorded once and then replayed, on the CPU: see `Replayed`.

Small networks spend most of a step in Python: the tape is written, walked backwards and thrown away, and the next step
writes the same tape again. A replayed update applies the same formulas to the same arrays without a tape.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from functools import partial
from operator import is_
from typing import Any

from tinygan import nn
from tinygan.backend import Stream, get_backend
from tinygan.engine import Tensor, is_grad_enabled, modes
from tinygan.errors import ArgumentError
from tinygan.gan.algorithm1 import Algorithm1
from tinygan.gan.condition import Conditional
from tinygan.gan.noise import Noise
from tinygan.gan.packing import Packed
from tinygan.gan.penalties import WeightClipping
from tinygan.gan.recorded import Recorded
from tinygan.gan.step import Step

# Modules that do the same in each call, but for the values of their inputs and parameters, and for dropout masks.
PURE = (
    nn.Sequential, nn.Linear, nn.Maxout, nn.Dropout, nn.ReLU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus,
    nn.Identity, nn.Flatten, nn.Reshape, nn.LayerNorm, nn.Conv2d, nn.ConvTranspose2d, nn.MaxoutConv2d, nn.MaxPool2d,
    nn.AvgPool2d, nn.Upsample, nn.Maps, nn.Pixels, nn.Bias, Packed, Conditional,
)  # fmt: skip
_KINDS = 16  # records that are kept, such as of minibatches of several sizes


class Replayed(Algorithm1):
    """The same game, sharing all of its state, with steps that are replayed where this gives the same bits.

    Each kind of update is recorded the first time, and checked the second time: the record and the tape must give the
    same results and gradients, bit for bit. From then on it is replayed. Noise, masks, data, rates and the updates of
    the optimisers are fresh in every step. When a layer, an option or the shape of the data changes, the next update is
    recorded again.

    An update is made on the tape, as by the game itself, if it cannot be replayed (`why` has the reason), and while an
    observer is active, such as `tinygan.trace` or `tinygan.detect_anomaly`.

    Parameters
    ----------
    game : Algorithm1

    Attributes
    ----------
    why : str
        Why the last step was not replayed, or not all of it; "" if it was.

    Raises
    ------
    ArgumentError
        `game` is of a subclass of `Algorithm1`, whose own methods would not be called.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygan import gan, nn
    >>> game = gan.Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1))
    >>> replayed = gan.Replayed(game)
    >>> for _ in range(3):
    ...     step = replayed.step(np.zeros((10, 3), np.float32))
    >>> replayed.why, game.generator_optimizer.updates
    ('', 3)
    """

    __slots__ = ("_containers", "_facts", "_game", "_records", "why")

    def __init__(self, game: Algorithm1) -> None:
        if type(game) is not Algorithm1:
            raise ArgumentError(
                f"Replayed: expected a gan.Algorithm1, got {type(game).__name__}, whose own methods a replay would skip"
            )
        self._game = game
        self.__dict__ = vars(game)  # one state, and two ways to make a step
        self.why = ""
        self._records: dict[Any, Recorded] = {}
        self._containers: list[Any] = []
        self._facts: tuple[list[Any], list[Any]] = [], []

    def __reduce__(self) -> Any:  # for copies and pickle: another game needs records of its own
        return Replayed, (self._game,)

    def step(self, batch: Any, labels: Any = None) -> Step:
        """Run one iteration: see `Algorithm1.step`."""
        if type(self._game) is not Algorithm1:  # such as while `tinygan step` walks through an iteration
            self.why = "the game is of another class now"
            return self._game.step(batch, labels)
        (same, alike), (now, alike_now) = self._facts, self._present()
        if len(same) != len(now) or not all(map(is_, same, now)) or alike != alike_now:
            self._records.clear()
            self._containers = self._parts()
            self._facts = self._present()
        self.why = ""
        return super().step(batch, labels)

    def _parts(self) -> list[Any]:
        """Return the containers of all attributes of the players: dicts and lists."""
        found: dict[int, Any] = {}
        waiting: list[Any] = [self.generator, self.discriminator]
        for value in waiting:
            part = vars(value) if isinstance(value, nn.Module) else value
            if isinstance(part, (dict, list)) and id(part) not in found:
                found[id(part)] = part
                waiting += part.values() if isinstance(part, dict) else part
        return list(found.values())

    def _present(self) -> tuple[list[Any], list[Any]]:
        """Return all that a record depends on: objects that must stay the same, and values that must stay equal."""
        objects: list[Any] = [get_backend("cpu"), *[value for name, value in vars(self).items() if name[0] != "_"]]
        for part in self._containers:
            objects += part.values() if isinstance(part, dict) else part
        rules = self.generator_optimizer, self.discriminator_optimizer
        return objects, [(p.requires_grad, p.dtype, p.shape) for rule in rules for p in rule.params]

    # ------------------------------------------------------------------ updates

    def _update_discriminator(self, real: Tensor, *y: Tensor) -> Any:
        update = super()._update_discriminator
        return self._update("D", update, real, *y)

    def _update_generator(self, count: int, *y: Tensor) -> Any:
        update = super()._update_generator
        return self._update(f"G {count}", lambda *y: update(count, *y), *y)

    def _update_both(self, real: Tensor, *y: Tensor) -> Any:
        update = super()._update_both
        return self._update("D G", update, real, *y)

    def _update(self, kind: str, update: Callable[..., Any], *inputs: Tensor) -> Any:
        """Replay an update, or make it on the tape; then record or verify it."""
        if modes.observer() is not modes.UNOBSERVED or not is_grad_enabled():
            self.why = "an observer is active, or gradients are off"
            return update(*inputs)
        key = kind, *[(x.shape, x.dtype) for x in inputs]
        record = self._records.get(key)
        if record is not None and not record.why and self._has_other_streams(record):
            record = None
        if record is None:
            self.why = "it was recorded"
            if len(self._records) == _KINDS:
                self._records.clear()
            self._records[key], found = self._recorded(kind, update, inputs)
            self.why = self._records[key].why or self.why
        elif record.verified:
            found = self._replay(kind, record, inputs)
        elif record.why:
            self.why = record.why
            found = update(*inputs)
        else:
            self.why = "the record was verified"
            found = self._verified(record, update, inputs)
        return found

    def _recorded(self, kind: str, update: Callable[..., Any], inputs: tuple[Tensor, ...]) -> tuple[Recorded, Any]:
        why = self._why_not()
        if why:
            record = Recorded((), ())
            record.why = why
            return record, update(*inputs)
        players = {"G": self.generator_optimizer.params, "D": self.discriminator_optimizer.params}
        record, noise = Recorded(inputs, [*players["G"], *players["D"]]), self.noise
        self.noise = _Noted(noise, record)  # type: ignore[assignment]
        try:
            with record:
                found = update(*inputs)
        finally:
            self.noise = noise
        moved = [parameter for player, params in players.items() if player in kind.split()[:2] for parameter in params]
        record.finish(_tensors(found), moved)
        if self._has_other_streams(record):
            record.why = record.why or "a layer draws from a stream of its own"
        return record, found

    def _has_other_streams(self, record: Recorded) -> bool:
        """Return whether a record draws from a stream that is not one of the game, or is not any more."""
        return any(stream not in self.streams for stream in record.streams)

    def _verified(self, record: Recorded, update: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Any:
        """Make an update both ways, from the same random numbers, and compare all bits; the tape's result holds."""
        before, replayed = [stream.state_dict() for stream in record.streams], None
        try:
            replayed = _digest(*record.run([x.data for x in inputs]), record)
        except Exception as error:  # the tape has the last word
            record.why = f"a replay fails ({type(error).__name__}: {error})"
        finally:
            for stream, state in zip(record.streams, before, strict=True):
                stream.load_state_dict(state)
        found = update(*inputs)
        results = [None if x is None else x.data for x in _tensors(found)]
        gradients = [None if p.grad is None else p.grad.data for p in record.parameters]
        record.verified = _digest(results, gradients, record) == replayed
        if not record.verified:
            record.why = self.why = record.why or "a replay gives other bits than the tape"
            warnings.warn(f"gan.Replayed: {self.why}; the game goes on, on the tape", stacklevel=5)
        return found

    def _replay(self, kind: str, record: Recorded, inputs: tuple[Tensor, ...]) -> Any:
        results, gradients = record.run([x.data for x in inputs])
        for parameter, gradient in zip(record.parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else Tensor(gradient)
        if "D" in kind:
            self._step_discriminator()
        if "G" in kind:
            self.generator_optimizer.step()
        tensors: list[Any] = [None if result is None else Tensor(result) for result in results]
        if kind == "D G":
            d_loss, g_loss, real_logits, fake_logits, penalty = tensors
            return Step(d_loss, g_loss, real_logits, fake_logits, penalty, self.losses)
        return tuple(tensors) if kind == "D" else tensors[0]

    def _why_not(self) -> str:
        """Return what could change between two steps without a trace in the record; "" for nothing."""
        if self.generator_optimizer.params[0].device != "cpu":
            return "a GPU captures steps instead"
        if self.objective == "custom" or type(self.noise) is not Noise:
            return "the objective or the noise is your own"
        if any(type(penalty) is not WeightClipping for penalty in self.penalties):
            return "a penalty is a term of the loss"
        for player in ("generator", "discriminator"):
            for module in getattr(self, player).modules():
                if type(module) not in PURE or "forward" in vars(module):
                    return f"{type(module).__name__} in the {player} may do something else in each call"
        return ""


class _Noted:
    """A noise prior that reports its draws to a record."""

    def __init__(self, noise: Noise, record: Recorded) -> None:
        self._noise, self._record = noise, record

    def draw(self, count: int, stream: Stream, **options: Any) -> Any:
        draw = partial(self._noise.draw, count, stream, **options)
        z = draw()
        self._record.drawn(z, draw, stream)
        return z


def _tensors(found: Any) -> tuple[Tensor | None, ...]:
    """Return the tensors that an update returns."""
    if isinstance(found, Step):
        return found.discriminator_loss, found.generator_loss, found.real_logits, found.fake_logits, found.penalty
    return found if isinstance(found, tuple) else (found,)


def _digest(results: list[Any], gradients: list[Any], record: Recorded) -> list[Any]:
    """Return what identifies the bits of an update and the positions of its streams, in little memory."""
    arrays = [
        None if array is None else (array.shape, array.dtype, hashlib.sha256(array.tobytes()).digest())
        for array in (*results, *gradients)
    ]
    return [arrays, [stream.state_dict() for stream in record.streams]]
