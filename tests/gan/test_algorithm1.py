"""The order of the updates of Algorithm 1, and the data, noise and weights that each uses."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import nn
from tinygan.backend import Stream, Streams
from tinygan.engine import Operation, Tensor
from tinygan.errors import ArgumentError, DataError, DtypeError, GradientError, ShapeError
from tinygan.gan import OBJECTIVES, Algorithm1, Monitor, Noise, Step
from tinygan.optim import SGD, LinearMomentum

# --- players of one weight each, which log their calls ----------------------------------------------------


class Scale(Operation):
    """y = w x; it logs which gradients its backward pass must compute."""

    def __init__(self, who, log):
        self.who, self.log = who, log

    def forward(self, B, x, w):
        self.save(x, w)
        return x * w

    def backward(self, B, gy, x, w):
        needs_x, needs_w = self.needs
        self.log.append((f"{self.who} backward", f"{'input ' * needs_x}{'weight' * needs_w}".strip()))
        return gy * w if needs_x else None, (gy * x).sum(axis=0) if needs_w else None


class Player(nn.Module):
    def __init__(self, who, log):
        super().__init__()
        self.who, self.log = who, log
        self.weight = nn.Parameter(np.array([0.5], np.float32))
        self.seen = []

    def forward(self, x):
        recorded = "recorded " if tg.is_grad_enabled() else ""
        self.log.append((f"{self.who} {recorded}forward", len(x)))
        self.seen.append((x.data.copy(), self.weight.item()))
        return Scale(self.who, self.log)(x, self.weight)


class WatchedSGD(SGD):
    def __init__(self, player, lr=0.1):
        super().__init__(player.parameters(), lr)
        self.player, self.weights = player, []

    def step(self):
        super().step()
        self.player.log.append((f"{self.player.who} step", self.updates))
        self.weights.append(self.player.weight.item())


class WatchedNoise:
    size = 1

    def __init__(self, log):
        self.log, self.drawn = log, []

    def draw(self, count, stream, backend):
        self.log.append(("noise", count))
        self.drawn.append(Noise("gaussian", 1).draw(count, stream))
        return self.drawn[-1]


def watched_game(**options):
    log: list = []
    g, d = Player("G", log), Player("D", log)
    return Algorithm1(
        g, d, noise=WatchedNoise(log), generator_optimizer=WatchedSGD(g), discriminator_optimizer=WatchedSGD(d),
        streams=Streams(7), **options,
    )  # fmt: skip


def discriminator_alone(m, update):
    """One update of D: no gradient is computed with respect to the generator or the samples."""
    return [
        ("noise", m), ("G forward", m), ("D recorded forward", 2 * m), ("D backward", "weight"), ("D step", update),
    ]  # fmt: skip


def generator_alone(m, update):
    """One update of G: the gradient passes through D, and none is computed with respect to D's weights."""
    return [
        ("noise", m), ("G recorded forward", m), ("D recorded forward", m), ("D backward", "input"),
        ("G backward", "weight"), ("G step", update),
    ]  # fmt: skip


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_alternating_is_k_updates_of_d_then_one_of_g(k, m, iterations):
    game = watched_game(k=k)
    expected = []
    for i in range(iterations):
        game.step(np.ones((k * m, 1), np.float32))
        for j in range(k):
            expected += discriminator_alone(m, update=i * k + j + 1)
        expected += generator_alone(m, update=i + 1)
    assert game.noise.log == expected
    after = game.discriminator_optimizer.weights
    met = [weight for _, weight in game.discriminator.seen]  # the weight of D in each of its passes
    assert met[k :: k + 1] == after[k - 1 :: k]  # G meets the D that has made all k updates
    assert [weight for i, weight in enumerate(met) if i % (k + 1) < k] == [0.5, *after[:-1]]
    assert len({0.5, *after}) == 1 + k * iterations  # every update changed it


@given(st.integers(1, 3), st.integers(1, 5), st.booleans())
def test_simultaneous_takes_both_gradients_before_either_moves(k, m, shared_noise):
    game = watched_game(k=k, schedule="simultaneous", shared_noise=shared_noise)
    game.step(np.ones((k * m, 1), np.float32))
    expected = [event for j in range(k - 1) for event in discriminator_alone(m, update=j + 1)]
    expected += [("noise", m), ("G recorded forward", m), *[("D recorded forward", m)] * 2]
    if not shared_noise:
        expected += [("noise", m), ("G recorded forward", m), ("D recorded forward", m)]
    expected += [("D backward", "weight")] * 2 + [("D backward", "input"), ("G backward", "weight")]
    expected += [("D step", k), ("G step", 1)]
    assert game.noise.log == expected
    before, after = ([0.5, *game.discriminator_optimizer.weights])[k - 1 :]
    assert {weight for _, weight in game.discriminator.seen[k - 1 :]} == {before}
    assert before != after


@given(st.integers(1, 3), st.integers(1, 4), st.sampled_from([{}, {"schedule": "simultaneous"}]))
def test_every_update_draws_new_noise_from_its_stream(k, m, options):
    game = watched_game(k=k, **options)
    for _ in range(2):
        game.step(np.ones((k * m, 1), np.float32))
    drawn = game.noise.drawn
    assert len(drawn) == 2 * (k + 1)
    stream = Streams(7)["noise"]
    assert all(np.array_equal(z, Noise("gaussian", 1).draw(m, stream)) for z in drawn)
    assert len({z.tobytes() for z in drawn}) == len(drawn)
    assert all(np.array_equal(z, seen) for z, (seen, _) in zip(drawn, game.generator.seen, strict=True))


@given(st.integers(1, 4), st.integers(1, 4), st.booleans(), st.sampled_from(["alternating", "simultaneous"]))
def test_each_update_of_d_has_its_own_minibatch(k, m, as_list, schedule):
    game = watched_game(k=k, schedule=schedule)
    rows = np.arange(1.0, k * m + 1, dtype=np.float32)[:, None]
    minibatches = list(rows.reshape(k, m, 1))
    step = game.step(minibatches if as_list else rows)
    passes = game.discriminator.seen[:k]
    assert all(np.array_equal(seen[:m], minibatch) for minibatch, (seen, _) in zip(minibatches, passes, strict=True))
    assert np.allclose(step.real_logits.data, minibatches[-1] * passes[-1][1], rtol=1e-6)


def test_gradients_do_not_add_up_from_step_to_step():
    game = watched_game()
    weight = game.discriminator.weight
    weight.grad = Tensor(np.array([1e6], np.float32))
    game.step(np.ones((4, 1), np.float32))
    assert abs(weight.item()) < 10


def test_the_scale_changes_the_gradient_of_d_but_not_its_loss():
    def first_step(schedule, scale):
        game = watched_game(schedule=schedule, discriminator_loss_scale=scale)
        step = game.step(np.ones((4, 1), np.float32))
        return step.discriminator_loss.item(), game.discriminator.weight.item() - 0.5

    for schedule in ("alternating", "simultaneous"):
        (loss, whole), (same, half) = first_step(schedule, 1.0), first_step(schedule, 0.5)
        assert loss == same
        assert half == pytest.approx(whole / 2, rel=1e-5)


# --- dropout ---------------------------------------------------------------------------------------------


def test_shared_noise_means_one_pass_and_one_set_of_masks():
    """Both losses use the same logits for samples, with the same dropped units."""

    def losses(**options):
        tg.manual_seed(0)
        d = nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 1))
        game = Algorithm1(nn.Linear(2, 5), d, noise=Noise("gaussian", 2), schedule="simultaneous", **options)
        step = game.step(np.ones((8, 5), np.float32))
        return step.generator_loss.item(), np.logaddexp(0, -step.fake_logits.data).mean()

    shown, expected = losses(shared_noise=True)
    assert shown == pytest.approx(expected, rel=1e-6)
    shown, other = losses(shared_noise=False)
    assert shown != pytest.approx(other, rel=1e-3)


def test_dropout_stays_on_in_the_generator_s_step():
    tg.manual_seed(0)
    masks = []

    class Watching(nn.Dropout):
        def forward(self, x):
            y = super().forward(x)
            masks.append(y.data / x.data)
            return y

    game = Algorithm1(nn.Linear(2, 50), nn.Sequential(Watching(0.5), nn.Linear(50, 1)), noise=Noise("gaussian", 2))
    game.step(np.ones((8, 50), np.float32))
    assert [mask.shape for mask in masks] == [(16, 50), (8, 50)]  # data and samples have different masks
    assert not np.array_equal(masks[0][:8], masks[0][8:])
    assert all(0.3 < (mask == 0).mean() < 0.7 for mask in masks)


# --- one seed, one run -----------------------------------------------------------------------------------

options = st.fixed_dictionaries(
    {
        "k": st.integers(1, 3),
        "objective": st.sampled_from(["non-saturating", "minimax"]),
        "schedule": st.sampled_from(["alternating", "simultaneous"]),
    }
)


@pytest.mark.slow
@given(options, st.integers(0, 2**32 - 1))
def test_the_streams_given_decide_every_bit(options, seed):
    def play(seed, ambient):
        streams = Streams(seed)
        g = nn.Linear(2, 4, rng=streams["weights"])
        d = nn.Sequential(nn.Dropout(0.3), nn.Maxout(4, 3, 2, rng=streams["weights"]), nn.Linear(3, 1))
        d[2].weight.data[...] = 1
        tg.manual_seed(ambient)  # must not matter
        game = Algorithm1(g, d, streams=streams, lr=0.1, momentum=0.5, **options)
        for _ in range(3):
            game.step(np.linspace(0, 1, 24 * options["k"], dtype=np.float32).reshape(-1, 4))
        return [parameter.data.tobytes() for parameter in g.parameters() + d.parameters()]

    first = play(seed, ambient=1)
    assert play(seed, ambient=2) == first
    assert all(a != b for a, b in zip(play(seed + 1, ambient=1)[::2], first[::2], strict=True))


# --- defaults and refusals -------------------------------------------------------------------------------


def test_the_defaults_are_uniform_noise_and_sgd_with_momentum():
    g, d = nn.Linear(6, 2), nn.Linear(2, 1)
    game = Algorithm1(g, d, lr=0.3, momentum=LinearMomentum(0.1, 0.5, 3, updates_per_epoch=4))
    assert game.noise == Noise("uniform", 6)
    for optimizer, player in ((game.generator_optimizer, g), (game.discriminator_optimizer, d)):
        assert type(optimizer) is SGD
        assert optimizer.lr == 0.3
        assert all(ours is theirs for ours, theirs in zip(optimizer.params, player.parameters(), strict=True))
    game.generator_optimizer.updates = game.discriminator_optimizer.updates = 4
    assert game.generator_optimizer.momentum == game.discriminator_optimizer.momentum == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be an integer of at least 1, got 0"),
        ({"k": 1.0}, "k must be an integer of at least 1, got 1.0"),
        ({"k": True}, "k must be an integer of at least 1, got True"),
        ({"schedule": "random"}, "schedule must be one of alternating, simultaneous; got 'random'"),
        ({"objective": "vanilla"}, "objective must be one of non-saturating, minimax, .*; got 'vanilla'"),
        ({"shared_noise": True}, "shared_noise needs schedule='simultaneous'"),
        ({"discriminator_loss_scale": 0}, "discriminator_loss_scale must be positive, got 0"),
        ({"discriminator_loss_scale": -1.0}, "discriminator_loss_scale must be positive, got -1.0"),
    ],
)
def test_contradicting_options_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^Algorithm1: {message}"):
        Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1), **options)


@pytest.mark.parametrize(
    ("k", "batch", "message"),
    [
        (3, np.ones((4, 3), np.float32), "4 rows do not divide into k = 3 minibatches"),
        (1, np.ones((0, 3), np.float32), "0 rows do not divide into k = 1 minibatches"),
        (1, np.float32(1), "0 rows do not divide into k = 1 minibatches"),
        (2, [np.ones((4, 3), np.float32)], "expected k = 2 minibatches, got 1"),
        (2, [np.ones((4, 3)), np.ones((0, 3))], r"minibatch 1 is empty, of shape \(0, 3\)"),
        (1, np.ones((4, 5), np.float32), r"shape \(5,\), but the generator makes samples of shape \(3,\)"),
    ],
)
@pytest.mark.parametrize("schedule", ["alternating", "simultaneous"])
def test_batches_that_do_not_fit_are_refused_before_any_update(schedule, k, batch, message):
    g, d = nn.Linear(2, 3, rng=Stream(0, "w")), nn.Linear(3, 1, rng=Stream(0, "w"))
    before = [parameter.data.copy() for parameter in g.parameters() + d.parameters()]
    with pytest.raises(ShapeError, match=rf"^Algorithm1\.step: .*{message}"):
        Algorithm1(g, d, k=k, schedule=schedule).step(batch)
    after = [parameter.data for parameter in g.parameters() + d.parameters()]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


# --- one logit a row -------------------------------------------------------------------------------------

SCHEDULES = pytest.mark.parametrize(
    "options", [{}, {"k": 2}, {"schedule": "simultaneous"}, {"schedule": "simultaneous", "shared_noise": True}]
)


class Wrapped(nn.Module):
    """A network and a function of its result; the list of layers does not show the function."""

    def __init__(self, net, function):
        super().__init__()
        self.net, self.function = net, function

    def forward(self, x):
        return self.function(self.net(x))


class PackedPairs(nn.Module):
    """One logit for two rows, as in PacGAN."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(6, 1)

    def forward(self, x):
        return self.net(x.reshape(x.shape[0] // 2, 6))


def generator(*last):
    return nn.Sequential(nn.Linear(2, 3, rng=Stream(0, "w")), *last)


def discriminator(answers=1, *last):
    return nn.Sequential(nn.Linear(3, answers, rng=Stream(1, "w")), *last)


def weights(*players):
    return [parameter.data.tobytes() for player in players for parameter in player.parameters()]


def refusal(error, g, d, batch=None, **options):
    """Return the message of a step that is refused before anything has moved."""
    batch = np.full((8, 3), 0.5, np.float32) if batch is None else batch
    game, before = Algorithm1(g, d, noise=Noise("gaussian", 2), **options), weights(g, d)
    with pytest.raises(error, match=r"^Algorithm1") as caught:
        game.step(batch)
    assert weights(g, d) == before
    with pytest.raises(error):  # and not only once
        game.step(batch)
    return str(caught.value)


@SCHEDULES
@pytest.mark.parametrize(
    ("net", "answer"),
    [
        (PackedPairs(), r"\(\d+, 1\)"),
        (discriminator(2), r"\(\d+, 2\)"),
        (Wrapped(discriminator(), lambda y: y.mean()), r"\(\)"),
        (Wrapped(discriminator(), lambda y: y.mean(axis=0, keepdims=True)), r"\(1, 1\)"),
        (Wrapped(discriminator(), lambda y: y.T), r"\(1, \d+\)"),
        (Wrapped(discriminator(), lambda y: y.reshape(*y.shape, 1)), r"\(\d+, 1, 1\)"),
        (Wrapped(discriminator(), lambda y: (y, y)), "tuple"),
    ],
)
def test_anything_but_one_logit_a_row_is_refused(options, net, answer):
    message = refusal(ShapeError, generator(), net, **options)
    assert re.search(rf"discriminator returns {answer} for \d+ rows; expected one logit a row: ", message), message


@SCHEDULES
def test_logits_may_have_the_shape_m_1_or_m(options):
    with_axis, without = ({"g": generator(), "d": net} for net in (
        discriminator(), Wrapped(discriminator(), lambda y: y.reshape(y.shape[0]))
    ))  # fmt: skip
    for players in (with_axis, without):
        game = Algorithm1(players["g"], players["d"], noise=Noise("gaussian", 2), streams=Streams(3), **options)
        step = game.step(np.linspace(0, 1, 24, dtype=np.float32).reshape(8, 3))
        assert step.real_logits.shape[0] == step.fake_logits.shape[0] == 8 // game.k
    assert weights(with_axis["g"], with_axis["d"]) == weights(without["g"], without["d"])


@pytest.mark.parametrize("net", [discriminator(1, nn.Sigmoid()), nn.Sequential(discriminator(1, nn.Sigmoid()))])
@pytest.mark.parametrize("shaping", [(), (nn.Flatten(),), (nn.Reshape(1), nn.Flatten())])
def test_a_sigmoid_at_the_end_of_d_is_refused_at_construction(net, shaping):
    with pytest.raises(ArgumentError, match=r"^Algorithm1: the discriminator ends in a sigmoid.* logits.*: remove"):
        Algorithm1(generator(), nn.Sequential(net, *shaping))


@SCHEDULES
@pytest.mark.parametrize("function", [F.sigmoid, F.softplus, F.tanh, F.relu, F.log_sigmoid])
@pytest.mark.parametrize("flat", [False, True])
def test_a_hidden_activation_is_refused_in_the_first_step(options, function, flat):
    net = Wrapped(discriminator(), lambda y: function(y).reshape(y.shape[0]) if flat else function(y))
    name = function.__name__
    assert f"the discriminator ends in a {name}" in refusal(ArgumentError, generator(), net, **options)


@pytest.mark.parametrize(
    "last",
    [
        (),
        (nn.LeakyReLU(0.2),),
        (nn.Sigmoid(), nn.Linear(1, 1)),
        (nn.Maxout(1, 1, 2),),
        (nn.Dropout(0.1),),
    ],
)
def test_other_last_layers_of_d_are_accepted(last):
    Algorithm1(generator(), discriminator(1, *last)).step(np.zeros((4, 3), np.float32))


# --- what may be trained on ------------------------------------------------------------------------------


@pytest.mark.slow
@SCHEDULES
@pytest.mark.parametrize(
    ("last", "low", "high", "fits"),
    [
        (nn.Sigmoid(), 0, 1, True),
        (nn.Sigmoid(), -1e-6, 1 + 1e-6, True),  # rounding
        (nn.Sigmoid(), 0, 255, False),
        (nn.Sigmoid(), -1, 1, False),
        (nn.Tanh(), 0, 1, True),
        (nn.Tanh(), -1, 1, True),
        (nn.Tanh(), 0, 255, False),
        (nn.ReLU(), 0, 255, True),
        (nn.ReLU(), -1, 1, False),
        (nn.LeakyReLU(0.1), -9, 9, True),
        (nn.Linear(3, 3), -9, 999, True),
    ],
)
@pytest.mark.parametrize("hidden", [False, True])
def test_data_that_g_cannot_reach_are_refused(options, last, low, high, fits, hidden):
    g = Wrapped(generator(), last) if hidden else nn.Sequential(generator(), nn.Sequential(last), nn.Reshape(3))
    batch = np.linspace(low, high, 24, dtype=np.float32).reshape(8, 3)
    d = discriminator()
    game = Algorithm1(g, d, noise=Noise("gaussian", 2), **options)
    if fits:
        game.step(batch)
        return
    for _ in range(2):
        before = weights(g, d)
        with pytest.raises(DataError, match=r"^Algorithm1\.step: the data lie in \[.*\], but the generator ends in a "):
            game.step(batch)
        assert weights(g) == before[: len(weights(g))]
        if not hidden:  # a hidden activation is found only in the generator's update
            assert weights(g, d) == before


@SCHEDULES
@given(position=st.integers(0, 23), value=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_data_that_are_not_finite_are_refused(options, position, value):
    batch = np.full(24, 0.5, np.float32)
    batch[position] = value
    message = refusal(DataError, generator(), discriminator(), batch.reshape(8, 3), **options)
    rows = 8 // options.get("k", 1)
    number, rest = divmod(position, 3 * rows)
    assert f"minibatch {number} is {value} at ({rest // 3}, {rest % 3}); expected finite numbers" in message


def test_data_of_later_steps_are_checked_too():
    game = Algorithm1(generator(nn.Sigmoid()), discriminator())
    game.step(np.ones((4, 3), np.float32))
    with pytest.raises(DataError, match=r"the data lie in \[2, 2\]"):
        game.step(np.full((4, 3), 2, np.float32))


def test_a_number_too_large_for_float32_is_not_finite():
    with np.errstate(over="ignore"):
        message = refusal(DataError, generator(), discriminator(), np.full((8, 3), 1e39))
    assert "inf at (0, 0); expected finite numbers of float32" in message


@SCHEDULES
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_whole_numbers_are_refused(options, dtype):
    message = refusal(DtypeError, generator(), discriminator(), np.ones((8, 3), dtype), **options)
    assert f"minibatch 0 holds {np.dtype(dtype)}; expected floats" in message
    assert "divide pixels by 255" in message


class Float64Noise:
    size = 2

    def draw(self, count, stream, backend):
        return stream.normal((count, 2), np.float64)


@SCHEDULES
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_the_precision_is_that_of_the_players(options, kind):
    seen = []

    def watch(y):
        seen.append(y.dtype)
        return y

    g, d = Wrapped(generator(), watch), Wrapped(discriminator(), watch)
    game = Algorithm1(g, d, noise=Float64Noise(), **options)
    step = game.step(np.full((8, 3), 0.5, kind))
    assert set(seen) == {np.dtype(np.float32)}
    assert all(value.dtype == np.float32 for value in vars(step).values() if isinstance(value, Tensor))
    assert all(parameter.grad.dtype == np.float32 for parameter in g.parameters() + d.parameters())


def test_samples_are_converted_for_a_d_of_another_precision():
    g, d = generator(), discriminator()
    for parameter in g.parameters():
        parameter.data = parameter.data.astype(np.float64)
    step = Algorithm1(g, d).step(np.zeros((4, 3), np.float32))
    assert step.fake_logits.dtype == np.float32
    assert g.parameters()[0].grad.dtype == np.float64


@pytest.mark.parametrize("batch", [1.0, None, iter([1])])
def test_a_batch_that_is_no_array_is_refused(batch):
    with pytest.raises(ShapeError, match=r"^Algorithm1\.step: .*; expected an array of shape \(k m, \.\.\.\), got "):
        Algorithm1(generator(), discriminator()).step(batch)


def test_a_generator_that_loses_rows_is_refused():
    g = Wrapped(generator(), lambda x: x[:-1])
    assert "samples of shape (7, 3) from 8 noise vectors" in refusal(ShapeError, g, discriminator())


# --- which parameters are trained ------------------------------------------------------------------------


@SCHEDULES
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("who", [0, 1])
def test_a_frozen_parameter_does_not_change(options, when, who):
    players = generator(), discriminator()
    frozen, other = players[who].parameters()
    frozen.requires_grad = when == "after"
    game = Algorithm1(*players, **options)
    frozen.requires_grad = False
    frozen.grad = Tensor(np.ones(frozen.shape, np.float32))  # left by an earlier step
    before, others = frozen.data.copy(), other.data.copy()
    game.step(np.ones((8, 3), np.float32))
    assert np.array_equal(frozen.data, before)
    assert not np.array_equal(other.data, others)
    assert when == "before" or frozen.grad is None


@SCHEDULES
def test_an_unused_layer_does_not_change(options):
    class TwoHeads(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net, self.unused = net, nn.Linear(3, 5)

        def forward(self, x):
            return self.net(x)

    g, d = TwoHeads(generator()), TwoHeads(discriminator())
    unused = weights(g.unused, d.unused)
    before = weights(g.net, d.net)
    Algorithm1(g, d, noise=Noise("gaussian", 2), **options).step(np.ones((8, 3), np.float32))
    assert weights(g.unused, d.unused) == unused
    assert all(a != b for a, b in zip(weights(g.net, d.net), before, strict=True))
    assert g.unused.weight.grad is None


@SCHEDULES
@pytest.mark.parametrize("who", ["generator", "discriminator"])
def test_a_player_that_no_gradient_reaches_is_refused(options, who):
    g, d = generator(), discriminator()
    detached = Wrapped(g if who == "generator" else d, lambda y: y.detach())
    players = {"generator": g, "discriminator": d} | {who: detached}
    game = Algorithm1(**players, noise=Noise("gaussian", 2), **options)
    with pytest.raises(GradientError, match=rf"no gradient reaches any parameter of the {who}: .* look for detach"):
        game.step(np.ones((8, 3), np.float32))


def test_a_player_that_was_frozen_since_is_refused():
    g, d = generator(), discriminator()
    game = Algorithm1(g, d)
    for parameter in g.parameters():
        parameter.requires_grad = False
    with pytest.raises(GradientError, match="any parameter of the generator: all of them are frozen"):
        game.step(np.ones((8, 3), np.float32))


# --- a step as it is printed ------------------------------------------------------------------------------------


def printed(step):
    """Return the numbers of the three lines."""
    text = str(step)
    assert text == repr(step)
    assert text.count("\n") == 2
    assert max(map(len, text.splitlines())) < 80
    return [[float(number) for number in re.findall(r"-?(?:\d+\.\d+|nan|inf)", line)] for line in text.splitlines()]


@pytest.mark.parametrize("shape", [(4, 1), (4,), (100, 1)])
@pytest.mark.parametrize("objective", ["minimax", "non-saturating"])
def test_a_step_prints_three_lines(shape, objective):
    rng = np.random.default_rng(0)
    real, fake = (Tensor(rng.normal(size=shape).astype(np.float32)) for _ in range(2))
    rule = OBJECTIVES[objective]
    step = Step(rule.discriminator(real, fake), rule.generator(fake), real, fake)
    d, g, answers = printed(step)
    undecided = tg.tensor([0.0])
    assert d == pytest.approx([step.discriminator_loss.item(), np.log(4)], abs=1e-4)
    assert g == pytest.approx([step.generator_loss.item(), rule.generator(undecided).item()], abs=1e-4)
    monitor = Monitor(real.backend)
    monitor.add(step)
    means = monitor.means()
    assert answers == pytest.approx([means["d_real"], means["d_fake"], means["d_accuracy"], 0.5], abs=6e-4)


def test_a_step_of_a_certain_discriminator_prints_without_warnings():
    high, low, nan = (Tensor(np.full((2, 1), value, np.float32)) for value in (1e4, -1e4, np.nan))
    for objective in (OBJECTIVES["minimax"], OBJECTIVES["non-saturating"]):
        _, _, answers = printed(Step(objective.discriminator(high, low), objective.generator(low), high, low))
        assert answers == [1, 0, 1, 0.5]
    _, g, _ = printed(Step(low.mean(), OBJECTIVES["minimax"].generator(low), high, low))  # its loss is -0.0
    assert g[1] == -0.6931
    assert "nan" in str(Step(nan.mean(), nan.mean(), nan, nan))
