"""The networks, optimisers and game of a configuration."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import tinygan as tg
from tinygan import gan, nn, optim
from tinygan.backend import Stream, Streams
from tinygan.config.experiment import load_experiment, shipped_experiments
from tinygan.config.layer_config import shapes
from tinygan.data import Split
from tinygan.engine import Tensor, no_grad
from tinygan.errors import AnomalyError, ConfigError
from tinygan.experiments import build
from tinygan.experiments.build import (
    build_discriminator,
    build_game,
    build_generator,
    build_optimizer,
    least_memory,
    refuse_other_maps,
)
from tinygan.experiments.labels import all_in_turn
from tinygan.experiments.training import Training

EVERY_LAYER = """generator.layers=[
  { type = "dropout", p = 0.25 },
  { type = "maxout", units = 7, pieces = 3, weight_range = 0.5, bias = -1 },
  { type = "leaky_relu", slope = 0.2 },
  { type = "linear", units = 6, weight_range = 0.01, bias = 2 },
  { type = "relu" },
  { type = "linear", units = 5 },
  { type = "tanh" },
  { type = "linear", units = 4 },
  { type = "sigmoid" },
]""".replace("\n", "")


def test_each_layer_becomes_its_module(tiny_experiment):
    net = build_generator(tiny_experiment(EVERY_LAYER), 4, Stream(0, "weights"))
    assert repr(net).splitlines()[1:-1] == [
        "  (0): Dropout(p=0.25)",
        "  (1): Maxout(2, 7, pieces=3)",
        "  (2): LeakyReLU(0.2)",
        "  (3): Linear(7, 6)",
        "  (4): ReLU()",
        "  (5): Linear(6, 5)",
        "  (6): Tanh()",
        "  (7): Linear(5, 4)",
        "  (8): Sigmoid()",
    ]
    assert set(net[1].bias.data) == {-1}
    assert set(net[3].bias.data) == {2}
    assert set(net[5].bias.data) == set(net[7].bias.data) == {0}
    for layer, limit in ((net[1], 0.5), (net[3], 0.01), (net[5], 1 / math.sqrt(6)), (net[7], 1 / math.sqrt(5))):
        assert limit * 0.6 < abs(layer.weight.data).max() <= limit * (1 + 1e-6)


def test_a_normalized_layer_has_its_marginal_bias(tiny_experiment, tiny_data):
    config = tiny_experiment("generator.layers.2.spectral_norm=true")
    game, plain = (build_game(each, tiny_data(), Streams(3), "cpu") for each in (config, tiny_experiment()))
    assert isinstance(game.generator[2], nn.SpectralNorm)
    assert np.array_equal(game.generator[2].layer.bias.data, plain.generator[2].bias.data)


def test_the_weights_of_g_are_drawn_before_those_of_d(tiny_experiment, tiny_data):
    game = build_game(tiny_experiment(), tiny_data(), Streams(3), "cpu")
    stream = Stream(3, "weights")
    expected = [nn.Linear(2, 5, rng=stream), nn.Linear(5, 4, rng=stream), nn.Maxout(4, 3, 2, rng=stream)]
    built = [game.generator[0], game.generator[2], game.discriminator[1]]
    for layer, same in zip(built, expected, strict=True):
        assert np.array_equal(layer.weight.data, same.weight.data)


def test_a_marginal_bias_makes_g_start_at_the_mean_image(tiny_experiment, tiny_data):
    game = build_game(tiny_experiment(), tiny_data(), Streams(0), "cpu")
    mean = tiny_data().train.images.mean(axis=0)
    assert np.allclose(1 / (1 + np.exp(-game.generator[2].bias.data)), mean, atol=1e-6)
    assert not game.generator[0].bias.data.any()
    # without the data, as when samples are drawn, the bias comes from a checkpoint
    assert not build_generator(tiny_experiment(), 4, Stream(0, "weights"))[2].bias.data.any()


def test_the_wrong_number_of_outputs_is_refused(tiny_experiment, tiny_data):
    expected = (
        "tiny: the generator's last layer has 4 units, but an image of 'digits' has 9 pixels: set its units to 9"
    )
    with pytest.raises(ConfigError) as error:
        build_game(tiny_experiment(), tiny_data(image_shape=(3, 3)), Streams(0), "cpu")
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("activation", "scale", "shift", "refused"),
    [
        ("sigmoid", 255, 0, r"the data lie in \[\S+, \S+\], but the generator ends in a sigmoid, which only reaches"),
        ("sigmoid", 2, -1, r"ends in a sigmoid, which only reaches \[0, 1\]: choose the scale"),
        ("sigmoid", 1, 0, None),
        ("tanh", 255, 0, r"ends in a tanh, which only reaches \[-1, 1\]"),
        ("tanh", 2, -1, None),
        ("tanh", 1, 0, None),
        ("relu", 2, -1, r"ends in a relu, which only reaches \[0, inf\]"),
        ("relu", 255, 0, None),
        ("leaky_relu", 2, -1, None),
    ],
)
def test_data_outside_the_range_of_g_are_refused(tiny_experiment, tiny_data, activation, scale, shift, refused):
    data = tiny_data()
    train = Split(scale * data.train.images + np.float32(shift), data.train.labels)
    slope = ", slope = 0.2" if activation == "leaky_relu" else ""
    layers = (
        'generator.layers=[{ type = "linear", units = 4 }, { type = "' + activation + '"' + slope + " }]"
    )
    config, data = tiny_experiment(layers), dataclasses.replace(data, train=train)
    if refused is None:
        build_game(config, data, Streams(0), "cpu").step(train.images[:4])
        return
    with pytest.raises(ConfigError, match=rf"^tiny: .*{refused}"):
        build_game(config, data, Streams(0), "cpu")


def test_the_discriminator_returns_one_logit_for_an_image(tiny_experiment):
    net = build_discriminator(tiny_experiment(), 9, Stream(0, "weights"))
    assert net(Tensor(np.ones((6, 9), np.float32))).shape == (6, 1)


def test_nonzero_weights_is_the_number_for_each_unit(tiny_experiment):
    config = tiny_experiment("generator.layers.2.nonzero_weights=3")
    net = build_generator(config, 4, Stream(0, "weights"))
    assert (net[2].weight.data != 0).sum(axis=0).tolist() == [3] * 4
    config = tiny_experiment("generator.layers.2.nonzero_weights=6")
    message = "nonzero_weights = 6: the linear layer of 4 units has only 5 inputs: expected at most 5"
    with pytest.raises(ConfigError, match=f"^{message}$"):
        build_generator(config, 4, Stream(0, "weights"))


# --- update rules ----------------------------------------------------------------------------------------


EACH = 4  # updates in an epoch


def optimizer_of(tiny_experiment, *overrides):
    return build_optimizer(tiny_experiment(*overrides).generator.optimizer, nn.Linear(2, 2), EACH)


def test_sgd_with_every_option(tiny_experiment):
    rule = optimizer_of(
        tiny_experiment, "generator.optimizer.lr_min=0.4", "generator.optimizer.max_col_norm=1.5"
    )
    assert type(rule) is optim.SGD
    assert rule.max_col_norm == 1.5
    assert rule.lr == 0.5
    rule.updates = 3
    assert rule.lr == pytest.approx(0.5 / 1.01**3)
    rule.updates = 1000
    assert rule.lr == 0.4
    for epoch, momentum in ((1, 0.5), (2, 0.6), (3, 0.7), (9, 0.7)):
        for rule.updates in (EACH * (epoch - 1), EACH * epoch - 1):
            assert rule.momentum == pytest.approx(momentum)


def test_a_learning_rate_with_a_milestone(tiny_experiment):
    drop = ("generator.optimizer.lr_milestone=5", "generator.optimizer.lr_gamma=0.2")
    steady, dropping = optimizer_of(tiny_experiment), optimizer_of(tiny_experiment, *drop)
    for updates, factor in ((0, 1), (4, 1), (5, 0.2), (900, 0.2)):
        steady.updates = dropping.updates = updates
        assert dropping.lr == pytest.approx(factor * steady.lr)


def test_sgd_without_options(tiny_experiment):
    rule = optimizer_of(tiny_experiment, 'generator.optimizer={ kind = "sgd", lr = 0.25 }')
    assert (rule.lr, rule.momentum, rule.max_col_norm) == (0.25, 0, None)
    rule.updates = 10_000
    assert (rule.lr, rule.momentum) == (0.25, 0)
    rule = optimizer_of(tiny_experiment, 'generator.optimizer={ kind = "sgd", lr = 0.25, momentum = 0.9 }')
    rule.updates = 10_000
    assert rule.momentum == 0.9


def test_adam(tiny_experiment):
    settings = 'generator.optimizer={ kind = "adam", lr = 0.25, beta1 = 0.3, beta2 = 0.8, eps = 1e-4 }'
    rule = optimizer_of(tiny_experiment, settings)
    assert type(rule) is optim.Adam
    assert (rule.lr, rule.betas, rule.eps, rule.weight_decay) == (0.25, (0.3, 0.8), 1e-4, 0)


def test_rules_with_weight_decay(tiny_experiment):
    keys = "lr = 0.25, eps = 1e-4, weight_decay = 0.125"
    for kind, rule_class in (("adam", optim.Adam), ("adamw", optim.AdamW), ("rmsprop", optim.RMSprop)):
        rule = optimizer_of(tiny_experiment, f'generator.optimizer={{ kind = "{kind}", {keys} }}')
        assert type(rule) is rule_class
        assert (rule.lr, rule.eps, rule.weight_decay) == (0.25, 1e-4, 0.125)
    assert optimizer_of(tiny_experiment, "generator.optimizer.weight_decay=0.5").weight_decay == 0.5
    settings = 'generator.optimizer={ kind = "rmsprop", lr = 0.25, alpha = 0.5 }'
    assert optimizer_of(tiny_experiment, settings).alpha == 0.5


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "rmsprop"])
def test_schedules_of_the_learning_rate(tiny_experiment, kind):
    drop = optim.StepDecay(0.5, 4, 0.1)
    for keys, schedule in (
        ("lr_linear = 9", optim.LinearDecay(0.5, 9)),
        ("lr_linear = 9, lr_min = 0.1", optim.LinearDecay(0.5, 9, 0.1)),
        ("lr_cosine = 9, lr_min = 0.1", optim.CosineDecay(0.5, 9, 0.1)),
        ("lr_decay = 1.5, lr_min = 0.1", optim.ExponentialDecay(0.5, 1.5, 0.1)),
        ("lr_milestone = 4, lr_gamma = 0.1, lr_warmup = 3", optim.WarmUp(drop, 3)),
    ):
        rule = optimizer_of(tiny_experiment, f'generator.optimizer={{ kind = "{kind}", lr = 0.5, {keys} }}')
        for rule.updates in range(12):
            assert rule.lr == schedule(rule.updates)


def test_the_momentum_counts_the_updates_of_its_player(tiny_experiment, tiny_data):
    keys = "lr = 0.1, momentum = 0.1, momentum_final = 0.5, momentum_epochs = 2"
    sgd = (f'{player}.optimizer={{ kind = "sgd", {keys} }}' for player in ("generator", "discriminator"))
    game = build_game(tiny_experiment("training.k=2", *sgd), tiny_data(), Streams(0), "cpu")
    for rule, updates in ((game.generator_optimizer, 2), (game.discriminator_optimizer, 4)):  # of 22 images, 8 a step
        rule.updates = updates - 1
        assert rule.momentum == 0.1
        rule.updates = updates
        assert rule.momentum == 0.5


# --- the game --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared_noise", ["true", "false"])
def test_the_training_keys_reach_the_game(tiny_experiment, tiny_data, shared_noise):
    streams = Streams(0)
    config = tiny_experiment(
        "training.k=2", "training.schedule=simultaneous", f"training.shared_noise={shared_noise}",
        "training.objective=minimax", "training.discriminator_loss_scale=0.5", "noise.kind=spherical",
    )  # fmt: skip
    game = build_game(config, tiny_data(), streams, "cpu")
    assert (game.k, game.schedule, game.shared_noise) == (2, "simultaneous", shared_noise == "true")
    assert (game.objective, game.discriminator_loss_scale) == ("minimax", 0.5)
    assert game.noise == gan.Noise("spherical", 2)
    assert game.streams is streams
    assert type(game.generator_optimizer) is optim.SGD
    assert type(game.discriminator_optimizer) is optim.Adam
    for optimizer, player in (
        (game.generator_optimizer, game.generator), (game.discriminator_optimizer, game.discriminator),
    ):  # fmt: skip
        assert all(ours is theirs for ours, theirs in zip(optimizer.params, player.parameters(), strict=True))


@pytest.mark.parametrize(
    ("last", "scale", "reached"),
    [
        ("sigmoid", {}, True),
        ("sigmoid", {"range": (-1.0, 1.0)}, False),
        ("sigmoid", {"contrast": 8.0}, False),
        ("tanh", {}, True),  # wasteful, which `tinygan diagnose` says, but not wrong
        ("tanh", {"range": (-1.0, 1.0)}, True),
        ("tanh", {"contrast": 8.0}, False),
        ("tanh", {"contrast": 1.0}, True),
        ("relu", {}, True),
        ("relu", {"range": (-1.0, 1.0)}, False),
        ("relu", {"contrast": 8.0}, False),
        ("softplus", {"contrast": 8.0}, False),
        ("leaky_relu", {"contrast": 8.0}, True),
        ("", {"contrast": 8.0}, True),
    ],
)
def test_each_scale_needs_an_output_that_reaches_it(tiny_experiment, last, scale, reached):
    top = f", {{type='{last}'}}" if last else ""
    config = tiny_experiment(f"generator.layers=[{{type='linear', units=64}}{top}]")
    data = dataclasses.replace(config.data, **scale).load()
    if reached:
        build_game(config, data, Streams(0), "cpu")
        return
    with pytest.raises(ConfigError, match=rf"the generator ends in a {last}, .* data\.range or data\.contrast"):
        build_game(config, data, Streams(0), "cpu")


SHAPES = {"cifar10": (32, 32, 3), "digits": (8, 8), "gaussian": (1,), "mnist": (28, 28), "tfd": (48, 48)}
_SMALL_D = [f"discriminator.layers.{layer}.units=40" for layer in (1, 3)]
FEWER = {  # otherwise gigabytes of weights would be drawn
    "cifar10-conv": [
        "generator.layers.0.units=50", "generator.layers.2.units=800",
        *(f"discriminator.layers.{layer}.units=4" for layer in (2, 5, 8, 12)),
    ],
    "cifar10-fc": ["generator.layers.0.units=50", "generator.layers.2.units=50", *_SMALL_D],
    "tfd": ["generator.layers.0.units=50", "generator.layers.2.units=300"],
    "tfd-finetune": ["generator.layers.0.units=50", "generator.layers.4.units=50", "generator.layers.6.units=50"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [config.name for config in shipped_experiments()])
def test_every_shipped_experiment_can_be_built(tiny_data, name):
    config = load_experiment(name, FEWER.get(name, ()))
    dataset = tiny_data(image_shape=SHAPES[config.data.set], classes=config.training.classes)
    game = build_game(config, dataset, Streams(config.seed), "cpu")
    y = all_in_turn(config, 50)
    samples = gan.sample(game.generator, 50, game.noise, Stream(0, "samples"), y)
    assert samples.shape == (50, math.prod(SHAPES[config.data.set]))
    last = config.generator.layers[-1].type
    if last == "sigmoid" and config.generator.pretrained is None:  # the others start far from the data
        assert abs(samples.mean() - 0.25) < 0.05  # the mean grey of the tiny data
    with no_grad():
        labels = () if y is None else (Tensor(y),)
        assert game.discriminator(Tensor(samples), *labels).shape == (50, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [config.name for config in shipped_experiments()])
def test_a_step_of_every_shipped_experiment_replays(tiny_data, name):
    config = load_experiment(name, FEWER.get(name, ()))
    dataset = tiny_data(20, SHAPES[config.data.set], config.training.classes)
    game = build_game(config, dataset, Streams(config.seed), "cpu")
    with tg.trace() as t:
        rows = slice(0, 4 * config.training.k)
        game.step(dataset.train.images[rows], dataset.train.labels[rows] if config.training.classes else None)
    report = t.replay()
    assert report, str(report)
    assert report.rows == len(t.rows)
    assert {leaf.name.split(".")[0] for update in t.updates for leaf in update.moved} == {"generator", "discriminator"}


def test_the_networks_of_the_paper_have_its_sizes(tiny_data):
    game = build_game(load_experiment("mnist"), tiny_data(image_shape=(28, 28)), Streams(0), "cpu")
    g, d = game.generator, game.discriminator
    assert [parameter.shape for parameter in g.parameters()] == [
        (100, 1200), (1200,), (1200, 1200), (1200,), (1200, 784), (784,),
    ]  # fmt: skip
    assert [parameter.shape for parameter in d.parameters()] == [
        (784, 1200), (1200,), (240, 1200), (1200,), (240, 1), (1,),
    ]  # fmt: skip
    assert [layer.p for layer in d if isinstance(layer, nn.Dropout)] == [0.2, 0.5, 0.5]
    for net, limit in ((g, 0.05), (d, 0.005)):
        for parameter in net.parameters()[::2]:
            assert 0.95 * limit < abs(parameter.data).max() <= limit * (1 + 1e-6)


def test_networks_larger_than_the_machine_are_refused(tiny_experiment, tiny_data, monkeypatch):
    """Before any allocation: Linux promises more memory than it has, and kills the process that uses it."""
    huge = [f"{player}.layers.{index}.units=100000" for player, index in (("generator", 0), ("discriminator", 1))]
    config = tiny_experiment(*huge, "discriminator.layers.1.pieces=100000")
    with pytest.raises(ConfigError, match=r"take [0-9,.]+ GiB, and this machine has [0-9,.]+: choose fewer units"):
        build_game(config, tiny_data(), Streams(0), "cpu")
    monkeypatch.setattr(build, "_memory", lambda: None)  # a system that does not say
    build_game(tiny_experiment(), tiny_data(), Streams(0), "cpu")


@pytest.mark.parametrize("overrides", [(), ('generator.optimizer={ kind = "sgd", lr = 0.1 }',)])
def test_least_memory_counts_state_and_activations(tiny_experiment, tiny_data, overrides):
    config = tiny_experiment(*overrides)
    game = build_game(config, tiny_data(), Streams(0), "cpu")
    game.step(np.full((4, 4), 0.5, np.float32))
    kept = 0
    for rule in (game.generator_optimizer, game.discriminator_optimizer):
        kept += sum(2 * parameter.data.nbytes for parameter in rule.params)
        kept += sum(array.nbytes for array in rule.state_dict()["arrays"].values())
    activations = 4 * 4 * (5 + 4 + 3 * 2 + 1)  # bytes of a number x rows x widths
    assert least_memory(config, 4) == kept + activations


GAMES = {
    "lsgan": ["objective=lsgan"],
    "R1 and R2": ["penalty=[{kind='r1', weight=1}, {kind='r2', weight=1}]", "objective=hinge"],
    "gradient penalty": ["objective=wasserstein", "penalty={kind='gradient', weight=5}", "k=2"],
    "clipping": ["objective=wasserstein", "penalty={kind='clipping', c=0.05}", "schedule=simultaneous"],
    "DRAGAN": ["penalty={kind='dragan'}", "label_smoothing=0.1"],
    "instance noise": ["instance_noise=0.3", "instance_noise_steps=6", "separate_passes=true"],
    "packing": ["packing=2"],
}


@pytest.mark.parametrize("options", GAMES.values(), ids=GAMES)
def test_a_resumed_game_has_the_bits_of_one_without_interruption(tiny_experiment, tiny_data, options):
    config = tiny_experiment(*(f"training.{option}" for option in options))
    whole, half = (Training(config, tiny_data()) for _ in range(2))
    for _ in range(2):
        half.step()
    resumed = Training(config, tiny_data())
    resumed.load_state(*half.state())
    for training, steps in ((whole, 4), (resumed, 2)):
        for _ in range(steps):
            if training.epoch_is_over:
                training.next_epoch()
            training.step()
    (arrays, plain), (expected, expected_plain) = resumed.state(), whole.state()
    assert plain == expected_plain
    assert all(np.array_equal(arrays[name], expected[name]) for name in expected)


def test_the_options_reach_the_game(tiny_experiment, tiny_data):
    config = tiny_experiment(
        "training.penalty={kind='r1', weight=3}", "training.label_smoothing=0.2", "training.separate_passes=true",
        "training.instance_noise=0.5", "training.instance_noise_steps=10", "training.packing=2",
    )  # fmt: skip
    game = build_game(config, tiny_data(), Streams(3), "cpu")
    assert game.penalties == (gan.R1(3.0),)
    assert game.losses.undecided == pytest.approx(math.log(0.4 / 0.6))
    assert game.separate_passes
    assert game.instance_noise.std == gan.InstanceNoise(0.5, 10)
    assert game.discriminator.m == 2
    assert game.discriminator.net[1].in_features == 8


def test_a_penalty_that_is_not_finite_ends_the_training(tiny_experiment, tiny_data):
    training = Training(tiny_experiment("training.penalty={kind='r1', weight=1}"), tiny_data())

    class Broken(gan.Penalty):
        def loss(self, judge, real, fake, stream):
            return judge(real).mean() * math.nan

    training.game.penalties = (Broken(),)
    with pytest.raises(AnomalyError, match="step 1, epoch 1: the discriminator's penalty is nan"):
        training.step()


@pytest.mark.parametrize("name", gan.OBJECTIVES)
def test_metrics_have_only_what_the_objective_has(tiny_experiment, tiny_data, name):
    penalty = "training.penalty={kind='clipping'}"
    training = Training(tiny_experiment(f"training.objective={name}", penalty), tiny_data())
    training.step()
    found = training.metrics()
    scored = {"score_real", "score_fake", "score_difference"}
    if name in ("minimax", "non-saturating"):
        assert found.keys() >= {"d_real", "d_fake", "d_accuracy", "value"}
        assert not scored & found.keys()
        assert found["value_at_equilibrium"] == pytest.approx(-math.log(4))
    else:
        assert found.keys() >= scored
        assert not {"d_real", "d_fake", "value", "value_at_equilibrium"} & found.keys()
        assert ("d_accuracy" in found) is (name != "wasserstein")
    if name == "wasserstein":
        assert found["score_difference"] == pytest.approx(-found["discriminator_loss"])


# --- networks with maps ------------------------------------------------------------------------------------


def test_a_generator_of_maps_ends_in_pixels():
    config = load_experiment("dcgan-digits")
    short = dataclasses.replace(config.generator, layers=config.generator.layers[:-1])
    with pytest.raises(ConfigError, match=r'the generator returns 1 map of 8x8: end it with .* "pixels"'):
        build_generator(dataclasses.replace(config, generator=short), 64, Stream(0, "weights"))
    with pytest.raises(ConfigError, match=r"choose other sizes of its maps, or of the images"):
        build_generator(config, 81, Stream(0, "weights"))


def test_a_discriminator_of_maps_ends_on_one_logit():
    config = load_experiment("dcgan-digits")
    for layers in (config.discriminator.layers[:-2], config.discriminator.layers[:-1]):
        short = dataclasses.replace(config.discriminator, layers=layers)
        with pytest.raises(ConfigError, match=r"the discriminator ends on .*; expected one logit"):
            build_discriminator(dataclasses.replace(config, discriminator=short), 64, Stream(0, "weights"))
    with pytest.raises(ConfigError, match=r"discriminator.layers\[0\]: maps of 8x8 are made of .* 81 numbers"):
        build_discriminator(config, 81, Stream(0, "weights"))


@pytest.mark.parametrize(
    ("shape", "overrides", "facts"),
    [
        ((20, 24, 3), [], ["the generator draws 1 map of 8x8", "is 3 maps of 20x24", "the layers of both players"]),
        ((4, 16), [], ["the generator draws 1 map of 8x8", "is 1 map of 4x16"]),
        (
            (4, 4, 1),
            ["generator.layers.7.stride=1", "generator.layers.7.kernel=3"],
            ["discriminator.layers[0]: maps of 8x8", "set height = 4 and width = 4"],
        ),
        (
            (8, 8, 3),
            ["generator.layers.7.channels=3", "generator.layers.9.type=flatten"],
            ["generator.layers[9]: a flatten layer", '{ type = "pixels" }'],
        ),
        ((8, 8), ["discriminator.layers.1.kernel=11"], ["discriminator.layers[1]: a kernel of 11x11"]),
    ],
)
def test_maps_have_the_shape_of_the_images(tiny_data, shape, overrides, facts):
    config = load_experiment("dcgan-digits", overrides)
    with pytest.raises(ConfigError) as caught:
        build_game(config, tiny_data(image_shape=shape), Streams(0), "cpu")
    for fact in facts:
        assert fact in str(caught.value)


def test_images_of_a_folder_can_be_resized_to_fit(tiny_data):
    config = load_experiment("dcgan-digits")
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, set="images", path="pictures"))
    with pytest.raises(ConfigError, match=r"or the images: data\.size = 8, data\.colour = false"):
        build_game(config, tiny_data(image_shape=(20, 24, 3)), Streams(0), "cpu")


def test_maps_below_a_linear_layer_are_free(tiny_data):
    """They are no images: only what G draws last, and what D sees first."""
    layers = "[{type='linear', units=36}, {type='maps', height=3, width=3}, {type='conv2d', channels=2, kernel=3},"
    layers += "{type='flatten'}, {type='linear', units=64}, {type='tanh'}]"
    config = load_experiment("dcgan-digits", [f"generator.layers={layers}"])
    refuse_other_maps(config, (8, 8))
    below = "{type='linear', units=36}, {type='maps', height=3, width=3}, {type='flatten'}, {type='linear', units=1}"
    refuse_other_maps(load_experiment("dcgan-digits", [f"discriminator.layers=[{below}]"]), (8, 8))
    refuse_other_maps(load_experiment("digits"), (4, 16))


@pytest.mark.parametrize("key", ["packing=2", "classes=10"])
def test_maps_are_not_made_of_packs_or_of_labels(key):
    with pytest.raises(ConfigError, match=rf"training.{key.split('=')[0]}: .* not the pixels of maps"):
        load_experiment("dcgan-digits", [f"training.{key}"])


def test_the_convolutional_networks_of_the_paper_have_its_sizes():
    config = load_experiment("cifar10-conv")
    both = (config.generator.layers, 100, 64_825_072), (config.discriminator.layers, 3072, 12_454_073)
    for layers, inputs, count in both:
        reached = shapes(layers, (inputs,), "layers")
        assert sum(layer.weights(shape) for layer, shape in zip(layers, reached[:-1], strict=True)) == count
    sides = [shape[1] for shape in reached if len(shape) == 3]
    assert list(dict.fromkeys(sides)) == [32, 33, 16, 15, 7, 9, 5]
