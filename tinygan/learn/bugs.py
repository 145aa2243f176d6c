"""The exercises 10 to 13: planted bugs to find and mend."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import tinygan.functional as F
from tinygan import optim
from tinygan.engine import Tensor, grad, tensor
from tinygan.learn.exercise import Exercise, Mistake, Values
from tinygan.learn.steps import (
    DETACH,
    RATE,
    STILL,
    ZERO_GRAD,
    batches,
    entropy,
    gradient_of,
    players,
    update,
    weights_of,
)

_SMALL = (1e-6, 1e-7, 1e-8, 1e-10, 1e-12)


class _Watched(optim.SGD):
    """SGD that notes the gradient of G's weight at its first update."""

    seen: np.ndarray | None = None

    def __init__(self, watched: Tensor, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.watched = watched

    def step(self) -> None:
        if self.seen is None:
            self.seen = gradient_of(self.watched)
        super().step()


# ---------------------------------------------------------------------- 10 and 11


def _iterations(k: int) -> dict[str, Values]:
    cases = {}
    for seed, (name, m, stale) in enumerate(
        (("a first iteration", 4, False), ("gradients of an earlier step in both", 3, True))
    ):
        both = players(seed, stale)
        cases[name] = {
            **both,
            "g_optimizer": optim.SGD(both["G"].parameters(), RATE),
            "d_optimizer": _Watched(both["G"].weight, both["D"].parameters(), RATE),
            "x": batches(10, m, k),
            "z_d": batches(11, m, k),
            "z_g": batches(12, m),
            "stale": stale,
        }
    return cases


def _iteration(
    clear: str = "before",
    clear_g: bool = True,
    cut: Sequence[str] = ("fake",),
    step_of_g: bool = True,
    average: bool = False,
) -> dict[str, Callable[..., Any]]:
    """Return an iteration with `cut` tensors, which clears the gradients of D at some time."""

    def maybe_cut(name: str, value: Any) -> Any:
        return value.detach() if name in cut else value

    def iteration(G: Any, D: Any, g_optimizer: Any, d_optimizer: Any, x: Any, z_d: Any, z_g: Any) -> Any:
        many = isinstance(x, list)
        pairs = list(zip(x, z_d, strict=True)) if many else [(x, z_d)]
        if clear_g:
            g_optimizer.zero_grad()
        if clear == "once":
            d_optimizer.zero_grad()
        for real, z in pairs:
            fake = maybe_cut("fake", G(z))
            d_loss = entropy(maybe_cut("D(x)", D(real)), 1) + entropy(maybe_cut("D(fake)", D(fake)), 0)
            if average:
                d_loss = d_loss / len(pairs)
            if clear == "before":
                d_optimizer.zero_grad()
            d_loss.backward()
            if clear == "after":
                d_optimizer.zero_grad()
            d_optimizer.step()
            if clear == "at the end":
                d_optimizer.zero_grad()
        g_loss = entropy(D(maybe_cut("G(z_g)", G(z_g))), 1)
        if clear_g and (many or cut != ()):
            g_optimizer.zero_grad()
        g_loss.backward()
        if step_of_g:
            g_optimizer.step()
        return d_loss, g_loss

    return {"iteration": iteration}


def _after_iteration(values: Values, returned: Values) -> Values:
    """Return the parameters, and G's gradient at the first step of D unless an old one may be there."""
    seen = None if values["stale"] else values["d_optimizer"].seen
    return {**weights_of(values, returned), **({} if seen is None else {"G.weight.grad": seen})}


_ITERATION = (("iteration", "G D g_optimizer d_optimizer x z_d z_g", "d_loss g_loss"),)

BUG_IN_THE_STEPS = Exercise(
    "10_bug_in_the_steps",
    "tinygan/gan/algorithm1.py, Algorithm1._update_discriminator: its first two lines",
    _ITERATION,
    lambda: _iterations(0),
    _iteration(),
    (
        Mistake("detach missing", DETACH, _iteration(cut=())),
        Mistake(
            "detach in the wrong place",
            "D learns nothing from the samples: cut off G(z), not D(G(z)).",
            _iteration(cut=("D(fake)",)),
        ),
        Mistake(
            "detach in the wrong place",
            "D learns nothing from the data: nothing is to be cut off there.",
            _iteration(cut=("fake", "D(x)")),
        ),
        Mistake("zero_grad missing", ZERO_GRAD, _iteration(clear="never")),
        Mistake("zero_grad missing", ZERO_GRAD, _iteration(clear_g=False)),
        Mistake("not moved", STILL, _iteration(step_of_g=False)),
        Mistake("not moved", STILL, _iteration(clear="after")),
    ),
    after=_after_iteration,
    tensors=True,
)

BUG_IN_THE_LOOP = Exercise(
    "11_bug_in_the_loop",
    "tinygan/optim/optimizers.py, Optimizer.zero_grad",
    _ITERATION,
    lambda: _iterations(3),
    _iteration(),
    (
        Mistake(
            "zero_grad missing",
            "The gradients of D's earlier steps are still in the later ones: backward() adds to them. How often does "
            "zero_grad() run?",
            _iteration("once"),
        ),
        Mistake("zero_grad missing", ZERO_GRAD, _iteration("never")),
        Mistake("zero_grad missing", ZERO_GRAD, _iteration("at the end")),
        Mistake("zero_grad missing", ZERO_GRAD, _iteration(clear_g=False)),
        Mistake(
            "zero_grad in the wrong place",
            "D has not moved: zero_grad() between backward() and step() removes what step() needs.",
            _iteration("after"),
        ),
        Mistake(
            "factor 1/k",
            "A smaller loss hides the sum of old gradients, and does not remove it.",
            _iteration("once", average=True),
        ),
        Mistake(
            "factor 1/k", "The loss of D has no factor 1/k: each step has its own minibatch.", _iteration(average=True)
        ),
        Mistake("detach missing", DETACH, _iteration(cut=())),
        Mistake("not moved", STILL, _iteration(step_of_g=False)),
    ),
    after=_after_iteration,
    tensors=True,
)


# ---------------------------------------------------------------------- 12


def _games() -> dict[str, Values]:
    cases = {}
    for seed, (name, m, k) in enumerate((("one iteration", 4, 1), ("three iterations", 3, 3))):
        three = {letter: batches(place, m, k) for place, letter in enumerate(("x", "z_d", "z_g"), start=13)}
        cases[name] = {**players(seed, False), **three, "lr": RATE}
    return cases


def _play(d_has: str = "D", g_has: str = "G", factor: float = 1, cut: bool = True) -> dict[str, Callable[..., Any]]:
    """Return a game in which the optimizers have the parameters of these players; "0" stands for no player."""

    def play(G: Any, D: Any, x: Any, z_d: Any, z_g: Any, lr: float) -> None:
        own = {"G": [*G.parameters()], "D": [*D.parameters()], "0": [tensor([0.0], requires_grad=True)]}
        d_optimizer = optim.SGD([p for name in d_has for p in own[name]], lr)
        g_optimizer = optim.SGD([p for name in g_has for p in own[name]], factor * lr)
        for real, z, z_of_g in zip(x, z_d, z_g, strict=True):
            fake = G(z).detach() if cut else G(z)
            update(d_optimizer, entropy(D(real), 1) + entropy(D(fake), 0))
            D.zero_grad()
            update(g_optimizer, entropy(D(G(z_of_g)), 1))

    return {"play": play}


_OTHERS = "The wrong player moves: which parameters has each optimizer? "

BUG_IN_THE_PLAYERS = Exercise(
    "12_bug_in_the_players",
    "tinygan/gan/players.py, refuse_shared",
    (("play", "G D x z_d z_g lr", ""),),
    _games,
    _play(),
    (
        Mistake(
            "wrong player's weights",
            "D moves in the step of G, too: towards what G wants. Which parameters has the optimizer of G?",
            _play(g_has="GD"),
        ),
        Mistake("wrong player's weights", _OTHERS + "That of D has those of G, too.", _play("DG", cut=False)),
        Mistake("wrong player's weights", _OTHERS + "Here each has all of them.", _play("DG", "GD")),
        Mistake("wrong player's weights", _OTHERS + "Here each has all of them.", _play("DG", "GD", cut=False)),
        Mistake("wrong player's weights", _OTHERS + "Here they are swapped.", _play("G", "D")),
        Mistake("wrong player's weights", _OTHERS + "Here both have those of D.", _play("D", "D")),
        Mistake("not moved", "D has not moved. Which parameters has its optimizer, and does it step?", _play("0", "G")),
        Mistake("not moved", "G has not moved. Which parameters has its optimizer, and does it step?", _play("D", "0")),
        Mistake("factor 2", "Both players have the learning rate lr.", _play(factor=0.5)),
        Mistake("factor 2", "Both players have the learning rate lr.", _play(factor=2)),
    ),
    after=weights_of,
    tensors=True,
)


# ---------------------------------------------------------------------- 13


def _logits() -> dict[str, Values]:
    rng = np.random.default_rng(13)
    real, fake = rng.normal(size=(2, 4, 1)).astype(np.float32)
    sure = np.array([[20.0], [200], [-20], [-200]], np.float32)
    cases = {
        "small logits": (real, fake),
        "sure and right": (np.abs(sure), -np.abs(sure)),
        "sure, right and wrong": (sure, sure),
    }
    return {
        name: {"real_logits": tensor(real, requires_grad=True), "fake_logits": tensor(fake, requires_grad=True)}
        for name, (real, fake) in cases.items()
    }


def _gradients(values: Values, returned: Values) -> Values:
    """Return the gradients of the loss with respect to the logits."""
    inputs = values["real_logits"], values["fake_logits"]
    found = grad(returned["loss"], inputs, allow_unused=True)
    real, fake = (
        np.zeros(x.shape, np.float32) if gradient is None else gradient
        for x, gradient in zip(inputs, found, strict=True)
    )
    return {"gradient (real)": real, "gradient (fake)": fake}


def _loss_of_d(loss: Callable[[Any, Any], Any]) -> dict[str, Callable[..., Any]]:
    return {"loss_of_d": loss}


def _rounded(repair: Callable[[Any], Any]) -> dict[str, Callable[..., Any]]:
    """Return the loss on probabilities, with a repair of what the logarithm gets."""
    return _loss_of_d(lambda a, b: -F.log(repair(F.sigmoid(a))).mean() - F.log(repair(1 - F.sigmoid(b))).mean())


def _limited(most: float) -> dict[str, Callable[..., Any]]:
    def loss(a: Any, b: Any) -> Any:
        return entropy(F.clip(a, -most, most), 1) + entropy(F.clip(b, -most, most), 0)

    return _loss_of_d(loss)


_CLIPPED = (
    "The logarithm is finite now, but the probability is still rounded: where D is sure and wrong, the loss is too "
    "small, and its gradient is 0 or wrong. Write log D and log(1 - D) as functions of the logit."
)

BUG_IN_THE_LOSS = Exercise(
    "13_bug_in_the_loss",
    "tinygan/gan/objectives.py, discriminator_loss",
    (("loss_of_d", "real_logits fake_logits", "loss"),),
    _logits,
    _loss_of_d(lambda a, b: entropy(a, 1) + entropy(b, 0)),
    (
        Mistake(
            "rounded probability",
            "D is rounded to 0 or 1, and log 0 is infinite. Write log D as a function of the logit.",
            _rounded(lambda p: p),
        ),
        *(Mistake("clipped", _CLIPPED, _rounded(partial(operator.add, e))) for e in _SMALL),
        *(Mistake("clipped", _CLIPPED, _rounded(partial(F.clip, low=e, high=1 - e))) for e in _SMALL),
        *(Mistake("clipped", _CLIPPED, _rounded(partial(F.maximum, e))) for e in _SMALL),
        *(
            Mistake(
                "clipped", "A clipped logit has no gradient outside of the limits: do not limit it.", _limited(most)
            )
            for most in (5, 10, 20, 30, 50, 100)
        ),
        Mistake(
            "other player's sign",
            "The labels are swapped: 1 is for data, 0 for samples.",
            _loss_of_d(lambda a, b: entropy(a, 0) + entropy(b, 1)),
        ),
        Mistake(
            "other player's sign",
            "The samples have the label of data: that is the loss of G.",
            _loss_of_d(lambda a, b: entropy(a, 1) + entropy(b, 1)),
        ),
        Mistake(
            "sign",
            "This is what D ascends; an optimizer descends, so the loss is minus this.",
            _loss_of_d(lambda a, b: -entropy(a, 1) - entropy(b, 0)),
        ),
        Mistake(
            "factor 2",
            "The sum of both means is asked for, not their mean.",
            _loss_of_d(lambda a, b: (entropy(a, 1) + entropy(b, 0)) / 2),
        ),
        Mistake(
            "sum for a mean",
            "Each term is a mean over the m examples, not a sum.",
            _loss_of_d(lambda a, b: entropy(a, 1, "sum") + entropy(b, 0, "sum")),
        ),
        Mistake(
            "detach in the wrong place",
            "The loss has no gradient: do not cut it off.",
            _loss_of_d(lambda a, b: (entropy(a, 1) + entropy(b, 0)).detach()),
        ),
        Mistake(
            "term missing",
            "The samples are missing.",
            _loss_of_d(lambda a, b: entropy(a, 1)),
        ),
        Mistake("term missing", "The data are missing.", _loss_of_d(lambda a, b: entropy(b, 0))),
        Mistake(
            "sigmoid twice",
            "This loss expects logits: do not apply the sigmoid before.",
            _loss_of_d(lambda a, b: entropy(F.sigmoid(a), 1) + entropy(F.sigmoid(b), 0)),
        ),
    ),
    after=_gradients,
    tensors=True,
    tolerance=1e-5,
)

BUGS = (BUG_IN_THE_STEPS, BUG_IN_THE_LOOP, BUG_IN_THE_PLAYERS, BUG_IN_THE_LOSS)
