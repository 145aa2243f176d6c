"""Replayed steps have the bits of steps on the tape; where they might not, the step is made on the tape."""

from __future__ import annotations

import copy
import hashlib
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import gan, nn, optim
from tinygan.backend import Stream, Streams
from tinygan.engine.modes import Observer
from tinygan.errors import ArgumentError, GradientError
from tinygan.gan.recorded import Recorded

DATA = Stream(0, "data").uniform((60, 3))
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Identity, lambda: nn.LayerNorm(6))
RULES = {
    "sgd": lambda params: optim.SGD(params, optim.ExponentialDecay(0.1, 1.01)),
    "momentum": lambda params: optim.SGD(params, 0.05, momentum=optim.LinearMomentum(updates_per_epoch=2)),
    "adam": lambda params: optim.Adam(params, 0.01, betas=(0.5, 0.999)),
    "adam, no mean": lambda params: optim.Adam(params, 0.01, betas=(0.0, 0.999), weight_decay=0.1),
    "rmsprop": lambda params: optim.RMSprop(params, 0.01, max_col_norm=1.0),
}


def make(
    g_layers=(nn.ReLU,), d_layers=(nn.LeakyReLU,), rule="adam", noise="uniform", p=0.5, m=1, pieces=2, seed=0, **options
):
    """Return a game with hidden layers of 6 units."""
    streams = Streams(seed)
    with streams.active():
        g = [part for make_one in g_layers for part in (nn.Linear(6, 6), make_one())]
        d = [part for make_one in d_layers for part in (nn.Linear(6, 6), make_one(), nn.Dropout(p))]
        generator = nn.Sequential(nn.Linear(2, 6), *g, nn.Linear(6, 3))
        discriminator = nn.Sequential(nn.Maxout(3 * m, 6, pieces), *d, nn.Linear(6, 1))
    players = {"generator": generator, "discriminator": discriminator}
    rules = {f"{who}_optimizer": RULES[rule](player.parameters()) for who, player in players.items()}
    judge = gan.Packed(discriminator, m) if m > 1 else discriminator
    return gan.Algorithm1(generator, judge, noise=gan.Noise(noise, 2), streams=streams, **rules, **options)


def bits(value):
    """Return the bits of arrays inside of tensors, games and containers."""
    if isinstance(value, gan.Algorithm1):
        rules = value.generator_optimizer, value.discriminator_optimizer
        gradients = [None if p.grad is None else p.grad.data for rule in rules for p in rule.params]
        weights = [p.data for rule in rules for p in rule.params]
        return bits([weights, gradients, [rule.state_dict() for rule in rules], value.streams.state_dict()])
    if isinstance(value, gan.Step):
        return bits([value.discriminator_loss, value.generator_loss, value.real_logits, value.fake_logits])
    if isinstance(value, tg.Tensor):
        return bits(value.data)
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), hashlib.sha256(value.tobytes()).hexdigest()
    if isinstance(value, dict):
        return {key: bits(one) for key, one in value.items()}
    return [bits(one) for one in value] if isinstance(value, (list, tuple)) else value


def assert_same_steps(taped, replayed, batches, labels=None):
    """Make steps of two equal games; return why the last one was not replayed."""
    for batch in batches:
        y = () if labels is None else (labels[: len(batch)],)
        assert bits(taped.step(batch, *y)) == bits(replayed.step(batch, *y))
        assert bits(taped) == bits(replayed)
    return replayed.why


# ---------------------------------------------------------------------- the same bits

activations = st.lists(st.sampled_from(ACTIVATIONS), max_size=2)
games = st.fixed_dictionaries(
    {
        "g_layers": activations,
        "d_layers": activations,
        "rule": st.sampled_from(list(RULES)),
        "noise": st.sampled_from(["uniform", "gaussian", "spherical"]),
        "p": st.sampled_from([0.0, 0.2, 0.5]),
        "m": st.sampled_from([1, 2]),
        "pieces": st.integers(1, 3),
        "seed": st.integers(0, 99),
        "k": st.integers(1, 3),
        "discriminator_loss_scale": st.sampled_from([1.0, 0.5]),
        "separate_passes": st.booleans(),
    },
    optional={
        "objective": st.sampled_from(["minimax", "lsgan", "hinge"]),
        "penalty": st.just(gan.WeightClipping(0.1)),
    },
)
schedules = st.sampled_from([{}, {"schedule": "simultaneous"}, {"schedule": "simultaneous", "shared_noise": True}])


@settings(deadline=None, max_examples=40)
@given(options=games, schedule=schedules, dtype=st.sampled_from(["float32", "float64"]), tail=st.booleans())
def test_any_game_has_the_same_bits(options, schedule, dtype, tail):
    """Also after a minibatch of another size."""
    game, k = make(**options, **schedule), options["k"]
    replayed = gan.Replayed(make(**options, **schedule))
    batches = [DATA[4 * k * i : 4 * k * (i + 1)].astype(dtype) for i in range(4)]
    why = assert_same_steps(game, replayed, [*batches[:2], DATA[: 2 * k], *batches[2:]] if tail else batches)
    assert why == ""


@pytest.mark.parametrize("smoothing", [0.1, 0.25])
def test_smoothed_labels(smoothing):
    options = {"label_smoothing": smoothing}
    assert assert_same_steps(make(**options), gan.Replayed(make(**options)), [DATA[:8]] * 4) == ""


def conditional():
    streams = Streams(3)
    with streams.active():
        g = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
        d = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 1))
    return gan.Algorithm1(gan.Conditional(g, 4), gan.Conditional(d, 4), noise=gan.Noise(size=2), streams=streams)


def test_one_hot_labels_are_inputs():
    labels = np.eye(4, dtype=np.float32)[np.arange(60) % 4]
    taped, replayed = conditional(), gan.Replayed(conditional())
    for i in range(5):
        part = slice(8 * i, 8 * i + 8)
        assert bits(taped.step(DATA[part], labels[part])) == bits(replayed.step(DATA[part], labels[part]))
    assert replayed.why == ""
    assert bits(taped) == bits(replayed)


def test_classes_as_integers_are_never_baked_in():
    taped, replayed = conditional(), gan.Replayed(conditional())
    for i in range(5):
        labels = (np.arange(8) + i) % 4
        assert bits(taped.step(DATA[:8], labels)) == bits(replayed.step(DATA[:8], labels))
    assert bits(taped) == bits(replayed)


def test_images_through_convolutions():
    def make_one():
        streams = Streams(1)
        with streams.active():
            g = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Reshape(4, 2, 2), nn.ConvTranspose2d(4, 1, 2, stride=2))
            d = nn.Sequential(nn.MaxoutConv2d(1, 2, 2, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 1))
        return gan.Algorithm1(g, d, noise=gan.Noise(size=2), streams=streams)

    images = Stream(0, "images").normal((8, 1, 4, 4))
    assert assert_same_steps(make_one(), gan.Replayed(make_one()), [images] * 4) == ""


def test_a_user_may_write_into_results_and_read_only_batches_work():
    taped, replayed = make(), gan.Replayed(make())
    batch = np.frombuffer(DATA[:8].tobytes(), np.float32).reshape(8, 3)  # its memory belongs to bytes
    for _ in range(4):
        one, other = taped.step(batch), replayed.step(batch)
        assert bits(one) == bits(other)
        for step in (one, other):
            step.real_logits.data[...] = np.nan
    assert replayed.why == ""
    assert bits(taped) == bits(replayed)


# ---------------------------------------------------------------------- changes between two steps


def freeze(game):
    game.generator.layers[0].weight.requires_grad = False


def double(game):
    game.discriminator.to("cpu")
    weight = game.discriminator.layers[0].weight
    weight.data = weight.data * 2  # other memory


def reload(game):
    streams = game.streams.state_dict()
    del streams["streams"]["dropout"]  # a new one is made at its next use
    game.streams.load_state_dict(streams)


CHANGES = {
    "an option of a layer": lambda game: setattr(game.discriminator.layers[3], "p", 0.25),
    "evaluation": lambda game: game.discriminator.eval(),
    "a frozen parameter": freeze,
    "a layer": lambda game: game.generator.layers.__setitem__(1, nn.Tanh()),
    "memory of a weight": double,
    "streams": reload,
    "k": lambda game: setattr(game, "k", 2),
    "noise": lambda game: setattr(game, "noise", gan.Noise("gaussian", 2)),
    "scale": lambda game: setattr(game, "discriminator_loss_scale", 0.5),
    "a rate": lambda game: setattr(game.generator_optimizer, "lr", 0.5),
    "a penalty": lambda game: setattr(game, "penalties", (gan.R1(1.0),)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_holds_from_the_next_step_on(change):
    taped, replayed = make(), gan.Replayed(make())
    assert assert_same_steps(taped, replayed, [DATA[:8]] * 3) == ""
    for game in (taped, replayed):
        change(game)
    assert_same_steps(taped, replayed, [DATA[8:16]] * 4)


def test_both_share_one_state():
    game = make()
    replayed = gan.Replayed(game)
    other = make()
    for i in range(6):
        (replayed if i % 2 else game).step(DATA[:8])
        other.step(DATA[:8])
    assert bits(game) == bits(other) == bits(replayed)
    assert replayed.generator is game.generator
    twin, twin_replayed = copy.deepcopy([game, replayed])
    twin.k = 3
    assert twin_replayed.k == 3


def test_a_copy_is_another_game():
    replayed, taped = gan.Replayed(make()), make()
    assert_same_steps(taped, replayed, [DATA[:8]] * 3)
    other, before = copy.deepcopy(replayed), bits(replayed)
    assert assert_same_steps(taped, other, [DATA[:8]] * 3) == ""
    assert bits(replayed) == before


# ---------------------------------------------------------------------- what is not replayed


class Own(nn.Module):
    """A layer that does something else in each call."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * float(self.calls)


def own_loss(real, fake):
    return F.softplus(-real).mean() + F.softplus(fake).mean()


REFUSED = {
    "BatchNorm": {"g_layers": [lambda: nn.BatchNorm(6)]},
    "SpectralNorm": {"d_layers": [lambda: nn.SpectralNorm(nn.Linear(6, 6))]},
    "GaussianNoise": {"d_layers": [lambda: nn.GaussianNoise(0.1)]},
    "Own": {"d_layers": [Own]},
    "objective": {"objective": (own_loss, lambda fake: F.softplus(-fake).mean())},
    "R1": {"penalty": gan.R1(1.0)},
    "GradientPenalty": {"penalty": gan.GradientPenalty()},
    "unknown origin": {"instance_noise": 0.1},
    "stream of its own": {"d_layers": [lambda: nn.Dropout(0.5, rng=Stream(5, "mine"))]},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_differ_in_each_step_stays_on_the_tape(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        why = assert_same_steps(make(**REFUSED[name]), gan.Replayed(make(**REFUSED[name])), [DATA[:8]] * 5)
    assert why


def test_observers_see_every_operation():
    class Counter(Observer):
        calls = 0

        def forward(self, operation, inputs, result):
            self.calls += 1

    taped, replayed, counts = make(), gan.Replayed(make()), []
    assert_same_steps(taped, replayed, [DATA[:8]] * 3)
    for game in (taped, replayed):
        counter = Counter()
        with counter:
            game.step(DATA[:8])
        counts.append(counter.calls)
    assert counts[0] == counts[1] > 20
    assert assert_same_steps(taped, replayed, [DATA[:8]]) == ""


def test_a_step_without_gradients_is_refused_as_on_the_tape():
    replayed = gan.Replayed(make())
    for _ in range(3):
        replayed.step(DATA[:8])
    with tg.no_grad(), pytest.raises(GradientError):
        replayed.step(DATA[:8])


@pytest.mark.parametrize("broken", ["other bits", "an error"])
def test_a_wrong_record_is_not_used(monkeypatch, broken):
    """The second step compares both ways, and the tape has the last word."""
    run = Recorded.run

    def wrong(self, inputs):
        results, gradients = run(self, inputs)
        if broken == "an error":
            raise ValueError("broken")
        return results, [np.nextafter(gradient, np.float32(9)) for gradient in gradients]

    monkeypatch.setattr(Recorded, "run", wrong)
    with pytest.warns(UserWarning, match="gan.Replayed: a replay"):
        why = assert_same_steps(make(), gan.Replayed(make()), [DATA[:8]] * 5)
    assert why


def test_subclasses_are_refused():
    class Mine(gan.Algorithm1):
        pass

    game = make()
    game.__class__ = Mine
    for wrong in (game, gan.Replayed(make()), None):
        with pytest.raises(ArgumentError, match="Replayed: expected"):
            gan.Replayed(wrong)


def test_a_game_whose_class_changes_takes_over():
    class Counting(gan.Algorithm1):
        draws = 0

        def _draw_noise(self, count):
            self.draws += 1
            return super()._draw_noise(count)

    game, taped = make(), make()
    replayed = gan.Replayed(game)
    assert_same_steps(taped, replayed, [DATA[:8]] * 3)
    game.__class__ = Counting
    assert assert_same_steps(taped, replayed, [DATA[:8]])
    assert game.draws == 2
    game.__class__ = gan.Algorithm1
    del game.draws
    assert assert_same_steps(taped, replayed, [DATA[:8]] * 3) == ""


def test_a_replay_frees_arrays_as_the_tape_does():
    peaks = []
    for wrap in (lambda game: game, gan.Replayed):
        game = wrap(make([nn.ReLU] * 3, [nn.Tanh] * 3))
        batch = np.zeros((4000, 3), np.float32)
        for _ in range(3):
            game.step(batch)
        tracemalloc.start()
        game.step(batch)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] <= 1.02 * peaks[0]
