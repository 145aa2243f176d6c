"""Check that a saved state belongs to a training, before anything of it is loaded.

The checksum of a checkpoint proves that its bytes have not changed. It does not prove that they are a state of this
run: another program may have written them, or an older version of this one. So every name, type, shape and counter is
compared with those of the training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygan.backend import Stream
from tinygan.config.experiment import ExperimentConfig
from tinygan.config.refusals import LARGEST_INTEGER
from tinygan.data.dataset import Dataset
from tinygan.errors import CheckpointError
from tinygan.gan.monitors import WATCHED
from tinygan.nn import Dropout, GaussianNoise, Module
from tinygan.optim import Optimizer
from tinygan.runs.checkpoint import Checkpoint, shown

if TYPE_CHECKING:
    from tinygan.experiments.training import Training

# The names of arrays in a checkpoint are made and taken apart in this file only:
#   order                           the permutation of the training images
#   generator.*, discriminator.*    the weights, under the names of `Module.state_dict`
#   average.*                       the averages of the generator's weights, under the same names
#   generator_optimizer.* etc.      what an optimizer keeps, under the names of its ``state_dict``
_AVERAGE = "average."

_NEEDED = {
    "epoch", "position", "steps", "image_shape", "configuration", "images_sha256", "streams", "monitor",
    "best_validation",
}  # fmt: skip
_LARGEST_SIDE = 1 << 16  # pixels; no data set has larger images
_ENDS = {"buffer_pos": 5, "has_uint32": 2, "uinteger": 1 << 32}  # the small numbers of a stream are below these


def fingerprints_of(config: ExperimentConfig, dataset: Dataset) -> dict[str, str]:
    """Return the SHA-256 of what decides a run: of training and validation images; of one's own, the test images too.

    In a conditional game, ``train_labels`` is that of the labels of the training images.
    """
    splits = {"train": dataset.train, "validation": dataset.validation}
    if config.data.path is not None:  # another file can move any image from one split to another
        splits["test"] = dataset.test
    found = {name: split.sha256 for name, split in splits.items()}
    if config.training.classes is not None:
        found["train_labels"] = sha256(dataset.train.labels.tobytes()).hexdigest()
    return found


def check_state(training: Training, arrays: Mapping[str, Any], plain: Mapping[str, Any]) -> None:
    """Refuse a state that `Training.state` cannot have returned for this run. Nothing is changed.

    Parameters
    ----------
    training : Training
    arrays : mapping of str to ndarray
    plain : mapping of str to plain values

    Raises
    ------
    CheckpointError
        A name is missing or unknown, or an entry does not fit; the message names it.
    """
    rules = {
        "generator_optimizer": (training.game.generator_optimizer, 1),
        "discriminator_optimizer": (training.game.discriminator_optimizer, training.game.k),
    }
    _check_names("state", plain, _NEEDED | set(rules))
    epoch, position, steps = (_counter(name, plain[name]) for name in ("epoch", "position", "steps"))
    if epoch < 1 or position > training.steps_per_epoch or steps != (epoch - 1) * training.steps_per_epoch + position:
        found = f"epoch {shown(epoch)}, position {shown(position)}, steps {shown(steps)}"
        raise _misfit("epoch, position and steps", found, f"one moment of epochs of {training.steps_per_epoch} steps")
    shape = list(training.image_shape)
    if _image_shape(plain["image_shape"]) != tuple(shape):
        raise _misfit("image_shape", plain["image_shape"], shown(shape))
    best = plain["best_validation"]
    if best is not None and not _is_finite(best):
        raise _misfit("best_validation", best, "a finite number or null")
    _check_monitor(plain["monitor"], position)
    _check_streams(plain["streams"], training, steps)
    _check_order(arrays.get("order"), training.order)
    _check_arrays(arrays, training, steps)
    for name, (rule, updates) in rules.items():
        _check_rule(name, rule, plain[name], _under(f"{name}.", arrays), updates * steps)


def collect_arrays(training: Training) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return all arrays of a training by their names in a checkpoint, and the other values of its optimizers."""
    arrays, rules = {"order": np.asarray(training.order)}, {}
    for player, network, optimizer in _players(training):
        rule = optimizer.state_dict()
        arrays |= _named(f"{player}.", network.state_dict()) | _named(f"{player}_optimizer.", rule.pop("arrays"))
        rules[f"{player}_optimizer"] = rule
    if training.average is not None:
        names = (name for name, _ in training.game.generator.named_parameters())
        arrays |= _named(_AVERAGE, dict(zip(names, training.average.arrays(), strict=True)))
    return arrays, rules


def load_arrays(training: Training, arrays: Mapping[str, Any], plain: Mapping[str, Any]) -> None:
    """Put what `collect_arrays` returned back, after `check_state`; but for the order."""
    for player, network, optimizer in _players(training):
        network.load_state_dict(weights_of(player, arrays))
        rule = f"{player}_optimizer"
        optimizer.load_state_dict({**plain[rule], "arrays": _under(f"{rule}.", arrays)})
    if training.average is not None:
        averages = weights_of("generator", arrays, averaged=True)
        ordered = [averages[name] for name, _ in training.game.generator.named_parameters()]
        training.average.load_arrays(ordered, updates=plain["steps"])  # it begins with the run


def weights_of(player: str, arrays: Mapping[str, Any], averaged: bool = False) -> dict[str, Any]:
    """Return the weights of a network of a checkpoint under the names of `Module.state_dict`.

    Parameters
    ----------
    player : {"generator", "discriminator"}
    arrays : mapping of str to ndarray
        Of a checkpoint.
    averaged : bool
        Return the averages of the generator's weights: none if the run averages none.

    Examples
    --------
    >>> weights_of("generator", {"generator.0.bias": 1, "discriminator.0.bias": 2, "average.0.bias": 3}, averaged=True)
    {'0.bias': 3}
    """
    return _under(_AVERAGE if averaged else f"{player}.", arrays)


def _players(training: Training) -> list[tuple[str, Module, Optimizer]]:
    game = training.game
    return [
        ("generator", game.generator, game.generator_optimizer),
        ("discriminator", game.discriminator, game.discriminator_optimizer),
    ]


def _named(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: array for name, array in arrays.items()}


def _under(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def image_shape(checkpoint: Checkpoint) -> tuple[int, ...]:
    """Return the shape of the images that the generator of a checkpoint draws.

    Raises
    ------
    CheckpointError
        The checkpoint has no valid entry for it.
    """
    return _image_shape(_entry(checkpoint, "image_shape"), f"{checkpoint.path}: ")


def moment(checkpoint: Checkpoint) -> tuple[int, int]:
    """Return the epoch and the number of steps at which a checkpoint was saved.

    Raises
    ------
    CheckpointError
        The checkpoint has no valid entry for it.
    """
    of = f"{checkpoint.path}: "
    return _counter("epoch", _entry(checkpoint, "epoch"), of), _counter("steps", _entry(checkpoint, "steps"), of)


def _entry(checkpoint: Checkpoint, name: str) -> object:
    if name not in checkpoint.state:
        raise CheckpointError(f"{checkpoint.path}: the state lacks {name!r}: a run of tinygan did not write it")
    return checkpoint.state[name]


def _misfit(name: str, found: object, expected: str) -> CheckpointError:
    said = found if isinstance(found, str) else shown(found)
    return CheckpointError(
        f"the state says {said} for {name}; expected {expected}: this run did not write it, or it has been changed"
    )


def _check_names(what: str, found: object, needed: set[str], optional: set[str] | None = None) -> None:
    if not isinstance(found, Mapping):
        raise _misfit(what, found, "named values")
    lacking = sorted(needed - found.keys())
    if lacking:
        names = " and ".join(map(repr, lacking))
        raise CheckpointError(f"the {what} lacks {names}: this version of tinygan did not write it")
    unknown = sorted(found.keys() - needed - (optional or set()))
    if unknown:
        names = shown(unknown)
        raise CheckpointError(f"the {what} has {names}, unknown to this version of tinygan: resume with its own")


def _counter(name: str, found: object, of: str = "") -> int:
    if type(found) is not int or not 0 <= found <= LARGEST_INTEGER:
        raise CheckpointError(of + str(_misfit(name, found, "a whole number of 0 or more that fits in 64 bits")))
    return found


def _is_finite(found: object) -> bool:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    return math.isfinite(found) if isinstance(found, float) else abs(found) <= LARGEST_INTEGER


def _image_shape(found: object, of: str = "") -> tuple[int, ...]:
    good = isinstance(found, list) and 1 <= len(found) <= 3
    if not good or not all(type(side) is int and 1 <= side <= _LARGEST_SIDE for side in found):  # type: ignore[attr-defined]
        raise CheckpointError(of + str(_misfit("image_shape", found, "one to three whole numbers above 0")))
    return tuple(found)  # type: ignore[arg-type]


def _check_monitor(found: object, position: int) -> None:
    _check_names("monitor", found, {"count", "total"})
    assert isinstance(found, Mapping)
    if type(found["count"]) is not int or found["count"] != position:
        raise _misfit("monitor.count", found["count"], f"{position}, the steps of this epoch")
    total = found["total"]
    if not (isinstance(total, list) and len(total) == len(WATCHED) and all(map(_is_finite, total))):
        raise _misfit("monitor.total", total, f"{len(WATCHED)} finite numbers")


def _check_streams(found: object, training: Training, steps: int) -> None:
    _check_names("streams", found, {"seed", "streams"})
    assert isinstance(found, Mapping)
    seed = training.config.seed
    if type(found["seed"]) is not int or found["seed"] != seed:
        raise _misfit("streams.seed", found["seed"], f"{seed}, that of the experiment")
    modules = (*training.game.generator.modules(), *training.game.discriminator.modules())
    drops = any(isinstance(module, Dropout) and module.p > 0 for module in modules)
    adds_noise = any(isinstance(module, GaussianNoise) and module.std > 0 for module in modules)
    own = training.game.own_streams
    later = {"noise", *["dropout"] * drops, *["gaussian_noise"] * adds_noise, *own}  # they exist from the first step on
    needed = {"weights", "order"} | (later if steps else set())
    _check_names("list of streams", found["streams"], needed, {"noise", "dropout", "gaussian_noise", *own})
    for name, state in found["streams"].items():
        _check_stream(f"streams.{name}", state, Stream(seed, name))


def _check_stream(name: str, found: object, stream: Stream) -> None:
    """Compare a saved stream with a new one at the same position: its words follow from the seed."""
    expected = stream.state_dict()
    _check_names(name, found, set(expected))
    assert isinstance(found, Mapping)
    for key, end in _ENDS.items():
        if type(found[key]) is not int or not 0 <= found[key] < end:
            raise _misfit(f"{name}.{key}", found[key], f"a whole number from 0 to {end - 1}")
    counter = found["counter"]
    if isinstance(counter, list) and len(counter) == 4 and all(type(word) is int and word >= 0 for word in counter):
        place = 4 * sum(part << (64 * i) for i, part in enumerate(counter)) + found["buffer_pos"]
        if stream.position <= place < 1 << 258:
            stream.take(place - stream.position)
            expected = stream.state_dict()
    for key in ("generator", "key", "counter", "buffer_pos", "buffer"):
        value = expected[key]
        if found[key] != value or repr(found[key]) != repr(value):  # 1.0 and True equal 1, but are not integers
            raise _misfit(f"{name}.{key}", found[key], f"{shown(value)}, as the seed has it")


def _check_order(found: Any, own: Any) -> None:
    if found is None or found.shape != own.shape or found.dtype != own.dtype:
        said = "nothing" if found is None else f"an array {found.shape} of {found.dtype}"
        raise _misfit("order", said, f"an array {own.shape} of {own.dtype}")
    if not np.array_equal(np.sort(found), np.arange(len(own))):
        raise _misfit("order", "some images twice or never", f"each number from 0 to {len(own) - 1} once")


def _check_arrays(arrays: Mapping[str, Any], training: Training, steps: int) -> None:
    """Compare the names, shapes and dtypes of all arrays, except the order, with those of the training."""
    expected: dict[str, Any] = {}
    for player, network, rule in _players(training):
        expected |= _named(f"{player}.", network.state_dict())
        if steps:  # by then each parameter has had a gradient
            expected |= {
                f"{player}_optimizer.{slot}.{position}": parameter
                for position, parameter in enumerate(rule.params)
                for slot in rule.slots
            }
    if training.average is not None:
        expected |= _named(_AVERAGE, dict(training.game.generator.named_parameters()))
    lacking = [name for name in expected if name not in arrays]
    if lacking:
        more = f", and {len(lacking) - 1} more are" if len(lacking) > 1 else ""
        raise CheckpointError(f"the arrays do not belong to this run: {lacking[0]} is missing{more}")
    rules = ("generator_optimizer.", "discriminator_optimizer.")
    for name, array in arrays.items():
        if name == "order" or (name.startswith(rules) and name not in expected):
            continue  # the rule checks its other arrays itself
        if name not in expected:
            raise CheckpointError(f"the arrays do not belong to this run: {shown(name)} is unknown to it")
        own = expected[name]
        found, shape = tuple(array.shape), tuple(own.shape)
        if found != shape:
            raise CheckpointError(f"the arrays do not belong to this run: {name} has shape {found}, expected {shape}")
        if array.dtype != own.dtype:
            raise CheckpointError(
                f"the arrays do not belong to this run: {name} has dtype {array.dtype}, expected {own.dtype}"
            )
    broken = not_finite(arrays)
    if broken is not None:
        raise CheckpointError(f"the state holds a number that is nan or infinite, in {broken}: no run saves that")


def not_finite(arrays: Mapping[str, Any]) -> str | None:
    """Return the name of the first array with a nan or an infinity, or None."""
    floats = ((name, array) for name, array in arrays.items() if array.dtype.kind == "f")
    return next((name for name, array in floats if not np.isfinite(array).all()), None)


def _check_rule(name: str, rule: Optimizer, found: object, arrays: dict[str, Any], updates: int) -> None:
    """Compare the counters of a rule, then let it check the rest."""
    counters = {"updates", "parameter_updates", "groups"}
    _check_names(name, found, counters, set(found) if isinstance(found, Mapping) else None)
    assert isinstance(found, Mapping)
    if type(found["updates"]) is not int or found["updates"] != updates:
        raise _misfit(f"{name}.updates", found["updates"], f"{updates}, as the steps say")
    if found["parameter_updates"] != [updates] * len(rule.params):
        raise _misfit(f"{name}.parameter_updates", found["parameter_updates"], f"{updates} for each, as the steps say")
    try:
        rule.checked_state({**found, "arrays": arrays})
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from error
    except Exception as error:  # any failure of the rule
        raise CheckpointError(f"{name}: the state cannot be loaded: {error!r}") from error
