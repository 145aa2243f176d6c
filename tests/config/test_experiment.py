from __future__ import annotations

import dataclasses
import math
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinygan.config.data import DataConfig
from tinygan.config.experiment import (
    ExperimentConfig,
    load_experiment,
    parse_experiment,
    shipped_experiments,
    to_toml,
)
from tinygan.config.layers import (
    DropoutConfig,
    LeakyReluConfig,
    LinearConfig,
    MaxoutConfig,
    ReluConfig,
    SigmoidConfig,
    TanhConfig,
)
from tinygan.config.sections import (
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

# --- every configuration that is valid ---------------------------------------------------------------

counts = st.integers(1, 2**63 - 1)
widths = st.integers(1, 100_000)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
positive = st.floats(0, exclude_min=True, allow_infinity=False, width=32)
fractions = st.floats(0, 1, exclude_max=True)
ranges = st.none() | positive
linears = st.builds(LinearConfig, units=widths, weight_range=ranges, bias=numbers)
maxouts = st.builds(MaxoutConfig, units=widths, pieces=widths, weight_range=ranges, bias=numbers)
others = (
    st.builds(ReluConfig)
    | st.builds(LeakyReluConfig, slope=positive)
    | st.builds(SigmoidConfig)
    | st.builds(TanhConfig)
    | st.builds(DropoutConfig, p=fractions)
)
stacks = st.lists(linears | maxouts | others, max_size=3)
marginal = st.builds(LinearConfig, units=widths, weight_range=ranges, bias=st.just("marginal"))
generator_tops = st.tuples(linears | maxouts, others) | st.tuples(marginal, st.builds(SigmoidConfig))
logits = st.builds(LinearConfig, units=st.just(1), weight_range=ranges, bias=numbers)


@st.composite
def sgds(draw):
    low, high = sorted([draw(positive), draw(positive)])
    between = st.floats(0, 1, exclude_min=True, exclude_max=True)
    milestone, gamma = draw(st.just((None, None)) | st.tuples(counts, between))
    final, epochs = draw(st.just((None, None)) | st.tuples(fractions, st.integers(2, 2**63 - 1)))
    return SgdConfig(
        lr=high,
        lr_decay=draw(st.floats(1, allow_infinity=False)),
        lr_min=low,
        lr_milestone=milestone,
        lr_gamma=gamma,
        momentum=draw(fractions),
        momentum_final=final,
        momentum_epochs=epochs,
        max_col_norm=draw(ranges),
    )


adams = {"lr": positive, "beta1": fractions, "beta2": fractions, "eps": positive, "weight_decay": positive}
optimizers = (
    sgds()
    | st.builds(AdamConfig, **adams, lr_linear=counts)
    | st.builds(AdamWConfig, **adams, lr_cosine=counts)
    | st.builds(RmspropConfig, lr=positive, alpha=fractions, lr_warmup=counts)
)
schedules = st.sampled_from([("alternating", False), ("simultaneous", False), ("simultaneous", True)])
configs = st.builds(
    ExperimentConfig,
    name=st.from_regex("[A-Za-z0-9_-]{1,9}", fullmatch=True),
    description=st.text(st.characters(exclude_categories=["Cs"])),
    seed=st.integers(0, 2**63 - 1),
    data=st.builds(DataConfig, set=st.sampled_from(["digits", "gaussian", "mnist"]))
    | st.builds(DataConfig, set=st.just("tfd"), fold=st.integers(0, 4)),
    noise=st.builds(NoiseConfig, kind=st.sampled_from(["uniform", "gaussian", "spherical"]), size=widths),
    generator=st.builds(
        GeneratorConfig,
        layers=st.builds(lambda stack, top: (*stack, *top), stacks, generator_tops),
        optimizer=optimizers,
    ),
    discriminator=st.builds(
        DiscriminatorConfig,
        layers=st.builds(lambda stack, logit: (*stack, logit), stacks, logits),
        optimizer=optimizers,
    ),
    training=st.builds(
        lambda schedule, **keys: TrainingConfig(schedule=schedule[0], shared_noise=schedule[1], **keys),
        schedules,
        epochs=counts,
        batch=counts,
        k=counts,
        objective=st.sampled_from(["non-saturating", "minimax"]),
        discriminator_loss_scale=positive,
    ),
    output=st.builds(OutputConfig, samples=st.integers(1, 10_000), samples_every=counts, checkpoint_every=counts),
)


@pytest.mark.slow
@given(configs)
@settings(suppress_health_check=[HealthCheck.filter_too_much])  # of so many parts, hypothesis drops many draws itself
def test_a_written_configuration_reads_back_equal(config):
    text = to_toml(config)
    assert parse_experiment(text, "config.toml") == config
    assert to_toml(parse_experiment(text, "config.toml")) == text


def test_what_cannot_be_read_back_is_not_written():
    config = load_experiment("mnist")
    endless = dataclasses.replace(config, noise=NoiseConfig(kind="uniform", size=math.inf))
    with pytest.raises(ConfigError, match="finite numbers; got inf"):
        to_toml(endless)


# --- finding and reading -----------------------------------------------------------------------------


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(to_toml(load_experiment("mnist")), encoding="utf-8")
    return path


def refusal(name_or_path, overrides=()):
    with pytest.raises(ConfigError) as caught:
        load_experiment(name_or_path, overrides)
    return str(caught.value)


def test_a_path_may_be_text_or_path_with_or_without_the_suffix(mine):
    mnist = load_experiment("mnist")
    bare = mine.with_suffix("")
    bare.write_bytes(b"\xef\xbb\xbf" + mine.read_bytes().replace(b"\n", b"\r\n"))  # as an editor on Windows
    assert load_experiment(mine) == load_experiment(str(mine)) == mnist
    assert load_experiment(bare) == load_experiment(str(bare)) == mnist


def test_a_shipped_name_wins_over_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").write_text(to_toml(load_experiment("digits")), encoding="utf-8")
    assert load_experiment("mnist").data.set == "mnist"
    assert load_experiment("./mnist").data.set == "digits"


def test_overrides():
    config = load_experiment(
        "mnist",
        [
            "training.epochs=5",
            "generator.layers.0.units=64",
            "generator.layers[2].units=65",
            "seed=3",
            "training.schedule=alternating",
            "training.shared_noise=false",
            'training.objective="minimax"',
            "noise={ kind = 'gaussian', size = 7 }",
            'discriminator.layers=[{ type = "linear", units = 1 }]',
            "discriminator.optimizer={ kind = 'adam', lr = 1 }",
            "description=two words",
        ],
    )
    assert config.training.epochs == 5
    assert [config.generator.layers[index].units for index in (0, 2)] == [64, 65]
    assert config.seed == 3
    assert (config.training.schedule, config.training.shared_noise) == ("alternating", False)
    assert config.training.objective == "minimax"
    assert config.noise == NoiseConfig(kind="gaussian", size=7)
    assert config.discriminator.layers == (LinearConfig(units=1),)
    assert config.discriminator.optimizer == AdamConfig(lr=1.0)
    assert config.description == "two words"
    assert load_experiment("mnist").training.epochs == 1000  # nothing sticks


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            'training.batch="100"',
            'override "training.batch=\\"100\\"": training.batch: expected an integer of at least 1, '
            'got "100" (a string)',
        ),
        (
            "training.epcohs=5",
            'override "training.epcohs=5": training.epcohs: unknown key; did you mean "epochs"?',
        ),
        (
            "generator.layers.2.unis=5",
            'override "generator.layers.2.unis=5": generator.layers[2].unis: unknown key; did you mean "units"?',
        ),
        (
            "training.shared_noise=True",
            'override "training.shared_noise=True": training.shared_noise: expected true or false, '
            'got "True" (a string)',
        ),
        (
            "training.schedule=alternating",
            "mnist.toml: training.shared_noise: the alternating schedule draws fresh noise for every step: "
            'set shared_noise = false, or schedule = "simultaneous"',
        ),
        (
            "trainig.epochs=5",
            'override "trainig.epochs=5": trainig: unknown key; did you mean "training"?',
        ),
        ("seed=-1", 'override "seed=-1": seed: expected an integer of at least 0, got -1'),
        ("seed=1.0", 'override "seed=1.0": seed: expected an integer of at least 0, got 1.0 (a float)'),
        ("seed=true", 'override "seed=true": seed: expected an integer of at least 0, got true (a boolean)'),
        (
            "discriminator.layers.0.p=1",
            'override "discriminator.layers.0.p=1": discriminator.layers[0].p: '
            "expected a number of at least 0 and below 1, got 1",
        ),
        (
            "generator.optimizer.lr=nan",
            'override "generator.optimizer.lr=nan": generator.optimizer.lr: expected a number above 0, '
            "got nan; infinity and nan are refused",
        ),
        (
            "noise.kind=Gaussian",
            'override "noise.kind=Gaussian": noise.kind: expected "uniform", "gaussian" or "spherical", '
            'got "Gaussian"; did you mean "gaussian"?',
        ),
        (
            "name=../../etc",
            'override "name=../../etc": name: expected a name of letters, digits, "-" and "_", got "../../etc"',
        ),
        (
            "generator.optimizer.kind=adam",
            'mnist.toml: generator.optimizer.momentum: kind = "adam" has no such key; it belongs to kind = "sgd"',
        ),
    ],
)
def test_what_a_refused_override_is_told(override, message):
    assert refusal("mnist", [override]) == message


def test_what_a_refused_file_is_told(mine):
    good = mine.read_text(encoding="utf-8")
    for old, new, message in [
        ("batch = 100", 'batch = "100"', 'training.batch: expected an integer of at least 1, got "100" (a string)'),
        ("batch = 100", "", "training.batch: missing; expected an integer of at least 1"),
        ("[noise]", "[nose]", 'nose: unknown key; did you mean "noise"?'),
        ("[noise]", "[[noise]]", "noise: expected a table of kind, size, got a list of 1"),
        ("batch = 100", "batch = ", "line {line}: not valid TOML: Invalid value (at line {line}, column 9)"),
        ("batch = 100", "batch", "line {line}: not valid TOML: Expected '=' after a key in a key/value pair "
         "(at line {line}, column 6)"),
        ("batch = 100", "batch = 100\nbatch = 101", "line {next}: not valid TOML: Cannot overwrite a value "
         "(at line {next}, column 12)"),
        ("batch = 100", "batch = " + "9" * 5000, "no page of settings: a number is too long or lists are nested "
         "too deeply"),
        ("batch = 100", "batch = " + "[" * 9000, "no page of settings: a number is too long or lists are nested "
         "too deeply"),
    ]:  # fmt: skip
        line = good[: good.index(old)].count("\n") + 1
        mine.write_text(good.replace(old, new), encoding="utf-8")
        assert refusal(mine) == f"{mine}: {message}".replace("{line}", str(line)).replace("{next}", str(line + 1))


def test_a_text_that_stops_in_the_middle_names_its_last_line():
    with pytest.raises(ConfigError) as caught:
        parse_experiment('name = "mine"\nseed = [', "mine.toml")
    assert str(caught.value) == "mine.toml: line 2: not valid TOML: Invalid value (at end of document)"


def test_an_empty_file_misses_its_first_key(mine):
    mine.write_text("")
    assert refusal(mine) == f'{mine}: name: missing; expected a name of letters, digits, "-" and "_"'


def test_a_file_that_is_no_text(mine):
    mine.write_bytes(b'name = "mine"\ndescription = "\xff"\n')
    assert refusal(mine) == f"{mine}: line 2: not valid TOML: expected text in UTF-8"


def test_a_file_that_is_no_page_is_not_read_whole(mine):
    with mine.open("r+b") as file:
        file.truncate(2**40)  # sparse: it takes no disk, but reading it would take a tebibyte of memory
    assert refusal(mine) == f"{mine}: expected a page of TOML, more than 1 MiB came"


def test_a_file_of_exactly_the_largest_size_is_read(mine):
    text = mine.read_text(encoding="utf-8")
    mine.write_text(text + "#" * (2**20 - len(text)), encoding="utf-8")
    assert load_experiment(mine) == load_experiment("mnist")


def test_what_may_be_left_out_of_the_top(mine):
    lines = mine.read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines[: lines.index("[output]")] if not line.startswith(("seed", "description"))]
    config = parse_experiment("\n".join(lines), "mine.toml")
    assert (config.seed, config.description, config.output) == (0, "", OutputConfig())


def test_what_is_not_there(tmp_path):
    missing = tmp_path / "missing.toml"
    expected = f"expected {', '.join(config.name for config in shipped_experiments())} or the path of a TOML file"
    assert refusal(missing) == f"{missing}: no such file; {expected}"
    assert refusal(tmp_path) == f"{tmp_path}: is a folder; {expected}"
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    assert re.fullmatch(rf"{re.escape(str(folder))}: cannot be read: .+; {expected}", refusal(folder))
    assert refusal("a\0.toml") == f'"a\\u0000.toml": no path; {expected}'
    assert refusal("") == f'"": no such experiment; {expected}'
    assert refusal("a\0") == f'"a\\u0000": no such experiment; {expected}'
    assert refusal("x" * 9000) == f'"{"x" * 57}...": no such experiment; {expected}'
    assert refusal("mnits") == (
        f'"mnits": no such experiment; {expected}; did you mean "mnist"?'
    )
    assert refusal("zzz") == f'"zzz": no such experiment; {expected}'


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.objective=wasserstein"], "training.objective: wasserstein needs a D of bounded slope"),
        (["training.objective=hinge", "training.label_smoothing=0.1"], "training.label_smoothing: the objective hinge"),
        (["training.penalty=[{kind='r1'}, {kind='clipping'}]"], "training.penalty: weight clipping bounds the slope"),
    ],
)
def test_options_of_the_game_that_contradict_each_other(overrides, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_experiment("digits", overrides)


def test_a_game_with_a_penalty_is_written_and_read_back():
    config = load_experiment("digits", ["training.penalty=[{kind='r1', weight=2}, {kind='r2'}]", "training.packing=2"])
    assert parse_experiment(to_toml(config), "config.toml") == config
