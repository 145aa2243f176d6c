"""A run may become longer or show more of itself; what decides its bits may not change, and is named when it does."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygan.config.decisive import changes, decisive_toml
from tinygan.config.experiment import load_experiment, parse_experiment, shipped_experiments
from tinygan.errors import ConfigError

FREE = [
    "name=other",
    "description=other",
    "training.epochs=7",
    "training.threads=2",
    "output.samples=9",
    "output.samples_every=9",
    "output.checkpoint_every=9",
    "output.validate_every=9",
    "output.validation_samples=9",
    "generator.pretrained=elsewhere",
]
# One change of every key that decides something, and how it is said.
DECISIVE = {
    "seed=1": "seed was 2014 and is now 1",
    "data.set=digits": 'data.set was "mnist" and is now "digits"',
    "data.contrast=55": "data.contrast was absent and is now 55.0",
    "noise.kind=gaussian": 'noise.kind was "uniform" and is now "gaussian"',
    "noise.size=9": "noise.size was 100 and is now 9",
    "generator.layers.0.units=9": "generator.layers.0.units was 1200 and is now 9",
    "generator.layers.0.weight_range=0.5": "generator.layers.0.weight_range was 0.05 and is now 0.5",
    "generator.layers.2.bias=0.5": "generator.layers.2.bias was 0.0 and is now 0.5",
    "generator.layers.4.bias=0.5": 'generator.layers.4.bias was "marginal" and is now 0.5',
    "generator.layers.0.spectral_norm=true": "generator.layers.0.spectral_norm was false and is now true",
    "discriminator.layers.0.p=0.3": "discriminator.layers.0.p was 0.2 and is now 0.3",
    "discriminator.layers.1.pieces=2": "discriminator.layers.1.pieces was 5 and is now 2",
    "discriminator.optimizer.lr=0.05": "discriminator.optimizer.lr was 0.1 and is now 0.05",
    "generator.optimizer.lr_decay=1.5": "generator.optimizer.lr_decay was 1.000004 and is now 1.5",
    "generator.optimizer.max_col_norm=2.0": "generator.optimizer.max_col_norm was absent and is now 2.0",
    "generator.optimizer.weight_decay=0.5": "generator.optimizer.weight_decay was 0.0 and is now 0.5",
    "generator.average_decay=0.5": "generator.average_decay was absent and is now 0.5",
    "training.batch=50": "training.batch was 100 and is now 50",
    "training.k=2": "training.k was 1 and is now 2",
    "training.shared_noise=false": "training.shared_noise was true and is now false",
    "training.objective=minimax": 'training.objective was "non-saturating" and is now "minimax"',
    "training.label_smoothing=0.1": "training.label_smoothing was 0.0 and is now 0.1",
    "training.instance_noise=0.1": "training.instance_noise was 0.0 and is now 0.1",
    "training.separate_passes=true": "training.separate_passes was false and is now true",
    "training.packing=2": "training.packing was 1 and is now 2",
    "training.discriminator_loss_scale=1.0": "training.discriminator_loss_scale was 0.5 and is now 1.0",
}


def mnist(*overrides):
    return load_experiment("mnist", overrides)


@pytest.mark.slow
@given(st.lists(st.sampled_from(FREE)))
def test_what_may_change_leaves_the_same_text(overrides):
    assert decisive_toml(mnist(*overrides)) == decisive_toml(mnist())
    assert changes(decisive_toml(mnist()), mnist(*overrides)) == []


@pytest.mark.slow
@given(decisive=st.lists(st.sampled_from(sorted(DECISIVE)), unique=True), free=st.lists(st.sampled_from(FREE)))
def test_every_change_that_matters_is_named_and_no_other(decisive, free):
    found = changes(decisive_toml(mnist()), mnist(*decisive, *free))
    assert sorted(found) == sorted(DECISIVE[override] for override in decisive)


def test_every_key_of_an_experiment_was_tried():
    """For each new key, decide whether it belongs here."""
    tried = {override.split("=")[0] for override in (*FREE, *DECISIVE)}
    kinds = {name.rsplit(".", 1)[-1] for name in tried}
    table = tomllib.loads(decisive_toml(mnist()))

    def keys(value):
        if isinstance(value, dict):
            for key, item in value.items():
                yield from keys(item) if isinstance(item, dict | list) else [key]
        elif isinstance(value, list):
            for item in value:
                yield from keys(item)

    # The other parts of the same rules: a schedule's, and the tags, which come with other keys.
    assert set(keys(table)) - kinds == {
        "type", "schedule", "lr_min", "momentum", "momentum_final", "momentum_epochs"
    }  # fmt: skip


@pytest.mark.parametrize("config", shipped_experiments(), ids=lambda config: config.name)
def test_every_shipped_experiment_is_itself(config):
    recorded = decisive_toml(config)
    assert changes(recorded, config) == []
    assert decisive_toml(parse_experiment(recorded, "recorded")) == recorded


def test_layers_that_came_or_went_are_named():
    without = mnist()
    with_one_more = parse_experiment(
        decisive_toml(without).replace('{ type = "sigmoid" },', '{ type = "sigmoid" },\n  { type = "relu" },').replace(
            '"marginal"', "0.0"
        ),
        "more",
    )
    assert changes(decisive_toml(without), with_one_more) == [
        'generator.layers.4.bias was "marginal" and is now 0.0',
        'generator.layers.6.type was absent and is now "relu"',
    ]
    assert 'generator.layers.6.type was "relu" and is now absent' in changes(decisive_toml(with_one_more), without)


def test_an_absent_key_has_its_default():
    recorded = decisive_toml(mnist()).replace("k = 1\n", "")
    assert changes(recorded, mnist()) == []
    assert changes(recorded, mnist("training.k=2")) == ["training.k was 1 and is now 2"]


def test_settings_of_a_later_version_are_refused_by_name():
    recorded = decisive_toml(mnist()).replace("k = 1\n", "k = 1\nfuture = 3\n")
    with pytest.raises(ConfigError, match=r"^the recorded settings: training\.future: unknown key"):
        changes(recorded, mnist())
