"""The shipped experiments: their settings, and that each mistake in editing one is refused."""

from __future__ import annotations

import copy
import dataclasses
import tomllib
from importlib import resources

import pytest
import tomli_w

from tinygan.config.convolutions import (
    BiasConfig,
    ConvTranspose2dConfig,
    FlattenConfig,
    MapsConfig,
    MaxoutConv2dConfig,
    MaxPool2dConfig,
    PixelsConfig,
)
from tinygan.config.experiment import load_experiment, parse_experiment, shipped_experiments
from tinygan.config.layer_config import shapes
from tinygan.config.layers import DropoutConfig, LinearConfig, MaxoutConfig, ReluConfig, SigmoidConfig
from tinygan.config.refusals import quote
from tinygan.config.sections import (
    AdamConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    NoiseConfig,
    SgdConfig,
    TrainingConfig,
)
from tinygan.errors import ConfigError

SHIPPED = {
    file.name.removesuffix(".toml"): tomllib.loads(file.read_text("utf-8"))
    for file in resources.files("tinygan.experiments").iterdir()
    if file.name.endswith(".toml")
}


def keys_of(value, path=()):
    """Return the path of every key in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [
        found
        for key, inner in items
        for found in ([(*path, key)] if isinstance(key, str) else []) + keys_of(inner, (*path, key))
    ]


def name_of(path):
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def container_of(document, path):
    for step in path[:-1]:
        document = document[step]
    return document


def misspellings(key):
    """Yield the key with one letter dropped, doubled, replaced, or two swapped, at every position."""
    for i in range(len(key)):
        yield key[:i] + key[i] + key[i:]
        if len(key) > 1:
            yield key[:i] + key[i + 1 :]
            yield key[:i] + "q" + key[i + 1 :]
            yield key[:i] + key[i : i + 2][::-1] + key[i + 2 :]


# Their keys are those of others.
TWINS = {"dcgan-cifar10", "dcgan-mnist", "mnist-averaged", "tfd-finetune"}
EVERY_KEY = [(name, path) for name in sorted(SHIPPED.keys() - TWINS) for path in keys_of(SHIPPED[name])]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "path"), EVERY_KEY, ids=lambda part: str(part).replace(" ", ""))
def test_every_misspelled_key_gets_the_right_suggestion(name, path):
    key = path[-1]
    for wrong in set(misspellings(key)) - {key}:
        document = copy.deepcopy(SHIPPED[name])
        container = container_of(document, path)
        container[wrong] = container.pop(key)
        with pytest.raises(ConfigError) as caught:
            parse_experiment(tomli_w.dumps(document), "mine.toml")
        assert str(caught.value) == (
            f'mine.toml: {name_of((*path[:-1], wrong))}: unknown key; did you mean "{key}"?'
        )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "path"), EVERY_KEY, ids=lambda part: str(part).replace(" ", ""))
def test_every_value_of_the_wrong_type_is_refused_by_name(name, path):
    original = container_of(SHIPPED[name], path)[path[-1]]
    wrong = ["1", "1.5", "true", "2014-06-10", '"word"', "[1]", "{ word = 1 }"]
    own = {int: ("1", "1.5"), float: ("1", "1.5"), bool: ("true",), str: ('"word"',), list: (), dict: wrong[-1:]}
    for value in set(wrong) - set(own[type(original)]):
        override = f"{name_of(path)}={value}"
        if path[-1] == "bias" and value in ("1", "1.5"):
            load_experiment(name, [override])  # a number is allowed instead of "marginal"
            continue
        with pytest.raises(ConfigError) as caught:
            load_experiment(name, [override])
        start = f"override {quote(override)}: {name_of(path)}"
        assert str(caught.value).startswith(start)
        assert ": expected " in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "path"), EVERY_KEY, ids=lambda part: str(part).replace(" ", ""))
def test_a_missing_key_is_named_or_has_a_default(name, path):
    document = copy.deepcopy(SHIPPED[name])
    del container_of(document, path)[path[-1]]
    optional = {
        "description", "seed", "output", "samples", "samples_every", "checkpoint_every", "k", "schedule",
        "shared_noise", "objective", "discriminator_loss_scale", "weight_range", "bias", "lr_decay", "lr_min",
        "momentum", "max_col_norm", "slope", "beta1", "beta2", "eps", "threads", "validate_every",
        "nonzero_weights", "pretrained", "average_decay", "classes", "penalty", "weight", "contrast", "range",
        "weight_std", "scale_std", "stride", "padding", "ceil_mode", "separate_passes",
    }  # fmt: skip
    shares_its_noise = SHIPPED[name]["training"].get("shared_noise", False)
    if path[-1] in optional and not (path[-1] == "schedule" and shares_its_noise):
        parse_experiment(tomli_w.dumps(document), "mine.toml")
        return
    with pytest.raises(ConfigError) as caught:
        parse_experiment(tomli_w.dumps(document), "mine.toml")
    if path[-1] == "schedule":  # the default does not share noise
        assert str(caught.value).startswith("mine.toml: training.shared_noise: the alternating schedule")
    else:
        assert str(caught.value).startswith(f"mine.toml: {name_of(path)}: missing; ")


def test_shipped_experiments_are_sorted_by_file_name():
    shipped = shipped_experiments()
    names = [config.name for config in shipped]
    assert names == sorted(SHIPPED)
    assert {"digits", "mnist"} <= set(names)
    assert all(load_experiment(config.name) == config for config in shipped)
    assert all(config.description for config in shipped)


def test_mnist_is_the_configuration_of_the_released_code():
    config = load_experiment("mnist")
    sgd = SgdConfig(
        lr=0.1, lr_decay=1.000004, lr_min=1e-6, momentum=0.5, momentum_final=0.7, momentum_epochs=250
    )
    assert config.noise == NoiseConfig(kind="uniform", size=100)
    assert config.generator == GeneratorConfig(
        layers=(
            LinearConfig(units=1200, weight_range=0.05),
            ReluConfig(),
            LinearConfig(units=1200, weight_range=0.05),
            ReluConfig(),
            LinearConfig(units=784, weight_range=0.05, bias="marginal"),
            SigmoidConfig(),
        ),
        optimizer=sgd,
    )
    assert config.discriminator == DiscriminatorConfig(
        layers=(
            DropoutConfig(p=0.2),
            MaxoutConfig(units=240, pieces=5, weight_range=0.005),
            DropoutConfig(p=0.5),
            MaxoutConfig(units=240, pieces=5, weight_range=0.005),
            DropoutConfig(p=0.5),
            LinearConfig(units=1, weight_range=0.005),
        ),
        optimizer=sgd,
    )
    assert config.training == TrainingConfig(
        epochs=1000,
        batch=100,
        k=1,
        schedule="simultaneous",
        shared_noise=True,
        objective="non-saturating",
        discriminator_loss_scale=0.5,
    )


def test_mnist_algorithm1_differs_from_mnist_as_described():
    ours, mnist = load_experiment("mnist-algorithm1"), load_experiment("mnist")
    assert ours.generator.optimizer == AdamConfig(lr=0.0002, beta1=0.5)
    assert ours.generator.average_decay == load_experiment("mnist-averaged").generator.average_decay
    assert ours == dataclasses.replace(
        mnist,
        name=ours.name,
        description=ours.description,
        generator=dataclasses.replace(mnist.generator, optimizer=ours.generator.optimizer, average_decay=0.9999),
        training=dataclasses.replace(
            mnist.training, schedule="alternating", shared_noise=False, discriminator_loss_scale=1.0
        ),
    )


def test_mnist_averaged_differs_from_mnist_in_the_average_only():
    ours, mnist = load_experiment("mnist-averaged"), load_experiment("mnist")
    decay = ours.generator.average_decay
    assert decay is not None
    generator = dataclasses.replace(mnist.generator, average_decay=decay)
    assert ours == dataclasses.replace(mnist, name=ours.name, description=ours.description, generator=generator)


TFD_SGD = SgdConfig(
    lr=0.05, lr_decay=1.000004, lr_min=1e-6, momentum=0.5, momentum_final=0.7, momentum_epochs=250, max_col_norm=1.9365
)


def test_tfd_is_the_first_stage_of_the_released_code():
    config, mnist = load_experiment("tfd"), load_experiment("mnist")
    assert config.noise == NoiseConfig(kind="gaussian", size=100)
    assert config.generator == GeneratorConfig(
        layers=(
            LinearConfig(units=8000, weight_range=0.05),
            ReluConfig(),
            LinearConfig(units=8000, weight_range=0.05, bias=-2.0),
            SigmoidConfig(),
            LinearConfig(units=48 * 48, nonzero_weights=100, bias="marginal"),
            SigmoidConfig(),
        ),
        optimizer=TFD_SGD,
    )
    assert config.discriminator == DiscriminatorConfig(
        layers=(
            DropoutConfig(p=0.2),
            MaxoutConfig(units=1200, pieces=5, weight_range=0.005),
            DropoutConfig(p=0.5),
            MaxoutConfig(units=1200, pieces=5, weight_range=0.005),
            DropoutConfig(p=0.5),
            LinearConfig(units=1, weight_range=0.005),
        ),
        optimizer=TFD_SGD,
    )
    assert config.training == dataclasses.replace(mnist.training, epochs=50)


CIFAR10_SGD = SgdConfig(lr=0.025, lr_decay=1.000004, lr_min=1e-6, momentum=0.5, momentum_final=0.7, momentum_epochs=250)


def test_cifar10_fc_is_the_configuration_of_the_released_code():
    config, mnist = load_experiment("cifar10-fc"), load_experiment("mnist")
    assert (config.data.set, config.data.contrast, config.data.range) == ("cifar10", 55.0, None)
    assert config.noise == NoiseConfig(kind="gaussian", size=100)
    assert config.generator == GeneratorConfig(
        layers=(
            LinearConfig(units=8000, weight_range=0.05),
            ReluConfig(),
            LinearConfig(units=8000, weight_range=0.05),
            SigmoidConfig(),
            LinearConfig(units=32 * 32 * 3, weight_range=0.5),
        ),
        optimizer=CIFAR10_SGD,
    )
    assert config.discriminator == DiscriminatorConfig(
        layers=(
            DropoutConfig(p=0.2),
            MaxoutConfig(units=1600, pieces=5, weight_range=0.005),
            DropoutConfig(p=0.5),
            MaxoutConfig(units=1600, pieces=5, weight_range=0.005),
            DropoutConfig(p=0.5),
            LinearConfig(units=1, weight_range=0.005),
        ),
        optimizer=CIFAR10_SGD,
    )
    assert config.training == dataclasses.replace(mnist.training, epochs=config.training.epochs)


def test_cifar10_conv_is_the_configuration_of_the_released_code():
    config, fc = load_experiment("cifar10-conv"), load_experiment("cifar10-fc")
    sgd = dataclasses.replace(CIFAR10_SGD, lr=0.004)
    assert (config.data, config.noise) == (fc.data, fc.noise)
    assert config.generator == GeneratorConfig(
        layers=(
            *fc.generator.layers[:4],
            MapsConfig(height=10, width=10),
            ConvTranspose2dConfig(channels=3, kernel=5, stride=3, weight_range=0.05, bias="none"),
            BiasConfig(),  # untied: one for each of the 3x32x32 numbers
            PixelsConfig(),
        ),
        optimizer=sgd,
    )
    small, half = {"weight_range": 0.005}, DropoutConfig(p=0.5)
    assert config.discriminator == DiscriminatorConfig(
        layers=(
            DropoutConfig(p=0.2),
            MapsConfig(height=32, width=32),
            MaxoutConv2dConfig(units=32, pieces=2, kernel=8, padding=4, **small),
            MaxPool2dConfig(size=4, stride=2, ceil_mode=True),
            half,
            MaxoutConv2dConfig(units=32, pieces=2, kernel=8, padding=3, **small),
            MaxPool2dConfig(size=4, stride=2, ceil_mode=True),
            half,
            MaxoutConv2dConfig(units=192, pieces=2, kernel=5, padding=3, **small),
            MaxPool2dConfig(size=2, stride=2, ceil_mode=True),
            half,
            FlattenConfig(),
            MaxoutConfig(units=500, pieces=5, **small),
            half,
            LinearConfig(units=1, **small),
        ),
        optimizer=sgd,
    )
    assert config.training == dataclasses.replace(fc.training, batch=128)


@pytest.mark.parametrize(
    ("name", "shape", "maps_of_g", "maps_of_d"),
    [
        ("dcgan-digits", (8, 8, 1), [(64, 2), (32, 4), (1, 8)], [(1, 8), (32, 4), (64, 2)]),
        ("dcgan-mnist", (28, 28, 1), [(64, 7), (32, 14), (1, 28)], [(1, 28), (32, 14), (64, 7)]),
        (
            "dcgan-cifar10",
            (32, 32, 3),
            [(256, 4), (128, 8), (64, 16), (3, 32)],
            [(3, 32), (64, 16), (128, 8), (256, 4)],
        ),
    ],
)
def test_a_dcgan_keeps_the_rules_of_its_paper(name, shape, maps_of_g, maps_of_d):
    config = load_experiment(name)
    pixels = shape[0] * shape[1] * shape[2]
    for player, inputs, maps in (
        (config.generator, config.noise.size, maps_of_g),
        (config.discriminator, pixels, maps_of_d),
    ):
        reached = shapes(player.layers, (inputs,), "layers")
        sides = [(size[0], size[1]) for size in reached if len(size) == 3]
        assert list(dict.fromkeys(sides)) == maps  # each convolution doubles or halves: no pooling
        kinds = [layer.type for layer in player.layers]
        trained = [i for i, layer in enumerate(player.layers) if layer.affine]
        assert {player.layers[i].weight_std for i in trained} == {0.02}
        for i in trained:
            if "conv" in kinds[i]:
                layer = player.layers[i]
                assert (layer.kernel, layer.stride, layer.padding) == (4, 2, 1)
                if kinds[i + 1] == "batch_norm":  # which subtracts any bias
                    assert layer.bias == "none"
        normalized = [kinds[i + 1 : i + 2] == ["batch_norm"] for i in trained]
        if player is config.generator:
            assert normalized == [True] * (len(trained) - 1) + [False]
            assert kinds.count("relu") == len(trained) - 1
            assert kinds[-2:] == ["tanh", "pixels"]
        else:
            assert normalized == [False] + [True] * (len(trained) - 2) + [False]
            assert [layer.slope for layer in player.layers if layer.type == "leaky_relu"] == [0.2] * (len(trained) - 1)
        assert {layer.scale_std for layer in player.layers if layer.type == "batch_norm"} == {0.02}
        assert (player.optimizer.kind, player.optimizer.beta1, player.optimizer.beta2) == ("adam", 0.5, 0.999)
    assert config.data.range == (-1, 1)
    assert config.training.separate_passes
    assert config.training.schedule == "alternating"
    assert config.training.objective == "non-saturating"
    assert config.training.discriminator_loss_scale == 1.0  # the sum of both terms


def test_tfd_finetune_adds_two_layers_below_the_generator():
    config, first = load_experiment("tfd-finetune"), load_experiment("tfd")
    assert config.generator.pretrained == "runs/tfd"  # the folder that `tinygan train tfd` makes
    assert config.generator.optimizer == TFD_SGD
    assert config.generator.layers[:4] == (
        LinearConfig(units=8000, weight_range=0.05),
        ReluConfig(),
        LinearConfig(units=100, weight_range=0.05, bias=-2.0),
        SigmoidConfig(),
    )
    for ours, theirs in zip(config.generator.layers[4:], first.generator.layers, strict=True):
        assert (ours.type, getattr(ours, "units", None)) == (theirs.type, getattr(theirs, "units", None))
    assert (config.discriminator, config.noise, config.data) == (first.discriminator, first.noise, first.data)
    assert config.training == dataclasses.replace(first.training, epochs=22)


def test_digits_is_algorithm_1_as_printed():
    config = load_experiment("digits")
    assert config.training.schedule == "alternating"
    assert not config.training.shared_noise
    assert config.training.discriminator_loss_scale == 1.0
    assert [layer for layer in config.generator.layers if layer.type == "linear"][-1].units == 64
