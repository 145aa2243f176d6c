"""Training uses the data as in Algorithm 1, and its state determines all later steps."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan import gan
from tinygan.backend import Streams
from tinygan.config.decisive import decisive_toml
from tinygan.data.dataset import Split
from tinygan.errors import AnomalyError, CheckpointError, ConfigError
from tinygan.experiments.saved_state import weights_of
from tinygan.experiments.training import SHEET_NOISE, Training


def advance(training, steps):
    """Train for some steps, over the ends of epochs; return the metrics after each step."""
    seen = []
    for _ in range(steps):
        if training.epoch_is_over:
            training.next_epoch()
        training.step()
        seen.append(training.metrics())
    return seen


def bits(training):
    arrays, plain = training.state()
    return {name: array.tobytes() for name, array in arrays.items()}, json.dumps(plain, sort_keys=True)


# --- the data --------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(count=st.integers(1, 40), batch=st.integers(1, 8), k=st.integers(1, 3))
def test_an_epoch_has_each_image_at_most_once_in_a_new_order(tiny_experiment, tiny_data, count, batch, k):
    config = tiny_experiment(f"training.batch={batch}", f"training.k={k}")
    if count < batch * k:
        message = f"tiny: training.batch x training.k = {batch * k} rows an iteration, but 'digits' has only {count}"
        with pytest.raises(ConfigError, match=message):
            Training(config, tiny_data(count))
        return
    training, seen = Training(config, tiny_data(count)), []
    play = training.game.step

    def watched(rows):
        seen.append(rows.data)
        return play(rows)

    training.game.step = watched
    orders = []
    for epoch in (1, 2, 3):
        assert training.epoch == epoch
        while not training.epoch_is_over:
            training.step()
        assert all(rows.shape == (batch * k, 4) for rows in seen)
        greys = np.concatenate(seen)[:, 0] * (2 * count + 2) - 1  # the number of each image
        shown = np.rint(greys).astype(int).tolist()
        assert len(shown) == len(set(shown)) == count - count % (batch * k)
        assert set(shown) <= set(range(count))
        assert training.position == training.steps_per_epoch == count // (batch * k)
        assert training.steps == epoch * training.steps_per_epoch
        orders.append(shown)
        seen.clear()
        training.next_epoch()
    if count > 10:  # by chance, the same once in 40 million
        assert orders[0] != orders[1] != orders[2] != orders[0]
        assert orders[0] != sorted(orders[0])


def test_orders_depend_on_the_seed_only(tiny_experiment, tiny_data):
    first, again = (Training(tiny_experiment("seed=1"), tiny_data()).order for _ in range(2))
    other = Training(tiny_experiment("seed=2"), tiny_data()).order
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_data_are_never_changed(tiny_experiment, tiny_data):
    data = tiny_data()
    before = data.train.images.copy()
    advance(Training(tiny_experiment(), data), 7)
    assert np.array_equal(data.train.images, before)


# --- metrics ---------------------------------------------------------------------------------------------


def test_update_ratios_are_those_of_the_last_step(tiny_experiment, tiny_data):
    training = Training(tiny_experiment(), tiny_data())
    for _ in range(2):
        while not training.epoch_is_over:
            assert training.metrics()["update_ratios"] == {}
            before = training.weights()
            training.step()
        assert training.metrics()["update_ratios"] == training.update_ratios(before)
        assert all(-6 < ratio < 0 for ratio in training.metrics()["update_ratios"].values())
        training.next_epoch()


def test_metrics_are_those_of_the_epoch_so_far(tiny_experiment, tiny_data):
    training = Training(tiny_experiment(), tiny_data())
    losses, play = [], training.game.step

    def watched(rows):
        step = play(rows)
        losses.append(step.discriminator_loss.item())
        return step

    training.game.step = watched
    for _ in range(2):
        for _ in range(training.steps_per_epoch):
            training.step()
            metrics = training.metrics()
            assert metrics["discriminator_loss"] == pytest.approx(np.mean(losses), rel=1e-6)
        losses.clear()
        training.next_epoch()
    game = training.game
    assert metrics["epoch"] == 2
    assert metrics["steps"] == 10
    assert metrics["value"] == -metrics["discriminator_loss"]
    assert metrics["value_at_equilibrium"] == gan.VALUE_AT_EQUILIBRIUM
    assert metrics["generator_gradient_norm"] == gan.gradient_norm(game.generator) > 0
    assert metrics["discriminator_gradient_norm"] == gan.gradient_norm(game.discriminator) > 0
    assert metrics["generator_gradient_norm"] != metrics["discriminator_gradient_norm"]
    norms = metrics["gradient_norms"]
    layers = ["generator.0", "generator.2", "discriminator.1", "discriminator.2"]
    assert list(norms) == list(metrics["update_ratios"]) == layers
    for player in ("generator", "discriminator"):
        parts = [norm for name, norm in norms.items() if name.startswith(player)]
        assert metrics[f"{player}_gradient_norm"] == math.hypot(*parts)
    assert metrics["generator_lr"] == pytest.approx(0.5 / 1.01**10)
    assert metrics["discriminator_lr"] == 0.01
    assert metrics["momentum"] == pytest.approx(0.6)  # in the second of three epochs
    assert not any("time" in name or "second" in name for name in metrics)  # records can be compared byte for byte
    json.dumps(metrics, allow_nan=False)


def test_adam_records_no_momentum(tiny_experiment, tiny_data):
    training = Training(tiny_experiment('generator.optimizer={ kind = "adam", lr = 0.1 }'), tiny_data())
    assert training.metrics()["momentum"] is None


# --- the state -------------------------------------------------------------------------------------------

games = st.sampled_from(
    [
        (),
        ("training.k=2", "training.objective=minimax"),
        ("training.schedule=simultaneous", "training.shared_noise=true", "training.discriminator_loss_scale=0.5"),
        ("training.schedule=simultaneous", "noise.kind=gaussian", "training.k=2"),
        ('generator.optimizer={ kind = "sgd", lr = 0.1 }', "training.batch=3"),
    ]
)


@pytest.mark.slow
@given(games, st.integers(0, 12), st.integers(1, 7))
def test_a_state_of_any_step_continues_with_the_same_bits(tiny_experiment, tiny_data, overrides, before, after):
    config = tiny_experiment(*overrides)
    training = Training(config, tiny_data())
    advance(training, before)
    arrays, plain = training.state()
    plain = json.loads(json.dumps(plain))
    frozen = {name: array.copy() for name, array in arrays.items()}
    expected = advance(training, after)
    assert all(np.array_equal(array, arrays[name]) for name, array in frozen.items())  # the state is a copy

    twin = Training(tiny_experiment(*overrides), tiny_data())
    advance(twin, 1)  # its earlier state is replaced
    twin.load_state(arrays, plain)
    assert advance(twin, after) == expected
    assert bits(twin) == bits(training)
    assert np.array_equal(twin.sheet(), training.sheet())
    assert all(np.array_equal(array, arrays[name]) for name, array in frozen.items())  # and loading copies


def test_metrics_and_sheets_do_not_change_the_training(tiny_experiment, tiny_data):
    watched, alone = (Training(tiny_experiment(), tiny_data()) for _ in range(2))
    for _ in range(12):
        advance(watched, 1)
        watched.sheet()
        watched.state()
        if alone.epoch_is_over:
            alone.next_epoch()
        alone.step()
    assert bits(watched) == bits(alone)
    assert watched.game.generator.training


def test_every_sheet_has_the_same_noise(tiny_experiment, tiny_data):
    training = Training(tiny_experiment("output.samples=6"), tiny_data())
    before = training.sheet()
    assert before.shape == (6, 4)
    assert np.array_equal(before, training.sheet())
    advance(training, 1)
    after = training.sheet()
    assert not np.array_equal(before, after)
    training.game.generator.load_state_dict(Training(tiny_experiment(), tiny_data()).game.generator.state_dict())
    assert np.array_equal(before, training.sheet())


AVERAGED = "generator.average_decay=0.75"


def test_averaging_does_not_change_the_training(tiny_experiment, tiny_data):
    averaged, plain = Training(tiny_experiment(AVERAGED), tiny_data()), Training(tiny_experiment(), tiny_data())
    expected = [parameter.data.copy() for parameter in plain.game.generator.parameters()]
    for t in range(1, 10):
        assert advance(averaged, 1) == advance(plain, 1)
        averaged.sheet()
        for mean, parameter in zip(expected, plain.game.generator.parameters(), strict=True):
            mean += 0.25 / (1 - 0.75**t) * (parameter.data - mean)
    arrays, state = averaged.state()
    names = [name for name, _ in plain.game.generator.named_parameters()]
    averages = weights_of("generator", arrays, averaged=True)
    for name, mean in zip(names, expected, strict=True):
        np.testing.assert_allclose(averages[name], mean, rtol=1e-6, atol=1e-7)
    arrays_of_plain, state_of_plain = plain.state()
    assert set(arrays) == set(arrays_of_plain) | {f"average.{name}" for name in names}
    assert all(np.array_equal(array, arrays[name]) for name, array in arrays_of_plain.items())
    assert {**state, "configuration": ""} == {**state_of_plain, "configuration": ""}


def test_samples_are_drawn_with_the_averaged_weights(tiny_experiment, tiny_data):
    training = Training(tiny_experiment(AVERAGED), tiny_data())
    advance(training, 5)
    generator = training.game.generator
    with_weights = gan.sample(generator, 4, training.game.noise, Streams(training.config.seed)[SHEET_NOISE])
    sheet = training.sheet()
    assert not np.array_equal(sheet, with_weights)
    generator.load_state_dict(weights_of("generator", training.state()[0], averaged=True))
    drawn = gan.sample(generator, 4, training.game.noise, Streams(training.config.seed)[SHEET_NOISE])
    np.testing.assert_array_equal(sheet, drawn)


def test_a_state_without_the_needed_averages_is_refused(tiny_experiment, tiny_data):
    arrays, plain = Training(tiny_experiment(), tiny_data()).state()
    plain["configuration"] = decisive_toml(tiny_experiment(AVERAGED))  # the wrong one
    with pytest.raises(CheckpointError, match=r"average\.0\.weight is missing"):
        Training(tiny_experiment(AVERAGED), tiny_data()).load_state(arrays, plain)


def test_a_state_of_other_data_or_networks_is_refused(tiny_experiment, tiny_data):
    arrays, plain = Training(tiny_experiment(), tiny_data(22)).state()
    with pytest.raises(CheckpointError) as error:
        Training(tiny_experiment(), tiny_data(23)).load_state(arrays, plain)
    assert str(error.value) == (
        "the checkpoint holds an order of 22 training images, but 'digits' has 23: give --data the files the run "
        "began with"
    )
    with pytest.raises(CheckpointError, match="holds an order of none training images"):
        Training(tiny_experiment(), tiny_data()).load_state({}, plain)
    larger = tiny_experiment("generator.layers.0.units=6")
    plain["configuration"] = decisive_toml(larger)  # the wrong one
    with pytest.raises(CheckpointError, match=r"0\.weight has shape \(2, 5\), expected \(2, 6\)"):
        Training(larger, tiny_data()).load_state(arrays, plain)
    del arrays["discriminator.1.bias"]
    plain["configuration"] = decisive_toml(tiny_experiment())
    with pytest.raises(CheckpointError, match=r"1\.bias is missing"):
        Training(tiny_experiment(), tiny_data()).load_state(arrays, plain)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_other_images_are_refused_and_nothing_is_changed(
    tiny_experiment, tiny_data, split
):
    arrays, plain = Training(tiny_experiment(), tiny_data()).state()
    data = tiny_data()
    images = getattr(data, split).images.copy()
    images[-1, -1] = np.nextafter(images[-1, -1], np.float32(2))  # one pixel, by the smallest difference
    other = Training(
        tiny_experiment(), dataclasses.replace(data, **{split: Split(images, getattr(data, split).labels)})
    )
    advance(other, 2)
    before = bits(other)
    with pytest.raises(CheckpointError) as error:
        other.load_state(arrays, plain)
    was, found = (state["images_sha256"][split][:16] for state in (plain, other.state()[1]))
    assert str(error.value) == (
        f"the checkpoint belongs to other {split} images than those of 'digits' now: their SHA-256 was {was}..., and "
        f"is {found}...; give --data the files the run began with"
    )
    assert bits(other) == before


def test_test_images_and_labels_may_differ(tiny_experiment, tiny_data):
    arrays, plain = Training(tiny_experiment(), tiny_data()).state()
    data = tiny_data()
    train = Split(data.train.images, np.ones(len(data.train), np.uint8))
    Training(tiny_experiment(), dataclasses.replace(data, train=train, test=data.validation)).load_state(arrays, plain)


@pytest.mark.parametrize("name", ["configuration", "images_sha256", "best_validation"])
def test_a_state_that_does_not_say_whose_it_is_is_refused(tiny_experiment, tiny_data, name):
    training = Training(tiny_experiment(), tiny_data())
    arrays, plain = training.state()
    del plain[name]
    with pytest.raises(CheckpointError, match=f"the state lacks '{name}'"):
        training.load_state(arrays, plain)


def test_other_settings_are_named_and_nothing_is_changed(tiny_experiment, tiny_data):
    arrays, plain = Training(tiny_experiment(), tiny_data()).state()
    other = Training(tiny_experiment("generator.optimizer.lr=0.25", "training.objective=minimax"), tiny_data())
    advance(other, 2)
    before = bits(other)
    with pytest.raises(CheckpointError) as error:
        other.load_state(arrays, plain)
    assert str(error.value) == (
        "the checkpoint belongs to other settings: generator.optimizer.lr was 0.5 and is now 0.25; training.objective "
        'was "non-saturating" and is now "minimax". Put them back to go on with this run, or train another one with '
        "them"
    )
    assert bits(other) == before


def test_length_and_outputs_may_differ(tiny_experiment, tiny_data):
    first = Training(tiny_experiment(), tiny_data())
    advance(first, 3)
    second = Training(tiny_experiment("training.epochs=30", "output.validate_every=2", "name=longer"), tiny_data())
    second.load_state(*first.state())
    assert bits(second) == bits(first)


# --- broken runs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("player", "name", "message"),
    [
        ("generator", "2.bias", "step 4, epoch 1: the discriminator's loss is nan"),
        ("discriminator", "2.weight", "step 4, epoch 1: the discriminator's loss is nan"),
    ],
)
def test_a_nan_stops_the_training(tiny_experiment, tiny_data, player, name, message):
    training = Training(tiny_experiment(), tiny_data())
    advance(training, 3)
    dict(getattr(training.game, player).named_parameters())[name].data[0] = np.nan
    with pytest.raises(AnomalyError) as error:
        training.step()
    assert str(error.value) == message
    assert training.steps == 3
