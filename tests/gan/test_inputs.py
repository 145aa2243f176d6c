"""Labels: who gets which, and what is refused before anything moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygan as tg
import tinygan.functional as F
from tinygan import gan, nn
from tinygan.backend import Stream, Streams
from tinygan.errors import ArgumentError, DataError, DtypeError, ShapeError


class Player(nn.Module):
    """A linear map of x and y side by side; it keeps the labels of each call."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.net, self.seen = nn.Linear(inputs, outputs, rng=Stream(inputs, "w")), []

    def forward(self, x, y):
        self.seen.append(y.numpy().copy())
        y = y.astype("float32").reshape(len(y), -1)
        return self.net(F.concatenate([x, y], axis=1))


def game(**options):
    return gan.Algorithm1(Player(3, 3), Player(4, 1), noise=gan.Noise("gaussian", 2), streams=Streams(1), **options)


@given(
    k=st.integers(1, 3),
    m=st.integers(1, 4),
    as_list=st.booleans(),
    schedule=st.sampled_from(gan.SCHEDULES),
    separate=st.booleans(),
    as_tensor=st.booleans(),
)
def test_each_update_has_the_labels_of_its_minibatch(k, m, as_list, schedule, separate, as_tensor):
    played = game(k=k, schedule=schedule, separate_passes=separate)
    labels = np.arange(k * m)
    data = np.zeros((k * m, 3), np.float32)
    step = played.step(list(data.reshape(k, m, 3)) if as_list else data, tg.tensor(labels) if as_tensor else labels)
    assert step.fake_logits.shape == (m, 1)
    parts = list(labels.reshape(k, m))
    of_g = [*parts, parts[-1]]
    assert [list(y) for y in played.generator.seen] == [list(y) for y in of_g]
    for seen in played.discriminator.seen[: k - 1 if not separate else 0]:
        assert any(np.array_equal(seen, [*part, *part]) for part in parts)
    assert np.array_equal(played.discriminator.seen[-1], parts[-1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64, bool])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_labels_of_any_kind_keep_the_precision(dtype, shape):
    played = game()
    step = played.step(np.zeros((4, 3), np.float32), np.ones(shape, dtype))
    assert step.generator_loss.dtype == np.float32
    expected = np.float32 if np.dtype(dtype).kind == "f" else dtype
    assert played.generator.seen[0].dtype == expected


def weights(played):
    return [p.data.tobytes() for player in (played.generator, played.discriminator) for p in player.parameters()]


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.arange(3), ShapeError, r"labels of shape \(3,\) for 4 examples; expected as many rows"),
        (np.zeros((1, 4)), ShapeError, r"labels of shape \(1, 4\) for 4 examples"),
        (np.array(3), ShapeError, r"labels of shape \(\) for 4 examples"),
        ([0, 1, 2, 3], DtypeError, "labels: expected an array or a tensor of numbers, .* got list; use tg.tensor"),
        (np.array(["a", "b", "c", "d"]), DtypeError, "labels: expected an array or a tensor of numbers"),
        (7, DtypeError, "labels: expected an array or a tensor of numbers, .* got int"),
        (np.array([0, np.nan, 1, 2]), DataError, r"labels are nan at \(1,\); expected finite numbers"),
        (np.array([0, np.inf, 1, 2], np.float32), DataError, r"labels are inf at \(1,\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused_before_any_update(labels, error, message):
    played = game()
    before = weights(played)
    with pytest.raises(error, match=rf"^Algorithm1\.step: {message}"):
        played.step(np.zeros((4, 3), np.float32), labels)
    assert weights(played) == before


def test_players_that_take_no_labels_are_refused():
    data, labels = np.zeros((4, 3), np.float32), np.arange(4)
    for generator, discriminator, who in [
        (nn.Linear(2, 3), Player(4, 1), "generator"),
        (Player(3, 3), nn.Linear(3, 1), "discriminator"),
        (nn.Sequential(nn.Linear(2, 3)), nn.Linear(3, 1), "generator"),
    ]:
        played = gan.Algorithm1(generator, discriminator, noise=gan.Noise("gaussian", 2))
        for _ in range(2):
            with pytest.raises(ArgumentError, match=rf"the {who} is called with labels, but its forward takes"):
                played.step(data, labels)


def test_players_that_need_labels_are_refused_without():
    played = game()
    with pytest.raises(ArgumentError, match=r"generator is called with no labels, .*: give them: game\.step"):
        played.step(np.zeros((4, 3), np.float32))


def test_labels_may_be_optional():
    class Optional(Player):
        def forward(self, x, y=None):
            return super().forward(x, tg.tensor(np.zeros(len(x), np.float32)) if y is None else y)

    played = gan.Algorithm1(Optional(3, 3), Optional(4, 1), noise=gan.Noise("gaussian", 2))
    played.step(np.zeros((4, 3), np.float32))
    played.step(np.zeros((4, 3), np.float32), np.arange(4))
    played.step(np.zeros((4, 3), np.float32))
    assert list(played.discriminator.seen[2]) == [0, 1, 2, 3] * 2


# --- sampling --------------------------------------------------------------------------------------------


@given(st.integers(1, 20), st.integers(1, 7))
def test_samples_have_their_labels_in_any_blocks(count, batch):
    generator = Player(3, 3)
    labels = np.arange(count, dtype=np.float32)
    found = gan.sample(generator, count, gan.Noise("gaussian", 2), Stream(0, "s"), labels, batch=batch)
    assert np.array_equal(np.concatenate(generator.seen), labels)
    whole = gan.sample(generator, count, gan.Noise("gaussian", 2), Stream(0, "s"), tg.tensor(labels))
    assert np.allclose(found, whole, atol=1e-5)


def test_samples_with_wrong_labels_are_refused():
    noise = gan.Noise("gaussian", 2)
    with pytest.raises(ShapeError, match=r"^sample: labels of shape \(3,\) for 4 examples"):
        gan.sample(Player(3, 3), 4, noise, Stream(0, "s"), np.arange(3))
    with pytest.raises(ArgumentError, match=r"^sample: the generator is called with labels"):
        gan.sample(nn.Linear(2, 3), 4, noise, Stream(0, "s"), np.arange(4))
    with pytest.raises(ArgumentError, match=r"^sample: the generator is called with no labels"):
        gan.sample(Player(3, 3), 4, noise, Stream(0, "s"))
    with pytest.raises(DtypeError, match=r"^sample: labels: .* got int"):
        gan.sample(Player(3, 3), 4, noise, Stream(0, "s"), 1000)
