"""Build the networks, the optimisers and the game of a configuration."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinygan import gan, nn, optim
from tinygan.backend import Stream, Streams
from tinygan.config.convolutions import MapsConfig
from tinygan.config.experiment import ExperimentConfig
from tinygan.config.layer_config import LayerConfig, Shape, described, shapes
from tinygan.config.layers import LinearConfig
from tinygan.config.sections import (
    AdamConfig,
    AdamWConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    OptimizerConfig,
    RmspropConfig,
)
from tinygan.data.dataset import Dataset
from tinygan.errors import ConfigError
from tinygan.experiments.labels import refuse_other_labels
from tinygan.gan.players import last_activation, out_of_reach


def build_generator(config: ExperimentConfig, pixels: int, stream: Stream) -> nn.Module:
    """Build G with new random weights; "marginal" biases are 0 until `set_marginal_bias`.

    Parameters
    ----------
    config : ExperimentConfig
    pixels : int
        The size of a sample.
    stream : Stream
        The random numbers for the weights.

    Raises
    ------
    ConfigError
        The generator's output is not an image of the data set.
    """
    network, made = _network(config.generator.layers, config.generator_inputs, stream, "generator.layers")
    if len(made) > 1:
        raise ConfigError(
            f'{config.name}: the generator returns {described(made)}: end it with {{ type = "pixels" }}, which makes '
            "them rows of pixels"
        )
    if made != (pixels,):
        units = any(isinstance(layer, LinearConfig) for layer in config.generator.layers[-2:])
        raise ConfigError(
            f"{config.name}: the generator's last layer has {made[0]} units, but an image of "
            f"{config.data.set!r} has {pixels} pixels: "
            + (f"set its units to {pixels}" if units else "choose other sizes of its maps, or of the images")
        )
    return _conditional(network, config)


def build_discriminator(config: ExperimentConfig, pixels: int, stream: Stream) -> nn.Module:
    """Build D with new random weights: from the pixels of one image, or of a pack, to one logit."""
    layers, m = config.discriminator.layers, config.training.packing
    network, made = _network(layers, config.discriminator_inputs(pixels), stream, "discriminator.layers")
    if made != (1,):
        raise ConfigError(
            f"{config.name}: the discriminator ends on {described(made)}; expected one logit: end it with "
            '{ type = "flatten" } and { type = "linear", units = 1 }'
        )
    reader = _conditional(network, config)
    return reader if m == 1 else gan.Packed(reader, m)


def _conditional(network: nn.Sequential, config: ExperimentConfig) -> nn.Module:
    classes = config.training.classes
    return network if classes is None else gan.Conditional(network, classes)


def refuse_other_maps(config: ExperimentConfig, image_shape: Shape) -> None:
    """Refuse maps that G turns into images, or that D makes of them, and that do not have the shape of an image.

    Parameters
    ----------
    config : ExperimentConfig
    image_shape : tuple of int
        (height, width), or (height, width, 3) for images in colour.

    Raises
    ------
    ConfigError
    """
    height, width, channels = (*image_shape, 1, 1)[:3]
    of = f"an image of {config.data.set!r} is {described((channels, height, width))}"
    layers = config.generator.layers
    reached = shapes(layers, (config.generator_inputs,), "generator.layers")
    last = max((i for i, shape in enumerate(reached) if len(shape) == 3), default=len(layers))
    above = layers[last:]
    if above and not any(layer.affine for layer in above):  # else the maps are no image yet
        if reached[last] != (channels, height, width):
            size, colour = reached[last][1], str(reached[last][0] == 3).lower()
            resized = f", or the images: data.size = {size}, data.colour = {colour}"
            raise ConfigError(
                f"{config.name}: the generator draws {described(reached[last])}, but {of}: change the layers of both "
                f"players{resized if config.data.set == 'images' else ''}"
            )
        if channels > 1 and above[0].type != "pixels":
            raise ConfigError(
                f"{config.name}: generator.layers[{last}]: a {above[0].type} layer puts the colours one after the "
                'other, but a data set has them pixel by pixel: use { type = "pixels" }'
            )
    for index, layer in enumerate(config.discriminator.layers):
        if layer.affine:
            return
        if isinstance(layer, MapsConfig) and (layer.height, layer.width) != (height, width):
            raise ConfigError(
                f"{config.name}: discriminator.layers[{index}]: maps of {layer.height}x{layer.width}, but {of}: set "
                f"height = {height} and width = {width}"
            )


def layers_of(network: nn.Module) -> nn.Sequential:
    """Return the layers of a network that `build_generator` made, or `build_discriminator` without packs."""
    layers = network.net if isinstance(network, gan.Conditional) else network
    assert isinstance(layers, nn.Sequential)
    return layers


def set_marginal_bias(config: ExperimentConfig, generator: nn.Module, images: Any) -> None:
    """Set the bias of each layer declared ``bias = "marginal"`` to the logit of the mean training image."""
    for layer_config, layer in zip(config.generator.layers, layers_of(generator), strict=True):
        if isinstance(layer_config, LinearConfig) and layer_config.bias == "marginal":
            layer = layer.layer if isinstance(layer, nn.SpectralNorm) else layer
            assert isinstance(layer, nn.Linear)
            assert layer.bias is not None
            layer.bias.data[...] = layer.bias.backend.from_numpy(nn.init.marginal_bias(images))


def build_optimizer(config: OptimizerConfig, network: nn.Module, updates_per_epoch: int) -> optim.Optimizer:
    """Build the update rule of one player."""
    params, lr, weight_decay = network.parameters(), build_schedule(config), config.weight_decay
    if isinstance(config, AdamConfig):
        rule = optim.AdamW if isinstance(config, AdamWConfig) else optim.Adam
        return rule(params, lr, (config.beta1, config.beta2), config.eps, weight_decay=weight_decay)
    if isinstance(config, RmspropConfig):
        return optim.RMSprop(params, lr, config.alpha, config.eps, weight_decay=weight_decay)
    momentum: Any = config.momentum
    if config.momentum_final is not None and config.momentum_epochs is not None:
        ends = config.momentum, config.momentum_final
        momentum = optim.LinearMomentum(*ends, config.momentum_epochs, updates_per_epoch=updates_per_epoch)
    return optim.SGD(params, lr, momentum, max_col_norm=config.max_col_norm, weight_decay=weight_decay)


def build_schedule(config: OptimizerConfig) -> Any:
    """Return the learning rate, or its schedule."""
    lr: Any = config.lr
    if config.lr_linear is not None:
        lr = optim.LinearDecay(lr, config.lr_linear, config.lr_min)
    elif config.lr_cosine is not None:
        lr = optim.CosineDecay(lr, config.lr_cosine, config.lr_min)
    elif config.lr_decay > 1:
        lr = optim.ExponentialDecay(lr, config.lr_decay, config.lr_min)
    if config.lr_milestone is not None and config.lr_gamma is not None:
        lr = optim.StepDecay(lr, config.lr_milestone, config.lr_gamma)
    return lr if config.lr_warmup is None else optim.WarmUp(lr, config.lr_warmup)


def build_game(config: ExperimentConfig, dataset: Dataset, streams: Streams, device: str) -> gan.Algorithm1:
    """Build both networks on `device`, their optimisers and Algorithm 1.

    Raises
    ------
    ConfigError
        The networks do not fit the data, such as a sigmoid and pixels up to 255, or the memory of this machine; or the
        data do not have the labels of a conditional game.
    """
    pixels = dataset.train.images.shape[1]
    refuse_other_maps(config, dataset.image_shape)
    needed, there = least_memory(config, pixels), _memory()
    if there is not None and needed > there:
        raise ConfigError(
            f"{config.name}: the weights, their gradients, the state of the optimisers and the activations of one "
            f"minibatch take {needed / 2**30:,.1f} GiB, and this machine has {there / 2**30:,.1f}: choose fewer units "
            "or a smaller training.batch"
        )
    refuse_other_labels(config, dataset.train.labels)
    generator = build_generator(config, pixels, streams["weights"])
    wrong = out_of_reach(last_activation(generator), dataset.train.low, dataset.train.high)
    if wrong:
        raise ConfigError(
            f"{config.name}: {wrong}: choose the scale of the data by data.range or data.contrast, or other layers for "
            "the generator"
        )
    discriminator = build_discriminator(config, pixels, streams["weights"])
    set_marginal_bias(config, generator, dataset.train.images)
    generator.to(device)
    discriminator.to(device)
    training = config.training
    steps = max(1, len(dataset.train.images) // (training.batch * training.k))  # in an epoch
    instance_noise: Any = training.instance_noise
    if training.instance_noise_steps is not None:
        instance_noise = gan.InstanceNoise(instance_noise, training.instance_noise_steps)
    return gan.Algorithm1(
        generator,
        discriminator,
        noise=gan.Noise(config.noise.kind, config.noise.size),
        k=training.k,
        schedule=training.schedule,
        shared_noise=training.shared_noise,
        objective=training.objective,
        discriminator_loss_scale=training.discriminator_loss_scale,
        penalty=[penalty.build() for penalty in training.penalty or ()],
        label_smoothing=training.label_smoothing,
        instance_noise=instance_noise,
        separate_passes=training.separate_passes,
        generator_optimizer=build_optimizer(config.generator.optimizer, generator, steps),
        discriminator_optimizer=build_optimizer(config.discriminator.optimizer, discriminator, training.k * steps),
        streams=streams,
    )


def least_memory(config: ExperimentConfig, pixels: int) -> int:
    """Return how many bytes a training takes at least, to refuse it before any of them is allocated.

    Examples
    --------
    >>> from tinygan.config.experiment import load_experiment
    >>> least_memory(load_experiment("mnist"), 784) // 2**20  # MiB
    44
    """
    numbers = 0
    inputs = config.generator_inputs, config.discriminator_inputs(pixels)
    players: tuple[GeneratorConfig | DiscriminatorConfig, ...] = (config.generator, config.discriminator)
    for player, width, name in zip(players, inputs, ("generator", "discriminator"), strict=True):
        weights = 0
        for layer, shape in zip(player.layers, shapes(player.layers, (width,), f"{name}.layers"), strict=False):
            weights += layer.weights(shape)
            numbers += config.training.batch * layer.numbers(shape)
        rule = player.optimizer
        slots = 2 if isinstance(rule, AdamConfig) else isinstance(rule, RmspropConfig) or rule.momentum > 0
        numbers += (2 + slots) * weights  # each with its gradient
    return 4 * numbers


def _memory() -> int | None:
    """Return how many bytes of memory this process may use, or None if the system does not say."""
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
    with contextlib.suppress(OSError, ValueError):  # a container may have less; no limit is "max"
        there = min(there, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return there


def _network(
    layers: Sequence[LayerConfig], inputs: int, stream: Stream, place: str
) -> tuple[nn.Sequential, tuple[int, ...]]:
    """Return a network of these layers, and the shape that it makes of a row of so many numbers."""
    reached = shapes(layers, (inputs,), place)
    built = [layer.build(shape, stream) for layer, shape in zip(layers, reached[:-1], strict=True)]
    return nn.Sequential(*built), reached[-1]
