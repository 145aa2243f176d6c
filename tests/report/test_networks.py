"""The summaries of the networks agree with the networks that are built."""

from __future__ import annotations

import re

import pytest

from tinygan.backend import Stream
from tinygan.config.experiment import load_experiment, shipped_experiments
from tinygan.config.layer_config import shapes
from tinygan.experiments.build import build_discriminator, build_generator, layers_of
from tinygan.report.networks import layer_names, networks, parameter_counts

SMALL = [config for config in shipped_experiments() if not config.name.startswith(("tfd", "cifar10"))]


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.replace("<wbr>", "")))


@pytest.mark.slow
@pytest.mark.parametrize("config", SMALL, ids=lambda config: config.name)
def test_counts_are_those_of_the_built_networks(config):
    (pixels,) = shapes(config.generator.layers, (config.generator_inputs,), "generator.layers")[-1]
    for layers, inputs, network in (
        (config.generator.layers, config.generator_inputs, build_generator(config, pixels, Stream(0, "weights"))),
        (
            config.discriminator.layers,
            config.discriminator_inputs(pixels),
            build_discriminator(config, pixels, Stream(0, "weights")),
        ),
    ):
        built = [sum(parameter.size for parameter in layer.parameters()) for layer in layers_of(network)]
        assert parameter_counts(layers, (inputs,)) == built
        assert f"{sum(built):,}" in networks(config)


def test_names_are_those_of_the_parameters():
    config = load_experiment("digits")
    names = layer_names(config)
    for player, build in (("generator", build_generator), ("discriminator", build_discriminator)):
        for name, _ in build(config, 64, Stream(0, "weights")).named_parameters():
            assert names[f"{player}.{name.split('.')[0]}"] in ("linear", "maxout")


def test_layers_and_shapes():
    page = text_of(networks(load_experiment("digits")))
    assert "input (m, 32)" in page
    assert "0 linear (m, 256) 8,448" in page
    assert "1 maxout of 5 pieces (m, 64) 20,800" in page
    assert "0 dropout p = 0.2 (m, 64)" in page
    assert "An iteration is 1 step of D, each on m = 64 data" in page


def test_layers_and_shapes_of_maps():
    page = text_of(networks(load_experiment("dcgan-digits")))
    assert "4 conv_transpose2d kernel = 4 stride = 2 padding = 1 (m, 32, 4, 4) 32,768" in page
    assert "1 conv2d kernel = 4 stride = 2 padding = 1 (m, 32, 4, 4) 512" in page
    assert "5 batch_norm (m, 32, 4, 4) 64" in page
    assert "9 pixels (m, 64)" in page
    page = text_of(networks(load_experiment("cifar10-conv")))
    assert "2 maxout_conv2d kernel = 8 padding = 4 units = 32 pieces = 2 (m, 32, 33, 33) 12,352" in page


def test_rates_in_words():
    page = text_of(networks(load_experiment("mnist")))
    assert "learning rate 0.1, divided by 1.000004 after each update until it is 1e-06" in page
    assert "the momentum goes from 0.5 to 0.7 in epoch 250" in page
    assert "at once, from the same weights" in page
    changed = ["generator.optimizer.lr_milestone=5", "generator.optimizer.lr_gamma=0.1", "training.k=3"]
    page = text_of(networks(load_experiment("mnist", changed)))
    assert "multiplied by 0.1 after 5 updates" in page
    assert "An iteration is 3 steps of D" in page
    assert "learning rate 0.2, divided by 1.0005 after each update." in text_of(networks(load_experiment("gaussian")))
    assert "step size 0.002" in text_of(networks(load_experiment("digits")))
    assert "running mean of its weights" in text_of(networks(load_experiment("mnist-averaged")))
    assert "minimises log(1 − D(G(z)))" in text_of(networks(load_experiment("digits", ["training.objective=minimax"])))
