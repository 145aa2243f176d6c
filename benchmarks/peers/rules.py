"""What the peers share: which games are written for them, the players' losses, and the name of a parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.errors import BenchmarkError
from tinygan.config.experiment import ExperimentConfig

LAYERS = {
    "linear", "maxout", "relu", "leaky_relu", "sigmoid", "tanh", "dropout", "batch_norm", "maps", "pixels", "flatten",
    "bias", "conv2d", "conv_transpose2d", "maxout_conv2d", "max_pool2d",
}  # fmt: skip
_PLAIN: dict[str, dict[str, Any]] = {  # the only values that are written for the peers
    "training": {"label_smoothing": 0.0, "instance_noise": 0.0, "packing": 1},
    "optimizer": {"lr_linear": None, "lr_cosine": None, "lr_milestone": None, "lr_warmup": None},
}
Loss = Callable[..., Any]


def refuse_unwritten(peer: str, config: ExperimentConfig) -> None:
    """Raise `BenchmarkError` if the game has a setting that is not written for the peers; name it."""
    training = config.training
    found = [f"training.{key}" for key, value in _PLAIN["training"].items() if getattr(training, key) != value]
    found += [f'training.penalty.kind = "{penalty.kind}"' for penalty in training.penalty or () if penalty.kind != "r1"]
    if config.noise.kind not in ("uniform", "gaussian"):
        found.append(f'noise.kind = "{config.noise.kind}"')
    for name in ("generator", "discriminator"):
        player = getattr(config, name)
        if player.optimizer.kind not in ("sgd", "adam"):
            found.append(f'{name}.optimizer.kind = "{player.optimizer.kind}"')
        rules = _PLAIN["optimizer"].items()
        found += [f"{name}.optimizer.{key}" for key, value in rules if getattr(player.optimizer, key) != value]
        for index, layer in enumerate(player.layers):
            if layer.type not in LAYERS:
                found.append(f'{name}.layers[{index}].type = "{layer.type}"')
            elif getattr(layer, "spectral_norm", False):
                found.append(f"{name}.layers[{index}].spectral_norm")
    if found:
        raise BenchmarkError(f"{peer}: {' and '.join(found)}: not written for the peers")


def losses_of(objective: str, cross_entropy: Loss, relu: Loss) -> tuple[Loss, Loss]:
    """Return what each player minimises: of the logits for data and for samples, and of the logits for samples.

    Parameters
    ----------
    objective : str
    cross_entropy : callable
        From logits and a label, 1 or 0, to the mean cross-entropy.
    relu : callable
    """

    def of_d(real: Any, fake: Any) -> Any:
        return cross_entropy(real, 1) + cross_entropy(fake, 0)

    def minus_mean(fake: Any) -> Any:
        return -fake.mean()

    table: dict[str, tuple[Loss, Loss]] = {
        "non-saturating": (of_d, lambda fake: cross_entropy(fake, 1)),
        "minimax": (of_d, lambda fake: -cross_entropy(fake, 0)),
        "lsgan": (
            lambda real, fake: (((real - 1) ** 2).mean() + (fake**2).mean()) / 2,
            lambda fake: ((fake - 1) ** 2).mean() / 2,
        ),
        "hinge": (lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(), minus_mean),
        "wasserstein": (lambda real, fake: fake.mean() - real.mean(), minus_mean),
    }
    return table[objective]


def prefix_of(config: ExperimentConfig, player: str) -> str:
    """Return what the names of a player's parameters begin with in tinygan."""
    return f"{player}." if config.training.classes is None else f"{player}.net."
