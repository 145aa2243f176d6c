"""Packed discriminators and patches: which logits are data, and which shapes are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan import gan, nn
from tinygan.backend import Stream, Streams
from tinygan.engine import Tensor
from tinygan.errors import ArgumentError, ShapeError


@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.integers(1, 3), max_size=3))
def test_a_pack_is_m_rows_side_by_side(m, packs, rest):
    x = np.random.default_rng(0).normal(size=(m * packs, *rest)).astype(np.float32)

    class Same(nn.Module):
        def forward(self, x):
            return x

    features, *more = rest or [1]
    found = gan.Packed(Same(), m)(Tensor(x)).numpy()
    assert found.shape == (packs, m * features, *more)
    parts = found.reshape(packs, m, features, *more)
    assert np.array_equal(parts.reshape(x.shape), x)


def game(net, **options):
    generator = nn.Linear(2, 3, rng=Stream(0, "w"))
    return gan.Algorithm1(generator, net, noise=gan.Noise("gaussian", 2), streams=Streams(1), **options)


def packed(m=2):
    return gan.Packed(nn.Linear(3 * m, 1, rng=Stream(1, "w")), m)


@pytest.mark.parametrize("options", [{}, {"k": 2}, {"schedule": "simultaneous"}, {"separate_passes": True}])
def test_a_pack_holds_only_data_or_only_samples(options):
    net = packed()
    weights = net.net.weight.numpy().copy()
    played = game(net, **options)
    data = np.random.default_rng(0).random((8 * played.k, 3), np.float32)
    step = played.step(data if played.k == 1 else [data[:8], data[8:]])
    assert step.real_logits.shape == step.fake_logits.shape == (4, 1)
    if played.k == 1:
        assert np.allclose(step.real_logits.numpy(), data.reshape(4, 6) @ weights, atol=1e-6)


def test_one_sample_a_pack_is_the_plain_game():
    plain, same = game(nn.Linear(3, 1, rng=Stream(1, "w"))), game(packed(1))
    data = np.random.default_rng(0).random((8, 3), np.float32)
    for _ in range(3):
        first, second = plain.step(data), same.step(data)
    assert first.generator_loss.item() == second.generator_loss.item()
    assert np.array_equal(plain.generator.weight.numpy(), same.generator.weight.numpy())


@pytest.mark.parametrize("options", [{}, {"schedule": "simultaneous"}])
def test_rows_that_do_not_make_packs_are_refused(options):
    with pytest.raises(ShapeError, match=r"^Packed: (18|9) rows do not divide into packs of m = 4"):
        game(packed(4), **options).step(np.ones((9, 3), np.float32))


def test_half_a_pack_of_data_is_refused():
    """6 rows of data and 6 samples divide into packs of 4, but one pack would hold both."""
    with pytest.raises(ShapeError, match=r"^Packed: 6 rows do not divide into packs of m = 4"):
        game(packed(4)).step(np.ones((6, 3), np.float32))


def test_packs_are_positive():
    for m in (0, -1, 1.5, True):
        with pytest.raises(ArgumentError, match=r"^Packed: m must be an integer of at least 1"):
            gan.Packed(nn.Linear(3, 1), m)


def test_a_sigmoid_inside_a_pack_is_seen():
    with pytest.raises(ArgumentError, match="ends in a sigmoid"):
        game(gan.Packed(nn.Sequential(nn.Linear(6, 1), nn.Sigmoid()), 2))


def test_packed_labels_come_with_their_samples():
    seen = []

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(6, 1)

        def forward(self, x, y):
            seen.append(y.numpy())
            return self.inner(x)

    class Generator(nn.Linear):
        def forward(self, z, y):
            return super().forward(z)

    played = gan.Algorithm1(Generator(2, 3), gan.Packed(Net(), 2), noise=gan.Noise("gaussian", 2))
    played.step(np.ones((4, 3), np.float32), np.array([7, 8, 9, 6]))
    assert np.array_equal(seen[0], [[7, 8], [9, 6]] * 2)
    assert np.array_equal(seen[1], [[7, 8], [9, 6]])


# --- patches ---------------------------------------------------------------------------------------------


class Patches(nn.Module):
    """Two logits for each row, or one row fewer."""

    def __init__(self, function=lambda y: y):
        super().__init__()
        self.net, self.function = nn.Linear(3, 4, rng=Stream(1, "w")), function

    def forward(self, x):
        return self.function(self.net(x).reshape(x.shape[0], 2, 2))


@pytest.mark.parametrize("options", [{}, {"schedule": "simultaneous"}, {"separate_passes": True}])
def test_patches_need_to_be_allowed(options):
    data = np.random.default_rng(0).random((8, 3), np.float32)
    with pytest.raises(ShapeError, match=r"returns \((8|16), 2, 2\) .*; expected one logit a row.*patches=True"):
        game(Patches(), **options).step(data)
    net = Patches()
    expected = net(Tensor(data)).numpy()
    step = game(net, patches=True, **options).step(data)
    assert step.real_logits.shape == step.fake_logits.shape == (8, 2, 2)
    assert np.allclose(step.real_logits.numpy(), expected, atol=1e-6)
    assert step.discriminator_loss.item() == pytest.approx(
        np.logaddexp(0, -step.real_logits.numpy()).mean() + np.logaddexp(0, step.fake_logits.numpy()).mean(), rel=1e-6
    )


@pytest.mark.parametrize("function", [lambda y: y[:-1], lambda y: y.mean(), lambda y: y.reshape(-1), lambda y: (y,)])
def test_patches_keep_the_rows(function):
    with pytest.raises(ShapeError, match=r"expected logits for each row: \(\d+, \.\.\.\)"):
        game(Patches(function), patches=True).step(np.ones((8, 3), np.float32))
