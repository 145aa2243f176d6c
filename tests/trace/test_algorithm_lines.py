"""The lines of Algorithm 1 in an iteration: the numbers are right, and the iteration is the one of the training."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
from tests.doubles.installed import strict_cupy
from tinygan import data, gan, nn
from tinygan.backend import Streams
from tinygan.config.experiment import load_experiment
from tinygan.errors import ArgumentError, DataError, GradientError
from tinygan.experiments.training import Training
from tinygan.gan.objectives import discriminator_loss, generator_loss, probabilities
from tinygan.trace.algorithm_lines import SHOWN, printed_lines, walk
from tinygan.trace.algorithm_text import AlgorithmText
from tinygan.trace.moved import PLAYERS, hashes

ALTERNATING = ["iteration", "k", "noise", "data", "d_update", "end_k", "g_noise", "g_update", "end"]
RELEASED = ["iteration", "both_noise", "both_data", "d_gradient", "g_gradient", "both_update", "end"]


def everything(training):
    """Return the whole state of a training, to the last bit, with the gradients and the modes."""
    arrays, plain = training.state()
    networks = training.game.generator, training.game.discriminator
    gradients = [parameter.grad.data.tobytes() for network in networks for parameter in network.parameters()]
    modes = [module.training for network in networks for module in network.modules()]
    return {name: array.tobytes() for name, array in arrays.items()}, plain, gradients, modes


def keys(lines):
    return [line.key for line in lines]


def by_key(lines):
    return {line.key: line.numbers for line in lines}


# --- the iteration is the real one ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits", "gaussian"])
@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["training.k=3"],
        ["training.objective=minimax"],
        ["training.schedule=simultaneous"],
        ["training.schedule=simultaneous", "training.shared_noise=true", "training.discriminator_loss_scale=0.5"],
        ["training.schedule=simultaneous", "training.shared_noise=true", "training.k=3"],
    ],
    ids=" ".join,
)
def test_a_walk_ends_in_the_bits_of_the_step(name, overrides):
    config = load_experiment(name, overrides)
    dataset = data.load(config.data.set)
    walked, plain = Training(config, dataset), Training(config, dataset)
    for training in (walked, plain):
        training.step()  # momentum and averages have begun
    for _ in range(2):
        walk(walked.game, walked.step)
        plain.step()
        assert everything(walked) == everything(plain)


@given(
    k=st.integers(1, 3),
    schedule=st.sampled_from(gan.SCHEDULES),
    shared=st.booleans(),
    options=st.sampled_from(
        [
            ["objective=minimax"],
            ["objective=non-saturating"],
            ["objective=lsgan", "separate_passes=true"],
            ["objective=hinge", "penalty={kind='r1', weight=1}"],
            ["objective=wasserstein", "penalty={kind='gradient'}"],
            ["objective=wasserstein", "penalty={kind='clipping'}"],
            ["label_smoothing=0.1", "instance_noise=0.2", "packing=2"],
        ]
    ),
    average=st.booleans(),
    warm=st.integers(0, 4),
)
def test_bits_of_any_settings(tiny_experiment, tiny_data, k, schedule, shared, options, average, warm):
    config = tiny_experiment(
        f"training.k={k}",
        f"training.schedule={schedule}",
        f"training.shared_noise={str(shared and schedule == 'simultaneous').lower()}",
        *(f"training.{option}" for option in options),
        *(["generator.average_decay=0.9"] if average else []),
    )
    walked, plain = (Training(config, tiny_data()) for _ in range(2))
    for training in (walked, plain):
        for _ in range(warm):
            if training.epoch_is_over:
                training.next_epoch()
            training.step()
        if training.epoch_is_over:
            training.next_epoch()
    walk(walked.game, walked.step)
    plain.step()
    assert everything(walked) == everything(plain)


class Drawing(nn.Module):
    """It adds random numbers in every mode."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(np.ones(3, np.float32))

    def forward(self, x):
        return x * self.weight + tg.tensor(tg.backend.current_streams()["dropout"].normal(x.shape))


def test_looks_draw_nothing_even_from_a_module_that_draws_in_evaluation():
    ends = []
    for watched in (False, True):
        streams = Streams(0)
        with streams.active():
            game = gan.Algorithm1(nn.Linear(2, 3), nn.Sequential(Drawing(), nn.Linear(3, 1)), streams=streams)
        batch = np.full((4, 3), 0.5, np.float32)
        for _ in range(2):
            walk(game, lambda: game.step(batch)) if watched else game.step(batch)  # noqa: B023
        ends.append([parameter.numpy().tolist() for parameter in game.discriminator.parameters()])
    assert ends[0] == ends[1]


# --- the lines ------------------------------------------------------------------------------------------------


@pytest.fixture
def training(tiny_experiment, tiny_data):
    return lambda *overrides: Training(tiny_experiment(*overrides), tiny_data())


def test_the_lines_of_algorithm_1_in_their_order(training):
    lines = walk((one := training()).game, one.step)
    assert keys(lines) == ALTERNATING
    assert [line.number for line in lines] == list(range(1, 10))
    lines = walk((two := training("training.k=2")).game, two.step)
    inner = ALTERNATING[1:5]
    assert keys(lines) == ["iteration", *inner, *inner, *ALTERNATING[5:]]
    assert [line.number for line in lines] == [1, 2, 3, 4, 5, 2, 3, 4, 5, 6, 7, 8, 9]


def test_the_lines_of_the_released_code(training):
    options = ["training.schedule=simultaneous"]
    own_noise = [*RELEASED[:3], "g_noise", *RELEASED[3:]]
    assert keys(walk((one := training(*options)).game, one.step)) == own_noise
    options.append("training.shared_noise=true")
    assert keys(walk((one := training(*options)).game, one.step)) == RELEASED
    options.append("training.k=2")
    assert keys(walk((one := training(*options)).game, one.step)) == ["iteration", *ALTERNATING[1:6], *RELEASED[1:]]


@pytest.mark.parametrize("schedule", gan.SCHEDULES)
@pytest.mark.parametrize("k", [1, 2])
def test_every_printed_line_runs(training, schedule, k):
    one = training(f"training.schedule={schedule}", f"training.k={k}")
    printed = printed_lines(one.game)
    lines = walk(one.game, one.step)
    assert {line.key for line in lines} == {line.key for line in printed}
    for line in lines:
        assert printed[line.number - 1] == (line.key, line.text)


def test_lines_are_shown_while_the_iteration_waits(training):
    one, seen = training(), []
    weights = one.game.discriminator.parameters()[0]

    def show(line):
        seen.append((line.key, weights.numpy().copy()))

    lines = walk(one.game, one.step, show)
    assert [key for key, _ in seen] == keys(lines)
    shown = dict(seen)
    assert (shown["data"] == shown["iteration"]).all()  # not yet updated
    assert (shown["d_update"] != shown["data"]).any()


# --- the numbers ----------------------------------------------------------------------------------------------


def test_noise_data_and_samples_are_those_of_the_step(training):
    one, reference = training(), training()
    z = reference.game.noise.draw(4, reference.streams["noise"])
    found = by_key(walk(one.game, one.step))
    assert found["noise"]["first"] == z[0].tolist()
    assert found["noise"]["shape"] == [4, 2]
    assert found["noise"]["mean"] == pytest.approx(float(z.mean()), abs=1e-6)
    np.testing.assert_array_equal(found["noise"]["samples"], gan.push(reference.game.generator, z))
    x = reference.images[reference.order[:4]]
    np.testing.assert_array_equal(found["data"]["examples"], x)
    assert (found["data"]["low"], found["data"]["high"]) == (x.min(), x.max())
    again = reference.game.noise.draw(4, reference.streams["noise"])
    assert found["g_noise"]["first"] == again[0].tolist()


def test_the_loss_is_the_sum_of_its_parts(training):
    found = by_key(walk((one := training("training.discriminator_loss_scale=0.5")).game, one.step))["d_update"]
    assert found["real_part"] + found["fake_part"] == pytest.approx(found["loss"], rel=1e-5)
    assert found["scale"] == 0.5
    assert found["gradient_norm"] == pytest.approx(math.hypot(*found["gradients"].values()))


@pytest.mark.parametrize("objective", ["minimax", "non-saturating"])
def test_both_objectives_of_the_generator(objective):
    rng = np.random.default_rng(0)
    generator, discriminator = nn.Linear(2, 3), nn.Linear(3, 1)
    game = gan.Algorithm1(generator, discriminator, objective=objective)
    found = by_key(walk(game, lambda: game.step(rng.random((8, 3), np.float32))))["g_update"]
    assert found["objective"] == objective
    used = found["objectives"][objective]
    assert used["loss"] == found["loss"]
    assert used["gradient_norm"] == pytest.approx(found["gradient_norm"])
    d = found["d_fake"]
    assert found["objectives"]["minimax"]["factor"] == pytest.approx(d, rel=1e-5)
    assert found["objectives"]["non-saturating"]["factor"] == pytest.approx(1 - d, rel=1e-5)


def test_the_gradients_of_both_objectives_are_right():
    streams = Streams(1)
    with streams.active():
        generator, discriminator = nn.Linear(2, 3), nn.Linear(3, 1)
    game = gan.Algorithm1(generator, discriminator, streams=streams, discriminator_optimizer=None, lr=0.5)
    grads = {}

    def show(line):
        if line.key == "g_noise":  # D has been updated, G has not
            z = tg.tensor(drawn[-1])
            for kind in ("minimax", "non-saturating"):
                loss = generator_loss(discriminator(generator(z)), kind)
                found = tg.grad(loss, generator.parameters())
                grads[kind] = math.hypot(*(float(np.linalg.norm(g.numpy())) for g in found))

    class Kept(gan.Noise):
        def draw(self, *words, **options):
            drawn.append(super().draw(*words, **options))
            return drawn[-1]

    drawn: list = []
    game.noise = Kept("uniform", 2)
    with tg.enable_grad():
        lines = walk(game, lambda: game.step(np.ones((6, 3), np.float32)), show)
    for kind, numbers in by_key(lines)["g_update"]["objectives"].items():
        assert numbers["gradient_norm"] == pytest.approx(grads[kind], rel=1e-5)


def test_before_and_after_are_one_minibatch_in_evaluation(training):
    one = training("training.k=2")
    first: dict = {}

    def scores():
        with gan.sampling.evaluating(one.game.discriminator), tg.no_grad():
            return [float(probabilities(one.game.discriminator(tg.tensor(first[name]))).mean()) for name in ("x", "g")]

    def show(line):
        if line.key == "data" and not first:
            first.update(x=line.numbers["examples"], g=line.numbers["samples"])
            first["before"] = scores()
        if line.key == "end_k":
            first["after"] = scores()

    found = by_key(walk(one.game, one.step, show))["end_k"]
    for when in ("before", "after"):
        assert [found[when]["d_real"], found[when]["d_fake"]] == pytest.approx(first[when])
    assert found["before"] != found["after"]


def test_the_end_of_k_steps_compares_with_their_start(training):
    one = training("training.k=3")
    start = hashes(one.game)
    lines = walk(one.game, one.step)
    found = by_key(lines)["end_k"]
    assert found["steps"] == 3
    assert [found["sha256"][player][0] for player in PLAYERS] == [start[player] for player in PLAYERS]
    last = [line for line in lines if line.key == "d_update"][-1]
    assert found["sha256"]["discriminator"][1] == last.numbers["sha256"]["discriminator"][1]


def test_which_player_moved(training):
    found = by_key(walk((one := training()).game, one.step))
    assert found["d_update"]["moved"] == found["end_k"]["moved"] == ["discriminator"]
    assert found["g_update"]["moved"] == ["generator"]
    assert found["end"]["moved"] == ["generator", "discriminator"]
    both = by_key(walk((two := training("training.schedule=simultaneous")).game, two.step))["both_update"]
    assert both["moved"] == ["generator", "discriminator"]


def test_a_frozen_parameter_does_not_move(training):
    one = training()
    frozen = dict(one.game.generator.named_parameters())["0.bias"]
    frozen.requires_grad = False
    found = by_key(walk(one.game, one.step))["g_update"]
    assert {row["name"]: row["moved"] for row in found["parameters"]}["generator.0.bias"] is False
    assert found["gradients"]["generator.0.bias"] is None
    assert found["gradients"]["generator.0.weight"] > 0


def test_the_last_line_has_the_step(training):
    one, kept = training(), []
    one.game.step = lambda batch: kept.append(type(one.game).step(one.game, batch)) or kept[-1]
    found = by_key(walk(one.game, one.step))["end"]
    assert found["summary"] == str(kept[0])
    assert found["discriminator_loss"] == kept[0].discriminator_loss.item()
    loss = discriminator_loss(kept[0].real_logits, kept[0].fake_logits).item()
    assert found["discriminator_loss"] == pytest.approx(loss, rel=1e-5)


def test_a_line_keeps_few_images_and_all_numbers(tiny_experiment, tiny_data):
    config = tiny_experiment("training.batch=20")
    one = Training(config, tiny_data())
    assert len(by_key(walk(one.game, one.step))["data"]["examples"]) == SHOWN
    config = load_experiment("gaussian")
    one = Training(config, data.load("gaussian"))
    assert len(by_key(walk(one.game, one.step))["data"]["examples"]) == 256


# --- records, and what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", gan.SCHEDULES)
def test_records_are_json(training, schedule):
    one = training(f"training.schedule={schedule}", "training.k=2")
    for line in walk(one.game, one.step):
        record = line.as_dict()
        assert json.loads(json.dumps(record, allow_nan=False)) == record
        assert record["line"] == line.number


def test_the_game_is_itself_again_after_a_walk(training):
    one = training()
    before = type(one.game), set(vars(one.game))
    walk(one.game, one.step)
    assert (type(one.game), set(vars(one.game))) == before


def test_a_failing_step_shows_its_lines_and_leaves_the_game_whole():
    game = gan.Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1))
    seen: list = []
    with pytest.raises(DataError):
        walk(game, lambda: game.step(np.full((4, 3), np.nan, np.float32)), seen.append)
    assert keys(seen) == ["iteration"]
    assert type(game) is gan.Algorithm1
    for parameter in game.generator.parameters():
        parameter.requires_grad = False
    seen.clear()
    with pytest.raises(GradientError):
        walk(game, lambda: game.step(np.ones((4, 3), np.float32)), seen.append)
    assert keys(seen) == ALTERNATING[:7]
    assert type(game) is gan.Algorithm1


def test_an_update_beyond_all_bounds_is_shown_without_warnings():
    game = gan.Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1), lr=1e38)
    lines = walk(game, lambda: game.step(np.ones((4, 3), np.float32)))
    assert keys(lines) == ALTERNATING
    for line in lines:
        json.dumps(line.as_dict(), allow_nan=False)


@pytest.mark.parametrize("times", [0, 2])
def test_iterate_must_run_one_iteration(times):
    game = gan.Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1))
    batch = np.ones((4, 3), np.float32)
    with pytest.raises(ArgumentError, match="expected 1"):
        walk(game, lambda: [game.step(batch) for _ in range(times)])


def test_a_game_of_a_subclass_keeps_its_own_methods():
    class Mine(gan.Algorithm1):
        def step(self, batch):
            self.mine = True
            return super().step(batch)

    game = Mine(nn.Linear(2, 3), nn.Linear(3, 1))
    assert keys(walk(game, lambda: game.step(np.ones((4, 3), np.float32)))) == ALTERNATING
    assert game.mine
    assert type(game) is Mine


def test_a_walk_on_the_gpu_double(tiny_experiment, tiny_data):
    with strict_cupy():
        walked, plain = (Training(tiny_experiment(), tiny_data(), "cuda") for _ in range(2))
        walked.capture = plain.capture = False
        lines = walk(walked.game, walked.step)
        plain.step()
        assert keys(lines) == ALTERNATING
        arrays, others = (training.state()[0] for training in (walked, plain))
        assert {name: array.tobytes() for name, array in arrays.items()} == {
            name: array.tobytes() for name, array in others.items()
        }


LATER = {
    "lsgan": {"objective": "lsgan"},
    "hinge": {"objective": "hinge", "penalty": gan.R1(1.0)},
    "wasserstein": {"objective": "wasserstein", "penalty": gan.WeightClipping(0.1)},
    "custom": {"objective": (lambda real, fake: (fake - real).mean(), lambda fake: -fake.mean())},
    "smoothed": {"label_smoothing": 0.1, "penalty": gan.DRAGAN(1.0)},
}


@pytest.mark.parametrize("schedule", gan.SCHEDULES)
@pytest.mark.parametrize("options", LATER.values(), ids=LATER)
def test_objectives_since_2014_have_their_own_lines(options, schedule):
    game = gan.Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1), schedule=schedule, streams=Streams(1), **options)
    lines = walk(game, lambda: game.step(np.random.default_rng(0).random((8, 3), np.float32)))
    d, g = (by_key(lines)[key] for key in (
        ("d_update", "g_update") if schedule == "alternating" else ("d_gradient", "g_gradient")
    ))  # fmt: skip
    assert "real_part" not in d
    assert d["at_equilibrium"] == game.losses.at_equilibrium[0]
    assert ("penalty" in d) is isinstance(options.get("penalty"), (gan.R1, gan.DRAGAN))
    if game.objective != "non-saturating":
        assert list(g["objectives"]) == [game.objective]
        assert g["objectives"][game.objective]["loss"] == g["loss"]
    text = AlgorithmText((1, 3))
    shown = "\n".join(text.line(line) for line in lines)
    assert ("log(1 - D(G(z(i))))" in shown) is (game.objective == "non-saturating")
    assert ("D's mean output" in shown) is (game.objective != "non-saturating")
    assert ("D(x) is" in shown) is (game.objective == "non-saturating")
    assert ("D is right" in shown) is (game.losses.threshold is not None)


def test_a_conditional_game_is_watched():
    class Conditional(nn.Linear):
        def forward(self, x, y):
            return super().forward(x * y.astype("float32").reshape(-1, 1))

    def games():
        streams = Streams(1)
        with streams.active():
            return gan.Algorithm1(Conditional(2, 3), Conditional(3, 1), streams=streams, k=2)

    watched, plain = games(), games()
    data, labels = np.random.default_rng(0).random((8, 3), np.float32), np.arange(8)
    walk(watched, lambda: watched.step(data, labels))
    plain.step(data, labels)
    for one, other in zip(watched.discriminator.parameters(), plain.discriminator.parameters(), strict=True):
        assert np.array_equal(one.numpy(), other.numpy())
