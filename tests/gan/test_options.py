"""Options that contradict each other are refused where the game is made."""

from __future__ import annotations

import numpy as np
import pytest

import tinygan.functional as F
from tinygan import gan, nn
from tinygan.errors import ArgumentError, DtypeError


class BatchNorm(nn.Linear):
    """The name decides."""


class SpectralNorm(nn.Linear):
    """The name decides."""


def game(*layers, **options):
    return gan.Algorithm1(nn.Linear(2, 3), nn.Sequential(*(layers or [nn.Linear(3, 1)])), **options)


CLIP, R1 = gan.WeightClipping(0.1), gan.R1(1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "hinge", "label_smoothing": 0.1}, "label_smoothing: the objective hinge has no label"),
        ({"objective": "lsgan", "label_smoothing": 0.1}, "label_smoothing: the objective lsgan has no label"),
        ({"objective": (max, min), "label_smoothing": 0.1}, "label_smoothing: the objective custom has no label"),
        ({"label_smoothing": 1.0}, "label_smoothing must be at least 0 and below 1, got 1.0"),
        ({"label_smoothing": -0.1}, "label_smoothing must be at least 0 and below 1"),
        ({"label_smoothing": float("nan")}, "label_smoothing must be at least 0 and below 1"),
        ({"penalty": [CLIP, R1]}, "penalty: weight clipping bounds the slope of D"),
        ({"penalty": [R1, CLIP]}, "penalty: weight clipping bounds the slope of D"),
        ({"objective": "wasserstein"}, "objective: wasserstein needs a D of bounded slope"),
        ({"objective": "Hinge"}, "objective must be one of non-saturating, minimax, .*; got 'Hinge'"),
        ({"objective": None}, "objective must be one of"),
        ({"objective": (max,)}, "objective must be one of"),
        ({"objective": (max, min, max)}, "objective must be one of"),
        ({"objective": ("hinge", "lsgan")}, "objective must be one of"),
        ({"objective": [max, min]}, "objective must be one of"),
    ],
)
def test_contradictions_are_refused(options, message):
    with pytest.raises(ArgumentError, match=rf"^Algorithm1: {message}"):
        game(**options)


def test_a_penalty_and_batch_normalization_are_refused():
    with pytest.raises(ArgumentError, match=r"with batch normalization in D, .*: use layer normalization"):
        game(BatchNorm(3, 3), nn.Linear(3, 1), penalty=R1)
    game(BatchNorm(3, 3), nn.Linear(3, 1), penalty=CLIP)
    game(BatchNorm(3, 3), nn.Linear(3, 1))


def test_spectral_normalization_bounds_the_slope():
    game(SpectralNorm(3, 1), objective="wasserstein")


@pytest.mark.parametrize("name", ["separate_passes", "patches"])
@pytest.mark.parametrize("value", ["no", 0, None])
def test_what_only_reads_like_a_boolean_is_refused(name, value):
    with pytest.raises(DtypeError, match=rf"^Algorithm1: {name} must be True or False, got"):
        game(**{name: value})


def test_a_smoothing_that_is_no_number_is_refused():
    with pytest.raises(DtypeError, match="label_smoothing must be a number"):
        game(label_smoothing="0.1")


@pytest.mark.parametrize(
    ("activation", "fits"),
    [
        (nn.Sigmoid(), {"lsgan"}),
        (nn.Tanh(), {"lsgan", "hinge"}),
        (nn.ReLU(), {"lsgan"}),
        (nn.LeakyReLU(0.2), {"non-saturating", "minimax", "lsgan", "hinge", "wasserstein"}),
    ],
)
@pytest.mark.parametrize("hidden", [False, True])
def test_which_bounded_outputs_fit_which_objective(activation, fits, hidden):
    """The cross-entropies and the critic need every number; lsgan needs 0 to 1, hinge -1 to 1."""

    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 1)

        def forward(self, x):
            return activation(self.inner(x))

    for name in gan.OBJECTIVES:
        net = Hidden() if hidden else nn.Sequential(nn.Linear(3, 1), activation)
        penalty = CLIP if name == "wasserstein" else None

        def play(net=net, name=name, penalty=penalty):
            played = gan.Algorithm1(nn.Linear(2, 3), net, objective=name, penalty=penalty)
            played.step(np.zeros((4, 3), np.float32))

        if name in fits:
            play()
        else:
            with pytest.raises(ArgumentError, match=r"discriminator ends in a .*; the losses are computed on logits"):
                play()


def test_a_pair_of_losses_takes_any_output():
    losses = (lambda real, fake: F.mean(fake) - F.mean(real), lambda fake: -F.mean(fake))
    game(nn.Linear(3, 1), nn.Sigmoid(), objective=losses).step(np.zeros((4, 3), np.float32))
