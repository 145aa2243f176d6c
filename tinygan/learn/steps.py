"""The exercises 8 and 9: the two steps of Algorithm 1, and what the exercises with bugs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygan.functional as F
from tinygan import nn, optim
from tinygan.engine import Tensor, tensor
from tinygan.learn.exercise import Exercise, Mistake, Values

RATE = 0.5


def gradient_of(parameter: Tensor) -> np.ndarray:
    """Return the gradient of a parameter as an array; it is 0 if there is no gradient."""
    return np.zeros(parameter.shape) if parameter.grad is None else parameter.grad.numpy().copy()


def players(seed: int, stale: bool) -> Values:
    """Return small players in float64; `stale` leaves gradients of an earlier step in both."""
    rng = np.random.default_rng(seed)
    G, D = nn.Linear(2, 2), nn.Linear(2, 1)
    for parameter in (*G.parameters(), *D.parameters()):
        parameter.data = rng.normal(size=parameter.shape)
        if stale:
            parameter.grad = tensor(rng.normal(size=parameter.shape))
    return {"G": G, "D": D}


def batches(seed: int, m: int, k: int = 0) -> Any:
    """Return a tensor of shape (m, 2), or a list of k."""
    rng = np.random.default_rng(seed)
    return [tensor(rng.normal(size=(m, 2))) for _ in range(k)] if k else tensor(rng.normal(size=(m, 2)))


def weights_of(values: Values, returned: Values) -> Values:
    """Return the parameters of both players."""
    return {f"{player}.{name}": parameter for player in "DG" for name, parameter in values[player].named_parameters()}


def entropy(logits: Any, label: float, scale: str = "mean") -> Any:
    """Return the cross-entropy with one label for all; `scale` is the reduction."""
    return F.binary_cross_entropy_with_logits(logits, label, reduction=scale)


def update(optimizer: Any, loss: Any, clear: bool = True, step: bool = True) -> None:
    """Make one step; without `clear`, old gradients remain."""
    if clear:
        optimizer.zero_grad()
    loss.backward()
    if step:
        optimizer.step()


DETACH = (
    "The loss of D sends a gradient to G. D's step needs no gradient of the samples: cut them off the graph with "
    ".detach(), or draw them inside `with tg.no_grad():`."
)
ZERO_GRAD = (
    "The gradients of an earlier step are still in the update: backward() adds to them. Call zero_grad() of the "
    "optimizer before each backward()."
)
STILL = (
    "It has not moved. Is optimizer.step() missing, is zero_grad() between backward() and step(), or does no gradient "
    "reach it (detach, no_grad, .numpy())?"
)


# ---------------------------------------------------------------------- 8


def _cases_of_d() -> dict[str, Values]:
    cases = {}
    for seed, (name, m, stale) in enumerate(
        (("a first step", 4, False), ("gradients of an earlier step in D", 3, True))
    ):
        both = players(seed, stale)
        both["G"].zero_grad()
        optimizer = optim.SGD(both["D"].parameters(), RATE)
        cases[name] = {**both, "optimizer": optimizer, "x": batches(8, m), "z": batches(9, m)}
    return cases


def _step_of_d(
    labels: tuple[float, float] = (1, 0),
    factors: tuple[float, float] = (1, 1),
    scale: str = "mean",
    cut: bool = True,
    **options: bool,
) -> dict[str, Callable[..., Any]]:
    def step_of_d(G: Any, D: Any, optimizer: Any, x: Any, z: Any) -> Any:
        fake = G(z).detach() if cut else G(z)
        loss = factors[0] * entropy(D(x), labels[0], scale) + factors[1] * entropy(D(fake), labels[1], scale)
        update(optimizer, loss, **options)
        return loss

    return {"step_of_d": step_of_d}


def _after_d(values: Values, returned: Values) -> Values:
    return {**weights_of(values, returned), "G.weight.grad": gradient_of(values["G"].weight)}


STEP_OF_D = Exercise(
    "08_step_of_d",
    "tinygan/gan/algorithm1.py, Algorithm1._update_discriminator",
    (("step_of_d", "G D optimizer x z", "loss"),),
    _cases_of_d,
    _step_of_d(),
    (
        Mistake("detach missing", DETACH, _step_of_d(cut=False)),
        Mistake("zero_grad missing", ZERO_GRAD, _step_of_d(clear=False)),
        Mistake("not moved", STILL, _step_of_d(step=False)),
        Mistake("other player's sign", "The labels are swapped: 1 is for data, 0 for samples.", _step_of_d((0, 1))),
        Mistake(
            "other player's sign",
            "D is trained to take samples for data: that is the loss of G. The label of samples is 0.",
            _step_of_d((1, 1)),
        ),
        Mistake(
            "sign",
            "D climbs its loss: an optimizer descends, so the loss is minus the sum.",
            _step_of_d(factors=(-1, -1)),
        ),
        Mistake("term missing", "Only the data are in the loss: the samples are missing.", _step_of_d(factors=(1, 0))),
        Mistake("term missing", "Only the samples are in the loss: the data are missing.", _step_of_d(factors=(0, 1))),
        Mistake("factor 2", "The sum of both terms is asked for, not their mean.", _step_of_d(factors=(0.5, 0.5))),
        Mistake("sum for a mean", "Each term is a mean over the m examples, not a sum.", _step_of_d(scale="sum")),
    ),
    after=_after_d,
    tensors=True,
)


# ---------------------------------------------------------------------- 9


def _cases_of_g() -> dict[str, Values]:
    cases = {}
    for seed, (name, m, stale) in enumerate(
        (("a first step", 4, False), ("gradients of an earlier step in G", 3, True))
    ):
        both = players(seed, stale)
        cases[name] = {**both, "optimizer": optim.SGD(both["G"].parameters(), RATE), "z": batches(9, m)}
    return cases


def _step_of_g(
    label: float = 1, factor: float = 1, scale: str = "mean", friendly: bool = False, **options: bool
) -> dict[str, Callable[..., Any]]:
    def step_of_g(G: Any, D: Any, optimizer: Any, z: Any) -> Any:
        D.zero_grad()
        loss = factor * entropy(D(G(z)), label, scale)
        update(optimizer, loss, **options)
        if friendly:
            optim.SGD(D.parameters(), RATE).step()
        return loss

    return {"step_of_g": step_of_g}


STEP_OF_G = Exercise(
    "09_step_of_g",
    "tinygan/gan/algorithm1.py, Algorithm1._update_generator",
    (("step_of_g", "G D optimizer z", "loss"),),
    _cases_of_g,
    _step_of_g(),
    (
        Mistake("not moved", STILL, _step_of_g(step=False)),
        Mistake("zero_grad missing", ZERO_GRAD, _step_of_g(clear=False)),
        Mistake(
            "other objective",
            "This is log(1 - D(G(z))), which is flat while D rejects the samples. Here G ascends log D(G(z)).",
            _step_of_g(0, -1),
        ),
        Mistake(
            "other player's sign",
            "G is trained to be rejected: that is the loss of D. For G, the label of samples is 1.",
            _step_of_g(0),
        ),
        Mistake(
            "sign", "G descends log D(G(z)): an optimizer descends, so the loss is minus the mean.", _step_of_g(1, -1)
        ),
        Mistake("sum for a mean", "The loss is a mean over the m samples, not a sum.", _step_of_g(scale="sum")),
        Mistake("wrong player's weights", "D has moved, too: in G's step only G moves.", _step_of_g(friendly=True)),
    ),
    after=weights_of,
    tensors=True,
)

STEPS = (STEP_OF_D, STEP_OF_G)
