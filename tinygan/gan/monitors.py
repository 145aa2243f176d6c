"""Numbers to watch while two networks play against each other.

Neither loss measures the quality of the samples. Together, these numbers show the state of the game:

- At the equilibrium D = 1/2 everywhere: its loss is log 4 = 1.386, V(D, G) = -log 4, the generator's non-saturating
  loss is log 2 = 0.693, and the accuracy is 0.5.
- A loss of D near 0 with accuracy 1 means that D has won: it separates samples from data without error, and the
  generator learns little or nothing.
- A gradient norm that explodes or vanishes shows which player has the problem.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinygan.backend import Array, Backend
from tinygan.gan.objectives import OBJECTIVES, Objective
from tinygan.gan.step import Step
from tinygan.nn import Module
from tinygan.optim.gradients import array_norm

VALUE_AT_EQUILIBRIUM = -math.log(4)  # Theorem 1 of the paper
# What `Monitor` averages, in the order of the sums that `Backend.add_scores` keeps.
WATCHED = ("discriminator_loss", "generator_loss", "d_real", "d_fake", "d_accuracy")
SCORES = {"d_real": "score_real", "d_fake": "score_fake"}  # their names where D's output is no probability


class Monitor:
    """Running means over the steps of an epoch, kept on the device, so that `add` does not wait for the device.

    Parameters
    ----------
    backend : Backend
        The backend of the logits.
    objective : Objective, optional
        It decides what D's output means: that of the steps, or before the first step a logit, as in the paper.

    Examples
    --------
    >>> import numpy as np, tinygan as tg
    >>> from tinygan.backend import get_backend
    >>> zero = tg.tensor([[0.0]])
    >>> monitor = Monitor(get_backend("cpu"))
    >>> monitor.add(Step(zero.mean(), zero.mean(), zero, zero))
    >>> monitor.means()["d_real"]
    0.5
    """

    def __init__(self, backend: Backend, objective: Objective | None = None) -> None:
        self.backend = backend
        self.objective = objective or OBJECTIVES["non-saturating"]
        self.sums: Array = backend.new_sums(len(WATCHED))
        self.count = 0

    def reset(self) -> None:
        """Start a new epoch."""
        self.count = 0
        self.sums.fill(0)

    def add(self, step: Step) -> None:
        """Add the losses and logits of one iteration, which were computed in training mode (with dropout)."""
        self.objective = step.objective or self.objective
        self.backend.add_scores(
            self.sums,
            step.discriminator_loss.data,
            step.generator_loss.data,
            step.real_logits.data,
            step.fake_logits.data,
            self.objective.threshold or 0.0,
            self.objective.is_probability,
        )
        self.count += 1

    def means(self) -> dict[str, float]:
        """Return the means so far; this waits for the device.

        ``discriminator_loss``, ``generator_loss``, and ``d_accuracy``, the share of data and samples that D classified
        correctly. For the objectives of the paper also ``d_real`` = mean D(x), ``d_fake`` = mean D(G(z)), and ``value``
        = V(D, G) = E log D(x) + E log(1 - D(G(z))), in nats. For the others D's output a is no probability:
        ``score_real`` = mean a(x), ``score_fake`` = mean a(G(z)), and their difference, ``score_difference``. An
        objective without a threshold, such as "wasserstein", has no accuracy.
        """
        sums, rules = self.backend.read_sums(self.sums), self.objective
        means = {name: total / max(self.count, 1) for name, total in zip(WATCHED, sums, strict=False)}
        if rules.is_probability:
            return {**means, "value": -means["discriminator_loss"]}
        means = {SCORES.get(name, name): mean for name, mean in means.items()}
        if rules.threshold is None:
            del means["d_accuracy"]
        return {**means, "score_difference": means["score_real"] - means["score_fake"]}

    def first_non_finite(self) -> int | None:
        """Return the number, from 1, of the first step with a loss or logit that is nan or infinite; else None.

        This waits for the device.
        """
        return int(self.backend.read_sums(self.sums)[-1]) or None

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain numbers."""
        return {"count": self.count, "total": self.backend.read_sums(self.sums)[: len(WATCHED)]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.count = state["count"]
        self.backend.set_sums(self.sums, [*state["total"], self.count, 0])


def gradient_norm(module: Module) -> float:
    """Return the Euclidean norm of the gradients of all parameters of `module`."""
    return math.hypot(*gradient_norms(module).values())


def gradient_norms(module: Module) -> dict[str, float]:
    """Return the Euclidean norm of the gradients of each layer, by the layer's name.

    Parameters
    ----------
    module : Module

    Returns
    -------
    dict of str to float
        Over the parameters of the layer that have a gradient; a layer without one is left out.

    Examples
    --------
    >>> import tinygan as tg
    >>> from tinygan import nn
    >>> network = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1, bias=False))
    >>> network[0].weight.grad, network[0].bias.grad = tg.tensor([[3.0]]), tg.tensor([4.0])
    >>> gradient_norms(network)
    {'0': 5.0}
    """
    return _norms_by_layer(
        (name, parameter.grad.data) for name, parameter in module.named_parameters() if parameter.grad is not None
    )


def update_ratios(module: Module, before: Mapping[str, Array]) -> dict[str, float]:
    """Return log10 of |update| / |weights| of each layer, by the layer's name; -3 is healthy.

    Parameters
    ----------
    module : Module
        After an update.
    before : mapping of str to array
        A copy of its parameters before the update, by name.

    Returns
    -------
    dict of str to float
        -12 where a layer did not change; a layer without a gradient, or whose weights are all 0, is left out.

    Examples
    --------
    >>> from tinygan import nn
    >>> layer = nn.Sequential(nn.Linear(1, 1, bias=False))
    >>> layer[0].weight.data[...], layer[0].weight.grad = 2.0, layer[0].weight
    >>> update_ratios(layer, {"0.weight": np.array([[1.98]], np.float32)})["0"].__round__(3)
    -2.0
    """
    trained = [(name, tensor.data) for name, tensor in module.named_parameters() if tensor.grad is not None]
    with np.errstate(over="ignore", invalid="ignore"):  # of weights that are not finite, which are refused elsewhere
        updates = _norms_by_layer((name, array - before[name]) for name, array in trained)
    weights = _norms_by_layer(trained)
    # Below 1e-12 is no number of float32 but 0, whose logarithm JSON cannot hold.
    return {name: math.log10(max(updates[name] / norm, 1e-12)) for name, norm in weights.items() if norm > 0}


def _norms_by_layer(arrays: Iterable[tuple[str, Array]]) -> dict[str, float]:
    norms: dict[str, list[float]] = {}
    for name, array in arrays:
        norms.setdefault(name.rpartition(".")[0], []).append(array_norm(array))
    return {layer: math.hypot(*parts) for layer, parts in norms.items()}
