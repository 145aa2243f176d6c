"""The rules that involve more than one key."""

from __future__ import annotations

import math

import pytest

from tinygan import gan
from tinygan.config.data import DataConfig
from tinygan.config.layers import (
    LAYERS,
    DropoutConfig,
    LeakyReluConfig,
    LinearConfig,
    MaxoutConfig,
)
from tinygan.config.refusals import Place
from tinygan.config.schema import Flag, Integer, Number, kinds, read_section
from tinygan.config.sections import (
    OPTIMIZERS,
    AdamConfig,
    AdamWConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    NoiseConfig,
    OutputConfig,
    RmspropConfig,
    SgdConfig,
    TrainingConfig,
)
from tinygan.errors import ConfigError

SGD = {"kind": "sgd", "lr": 0.1}
RELU, SIGMOID, TANH = {"type": "relu"}, {"type": "sigmoid"}, {"type": "tanh"}
LOGIT = {"type": "linear", "units": 1}
MARGINAL = {"type": "linear", "units": 3, "bias": "marginal"}


def linear(units):
    return {"type": "linear", "units": units}


def refusal(section, table):
    with pytest.raises(ConfigError) as caught:
        read_section(section, table, Place("f"))
    return str(caught.value).removeprefix("f: ")


def generator(*layers):
    return {"layers": list(layers), "optimizer": SGD}


def test_defaults():
    assert LAYERS.read(linear(3), Place("f")) == LinearConfig(units=3, weight_range=None, bias=0.0)
    assert LAYERS.read({"type": "leaky_relu"}, Place("f")) == LeakyReluConfig(slope=0.01)
    assert LAYERS.read({"type": "maxout", "units": 3, "pieces": 2}, Place("f")) == MaxoutConfig(
        units=3, pieces=2, weight_range=None, bias=0.0
    )
    assert read_section(SgdConfig, SGD, Place("f")) == SgdConfig(
        lr=0.1,
        lr_decay=1.0,
        lr_min=0.0,
        lr_linear=None,
        lr_cosine=None,
        lr_milestone=None,
        lr_gamma=None,
        lr_warmup=None,
        weight_decay=0.0,
        momentum=0.0,
        momentum_final=None,
        momentum_epochs=None,
        max_col_norm=None,
    )
    adam = OPTIMIZERS.read({"kind": "adam", "lr": 1}, Place("f"))
    assert (adam.lr, adam.beta1, adam.beta2, adam.eps, adam.weight_decay) == (1.0, 0.9, 0.999, 1e-8, 0)
    assert OPTIMIZERS.read({"kind": "adamw", "lr": 1}, Place("f")) == AdamWConfig(lr=1.0, weight_decay=0.01)
    assert OPTIMIZERS.read({"kind": "rmsprop", "lr": 1}, Place("f")) == RmspropConfig(lr=1.0, alpha=0.99, eps=1e-8)
    training = read_section(TrainingConfig, {"epochs": 1, "batch": 1}, Place("f"))
    assert (training.k, training.schedule, training.shared_noise) == (1, "alternating", False)
    assert (training.objective, training.discriminator_loss_scale) == ("non-saturating", 1.0)
    assert OutputConfig() == OutputConfig(samples=100, samples_every=1, checkpoint_every=1)


@pytest.mark.parametrize("layers", [[linear(3)], [MARGINAL, SIGMOID], [linear(2), RELU, MARGINAL, SIGMOID]])
def test_generators_that_are_fine(layers):
    read_section(GeneratorConfig, generator(*layers), Place("f"))


@pytest.mark.parametrize(
    ("layers", "index"),
    [
        ([MARGINAL], 0),
        ([MARGINAL, RELU], 0),
        ([MARGINAL, SIGMOID, RELU], 0),
        ([MARGINAL, RELU, SIGMOID], 0),
        ([MARGINAL, SIGMOID, linear(3), SIGMOID], 0),
        ([linear(3), MARGINAL, TANH], 1),
    ],
)
def test_a_marginal_bias_needs_the_last_sigmoid(layers, index):
    assert refusal(GeneratorConfig, generator(*layers)) == (
        f'layers[{index}].bias: "marginal" makes the sigmoid of the bias the mean training image, so it fits only '
        'the last linear layer, with { type = "sigmoid" } after it and nothing else'
    )


def test_weights_start_in_one_way():
    table = {**linear(3), "weight_range": 0.1, "nonzero_weights": 2}
    with pytest.raises(ConfigError) as caught:
        LAYERS.read(table, Place("f"))
    assert str(caught.value) == (
        "f: nonzero_weights: weight_range says already how the weights start: remove one of the two"
    )


@pytest.mark.parametrize("section", [GeneratorConfig, DiscriminatorConfig])
def test_a_net_has_something_to_train(section):
    assert refusal(section, generator(RELU)) == (
        "layers: expected at least one linear, maxout or convolutional layer: without one there is nothing to train"
    )
    assert refusal(section, generator()).startswith("layers: expected a list with at least one entry, each a table")


@pytest.mark.parametrize(
    "layers", [[LOGIT], [{"type": "maxout", "units": 1, "pieces": 2}], [linear(2), SIGMOID, LOGIT]]
)
def test_discriminators_that_are_fine(layers):
    read_section(DiscriminatorConfig, generator(*layers), Place("f"))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([LOGIT, SIGMOID], "layers[1]: losses are computed on logits: remove the last sigmoid"),
        ([linear(2), SIGMOID], "layers[1]: losses are computed on logits: remove the last sigmoid"),
        ([LOGIT, RELU], "layers[1]: the discriminator ends on its logit: remove the relu after it"),
        (
            [LOGIT, SIGMOID, {"type": "dropout", "p": 0.5}],
            "layers[2]: the discriminator ends on its logit: remove the dropout after it",
        ),
        ([LOGIT, linear(2)], "layers[1].units: the discriminator ends on one logit: expected 1, got 2"),
        (
            [{"type": "maxout", "units": 4, "pieces": 2}],
            "layers[0].units: the discriminator ends on one logit: expected 1, got 4",
        ),
        ([MARGINAL, LOGIT], 'layers[0].bias: "marginal" is for the output of the generator; expected a number'),
        (
            [{"type": "linear", "units": 1, "bias": "marginal"}],
            'layers[0].bias: "marginal" is for the output of the generator; expected a number',
        ),
    ],
)
def test_a_discriminator_ends_on_one_logit(layers, message):
    assert refusal(DiscriminatorConfig, generator(*layers)) == message


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"momentum_final": 0.7},
            "momentum_epochs: missing; it says in which epoch momentum_final is reached: "
            "expected an integer of at least 2",
        ),
        (
            {"momentum_epochs": 5},
            "momentum_final: missing; momentum_epochs says when it is reached: add it, or remove momentum_epochs",
        ),
        (
            {"momentum_final": 0.7, "momentum_epochs": 1},
            "momentum_epochs: expected an integer of at least 2, got 1",
        ),
        (
            {"lr_milestone": 5},
            "lr_gamma: missing; it is what the learning rate is multiplied by after lr_milestone updates: expected a "
            "number above 0 and below 1",
        ),
        (
            {"lr_gamma": 0.1},
            "lr_milestone: missing; it says after how many updates the learning rate is multiplied by lr_gamma: add "
            "it, or remove lr_gamma",
        ),
        ({"momentum": 1}, "momentum: expected a number of at least 0 and below 1, got 1"),
        ({"lr_decay": 0.9}, "lr_decay: expected a number of at least 1, got 0.9"),
        ({"lr_min": 0.2}, "lr_min: expected at most lr, which is 0.1, got 0.2"),
        ({"max_col_norm": 0}, "max_col_norm: expected a number above 0, got 0"),
        ({"beta1": 0.5}, 'beta1: kind = "sgd" has no such key; it belongs to kind = "adam" or "adamw"'),
        ({"alpha": 0.5}, 'alpha: kind = "sgd" has no such key; it belongs to kind = "rmsprop"'),
        ({"lr_linear": 5, "lr_cosine": 6}, "lr_cosine: lr_linear is another schedule of the learning rate: remove one"),
        ({"lr_decay": 2.0, "lr_linear": 6}, "lr_linear: lr_decay is another schedule of the learning rate: remove one"),
        ({"lr_warmup": 0}, "lr_warmup: expected an integer of at least 1, got 0"),
    ],
)
def test_sgd_keys_fit_together(keys, message):
    with pytest.raises(ConfigError) as caught:
        OPTIMIZERS.read(SGD | keys, Place("f"))
    assert str(caught.value).removesuffix(" of them") == f"f: {message}"


LIMITS = [
    (SgdConfig, {"lr": 1}, {"lr": ("above", 0), "max_col_norm": ("above", 0)}),
    (SgdConfig, {"lr": 1}, {"lr_decay": ("from", 1), "lr_min": ("from", 0), "momentum": ("from", 0)}),
    (SgdConfig, {"lr": 1}, {"momentum": ("below", 1)}),
    (SgdConfig, {"lr": 1, "momentum_epochs": 5}, {"momentum_final": ("below", 1)}),
    (SgdConfig, {"lr": 1, "momentum_final": 0.5}, {"momentum_epochs": ("from", 2)}),
    (SgdConfig, {"lr": 1, "momentum_epochs": 5}, {"momentum_final": ("from", 0)}),
    (SgdConfig, {"lr": 1, "lr_milestone": 5}, {"lr_gamma": ("above", 0)}),
    (SgdConfig, {"lr": 1, "lr_milestone": 5}, {"lr_gamma": ("below", 1)}),
    (SgdConfig, {"lr": 1, "lr_gamma": 0.5}, {"lr_milestone": ("from", 1)}),
    (AdamConfig, {"lr": 1}, {"lr": ("above", 0), "eps": ("above", 0)}),
    (AdamConfig, {"lr": 1}, {"beta1": ("from", 0), "beta2": ("from", 0)}),
    (AdamConfig, {"lr": 1}, {"beta1": ("below", 1), "beta2": ("below", 1)}),
    (RmspropConfig, {"lr": 1}, {"alpha": ("from", 0), "eps": ("above", 0), "weight_decay": ("from", 0)}),
    (RmspropConfig, {"lr": 1}, {"alpha": ("below", 1)}),
    (AdamWConfig, {"lr": 1}, {"lr_linear": ("from", 1), "lr_cosine": ("from", 1), "lr_warmup": ("from", 1)}),
    (LinearConfig, {"units": 1}, {"units": ("from", 1), "weight_range": ("above", 0)}),
    (MaxoutConfig, {"units": 1, "pieces": 1}, {"units": ("from", 1), "pieces": ("from", 1)}),
    (MaxoutConfig, {"units": 1, "pieces": 1}, {"weight_range": ("above", 0)}),
    (LeakyReluConfig, {}, {"slope": ("from", 0)}),
    (DropoutConfig, {"p": 0}, {"p": ("from", 0)}),
    (GeneratorConfig, generator(linear(3)), {"average_decay": ("above", 0)}),
    (GeneratorConfig, generator(linear(3)), {"average_decay": ("below", 1)}),
    (DropoutConfig, {"p": 0}, {"p": ("below", 1)}),
    (NoiseConfig, {"kind": "uniform", "size": 1}, {"size": ("from", 1)}),
    (TrainingConfig, {"epochs": 1, "batch": 1}, dict.fromkeys(("epochs", "batch", "k"), ("from", 1))),
    (TrainingConfig, {"epochs": 1, "batch": 1}, {"discriminator_loss_scale": ("above", 0)}),
    (TrainingConfig, {"epochs": 1, "batch": 1}, {"threads": ("from", 1)}),
    (OutputConfig, {}, dict.fromkeys(("samples", "samples_every", "checkpoint_every"), ("from", 1))),
]


@pytest.mark.parametrize(
    ("section", "table", "key", "side", "limit"),
    [(section, table, key, *rule) for section, table, rules in LIMITS for key, rule in rules.items()],
)
def test_every_range_begins_and_ends_where_it_should(section, table, key, side, limit):
    whole = isinstance(kinds(section)[key], Integer)
    refused = {"above": limit, "below": limit, "from": limit - 1 if whole else limit - 1e-9}[side]
    with pytest.raises(ConfigError, match=rf"^f: {key}: expected an? (integer|number) .*, got "):
        read_section(section, table | {key: refused}, Place("f"))
    accepted = {"above": limit + 1e-9, "below": limit - 1e-9, "from": limit}[side]
    assert getattr(read_section(section, table | {key: accepted}, Place("f")), key) == accepted


def test_adam_refuses_the_keys_of_sgd():
    for key in ("momentum", "momentum_final", "momentum_epochs", "max_col_norm"):
        with pytest.raises(ConfigError) as caught:
            OPTIMIZERS.read({"kind": "adam", "lr": 0.1, key: 1}, Place("f"))
        assert str(caught.value) == (
            f'f: {key}: kind = "adam" has no such key; it belongs to kind = "sgd"'
        )


def test_shared_noise_belongs_to_the_simultaneous_schedule():
    table = {"epochs": 1, "batch": 1, "shared_noise": True}
    assert refusal(TrainingConfig, table) == (
        "shared_noise: the alternating schedule draws fresh noise for every step: "
        'set shared_noise = false, or schedule = "simultaneous"'
    )
    for shared in (True, False):
        read_section(
            TrainingConfig, table | {"schedule": "simultaneous", "shared_noise": shared}, Place("f")
        )


def test_an_unknown_layer_type_lists_all_and_the_nearest():
    with pytest.raises(ConfigError) as caught:
        LAYERS.read({"type": "liner", "units": 3}, Place("f").at("layers", 0))
    message = str(caught.value)
    assert message.startswith("f: layers[0].type: expected ")
    assert all(f'"{name}"' in message for name in ("linear", "maxout", "relu", "dropout", "layer_norm", "conv2d"))
    assert message.endswith('got "liner"; did you mean "linear"?')


# --- what no key takes ------------------------------------------------------------------------------------

EVERY_KEY = [
    (section, key)
    for section in (
        LinearConfig, MaxoutConfig, LeakyReluConfig, DropoutConfig, SgdConfig, AdamConfig, AdamWConfig,
        RmspropConfig, GeneratorConfig, DataConfig, NoiseConfig, TrainingConfig, OutputConfig,
    )
    for key in kinds(section)
]  # fmt: skip


@pytest.mark.parametrize(("section", "key"), EVERY_KEY)
def test_no_key_takes_what_is_no_value_of_it(section, key):
    """Infinity, nan, booleans for numbers, numbers for words, negative and huge ones."""
    kind = kinds(section)[key]
    wrong = [math.inf, -math.inf, math.nan, 10**400, -1, 2**63, b"x", None, {}, [], [[]], {"x": 1}, ""]
    wrong += [] if isinstance(kind, Flag) else [True, False]
    if isinstance(kind, Number) and kind.above == kind.at_least == -math.inf:
        wrong = [value for value in wrong if value not in (-1, 2**63) or isinstance(value, bool)]  # a bias may be so
    elif isinstance(kind, Number):
        wrong.remove(2**63)
    for value in wrong:
        with pytest.raises(ConfigError, match=r"^f: .*expected |^f: .*missing"):
            kind.read(value, Place("f").at(key))


@pytest.mark.parametrize(
    ("section", "key", "largest"),
    [
        (LinearConfig, "units", 100_000),
        (MaxoutConfig, "units", 100_000),
        (MaxoutConfig, "pieces", 100_000),
        (NoiseConfig, "size", 100_000),
        (TrainingConfig, "threads", 1024),
        (OutputConfig, "samples", 10_000),
        (OutputConfig, "validation_samples", 100_000),
    ],
)
def test_what_costs_memory_has_an_end(section, key, largest):
    kind = kinds(section)[key]
    assert kind.read(largest, Place("f")) == largest
    with pytest.raises(ConfigError, match=f"expected an integer from 1 to {largest}, got {largest + 1}"):
        kind.read(largest + 1, Place("f"))


@pytest.mark.parametrize("key", ["lr", "eps"])
def test_a_rate_that_single_precision_does_not_hold_is_refused(key):
    for value in (1e-50, 1e39):
        with pytest.raises(ConfigError, match=f"f: {key}: expected a number above 0, got .*in single precision"):
            read_section(AdamConfig, {"lr": 1, key: value}, Place("f"))


# --- the game --------------------------------------------------------------------------------------------

PAIR = {"epochs": 1, "batch": 8}


def test_one_penalty_or_several():
    r1 = {"kind": "r1", "weight": 2}
    given = r1, [r1, {"kind": "r2"}]
    one, several = (read_section(TrainingConfig, {**PAIR, "penalty": penalty}, Place("f")) for penalty in given)
    assert [penalty.build() for penalty in one.penalty] == [gan.R1(2.0)]
    assert [penalty.build() for penalty in several.penalty] == [gan.R1(2.0), gan.R2(10.0)]
    assert read_section(TrainingConfig, PAIR, Place("f")).penalty is None


@pytest.mark.parametrize("name", gan.PENALTIES)
def test_every_penalty_has_a_section_with_its_defaults(name):
    section = read_section(TrainingConfig, {**PAIR, "penalty": {"kind": name}}, Place("f"))
    assert section.penalty[0].build() == gan.PENALTIES[name]()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"penalty": {"kind": "R1"}}, 'penalty.kind: expected "r1", "r2", '),
        ({"penalty": {"kind": "r1", "c": 1}}, 'penalty.c: kind = "r1" has no such key; it belongs to kind = "clip'),
        ({"penalty": {"kind": "r1", "weight": 0}}, "penalty.weight: expected a number above 0, got 0"),
        ({"penalty": {"weight": 1}}, "penalty.kind: missing"),
        ({"penalty": "r1"}, "penalty: expected a table such as"),
        ({"penalty": []}, "penalty: expected a table such as"),
        ({"penalty": [{"kind": "r1"}, {"kind": "r2", "weight": -1}]}, "penalty[1].weight: expected a number above 0"),
        ({"label_smoothing": 1}, "label_smoothing: expected a number of at least 0 and below 1, got 1"),
        ({"instance_noise": -1}, "instance_noise: expected a number of at least 0, got -1"),
        ({"instance_noise_steps": 5}, "instance_noise_steps: there is no instance_noise: add it, or remove this"),
        ({"packing": 3}, "packing: expected a divisor of batch, which is 8, got 3"),
        ({"packing": 0}, "packing: expected an integer of at least 1, got 0"),
        ({"separate_passes": 1}, "separate_passes: expected true or false, got 1"),
        ({"objective": "wgan"}, "objective: expected "),
    ],
)
def test_options_of_the_game_that_are_refused(table, message):
    assert refusal(TrainingConfig, {**PAIR, **table}).startswith(message)
