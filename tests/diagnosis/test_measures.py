"""Measures of games whose state is known: each fault is provoked in a real game, and a healthy one shows none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan import gan, nn, optim
from tinygan.backend import Stream, Streams
from tinygan.data.dataset import Dataset, Split
from tinygan.diagnosis import dataset_measures, epoch_measures, game_measures, jsd_bound, judge
from tinygan.diagnosis.diary import names_of
from tinygan.engine import Tensor, grad
from tinygan.errors import ShapeError
from tinygan.gan.learned import learn_discriminator

pytestmark = pytest.mark.slow

NOISE = gan.Noise("gaussian", 2)
RNG = np.random.default_rng(0)
TRAIN, HELD_OUT = RNG.normal(size=(2, 400, 2)).astype(np.float32)


def linear(weight, bias=0.0, inputs=2):
    """Return a linear generator from noise to the plane."""
    layer = nn.Linear(inputs, 2, True, nn.init.constant(0.0), nn.init.constant(bias))
    layer.weight.data[...] = weight
    return layer


def game_of(generator, discriminator=None, **options):
    discriminator = discriminator or nn.Linear(2, 1, True, nn.init.constant(0.0))
    return gan.Algorithm1(generator, discriminator, noise=NOISE, **options)


def names(measures):
    return [verdict.name for verdict in judge(measures)]


def played(game, steps, data, rows=64):
    """Play, and return the record of these steps."""
    monitor = gan.Monitor(game.generator.parameters()[0].backend)
    stream = Stream(1, "data")
    for _ in range(steps):
        monitor.add(game.step(data[stream.integers(0, len(data), (rows,))]))
    return {**monitor.means(), "generator_gradient_norm": gan.gradient_norm(game.generator)}


# --- a game at the equilibrium ---------------------------------------------------------------------------


def test_samples_of_the_data_distribution_are_near_the_equilibrium():
    found = game_measures(game_of(linear(np.eye(2))), TRAIN, HELD_OUT)
    assert abs(found["classifier_accuracy"] - 0.5) < 3 * found["classifier_standard_error"]
    assert found["classifier_standard_error"] == pytest.approx(0.5 / math.sqrt(400), rel=0.05)
    assert found["classifier_rows"] == found["rows"] == 400
    assert min(found["precision"], found["recall"]) > 0.8
    assert found["nearest_ratio"] == pytest.approx(1, abs=0.15)
    assert found["spread"] == pytest.approx(1, abs=0.2)
    assert found["jsd_bound_held_out"] == found["jsd_bound_train"] == pytest.approx(0, abs=1e-12)
    assert {type(number) for number in found.values()} == {float}
    assert found["d_accuracy_held_out"] == 0.5
    assert names({**found, "discriminator_loss": math.log(4)}) == ["log-4-equilibrium"]


# --- each fault, provoked --------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["non-saturating", "minimax"])
def test_a_discriminator_that_has_won(objective):
    """D is updated against a G that hardly moves and draws far from the data."""
    layers = nn.Linear(2, 32, rng=Stream(0, "w")), nn.ReLU(), nn.Linear(32, 1, rng=Stream(1, "w"))
    generator = nn.Sequential(linear(np.eye(2), bias=6.0))
    game = game_of(
        generator, nn.Sequential(*layers), objective=objective, streams=Streams(0),
        generator_optimizer=optim.SGD(generator.parameters(), 1e-6),
    )  # fmt: skip
    before = played(game, 20, TRAIN)
    record = played(game, 300, TRAIN)
    found = epoch_measures(record, objective, before["generator_gradient_norm"])
    assert found["discriminator_loss"] < 0.1 < found["jsd_bound_minibatch"]
    assert names(found) == ["d-won", "saturated"] if objective == "minimax" else ["d-won"]
    assert "d-won" not in names(epoch_measures(before, objective))


def test_the_factors_of_both_objectives_sum_to_1():
    """The mean derivative with respect to the logits has the factors D(G(z)) and 1 - D(G(z))."""
    logits = Tensor(RNG.normal(-4, 1, size=(50, 1)), requires_grad=True)
    for objective, factor in (("minimax", -1), ("non-saturating", -1)):
        slope = factor * grad(gan.generator_loss(logits, objective), logits).data.sum()
        d_fake = float((1 / (1 + np.exp(-logits.data))).mean())
        assert slope == pytest.approx(d_fake if objective == "minimax" else 1 - d_fake)
    record = {"discriminator_loss": 0.5, "d_accuracy": 0.9, "d_fake": 0.02}
    assert names(epoch_measures(record, "minimax")) == ["saturated"]
    assert names(epoch_measures(record, "non-saturating")) == ["healthy"]


@pytest.mark.parametrize("weight", [np.zeros((2, 2)), 0.01 * np.eye(2)])
def test_a_generator_that_maps_all_z_to_one_x(weight):
    found = game_measures(game_of(linear(weight)), TRAIN, HELD_OUT)
    assert found["nearest_ratio"] < 0.1 > found["spread"]
    assert found["classifier_accuracy"] > 0.95
    assert found["classifier_standard_error"] > 0.003  # not 0, also where every row is right
    assert "helvetica" in names(found)


def test_modes_and_classes_that_are_not_covered():
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]], np.float32)
    labels = np.arange(400) % 4
    data = centres[labels] + 0.1 * TRAIN
    game = game_of(linear(0.1 * np.eye(2), bias=9.0))
    found = game_measures(game, data, data, train_labels=labels, modes=centres, std=0.1)
    assert (found["modes_recovered"], found["modes"]) == (found["classes_covered"], found["classes"]) == (1, 4)
    assert "helvetica" in names({"classes_covered": 1.0, "classes": 4.0})
    assert "helvetica" in names({"modes_recovered": found["modes_recovered"], "modes": found["modes"]})


def test_an_untrained_discriminator_at_log_4():
    found = game_measures(game_of(linear(np.eye(2), bias=4.0)), TRAIN, HELD_OUT)
    found["discriminator_loss"] = math.log(4)
    assert found["classifier_accuracy"] > 0.95
    assert names(found) == ["log-4-blind"]


def test_a_discriminator_that_has_memorised_its_data():
    few = TRAIN[:60]
    fake = gan.sample(linear(np.eye(2)), 60, NOISE, Stream(9, "z"))
    learned = learn_discriminator(few, fake, width=128, steps=800, batch=60, lr=0.02)
    found = game_measures(game_of(linear(np.eye(2)), learned), few, HELD_OUT, rows=400)
    assert found["jsd_bound_train"] > found["jsd_bound_held_out"] + 0.1
    assert "d-overfits" in names(found)
    same = game_measures(game_of(linear(np.eye(2)), learned), TRAIN[100:], HELD_OUT)
    assert "d-overfits" not in names(same)


def test_dead_relus_and_idle_pieces():
    dead = nn.Linear(2, 4, True, nn.init.uniform(0.1), nn.init.constant(-9.0))
    generator = nn.Sequential(dead, nn.ReLU(), linear(0.0, inputs=4))
    maxout = nn.Maxout(2, 3, 4, nn.init.constant(0.0), nn.init.constant(0.0))
    found = game_measures(game_of(generator, nn.Sequential(maxout, nn.Linear(3, 1))), TRAIN, HELD_OUT)
    assert found["dead_units.generator.1"] == found["idle_pieces.discriminator.0"] == 1
    assert {"dead-units", "idle-pieces"} <= set(names(found))


@pytest.mark.parametrize(
    ("last", "scale", "shift", "verdicts"),
    [
        (nn.Sigmoid(), 255.0, 0.0, ["range"]),
        (nn.Sigmoid(), 2.0, -1.0, ["range"]),
        (nn.Tanh(), 1.0, 0.0, ["range"]),
        (nn.Sigmoid(), 1.0, 0.0, []),
        (nn.Tanh(), 2.0, -1.0, []),
        (None, 255.0, 0.0, ["range"]),
        (None, 1.0, 0.0, []),
        (nn.ReLU(), 1.0, 0.0, []),
    ],
)
def test_the_range_of_data_and_of_samples(last, scale, shift, verdicts):
    data = (RNG.uniform(size=(100, 2)) * scale + shift).astype(np.float32)
    generator = nn.Sequential(linear(np.eye(2)), *([] if last is None else [last]))
    found = game_measures(game_of(generator), data, data)
    assert [name for name in names(found) if name == "range"] == verdicts
    assert (found["data_low"], found["data_high"]) == (data.min(), data.max())
    assert found["data_rms"] == pytest.approx(np.sqrt((data**2).mean()), rel=1e-5)


def test_the_samples_may_be_13_times_too_large():
    data = RNG.normal(size=(600, 2)).astype(np.float32)
    found = game_measures(game_of(nn.Sequential(linear(13 * np.eye(2)))), data[:300], data[300:])
    assert found["sample_rms"] / found["data_rms"] == pytest.approx(13, rel=0.15)


# --- the bound -------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(2, 9), st.floats(0.1, 20))
def test_the_loss_of_any_discriminator_bounds_the_divergence(seed, size, scale):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(size), 2)
    logits = rng.normal(0, scale, size)
    best = np.log(p) - np.log(q)
    truth = _jsd(p, q)

    def bound(a):
        return jsd_bound(float((p * np.logaddexp(0, -a)).sum() + (q * np.logaddexp(0, a)).sum()))

    assert bound(logits) <= truth + 1e-12
    assert bound(best) == pytest.approx(truth, abs=1e-12)
    assert 0 <= bound(best) <= math.log(2) + 1e-12


def _jsd(p, q):
    m = (p + q) / 2
    return float((p * np.log(p / m) + q * np.log(q / m)).sum() / 2)


# --- what they do not change, and what they refuse -------------------------------------------------------


def test_measuring_changes_nothing_and_gives_the_same_numbers():
    streams = Streams(3)
    discriminator = nn.Sequential(nn.Dropout(0.5), nn.Maxout(2, 4, 2), nn.Linear(4, 1))
    game = game_of(linear(np.eye(2)), discriminator, streams=streams)
    game.step(TRAIN[:32])
    state, weights = streams.state_dict(), [p.data.copy() for p in discriminator.parameters()]
    gradients = [p.grad for p in discriminator.parameters()]
    first = game_measures(game, TRAIN, HELD_OUT)
    assert first == game_measures(game, TRAIN, HELD_OUT)
    assert first != game_measures(game, TRAIN, HELD_OUT, seed=1)
    assert streams.state_dict() == state
    assert all(np.array_equal(p.data, before) for p, before in zip(discriminator.parameters(), weights, strict=True))
    assert all(p.grad is before for p, before in zip(discriminator.parameters(), gradients, strict=True))
    assert all(module.training for module in discriminator.modules())


def test_samples_may_come_from_another_generator():
    game = game_of(linear(np.zeros((2, 2))))
    averaged = game_measures(game, TRAIN, HELD_OUT, generator=linear(np.eye(2)))
    assert averaged["nearest_ratio"] > 0.5 > game_measures(game, TRAIN, HELD_OUT)["nearest_ratio"]


@pytest.mark.parametrize("shape", [(0, 2), (5,), ()])
def test_data_that_are_not_rows_are_refused(shape):
    with pytest.raises(ShapeError, match="game_measures: held_out has shape"):
        game_measures(game_of(linear(np.eye(2))), TRAIN, np.zeros(shape, np.float32))


def test_samples_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"example has the shape \(3,\), and a sample \(2,\)"):
        game_measures(game_of(linear(np.eye(2))), TRAIN, np.zeros((30, 3), np.float32))


@pytest.mark.parametrize("rows", [1, 2, 3, 19])
def test_few_rows_give_no_share(rows):
    found = game_measures(game_of(linear(np.eye(2))), TRAIN[:rows], HELD_OUT[:rows])
    assert found["rows"] == rows
    assert not {"classifier_accuracy", "precision", "spread", "jsd_bound_error"} & set(found)
    assert all(math.isfinite(number) for number in found.values())


@pytest.mark.parametrize("data", [np.zeros((30, 2), np.float32), np.repeat(TRAIN[:2], 30, axis=0)])
def test_data_without_spread_are_measured(data):
    found = game_measures(game_of(linear(np.eye(2))), data, data)
    assert "nearest_ratio" not in found
    assert found["classifier_accuracy"] > 0.9


@pytest.mark.parametrize(
    ("validation", "test", "chosen"), [(200, 300, 200), (99, 300, 300), (99, 50, 99), (2, 1, 2), (600, 600, 500)]
)
def test_held_out_rows_are_the_validation_images_if_there_are_enough(validation, test, chosen):
    splits = [Split(TRAIN[np.arange(n) % 400, :1].copy(), np.zeros(n, np.uint8)) for n in (400, validation, test)]
    game = gan.Algorithm1(nn.Linear(2, 1), nn.Linear(1, 1), noise=NOISE)
    assert dataset_measures(game, Dataset("line", (1,), *splits))["rows"] == chosen


def test_records_that_lack_numbers_are_read():
    assert epoch_measures({}) == {}
    broken = {"discriminator_loss": None, "d_accuracy": float("nan"), "generator_gradient_norm": True, "d_fake": "1"}
    assert epoch_measures({**broken, "update_ratios": {"generator.0": None}}) == {}
    assert epoch_measures({"update_ratios": {"generator.0": -3.0}}) == {"update_ratio.generator.0": -3.0}
    assert names_of([verdict.as_dict() for verdict in judge({})]) == ["healthy"]


@pytest.mark.parametrize("count", [50, 51, 53, 3])
def test_a_packed_discriminator_is_measured_in_whole_packs(count):
    class Counting(nn.Linear):
        """One logit for each pack, of its four numbers."""

    plain = nn.Linear(2, 1, rng=Stream(1, "w"))
    packed = gan.Packed(Counting(8, 1, rng=Stream(1, "w")), 4)
    rng = np.random.default_rng(0)
    train, held_out = (rng.normal(size=(n, 2)).astype(np.float32) for n in (60, count))
    noise = gan.Noise("gaussian", 2)
    found = game_measures(gan.Algorithm1(nn.Linear(2, 2), packed, noise=noise), train, held_out)
    assert ("d_accuracy_held_out" in found) is (count >= 4)
    assert all(math.isfinite(number) for number in found.values())
    assert "d_accuracy_held_out" in game_measures(gan.Algorithm1(nn.Linear(2, 2), plain, noise=noise), train, held_out)


def test_an_output_that_is_no_probability_is_not_measured():
    rng = np.random.default_rng(0)
    train, held_out = rng.normal(size=(2, 50, 2)).astype(np.float32)
    game = gan.Algorithm1(nn.Linear(2, 2), nn.Linear(2, 1), noise=gan.Noise("gaussian", 2), objective="hinge")
    found = game_measures(game, train, held_out)
    assert not any("jsd" in name or "d_accuracy" in name for name in found)
    assert "discriminator_loss" not in epoch_measures({"discriminator_loss": 2.0, "d_fake": 0.5}, "hinge")
