"""Both networks and their rules as a reader of a report sees them: layers, shapes, parameters, and rates in words.

Everything comes from the configuration; no network is built.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tinygan.config.experiment import ExperimentConfig
from tinygan.config.layer_config import LayerConfig, Shape, shapes
from tinygan.config.layers import LinearConfig, MaxoutConfig
from tinygan.config.sections import AdamConfig, OptimizerConfig, SgdConfig
from tinygan.report.markup import table, text


def layer_names(config: ExperimentConfig) -> dict[str, str]:
    """Return the kind of each layer, by the name of its parameters.

    Examples
    --------
    >>> from tinygan.config.experiment import load_experiment
    >>> layer_names(load_experiment("digits"))["discriminator.1"]
    'maxout'
    """
    inner = "net." * (config.training.classes is not None)
    players = {
        f"discriminator.{'net.' * (config.training.packing > 1)}{inner}": config.discriminator.layers,
        f"generator.{inner}": config.generator.layers,
    }
    return {f"{player}{i}": layer.type for player, layers in players.items() for i, layer in enumerate(layers)}


def parameter_counts(layers: Sequence[LayerConfig], inputs: Shape) -> list[int]:
    """Return how many weights and biases each layer has.

    Parameters
    ----------
    layers : sequence of LayerConfig
    inputs : tuple of int
        The shape of one row of the input.

    Examples
    --------
    >>> from tinygan.config.experiment import load_experiment
    >>> parameter_counts(load_experiment("mnist").generator.layers, (100,))
    [121200, 0, 1441200, 0, 941584, 0]
    """
    reached = shapes(layers, inputs, "layers")
    return [layer.weights(shape) for layer, shape in zip(layers, reached[:-1], strict=True)]


def networks(config: ExperimentConfig) -> str:
    """Return both networks as tables, with the rules that train them, as HTML."""
    pixels = shapes(config.generator.layers, (config.generator_inputs,), "generator.layers")[-1][0]
    training, m = config.training, config.training.batch
    turns = "one after the other" if training.schedule == "alternating" else "at once, from the same weights"
    aim = "maximises log D(G(z))" if training.objective == "non-saturating" else "minimises log(1 − D(G(z)))"
    if training.objective not in ("non-saturating", "minimax"):
        aim = f"has the objective {text(training.objective)}"
    steps = "1 step" if training.k == 1 else f"{training.k} steps"
    scale, inputs = training.discriminator_loss_scale, config.generator_inputs
    of_d = config.discriminator_inputs(pixels)
    penalties = " and ".join(
        f"{penalty.kind} ({', '.join(f'{name} {number:g}' for name, number in penalty.numbers.items())})"
        for penalty in training.penalty or ()
    )
    players = (
        ("The generator, G", config.generator.layers, inputs, config.generator.optimizer, _samples(config)),
        ("The discriminator, D", config.discriminator.layers, of_d, config.discriminator.optimizer, ""),
    )
    parts = [
        f"<p>An iteration is {steps} of D, each on m = {m} data and as many samples, and one step of G; the players "
        f"move {turns}. G {aim}. The noise z has {config.noise.size} dimensions ({text(config.noise.kind)})"
        + (", the same for both players" if training.shared_noise else "")
        + (f"; D's loss is multiplied by {scale:g}" if scale != 1 else "")
        + (f"; it has the penalty {text(penalties)}" if penalties else "")
        + (f"; D judges {training.packing} samples at once" if training.packing > 1 else "")
        + (f"; both also read the class, one of {training.classes}, as a one-hot row" if training.classes else "")
        + ".</p>"
    ]
    parts += [
        f"<div>\n<h3>{title}</h3>\n{_table(layers, (inputs,))}\n<p>{_rule(optimizer)}{more}</p>\n</div>"
        for title, layers, inputs, optimizer, more in players
    ]
    return "\n".join([parts[0], '<div class="players">', *parts[1:], "</div>"])


def _table(layers: Sequence[LayerConfig], inputs: Shape) -> str:
    reached = [f"(m, {', '.join(f'{size:,}' for size in shape)})" for shape in shapes(layers, inputs, "layers")]
    rows = [("", "input", reached[0], "")]
    counts = parameter_counts(layers, inputs)
    for number, (layer, count, shape) in enumerate(zip(layers, counts, reached[1:], strict=True)):
        rows.append((str(number), _kind(layer), shape, f"{count:,}" if count else ""))
    rows.append(("", "all layers", "", f"{sum(counts):,}"))
    return table(rows, ("layer", "kind", "shape out", "parameters"), numbers=True, words=1)


def _kind(layer: LayerConfig) -> str:
    """Return the type of a layer and what it computes; its units, or channels, are the numbers that leave it."""
    if isinstance(layer, MaxoutConfig):
        return f"maxout of {layer.pieces} pieces"
    if isinstance(layer, LinearConfig):
        return "linear"
    hidden = ("type", "channels", *layer.starting)
    keys = [field.name for field in dataclasses.fields(layer) if getattr(layer, field.name) != field.default]
    words = [f"{key} = {text(getattr(layer, key))}".replace(" ", "\u00a0") for key in keys if key not in hidden]
    return " ".join([text(layer.type).replace("_", "_<wbr>"), *words])


def _rule(rule: OptimizerConfig) -> str:
    if isinstance(rule, AdamConfig):
        return (
            f"Adam with step size {rule.lr:g}, β<sub>1</sub> = {rule.beta1:g} (the memory of the mean gradient) and "
            f"β<sub>2</sub> = {rule.beta2:g} (of the mean squared gradient)."
        )
    if not isinstance(rule, SgdConfig):
        keys = {key: value for key, value in dataclasses.asdict(rule).items() if key != "kind" and value is not None}
        return f"{text(rule.kind)}: {', '.join(f'{key} = {text(value)}' for key, value in keys.items())}."
    words = [f"Gradient descent with learning rate {rule.lr:g}"]
    if rule.lr_decay != 1:
        end = f" until it is {rule.lr_min:g}" if rule.lr_min else ""
        words.append(f", divided by {rule.lr_decay!r} after each update{end}")
    if rule.lr_milestone is not None:
        words.append(f", and multiplied by {rule.lr_gamma:g} after {rule.lr_milestone:,} updates")
    if rule.momentum_final is not None:
        ramp = f"{rule.momentum:g} to {rule.momentum_final:g} in epoch {rule.momentum_epochs}"
        words.append(f"; the momentum goes from {ramp}")
    elif rule.momentum:
        words.append(f"; the momentum is {rule.momentum:g}")
    if rule.max_col_norm is not None:
        words.append(f"; the weights into each unit have a norm of at most {rule.max_col_norm:g}")
    return "".join(words) + "."


def _samples(config: ExperimentConfig) -> str:
    words = []
    if config.generator.average_decay is not None:
        decay = config.generator.average_decay
        words.append(f" Samples are drawn with the running mean of its weights (decay {decay}).")
    if config.generator.pretrained is not None:
        words.append(" Its topmost layers started as the generator of an earlier run.")
    return "".join(words)
