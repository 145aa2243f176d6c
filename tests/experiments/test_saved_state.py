"""A wrong state is refused, and then nothing has been changed; a right one is loaded exactly."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import math
import re
import warnings

import numpy as np
import pytest

from tinygan.config.decisive import decisive_toml
from tinygan.errors import AnomalyError, CheckpointError
from tinygan.experiments.saved_state import image_shape, moment
from tinygan.experiments.training import Training
from tinygan.runs.checkpoint import Checkpoint, read_checkpoint, write_checkpoint

GAMES = [
    (),
    ("training.k=2", "training.batch=2", "generator.average_decay=0.9", "training.schedule=simultaneous"),
    ('generator.optimizer={ kind = "sgd", lr = 0.1 }',),
]
DAMAGE = [None, True, -1, 0, 1, 2**63, 10**400, 1.0, 0.5, math.nan, "x", [], {}, [0, 0, 0, 0]]
# Plain numbers that nothing else in the state follows from: within their range, another value is another state.
FREE = re.compile(
    r"state(\.monitor\.total(\.\d)?|\.best_validation|\.\w+_optimizer\.groups\.0\.(?!params).*"
    r"|\.streams\.streams\.\w+\.(buffer_pos|has_uint32|uinteger))$"
)


def advance(training, steps):
    for _ in range(steps):
        if training.epoch_is_over:
            training.next_epoch()
        training.step()


def bits(training):
    arrays, plain = training.state()
    return {name: (array.dtype.name, array.tobytes()) for name, array in arrays.items()}, json.dumps(plain)


def places(value, path=("state",)):
    """Yield the path of every entry of a state, at any depth."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield (*path, key)
        if isinstance(value[key], dict | list):
            yield from places(value[key], (*path, key))


def damaged(plain, stream):
    """Yield, for every entry, its name and copies of the state in which it is removed, replaced or made longer.

    All streams of random numbers have the same checks, so the entries inside are damaged in one stream only.
    """
    for path in places(plain):
        if path[1:3] == ("streams", "streams") and len(path) > 4 and path[3] != stream:
            continue
        yield ".".join(map(str, path)), _damaged(plain, path)


def _damaged(plain, path):
    for other in (*DAMAGE, "remove", "longer"):
        wrong = copy.deepcopy(plain)
        container = wrong
        for key in path[1:-1]:
            container = container[key]
        if other == "remove":
            del container[path[-1]]
        elif other == "longer" and isinstance(container, dict):
            container["another"] = 0
        elif other == "longer":
            container.append(0)
        else:
            container[path[-1]] = other
        yield wrong


def taken(training, arrays, plain):
    """Return whether a training loads a state; otherwise it must raise a CheckpointError."""
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of an earlier version: see test_training
            training.load_state(arrays, plain)
    except CheckpointError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "overrides", "steps", "stream"),
    [(0, GAMES[0], 0, "weights"), (1, GAMES[1], 7, "noise"), (2, GAMES[2], 5, "order")],
)
def test_damaged_entries_are_refused_or_change_nothing(tiny_experiment, tiny_data, part, overrides, steps, stream):
    """Each game has a third of the kinds of damage; which third differs from entry to entry."""
    config = tiny_experiment(*overrides)
    training, other = Training(config, tiny_data()), Training(config, tiny_data())
    advance(training, steps)
    advance(other, 2)
    arrays, plain = training.state()
    good, before = bits(training), bits(other)
    plain = json.loads(json.dumps(plain))
    refused = 0
    for place, (name, wrongs) in enumerate(damaged(plain, stream)):
        for wrong in itertools.islice(wrongs, (part + place) % 3, None, 3):
            if not taken(other, arrays, wrong):
                refused += 1
                continue
            if not FREE.fullmatch(name):
                assert bits(other) == good, (name, wrong)
            with warnings.catch_warnings(action="ignore"), contextlib.suppress(AnomalyError):
                advance(other, 2)  # training can continue, if a learning rate of 2^63 is not the damage
            other = Training(config, tiny_data())
            advance(other, 2)
        assert bits(other) == before, name
    assert refused > 100


@pytest.mark.slow
@pytest.mark.parametrize("overrides", GAMES)
def test_every_damaged_array_is_refused(tiny_experiment, tiny_data, overrides):
    config = tiny_experiment(*overrides)
    training, other = Training(config, tiny_data()), Training(config, tiny_data())
    advance(training, 3)
    advance(other, 2)
    arrays, plain = training.state()
    before = bits(other)
    for name, array in arrays.items():
        wrong = [None, array[None], array[..., None], array.ravel()[:-1], array[:0], np.zeros(()), np.array(["x"])]
        wrong += [array.astype(dtype) for dtype in ("f2", "f8", "i1", "i4", "u8", "?") if array.dtype != dtype]
        if array.dtype.kind == "f":
            first = np.arange(array.size).reshape(array.shape) == 0
            wrong += [np.full_like(array, math.nan), np.where(first, -np.inf, array)]
        else:
            wrong += [np.zeros_like(array), array - 1, array + 1, np.full_like(array, 2**62)]
        if array.ndim == 2 and array.shape[0] != array.shape[1]:
            wrong.append(array.T)
        for damaged_array in wrong:
            state = {**arrays, name: damaged_array}
            if damaged_array is None:
                del state[name]
            assert not taken(other, state, plain), (name, damaged_array)
    for name in ("", "x", "generator.", "generator.9.weight", "average.0.weights", "generator_optimizer.x.0",
                 "discriminator_optimizer.mean.99", "discriminator_optimizer.mean"):  # fmt: skip
        assert not taken(other, {**arrays, name: np.zeros(1, np.float32)}, plain), name
    assert bits(other) == before


def test_a_wrong_state_in_a_valid_file_is_refused(tiny_experiment, tiny_data, tmp_path):
    """The checksum is that of the wrong state."""
    training = Training(tiny_experiment(), tiny_data())
    advance(training, 3)
    arrays, plain = training.state()
    plain["streams"]["streams"]["noise"]["buffer_pos"] = 5
    write_checkpoint(tmp_path / "a.safetensors", arrays, plain)
    checkpoint = read_checkpoint(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"says 5 for streams\.noise\.buffer_pos; expected"):
        training.load_state(checkpoint.arrays, checkpoint.state)


def test_a_stream_of_another_seed_or_name_is_refused(tiny_experiment, tiny_data):
    training, other = (Training(tiny_experiment(f"seed={seed}"), tiny_data()) for seed in (1, 2))
    for each in (training, other):
        advance(each, 3)
    arrays, plain = training.state()
    streams = plain["streams"]["streams"]
    for wrong in (streams["weights"], other.state()[1]["streams"]["streams"]["noise"]):
        lie = {**plain, "streams": {"seed": 1, "streams": {**streams, "noise": wrong}}}
        with pytest.raises(CheckpointError, match=r"for streams\.noise\.key"):
            training.load_state(arrays, lie)


def test_noise_and_running_statistics_go_on(tiny_experiment, tiny_data):
    config = tiny_experiment(
        'generator.layers=[{ type = "linear", units = 4 }, { type = "batch_norm" }, { type = "gaussian_noise", '
        'std = 0.1 }]',
        'discriminator.layers=[{ type = "linear", units = 3, spectral_norm = true }, { type = "linear", units = 1 }]',
    )
    training, other = (Training(config, tiny_data()) for _ in range(2))
    advance(training, 3)
    arrays, plain = training.state()
    assert arrays["generator.1.num_batches_tracked"] > 0
    without = copy.deepcopy(plain)
    del without["streams"]["streams"]["gaussian_noise"]
    with pytest.raises(CheckpointError, match="gaussian_noise"):
        other.load_state(arrays, without)
    other.load_state(arrays, plain)
    advance(training, 4)
    advance(other, 4)
    assert bits(training) == bits(other)


def test_unknown_settings_in_a_state_are_refused(tiny_experiment, tiny_data):
    training = Training(tiny_experiment(), tiny_data())
    arrays, plain = training.state()
    plain["configuration"] = decisive_toml(tiny_experiment()).replace("seed", "sead")
    with pytest.raises(CheckpointError, match=r"settings that this version of tinygan does not know: .*sead"):
        training.load_state(arrays, plain)


def test_other_readers_of_a_checkpoint_refuse_it_too(tmp_path):
    good = {"image_shape": [28, 28], "epoch": 2, "steps": 30}
    path = tmp_path / "a.safetensors"
    assert image_shape(Checkpoint({}, good, path)) == (28, 28)
    assert moment(Checkpoint({}, good, path)) == (2, 30)
    for key, read in (("image_shape", image_shape), ("epoch", moment), ("steps", moment)):
        for wrong in ("missing", *DAMAGE, [0, 1], [1] * 4, [2**40, 2**40], [1.0]):
            if key != "image_shape" and type(wrong) is int and 0 <= wrong < 2**63:
                continue
            state = {name: value for name, value in good.items() if name != key or wrong != "missing"}
            state |= {} if wrong == "missing" else {key: wrong}
            with pytest.raises(CheckpointError, match=rf"^{re.escape(str(path))}: the state .*{key}"):
                read(Checkpoint({}, state, path))
